//! Dialogues with a server that follows a script.

use super::*;
use bytes::Bytes;
use futures_lite::future::block_on;
use ringpost_host::Trust;
use std::collections::VecDeque;

/// A server that answers what it expects; what comes otherwise it closes on.
struct Scripted {
    script: VecDeque<(String, &'static str)>,
    answers: Vec<u8>,
    tls: bool,
}

impl Peer for Scripted {
    async fn read(&mut self, buffer: &mut Vec<u8>, _: Duration) -> io::Result<usize> {
        let answers = std::mem::take(&mut self.answers);
        buffer.extend_from_slice(&answers);
        Ok(answers.len())
    }

    async fn write(&mut self, data: &[u8], _: Duration) -> io::Result<()> {
        let Some((expected, answer)) = self.script.pop_front() else {
            panic!("nothing more was expected: {}", String::from_utf8_lossy(data));
        };
        assert_eq!(String::from_utf8_lossy(data), expected);
        self.answers.extend_from_slice(answer.as_bytes());
        Ok(())
    }

    async fn start_tls(&mut self, server: &str, _: Trust, _: Duration) -> io::Result<()> {
        assert_eq!(server, "mx.example.net");
        self.tls = true;
        Ok(())
    }

    fn is_tls(&self) -> bool {
        self.tls
    }
}

fn peer(script: &[(&str, &'static str)]) -> Scripted {
    Scripted {
        script: script
            .iter()
            .map(|(line, answer)| ((*line).to_owned(), *answer))
            .collect(),
        answers: b"220 hello\r\n".to_vec(),
        tls: false,
    }
}

fn hop(url: &str) -> SmtpHop {
    match crate::NextHop::parse(url) {
        Ok(crate::NextHop::Smtp(hop)) => hop,
        other => panic!("{other:?}"),
    }
}

/// Sends one message to two recipients; what is said of each, how many may have it, and how many were noted.
fn send(
    script: &[(&str, &'static str)],
    envelope: &Envelope,
    content: &'static [u8],
) -> (Vec<u16>, usize, usize) {
    let recipients = [
        EnvelopeRecipient {
            address: "a@example.net".into(),
            notify: Notify::Never,
            original: Some("rfc822;a+b@x".into()),
        },
        EnvelopeRecipient::new("b@example.net"),
    ];
    let recipients: Vec<_> = recipients.iter().collect();
    block_on(async {
        let opened = Client::open(peer(script), &hop("smtp://mx.example.net"), "me.example.test").await;
        let mut client = opened.ok().unwrap();
        let mut noted = 0;
        let content = Content::new(Bytes::from_static(content));
        let sent = client
            .send(envelope, &recipients, &content, |count| noted += count)
            .await;
        assert!(sent.error.is_some() || client.peer.script.is_empty());
        (
            sent.statuses.iter().map(|status| status.code).collect(),
            sent.uncertain,
            noted,
        )
    })
}

fn envelope() -> Envelope {
    Envelope {
        sender: "me@example.test".into(),
        return_content: Some(ReturnContent::Headers),
        envelope_id: Some("i d".into()),
        ..Envelope::default()
    }
}

const EHLO: (&str, &str) = (
    "EHLO me.example.test\r\n",
    "250-mx\r\n250-PIPELINING\r\n250-DSN\r\n250 SIZE 99\r\n",
);
const PIPELINED: &str = "MAIL FROM:<me@example.test> SIZE=16 RET=HDRS ENVID=i+20d\r\n\
    RCPT TO:<a@example.net> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@x\r\nRCPT TO:<b@example.net>\r\nDATA\r\n";
const MESSAGE: &[u8] = b"A: b\r\n\r\n.\r\n..\r\n\r\n";

#[test]
fn an_envelope_is_one_write_where_the_server_can_take_it() {
    let script = [
        EHLO,
        (PIPELINED, "250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n"),
        ("A: b\r\n\r\n..\r\n...\r\n\r\n.\r\n", "250 2.0.0 kept\r\n"),
    ];
    assert_eq!(MESSAGE.len(), 16 + 1);
    let script = script.map(|(line, answer)| (line.replace("SIZE=16", "SIZE=17"), answer));
    let script: Vec<_> = script
        .iter()
        .map(|(line, answer)| (line.as_str(), *answer))
        .collect();
    assert_eq!(send(&script, &envelope(), MESSAGE), (vec![550, 250], 0, 1));
}

#[test]
fn without_extensions_each_command_waits() {
    let script = [
        ("EHLO me.example.test\r\n", "502 what\r\n"),
        ("HELO me.example.test\r\n", "250 mx\r\n"),
        ("MAIL FROM:<me@example.test>\r\n", "250 ok\r\n"),
        ("RCPT TO:<a@example.net>\r\n", "451 4.7.1 later\r\n"),
        ("RCPT TO:<b@example.net>\r\n", "250 ok\r\n"),
        ("DATA\r\n", "354 go\r\n"),
        ("\r\n=C3=BC\r\n.\r\n", "552 5.2.2 full\r\n"),
    ];
    // The header of a message without fields gets one.
    let script = script.map(|(line, answer)| {
        (
            line.replace(
                "\r\n=C3",
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3",
            ),
            answer,
        )
    });
    let script: Vec<_> = script
        .iter()
        .map(|(line, answer)| (line.as_str(), *answer))
        .collect();
    assert_eq!(
        send(&script, &envelope(), "\r\n\u{fc}\r\n".as_bytes()),
        (vec![451, 552], 0, 1)
    );
}

#[test]
fn a_lost_last_answer_is_uncertain_and_an_early_cut_is_not() {
    let chunked = (
        "EHLO me.example.test\r\n",
        "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    );
    let commands = "MAIL FROM:<me@example.test>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\n";
    let script = [
        chunked,
        (commands, "250 ok\r\n250 ok\r\n250 ok\r\n"),
        ("BDAT 4 LAST\r\n\r\nx\n", ""),
    ];
    // Mended before it is counted: a lone line feed becomes a line's end.
    let script = script.map(|(line, answer)| {
        (
            line.replace("BDAT 4 LAST\r\n\r\nx\n", "BDAT 5 LAST\r\n\r\nx\r\n"),
            answer,
        )
    });
    let script: Vec<_> = script
        .iter()
        .map(|(line, answer)| (line.as_str(), *answer))
        .collect();
    assert_eq!(send(&script, &envelope(), b"\r\nx\n"), (vec![451, 451], 2, 2));
    let cut = [chunked, (commands, "250 ok\r\n250 ok\r\n")];
    assert_eq!(send(&cut, &envelope(), b"\r\nx\n"), (vec![451, 451], 0, 0));
    let closing = [chunked, (commands, "421 4.3.2 closing\r\n")];
    assert_eq!(send(&closing, &envelope(), b"\r\nx\n"), (vec![451, 451], 0, 0));
}

#[test]
fn what_the_server_can_not_take_is_not_sent() {
    let utf8 = Envelope {
        sender: "\u{fc}@example.test".into(),
        ..Envelope::default()
    };
    assert_eq!(send(&[EHLO], &utf8, b"\r\n"), (vec![553, 553], 0, 0));
    assert_eq!(send(&[EHLO], &envelope(), &[b'\n'; 100]), (vec![552, 552], 0, 0));
}

#[test]
fn tls_and_login_come_before_mail_and_what_was_said_before_tls_is_forgotten() {
    let script = [
        (
            "EHLO me.example.test\r\n",
            "250-mx\r\n250-STARTTLS\r\n250 DSN\r\n",
        ),
        ("STARTTLS\r\n", "220 go\r\n250 injected\r\n"),
        ("EHLO me.example.test\r\n", "250-mx\r\n250 AUTH LOGIN\r\n"),
        ("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n"),
        ("bWU=\r\n", "334 UGFzc3dvcmQ6\r\n"),
        ("c2VjcmV0\r\n", "235 2.7.0 ok\r\n"),
    ];
    let opened = block_on(Client::open(
        peer(&script),
        &hop("smtp+tls://me:secret@mx.example.net"),
        "me.example.test",
    ));
    let client = opened.ok().unwrap();
    assert!(client.peer.is_tls() && !client.extensions.dsn);
    let refused = [("EHLO me.example.test\r\n", "250 mx\r\n")];
    let opened = block_on(Client::open(
        peer(&refused),
        &hop("smtp+tls://mx.example.net"),
        "me.example.test",
    ));
    let status = opened.err().unwrap().status();
    assert_eq!((status.code, status.enhanced.as_ref()), (451, "4.7.4"));
    assert!(!status.to_string().contains("secret"));
}
