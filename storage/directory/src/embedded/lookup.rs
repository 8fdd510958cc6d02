//! Finding rows by the names that people use, and checking what goes into them.

use rusqlite::{Connection, OptionalExtension};

use super::Result;
use crate::{AccountKind, Address, DirectoryError, DomainName, lower_case, records::TEXT_MAX};

/// A row of `users`.
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) username: String,
    pub(super) kind: AccountKind,
    pub(super) domain_id: i64,
}

/// The account with this address, be it primary, an alias, or in an alias of its domain. Text that is no
/// address is nobody's.
pub(super) fn account_id(connection: &Connection, address: &str) -> Result<Option<i64>> {
    let address = lower_case(address.trim());
    if let Some(id) = exact_id(connection, &address)? {
        return Ok(Some(id));
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Ok(None);
    };
    match alias_target(connection, domain)? {
        Some(main) => exact_id(connection, &format!("{local}@{main}")),
        None => Ok(None),
    }
}

fn exact_id(connection: &Connection, address: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM users WHERE username = ?1 UNION ALL SELECT user_id FROM aliases WHERE aliasname = ?1",
    )?;
    Ok(statement.query_row([address], |row| row.get(0)).optional()?)
}

/// The name of the domain that this is an alias of.
fn alias_target(connection: &Connection, domain: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.domainname FROM domain_aliases a JOIN domains d ON d.id = a.domain_id WHERE a.aliasname = ?1",
    )?;
    Ok(statement.query_row([domain], |row| row.get(0)).optional()?)
}

/// The account with this address, or the error that there is none.
pub(super) fn account(connection: &Connection, address: &str) -> Result<Entry> {
    let Some(id) = account_id(connection, address)? else {
        return Err(DirectoryError::NotFound {
            kind: "account",
            name: address.to_owned(),
        });
    };
    let mut statement = connection.prepare_cached(
        "SELECT username, display_type, address_status, domain_id FROM users WHERE id = ?1",
    )?;
    Ok(statement.query_row([id], |row| {
        Ok(Entry {
            id,
            username: row.get(0)?,
            kind: AccountKind::from_codes(row.get(1)?, row.get(2)?),
            domain_id: row.get(3)?,
        })
    })?)
}

/// A domain's row by its name or an alias.
pub(super) fn domain_id(connection: &Connection, name: &str) -> Result<i64> {
    let lower = lower_case(name.trim());
    let mut statement = connection.prepare_cached(
        "SELECT id FROM domains WHERE domainname = ?1
         UNION ALL SELECT domain_id FROM domain_aliases WHERE aliasname = ?1",
    )?;
    statement
        .query_row([lower.as_ref()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| DirectoryError::NotFound {
            kind: "domain",
            name: name.to_owned(),
        })
}

/// Checks a new address: its domain is served here and nobody has it. Its domain's own name replaces an
/// alias of it.
pub(super) fn new_address(connection: &Connection, address: &str) -> Result<(Address, i64)> {
    let mut address = Address::parse(address)?;
    if let Some(main) = alias_target(connection, address.domain())? {
        address = Address::parse(&format!("{}@{main}", address.local_part()))?;
    }
    let domain = domain_id(connection, address.domain())?;
    if exact_id(connection, address.as_str())?.is_some() {
        return Err(DirectoryError::Exists {
            kind: "address",
            name: address.to_string(),
        });
    }
    Ok((address, domain))
}

/// The address of a list's member or sender: an account's primary address, or one elsewhere.
pub(super) fn correspondent(connection: &Connection, address: &str) -> Result<String> {
    if let Some(id) = account_id(connection, address)? {
        let mut statement = connection.prepare_cached("SELECT username FROM users WHERE id = ?1")?;
        return Ok(statement.query_row([id], |row| row.get(0))?);
    }
    let address = Address::parse(address)?;
    match domain_id(connection, address.domain()) {
        Ok(_) => Err(DirectoryError::NotFound {
            kind: "account",
            name: address.to_string(),
        }),
        Err(DirectoryError::NotFound { .. }) => Ok(address.to_string()),
        Err(error) => Err(error),
    }
}

/// Fails when a domain or an alias of one has this name.
pub(super) fn new_domain(connection: &Connection, name: &str) -> Result<DomainName> {
    let name = DomainName::parse(name)?;
    match domain_id(connection, name.as_str()) {
        Ok(_) => Err(DirectoryError::Exists {
            kind: "domain",
            name: name.to_string(),
        }),
        Err(DirectoryError::NotFound { .. }) => Ok(name),
        Err(error) => Err(error),
    }
}

/// A row of `orgs` by its name.
pub(super) fn organisation_id(connection: &Connection, name: &str) -> Result<i64> {
    named(
        connection,
        "organisation",
        "SELECT id FROM orgs WHERE name = ?1",
        name,
    )
}

/// A row of `servers` by its name.
pub(super) fn server_id(connection: &Connection, name: &str) -> Result<i64> {
    let lower = lower_case(name);
    named(
        connection,
        "server",
        "SELECT id FROM servers WHERE hostname = ?1",
        &lower,
    )
}

fn named(connection: &Connection, kind: &'static str, query: &str, name: &str) -> Result<i64> {
    connection
        .query_row(query, [name], |row| row.get(0))
        .optional()?
        .ok_or_else(|| DirectoryError::NotFound {
            kind,
            name: name.to_owned(),
        })
}

/// Checks free text: one line of bounded length.
pub(super) fn check_text(what: &'static str, text: &str, maximum: usize) -> Result<()> {
    if text.chars().count() > maximum {
        return Err(DirectoryError::LimitExceeded { what, maximum });
    }
    if text.chars().any(char::is_control) {
        return Err(DirectoryError::InvalidValue {
            what,
            reason: "line breaks and other control characters are not allowed".to_owned(),
        });
    }
    Ok(())
}

/// Checks the name of an organisation and the like.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<()> {
    check_text(what, name, TEXT_MAX)?;
    if name.trim().is_empty() || name.trim() != name {
        return Err(DirectoryError::InvalidValue {
            what,
            reason: "it may not be empty nor begin or end with a space".to_owned(),
        });
    }
    Ok(())
}

/// Fails when adding one more would pass the limit.
pub(super) fn check_count(
    connection: &Connection,
    query: &str,
    id: i64,
    what: &'static str,
    maximum: usize,
) -> Result<()> {
    let count: usize = connection.query_row(query, [id], |row| row.get(0))?;
    if count >= maximum {
        return Err(DirectoryError::LimitExceeded { what, maximum });
    }
    Ok(())
}
