//! The program against servers that behave well, badly, slowly, or not at all.

mod fake;

use std::{
    net::SocketAddr,
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use fake::{Fault, Mailbox, Stalling};
use serde_json::Value;

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(arguments)
        .output()
        .expect("the binary was built")
}

/// Runs with JSON on standard output.
fn run(arguments: &[&str], servers: &[(&str, SocketAddr)]) -> (i32, Value) {
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    for (option, address) in servers {
        all.extend([(*option).to_owned(), address.to_string()]);
    }
    all.extend(["--json".to_owned(), "-".to_owned(), "--no-progress".to_owned()]);
    let output = loadgen(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let code = output.status.code().expect("it ended by itself");
    assert!(
        code == 2 || json != Value::Null,
        "{code}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    (code, json)
}

fn filled(messages: &str, size: &str) -> Mailbox {
    let mailbox = Mailbox::default();
    let server = fake::lmtp_into(&mailbox);
    let arguments = [
        "populate",
        "--messages",
        messages,
        "--size",
        size,
        "--connections",
        "1",
        "--seed",
        "5",
    ];
    let (code, json) = run(&arguments, &[("--lmtp", server)]);
    assert_eq!(
        (code, json["operations"]["populate"]["count"].to_string()),
        (0, messages.to_owned())
    );
    mailbox
}

#[test]
fn deliveries_are_counted_and_unlike_each_other() {
    let mailbox = Mailbox::default();
    let server = fake::lmtp_into(&mailbox);
    let arguments = [
        "run",
        "deliver",
        "--closed",
        "--count",
        "500",
        "--connections",
        "7",
        "--mailboxes",
        "3",
        "--cores",
        "0,0",
    ];
    let (code, json) = run(&arguments, &[("--lmtp", server)]);
    let deliver = &json["operations"]["deliver"];
    assert_eq!(
        (code, deliver["count"].as_u64(), json["wrong"].as_u64()),
        (0, Some(500), Some(0))
    );
    let latency = &deliver["latency_us"];
    let order: Vec<u64> = ["min", "p50", "p90", "p99", "p999", "max"]
        .iter()
        .map(|name| latency[name].as_u64().unwrap())
        .collect();
    assert!(order.is_sorted() && order[0] > 0, "{order:?}");
    let counted: u64 = json["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| moment["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 500);
    let mut messages = mailbox.lock().unwrap().clone();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 500);
}

#[test]
fn the_same_seed_fills_the_same() {
    let first = filled("150", "real").lock().unwrap().clone();
    let again = filled("150", "real").lock().unwrap().clone();
    assert_eq!(first.len(), 150);
    assert!(first == again);
    // By IMAP, several messages a command, it is the same too.
    let appended = Mailbox::default();
    let server = fake::imap(&appended, Fault::None);
    let arguments = [
        "populate",
        "--messages",
        "150",
        "--size",
        "real",
        "--connections",
        "1",
        "--seed",
        "5",
    ];
    let (code, json) = run(&arguments, &[("--imap", server)]);
    assert_eq!(
        (code, json["operations"]["populate"]["count"].as_u64()),
        (0, Some(150))
    );
    assert!(*appended.lock().unwrap() == first);
}

#[test]
fn an_open_loop_tells_of_a_stall_that_a_closed_one_hides() {
    let stalling = || {
        let server = Arc::new(Stalling::new(
            Duration::from_micros(200),
            Duration::from_secs(1),
            Duration::from_millis(1500),
        ));
        fake::start(move |dialogue| {
            let server = server.clone();
            fake::lmtp(dialogue, move |_| {
                server.serve();
                "250 2.0.0 stored\r\n".to_owned()
            })
        })
    };
    let common = [
        "run",
        "deliver",
        "--connections",
        "4",
        "--size",
        "1000",
        "--duration",
        "4",
    ];
    // 200 requests a second for 4 seconds: 300 of 800 are due during the stall.
    let open = [&common[..], &["--rate", "200"]].concat();
    let (code, json) = run(&open, &[("--lmtp", stalling())]);
    let operation = &json["operations"]["deliver"];
    let micros = |name: &str| operation["latency_us"][name].as_u64().unwrap();
    assert_eq!(code, 0);
    let count = operation["count"].as_u64().unwrap();
    assert!((650..950).contains(&count), "{count}");
    assert!(
        (1_400_000..2_200_000).contains(&micros("max")),
        "max {}",
        micros("max")
    );
    assert!(micros("p90") > 800_000, "p90 {}", micros("p90"));
    assert!(micros("p50") < 400_000, "p50 {}", micros("p50"));
    // The closed loop waits with the server, and notes the stall four times.
    let closed = [&common[..], &["--closed"]].concat();
    let (_, json) = run(&closed, &[("--lmtp", stalling())]);
    let latency = &json["operations"]["deliver"]["latency_us"];
    assert!(latency["max"].as_u64().unwrap() > 1_400_000);
    assert!(latency["p99"].as_u64().unwrap() < 400_000, "{latency}");
}

#[test]
fn what_a_server_cannot_take_in_time_is_told() {
    // 20 a second at most, 200 asked for: the load is given up ten seconds after its end.
    let slow = Arc::new(Stalling::new(
        Duration::from_millis(50),
        Duration::from_secs(99),
        Duration::ZERO,
    ));
    let server = fake::start(move |dialogue| {
        let slow = slow.clone();
        fake::lmtp(dialogue, move |_| {
            slow.serve();
            "250 2.0.0 stored\r\n".to_owned()
        })
    });
    let arguments = [
        "run",
        "deliver",
        "--connections",
        "2",
        "--size",
        "1000",
        "--duration",
        "2",
        "--rate",
        "200",
    ];
    let (_, json) = run(&arguments, &[("--lmtp", server)]);
    let answered = json["operations"]["deliver"]["count"].as_u64().unwrap();
    let unanswered = json["unanswered"].as_u64().unwrap();
    assert!(unanswered > 50, "{unanswered}");
    assert!(
        (330..470).contains(&(answered + unanswered)),
        "{answered} + {unanswered}"
    );
}

#[test]
fn a_reply_that_is_no_reply_is_wrong() {
    for wrong in ["354 go on\r\n", "hello\r\n", "250 stored\r\n250 twice\r\n"] {
        let server = fake::start(move |dialogue| fake::lmtp(dialogue, |_| wrong.to_owned()));
        let arguments = [
            "run",
            "deliver",
            "--closed",
            "--count",
            "20",
            "--connections",
            "2",
        ];
        let (code, json) = run(&arguments, &[("--lmtp", server)]);
        assert_eq!(code, 1, "{wrong}");
        assert!(json["wrong"].as_u64().unwrap() > 0 && !json["examples"].as_array().unwrap().is_empty());
    }
}

#[test]
fn refusals_are_errors_and_not_wrong() {
    let server = fake::start(|dialogue| fake::lmtp(dialogue, |_| "452 4.2.2 full\r\n".to_owned()));
    let arguments = [
        "run",
        "deliver",
        "--closed",
        "--count",
        "20",
        "--connections",
        "2",
    ];
    let (code, json) = run(&arguments, &[("--lmtp", server)]);
    assert_eq!(
        (code, json["errors"].as_u64(), json["wrong"].as_u64()),
        (3, Some(20), Some(0))
    );
    let tolerant = [&arguments[..], &["--tolerate-errors"]].concat();
    assert_eq!(run(&tolerant, &[("--lmtp", server)]).0, 0);
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    let (code, _) = run(
        &["run", "deliver", "--closed", "--count", "1"],
        &[("--lmtp", fake::nobody())],
    );
    assert_eq!(code, 2);
    assert_eq!(run(&["run", "deliver"], &[]).0, 2);
    assert_eq!(run(&["run", "no-such-scenario"], &[]).0, 2);
}

#[test]
fn every_fault_in_what_imap_returns_is_noticed() {
    let mailbox = filled("30", "real");
    for (fault, expected) in [
        (Fault::None, 0),
        (Fault::Tag, 1),
        (Fault::Missing, 1),
        (Fault::Byte, 1),
        (Fault::Foreign, 1),
        (Fault::Refusal, 3),
        (Fault::Cut, 3),
    ] {
        let server = fake::imap(&mailbox, fault);
        let arguments = [
            "run",
            "fetch-all",
            "--closed",
            "--count",
            "4",
            "--connections",
            "2",
        ];
        let began = Instant::now();
        let (code, json) = run(&arguments, &[("--imap", server)]);
        assert_eq!(code, expected, "{}", json["examples"]);
        // None of them is a matter of waiting: the end of a connection is noticed when it comes.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");
        if fault == Fault::None {
            let operation = &json["operations"]["fetch-all"];
            assert_eq!(
                (operation["count"].as_u64(), operation["items"].as_u64()),
                (Some(4), Some(120))
            );
        }
    }
}

#[test]
fn commands_are_compared_with_their_pattern() {
    let mailbox = filled("3", "1000");
    let server = fake::imap(&mailbox, Fault::None);
    let common = [
        "run",
        "commands",
        "--closed",
        "--count",
        "5",
        "--set",
        "command=UID FETCH 1:* BODY[]",
        "--set",
    ];
    for (pattern, expected) in [
        (r"expect=^\* 3 FETCH", 0),
        (r"expect=^\* 4 FETCH", 1),
        (r"messages=all", 0),
        (r"messages=2", 1),
    ] {
        let arguments = [&common[..], &[pattern]].concat();
        let (code, json) = run(&arguments, &[("--imap", server)]);
        assert_eq!(code, expected, "{pattern}");
        assert!(json["operations"].get("uid-fetch").is_some(), "{json}");
    }
}

#[test]
fn pop3_downloads_are_compared_with_their_sizes_and_seals() {
    let mailbox = filled("20", "real");
    let arguments = [
        "run",
        "pop3-download",
        "--closed",
        "--count",
        "3",
        "--connections",
        "1",
        "--mailboxes",
        "1",
    ];
    let (code, json) = run(&arguments, &[("--pop3", fake::pop3(&mailbox, 0))]);
    let operation = &json["operations"]["download"];
    assert_eq!((code, operation["items"].as_u64()), (0, Some(60)));
    assert_eq!(run(&arguments, &[("--pop3", fake::pop3(&mailbox, 1))]).0, 1);
    mailbox.lock().unwrap()[7][900] ^= 1;
    assert_eq!(run(&arguments, &[("--pop3", fake::pop3(&mailbox, 0))]).0, 1);
}

#[test]
fn a_notification_that_never_comes_is_wrong() {
    // Clients may go idle, and nobody ever tells them anything.
    let imap = fake::start(|dialogue| {
        dialogue.say("* OK fake\r\n")?;
        loop {
            let line = dialogue.line()?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            match command {
                "IDLE" => dialogue.say("+ idling\r\n")?,
                _ if command.starts_with("SELECT") => dialogue.say(&format!("* 0 EXISTS\r\n{tag} OK\r\n"))?,
                _ => dialogue.say(&format!("{tag} OK\r\n"))?,
            }
        }
    });
    let lmtp = fake::lmtp_into(&Mailbox::default());
    let arguments = [
        "run",
        "idle-with-deliveries",
        "--connections",
        "3",
        "--mailboxes",
        "3",
        "--duration",
        "1",
        "--rate",
        "20",
    ];
    let (code, json) = run(&arguments, &[("--imap", imap), ("--lmtp", lmtp)]);
    assert_eq!(code, 1);
    let delivered = json["operations"]["deliver"]["count"].as_u64();
    assert_eq!(
        (
            json["operations"]["notify"]["wrong"].as_u64(),
            delivered > Some(5)
        ),
        (delivered, true)
    );
}

#[test]
fn idle_is_begun_anew_and_misses_nothing() {
    let (mailbox, imap, idles) = fake::watched();
    let lmtp = fake::lmtp_into(&mailbox);
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("idle.toml");
    let text = "description = 'short'\n[[group]]\nprotocol = 'imap'\npace = 'listen'\n\
                setup = [{ do = 'select' }, { do = 'idle', name = 'notify', renew_s = 0.05 }]\n\
                [[group]]\nprotocol = 'lmtp'\nconnections = 1\nmailbox = 'watched'\nsteps = [{ do = 'deliver' }]";
    std::fs::write(&scenario, text).unwrap();
    let arguments = [
        "run",
        scenario.to_str().unwrap(),
        "--duration",
        "1",
        "--rate",
        "100",
    ];
    let (code, json) = run(&arguments, &[("--imap", imap), ("--lmtp", lmtp)]);
    let count = |name: &str| json["operations"][name]["count"].as_u64();
    assert_eq!((code, count("notify")), (0, count("deliver")), "{json}");
    assert!(count("notify") > Some(50));
    assert!(idles.load(std::sync::atomic::Ordering::Relaxed) > 10);
}

#[test]
fn results_can_be_drawn_and_logged() {
    let server = fake::lmtp_into(&Mailbox::default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, hdr, svg) = (path("a.json"), path("a.hlog"), path("a.svg"));
    let server = server.to_string();
    let output = loadgen(&[
        "run",
        "deliver",
        "--lmtp",
        &server,
        "--duration",
        "2",
        "--rate",
        "50",
        "--json",
        &json,
        "--hdr",
        &hdr,
        "--svg",
        &svg,
    ]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("deliver") && text.contains("p99.9"), "{text}");
    let log = std::fs::read_to_string(&hdr).unwrap();
    assert!(
        log.starts_with('#')
            && log
                .lines()
                .filter(|line| line.starts_with("Tag=deliver,"))
                .count()
                >= 2
    );
    let drawn = loadgen(&["plot", &json, &json, "--svg", &path("b.svg")]);
    assert!(drawn.status.success());
    for (name, curves) in [(svg, 2), (path("b.svg"), 4)] {
        let drawing = std::fs::read_to_string(name).unwrap();
        assert_eq!(drawing.matches("<polyline").count(), curves);
        assert!(drawing.ends_with("</svg>\n") && !drawing.contains("NaN") && !drawing.contains("inf"));
    }
}

#[test]
fn tls_is_spoken_from_the_first_byte_or_when_agreed() {
    for (mode, starts_plain) in [("implicit", false), ("starttls", true)] {
        let mailbox: Mailbox = Arc::new(Mutex::new(Vec::new()));
        let server = tls::lmtp(&mailbox, starts_plain);
        let arguments = [
            "run",
            "deliver",
            "--closed",
            "--count",
            "40",
            "--connections",
            "3",
            "--size",
            "200000",
            "--tls",
            mode,
        ];
        let (code, json) = run(&arguments, &[("--lmtp", server)]);
        assert_eq!(
            (code, json["operations"]["deliver"]["count"].as_u64()),
            (0, Some(40)),
            "{mode}"
        );
        assert_eq!(mailbox.lock().unwrap().len(), 40);
    }
}

mod tls {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        sync::{Arc, Mutex},
    };

    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use crate::fake::{self, Dialogue, Mailbox};

    #[derive(Clone)]
    struct Both(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);

    impl Read for Both {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().read(buffer)
        }
    }

    impl Write for Both {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            let mut stream = self.0.lock().unwrap();
            let written = stream.write(buffer)?;
            stream.flush()?;
            Ok(written)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            self.0.lock().unwrap().flush()
        }
    }

    /// An LMTP server with a certificate that it made itself.
    pub(crate) fn lmtp(mailbox: &Mailbox, starts_plain: bool) -> SocketAddr {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let configuration = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let configuration = Arc::new(configuration);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox = mailbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mailbox, configuration) = (mailbox.clone(), configuration.clone());
                std::thread::spawn(move || serve(stream, configuration, starts_plain, &mailbox));
            }
        });
        address
    }

    fn serve(
        mut stream: TcpStream,
        configuration: Arc<ServerConfig>,
        starts_plain: bool,
        mailbox: &Mailbox,
    ) -> std::io::Result<()> {
        if starts_plain {
            stream.write_all(b"220 fake\r\n")?;
            let mut lines = BufReader::new(stream.try_clone()?);
            for (wanted, answer) in [("LHLO", "250 STARTTLS\r\n"), ("STARTTLS", "220 go on\r\n")] {
                let mut line = String::new();
                lines.read_line(&mut line)?;
                assert!(line.starts_with(wanted), "{line}");
                stream.write_all(answer.as_bytes())?;
            }
        }
        let connection = ServerConnection::new(configuration).unwrap();
        let stream = Both(Arc::new(Mutex::new(StreamOwned::new(connection, stream))));
        let mut dialogue = Dialogue::over(stream.clone());
        let store = |message| {
            mailbox.lock().unwrap().push(message);
            "250 2.0.0 stored\r\n".to_owned()
        };
        if starts_plain {
            fake::lmtp_after_greeting(&mut dialogue, store)
        } else {
            fake::lmtp(&mut dialogue, store)
        }
    }
}
