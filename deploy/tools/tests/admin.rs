//! `ringpost admin` as it is typed, and what the directory says afterwards.

use ringpost_directory::{AccountKind, Administration, Directory, EmbeddedDirectory, SendPolicy, password};
use ringpost_tools::admin;
use tempfile::TempDir;

fn try_run(data: &TempDir, line: &str) -> anyhow::Result<()> {
    let path = data.path().to_str().unwrap();
    let words = ["admin", "--data", path].into_iter().chain(line.split(' '));
    let matches = admin::command().try_get_matches_from(words)?;
    admin::run(&matches).map(drop)
}

fn run(data: &TempDir, line: &str) {
    try_run(data, line).unwrap_or_else(|error| panic!("{line}: {error:#}"));
}

fn refused(data: &TempDir, line: &str) -> String {
    format!("{:#}", try_run(data, line).expect_err(line))
}

#[test]
fn what_is_typed_is_in_the_directory() {
    let data = TempDir::new().unwrap();
    for line in [
        "organisation add Acme --parameter ldap_host=ldap://one",
        "server add mail1.example.test mail.example.test",
        "domain add example.test --organisation Acme",
        "domain add-alias example.test example.org",
        "user add alice@example.test --no-mailbox --password demo --name Alice --locale de_DE --quota 100",
        "user add bob@example.test --no-mailbox --privileges imap,smtp --home-server mail1.example.test",
        "alias add alice@example.test sales@example.test",
        "contact add carol@example.test --forward carol@elsewhere.test",
        "room add room1@example.test --no-mailbox",
        "shared add info@example.test --no-mailbox",
        "owner add info@example.test alice@example.test",
        "group add team@example.test --send-policy members",
        "member add team@example.test sales@example.test",
        "user change bob@example.test --rename rob@example.test --status suspended",
        "property set alice@example.test 3a17001f Engineer",
        "user list --json",
        "domain list",
        "list show team@example.test",
    ] {
        run(&data, line);
    }
    let directory = EmbeddedDirectory::open_in(data.path()).unwrap();
    let snapshot = directory.snapshot().unwrap();
    let alice = snapshot.account("sales@example.org").unwrap();
    assert_eq!(
        (alice.display_name.as_str(), alice.locale.as_str()),
        ("Alice", "de_DE")
    );
    assert_eq!(snapshot.quota(&alice).receive_kib, Some(102_400));
    let rob = snapshot.account("rob@example.test").unwrap();
    assert!(!rob.enabled && rob.privileges.imap && !rob.privileges.pop3);
    let carol = snapshot.account("carol@example.test").unwrap();
    assert_eq!(carol.kind, AccountKind::Contact);
    assert_eq!(carol.forward.as_ref().unwrap().address, "carol@elsewhere.test");
    let team = directory
        .account_record("team@example.test")
        .unwrap()
        .list
        .unwrap();
    assert_eq!(team.send_policy, SendPolicy::Members);
    assert_eq!(team.members, ["alice@example.test"]);
    let info = directory.account_record("info@example.test").unwrap();
    assert_eq!(info.store_owners, ["alice@example.test"]);
    let properties = directory.properties("alice@example.test").unwrap();
    assert!(properties.contains(&(0x3a17_001f, "Engineer".to_owned())));

    run(&data, "user delete rob@example.test");
    run(&data, "alias remove alice@example.test sales@example.test");
    let snapshot = directory.snapshot().unwrap();
    assert!(snapshot.account("rob@example.test").is_none());
    assert!(snapshot.account("sales@example.test").is_none());
}

#[test]
fn the_password_typed_is_the_one_that_logs_in() {
    use ringpost_directory::LoginBackend as _;
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "user add alice@example.test --no-mailbox --password demo");
    let directory = EmbeddedDirectory::open_in(data.path()).unwrap();
    let hash = || {
        directory
            .login_record("alice@example.test")
            .unwrap()
            .unwrap()
            .password_hash
    };
    assert_eq!(password::verify("demo", &hash()), Ok(true));
    run(&data, "user change alice@example.test --password other");
    assert_eq!(password::verify("demo", &hash()), Ok(false));
    assert_eq!(password::verify("other", &hash()), Ok(true));
}

#[test]
fn mistakes_are_told_and_change_nothing() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "user add alice@example.test --no-mailbox");
    for (line, message) in [
        ("user add alice@example.test --no-mailbox", "exists already"),
        (
            "user add bob@nowhere.test --no-mailbox",
            "domain \"nowhere.test\" does not exist",
        ),
        ("user add ../x@example.test --no-mailbox", "not a usable address"),
        ("room show alice@example.test", "is a user, not a room"),
        ("user change alice@example.test --privileges fax", "is no service"),
        (
            "user change alice@example.test --quota much",
            "not a number of MiB",
        ),
        ("domain delete example.test", "still used by alice@example.test"),
        ("user frobnicate", "unrecognized subcommand"),
    ] {
        let told = refused(&data, line);
        assert!(told.contains(message), "{line}: {told}");
    }
    let directory = EmbeddedDirectory::open_in(data.path()).unwrap();
    assert_eq!(directory.snapshot().unwrap().len(), 1);
}
