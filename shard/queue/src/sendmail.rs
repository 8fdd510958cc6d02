//! `sendmail://`: the program of the local mail server takes the message.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ringpost_host::{Envelope, EnvelopeRecipient, Notify, Outbound, ReturnContent};

use crate::{Status, content, content::Content, scheduler::Context};

/// Where it is, unless [`PROGRAM_VARIABLE`] says otherwise.
const PROGRAM: &str = "/usr/sbin/sendmail";
/// For tests.
const PROGRAM_VARIABLE: &str = "RINGPOST_SENDMAIL";
/// How long it may take.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// It does not understand its command line (sysexits(3)).
const EX_USAGE: i32 = 64;
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(2);

/// What became of a message that was handed over.
pub(crate) struct Handed {
    /// The same for every recipient: the program takes all or none.
    pub(crate) status: Status,
    /// Whether the program could be run.
    pub(crate) ran: bool,
    /// It was told what the sender wants to be told, and sees to it.
    pub(crate) reports: bool,
}

/// Hands the message over. What fails later the program reports itself, so what the sender wants to be told goes with
/// the message, if the program understands it.
pub(crate) async fn run<H: Outbound>(
    context: &Context<H>,
    envelope: &Envelope,
    recipients: &[&EnvelopeRecipient],
    content: &Content,
) -> Handed {
    let wishes = wishes(envelope, recipients);
    let addresses = addresses(envelope, recipients);
    let bytes = content.bytes.clone();
    let ran = context
        .host
        .helper(move || {
            let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| PROGRAM.into());
            hand_over_with(&program, &wishes, &addresses, &content::in_lines(&bytes))
        })
        .await;
    match ran {
        Ok(Ok((code, reports))) => Handed {
            status: status(code),
            ran: true,
            reports,
        },
        Ok(Err(error)) => Handed {
            status: Status::own(451, "4.3.5", format!("{PROGRAM} can't be run: {error}")),
            ran: false,
            reports: false,
        },
        Err(error) => Handed {
            status: Status::own(451, "4.3.0", error.to_string()),
            ran: false,
            reports: false,
        },
    }
}

/// Who it comes from and goes to.
fn addresses(envelope: &Envelope, recipients: &[&EnvelopeRecipient]) -> Vec<String> {
    let sender = if envelope.sender.is_empty() {
        "<>"
    } else {
        &envelope.sender
    };
    // -i: a line with a dot alone ends nothing.
    let mut arguments = vec![
        "-i".to_owned(),
        "-f".to_owned(),
        sender.to_owned(),
        "--".to_owned(),
    ];
    arguments.extend(recipients.iter().map(|recipient| recipient.address.clone()));
    arguments
}

/// What the sender wants to be told (RFC 3461), as sendmail's options say it. Empty where he wants nothing special.
fn wishes(envelope: &Envelope, recipients: &[&EnvelopeRecipient]) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(id) = envelope.envelope_id.as_ref().filter(|id| is_word(id)) {
        arguments.extend(["-V".to_owned(), id.clone()]);
    }
    if let Some(returned) = envelope.return_content {
        let word = if returned == ReturnContent::Full {
            "full"
        } else {
            "hdrs"
        };
        arguments.extend(["-R".to_owned(), word.to_owned()]);
    }
    // The program has one wish for all: the widest of theirs.
    let any = |wants: fn(Notify) -> bool| recipients.iter().any(|recipient| wants(recipient.notify));
    let named: Vec<&str> = [
        (any(Notify::success), "success"),
        (any(Notify::failure), "failure"),
        (any(Notify::delay), "delay"),
    ]
    .iter()
    .filter(|(on, _)| *on)
    .map(|(_, name)| *name)
    .collect();
    if recipients
        .iter()
        .any(|recipient| recipient.notify != Notify::Default)
    {
        let wish = if named.is_empty() {
            "never".to_owned()
        } else {
            named.join(",")
        };
        arguments.extend(["-N".to_owned(), wish]);
    }
    arguments
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Hands over with the sender's wishes, and without them where the program does not understand them. Returns its exit
/// code, and whether it knows the wishes.
fn hand_over_with(
    program: &OsStr,
    wishes: &[String],
    addresses: &[String],
    content: &[u8],
) -> std::io::Result<(Option<i32>, bool)> {
    if understands_wishes(Path::new(program)) {
        let arguments = [wishes, addresses].concat();
        let code = hand_over(program, &arguments, content)?;
        if code != Some(EX_USAGE) || wishes.is_empty() {
            return Ok((code, true));
        }
    }
    Ok((hand_over(program, addresses, content)?, false))
}

/// Exim's `-N` means that nothing shall be delivered, and its `-R` that the queue shall be run.
fn understands_wishes(program: &Path) -> bool {
    let program = program.canonicalize();
    let name = program.as_deref().ok().and_then(Path::file_name);
    !name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"exim"))
}

/// Runs the program to its end; its exit code.
fn hand_over(program: &OsStr, arguments: &[String], content: &[u8]) -> std::io::Result<Option<i32>> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let input = child.stdin.take();
    let content = content.to_vec();
    // It may stop reading, and must not stop this thread with it.
    let writer = thread::spawn(move || {
        if let Some(mut input) = input {
            // Lines end as they do on this system.
            let _ = input.write_all(&without_cr(&content));
        }
    });
    let deadline = Instant::now() + TIME_LIMIT;
    let code = loop {
        if let Some(status) = child.try_wait()? {
            break status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(POLL);
    };
    let _ = writer.join();
    Ok(code)
}

fn without_cr(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// sysexits(3).
fn status(code: Option<i32>) -> Status {
    match code {
        Some(0) => Status::own(250, "2.0.0", "taken by sendmail"),
        Some(EX_USAGE) => Status::own(550, "5.5.4", "sendmail can't read the addresses (EX_USAGE)"),
        Some(65) => Status::own(554, "5.6.0", "sendmail refuses the message (EX_DATAERR)"),
        Some(67) => Status::own(550, "5.1.1", "sendmail knows no such user (EX_NOUSER)"),
        Some(68) => Status::own(550, "5.1.2", "sendmail knows no such host (EX_NOHOST)"),
        Some(77) => Status::own(550, "5.7.0", "sendmail does not permit it (EX_NOPERM)"),
        Some(code) => Status::own(451, "4.3.0", format!("sendmail ended with {code}")),
        None => Status::own(451, "4.3.0", "sendmail did not end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_ends_options_before_addresses() {
        let recipient = EnvelopeRecipient {
            address: "-oQ/tmp@example.net".into(),
            notify: Notify::On {
                success: true,
                failure: true,
                delay: false,
            },
            original: None,
        };
        let envelope = Envelope {
            return_content: Some(ReturnContent::Headers),
            envelope_id: Some("a b".into()),
            ..Envelope::default()
        };
        let line = [
            wishes(&envelope, &[&recipient]),
            addresses(&envelope, &[&recipient]),
        ]
        .concat()
        .join(" ");
        assert_eq!(line, "-R hdrs -N success,failure -i -f <> -- -oQ/tmp@example.net");
        assert!(status(Some(75)).is_temporary() && status(None).is_temporary());
        assert!(status(Some(0)).is_success());
        assert_eq!(without_cr(b"a\r\nb\n\r\nc"), b"a\nb\n\nc");
    }

    #[test]
    fn a_program_that_does_not_understand_wishes_gets_the_message_without_them() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("sendmail");
        let script = "#!/bin/sh\nfor a in \"$@\"; do [ \"$a\" = -V ] && exit 64; done\ncat > \"$0.taken\"\n";
        std::fs::write(&program, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, executable).unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let addresses = words("-f <> -- a@example.net");
        let given =
            |wishes: &[String]| hand_over_with(program.as_os_str(), wishes, &addresses, b"x\r\n").unwrap();
        assert_eq!(given(&words("-V id")), (Some(0), false));
        let taken = folder.path().join("sendmail.taken");
        assert_eq!(std::fs::read(&taken).unwrap(), b"x\n");
        assert_eq!(given(&words("-N never")), (Some(0), true));
        // Exim would not deliver at all.
        let exim = folder.path().join("exim4");
        std::fs::rename(&program, &exim).unwrap();
        std::os::unix::fs::symlink(&exim, &program).unwrap();
        assert_eq!(given(&words("-N never")), (Some(0), false));
    }
}
