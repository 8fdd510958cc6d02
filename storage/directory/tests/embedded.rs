//! The embedded directory as an administrator and a server use it, each with its own handle on the file.

use std::path::{Path, PathBuf};

use ringpost_directory::{
    AccountChange, AccountFilter, AccountKind, Administration, Directory, DirectoryError, DomainChange,
    EmbeddedDirectory, Forward, ListType, LoginBackend, MailboxPlace, NewAccount, Organisation, Privileges,
    Quota, SendPolicy, Server, Status,
};
use tempfile::TempDir;

fn fixture() -> (TempDir, EmbeddedDirectory) {
    let folder = TempDir::new().unwrap();
    let directory = EmbeddedDirectory::open_in(folder.path()).unwrap();
    directory
        .create_domain("example.test", &DomainChange::default())
        .unwrap();
    (folder, directory)
}

fn account(address: &str, kind: AccountKind) -> NewAccount {
    NewAccount {
        address: address.to_owned(),
        kind,
        mailbox: None,
        settings: AccountChange::default(),
    }
}

fn user(directory: &EmbeddedDirectory, address: &str) {
    directory
        .create_account(&account(address, AccountKind::User))
        .unwrap();
}

fn list(directory: &EmbeddedDirectory, address: &str, policy: SendPolicy, members: &[&str]) {
    let mut new = account(address, AccountKind::List);
    new.settings.send_policy = Some(policy);
    directory.create_account(&new).unwrap();
    for member in members {
        directory.add_member(address, member).unwrap();
    }
}

fn change(directory: &EmbeddedDirectory, address: &str, change: &AccountChange) {
    directory.change_account(address, change).unwrap();
}

#[test]
fn another_handle_sees_changes_and_only_changes() {
    let (folder, administrator) = fixture();
    let server = EmbeddedDirectory::open_in(folder.path()).unwrap();
    assert!(
        server.changed_since_snapshot().unwrap(),
        "there is no snapshot yet"
    );
    let before = server.snapshot().unwrap();
    assert!(!server.changed_since_snapshot().unwrap());

    user(&administrator, "alice@example.test");
    assert!(server.changed_since_snapshot().unwrap());
    assert!(
        before.account("alice@example.test").is_none(),
        "a snapshot never changes"
    );
    let after = server.snapshot().unwrap();
    assert!(after.account("ALICE@example.test").is_some());
    assert!(!server.changed_since_snapshot().unwrap());

    // What is refused changes nothing.
    let again = administrator.create_account(&account("alice@example.test", AccountKind::User));
    assert!(matches!(again, Err(DirectoryError::Exists { .. })));
    assert!(!server.changed_since_snapshot().unwrap());
    // A handle's own writes count too.
    user(&server, "bob@example.test");
    assert!(server.changed_since_snapshot().unwrap());
}

#[test]
fn the_file_keeps_everything_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, directory) = fixture();
    user(&directory, "alice@example.test");
    drop(directory);
    let path = folder.path().join("directory.sqlite3");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = EmbeddedDirectory::open(&path).unwrap();
    assert!(again.snapshot().unwrap().account("alice@example.test").is_some());
}

#[test]
fn accounts_are_found_by_alias_and_by_domain_alias() {
    let (_folder, directory) = fixture();
    user(&directory, "alice@example.test");
    directory
        .add_alias("alice@example.test", "Sales@Example.test")
        .unwrap();
    directory.add_domain_alias("example.test", "example.org").unwrap();
    let snapshot = directory.snapshot().unwrap();
    for address in [
        "alice@example.test",
        "sales@example.test",
        "ALICE@EXAMPLE.ORG",
        "sales@example.org",
    ] {
        assert_eq!(
            snapshot.account(address).unwrap().username,
            "alice@example.test",
            "{address}"
        );
        assert_eq!(
            directory.login_record(address).unwrap().unwrap().username,
            "alice@example.test"
        );
    }
    assert!(snapshot.account("alice@elsewhere.test").is_none());
    assert!(snapshot.account("alice").is_none());
    assert_eq!(snapshot.domain("Example.ORG").unwrap().name, "example.test");

    // One name, one owner, whatever it is spelt like.
    for taken in ["sales@example.test", "alice@example.org", "SALES@example.org"] {
        let refused = directory.create_account(&account(taken, AccountKind::User));
        assert!(
            matches!(refused, Err(DirectoryError::Exists { .. })),
            "{taken}: {refused:?}"
        );
    }
    assert!(matches!(
        directory.create_domain("example.org", &DomainChange::default()),
        Err(DirectoryError::Exists { .. })
    ));
    directory.remove_alias("sales@example.test").unwrap();
    assert!(matches!(
        directory.remove_alias("sales@example.test"),
        Err(DirectoryError::NotFound { .. })
    ));
    assert!(
        directory
            .snapshot()
            .unwrap()
            .account("sales@example.test")
            .is_none()
    );
}

#[test]
fn settings_reach_snapshot_login_and_list() {
    let (folder, directory) = fixture();
    directory
        .create_server(&Server {
            hostname: "mail1.example.test".into(),
            extname: "mail.example.test".into(),
        })
        .unwrap();
    let place = MailboxPlace::new(folder.path().join("mailboxes/alice")).unwrap();
    let mut new = account("alice@example.test", AccountKind::User);
    new.mailbox = Some(place.clone());
    new.settings = AccountChange {
        password_hash: Some("$1$abcdefgh$bVo2O2/zpxBPLaG64PSCs/".into()),
        display_name: Some("Alice Example".into()),
        privileges: Some(Privileges {
            pop3: false,
            ..Privileges::default()
        }),
        locale: Some("de_AT".into()),
        timezone: Some("Europe/Vienna".into()),
        quota: Some(Quota {
            warn_kib: Some(1000),
            send_kib: None,
            receive_kib: Some(3000),
        }),
        home_server: Some(Some("mail1.example.test".into())),
        forward: Some(Some(Forward {
            address: "alice@elsewhere.test".into(),
            keep_copy: true,
        })),
        ..AccountChange::default()
    };
    directory.create_account(&new).unwrap();

    let snapshot = directory.snapshot().unwrap();
    let alice = snapshot.account("alice@example.test").unwrap();
    assert_eq!(alice.display_name, "Alice Example");
    assert_eq!(alice.locale, "de_AT");
    assert!(alice.enabled && alice.privileges.imap && !alice.privileges.pop3);
    assert_eq!(
        alice.forward.as_ref().unwrap(),
        &Forward {
            address: "alice@elsewhere.test".into(),
            keep_copy: true
        }
    );
    let mailbox = alice.mailbox.as_ref().unwrap();
    assert_eq!((mailbox.guid, &*mailbox.path), (place.guid, place.path.as_path()));
    assert_eq!(
        snapshot.quota(&alice),
        Quota {
            warn_kib: Some(1000),
            send_kib: None,
            receive_kib: Some(3000)
        }
    );
    assert_eq!(
        snapshot.home_server(&alice).as_deref(),
        Some("mail1.example.test")
    );

    let record = directory.account_record("alice@example.test").unwrap();
    assert!(record.has_password && record.timezone == "Europe/Vienna");
    assert_eq!(record.mailbox.as_deref(), Some(place.path.as_path()));
    assert_eq!(record.mailbox_guid.unwrap(), place.guid.to_string());

    // Seen from another server, the mailbox is elsewhere.
    let other = EmbeddedDirectory::open_as(directory.path(), Some("mail2.example.test")).unwrap();
    let elsewhere = other
        .snapshot()
        .unwrap()
        .account("alice@example.test")
        .unwrap()
        .mailbox
        .clone();
    assert_eq!(elsewhere, None);
    assert!(other.snapshot().unwrap().mailboxes().is_empty());
    assert!(matches!(
        directory.delete_server("mail1.example.test"),
        Err(DirectoryError::InUse { .. })
    ));
}

#[test]
fn mailbox_paths_move_with_the_data_folder() {
    let (folder, directory) = fixture();
    let mut new = account("alice@example.test", AccountKind::User);
    new.mailbox = Some(MailboxPlace::new(folder.path().join("mailboxes/alice")).unwrap());
    directory.create_account(&new).unwrap();
    let outside = MailboxPlace::new(PathBuf::from("/srv/public")).unwrap();
    directory
        .set_public_store("example.test", Some(&outside))
        .unwrap();
    drop(directory);

    let moved = TempDir::new().unwrap();
    std::fs::copy(
        folder.path().join("directory.sqlite3"),
        moved.path().join("directory.sqlite3"),
    )
    .unwrap();
    let snapshot = EmbeddedDirectory::open_in(moved.path())
        .unwrap()
        .snapshot()
        .unwrap();
    let alice = snapshot.account("alice@example.test").unwrap();
    assert_eq!(
        &*alice.mailbox.as_ref().unwrap().path,
        moved.path().join("mailboxes/alice")
    );
    let store = snapshot
        .domain("example.test")
        .unwrap()
        .public_store
        .clone()
        .unwrap();
    assert_eq!(&*store.path, Path::new("/srv/public"));
    let kinds: Vec<_> = snapshot.mailboxes().iter().map(|account| account.kind).collect();
    assert_eq!(kinds, [AccountKind::User, AccountKind::PublicStore]);
}

#[test]
fn suspended_domains_and_deleted_accounts_are_out() {
    let (_folder, directory) = fixture();
    user(&directory, "alice@example.test");
    user(&directory, "bob@example.test");
    let set = |status| AccountChange {
        status: Some(status),
        ..AccountChange::default()
    };
    change(&directory, "bob@example.test", &set(Status::Deleted));
    assert!(
        directory
            .snapshot()
            .unwrap()
            .account("bob@example.test")
            .is_none()
    );
    assert!(directory.login_record("bob@example.test").unwrap().is_none());
    let suspend = DomainChange {
        status: Some(Status::Suspended),
        ..DomainChange::default()
    };
    directory.change_domain("example.test", &suspend).unwrap();
    let snapshot = directory.snapshot().unwrap();
    assert!(!snapshot.account("alice@example.test").unwrap().enabled);
    assert!(!snapshot.domain("example.test").unwrap().enabled);
    assert_eq!(directory.domains().unwrap()[0].status, Status::Suspended);
    let record = directory.login_record("alice@example.test").unwrap().unwrap();
    assert_eq!(record.status, Status::Suspended);
}

#[test]
fn lists_know_who_may_send() {
    let (_folder, directory) = fixture();
    directory
        .create_organisation(&Organisation {
            name: "Acme".into(),
            ..Organisation::default()
        })
        .unwrap();
    let in_acme = DomainChange {
        organisation: Some(Some("Acme".into())),
        ..DomainChange::default()
    };
    directory.change_domain("example.test", &in_acme).unwrap();
    directory.create_domain("sister.test", &in_acme).unwrap();
    directory
        .create_domain("stranger.test", &DomainChange::default())
        .unwrap();
    for address in [
        "alice@example.test",
        "bob@example.test",
        "sue@sister.test",
        "sam@stranger.test",
    ] {
        user(&directory, address);
    }
    directory
        .add_alias("alice@example.test", "al@example.test")
        .unwrap();
    let members = ["al@example.test", "ext@elsewhere.test"];
    for (name, policy) in [
        ("all", SendPolicy::All),
        ("internal", SendPolicy::Internal),
        ("members", SendPolicy::Members),
        ("domain", SendPolicy::Domain),
        ("specified", SendPolicy::Specified),
    ] {
        list(&directory, &format!("{name}@example.test"), policy, &members);
    }
    directory
        .add_sender("specified@example.test", "sue@sister.test")
        .unwrap();

    let snapshot = directory.snapshot().unwrap();
    let allowed = |name: &str| {
        let list = snapshot.account(&format!("{name}@example.test")).unwrap();
        assert_eq!(
            snapshot.members(&list),
            ["alice@example.test", "ext@elsewhere.test"]
        );
        [
            "Alice@example.test",
            "al@example.test",
            "bob@example.test",
            "sue@sister.test",
            "sam@stranger.test",
            "EXT@elsewhere.test",
            "x@example.test",
            "",
        ]
        .map(|sender| snapshot.may_send_to(&list, sender))
    };
    assert_eq!(allowed("all"), [true; 8]);
    assert_eq!(
        allowed("internal"),
        [true, true, true, true, false, false, false, false]
    );
    assert_eq!(
        allowed("members"),
        [true, true, false, false, false, true, false, false]
    );
    assert_eq!(
        allowed("domain"),
        [true, true, true, false, false, false, true, false]
    );
    assert_eq!(
        allowed("specified"),
        [false, false, false, true, false, false, false, false]
    );

    // A list of the whole domain: its active users and nobody else.
    let mut everyone = account("everyone@example.test", AccountKind::List);
    everyone.settings.list_type = Some(ListType::Domain);
    directory.create_account(&everyone).unwrap();
    assert!(matches!(
        directory.add_member("everyone@example.test", "bob@example.test"),
        Err(DirectoryError::NotAllowed(_))
    ));
    let snapshot = directory.snapshot().unwrap();
    let mut reached = snapshot.members(&snapshot.account("everyone@example.test").unwrap());
    reached.sort();
    assert_eq!(reached, ["alice@example.test", "bob@example.test"]);
    assert!(matches!(
        directory.delete_organisation("Acme"),
        Err(DirectoryError::InUse { .. })
    ));
}

#[test]
fn renaming_and_deleting_carries_memberships_along() {
    let (_folder, directory) = fixture();
    user(&directory, "alice@example.test");
    user(&directory, "boss@example.test");
    directory
        .add_alias("alice@example.test", "al@example.test")
        .unwrap();
    directory
        .add_store_owner("alice@example.test", "boss@example.test")
        .unwrap();
    list(
        &directory,
        "team@example.test",
        SendPolicy::Members,
        &["alice@example.test"],
    );
    change(
        &directory,
        "alice@example.test",
        &AccountChange {
            rename: Some("alicia@example.test".into()),
            ..AccountChange::default()
        },
    );
    let team = directory
        .account_record("team@example.test")
        .unwrap()
        .list
        .unwrap();
    assert_eq!(team.members, ["alicia@example.test"]);
    assert_eq!(
        directory.account_record("al@example.test").unwrap().username,
        "alicia@example.test"
    );
    assert!(
        directory
            .is_store_owner("alicia@example.test", "boss@example.test")
            .unwrap()
    );
    assert!(
        !directory
            .is_store_owner("boss@example.test", "alicia@example.test")
            .unwrap()
    );

    assert!(matches!(
        directory.delete_account("al@example.test"),
        Err(DirectoryError::NotAllowed(_))
    ));
    directory.delete_account("alicia@example.test").unwrap();
    let team = directory
        .account_record("team@example.test")
        .unwrap()
        .list
        .unwrap();
    assert_eq!(team.members, [""; 0]);
    // The name is free again, with nothing of its former owner.
    user(&directory, "alicia@example.test");
    assert!(
        !directory
            .is_store_owner("alicia@example.test", "boss@example.test")
            .unwrap()
    );
    assert!(matches!(
        directory.delete_domain("example.test"),
        Err(DirectoryError::InUse { .. })
    ));
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let (_folder, directory) = fixture();
    let bare_contact = account("contact@example.test", AccountKind::Contact);
    assert!(matches!(
        directory.create_account(&bare_contact),
        Err(DirectoryError::NotAllowed(_))
    ));
    let mut half = account("half@example.test", AccountKind::User);
    half.settings.password_hash = Some("not a hash".into());
    assert!(matches!(
        directory.create_account(&half),
        Err(DirectoryError::Password(_))
    ));
    let mut foreign = account("room@example.test", AccountKind::Room);
    foreign.settings.privileges = Some(Privileges::default());
    assert!(matches!(
        directory.create_account(&foreign),
        Err(DirectoryError::NotAllowed(_))
    ));
    let nowhere = account("a@nowhere.test", AccountKind::User);
    assert!(matches!(
        directory.create_account(&nowhere),
        Err(DirectoryError::NotFound { kind: "domain", .. })
    ));
    assert_eq!(directory.accounts(&AccountFilter::default()).unwrap(), []);

    let full = DomainChange {
        max_users: Some(1),
        ..DomainChange::default()
    };
    directory.change_domain("example.test", &full).unwrap();
    user(&directory, "alice@example.test");
    assert!(matches!(
        directory.create_account(&account("bob@example.test", AccountKind::User)),
        Err(DirectoryError::LimitExceeded { maximum: 1, .. })
    ));
    let itself = AccountChange {
        forward: Some(Some(Forward {
            address: "alice@example.test".into(),
            keep_copy: false,
        })),
        ..AccountChange::default()
    };
    assert!(matches!(
        directory.change_account("alice@example.test", &itself),
        Err(DirectoryError::NotAllowed(_))
    ));
    let injected = AccountChange {
        display_name: Some("a\nb".into()),
        ..AccountChange::default()
    };
    assert!(matches!(
        directory.change_account("alice@example.test", &injected),
        Err(DirectoryError::InvalidValue { .. })
    ));
}

#[test]
fn the_limits_hold() {
    let (_folder, directory) = fixture();
    user(&directory, "alice@example.test");
    for number in 0..ringpost_directory::ALIASES_MAX {
        directory
            .add_alias("alice@example.test", &format!("a{number}@example.test"))
            .unwrap();
    }
    assert!(matches!(
        directory.add_alias("alice@example.test", "one.more@example.test"),
        Err(DirectoryError::LimitExceeded { .. })
    ));
    let long = AccountChange {
        display_name: Some("n".repeat(ringpost_directory::TEXT_MAX + 1)),
        ..AccountChange::default()
    };
    assert!(matches!(
        directory.change_account("alice@example.test", &long),
        Err(DirectoryError::LimitExceeded { .. })
    ));
    let value = "v".repeat(ringpost_directory::PROPERTY_MAX + 1);
    assert!(matches!(
        directory.set_property("alice@example.test", 0x3a17_001f, Some(&value)),
        Err(DirectoryError::LimitExceeded { .. })
    ));
    directory
        .set_property("alice@example.test", 0x3a17_001f, Some("Engineer"))
        .unwrap();
    assert_eq!(
        directory.properties("alice@example.test").unwrap(),
        [(0x3a17_001f, "Engineer".to_owned())]
    );
}

#[test]
fn writers_in_several_handles_wait_for_each_other() {
    let (folder, directory) = fixture();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = folder.path();
            scope.spawn(move || {
                let own = EmbeddedDirectory::open_in(path).unwrap();
                for number in 0..20 {
                    user(&own, &format!("u{writer}.{number}@example.test"));
                }
            });
        }
    });
    assert_eq!(directory.snapshot().unwrap().len(), 80);
}
