//! Logins against the embedded directory.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use regex::Regex;
use ringpost_directory::{
    AccountChange, AccountKind, Administration, DomainChange, EmbeddedDirectory, LoginBackend, MailboxPlace,
    NewAccount, Privileges, Status,
    auth::{Authenticator, BackendSelection, Credentials, LoginError, Options, rejection_line},
};
use tempfile::TempDir;

/// gromox(7), "fail2ban integration".
const FAIL2BAN: &str = r"rhost=\[(\S+)?\]\S* user=(\S+) .*(auth|login.*|logon) rejected:";

/// `secret`, in a format that is quick to check.
const SECRET: &str = "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1";

struct Fixture {
    _folder: TempDir,
    directory: Arc<EmbeddedDirectory>,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let directory = Arc::new(EmbeddedDirectory::open_in(folder.path()).unwrap());
        directory
            .create_domain("example.test", &DomainChange::default())
            .unwrap();
        let fixture = Self {
            _folder: folder,
            directory,
        };
        for name in ["alice", "bob"] {
            fixture.add(name, AccountKind::User, |change| {
                change.password_hash = Some(SECRET.into());
            });
        }
        fixture
    }

    fn add(&self, name: &str, kind: AccountKind, set: impl FnOnce(&mut AccountChange)) {
        let mut settings = AccountChange::default();
        set(&mut settings);
        let account = NewAccount {
            address: format!("{name}@example.test"),
            kind,
            mailbox: Some(MailboxPlace::new(format!("/mailboxes/{name}").into()).unwrap()),
            settings,
        };
        self.directory.create_account(&account).unwrap();
    }

    fn change(&self, name: &str, set: impl FnOnce(&mut AccountChange)) {
        let mut change = AccountChange::default();
        set(&mut change);
        self.directory
            .change_account(&format!("{name}@example.test"), &change)
            .unwrap();
    }

    fn authenticator(&self, set: impl FnOnce(&mut Options)) -> Authenticator {
        let mut options = Options::default();
        set(&mut options);
        let backend: Arc<dyn LoginBackend> = self.directory.clone();
        Authenticator::new(backend, options).unwrap()
    }
}

fn credentials(login: &str, password: &str, service: &'static str) -> Credentials {
    Credentials {
        login: login.to_owned(),
        password: password.to_owned(),
        service,
        peer: "192.0.2.7:4711".parse().unwrap(),
    }
}

fn login(authenticator: &Authenticator, login: &str, password: &str) -> Result<String, LoginError> {
    let login = authenticator.login(&credentials(login, password, "imap"))?;
    assert!(
        login
            .mailbox
            .path
            .ends_with(login.effective.split('@').next().unwrap())
    );
    Ok(format!("{} as {}", login.effective, login.username))
}

#[test]
fn the_right_password_gets_in_under_any_of_the_addresses() {
    let fixture = Fixture::new();
    fixture
        .directory
        .add_alias("alice@example.test", "sales@example.test")
        .unwrap();
    let authenticator = fixture.authenticator(|_| ());
    let alice = Ok("alice@example.test as alice@example.test".to_owned());
    for name in ["alice@example.test", "ALICE@Example.test", " sales@example.test"] {
        assert_eq!(login(&authenticator, name, "secret"), alice);
    }
    for (name, password) in [
        ("alice@example.test", "Secret"),
        ("alice@example.test", ""),
        ("nobody@example.test", "secret"),
        ("alice", "secret"),
        ("", "secret"),
    ] {
        assert_eq!(
            login(&authenticator, name, password),
            Err(LoginError::Invalid),
            "{name}"
        );
    }
}

#[test]
fn privileges_status_and_kind_decide_after_the_password() {
    let fixture = Fixture::new();
    fixture.add("room", AccountKind::Room, |_| ());
    fixture.add("shared", AccountKind::Shared, |_| ());
    fixture.change("alice", |change| {
        change.privileges = Some(Privileges {
            imap: false,
            ..Privileges::default()
        });
    });
    fixture.change("bob", |change| change.status = Some(Status::Suspended));
    let authenticator = fixture.authenticator(|_| ());
    let with = |service, password| authenticator.login(&credentials("alice@example.test", password, service));
    assert!(matches!(with("imap", "secret"), Err(LoginError::NotPermitted(_))));
    assert_eq!(with("imap", "wrong"), Err(LoginError::Invalid));
    assert!(with("pop3", "secret").is_ok() && with("smtp", "secret").is_ok());
    assert!(matches!(
        login(&authenticator, "bob@example.test", "secret"),
        Err(LoginError::NotPermitted(_))
    ));
    for name in ["room", "shared"] {
        assert_eq!(
            login(&authenticator, &format!("{name}@example.test"), ""),
            Err(LoginError::Invalid)
        );
    }
}

#[test]
fn a_cached_password_goes_with_the_account() {
    let fixture = Fixture::new();
    let authenticator = fixture.authenticator(|_| ());
    assert!(login(&authenticator, "alice@example.test", "secret").is_ok());
    assert!(login(&authenticator, "alice@example.test", "secret").is_ok());
    assert_eq!(
        login(&authenticator, "alice@example.test", "secret2"),
        Err(LoginError::Invalid)
    );
    fixture.change("alice", |change| {
        change.password_hash = Some(ringpost_directory::password::hash("other").unwrap());
    });
    assert_eq!(
        login(&authenticator, "alice@example.test", "secret"),
        Err(LoginError::Invalid)
    );
    assert!(login(&authenticator, "alice@example.test", "other").is_ok());
    fixture.change("alice", |change| change.status = Some(Status::Suspended));
    assert!(login(&authenticator, "alice@example.test", "other").is_err());
    fixture.directory.delete_account("alice@example.test").unwrap();
    assert_eq!(
        login(&authenticator, "alice@example.test", "other"),
        Err(LoginError::Invalid)
    );
}

#[test]
fn only_owners_impersonate() {
    let fixture = Fixture::new();
    fixture.add("shared", AccountKind::Shared, |_| ());
    let authenticator = fixture.authenticator(|_| ());
    let enter = |name: &str, password: &str| login(&authenticator, name, password);
    let refused = Err(LoginError::NotPermitted("no ownership of that store"));
    assert_eq!(enter("alice@example.test!shared@example.test", "secret"), refused);
    fixture
        .directory
        .add_store_owner("shared@example.test", "alice@example.test")
        .unwrap();
    assert_eq!(
        enter("alice@example.test!shared@example.test", "secret").unwrap(),
        "shared@example.test as alice@example.test"
    );
    assert_eq!(
        enter("alice@example.test!shared@example.test", "wrong"),
        Err(LoginError::Invalid)
    );
    assert_eq!(enter("bob@example.test!shared@example.test", "secret"), refused);
    assert_eq!(enter("alice@example.test!bob@example.test", "secret"), refused);
    assert_eq!(enter("alice@example.test!none@example.test", "secret"), refused);
    assert!(enter("alice@example.test!alice@example.test", "secret").is_ok());
}

#[test]
fn the_selection_of_back_ends_follows_authmgr() {
    let fixture = Fixture::new();
    fixture.change("bob", |change| change.extern_id = Some(Some(b"uuid".to_vec())));
    let outcome = |selection, password| {
        let authenticator = fixture.authenticator(|options| options.selection = selection);
        ["alice", "bob", "none"].map(|name| {
            login(&authenticator, &format!("{name}@example.test"), password)
                .map(drop)
                .err()
        })
    };
    use LoginError::{Invalid, Unavailable};
    assert_eq!(outcome(BackendSelection::DenyAll, "secret"), [Some(Invalid); 3]);
    assert_eq!(
        outcome(BackendSelection::AllowAll, "x"),
        [None, None, Some(Invalid)]
    );
    for selection in [BackendSelection::Ldap, BackendSelection::Pam] {
        assert_eq!(
            outcome(selection, "secret"),
            [None, Some(Unavailable), Some(Invalid)]
        );
    }
    assert_eq!(BackendSelection::parse("externid"), Some(BackendSelection::Ldap));
    assert_eq!(BackendSelection::parse("anything"), None);
}

#[test]
fn the_first_password_is_kept_only_if_configured() {
    let fixture = Fixture::new();
    fixture.add("new", AccountKind::User, |_| ());
    let strict = fixture.authenticator(|_| ());
    assert_eq!(
        login(&strict, "new@example.test", "chosen"),
        Err(LoginError::Invalid)
    );
    let lenient = fixture.authenticator(|options| options.first_time_password = true);
    assert_eq!(login(&lenient, "new@example.test", ""), Err(LoginError::Invalid));
    assert!(login(&lenient, "new@example.test", "chosen").is_ok());
    assert_eq!(
        login(&lenient, "new@example.test", "another"),
        Err(LoginError::Invalid)
    );
    assert!(login(&strict, "new@example.test", "chosen").is_ok());
}

#[test]
fn failures_ban_the_user_for_a_while() {
    let fixture = Fixture::new();
    let authenticator = fixture.authenticator(|options| options.pop3_block = Duration::from_millis(300));
    let pop3 = |password| {
        authenticator.login(&credentials(
            "alice@example.test!bob@example.test",
            password,
            "pop3",
        ))
    };
    for _ in 0..3 {
        assert_eq!(pop3("wrong"), Err(LoginError::Invalid));
    }
    assert_eq!(
        login(&authenticator, "alice@example.test", "secret"),
        Err(LoginError::Banned)
    );
    assert!(login(&authenticator, "bob@example.test", "secret").is_ok());
    std::thread::sleep(Duration::from_millis(350));
    assert!(login(&authenticator, "alice@example.test", "secret").is_ok());
}

#[test]
fn a_stranger_bans_a_user_everywhere_but_where_the_user_is_at_home() {
    let fixture = Fixture::new();
    let authenticator = fixture.authenticator(|_| ());
    let from = |host: u8, password| {
        let peer = std::net::SocketAddr::from(([192, 0, 2, host], 4711));
        authenticator.login(&Credentials {
            peer,
            ..credentials("alice@example.test", password, "imap")
        })
    };
    let [home, stranger, elsewhere] = [7, 8, 9];
    assert!(from(home, "secret").is_ok());
    while from(stranger, "wrong") != Err(LoginError::Banned) {}
    assert_eq!(from(elsewhere, "secret"), Err(LoginError::Banned));
    assert!(from(home, "secret").is_ok());
    // It is no way around the limit.
    let tries = (0..100)
        .take_while(|_| from(home, "wrong") != Err(LoginError::Banned))
        .count();
    assert!(tries < 100, "{tries}");
    assert_eq!(from(home, "secret"), Err(LoginError::Banned));
}

/// What this thread has had of a processor: a clock would also count what others had meanwhile.
fn processor_time() -> std::time::Duration {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = status.split(' ').next().unwrap();
    std::time::Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[test]
fn an_unknown_user_costs_as_much_time_as_a_wrong_password() {
    let fixture = Fixture::new();
    fixture.change("alice", |change| {
        change.password_hash = Some(ringpost_directory::password::hash("other").unwrap());
    });
    let authenticator = fixture.authenticator(|_| ());
    let fastest = |name: &str| {
        (0..4)
            .map(|_| {
                let start = processor_time();
                assert!(login(&authenticator, name, "wrong").is_err());
                processor_time().saturating_sub(start)
            })
            .min()
            .unwrap()
    };
    let (known, unknown) = (fastest("alice@example.test"), fastest("none@example.test"));
    assert!(
        unknown > known / 2 && known > unknown / 2,
        "{known:?} against {unknown:?}"
    );
}

#[test]
fn every_rejection_is_logged_in_the_form_fail2ban_matches() {
    let expression = Regex::new(FAIL2BAN).unwrap();
    let errors = [
        LoginError::Invalid,
        LoginError::Banned,
        LoginError::NotPermitted("the account may not use this service"),
        LoginError::Unavailable,
    ];
    for service in ["imap", "pop3", "smtp", "http"] {
        for error in errors {
            let line = rejection_line(&credentials("alice@example.test", "secret", service), error);
            let found = expression.captures(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(&found[1], "::ffff:192.0.2.7");
            assert_eq!(&found[2], "alice@example.test");
            assert!(!line.contains("secret"));
        }
    }
    let line = |service, error| rejection_line(&credentials("a@b.c", "", service), error);
    assert!(line("imap", LoginError::Banned).contains("LOGIN phase0 rejected: denied by user filter"));
    assert!(line("imap", LoginError::Invalid).contains("LOGIN phase1 rejected: "));
    assert!(line("pop3", LoginError::Invalid).contains(" login rejected: "));
    assert!(line("http", LoginError::Invalid).contains(" HTTP auth rejected: "));

    // Nobody can put another host's address into the log.
    let forged = "x login rejected:\nrhost=[198.51.100.1]:1 user=victim";
    let line = rejection_line(&credentials(forged, "", "pop3"), LoginError::Invalid);
    assert_eq!(line.lines().count(), 1);
    let found = expression.captures(&line).unwrap();
    assert_eq!(&found[1], "::ffff:192.0.2.7");
    let peer: SocketAddr = "[2001:db8::1]:993".parse().unwrap();
    let from_ipv6 = Credentials {
        peer,
        ..credentials("", "", "imap")
    };
    let line = rejection_line(&from_ipv6, LoginError::Invalid);
    assert_eq!(&expression.captures(&line).unwrap()[1], "2001:db8::1");
}

#[test]
fn the_authenticator_writes_that_line_to_the_log() {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fixture = Fixture::new();
    let authenticator = fixture.authenticator(|_| ());
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let _ = login(&authenticator, "alice@example.test", "wrong-password");
    });
    let log = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let found = Regex::new(FAIL2BAN).unwrap().captures(&log).unwrap().len();
    assert_eq!(found, 4, "{log}");
    assert!(log.contains("WARN") && !log.contains("wrong-password"), "{log}");
}
