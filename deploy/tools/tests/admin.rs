//! `ringpost admin` as it is typed, and what the directory says afterwards.

use std::path::{Path, PathBuf};

use ringpost_directory::{
    AccountKind, Administration, Directory, EmbeddedDirectory, LoginBackend as _, SendPolicy, password,
};
use ringpost_store::{Mailbox, MailboxKind, OpenOptions};
use ringpost_tools::admin::{self, Input};
use serde_json::Value;
use tempfile::TempDir;

/// What it prints.
fn try_words<'a>(words: impl IntoIterator<Item = &'a str>, input: &str) -> anyhow::Result<String> {
    let command = admin::command();
    let matches = command
        .clone()
        .try_get_matches_from(std::iter::once("admin").chain(words))?;
    let mut output = Vec::new();
    let root = clap::Command::new("ringpost").subcommand(command);
    admin::run_with(&matches, root, Input::Text(input.as_bytes()), &mut output)?;
    Ok(String::from_utf8(output)?)
}

fn try_run(data: &TempDir, line: &str, input: &str) -> anyhow::Result<String> {
    let path = data.path().to_str().unwrap();
    try_words(["--data", path].into_iter().chain(line.split(' ')), input)
}

fn run(data: &TempDir, line: &str) -> String {
    try_run(data, line, "").unwrap_or_else(|error| panic!("{line}: {error:#}"))
}

fn refused(data: &TempDir, line: &str) -> String {
    format!("{:#}", try_run(data, line, "").expect_err(line))
}

fn json(data: &TempDir, line: &str) -> Value {
    let text = run(data, line);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
}

fn open(directory: &Path) -> Mailbox {
    Mailbox::open(directory, &OpenOptions::default()).unwrap()
}

fn hash_of(data: &TempDir, address: &str) -> String {
    let directory = EmbeddedDirectory::open_in(data.path()).unwrap();
    directory.login_record(address).unwrap().unwrap().password_hash
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
        "send-as add info@example.test bob@example.test",
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
    assert_eq!(info.send_as, ["rob@example.test"]);
    let info = snapshot.account("info@example.test").unwrap();
    for (user, may) in [("info", true), ("alice", true), ("rob", true), ("carol", false)] {
        assert_eq!(
            snapshot.may_send_as(&info, &format!("{user}@example.test")),
            may,
            "{user}"
        );
    }
    assert!(!snapshot.may_send_as(&alice, "rob@example.test"));
    let properties = directory.properties("alice@example.test").unwrap();
    assert!(properties.contains(&(0x3a17_001f, "Engineer".to_owned())));

    run(&data, "sender add team@example.test boss@elsewhere.test");
    for (line, shown) in [
        ("alias list alice@example.test", "ALIAS\nsales@example.test\n"),
        ("member list team@example.test", "MEMBER\nalice@example.test\n"),
        ("sender list team@example.test", "SENDER\nboss@elsewhere.test\n"),
        ("owner list info@example.test", "OWNER\nalice@example.test\n"),
        ("send-as list info@example.test", "SENDS\nrob@example.test\n"),
    ] {
        assert_eq!(run(&data, line), shown);
    }
    assert_eq!(
        json(&data, "--json member list team@example.test"),
        serde_json::json!(["alice@example.test"])
    );
    assert!(refused(&data, "member list alice@example.test").contains("is not a list"));

    assert!(refused(&data, "send-as add info@example.test rob@example.test").contains("right to send"));
    assert!(refused(&data, "send-as add info@example.test team@example.test").contains("only a user"));
    run(&data, "send-as remove info@example.test rob@example.test");
    assert!(refused(&data, "send-as remove info@example.test rob@example.test").contains("right to send"));
    run(&data, "user delete rob@example.test");
    run(&data, "alias remove alice@example.test sales@example.test");
    let snapshot = directory.snapshot().unwrap();
    assert!(snapshot.account("rob@example.test").is_none());
    assert!(snapshot.account("sales@example.test").is_none());
}

#[test]
fn the_password_typed_is_the_one_that_logs_in() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "user add alice@example.test --no-mailbox --password demo");
    let hash = || hash_of(&data, "alice@example.test");
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

#[test]
fn an_account_comes_with_its_mailbox() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(
        &data,
        "user add Alice@Example.test --password demo --locale de_DE",
    );
    run(&data, "room add room1@example.test");
    let shown = json(&data, "--json user show alice@example.test");
    assert_eq!(shown["username"], "alice@example.test");
    assert_eq!(shown["has_password"], true);
    let path = PathBuf::from(shown["mailbox"].as_str().unwrap());
    assert!(path.is_absolute(), "{path:?}");
    assert_eq!(path, data.path().join("mailboxes/alice@example.test"));
    let mut mailbox = open(&path);
    assert_eq!(mailbox.kind(), MailboxKind::Private);
    assert_eq!(shown["mailbox_guid"], mailbox.guid().0.to_string().as_str());
    let report = mailbox.check(false).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let room = json(&data, "room show room1@example.test --json");
    open(Path::new(room["mailbox"].as_str().unwrap()));

    // The mailbox of who had the address before stays his: a new account gets another.
    drop(mailbox);
    run(&data, "user delete alice@example.test");
    run(&data, "user add alice@example.test");
    let second = json(&data, "--json user show alice@example.test");
    assert_ne!(shown["mailbox_guid"], second["mailbox_guid"]);
    assert_ne!(shown["mailbox"], second["mailbox"]);
    open(&path);
    open(Path::new(second["mailbox"].as_str().unwrap()));
}

#[test]
fn a_mailbox_can_be_elsewhere_and_goes_when_its_account_is_refused() {
    let data = TempDir::new().unwrap();
    let other = TempDir::new().unwrap();
    let place = other.path().join("deep/alice");
    run(&data, "domain add example.test --max-users 1");
    run(
        &data,
        &format!("user add alice@example.test --maildir {}", place.display()),
    );
    let shown = json(&data, "--json user show alice@example.test");
    assert_eq!(shown["mailbox"], place.to_str().unwrap());
    open(&place);
    let told = refused(&data, "user add bob@example.test");
    assert!(told.contains("the limit of 1 would be passed"), "{told}");
    assert!(!data.path().join("mailboxes/bob@example.test").exists());
    let taken = format!("user add bob@example.test --maildir {}", place.display());
    assert!(refused(&data, &taken).contains("exists already"));
    open(&place);
}

#[test]
fn a_domain_gets_a_public_store() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "domain add-public-store example.test");
    let domains = json(&data, "--json domain list");
    let path = PathBuf::from(domains[0]["public_store"].as_str().unwrap());
    assert_eq!(path, data.path().join("mailboxes/public-example.test"));
    let mut store = open(&path);
    assert_eq!(store.kind(), MailboxKind::Public);
    assert!(store.check(false).unwrap().is_clean());
    drop(store);
    run(&data, "domain remove-public-store example.test");
    assert_eq!(json(&data, "--json domain list")[0]["public_store"], Value::Null);
    open(&path);
}

#[test]
fn lists_are_tables_or_json() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "user add alice@example.test --no-mailbox --name Alice");
    run(&data, "user add bob@example.test --no-mailbox --status suspended");
    run(&data, "alias add alice@example.test sales@example.test");
    assert_eq!(
        run(&data, "user list"),
        "ADDRESS             NAME   STATUS     ALIASES\n\
         alice@example.test  Alice  active     sales@example.test\n\
         bob@example.test    bob    suspended\n"
    );
    assert_eq!(
        run(&data, "domain list"),
        "NAME          STATUS  ACCOUNTS  ORGANISATION  ALIASES\nexample.test  active  2\n"
    );
    let users = json(&data, "user list --json");
    assert_eq!(users.as_array().unwrap().len(), 2);
    assert_eq!(users[0]["aliases"][0], "sales@example.test");
    assert_eq!(users[1]["status"], "suspended");
    assert_eq!(
        json(&data, "user list --json sales")[0]["username"],
        "alice@example.test"
    );
    assert_eq!(json(&data, "user list --json ALI")[0]["display_name"], "Alice");
    assert_eq!(json(&data, "room list --json"), Value::Array(Vec::new()));
    let shown = run(&data, "user show alice@example.test");
    for line in ["username         alice@example.test", "privileges.imap  true"] {
        let wanted: Vec<&str> = line.split_whitespace().collect();
        assert!(
            shown
                .lines()
                .any(|line| line.split_whitespace().eq(wanted.clone())),
            "{line}: {shown}"
        );
    }
}

#[test]
fn a_password_is_read_from_the_standard_input() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    let add = "user add alice@example.test --no-mailbox --password-stdin";
    try_run(&data, add, "p\u{e4}ss, \"word\" \r\nsecond line\n").unwrap();
    let hash = hash_of(&data, "alice@example.test");
    assert_eq!(password::verify("p\u{e4}ss, \"word\" ", &hash), Ok(true));
    let change = "user change alice@example.test --password-stdin";
    try_run(&data, change, "no line end").unwrap();
    let hash = hash_of(&data, "alice@example.test");
    assert_eq!(password::verify("no line end", &hash), Ok(true));
    let longest = "x".repeat(password::PASSWORD_MAX);
    try_run(&data, change, &format!("{longest}\r\n")).unwrap();
    for (input, message) in [
        ("", "is empty"),
        ("\nsecond\n", "is empty"),
        (&*format!("{longest}x\n"), "longer than 1024 octets"),
        (&*format!("{longest}{longest}"), "longer than 1024 octets"),
    ] {
        let told = try_run(&data, change, input).unwrap_err().to_string();
        assert!(told.contains(message), "{told}");
    }
    let hash = hash_of(&data, "alice@example.test");
    assert_eq!(password::verify(&longest, &hash), Ok(true), "unchanged");
    let both = refused(&data, &format!("{change} --password demo"));
    assert!(both.contains("cannot be used with"), "{both}");
}

#[test]
fn the_configuration_file_tells_the_data_folder() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("gromox.cfg");
    std::fs::write(&file, format!("data_path = {}\n", data.display())).unwrap();
    let file = file.to_str().unwrap();
    let run = |line: &str| try_words(["-c", file].into_iter().chain(line.split(' ')), "");
    run("domain add example.test").unwrap();
    run("domain add-public-store example.test").unwrap();
    run("user add alice@example.test --password demo").unwrap();
    // Where gromox(7) has them.
    open(&data.join("user/alice@example.test"));
    open(&data.join("domain/public-example.test"));
    assert!(data.join("directory.sqlite3").exists());
    let missing = try_words(["-c", "/nonexistent/gromox.cfg", "user", "list"], "").unwrap_err();
    assert!(
        format!("{missing:#}").contains("/nonexistent/gromox.cfg"),
        "{missing:#}"
    );
    let both = try_words(["-c", file, "--data", "x", "user", "list"], "").unwrap_err();
    assert!(both.to_string().contains("cannot be used with"), "{both}");
}

#[test]
fn the_data_folder_may_be_relative() {
    // Relative to where the tests run, the package's folder.
    let here = std::env::current_dir().unwrap();
    let folder = TempDir::new_in(&here).unwrap();
    let relative = folder.path().strip_prefix(&here).unwrap().to_str().unwrap();
    let run = |line: &str| try_words(["--data", relative].into_iter().chain(line.split(' ')), "").unwrap();
    run("domain add example.test");
    run("user add alice@example.test --password demo");
    let shown: Value = serde_json::from_str(&run("--json user show alice@example.test")).unwrap();
    let place = folder.path().join("mailboxes/alice@example.test");
    assert_eq!(shown["mailbox"], place.to_str().unwrap());
    open(&place);
    // The whole folder can be moved: what is in it is found again.
    let moved = TempDir::new().unwrap();
    let moved = moved.path().join("data");
    std::fs::rename(folder.path(), &moved)
        .or_else(|_| copy_tree(folder.path(), &moved))
        .unwrap();
    let directory = EmbeddedDirectory::open_in(&moved).unwrap();
    let record = directory.account_record("alice@example.test").unwrap();
    open(&record.mailbox.unwrap());
}

/// Where the two are on different file systems.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn shells_complete_the_commands() {
    for (shell, expected) in [
        ("bash", "complete -F _ringpost"),
        ("zsh", "#compdef ringpost"),
        ("fish", "complete -c ringpost"),
    ] {
        let script = try_words(["completions", shell], "").unwrap();
        assert!(script.contains(expected), "{shell}");
        // The generator's script for fish ends at the third word.
        let options = if shell == "fish" {
            "import"
        } else {
            "--password-stdin"
        };
        for word in ["admin", "add-public-store", "import", options] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn many_users_are_imported() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test");
    run(&data, "domain add-alias example.test example.org");
    run(&data, "user add alice@example.test --no-mailbox");
    let lines = "# staff\n\
                 Bob@example.test\r\n\
                 \n\
                 carol@example.org,secret,Carol Cole\n\
                 dave@example.test,,\"Doe, \"\"Dave\"\"\"\n\
                 erin@example.test,\"a,b\"\n";
    let told = try_run(&data, "user import --password demo -", lines).unwrap();
    assert_eq!(told, "4 created, 0 left out\n");
    for (address, word, name) in [
        ("bob", "demo", "bob"),
        ("carol", "secret", "Carol Cole"),
        ("dave", "demo", "Doe, \"Dave\""),
        ("erin", "a,b", "erin"),
    ] {
        let address = format!("{address}@example.test");
        let shown = json(&data, &format!("--json user show {address}"));
        assert_eq!(shown["display_name"], name);
        assert_eq!(password::verify(word, &hash_of(&data, &address)), Ok(true));
        let mailbox = open(Path::new(shown["mailbox"].as_str().unwrap()));
        assert_eq!(shown["mailbox_guid"], mailbox.guid().0.to_string().as_str());
    }

    // From a file, again, with one more.
    let file = data.path().join("lines");
    std::fs::write(&file, format!("{lines}frank@example.test\n")).unwrap();
    let import = format!(
        "--json user import --no-mailbox --skip-existing {}",
        file.display()
    );
    let outcome = json(&data, &import);
    assert_eq!((&outcome["created"], &outcome["skipped"]), (&1.into(), &4.into()));
    let frank = json(&data, "--json user show frank@example.test");
    assert_eq!(
        (&frank["has_password"], &frank["mailbox"]),
        (&false.into(), &Value::Null)
    );
}

#[test]
fn an_import_with_mistakes_creates_nothing() {
    let data = TempDir::new().unwrap();
    run(&data, "domain add example.test --max-users 3");
    run(&data, "user add alice@example.test --no-mailbox");
    let lines = "bob@example.test\n\
                 alice@example.test\n\
                 bob@example.test\n\
                 carol@elsewhere.test\n\
                 no address\n\
                 dave@example.test,x,Doe, Dave\n\
                 erin@example.test,\"open\nfrank@example.test\n";
    let told = try_run(&data, "user import -", lines).unwrap_err().to_string();
    for mistake in [
        "line 2: alice@example.test exists already",
        "line 3: bob@example.test is on an earlier line too",
        "line 4: domain elsewhere.test does not exist",
        "line 5: \"no address\" is not a usable address",
        "line 6: more than three fields",
        "line 7: a quote is not closed",
    ] {
        assert!(told.contains(mistake), "{mistake}: {told}");
    }
    assert!(!told.contains("line 1"), "{told}");
    // What only the directory can tell: none of the batch, and its mailboxes go again.
    let told = try_run(
        &data,
        "user import -",
        "b@example.test\nc@example.test\nd@example.test",
    )
    .unwrap_err();
    let told = format!("{told:#}");
    assert!(
        told.contains("stopped after 0 accounts") && told.contains("limit of 3"),
        "{told}"
    );
    let mailboxes = std::fs::read_dir(data.path().join("mailboxes")).unwrap();
    assert_eq!(mailboxes.count(), 0);
    assert_eq!(json(&data, "--json user list").as_array().unwrap().len(), 1);
    let told = refused(&data, "contact import -");
    assert!(told.contains("a contact can't be imported"), "{told}");
    let told = refused(&data, "user import /nonexistent");
    assert!(told.contains("can't read /nonexistent"), "{told}");
}
