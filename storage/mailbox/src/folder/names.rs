//! The folders a mailbox is born with, and their names in the languages of users.

use ringpost_mapi::{FileTime, FolderId};
use rusqlite::{Connection, params};

use super::{FIRST_CHANGE, built_in as private, built_in_public as public, tree::name_key};
use crate::{CreateOptions, MailboxKind, StoreError};

/// A built-in folder: id, parent, class, names.
struct BuiltIn {
    id: FolderId,
    parent: Option<FolderId>,
    class: &'static str,
    /// In the order of [`LANGUAGES`]; one name alone is not translated (users don't see it).
    names: &'static [&'static str],
}

const LANGUAGES: [&str; 6] = ["en", "de", "fr", "es", "it", "nl"];

const fn folder(
    id: FolderId,
    parent: FolderId,
    class: &'static str,
    names: &'static [&'static str],
) -> BuiltIn {
    BuiltIn {
        id,
        parent: Some(parent),
        class,
        names,
    }
}

const fn root(id: FolderId) -> BuiltIn {
    BuiltIn {
        id,
        parent: None,
        class: "",
        names: &["Root Container"],
    }
}

const PRIVATE: &[BuiltIn] = &[
    root(private::ROOT),
    folder(private::DEFERRED_ACTION, private::ROOT, "", &["Deferred Action"]),
    folder(private::SPOOLER_QUEUE, private::ROOT, "", &["Spooler Queue"]),
    folder(
        private::SHORTCUTS,
        private::ROOT,
        "IPF.ShortcutFolder",
        &["Shortcuts"],
    ),
    folder(private::FINDER, private::ROOT, "", &["Finder"]),
    folder(private::VIEWS, private::ROOT, "", &["Views"]),
    folder(private::COMMON_VIEWS, private::ROOT, "", &["Common Views"]),
    folder(private::SCHEDULE, private::ROOT, "", &["Schedule"]),
    folder(private::LOCAL_FREEBUSY, private::ROOT, "", &["Freebusy Data"]),
    folder(
        private::IPM_SUBTREE,
        private::ROOT,
        "",
        &["Top of Information Store"],
    ),
    folder(
        private::INBOX,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Inbox",
            "Posteingang",
            "Boîte de réception",
            "Bandeja de entrada",
            "Posta in arrivo",
            "Postvak IN",
        ],
    ),
    folder(
        private::DRAFTS,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Drafts",
            "Entwürfe",
            "Brouillons",
            "Borradores",
            "Bozze",
            "Concepten",
        ],
    ),
    folder(
        private::OUTBOX,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Outbox",
            "Postausgang",
            "Boîte d'envoi",
            "Bandeja de salida",
            "Posta in uscita",
            "Postvak UIT",
        ],
    ),
    folder(
        private::SENT_ITEMS,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Sent Items",
            "Gesendete Elemente",
            "Éléments envoyés",
            "Elementos enviados",
            "Posta inviata",
            "Verzonden items",
        ],
    ),
    folder(
        private::DELETED_ITEMS,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Deleted Items",
            "Gelöschte Elemente",
            "Éléments supprimés",
            "Elementos eliminados",
            "Posta eliminata",
            "Verwijderde items",
        ],
    ),
    folder(
        private::JUNK,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Junk E-mail",
            "Junk-E-Mail",
            "Courrier indésirable",
            "Correo no deseado",
            "Posta indesiderata",
            "Ongewenste e-mail",
        ],
    ),
    folder(
        private::CALENDAR,
        private::IPM_SUBTREE,
        "IPF.Appointment",
        &[
            "Calendar",
            "Kalender",
            "Calendrier",
            "Calendario",
            "Calendario",
            "Agenda",
        ],
    ),
    folder(
        private::CONTACTS,
        private::IPM_SUBTREE,
        "IPF.Contact",
        &[
            "Contacts",
            "Kontakte",
            "Contacts",
            "Contactos",
            "Contatti",
            "Contactpersonen",
        ],
    ),
    folder(
        private::JOURNAL,
        private::IPM_SUBTREE,
        "IPF.Journal",
        &["Journal", "Journal", "Journal", "Diario", "Diario", "Logboek"],
    ),
    folder(
        private::NOTES,
        private::IPM_SUBTREE,
        "IPF.StickyNote",
        &["Notes", "Notizen", "Notes", "Notas", "Note", "Notities"],
    ),
    folder(
        private::TASKS,
        private::IPM_SUBTREE,
        "IPF.Task",
        &["Tasks", "Aufgaben", "Tâches", "Tareas", "Attività", "Taken"],
    ),
    folder(
        private::SYNC_ISSUES,
        private::IPM_SUBTREE,
        "IPF.Note",
        &[
            "Sync Issues",
            "Synchronisierungsprobleme",
            "Problèmes de synchronisation",
            "Problemas de sincronización",
            "Problemi di sincronizzazione",
            "Synchronisatieproblemen",
        ],
    ),
    folder(
        private::CONFLICTS,
        private::SYNC_ISSUES,
        "IPF.Note",
        &[
            "Conflicts",
            "Konflikte",
            "Conflits",
            "Conflictos",
            "Conflitti",
            "Conflicten",
        ],
    ),
    folder(
        private::LOCAL_FAILURES,
        private::SYNC_ISSUES,
        "IPF.Note",
        &[
            "Local Failures",
            "Lokale Fehler",
            "Défaillances locales",
            "Errores locales",
            "Errori locali",
            "Lokale fouten",
        ],
    ),
    folder(
        private::SERVER_FAILURES,
        private::SYNC_ISSUES,
        "IPF.Note",
        &[
            "Server Failures",
            "Serverfehler",
            "Défaillances du serveur",
            "Errores del servidor",
            "Errori server",
            "Serverfouten",
        ],
    ),
    folder(
        private::QUICK_CONTACTS,
        private::CONTACTS,
        "IPF.Contact.MOC.QuickContacts",
        &["Quick Contacts"],
    ),
    folder(
        private::IM_CONTACT_LIST,
        private::CONTACTS,
        "IPF.Contact.MOC.ImContactList",
        &["IM Contacts List"],
    ),
    folder(
        private::GAL_CONTACTS,
        private::CONTACTS,
        "IPF.Contact.GalContacts",
        &["GAL Contacts"],
    ),
    folder(
        private::CONVERSATION_ACTION,
        private::IPM_SUBTREE,
        "IPF.Configuration",
        &["Conversation Action Settings"],
    ),
];

const PUBLIC: &[BuiltIn] = &[
    root(public::ROOT),
    folder(public::IPM_SUBTREE, public::ROOT, "", &["IPM_SUBTREE"]),
    folder(public::NON_IPM_SUBTREE, public::ROOT, "", &["NON_IPM_SUBTREE"]),
    folder(
        public::EFORMS_REGISTRY,
        public::NON_IPM_SUBTREE,
        "",
        &["EFORMS REGISTRY"],
    ),
];

/// Which receive folder a private store has for a class and those below it (MS-OXCSTOR 2.2.1.2).
const RECEIVE_FOLDERS: [(&str, FolderId); 4] = [
    ("", private::INBOX),
    ("IPM", private::INBOX),
    ("REPORT.IPM", private::INBOX),
    ("IPC", private::ROOT),
];

/// Makes the built-in folders of a new mailbox.
pub(crate) fn create_built_in(connection: &Connection, options: &CreateOptions) -> Result<(), StoreError> {
    let language = language(&options.locale);
    let now = FileTime::now();
    let folders = match options.kind {
        MailboxKind::Private => PRIVATE,
        MailboxKind::Public => PUBLIC,
    };
    for folder in folders {
        let name = folder.names.get(language).unwrap_or(&folder.names[0]);
        insert_folder(
            connection,
            folder.id,
            folder.parent,
            name,
            folder.class,
            FIRST_CHANGE,
            now,
        )?;
    }
    if options.kind == MailboxKind::Private {
        for (class, folder) in RECEIVE_FOLDERS {
            connection.execute(
                "INSERT INTO receive_folders (class, folder, modified) VALUES (?1, ?2, ?3)",
                params![class, folder.to_disk(), now.0 as i64],
            )?;
        }
    }
    Ok(())
}

/// Writes a new folder's rows.
pub(super) fn insert_folder(
    connection: &Connection,
    id: FolderId,
    parent: Option<FolderId>,
    name: &str,
    class: &str,
    change: u64,
    now: FileTime,
) -> Result<(), StoreError> {
    // A folder deleted and made again under its name must get another UIDVALIDITY. Folders' ids are
    // never used again, and seconds keep apart the built-in ones of a mailbox that was made anew.
    let validity = (now.unix_seconds() as u32)
        .wrapping_add(id.counter() as u32)
        .max(1);
    connection
        .prepare_cached(
            "INSERT INTO folders (id, parent, name_key, state, search, uid_validity, uid_next, recent_uid,
                 messages, unread, deleted, associated, size, associated_size, soft_messages, soft_size,
                 content_change, change, created, modified, subscribed, name, class)
             VALUES (?1, ?2, ?3, 0, 0, ?4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, ?5, ?5, ?6, ?6, 1, ?7, ?8)",
        )?
        .execute(params![
            id.to_disk(),
            parent.map(FolderId::to_disk),
            name_key(name),
            validity,
            change as i64,
            now.0 as i64,
            name,
            class
        ])?;
    connection
        .prepare_cached("INSERT INTO folder_data (folder, properties) VALUES (?1, x'')")?
        .execute([id.to_disk()])?;
    Ok(())
}

/// Which of [`LANGUAGES`] a locale such as `de_DE.UTF-8` speaks; English where none.
fn language(locale: &str) -> usize {
    let code = locale.split(['_', '-', '.', '@']).next().unwrap_or_default();
    LANGUAGES
        .iter()
        .position(|known| known.eq_ignore_ascii_case(code))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_find_their_language() {
        assert_eq!(language("de_DE"), 1);
        assert_eq!(language("FR"), 2);
        assert_eq!(language("nl-BE.UTF-8"), 5);
        assert_eq!(language("xx"), 0);
        assert_eq!(language(""), 0);
    }

    #[test]
    fn parents_come_before_children_and_names_are_whole() {
        for folders in [PRIVATE, PUBLIC] {
            for (at, folder) in folders.iter().enumerate() {
                assert!(matches!(folder.names.len(), 1 | 6), "{}", folder.names[0]);
                let known = |id| folders[..at].iter().any(|earlier| earlier.id == id);
                assert!(folder.parent.is_none_or(known), "{}", folder.names[0]);
                assert!(!known(folder.id));
            }
        }
    }
}
