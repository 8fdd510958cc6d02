//! The whole server on loopback, unprivileged, with a domain, users and messages to look at.

mod certificate;
mod messages;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use ringpost_config::Configuration;
use ringpost_directory::{
    AccountChange, AccountKind, Administration, DomainChange, EmbeddedDirectory, MailboxPlace, NewAccount,
    password,
};
use ringpost_mapi::FileTime;
use ringpost_store::{
    CreateOptions, Flags, Mailbox, MailboxKind, OpenOptions, Placement, PreparedMessage, folder::built_in,
};
use serde_json::json;

use crate::serve;

const DOMAIN: &str = "example.test";
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const PASSWORD: &str = "demo";
/// Ports are the standard ones plus the base.
const SERVICES: [(&str, &str, u16); 8] = [
    ("lmtp", "lda_listen", 24),
    ("admin", "admin_listen", 99),
    ("pop3", "pop3_listen", 110),
    ("imap", "imap_listen", 143),
    ("submissions", "submission_listen_tls", 465),
    ("submission", "submission_listen", 587),
    ("imaps", "imap_listen_tls", 993),
    ("pop3s", "pop3_listen_tls", 995),
];
/// Where the built-in Sent folder gets its few messages from: every so many of the inbox.
const SENT_SHARE: u32 = 10;

/// Serves on loopback, unprivileged, with a demo domain and messages.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where accounts and mailboxes are kept; the next start finds them again.
    #[arg(long, value_name = "DIR", default_value = "ringpost-demo")]
    data: PathBuf,
    /// Added to the standard ports.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(0..=64_000))]
    port_base: u16,
    /// Cores that serve mailboxes; 0 is all of them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    shards: u16,
}

/// Fills the data folder at the first start, then serves until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options) -> Result<()> {
    let data = &options.data;
    fs::create_dir_all(data).with_context(|| data.display().to_string())?;
    let data = &fs::canonicalize(data)?;
    let _alone = serve::lock(data)?;
    let ready = data.join("ready.json");
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    certificate::ensure(data)?;
    let (configuration, diagnostics) = Configuration::from_text(&configuration(options, data));
    crate::logging::init_with(&configuration)?;
    for diagnostic in &diagnostics {
        tracing::warn!("{diagnostic}");
    }
    fill(data).context("making the demo's accounts and messages")?;
    serve::run(&configuration, data, None, |_| {
        let ports: serde_json::Map<_, _> = SERVICES
            .iter()
            .map(|(name, _, port)| ((*name).to_owned(), json!(port + options.port_base)))
            .collect();
        let users: Vec<_> = USERS
            .iter()
            .map(|user| json!({"address": format!("{user}@{DOMAIN}"), "password": PASSWORD}))
            .collect();
        let content = json!({"ports": ports, "users": users, "pid": std::process::id()});
        // Renamed into place: who waits for the file never reads half of it.
        let unfinished = data.join("ready.json.tmp");
        fs::write(&unfinished, format!("{content:#}\n"))?;
        fs::rename(&unfinished, &ready)?;
        print!("{}", welcome(options.port_base, data));
        Ok(())
    })
}

/// The demo's configuration in the manual's syntax: what it does, an administrator can write down.
fn configuration(options: &Options, data: &Path) -> String {
    let mut text = format!(
        "data_path={0}\nshards={1}\nlog_level=3\nlda_recipient_delimiter=+\n\
         imap.cfg:host_id=localhost\npop3.cfg:host_id=localhost\nsmtp.cfg:host_id=localhost\n\
         enable_rfc2971_commands=yes\nimap_support_tls=yes\npop3_support_tls=yes\nsmtp_support_starttls=yes\n\
         imap.cfg:context_num=20000\npop3.cfg:context_num=20000\nsmtp.cfg:context_num=20000\nsubmission_context_num=20000\nlda_listen_tls=\nshutdown_time=5s\n",
        data.display(),
        options.shards,
    );
    for service in ["imap", "pop3", "smtp"] {
        let _ = writeln!(
            text,
            "{service}_certificate_path={}/certificate.pem",
            data.display()
        );
        let _ = writeln!(text, "{service}_private_key_path={}/key.pem", data.display());
    }
    for (_, directive, port) in SERVICES {
        let _ = writeln!(
            text,
            "{directive}=[::ffff:127.0.0.1]:{}",
            port + options.port_base
        );
    }
    text
}

/// Makes domain, users, mailboxes and messages, unless the domain is there already.
fn fill(data: &Path) -> Result<()> {
    let directory = EmbeddedDirectory::open_in(data)?;
    if directory.domains()?.iter().any(|domain| domain.name == DOMAIN) {
        return Ok(());
    }
    let hash = password::hash(PASSWORD)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    directory.create_domain(DOMAIN, &DomainChange::default())?;
    for user in USERS {
        let place = MailboxPlace::new(data.join("mailboxes").join(DOMAIN).join(user))?;
        fill_mailbox(&place, user, now).with_context(|| place.path.display().to_string())?;
        directory.create_account(&NewAccount {
            address: format!("{user}@{DOMAIN}"),
            kind: AccountKind::User,
            mailbox: Some(place),
            settings: AccountChange {
                password_hash: Some(hash.clone()),
                ..AccountChange::default()
            },
        })?;
    }
    Ok(())
}

fn fill_mailbox(place: &MailboxPlace, user: &str, now: i64) -> Result<()> {
    // What an interrupted first start left behind.
    if place.path.exists() {
        fs::remove_dir_all(&place.path)?;
    }
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid: place.guid,
        locale: "en".to_owned(),
    };
    Mailbox::create(&place.path, &options)?;
    let mut mailbox = Mailbox::open(
        &place.path,
        &OpenOptions {
            compression_level: Some(3),
            upgrade: true,
            ..OpenOptions::default()
        },
    )?;
    mailbox.transaction(|mailbox| {
        for number in 0..messages::MESSAGES_PER_USER {
            let message = messages::message(user, number, now);
            let mut flags = Flags::empty();
            flags.set(Flags::SEEN, message.seen);
            flags.set(Flags::FLAGGED, message.flagged);
            let received = FileTime::from_unix_seconds(message.received);
            let prepared = PreparedMessage::new(message.source.into(), Some(3));
            let placement = Placement {
                flags,
                keywords: Vec::new(),
                received,
            };
            mailbox.store_message(built_in::INBOX, &prepared, &placement)?;
            if number % SENT_SHARE == 0 {
                let placement = Placement {
                    flags: flags | Flags::SEEN,
                    ..placement
                };
                mailbox.store_message(built_in::SENT_ITEMS, &prepared, &placement)?;
            }
        }
        Ok(())
    })?;
    mailbox.checkpoint()?;
    Ok(())
}

fn welcome(base: u16, data: &Path) -> String {
    let port = |standard: u16| standard + base;
    format!(
        "ringpost serves the demo from {data}\n\n\
         users    alice, bob and carol @{DOMAIN}, password {PASSWORD}\n\
         IMAP     127.0.0.1:{imap}   (TLS: {imaps}; the certificate is self-signed)\n\
         POP3     127.0.0.1:{pop3}   (TLS: {pop3s})\n\
         SMTP     127.0.0.1:{lmtp}   (and LMTP)\n\
         submit   127.0.0.1:{submission}   (TLS: {submissions})\n\
         metrics  http://127.0.0.1:{admin}/metrics\n\n\
         Try:\n  \
         curl -u alice@{DOMAIN}:{PASSWORD} 'imap://127.0.0.1:{imap}/INBOX;MAILINDEX=1'\n  \
         swaks --protocol LMTP --server 127.0.0.1 --port {lmtp} --to alice@{DOMAIN}\n  \
         swaks --server 127.0.0.1 --port {submission} --auth PLAIN --auth-user bob@{DOMAIN} \
         --auth-password {PASSWORD} --from bob@{DOMAIN} --to alice@{DOMAIN}\n  \
         {program} admin --data {folder} user add dave@{DOMAIN} --password secret\n\n\
         Ctrl-C stops it.\n",
        data = data.display(),
        folder = shell_word(&data.to_string_lossy()),
        program = shell_word(&called_as()),
        imap = port(143),
        imaps = port(993),
        pop3 = port(110),
        pop3s = port(995),
        lmtp = port(24),
        submission = port(587),
        submissions = port(465),
        admin = port(99),
    )
}

/// What the program was called as, so that what is printed works from where it was called.
fn called_as() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.is_empty() {
        return "ringpost".to_owned();
    }
    name.to_string_lossy().into_owned()
}

/// Text as one word of a shell's command line.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
