//! Who may do what in a folder (MS-OXCPERM).

use ringpost_mapi::{FolderId, rights::Rights};
use rusqlite::{OptionalExtension, params};

use crate::{EventKind, Mailbox, StoreError, folder::Kind};

/// Entries of a folder's permission table.
pub const MAX_PERMISSIONS: usize = 4096;
/// Numbers in `permissions.principal` that are nobody's of the table `principals`, which counts from 1.
const DEFAULT: i64 = 0;
const ANONYMOUS: i64 = -1;

/// Whom an entry of the permission table is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Member {
    /// Everybody who is logged in and has no entry.
    Default,
    /// Who is not logged in.
    Anonymous,
    /// An account or group, by its primary address (compared case-insensitively).
    Account(String),
}

/// An entry of a folder's permission table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    /// `PidTagMemberId`: 0 for the default, -1 for anonymous.
    pub id: i64,
    /// Whom it is about.
    pub member: Member,
    /// What they may do.
    pub rights: Rights,
}

impl Mailbox {
    /// The folder's permission table.
    pub fn permissions(&mut self, folder: FolderId) -> Result<Vec<Permission>, StoreError> {
        self.uid_state(folder, Kind::Any)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT p.principal, n.name, p.rights FROM permissions p
             LEFT JOIN principals n ON n.id = p.principal WHERE p.folder = ?1 ORDER BY p.principal",
        )?;
        let mut rows = statement.query([folder.to_disk()])?;
        let mut permissions = Vec::new();
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let member = match (id, row.get::<_, Option<String>>(1)?) {
                (DEFAULT, _) => Member::Default,
                (ANONYMOUS, _) => Member::Anonymous,
                (_, Some(name)) => Member::Account(name),
                (_, None) => return Err(StoreError::damaged("permission")),
            };
            permissions.push(Permission {
                id,
                member,
                rights: Rights::from_bits_retain(row.get(2)?),
            });
        }
        Ok(permissions)
    }

    /// Sets or, with `None`, removes an entry.
    pub fn set_permission(
        &mut self,
        folder: FolderId,
        member: &Member,
        rights: Option<Rights>,
    ) -> Result<(), StoreError> {
        self.transaction(|store| {
            let count = store.permissions(folder)?.len();
            let id = match member {
                Member::Default => DEFAULT,
                Member::Anonymous => ANONYMOUS,
                Member::Account(name) => store.principal(name)?,
            };
            if let Some(rights) = rights {
                if count >= MAX_PERMISSIONS {
                    return Err(StoreError::LimitExceeded("permissions of a folder"));
                }
                store
                    .connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO permissions (folder, principal, rights) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![folder.to_disk(), id, rights.bits()])?;
            } else {
                store
                    .connection
                    .prepare_cached("DELETE FROM permissions WHERE folder = ?1 AND principal = ?2")?
                    .execute(params![folder.to_disk(), id])?;
            }
            let change = store.next_change();
            store
                .connection
                .prepare_cached("UPDATE folders SET change = ?2 WHERE id = ?1")?
                .execute(params![folder.to_disk(), change.0 as i64])?;
            store.tell(EventKind::FolderChanged, folder, None, change);
            Ok(())
        })
    }

    /// What an account may do in a folder: the union of the entries of `names` (its address and those of its
    /// groups), or the default's where none has one. `None` asks for somebody who is not logged in. The
    /// owner of a private store needs no entry; that is for the caller to know.
    pub fn rights(&mut self, folder: FolderId, names: Option<&[String]>) -> Result<Rights, StoreError> {
        let permissions = self.permissions(folder)?;
        let of = |member: &Member| {
            let entry = permissions.iter().find(|permission| permission.member == *member);
            entry.map(|permission| permission.rights)
        };
        let Some(names) = names else {
            return Ok(of(&Member::Anonymous).unwrap_or_default().effective());
        };
        let own = names
            .iter()
            .filter_map(|name| of(&Member::Account(name.to_lowercase())))
            .reduce(Rights::union);
        Ok(own.or(of(&Member::Default)).unwrap_or_default().effective())
    }

    /// The number of an account, made where there is none yet. Inside a transaction.
    pub(crate) fn principal(&mut self, name: &str) -> Result<i64, StoreError> {
        let name = name.to_lowercase();
        let known = self
            .connection
            .prepare_cached("SELECT id FROM principals WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.connection
            .prepare_cached("INSERT INTO principals (name) VALUES (?1)")?
            .execute([&name])?;
        Ok(self.connection.last_insert_rowid())
    }
}
