//! Members of mailing lists, and who may send to them.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Result, accounts::expect_one, lookup};
use crate::{
    AccountKind, DirectoryError, ListType,
    records::{MEMBERS_MAX, SENDERS_MAX},
};

/// One of the two tables of addresses that belong to a list.
pub(super) struct Addresses {
    table: &'static str,
    what: &'static str,
    limit_name: &'static str,
    limit: usize,
}

/// `associations`
pub(super) const MEMBERS: Addresses = Addresses {
    table: "associations",
    what: "member",
    limit_name: "members of a list",
    limit: MEMBERS_MAX,
};

/// `specifieds`
pub(super) const SENDERS: Addresses = Addresses {
    table: "specifieds",
    what: "sender",
    limit_name: "senders of a list",
    limit: SENDERS_MAX,
};

impl Addresses {
    pub(super) fn add(&self, transaction: &Transaction<'_>, list: &str, address: &str) -> Result<()> {
        let list = list_row(transaction, list)?;
        if self.table == MEMBERS.table && list.list_type == ListType::Domain {
            return Err(DirectoryError::NotAllowed(
                "this list reaches all users of its domain: it has no members of its own",
            ));
        }
        let address = lookup::correspondent(transaction, address)?;
        if self.table == MEMBERS.table && address == list.address {
            return Err(DirectoryError::NotAllowed("a list can't be a member of itself"));
        }
        let count = format!("SELECT count(*) FROM {} WHERE list_id = ?1", self.table);
        lookup::check_count(transaction, &count, list.id, self.limit_name, self.limit)?;
        let added = transaction.execute(
            &format!(
                "INSERT OR IGNORE INTO {} (list_id, username) VALUES (?1, ?2)",
                self.table
            ),
            params![list.id, address],
        )?;
        if added == 0 {
            return Err(DirectoryError::Exists {
                kind: self.what,
                name: address,
            });
        }
        Ok(())
    }

    pub(super) fn remove(&self, transaction: &Transaction<'_>, list: &str, address: &str) -> Result<()> {
        let list = list_row(transaction, list)?;
        // What is no account any more, nor a sound address, can still be removed as it is spelt.
        let known = match lookup::correspondent(transaction, address) {
            Ok(known) => known,
            Err(DirectoryError::Database(error)) => return Err(DirectoryError::Database(error)),
            Err(_) => crate::lower_case(address.trim()).into_owned(),
        };
        let removed = transaction.execute(
            &format!("DELETE FROM {} WHERE list_id = ?1 AND username = ?2", self.table),
            params![list.id, known],
        )?;
        expect_one(removed, self.what, address)
    }
}

struct ListRow {
    id: i64,
    address: String,
    list_type: ListType,
}

fn list_row(transaction: &Transaction<'_>, address: &str) -> Result<ListRow> {
    let account = lookup::account(transaction, address)?;
    if account.kind != AccountKind::List {
        return Err(DirectoryError::NotAllowed("this account is not a list"));
    }
    let row = transaction
        .query_row(
            "SELECT id, list_type FROM mlists WHERE user_id = ?1",
            [account.id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (id, list_type): (i64, i64) = row.ok_or(DirectoryError::NotFound {
        kind: "list",
        name: address.to_owned(),
    })?;
    Ok(ListRow {
        id,
        address: account.username,
        list_type: ListType::from_code(list_type),
    })
}
