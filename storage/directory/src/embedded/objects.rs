//! Organisations, servers and domains.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{EmbeddedDirectory, Result, lookup};
use crate::{
    DirectoryError, DomainChange, DomainName, DomainRecord, MailboxPlace, Organisation, Server, Status,
    records::{DOMAIN_ALIASES_MAX, TEXT_MAX},
};

/// Parameters an organisation may have.
const PARAMETERS_MAX: usize = 100;

pub(super) fn organisations(transaction: &Transaction<'_>) -> Result<Vec<Organisation>> {
    let mut statement = transaction.prepare("SELECT id, name, description FROM orgs ORDER BY name")?;
    let mut parameters =
        transaction.prepare("SELECT key, value FROM orgparam WHERE org_id = ?1 ORDER BY key")?;
    let mut organisations = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        organisations.push(Organisation {
            name: row.get(1)?,
            description: row.get(2)?,
            parameters: parameters
                .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<std::result::Result<_, _>>()?,
        });
    }
    Ok(organisations)
}

pub(super) fn save_organisation(
    transaction: &Transaction<'_>,
    old: Option<&str>,
    organisation: &Organisation,
) -> Result<()> {
    lookup::check_name("organisation name", &organisation.name)?;
    lookup::check_text("description", &organisation.description, TEXT_MAX)?;
    if organisation.parameters.len() > PARAMETERS_MAX {
        return Err(DirectoryError::LimitExceeded {
            what: "organisation parameters",
            maximum: PARAMETERS_MAX,
        });
    }
    let id = match old {
        Some(name) => Some(lookup::organisation_id(transaction, name)?),
        None => None,
    };
    // A null id lets SQLite choose one.
    transaction
        .execute(
            "INSERT INTO orgs (id, name, description) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET name = ?2, description = ?3",
            params![id, organisation.name, organisation.description],
        )
        .map_err(|error| exists(error, "organisation", &organisation.name))?;
    let id = lookup::organisation_id(transaction, &organisation.name)?;
    transaction.execute("DELETE FROM orgparam WHERE org_id = ?1", [id])?;
    for (key, value) in &organisation.parameters {
        lookup::check_name("parameter", key)?;
        lookup::check_text("parameter value", value, TEXT_MAX)?;
        transaction.execute(
            "INSERT OR REPLACE INTO orgparam VALUES (?1, ?2, ?3)",
            params![id, key, value],
        )?;
    }
    Ok(())
}

pub(super) fn delete_organisation(transaction: &Transaction<'_>, name: &str) -> Result<()> {
    let id = lookup::organisation_id(transaction, name)?;
    let user = transaction
        .query_row(
            "SELECT 'domain ' || domainname FROM domains WHERE org_id = ?1 LIMIT 1",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    refuse_if_used("organisation", name, user)?;
    transaction.execute("DELETE FROM orgs WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn servers(transaction: &Transaction<'_>) -> Result<Vec<Server>> {
    let mut statement = transaction.prepare("SELECT hostname, extname FROM servers ORDER BY hostname")?;
    let rows = statement.query_map([], |row| {
        Ok(Server {
            hostname: row.get(0)?,
            extname: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

pub(super) fn save_server(transaction: &Transaction<'_>, old: Option<&str>, server: &Server) -> Result<()> {
    let hostname = DomainName::parse(&server.hostname)?;
    let extname = DomainName::parse(&server.extname)?;
    let id = match old {
        Some(name) => Some(lookup::server_id(transaction, name)?),
        None => None,
    };
    transaction
        .execute(
            "INSERT INTO servers (id, hostname, extname) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET hostname = ?2, extname = ?3",
            params![id, hostname.as_str(), extname.as_str()],
        )
        .map_err(|error| exists(error, "server", hostname.as_str()))?;
    Ok(())
}

pub(super) fn delete_server(transaction: &Transaction<'_>, hostname: &str) -> Result<()> {
    let id = lookup::server_id(transaction, hostname)?;
    let user = transaction
        .query_row(
            "SELECT username FROM users WHERE homeserver = ?1
             UNION ALL SELECT 'domain ' || domainname FROM domains WHERE homeserver = ?1 LIMIT 1",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    refuse_if_used("server", hostname, user)?;
    transaction.execute("DELETE FROM servers WHERE id = ?1", [id])?;
    Ok(())
}

impl EmbeddedDirectory {
    pub(super) fn read_domains(&self, transaction: &Transaction<'_>) -> Result<Vec<DomainRecord>> {
        let mut statement = transaction.prepare(
            "SELECT d.domainname, o.name, d.title, d.max_user, d.domain_status, s.hostname,
                    (SELECT group_concat(aliasname, char(10)) FROM domain_aliases WHERE domain_id = d.id),
                    (SELECT count(*) FROM users WHERE domain_id = d.id), d.homedir
             FROM domains d LEFT JOIN orgs o ON o.id = d.org_id LEFT JOIN servers s ON s.id = d.homeserver
             ORDER BY d.domainname",
        )?;
        let rows = statement.query_map([], |row| {
            let aliases: Option<String> = row.get(6)?;
            let homedir: Option<String> = row.get(8)?;
            Ok(DomainRecord {
                name: row.get(0)?,
                organisation: row.get(1)?,
                title: row.get(2)?,
                max_users: row.get(3)?,
                status: Status::from_code(row.get::<_, i64>(4)? >> 4),
                home_server: row.get(5)?,
                aliases: super::accounts::split_lines(aliases),
                accounts: row.get(7)?,
                public_store: homedir.map(|path| self.base.join(path)),
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    pub(super) fn write_public_store(
        &self,
        transaction: &Transaction<'_>,
        domain: &str,
        place: Option<&MailboxPlace>,
    ) -> Result<()> {
        let id = lookup::domain_id(transaction, domain)?;
        let taken: bool = transaction.query_row(
            "SELECT homedir IS NOT NULL FROM domains WHERE id = ?1",
            [id],
            |row| row.get(0),
        )?;
        match (taken, place) {
            (true, Some(_)) => {
                return Err(DirectoryError::Exists {
                    kind: "public store of",
                    name: domain.to_owned(),
                });
            }
            (false, None) => {
                return Err(DirectoryError::NotFound {
                    kind: "public store of",
                    name: domain.to_owned(),
                });
            }
            _ => {}
        }
        let path = place.map(|place| self.stored_path(&place.path)).transpose()?;
        transaction.execute(
            "UPDATE domains SET homedir = ?2, public_guid = ?3 WHERE id = ?1",
            params![id, path, place.map(|place| place.guid.0.0)],
        )?;
        Ok(())
    }
}

pub(super) fn create_domain(
    transaction: &Transaction<'_>,
    name: &str,
    settings: &DomainChange,
) -> Result<()> {
    let name = lookup::new_domain(transaction, name)?;
    transaction.execute("INSERT INTO domains (domainname) VALUES (?1)", [name.as_str()])?;
    change_domain(transaction, name.as_str(), settings)
}

pub(super) fn change_domain(transaction: &Transaction<'_>, name: &str, change: &DomainChange) -> Result<()> {
    let id = lookup::domain_id(transaction, name)?;
    let set = |column: &str, value: &dyn rusqlite::ToSql| {
        transaction.execute(
            &format!("UPDATE domains SET {column} = ?2 WHERE id = ?1"),
            params![id, value],
        )
    };
    if let Some(organisation) = &change.organisation {
        let organisation = organisation
            .as_deref()
            .map(|name| lookup::organisation_id(transaction, name))
            .transpose()?;
        set("org_id", &organisation)?;
    }
    if let Some(title) = &change.title {
        lookup::check_text("title", title, TEXT_MAX)?;
        set("title", title)?;
    }
    if let Some(max_users) = change.max_users {
        set("max_user", &max_users)?;
    }
    if let Some(status) = change.status {
        set("domain_status", &(status.code() << 4))?;
    }
    if let Some(home) = &change.home_server {
        let home = home
            .as_deref()
            .map(|name| lookup::server_id(transaction, name))
            .transpose()?;
        set("homeserver", &home)?;
    }
    Ok(())
}

pub(super) fn delete_domain(transaction: &Transaction<'_>, name: &str) -> Result<()> {
    let id = lookup::domain_id(transaction, name)?;
    let own: bool = transaction.query_row(
        "SELECT domainname = ?2 FROM domains WHERE id = ?1",
        params![id, crate::lower_case(name.trim())],
        |row| row.get(0),
    )?;
    if !own {
        return Err(DirectoryError::NotAllowed(
            "this is an alias of a domain: remove the alias instead",
        ));
    }
    let user = transaction
        .query_row(
            "SELECT username FROM users WHERE domain_id = ?1 UNION ALL
             SELECT aliasname FROM aliases WHERE substr(aliasname, -length(?2) - 1) = '@' || ?2 LIMIT 1",
            params![id, crate::lower_case(name.trim())],
            |row| row.get(0),
        )
        .optional()?;
    refuse_if_used("domain", name, user)?;
    transaction.execute("DELETE FROM domains WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn add_domain_alias(transaction: &Transaction<'_>, name: &str, alias: &str) -> Result<()> {
    let id = lookup::domain_id(transaction, name)?;
    let alias = lookup::new_domain(transaction, alias)?;
    lookup::check_count(
        transaction,
        "SELECT count(*) FROM domain_aliases WHERE domain_id = ?1",
        id,
        "aliases of a domain",
        DOMAIN_ALIASES_MAX,
    )?;
    transaction.execute(
        "INSERT INTO domain_aliases (aliasname, domain_id) VALUES (?1, ?2)",
        params![alias.as_str(), id],
    )?;
    Ok(())
}

pub(super) fn remove_domain_alias(transaction: &Transaction<'_>, alias: &str) -> Result<()> {
    let removed = transaction.execute(
        "DELETE FROM domain_aliases WHERE aliasname = ?1",
        [crate::lower_case(alias.trim())],
    )?;
    super::accounts::expect_one(removed, "domain alias", alias)
}

fn refuse_if_used(kind: &'static str, name: &str, user: Option<String>) -> Result<()> {
    user.map_or(Ok(()), |by| {
        Err(DirectoryError::InUse {
            kind,
            name: name.to_owned(),
            by,
        })
    })
}

/// A uniqueness that SQLite found violated is a name that exists.
fn exists(error: rusqlite::Error, kind: &'static str, name: &str) -> DirectoryError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => DirectoryError::Exists {
            kind,
            name: name.to_owned(),
        },
        _ => error.into(),
    }
}
