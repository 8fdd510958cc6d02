use std::collections::HashMap;

use super::*;
use crate::{Severity, syntax::LineError};

#[derive(Default)]
struct Files(HashMap<PathBuf, &'static str>);

impl Files {
    fn new(files: &[(&str, &'static str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| (PathBuf::from(path), *text))
                .collect(),
        )
    }
}

impl Environment for Files {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(path) {
            Some(&"unreadable") => Err(io::ErrorKind::PermissionDenied.into()),
            content => Ok(content.map(|text| text.as_bytes().to_vec())),
        }
    }

    fn host_name(&self) -> String {
        "mail.example.org".to_owned()
    }
}

fn load(files: &[(&str, &'static str)]) -> (Configuration, Vec<Diagnostic>) {
    Configuration::load_from(&Source::default(), &Files::new(files))
}

fn texts(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn without_files_the_defaults_hold() {
    let (configuration, diagnostics) = load(&[]);
    assert_eq!(diagnostics, []);
    assert_eq!(
        configuration.duration(directive::IMAP_AUTOLOGOUT_TIME),
        Duration::from_mins(30)
    );
    assert_eq!(configuration.text(directive::imap::HOST_ID), "mail.example.org");
    assert_eq!(
        configuration.addresses(directive::IMAP_LISTEN),
        ["[::]:143".parse().unwrap()]
    );
    assert_eq!(configuration.size(directive::smtp::MAIL_MAX_LENGTH), 64 << 20);
    assert_eq!(
        configuration.compression(directive::EXMDB_FILE_COMPRESSION),
        Some(6)
    );
    assert_eq!(configuration.quantity(directive::EMSMDB_COMPRESS_THRESHOLD), -1);
    assert_eq!(
        configuration.hosts(directive::EXMDB_HOSTS_ALLOW),
        ["::1".parse::<IpAddr>().unwrap()]
    );
    assert_eq!(
        configuration.path(directive::DATA_PATH),
        Some(Path::new("/var/lib/gromox"))
    );
    assert_eq!(
        configuration.text(directive::SCHEMA_UPGRADE),
        "host:mail.example.org"
    );
    assert!(configuration.boolean(directive::IMAP_RFC9051));
    assert_eq!(
        configuration.setting(directive::IMAP_RFC9051.directive()).place,
        None
    );
}

#[test]
fn each_file_sets_its_own_directives_and_later_lines_win() {
    let (configuration, diagnostics) = load(&[
        (
            "/etc/gromox/imap.cfg",
            "context_num=10\nIMAP_Conn_Timeout = 1h30min\ncontext_num = 20\n",
        ),
        ("/etc/gromox/pop3.cfg", "context_num=30"),
    ]);
    assert_eq!(diagnostics, []);
    assert_eq!(configuration.size(directive::imap::CONTEXT_NUM), 20);
    assert_eq!(configuration.size(directive::pop3::CONTEXT_NUM), 30);
    assert_eq!(
        configuration.duration(directive::IMAP_CONN_TIMEOUT),
        Duration::from_mins(90)
    );
    assert_eq!(
        configuration
            .setting(directive::imap::CONTEXT_NUM.directive())
            .place,
        Some(Place {
            path: "/etc/gromox/imap.cfg".into(),
            line: 3
        })
    );
}

/// gromox(7): mysql_adaptor, loaded by http, tries its folder first.
#[test]
fn components_are_searched_in_the_folders_of_their_service() {
    let shared = (
        "/etc/gromox/mysql_adaptor.cfg",
        "mysql_host=shared\nmysql_dbname=other",
    );
    let own = ("/etc/gromox/http/mysql_adaptor.cfg", "mysql_host=own");
    let name = |configuration: &Configuration| {
        (
            configuration.text(directive::MYSQL_HOST).to_owned(),
            configuration.text(directive::MYSQL_DBNAME).to_owned(),
        )
    };
    assert_eq!(name(&load(&[shared]).0), ("shared".into(), "other".into()));
    // The first file that exists is the only one.
    assert_eq!(name(&load(&[shared, own]).0), ("own".into(), "email".into()));
    let elsewhere = [
        shared,
        ("/etc/gromox/http.cfg", "config_file_path=/srv/a:/srv/b"),
        ("/srv/b/mysql_adaptor.cfg", "mysql_host=b"),
    ];
    assert_eq!(name(&load(&elsewhere).0), ("b".into(), "email".into()));
}

#[test]
fn copies_for_single_services_are_told() {
    let (_, diagnostics) = load(&[
        ("/etc/gromox/mysql_adaptor.cfg", ""),
        ("/etc/gromox/imap/mysql_adaptor.cfg", "mysql_host=other"),
        ("/etc/gromox/pop3/authmgr.cfg", ""),
    ]);
    assert_eq!(
        texts(&diagnostics),
        [
            "/etc/gromox/pop3/authmgr.cfg: warning: is not read: all services share the file that \
             http.cfg's config_file_path finds",
            "/etc/gromox/imap/mysql_adaptor.cfg: warning: is not read: all services share \
             /etc/gromox/mysql_adaptor.cfg",
        ]
    );
}

#[test]
fn another_folder_replaces_the_default_one_everywhere() {
    let files = Files::new(&[
        ("/srv/etc/imap.cfg", "context_num=7"),
        ("/srv/etc/http/authmgr.cfg", "auth_backend_selection=allow_all"),
        ("/etc/gromox/http/authmgr.cfg", "auth_backend_selection=deny_all"),
    ]);
    let (configuration, diagnostics) =
        Configuration::load_from(&Source::Directory("/srv/etc".into()), &files);
    assert_eq!(diagnostics, []);
    assert_eq!(configuration.size(directive::imap::CONTEXT_NUM), 7);
    assert_eq!(configuration.text(directive::AUTH_BACKEND_SELECTION), "allow_all");
    assert_eq!(
        configuration.paths(directive::imap::CONFIG_FILE_PATH),
        [PathBuf::from("/srv/etc/imap"), PathBuf::from("/srv/etc")]
    );
}

#[test]
fn one_file_serves_all_services() {
    let files = Files::new(&[
        (
            "/x.cfg",
            "host_id=a.example\nimap.cfg:host_id=b.example\nimap_listen=[::1]:10143\n\
             shards=2\nconfig_file_path=/srv\nscan_interval=2min",
        ),
        ("/etc/gromox/imap.cfg", "context_num=7"),
        ("/srv/mysql_adaptor.cfg", "mysql_host=db\nscan_interval=3min"),
    ]);
    let (configuration, diagnostics) = Configuration::load_from(&Source::File("/x.cfg".into()), &files);
    assert!(
        diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity() == Severity::Note)
    );
    assert_eq!(configuration.text(directive::imap::HOST_ID), "b.example");
    assert_eq!(configuration.text(directive::pop3::HOST_ID), "a.example");
    assert_eq!(
        configuration.size(directive::imap::CONTEXT_NUM),
        200,
        "imap.cfg is not read"
    );
    assert_eq!(configuration.size(directive::SHARDS), 2);
    assert_eq!(configuration.text(directive::MYSQL_HOST), "db");
    assert_eq!(
        configuration.duration(directive::SCAN_INTERVAL),
        Duration::from_mins(2)
    );
}

#[test]
fn problems_are_told_with_their_place() {
    let (configuration, diagnostics) = load(&[(
        "/etc/gromox/imap.cfg",
        "imap_autologut_time=5min\nimap_listen=[::1]:10143\nimap_log_level=9\n\
         imap_conn_timeout=soon\nnonsense\ncolour=red\ncontext_average_mem=1M\n",
    )]);
    assert_eq!(
        texts(&diagnostics),
        [
            "/etc/gromox/imap.cfg:5: warning: the line is no key=value pair; it is left out",
            "/etc/gromox/imap.cfg:1: warning: there is no directive imap_autologut_time; \
             did you mean imap.cfg:imap_autologout_time?",
            "/etc/gromox/imap.cfg:2: warning: imap_listen is not read here; it belongs into gromox.cfg",
            "/etc/gromox/imap.cfg:3: warning: imap_log_level=9 is out of range (number, 1 to 6); 6 is used",
            "/etc/gromox/imap.cfg:4: error: imap_conn_timeout: `soon` does not begin with a number",
            "/etc/gromox/imap.cfg:6: warning: there is no directive colour",
            "/etc/gromox/imap.cfg:7: note: context_average_mem: no effect: memory is taken when it is needed",
        ]
    );
    assert_eq!(
        configuration.duration(directive::IMAP_CONN_TIMEOUT),
        Duration::from_mins(3)
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let (_, diagnostics) = load(&[("/etc/gromox/imap.cfg", "unreadable")]);
    assert_eq!(diagnostics[0].severity(), Severity::Error);
    let missing = Configuration::load_from(&Source::File("/none".into()), &Files::default());
    assert_eq!(
        texts(&missing.1),
        ["/none: error: can't be read: there is no such file"]
    );
    let (_, diagnostics) =
        Configuration::load_from(&Source::File("/x".into()), &Files::new(&[("/x", "unreadable")]));
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
}

#[test]
fn a_repeated_directive_collects_its_lines() {
    let files = [(
        "/etc/gromox/ldap_adaptor.cfg",
        "ldap_user_template=common\nldap_user_template=OpenLDAP",
    )];
    let (configuration, _) = load(&files);
    assert_eq!(
        configuration.texts(directive::LDAP_USER_TEMPLATE),
        ["common", "OpenLDAP"]
    );
    let (configuration, _) = Configuration::from_text("ldap_user_template=a\nldap_user_template=b");
    assert_eq!(configuration.texts(directive::LDAP_USER_TEMPLATE), ["a", "b"]);
}

#[test]
fn changes_are_split_by_what_applies_them() {
    let (old, _) = Configuration::from_text("log_level=4");
    let (new, _) = Configuration::from_text("log_level=6\nshards=3\n");
    let changes = old.changes(&new);
    assert_eq!(changes.reloadable, [directive::LOG_LEVEL.directive()]);
    assert_eq!(changes.restart, [directive::SHARDS.directive()]);
    assert_eq!(old.changes(&old), Changes::default());
}

#[test]
fn suggestions_have_a_limit() {
    let (_, diagnostics) = Configuration::from_text(&"shard=1\n".repeat(SUGGESTIONS_MAX + 1));
    let suggestions = diagnostics
        .iter()
        .filter(|diagnostic| matches!(diagnostic.problem, Problem::UnknownName { nearest: Some(_), .. }));
    assert_eq!(diagnostics.len(), SUGGESTIONS_MAX + 1);
    assert_eq!(suggestions.count(), SUGGESTIONS_MAX);
}

#[test]
fn any_bytes_are_survived() {
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    struct Garbage(Vec<u8>);
    impl Environment for Garbage {
        fn read(&self, _: &Path) -> io::Result<Option<Vec<u8>>> {
            Ok(Some(self.0.clone()))
        }

        fn host_name(&self) -> String {
            String::new()
        }
    }
    let (configuration, diagnostics) = Configuration::load_from(&Source::default(), &Garbage(garbage));
    assert_eq!(configuration, Configuration::defaults(""));
    assert!(diagnostics.iter().any(|diagnostic| matches!(
        diagnostic.problem,
        Problem::Line(LineError::NotUtf8 | LineError::NoEqualsSign)
    )));
}
