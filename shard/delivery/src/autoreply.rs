//! Out-of-office answers (RFC 3834), after a message was stored.
//!
//! A mailbox that answers has `config/autoreply.cfg` with `oof_state` (0 off, 1 on, 2 between `start_time` and
//! `end_time`, seconds since 1970), `allow_external_oof` and `external_audience` (1: contacts only), and the texts in
//! `config/internal-reply` and `config/external-reply`: header fields (`Subject`, `Content-Type`), an empty line, the
//! text. Those are gromox's files, so that what its programs wrote goes on. Whom a mailbox has answered, and when, is in
//! `config/autoreply-told`, a line a correspondent, for as long as `autoreply_silence_window` says; gromox has it in
//! its database of messages, whose schema is not ours.
//!
//! Nearly no mailbox has these settings, so whether it does is not asked at each delivery: an open mailbox remembers the
//! answer for [`REMEMBERED`], after which settings that somebody has made, or removed, are in effect. What stands in them
//! is read anew for each letter.
//!
//! Answered is a person's letter to this person: not what a robot sent, what came through a list, what does not name
//! the mailbox in `To` or `Cc`, junk, or a letter of one's own. The answer's reverse-path is null, so that nobody answers
//! it, and nothing of the letter gets into its header but as one line, encoded.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ringpost_convert::header::{HeaderWriter, addresses, decode_text, format_date};
use ringpost_directory::{Account, Directory};
use ringpost_host::{BodyKind, Envelope, EnvelopeRecipient, Host, MailboxRef, Notify, Outgoing};
use ringpost_mapi::FileTime;
use ringpost_store::Mailbox;

use crate::header;

/// How long an open mailbox remembers whether there are settings.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Octets of a file of settings or text.
const FILE_MAX: u64 = 1024 * 1024;
/// Correspondents that are remembered; more than that get no answer until some are forgotten.
const TOLD_MAX: usize = 10_000;
/// Characters of a subject that are repeated.
const SUBJECT_MAX: usize = 200;

/// What of a letter decides about an answer. Made once a message, from its header.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    sender: String,
    /// Addresses in `To` and `Cc`.
    named: Vec<String>,
    subject: String,
    message_id: Option<String>,
}

impl Letter {
    /// `None`: nobody answers it.
    pub(crate) fn of(source: &[u8], sender: &str) -> Option<Self> {
        let (local, _) = sender.rsplit_once('@')?;
        let local = local.to_ascii_lowercase();
        let robot = [
            "mailer-daemon",
            "postmaster",
            "listserv",
            "majordomo",
            "noreply",
            "no-reply",
            "donotreply",
        ]
        .contains(&local.as_str())
            || local.starts_with("owner-")
            || local.ends_with("-owner")
            || local.ends_with("-request")
            || local.ends_with("-bounces")
            || local.contains("-bounces+");
        if robot || sender.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let mut letter = Self {
            sender: sender.to_owned(),
            named: Vec::new(),
            subject: String::new(),
            message_id: None,
        };
        for (name, value) in header::fields(source) {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            let value_is = |wanted: &str| value.eq_ignore_ascii_case(wanted.as_bytes());
            if (is("Auto-Submitted") && !value_is("no"))
                || name.len() > 5 && name[..5].eq_ignore_ascii_case(b"list-")
                || is("Feedback-ID")
                || (is("Precedence") && ["bulk", "junk", "list"].iter().any(|word| value_is(word)))
            {
                return None;
            }
            if is("X-Auto-Response-Suppress") {
                // MS-OXCMAIL 2.2.3.2.14.
                let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                let suppresses = |word: &[u8]| {
                    ["all", "oof", "autoreply"]
                        .iter()
                        .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
                };
                if words.any(suppresses) {
                    return None;
                }
            } else if is("To") || is("Cc") {
                for address in addresses(&unfolded(value)) {
                    if let (Some(mailbox), Some(host)) = (address.mailbox, address.host) {
                        let text = [&mailbox[..], b"@", &host].concat();
                        letter.named.push(String::from_utf8_lossy(&text).to_lowercase());
                    }
                }
            } else if is("Subject") {
                letter.subject = decode_text(&unfolded(value));
            } else if is("Message-ID") {
                letter.message_id = std::str::from_utf8(value).ok().map(str::to_owned);
            }
        }
        Some(letter)
    }
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect()
}

/// What an open mailbox remembers of its settings.
#[derive(Default)]
struct Known {
    /// When the file was looked for.
    at: Option<Instant>,
    exists: bool,
}

/// Whether a mailbox may answer at all: cheap, as nearly none does. Called on its core.
pub(crate) fn may_answer(mailbox: &mut Mailbox, now: Instant) -> bool {
    let mut known = mailbox.take_memo::<Known>();
    if known.at.is_none_or(|at| now.duration_since(at) >= REMEMBERED) {
        known.at = Some(now);
        known.exists = mailbox.directory().join("config/autoreply.cfg").exists();
    }
    let exists = known.exists;
    mailbox.keep_memo(known, size_of::<Known>() as u64);
    exists
}

/// Answers the letter for a mailbox, where that wants to. A failure is logged: the letter is delivered all the same.
pub(crate) async fn answer<H: Host>(
    host: &H,
    window: Duration,
    address: &str,
    mailbox: &MailboxRef,
    letter: &Letter,
) {
    let directory = host.directory();
    let Some(account) = directory.account(address) else {
        return;
    };
    if !concerns(&*directory, &account, letter) {
        return;
    }
    let internal = is_internal(&*directory, &account, &letter.sender);
    let (path, peer) = (mailbox.path.clone(), letter.sender.to_lowercase());
    let chosen = host
        .helper(move || choose(&path, &peer, internal, window, now_seconds()))
        .await;
    let text = match chosen {
        Ok(Ok(Some(text))) => text,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::warn!(recipient = address, %error, "no automatic reply"),
        Err(error) => return tracing::warn!(recipient = address, %error, "no automatic reply"),
    };
    let reply = compose(&account, letter, &text, FileTime::now());
    match host.enqueue(reply).await {
        Ok(id) => tracing::info!(recipient = address, to = letter.sender, queue_id = %id, "automatic reply"),
        Err(error) => tracing::warn!(recipient = address, %error, "no automatic reply"),
    }
}

/// Whether a letter is to this account itself, and not by it.
fn concerns(directory: &dyn Directory, account: &Account, letter: &Letter) -> bool {
    let is_account = |address: &str| {
        directory
            .account(address)
            .is_some_and(|found| found.username == account.username)
    };
    !is_account(&letter.sender) && letter.named.iter().any(|address| is_account(address))
}

/// Whether a correspondent is of the same domain, under any of its names.
fn is_internal(directory: &dyn Directory, account: &Account, sender: &str) -> bool {
    sender
        .rsplit_once('@')
        .and_then(|(_, domain)| directory.domain(domain))
        .is_some_and(|domain| domain.name == account.domain)
}

/// The text of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Text {
    subject: Option<String>,
    content_type: String,
    body: Vec<u8>,
}

fn now_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Reads the settings; the text, where the correspondent is to get one, who is remembered then. On a helper thread.
fn choose(
    mailbox: &Path,
    peer: &str,
    internal: bool,
    window: Duration,
    now: u64,
) -> io::Result<Option<Text>> {
    let config = mailbox.join("config");
    let settings = read(&config.join("autoreply.cfg"))?;
    let settings = String::from_utf8_lossy(&settings).into_owned();
    let setting = |name: &str| {
        settings.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let number = |name: &str| setting(name).and_then(|value| value.parse::<i64>().ok());
    let truth = |name: &str| {
        setting(name).is_some_and(|value| ["1", "yes", "true", "on"].contains(&value.to_lowercase().as_str()))
    };
    let active = match number("oof_state") {
        Some(1) => true,
        Some(2) => {
            let (from, until) = (number("start_time"), number("end_time"));
            from.zip(until)
                .is_some_and(|(from, until)| from <= now as i64 && (now as i64) < until)
        }
        _ => false,
    };
    // Who is among the mailbox's contacts is not known here: those for contacts only go to nobody outside.
    let wanted = internal || (truth("allow_external_oof") && !truth("external_audience"));
    if !active || !wanted {
        return Ok(None);
    }
    let source = read(&config.join(if internal {
        "internal-reply"
    } else {
        "external-reply"
    }))?;
    if source.is_empty() || !remember(&config.join("autoreply-told"), peer, window, now)? {
        return Ok(None);
    }
    Ok(Some(text_of(&source)))
}

fn text_of(source: &[u8]) -> Text {
    let mut text = Text {
        subject: None,
        content_type: "text/html; charset=utf-8".to_owned(),
        body: Vec::new(),
    };
    for (name, value) in header::fields(source) {
        if name.eq_ignore_ascii_case(b"Subject") {
            text.subject = Some(decode_text(&unfolded(value)));
        } else if name.eq_ignore_ascii_case(b"Content-Type")
            && value.to_ascii_lowercase().starts_with(b"text/plain")
        {
            "text/plain; charset=utf-8".clone_into(&mut text.content_type);
        }
    }
    let ends = [&b"\r\n\r\n"[..], b"\n\n"];
    let body = ends
        .iter()
        .filter_map(|end| memchr::memmem::find(source, end).map(|at| at + end.len()))
        .min()
        .unwrap_or(source.len());
    text.body = source[body..].to_vec();
    text
}

/// An absent file is an empty one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(data) if data.len() > FILE_MAX => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is too large", path.display()),
            ));
        }
        Ok(_) => {}
    }
    fs::read(path)
}

/// Whether the correspondent was not answered within the window; who is then noted, before the answer goes out: one
/// that is lost is better than one that comes twice.
fn remember(path: &Path, peer: &str, window: Duration, now: u64) -> io::Result<bool> {
    let told = read(path)?;
    let told = String::from_utf8_lossy(&told).into_owned();
    let recent = |time: &str| {
        time.parse::<u64>()
            .is_ok_and(|time| now.saturating_sub(time) < window.as_secs())
    };
    let mut kept = String::new();
    let mut count = 0;
    for line in told.lines() {
        let Some((time, known)) = line.split_once(' ') else {
            continue;
        };
        if !recent(time) {
            continue;
        }
        if known == peer {
            return Ok(false);
        }
        count += 1;
        // Writing to a String can't fail.
        let _ = writeln!(kept, "{time} {known}");
    }
    if count >= TOLD_MAX {
        return Ok(false);
    }
    let _ = writeln!(kept, "{now} {peer}");
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, kept)?;
    fs::rename(&unfinished, path)?;
    Ok(true)
}

/// "Automatic reply" in the language of the mailbox.
fn prefix(locale: &str) -> &'static str {
    match locale.get(..2).unwrap_or_default() {
        "de" => "Automatische Antwort",
        "fr" => "Réponse automatique",
        "es" => "Respuesta automática",
        "it" => "Risposta automatica",
        "nl" => "Automatisch antwoord",
        "pt" => "Resposta automática",
        "pl" => "Odpowiedź automatyczna",
        "ja" => "自動応答",
        "zh" => "自动答复",
        "ru" => "Автоматический ответ",
        _ => "Automatic reply",
    }
}

fn compose(account: &Account, letter: &Letter, text: &Text, now: FileTime) -> Outgoing {
    let mut header = HeaderWriter::default();
    header.addresses(
        "From",
        [(account.display_name.as_str(), account.username.as_str())],
    );
    header.addresses("To", [("", letter.sender.as_str())]);
    let subject = match &text.subject {
        Some(subject) if !subject.is_empty() => subject.clone(),
        _ => {
            let about: String = letter.subject.chars().take(SUBJECT_MAX).collect();
            format!("{}: {about}", prefix(&account.locale))
        }
    };
    header.text("Subject", &subject);
    header.words("Date", &format_date(now));
    header.words(
        "Message-ID",
        &format!("<{:x}.autoreply@{}>", now.0, account.domain),
    );
    if let Some(id) = letter.message_id.as_deref().filter(|id| is_message_id(id)) {
        header.words("In-Reply-To", id);
        header.words("References", id);
    }
    header.words("Auto-Submitted", "auto-replied");
    header.words("X-Auto-Response-Suppress", "All");
    header.words("MIME-Version", "1.0");
    header.words("Content-Type", &text.content_type);
    header.words("Content-Transfer-Encoding", "base64");
    let mut content = header.finish().into_bytes();
    if !content.ends_with(b"\r\n\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &text.body);
    for line in encoded.as_bytes().chunks(76) {
        content.extend_from_slice(line);
        content.extend_from_slice(b"\r\n");
    }
    Outgoing {
        // RFC 3834 §3.3: nobody is told when an answer fails.
        envelope: Envelope {
            sender: String::new(),
            body: BodyKind::SevenBit,
            utf8: !letter.sender.is_ascii(),
            ..Envelope::default()
        },
        recipients: vec![EnvelopeRecipient {
            address: letter.sender.clone(),
            notify: Notify::Never,
            original: None,
        }],
        content: Bytes::from(content),
    }
}

fn is_message_id(id: &str) -> bool {
    id.len() <= 512
        && id.starts_with('<')
        && id.ends_with('>')
        && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use ringpost_mapi::MailboxGuid;
    use ringpost_store::{CreateOptions, MailboxKind, OpenOptions};

    use super::*;

    fn letter(fields: &str) -> Option<Letter> {
        Letter::of(
            format!("To: Alice <alice@example.test>\r\n{fields}\r\n").as_bytes(),
            "bob@example.net",
        )
    }

    #[test]
    fn settings_that_appear_or_go_are_seen_when_what_is_remembered_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid: MailboxGuid("00000000-0000-0000-0000-000000000001".parse().unwrap()),
            locale: "en".to_owned(),
        };
        Mailbox::create(folder.path(), &options).unwrap();
        let mut mailbox = Mailbox::open(folder.path(), &OpenOptions::default()).unwrap();
        let settings = folder.path().join("config/autoreply.cfg");
        let start = Instant::now();
        assert!(!may_answer(&mut mailbox, start));
        fs::write(&settings, "oof_state = 1\n").unwrap();
        assert!(
            !may_answer(&mut mailbox, start + REMEMBERED / 2),
            "it was not looked for again"
        );
        assert!(may_answer(&mut mailbox, start + REMEMBERED));
        fs::remove_file(&settings).unwrap();
        assert!(may_answer(&mut mailbox, start + REMEMBERED * 3 / 2));
        assert!(!may_answer(&mut mailbox, start + REMEMBERED * 2));
    }

    #[test]
    fn only_letters_of_people_are_answered() {
        assert!(letter("").is_some());
        assert!(letter("Auto-Submitted: no\r\n").is_some());
        for fields in [
            "Auto-Submitted: auto-generated\r\n",
            "List-Id: <l.example.net>\r\n",
            "List-Unsubscribe: <mailto:x@y>\r\n",
            "Precedence: bulk\r\n",
            "X-Auto-Response-Suppress: DR, OOF\r\n",
        ] {
            assert!(letter(fields).is_none(), "{fields}");
        }
        for sender in [
            "",
            "MAILER-DAEMON@x",
            "owner-list@x",
            "list-request@x",
            "no-reply@x",
            "list-bounces+a=b@x",
        ] {
            assert!(
                Letter::of(b"To: alice@example.test\r\n\r\n", sender).is_none(),
                "{sender}"
            );
        }
    }

    fn mailbox(settings: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        fs::create_dir(&config).unwrap();
        fs::write(config.join("autoreply.cfg"), settings).unwrap();
        fs::write(config.join("internal-reply"), "Subject: away\r\n\r\n<p>in</p>").unwrap();
        fs::write(config.join("external-reply"), "Content-Type: text/plain\n\nout").unwrap();
        folder
    }

    #[test]
    fn settings_decide_who_gets_what_and_once_in_a_while() {
        let window = Duration::from_secs(100);
        let chosen = |settings: &str, internal: bool| {
            let mailbox = mailbox(settings);
            choose(mailbox.path(), "bob@example.net", internal, window, 1000).unwrap()
        };
        assert_eq!(chosen("oof_state = 0\n", true), None);
        let inside = chosen("OOF_STATE=1\n", true).unwrap();
        assert_eq!(
            (inside.subject.as_deref(), &inside.body[..]),
            (Some("away"), &b"<p>in</p>"[..])
        );
        assert_eq!(chosen("oof_state=1\n", false), None);
        let outside = chosen("oof_state=1\nallow_external_oof=1\n", false).unwrap();
        assert_eq!(
            (outside.content_type.as_str(), &outside.body[..]),
            ("text/plain; charset=utf-8", &b"out"[..])
        );
        assert_eq!(
            chosen("oof_state=1\nallow_external_oof=1\nexternal_audience=1\n", false),
            None
        );
        assert!(chosen("oof_state=2\nstart_time=1000\nend_time=1001\n", true).is_some());
        assert_eq!(chosen("oof_state=2\nstart_time=900\nend_time=1000\n", true), None);

        let mailbox = mailbox("oof_state=1\n");
        let at = |peer: &str, now: u64| choose(mailbox.path(), peer, true, window, now).unwrap().is_some();
        assert!(at("bob@example.test", 1000) && !at("bob@example.test", 1099));
        assert!(at("carol@example.test", 1050) && at("bob@example.test", 1100));
        assert!(!at("carol@example.test", 1149));
    }

    #[test]
    fn nothing_of_a_letter_becomes_a_field_of_the_answer() {
        let account = Account {
            username: "alice@example.test".into(),
            kind: ringpost_directory::AccountKind::User,
            domain: "example.test".into(),
            display_name: "Alice\r\nBcc: x@y".into(),
            mailbox: None,
            forward: None,
            enabled: true,
            locale: "de_DE".into(),
            privileges: ringpost_directory::Privileges::default(),
        };
        // =?utf-8?q?a=0D=0ABcc:_evil@example.org?= decodes to a line end.
        let letter =
            letter("Subject: =?utf-8?q?a=0D=0ABcc:_evil@example.org?=\r\nMessage-ID: <1@x>\r\n\tX: y\r\n")
                .unwrap();
        let text = Text {
            subject: None,
            content_type: "text/plain; charset=utf-8".into(),
            body: b"away".to_vec(),
        };
        let reply = compose(&account, &letter, &text, FileTime::from_unix_seconds(0));
        let source = String::from_utf8(reply.content.to_vec()).unwrap();
        let names: Vec<_> = header::fields(source.as_bytes())
            .map(|(name, _)| String::from_utf8_lossy(name).to_lowercase())
            .collect();
        assert!(!names.iter().any(|name| name == "bcc" || name == "x"), "{source}");
        assert!(source.contains("\r\nAuto-Submitted: auto-replied\r\n"));
        assert!(source.ends_with("\r\n\r\nYXdheQ==\r\n"), "{source}");
        assert_eq!(
            (reply.envelope.sender.as_str(), reply.recipients[0].notify),
            ("", Notify::Never)
        );
    }
}
