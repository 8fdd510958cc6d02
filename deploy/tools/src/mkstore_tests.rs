use ringpost_directory::{
    AccountChange, AccountKind, Administration as _, DomainChange, EmbeddedDirectory, MailboxPlace,
    NewAccount,
};

use super::*;

/// A data folder with alice, who has a mailbox, a list without one, and a domain with a public store.
fn data_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let directory = EmbeddedDirectory::open_in(folder.path()).unwrap();
    directory
        .create_domain("example.test", &DomainChange::default())
        .unwrap();
    let place = |name: &str| MailboxPlace::new(folder.path().join(name)).unwrap();
    directory
        .set_public_store("example.test", Some(&place("domain/example.test")))
        .unwrap();
    for (address, kind, mailbox) in [
        ("alice@example.test", AccountKind::User, Some(place("user/alice"))),
        ("list@example.test", AccountKind::List, None),
    ] {
        let settings = AccountChange::default();
        directory
            .create_account(&NewAccount {
                address: address.into(),
                kind,
                mailbox,
                settings,
            })
            .unwrap();
    }
    folder
}

fn succeeds(tool: fn(Vec<OsString>) -> ExitCode, folder: &tempfile::TempDir, arguments: &[&str]) -> bool {
    let mut line: Vec<OsString> = vec!["tool".into(), "--data".into(), folder.path().into()];
    line.extend(arguments.iter().map(OsString::from));
    tool(line) == ExitCode::SUCCESS
}

#[test]
fn a_private_store_is_made_once() {
    let folder = data_folder();
    let database = database(&folder.path().join("user/alice"));
    assert!(succeeds(run_private, &folder, &["alice@example.test"]));
    assert!(database.exists());
    assert!(
        !succeeds(run_private, &folder, &["alice@example.test"]),
        "not without -f"
    );
    let before = fs::metadata(&database).unwrap().modified().unwrap();
    assert!(succeeds(run_private, &folder, &["-f", "ALICE@example.test"]));
    assert!(fs::metadata(&database).unwrap().modified().unwrap() >= before);
    assert!(succeeds(
        run_private,
        &folder,
        &["-U", "-v", "--integrity", "alice@example.test"]
    ));
}

#[test]
fn a_store_in_use_is_not_overwritten() {
    let folder = data_folder();
    assert!(succeeds(run_private, &folder, &["alice@example.test"]));
    let mailbox = Mailbox::open(&folder.path().join("user/alice"), &OpenOptions::default()).unwrap();
    assert!(!succeeds(run_private, &folder, &["-f", "alice@example.test"]));
    assert!(!succeeds(run_private, &folder, &["-U", "alice@example.test"]));
    drop(mailbox);
    assert!(succeeds(run_private, &folder, &["-f", "alice@example.test"]));
}

#[test]
fn a_public_store_is_made() {
    let folder = data_folder();
    assert!(succeeds(run_public, &folder, &["example.test"]));
    assert!(database(&folder.path().join("domain/example.test")).exists());
    assert!(succeeds(crate::mkmidb::run, &folder, &["-P", "example.test"]));
}

#[test]
fn an_index_needs_nothing_but_the_store() {
    let folder = data_folder();
    assert!(!succeeds(crate::mkmidb::run, &folder, &["alice@example.test"]));
    assert!(succeeds(run_private, &folder, &["alice@example.test"]));
    assert!(succeeds(
        crate::mkmidb::run,
        &folder,
        &["-f", "alice@example.test"]
    ));
    assert!(succeeds(
        crate::mkmidb::run,
        &folder,
        &["-Uv", "--integrity", "alice@example.test"]
    ));
}

#[test]
fn who_has_no_store_gets_none() {
    let folder = data_folder();
    assert!(!succeeds(run_private, &folder, &["nobody@example.test"]));
    assert!(!succeeds(run_private, &folder, &["list@example.test"]));
    assert!(!succeeds(run_public, &folder, &["elsewhere.test"]));
    assert!(
        !succeeds(run_private, &folder, &["-U", "alice@example.test"]),
        "nothing to upgrade"
    );
    assert!(!succeeds(
        run_private,
        &folder,
        &["--create-old", "alice@example.test"]
    ));
}

#[test]
fn wrong_calls_fail_and_help_does_not() {
    let folder = data_folder();
    for tool in [run_private, run_public, crate::mkmidb::run] {
        assert!(succeeds(tool, &folder, &["-?"]));
        assert!(succeeds(tool, &folder, &["--version"]));
        assert!(!succeeds(tool, &folder, &[]));
        assert!(!succeeds(tool, &folder, &["--colour", "alice@example.test"]));
        assert!(
            !succeeds(tool, &folder, &["-c", "/nonexistent", "alice@example.test"]),
            "-c and --data"
        );
        let line = ["tool", "-c", "/nonexistent/ringpost.cfg", "alice@example.test"];
        assert_eq!(tool(line.map(OsString::from).to_vec()), ExitCode::FAILURE);
    }
}

#[test]
fn what_is_new_gets_the_owner_of_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (user, group) = (54_321, 54_322);
    if lchown(folder.path(), Some(user), Some(group)).is_err() {
        // Only root can give files away; others keep their own.
        let owner = Owner::of_future(&folder.path().join("a/b")).unwrap();
        assert_eq!(owner.user, fs::metadata(folder.path()).unwrap().uid());
        return;
    }
    let path = folder.path().join("user/alice");
    let owner = Owner::of_future(&path).unwrap();
    assert_eq!(owner.top, folder.path().join("user"));
    fs::create_dir_all(path.join("exmdb")).unwrap();
    fs::write(path.join("exmdb/exchange.sqlite3"), "").unwrap();
    owner.adopt().unwrap();
    for name in ["user", "user/alice", "user/alice/exmdb/exchange.sqlite3"] {
        let metadata = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (user, group), "{name}");
    }
    assert_eq!(Owner::of_future(&path).unwrap().top, path);
}
