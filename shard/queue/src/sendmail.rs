//! `sendmail://`: the program of the local mail server takes the message.

use std::{
    io::Write as _,
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
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(2);

/// Hands the message over. Returns what it means for every recipient, and whether the program could be run.
///
/// It takes all recipients or none; what fails later it reports itself, so what the sender wants to be told goes with
/// the message.
pub(crate) async fn run<H: Outbound>(
    context: &Context<H>,
    envelope: &Envelope,
    recipients: &[&EnvelopeRecipient],
    content: &Content,
) -> (Status, bool) {
    let arguments = arguments(envelope, recipients);
    let bytes = content.bytes.clone();
    let ran = context
        .host
        .helper(move || hand_over(&arguments, &content::in_lines(&bytes)))
        .await;
    match ran {
        Ok(Ok(code)) => (status(code), true),
        Ok(Err(error)) => {
            let text = format!("{PROGRAM} can't be run: {error}");
            (Status::own(451, "4.3.5", text), false)
        }
        Err(error) => (Status::own(451, "4.3.0", error.to_string()), false),
    }
}

fn arguments(envelope: &Envelope, recipients: &[&EnvelopeRecipient]) -> Vec<String> {
    // -i: a line with a dot alone ends nothing.
    let mut arguments = vec!["-i".to_owned()];
    let sender = if envelope.sender.is_empty() {
        "<>"
    } else {
        &envelope.sender
    };
    arguments.extend(["-f".to_owned(), sender.to_owned()]);
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
    arguments.push("--".to_owned());
    arguments.extend(recipients.iter().map(|recipient| recipient.address.clone()));
    arguments
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Runs the program to its end; its exit code.
fn hand_over(arguments: &[String], content: &[u8]) -> std::io::Result<Option<i32>> {
    let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| PROGRAM.into());
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
        Some(64) => Status::own(550, "5.5.4", "sendmail can't read the addresses (EX_USAGE)"),
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
        let line = arguments(&envelope, &[&recipient]).join(" ");
        assert_eq!(line, "-i -f <> -R hdrs -N success,failure -- -oQ/tmp@example.net");
        assert!(status(Some(75)).is_temporary() && status(None).is_temporary());
        assert!(status(Some(0)).is_success());
        assert_eq!(without_cr(b"a\r\nb\n\r\nc"), b"a\nb\n\nc");
    }
}
