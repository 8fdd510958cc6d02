//! Messages made to be slow, deep or large: everything stays linear to the input and within its limits.

use std::time::{Duration, Instant};

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, MessageContent, from_mime},
    mime_to_mapi::{MAX_EMBEDDED, MAX_NAMED, html_body, part_data, plain_body, transport_headers},
    structure::{Children, MAX_DEPTH, MAX_PARTS, Part, Structure},
};

/// Roughly how large each monster is, in bytes. Were anything quadratic, it would take hours.
const SIZE: usize = 2_000_000;
/// What one may take without optimisation on a busy machine.
const MOST: Duration = Duration::from_secs(30);

/// Does everything with a message that is ever done.
fn survive(what: &str, source: &[u8]) {
    let begin = Instant::now();
    let structure = Structure::of(source);
    assert!(depth(&structure.root) <= MAX_DEPTH, "{what}");
    assert!(count(&structure.root) <= MAX_PARTS + MAX_DEPTH, "{what}");
    assert_eq!(
        Structure::decode(&structure.encode()).as_ref(),
        Some(&structure),
        "{what}"
    );
    let content = from_mime(source, &structure);
    let _ = (plain_body(source, &structure), html_body(source, &structure));
    let _ = transport_headers(source, &structure);
    check(source, &structure, &content, 0);
    let taken = begin.elapsed();
    assert!(taken < MOST, "{what} took {taken:?}");
    println!("{what:24} {:9} bytes {taken:?}", source.len());
}

fn check(source: &[u8], structure: &Structure, content: &MessageContent, depth: usize) {
    assert!(depth <= MAX_EMBEDDED);
    assert!(content.named.len() <= MAX_NAMED);
    for AttachmentContent { data, .. } in &content.attachments {
        match data {
            // Those in TNEF streams hold their data themselves.
            AttachmentData::None => {}
            AttachmentData::Part(path) => assert!(part_data(source, structure, path).is_some()),
            AttachmentData::Embedded(inner) => check(source, structure, inner, depth + 1),
        }
    }
}

fn children(part: &Part) -> impl Iterator<Item = &Part> {
    (0..).map_while(|index| part.child(index))
}

fn depth(part: &Part) -> usize {
    children(part)
        .map(|part| depth(part) + 1)
        .max()
        .unwrap_or_default()
}

fn count(part: &Part) -> usize {
    children(part).map(count).sum::<usize>() + 1
}

/// `text` as often as makes a monster.
fn many(text: &str) -> String {
    text.repeat(SIZE / text.len())
}

#[test]
fn deep_ones() {
    let level = |level| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    let nested: String = (0..SIZE / 60).map(level).collect();
    survive("multiparts", nested.as_bytes());
    survive("messages", many("Content-Type: message/rfc822\n\n").as_bytes());
    survive(
        "same boundary",
        many("Content-Type: multipart/mixed; boundary=b\n\n--b\n").as_bytes(),
    );
    // All boundaries begin alike, and so do the lines that aren't delimiters.
    let open: Vec<String> = (1..MAX_DEPTH)
        .map(|level| {
            let boundary = "b".repeat(level);
            format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\n")
        })
        .collect();
    let open = open.concat();
    let lines = many(&format!("--{}\n", "b".repeat(MAX_DEPTH * 2)));
    survive("lines like delimiters", format!("{open}\n{lines}").as_bytes());
    survive("comments", format!("To: {}\n\n", many("(")).as_bytes());
    survive(
        "comments of dates",
        format!("Date: {}\n\n", many("1 (")).as_bytes(),
    );
}

#[test]
fn wide_ones() {
    let multipart =
        |kind: &str, parts: &str| format!("Content-Type: multipart/{kind}; boundary=b\n\n{parts}");
    for kind in ["mixed", "alternative", "related", "digest", "report", "signed"] {
        survive(kind, multipart(kind, &many("--b\n\nx\n")).as_bytes());
    }
    let ten_thousand = "--b\nContent-Type: text/plain; name=a\n\nx\n".repeat(MAX_PARTS * 2);
    let source = multipart("mixed", &ten_thousand);
    let Children::Multipart(parts) = Structure::of(source.as_bytes()).root.children else {
        panic!("not a multipart")
    };
    assert!(parts.len() >= MAX_PARTS - 1);
    survive("parts", source.as_bytes());
    survive("delimiters", multipart("mixed", &many("--b\n")).as_bytes());
    survive(
        "messages",
        multipart(
            "mixed",
            &many("--b\nContent-Type: message/rfc822\n\nFrom: a@b\n\nx\n"),
        )
        .as_bytes(),
    );
    let image = "--b\nContent-Type: image/png\nContent-ID: <x>\n\n\n".repeat(1000);
    let html = format!("--b\nContent-Type: text/html\n\n{}\n", many("cid:a'cid:"));
    survive(
        "content ids",
        multipart("related", &format!("{html}{image}")).as_bytes(),
    );
    let groups = many("Final-Recipient: rfc822; a@b\nAction: failed\n\n");
    let report = multipart(
        "report",
        &format!("--b\nContent-Type: message/delivery-status\n\n\n{groups}"),
    );
    survive("reported recipients", report.as_bytes());
}

#[test]
fn large_headers() {
    let long = |name: &str, text: &str| format!("{name}: {}\r\n\r\nbody", many(text));
    for name in [
        "Subject",
        "To",
        "References",
        "Date",
        "X-A",
        "Content-Type",
        "Content-Disposition",
        "Keywords",
    ] {
        for text in [
            "a",
            " ",
            "\r\n ",
            "=?",
            "=?x?q?",
            "=?utf-8?q?=C3?= ",
            "a@b,",
            "\"",
            "<",
            ":",
            ";",
            "a=1;",
            "a*0*=1;",
            "\\",
            "é",
            "::;",
        ] {
            survive(&format!("{name} {text:?}"), long(name, text).as_bytes());
        }
    }
    for field in [
        "A: 1\n",
        "X-A: 1\n",
        "Received: a; 1 Jan 2000 1:1\n",
        "Subject: x\n",
        "To: a@b\n",
        "Content-Type: a/b\n",
    ] {
        survive(field.trim_end(), many(field).as_bytes());
    }
    let different: Vec<String> = (0..SIZE / 12).map(|number| format!("X-{number}: 1\n")).collect();
    let different = different.concat();
    survive("different fields", different.as_bytes());
    survive("a field's name", many("a").as_bytes());
}

#[test]
fn odd_bytes() {
    // A simple generator, so that a failure can be repeated.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..SIZE).map(|_| random()).collect();
    survive("noise", &noise);
    let high: Vec<u8> = noise.iter().map(|byte| byte | 0x80).collect();
    survive("8-bit", &high);
    for fields in [
        "Subject: ",
        "From: ",
        "Content-Type: text/plain; charset=",
        "Content-Type: text/html; charset=iso-2022-jp\n\n",
        "Content-Type: text/plain; charset=utf-7\n\n",
        "Content-Type: application/x; name=a\nContent-Transfer-Encoding: base64\n\n",
        "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n",
        "Content-Type: application/x; name=a\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n",
    ] {
        survive(fields, &[fields.as_bytes(), &noise].concat());
        survive(fields, &[fields.as_bytes(), &high].concat());
    }
    for text in ["\n", "\r", "\r\n", "\0", "=", "=\n", "a=", "+", "~{", "\x0e\x0f"] {
        for encoding in ["7bit", "base64", "quoted-printable", "uuencode"] {
            let source = format!(
                "Content-Type: text/plain; charset=hz\nContent-Transfer-Encoding: {encoding}\n\n{}",
                many(text)
            );
            survive(&format!("{text:?} {encoding}"), source.as_bytes());
        }
        survive(&format!("{text:?}"), many(text).as_bytes());
    }
}
