//! Accounts of all kinds: every row of `users` and what hangs on it.

use rusqlite::{Row, Transaction, params};

use super::{EmbeddedDirectory, Result, load::quota_tags, lookup};
use crate::{
    AccountChange, AccountFilter, AccountKind, AccountRecord, Address, DirectoryError, Forward, ListSettings,
    ListType, NewAccount, Privileges, Quota, SendPolicy, Status, lower_case, password,
    records::{
        ALIASES_MAX, EXTERN_ID_MAX, PROPERTIES_MAX, PROPERTY_MAX, STATUS_CONTACT, STATUS_SHARED, TEXT_MAX,
    },
};

/// Characters of a language or time zone.
const LOCALE_MAX: usize = 64;

const RECORDS: &str = "
    SELECT u.username, u.display_type, u.address_status, u.display_name, u.privilege_bits, u.password <> '',
           u.externid, u.lang, u.timezone, s.hostname, u.maildir, u.mailbox_guid,
           (SELECT group_concat(aliasname, char(10)) FROM aliases WHERE user_id = u.id),
           f.destination, f.forward_type, l.list_type, l.list_privilege,
           (SELECT group_concat(username, char(10)) FROM associations WHERE list_id = l.id),
           (SELECT group_concat(username, char(10)) FROM specifieds WHERE list_id = l.id),
           (SELECT group_concat(a.username, char(10)) FROM store_owners o JOIN users a ON a.id = o.owner_id
            WHERE o.user_id = u.id),
           (SELECT propval FROM user_properties WHERE user_id = u.id AND proptag = ?1 AND order_id = 1),
           (SELECT propval FROM user_properties WHERE user_id = u.id AND proptag = ?2 AND order_id = 1),
           (SELECT propval FROM user_properties WHERE user_id = u.id AND proptag = ?3 AND order_id = 1),
           (SELECT group_concat(a.username, char(10)) FROM send_as s JOIN users a ON a.id = s.sender_id
            WHERE s.user_id = u.id)
    FROM users u LEFT JOIN servers s ON s.id = u.homeserver LEFT JOIN forwards f ON f.user_id = u.id
         LEFT JOIN mlists l ON l.user_id = u.id";

impl EmbeddedDirectory {
    pub(super) fn read_accounts(
        &self,
        transaction: &Transaction<'_>,
        filter: &AccountFilter,
    ) -> Result<Vec<AccountRecord>> {
        let domain = match &filter.domain {
            Some(name) => Some(lookup::domain_id(transaction, name)?),
            None => None,
        };
        let mut statement = transaction.prepare(&format!(
            "{RECORDS} WHERE ?4 IS NULL OR u.domain_id = ?4 ORDER BY u.username"
        ))?;
        let [warn, send, receive] = quota_tags();
        let rows = statement.query_map(params![warn, send, receive, domain], |row| self.record(row))?;
        let wanted = filter.contains.as_deref().map(str::to_lowercase);
        let matches = |record: &AccountRecord| {
            filter.kind.is_none_or(|kind| kind == record.kind)
                && wanted.as_deref().is_none_or(|wanted| {
                    record.username.contains(wanted)
                        || record.display_name.to_lowercase().contains(wanted)
                        || record.aliases.iter().any(|alias| alias.contains(wanted))
                })
        };
        let mut records = Vec::new();
        for record in rows {
            let record = record?;
            if matches(&record) {
                records.push(record);
            }
        }
        Ok(records)
    }

    pub(super) fn read_account(&self, transaction: &Transaction<'_>, address: &str) -> Result<AccountRecord> {
        let entry = lookup::account(transaction, address)?;
        let mut statement = transaction.prepare_cached(&format!("{RECORDS} WHERE u.id = ?4"))?;
        let [warn, send, receive] = quota_tags();
        Ok(statement.query_row(params![warn, send, receive, entry.id], |row| self.record(row))?)
    }

    fn record(&self, row: &Row<'_>) -> rusqlite::Result<AccountRecord> {
        let (display_type, status): (i64, i64) = (row.get(1)?, row.get(2)?);
        let kind = AccountKind::from_codes(display_type, status);
        let extern_id: Option<Vec<u8>> = row.get(6)?;
        let maildir: Option<String> = row.get(10)?;
        let guid: Option<[u8; 16]> = row.get(11)?;
        let destination: Option<String> = row.get(13)?;
        let list_type: Option<i64> = row.get(15)?;
        let list = match list_type {
            Some(code) => Some(ListSettings {
                list_type: ListType::from_code(code),
                send_policy: SendPolicy::from_code(row.get(16)?),
                members: split_lines(row.get(17)?),
                senders: split_lines(row.get(18)?),
            }),
            None => None,
        };
        let forward = match destination {
            Some(address) => Some(Forward {
                address,
                keep_copy: row.get::<_, i64>(14)? == 0,
            }),
            None => None,
        };
        Ok(AccountRecord {
            username: row.get(0)?,
            kind,
            display_name: row.get(3)?,
            status: own_status(status),
            aliases: split_lines(row.get(12)?),
            forward,
            privileges: Privileges::from_bits(row.get(4)?),
            has_password: row.get(5)?,
            extern_id: extern_id.filter(|id| !id.is_empty()).map(readable),
            locale: row.get(7)?,
            timezone: row.get(8)?,
            quota: Quota {
                warn_kib: row.get(20)?,
                send_kib: row.get(21)?,
                receive_kib: row.get(22)?,
            },
            home_server: row.get(9)?,
            mailbox: maildir.map(|path| self.base.join(path)),
            mailbox_guid: guid.map(|guid| ringpost_mapi::Guid(guid).to_string()),
            store_owners: split_lines(row.get(19)?),
            send_as: split_lines(row.get(23)?),
            list,
        })
    }

    pub(super) fn write_account(&self, transaction: &Transaction<'_>, account: &NewAccount) -> Result<()> {
        let (address, domain) = lookup::new_address(transaction, &account.address)?;
        if account.kind == AccountKind::PublicStore {
            return Err(DirectoryError::NotAllowed(
                "a public store belongs to a domain, it is no account",
            ));
        }
        if account.mailbox.is_some() && !account.kind.has_mailbox() {
            return Err(DirectoryError::NotAllowed("this kind of account has no mailbox"));
        }
        let contact_reaches_somewhere = matches!(&account.settings.forward, Some(Some(_)));
        if account.kind == AccountKind::Contact && !contact_reaches_somewhere {
            return Err(DirectoryError::NotAllowed(
                "a contact needs the address it stands for",
            ));
        }
        check_room_for_users(transaction, domain)?;
        let path = account
            .mailbox
            .as_ref()
            .map(|place| self.stored_path(&place.path))
            .transpose()?;
        let privileges = match account.kind {
            AccountKind::User => Privileges::default(),
            _ => Privileges::NONE,
        };
        transaction.execute(
            "INSERT INTO users (username, domain_id, maildir, mailbox_guid, display_type, address_status,
                                display_name, privilege_bits)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                address.as_str(),
                domain,
                path,
                account.mailbox.as_ref().map(|place| place.guid.0.0),
                account.kind.display_type(),
                status_code(account.kind, Status::Active),
                address.local_part(),
                privileges.bits(),
            ],
        )?;
        if account.kind == AccountKind::List {
            transaction.execute(
                "INSERT INTO mlists (user_id, list_type, list_privilege) VALUES (?1, 0, 0)",
                [transaction.last_insert_rowid()],
            )?;
        }
        change(transaction, address.as_str(), &account.settings)
    }
}

pub(super) fn change(transaction: &Transaction<'_>, address: &str, change: &AccountChange) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let set = |column: &str, value: &dyn rusqlite::ToSql| {
        transaction.execute(
            &format!("UPDATE users SET {column} = ?2 WHERE id = ?1"),
            params![entry.id, value],
        )
    };
    if let Some(hash) = &change.password_hash {
        check_may_log_in(entry.kind)?;
        if !hash.is_empty() {
            password::check_format(hash)?;
        }
        set("password", hash)?;
    }
    if let Some(id) = &change.extern_id {
        check_may_log_in(entry.kind)?;
        if id.as_ref().is_some_and(|id| id.len() > EXTERN_ID_MAX) {
            return Err(DirectoryError::LimitExceeded {
                what: "octets of an external id",
                maximum: EXTERN_ID_MAX,
            });
        }
        set("externid", id)?;
    }
    if let Some(name) = &change.display_name {
        lookup::check_text("display name", name, TEXT_MAX)?;
        set("display_name", name)?;
    }
    if let Some(status) = change.status {
        set("address_status", &status_code(entry.kind, status))?;
    }
    if let Some(privileges) = change.privileges {
        check_may_log_in(entry.kind)?;
        set("privilege_bits", &privileges.bits())?;
    }
    if let Some(locale) = &change.locale {
        check_word("locale", locale, "_-.@")?;
        set("lang", locale)?;
    }
    if let Some(timezone) = &change.timezone {
        check_word("time zone", timezone, "_-+/")?;
        set("timezone", timezone)?;
    }
    if let Some(quota) = change.quota {
        let limits = [quota.warn_kib, quota.send_kib, quota.receive_kib];
        for (tag, limit) in quota_tags().into_iter().zip(limits) {
            put_property(transaction, entry.id, tag, limit)?;
        }
    }
    if let Some(home) = &change.home_server {
        let home = home
            .as_deref()
            .map(|name| lookup::server_id(transaction, name))
            .transpose()?;
        set("homeserver", &home)?;
    }
    if let Some(forward) = &change.forward {
        set_forward(transaction, &entry, forward.as_ref())?;
    }
    let list_column = |column: &str, code: i64| -> Result<()> {
        if entry.kind != AccountKind::List {
            return Err(DirectoryError::NotAllowed("this account is not a list"));
        }
        transaction.execute(
            &format!("UPDATE mlists SET {column} = ?2 WHERE user_id = ?1"),
            params![entry.id, code],
        )?;
        Ok(())
    };
    if let Some(list_type) = change.list_type {
        list_column("list_type", list_type.code())?;
    }
    if let Some(policy) = change.send_policy {
        list_column("list_privilege", policy.code())?;
    }
    // Last: `address` names the account up to here.
    if let Some(name) = &change.rename {
        rename(transaction, &entry, name)?;
    }
    Ok(())
}

fn rename(transaction: &Transaction<'_>, entry: &lookup::Entry, name: &str) -> Result<()> {
    let (address, domain) = lookup::new_address(transaction, name)?;
    if domain != entry.domain_id {
        check_room_for_users(transaction, domain)?;
    }
    transaction.execute(
        "UPDATE users SET username = ?2, domain_id = ?3 WHERE id = ?1",
        params![entry.id, address.as_str(), domain],
    )?;
    for table in ["associations", "specifieds"] {
        transaction.execute(
            &format!("UPDATE {table} SET username = ?2 WHERE username = ?1"),
            params![entry.username, address.as_str()],
        )?;
    }
    Ok(())
}

pub(super) fn delete(transaction: &Transaction<'_>, address: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    if entry.username != lower_case(address.trim()) {
        return Err(DirectoryError::NotAllowed(
            "this is an alias of an account: remove the alias, or name the account by its primary address",
        ));
    }
    for table in ["associations", "specifieds"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE username = ?1"),
            [&entry.username],
        )?;
    }
    transaction.execute("DELETE FROM users WHERE id = ?1", [entry.id])?;
    Ok(())
}

pub(super) fn add_alias(transaction: &Transaction<'_>, address: &str, alias: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let (alias, _) = lookup::new_address(transaction, alias)?;
    lookup::check_count(
        transaction,
        "SELECT count(*) FROM aliases WHERE user_id = ?1",
        entry.id,
        "aliases of an account",
        ALIASES_MAX,
    )?;
    transaction.execute(
        "INSERT INTO aliases (aliasname, user_id) VALUES (?1, ?2)",
        params![alias.as_str(), entry.id],
    )?;
    Ok(())
}

pub(super) fn remove_alias(transaction: &Transaction<'_>, alias: &str) -> Result<()> {
    let removed = transaction.execute(
        "DELETE FROM aliases WHERE aliasname = ?1",
        [lower_case(alias.trim())],
    )?;
    expect_one(removed, "alias", alias)
}

pub(super) fn add_store_owner(transaction: &Transaction<'_>, address: &str, owner: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let owner_entry = lookup::account(transaction, owner)?;
    if !entry.kind.has_mailbox() || owner_entry.kind != AccountKind::User {
        return Err(DirectoryError::NotAllowed(
            "only a user can own a store, and only of an account that has a mailbox",
        ));
    }
    let added = transaction.execute(
        "INSERT OR IGNORE INTO store_owners VALUES (?1, ?2)",
        [entry.id, owner_entry.id],
    )?;
    if added == 0 {
        return Err(DirectoryError::Exists {
            kind: "store owner",
            name: owner.to_owned(),
        });
    }
    Ok(())
}

pub(super) fn remove_store_owner(transaction: &Transaction<'_>, address: &str, owner: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let owner_entry = lookup::account(transaction, owner)?;
    let removed = transaction.execute(
        "DELETE FROM store_owners WHERE user_id = ?1 AND owner_id = ?2",
        [entry.id, owner_entry.id],
    )?;
    expect_one(removed, "store owner", owner)
}

pub(super) fn add_send_as(transaction: &Transaction<'_>, address: &str, sender: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let sender_entry = lookup::account(transaction, sender)?;
    if sender_entry.kind != AccountKind::User {
        return Err(DirectoryError::NotAllowed(
            "only a user can send in another's name",
        ));
    }
    let added = transaction.execute(
        "INSERT OR IGNORE INTO send_as VALUES (?1, ?2)",
        [entry.id, sender_entry.id],
    )?;
    if added == 0 {
        return Err(DirectoryError::Exists {
            kind: "right to send",
            name: sender.to_owned(),
        });
    }
    Ok(())
}

pub(super) fn remove_send_as(transaction: &Transaction<'_>, address: &str, sender: &str) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    let sender_entry = lookup::account(transaction, sender)?;
    let removed = transaction.execute(
        "DELETE FROM send_as WHERE user_id = ?1 AND sender_id = ?2",
        [entry.id, sender_entry.id],
    )?;
    expect_one(removed, "right to send", sender)
}

pub(super) fn set_property(
    transaction: &Transaction<'_>,
    address: &str,
    tag: u32,
    value: Option<&str>,
) -> Result<()> {
    let entry = lookup::account(transaction, address)?;
    if let Some(text) = value {
        if text.chars().count() > PROPERTY_MAX {
            return Err(DirectoryError::LimitExceeded {
                what: "characters of a property",
                maximum: PROPERTY_MAX,
            });
        }
        lookup::check_count(
            transaction,
            "SELECT count(*) FROM user_properties WHERE user_id = ?1",
            entry.id,
            "properties of an account",
            PROPERTIES_MAX,
        )?;
    }
    if quota_tags().contains(&tag) {
        return Err(DirectoryError::NotAllowed(
            "quotas are changed by their own settings",
        ));
    }
    put_property(transaction, entry.id, tag, value)
}

pub(super) fn properties(transaction: &Transaction<'_>, address: &str) -> Result<Vec<(u32, String)>> {
    let entry = lookup::account(transaction, address)?;
    let mut statement = transaction.prepare(
        "SELECT proptag, CAST(propval AS TEXT) FROM user_properties WHERE user_id = ?1
         ORDER BY proptag, order_id",
    )?;
    let rows = statement.query_map([entry.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

fn put_property<V: rusqlite::ToSql>(
    transaction: &Transaction<'_>,
    id: i64,
    tag: u32,
    value: Option<V>,
) -> Result<()> {
    match value {
        Some(value) => transaction.execute(
            "INSERT INTO user_properties (user_id, proptag, propval) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET propval = ?3",
            params![id, tag, value],
        )?,
        None => transaction.execute(
            "DELETE FROM user_properties WHERE user_id = ?1 AND proptag = ?2",
            params![id, tag],
        )?,
    };
    Ok(())
}

fn set_forward(
    transaction: &Transaction<'_>,
    entry: &lookup::Entry,
    forward: Option<&Forward>,
) -> Result<()> {
    let Some(forward) = forward else {
        if entry.kind == AccountKind::Contact {
            return Err(DirectoryError::NotAllowed(
                "a contact needs the address it stands for",
            ));
        }
        transaction.execute("DELETE FROM forwards WHERE user_id = ?1", [entry.id])?;
        return Ok(());
    };
    let destination = Address::parse(&forward.address)?;
    if lookup::account_id(transaction, destination.as_str())? == Some(entry.id) {
        return Err(DirectoryError::NotAllowed("an account can't forward to itself"));
    }
    transaction.execute(
        "INSERT OR REPLACE INTO forwards (user_id, forward_type, destination) VALUES (?1, ?2, ?3)",
        params![entry.id, i64::from(!forward.keep_copy), destination.as_str()],
    )?;
    Ok(())
}

/// `domains.max_user`, counted over all accounts.
fn check_room_for_users(transaction: &Transaction<'_>, domain: i64) -> Result<()> {
    let (maximum, count): (usize, usize) = transaction.query_row(
        "SELECT max_user, (SELECT count(*) FROM users WHERE domain_id = ?1) FROM domains WHERE id = ?1",
        [domain],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if maximum != 0 && count >= maximum {
        return Err(DirectoryError::LimitExceeded {
            what: "accounts of the domain",
            maximum,
        });
    }
    Ok(())
}

fn check_may_log_in(kind: AccountKind) -> Result<()> {
    if kind == AccountKind::User {
        Ok(())
    } else {
        Err(DirectoryError::NotAllowed("only a user logs in"))
    }
}

fn check_word(what: &'static str, word: &str, also: &str) -> Result<()> {
    lookup::check_text(what, word, LOCALE_MAX)?;
    if !word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    {
        return Err(DirectoryError::InvalidValue {
            what,
            reason: format!("{word:?} has a character that does not belong there"),
        });
    }
    Ok(())
}

/// `address_status` of a kind: shared mailboxes and contacts are told by it while they are active.
fn status_code(kind: AccountKind, status: Status) -> i64 {
    match (kind, status) {
        (AccountKind::Shared, Status::Active) => STATUS_SHARED,
        (AccountKind::Contact, Status::Active) => STATUS_CONTACT,
        _ => status.code(),
    }
}

/// The account's own part of `address_status`.
pub(super) fn own_status(code: i64) -> Status {
    match code & 0x0f {
        STATUS_SHARED | STATUS_CONTACT => Status::Active,
        code => Status::from_code(code),
    }
}

/// What `group_concat` with line feeds joined, sorted.
pub(super) fn split_lines(text: Option<String>) -> Vec<String> {
    let mut lines: Vec<String> = text
        .as_deref()
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort_unstable();
    lines
}

pub(super) fn expect_one(count: usize, kind: &'static str, name: &str) -> Result<()> {
    if count == 1 {
        return Ok(());
    }
    Err(DirectoryError::NotFound {
        kind,
        name: name.to_owned(),
    })
}

fn readable(id: Vec<u8>) -> String {
    match String::from_utf8(id) {
        Ok(text) if !text.chars().any(char::is_control) => text,
        Ok(text) => hexadecimal(text.as_bytes()),
        Err(error) => hexadecimal(error.as_bytes()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
