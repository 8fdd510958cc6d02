//! Reads the whole file into a [`Snapshot`].

use std::sync::Arc;

use ahash::AHashMap;
use rusqlite::{Row, Transaction};

use super::{EmbeddedDirectory, Result, accounts::own_status};
use crate::{
    Account, AccountKind, Domain, Forward, ListType, Privileges, Quota, SendPolicy, Status,
    snapshot::{Builder, List},
};

/// `PidTagStorageQuota`, `PidTagProhibitSendQuota`, `PidTagProhibitReceiveQuota`: where gromox keeps them.
pub(super) const fn quota_tags() -> [u32; 3] {
    [0x3ff5_0003, 0x666e_0003, 0x666a_0003]
}

/// An account is as active as its domain.
pub(super) fn effective_status(account: i64, domain: i64) -> Status {
    match (own_status(account), Status::from_code(domain >> 4)) {
        (Status::Deleted, _) | (_, Status::Deleted) => Status::Deleted,
        (Status::Active, Status::Active) => Status::Active,
        _ => Status::Suspended,
    }
}

pub(super) fn snapshot(
    transaction: &Transaction<'_>,
    directory: &EmbeddedDirectory,
) -> Result<crate::Snapshot> {
    let mut builder = Builder::default();
    let mut domain_status = AHashMap::new();
    each(
        transaction,
        "SELECT d.id, d.domainname, d.domain_status, d.homedir, d.public_guid, s.hostname, d.org_id
         FROM domains d LEFT JOIN servers s ON s.id = d.homeserver",
        |row| {
            let id: i64 = row.get(0)?;
            let status: i64 = row.get(2)?;
            domain_status.insert(id, status);
            if Status::from_code(status >> 4) == Status::Deleted {
                return Ok(());
            }
            let (path, home): (Option<String>, Option<String>) = (row.get(3)?, row.get(5)?);
            let domain = Domain {
                name: row.get(1)?,
                enabled: Status::from_code(status >> 4) == Status::Active,
                public_store: directory.mailbox(home.as_deref(), path.as_deref(), row.get(4)?),
            };
            builder.domain(id, domain, row.get(6)?);
            Ok(())
        },
    )?;
    each(
        transaction,
        "SELECT aliasname, domain_id FROM domain_aliases",
        |row| {
            builder.domain_alias(row.get(0)?, row.get(1)?);
            Ok(())
        },
    )?;
    accounts(transaction, directory, &domain_status, &mut builder)?;
    each(transaction, "SELECT aliasname, user_id FROM aliases", |row| {
        builder.alias(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    let [warn, send, receive] = quota_tags();
    each(
        transaction,
        &format!(
            "SELECT user_id, proptag, propval FROM user_properties
             WHERE proptag IN ({warn}, {send}, {receive}) AND typeof(propval) = 'integer'"
        ),
        |row| {
            let (tag, limit): (u32, u32) = (row.get(1)?, row.get(2)?);
            builder.quota(row.get(0)?, |quota: &mut Quota| match tag {
                tag if tag == warn => quota.warn_kib = Some(limit),
                tag if tag == send => quota.send_kib = Some(limit),
                _ => quota.receive_kib = Some(limit),
            });
            Ok(())
        },
    )?;
    each(
        transaction,
        "SELECT user_id, owner_id FROM store_owners UNION SELECT user_id, sender_id FROM send_as",
        |row| {
            builder.send_as(row.get(0)?, row.get(1)?);
            Ok(())
        },
    )?;
    lists(transaction, &mut builder)?;
    Ok(builder.build())
}

fn accounts(
    transaction: &Transaction<'_>,
    directory: &EmbeddedDirectory,
    domain_status: &AHashMap<i64, i64>,
    builder: &mut Builder,
) -> Result<()> {
    each(
        transaction,
        "SELECT u.id, u.username, u.display_type, u.address_status, u.domain_id, d.domainname, u.display_name,
                u.maildir, u.mailbox_guid, s.hostname, f.destination, f.forward_type, u.lang, u.privilege_bits
         FROM users u JOIN domains d ON d.id = u.domain_id LEFT JOIN servers s ON s.id = u.homeserver
              LEFT JOIN forwards f ON f.user_id = u.id",
        |row| {
            let (display_type, code): (i64, i64) = (row.get(2)?, row.get(3)?);
            let domain_code = domain_status.get(&row.get(4)?).copied().unwrap_or(0);
            let status = effective_status(code, domain_code);
            if status == Status::Deleted {
                return Ok(());
            }
            let maildir: Option<String> = row.get(7)?;
            let home: Option<String> = row.get(9)?;
            let destination: Option<String> = row.get(10)?;
            let forward = match destination {
                Some(address) => Some(Forward {
                    address,
                    keep_copy: row.get::<_, i64>(11)? == 0,
                }),
                None => None,
            };
            let account = Account {
                username: row.get(1)?,
                kind: AccountKind::from_codes(display_type, code),
                domain: row.get(5)?,
                display_name: row.get(6)?,
                mailbox: directory.mailbox(home.as_deref(), maildir.as_deref(), row.get(8)?),
                forward,
                enabled: status == Status::Active,
                locale: row.get(12)?,
                privileges: Privileges::from_bits(row.get(13)?),
            };
            builder.account(row.get(0)?, Arc::new(account), home);
            Ok(())
        },
    )
}

fn lists(transaction: &Transaction<'_>, builder: &mut Builder) -> Result<()> {
    each(
        transaction,
        "SELECT id, user_id, list_type, list_privilege FROM mlists",
        |row| {
            let list = List {
                reach: ListType::from_code(row.get(2)?),
                policy: SendPolicy::from_code(row.get(3)?),
                members: Vec::new(),
                senders: Vec::new(),
            };
            builder.list(row.get(0)?, row.get(1)?, list);
            Ok(())
        },
    )?;
    each(
        transaction,
        "SELECT list_id, username FROM associations ORDER BY username",
        |row| {
            builder.member(row.get(0)?, row.get(1)?);
            Ok(())
        },
    )?;
    each(
        transaction,
        "SELECT list_id, username FROM specifieds ORDER BY username",
        |row| {
            builder.sender(row.get(0)?, row.get(1)?);
            Ok(())
        },
    )
}

fn each(
    transaction: &Transaction<'_>,
    query: &str,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<()> {
    let mut statement = transaction.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}
