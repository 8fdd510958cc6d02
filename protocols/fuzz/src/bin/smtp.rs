//! Whole sessions of SMTP, LMTP and submission, against a runtime in memory: whatever a client says, each reply is a
//! line of its form, the session ends with the client, and a message that was refused is nowhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_host::Service;
use ringpost_lmtp::{Lmtp, Options, Role};
use ringpost_testhost::{TestDirectory, TestHost};

/// Small enough for the fuzzer to pass it.
const LIMIT_BYTES: u64 = 512;

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the port and how the network cuts what the client sends.
    let Some((&choice, dialogue)) = data.split_first() else {
        return;
    };
    let submission = choice & 1 != 0;
    let pieces = [1, 7, 64, usize::MAX][usize::from(choice >> 1 & 3)];
    let directory = TestDirectory::new()
        .contact("out@example.test", "x@example.net")
        .contact("me@example.test", "y@example.net");
    let host = TestHost::new(directory);
    let delivery = ringpost_delivery::Options {
        sends_out: true,
        recipient_delimiter: "+".into(),
        ..ringpost_delivery::Options::default()
    };
    let service = Lmtp::new(Options {
        role: if submission {
            Role::Submission
        } else {
            Role::Transfer
        },
        host_id: "h".into(),
        mail_max_length: LIMIT_BYTES,
        offer_starttls: true,
        delivery,
        ..Options::default()
    });
    let mut client = host.connect(|mut connection, host| async move {
        service.accept(&mut connection, &host).await;
    });
    let accepted = host.run(async {
        for piece in dialogue.chunks(pieces.min(dialogue.len().max(1))) {
            client.send(piece);
            futures_lite::future::yield_now().await;
        }
        client.close();
        let mut accepted = 0;
        while let Some(line) = client.line().await {
            let (code, rest) = line.split_at(3);
            assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{line:?}");
            assert!(rest.starts_with([' ', '-']), "{line:?}");
            assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            accepted += usize::from(rest.contains("accepted as"));
        }
        accepted
    });
    let queued = host.queued();
    assert!(accepted > 0 || queued.is_empty());
    for (_, outgoing) in queued {
        assert!(!submission, "nobody can log in");
        // What goes on has lines only, and says only who may be told.
        let content = outgoing.content.as_ref();
        assert!(content.ends_with(b"\r\n"));
        assert!(memchr::memchr_iter(b'\n', content).all(|at| at > 0 && content[at - 1] == b'\r'));
        assert!(memchr::memchr_iter(b'\r', content).all(|at| content.get(at + 1) == Some(&b'\n')));
        for recipient in &outgoing.recipients {
            assert!(["x@example.net", "y@example.net"].contains(&recipient.address.as_str()));
        }
    }
});
