//! Structures of well and badly formed messages.

use proptest::prelude::*;

use super::*;

/// The structure in one line: type, then body range, then what is inside.
fn shape(part: &Part) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = format!("{}/{}", text(&part.media_type), text(&part.media_subtype));
    match &part.children {
        Children::None => kind,
        Children::Multipart(parts) => format!(
            "{kind}[{}]",
            parts.iter().map(shape).collect::<Vec<_>>().join(" ")
        ),
        Children::Message(inner) => format!("{kind}<{}>", shape(&inner.root)),
    }
}

fn bytes<'a>(source: &'a str, range: &Range<u64>) -> &'a str {
    &source[range.start as usize..range.end as usize]
}

const NESTED: &str = "From: a@b\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\npreamble\r\n--out\r\n\
    Content-Type: multipart/alternative; boundary=\"in ner\"\r\n\r\n--in ner\r\n\r\nplain\r\n--in ner\r\n\
    Content-Type: text/html\r\n\r\n<p>\r\n\r\n--in ner--\r\nepilogue\r\n--out \t\r\nContent-Type: message/rfc822\r\n\r\n\
    Subject: inside\r\n\r\nbody\r\n--out--\r\nend\r\n";

#[test]
fn parts_and_their_ranges() {
    let structure = Structure::of(NESTED.as_bytes());
    assert_eq!(
        shape(&structure.root),
        "multipart/mixed[multipart/alternative[text/plain text/html] message/rfc822<text/plain>]"
    );
    let section = |numbers: &[u32], section| structure.section(numbers, section).map(|r| bytes(NESTED, &r));
    assert_eq!(section(&[], Section::Whole), Some(NESTED));
    assert_eq!(section(&[1, 1], Section::Whole), Some("plain"));
    assert_eq!(section(&[1, 1], Section::Mime), Some("\r\n"));
    assert_eq!(section(&[1, 2], Section::Whole), Some("<p>\r\n"));
    assert_eq!(
        section(&[1, 2], Section::Mime),
        Some("Content-Type: text/html\r\n\r\n")
    );
    assert_eq!(section(&[2], Section::Whole), Some("Subject: inside\r\n\r\nbody"));
    assert_eq!(section(&[2], Section::Header), Some("Subject: inside\r\n\r\n"));
    assert_eq!(section(&[2], Section::Text), Some("body"));
    assert_eq!(section(&[2, 1], Section::Whole), Some("body"));
    for numbers in [&[3][..], &[0], &[1, 3], &[1, 1, 1], &[2, 1, 1], &[2, 2]] {
        assert_eq!(section(numbers, Section::Whole), None, "{numbers:?}");
    }
    assert_eq!(section(&[1], Section::Header), None);
    assert_eq!(structure.part_by_path(&[0, 1]).map(|part| part.lines), Some(1));
    assert_eq!(
        structure
            .part_by_path(&[1, 0])
            .map(|part| bytes(NESTED, &part.body)),
        Some("body")
    );
    let Children::Multipart(parts) = &structure.root.children else {
        unreachable!()
    };
    let Children::Message(inner) = &parts[1].children else {
        unreachable!()
    };
    assert_eq!(inner.envelope.subject.as_deref(), Some(&b"inside"[..]));
    let bare = NESTED.replace('\r', "");
    assert_eq!(
        shape(&Structure::of(bare.as_bytes()).root),
        shape(&structure.root)
    );
}

#[test]
fn badly_formed_messages() {
    let multipart = |rest: &str| format!("Content-Type: multipart/mixed; boundary=b\n\n{rest}");
    for (source, expected) in [
        (String::new(), "text/plain"),
        ("no header at all".to_owned(), "text/plain"),
        (
            "Content-Type: multipart/mixed\n\n--x\n".to_owned(),
            "multipart/mixed[]",
        ),
        (multipart("no delimiter"), "multipart/mixed[]"),
        (multipart("--b--\n"), "multipart/mixed[]"),
        (multipart("--b\n\nopen end"), "multipart/mixed[text/plain]"),
        (
            multipart("--b\n--b\n--b--"),
            "multipart/mixed[text/plain text/plain]",
        ),
        (multipart("--bx\n--b"), "multipart/mixed[text/plain]"),
        // The inner multipart is not closed.
        (
            multipart("--b\nContent-Type: multipart/x; boundary=c\n\n--c\n\n1\n--b\n\n2\n--b--"),
            "multipart/mixed[multipart/x[text/plain] text/plain]",
        ),
        // The inner multipart has the outer one's boundary.
        (
            multipart(
                "--b\nContent-Type: multipart/x; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b--\n--b\nContent-Type: image/png\n\n3\n--b--",
            ),
            "multipart/mixed[multipart/x[text/plain text/plain] image/png]",
        ),
        // The inner multipart has no boundary, and the outer one ends it.
        (
            multipart("--b\nContent-Type: multipart/x\n\ntext\n--b\n\n2\n--b--"),
            "multipart/mixed[multipart/x[] text/plain]",
        ),
        // Headers that a delimiter ends.
        (
            multipart("--b\nContent-Type: image/png\n--b\nContent-Type: text/html\n--b--\n"),
            "multipart/mixed[image/png text/html]",
        ),
        ("Content-Type: nonsense\n\n".to_owned(), "text/plain"),
        (
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b--".to_owned(),
            "multipart/digest[message/rfc822<text/plain>]",
        ),
        (
            "Content-Type: message/global\n\nSubject: x\n\ny".to_owned(),
            "message/global<text/plain>",
        ),
    ] {
        assert_eq!(
            shape(&Structure::of(source.as_bytes()).root),
            expected,
            "{source}"
        );
    }
    let missing_line = "Subject: x\nno field: but text\nmore";
    let structure = Structure::of(missing_line.as_bytes());
    assert_eq!(bytes(missing_line, &structure.root.header), "Subject: x\n");
    assert_eq!(
        bytes(missing_line, &structure.root.body),
        "no field: but text\nmore"
    );
    // The same in a part: what can't be a field is shown, where Dovecot hides it in the header.
    let part = multipart("--b\nContent-Type: text/html\n<p>no line\n--b--");
    let structure = Structure::of(part.as_bytes());
    let section = |section| structure.section(&[1], section).map(|range| bytes(&part, &range));
    assert_eq!(section(Section::Mime), Some("Content-Type: text/html\n"));
    assert_eq!(section(Section::Whole), Some("<p>no line"));
}

#[test]
fn envelopes() {
    let source = "Date: Mon\r\nFrom: A <a@b.c>\r\nsubject: =?x?\r\n folded\r\nTo: x@y, g:;\r\nReferences: <1>\r\n <2>\r\n\r\n";
    let envelope = Structure::of(source.as_bytes()).envelope;
    assert_eq!(envelope.subject.as_deref(), Some(&b"=?x? folded"[..]));
    assert_eq!(envelope.references.as_deref(), Some(&b"<1> <2>"[..]));
    assert_eq!(envelope.sender, envelope.from);
    assert_eq!(envelope.to.len(), 3);
    assert_eq!(envelope.bcc, []);
}

#[test]
fn depth_and_parts_are_limited() {
    let levels = 0..MAX_DEPTH * 2;
    let header = |level| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    let deep: Vec<String> = levels.map(header).collect();
    let deep = deep.concat();
    let structure = Structure::of(deep.as_bytes());
    let mut part = &structure.root;
    let mut depth = 0;
    while let Some(child) = part.child(0) {
        part = child;
        depth += 1;
    }
    assert_eq!(depth, MAX_DEPTH);
    assert!(part.is("application", "octet-stream"));
    assert_eq!(Structure::decode(&structure.encode()).as_ref(), Some(&structure));
    let wide = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n\nx\n".repeat(MAX_PARTS + 50)
    );
    let Children::Multipart(parts) = Structure::of(wide.as_bytes()).root.children else {
        unreachable!()
    };
    assert!(parts.len() <= MAX_PARTS);
    let messages = "Content-Type: message/rfc822\n\n".repeat(MAX_DEPTH * 2);
    let structure = Structure::of(messages.as_bytes());
    assert_eq!(Structure::decode(&structure.encode()), Some(structure));
}

#[test]
fn ordinary_mail_is_small() {
    let source = format!(
        "Date: Tue, 24 Nov 2026 02:48:24 +0000\r\nFrom: Alice Example <alice@example.test>\r\n\
         To: Bob Example <bob@example.test>\r\nSubject: Minutes of the meeting\r\n\
         Message-ID: <0123456789abcdef@mail.example.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}",
        "A line of some text that is neither short nor long.\r\n".repeat(180)
    );
    let encoded = Structure::of(source.as_bytes()).encode();
    assert!(encoded.len() <= 220, "{} bytes", encoded.len());
}

#[test]
fn damaged_forms_are_refused() {
    let encoded = Structure::of(NESTED.as_bytes()).encode();
    for length in 0..encoded.len() {
        assert_eq!(Structure::decode(&encoded[..length]), None, "cut at {length}");
    }
    assert_eq!(Structure::decode(&[&encoded[..], b"x"].concat()), None);
    assert_eq!(Structure::decode(&[9]), None);
}

fn check(source: &[u8]) {
    fn ranges(part: &Part, size: u64) {
        assert!(part.header.start <= part.header.end && part.header.end == part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= size);
        (0..)
            .map_while(|index| part.child(index))
            .for_each(|part| ranges(part, size));
    }
    let structure = Structure::of(source);
    ranges(&structure.root, source.len() as u64);
    assert_eq!(Structure::decode(&structure.encode()), Some(structure));
}

proptest! {
    #[test]
    fn any_bytes_have_a_structure(source in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&source);
        let _ = Structure::decode(&source);
    }

    #[test]
    fn any_arrangement_has_a_structure(pieces in proptest::collection::vec(0usize..PIECES.len(), 0..60)) {
        let source: Vec<u8> = pieces.iter().flat_map(|&piece| PIECES[piece].bytes()).collect();
        check(&source);
    }

    #[test]
    fn damage_is_survived(at in 0usize..200, byte in any::<u8>()) {
        let mut encoded = Structure::of(NESTED.as_bytes()).encode();
        if let Some(slot) = encoded.get_mut(at) {
            *slot = byte;
        }
        let _ = Structure::decode(&encoded);
    }
}

#[test]
fn lines_of_an_envelope_are_read_without_decoding_it() {
    // One of the ids is a token that has a number.
    for (id, references) in [("<a@b>", "<c@d> <e@f>"), ("pdf", ""), ("", "<x@y>")] {
        let source = format!("Subject: s\r\nMessage-ID: {id}\r\nReferences: {references}\r\n\r\nbody");
        let structure = Structure::of(source.as_bytes());
        let encoded = structure.encode();
        let lines = EnvelopeLines::of(&encoded).unwrap();
        let envelope = &structure.envelope;
        assert_eq!(lines.message_id, envelope.message_id.as_deref());
        assert_eq!(lines.in_reply_to, envelope.in_reply_to.as_deref());
        assert_eq!(lines.references, envelope.references.as_deref());
        for length in 0..encoded.len() {
            let _ = EnvelopeLines::of(&encoded[..length]);
        }
    }
    assert!(EnvelopeLines::of(b"").is_none());
}

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "--a",
    "--b",
    "--",
    "-",
    " ",
    "\t",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=\"b\"\n",
    "Content-Type: message/rfc822\r\n",
    "Subject: =?utf-8?q?x?=\r\n",
    "From: a <b@c>, d: e@f;\r\n",
    "text",
    ":",
    ";",
    "\"",
    "(",
    ")",
    "<",
    ">",
    "@",
    "\\",
    "\r",
    "\0",
    "ü",
    "Content-Disposition: attachment; filename*0*=utf-8''%41; filename*1=b\r\n",
    "Content-Language: a, b\n",
    "Content-Type: text/html; charset=x",
    "=",
    "?=",
];

#[test]
fn an_envelope_says_whether_its_lines_are_all() {
    let of = |source: &str| {
        let encoded = Structure::of(source.as_bytes()).encode();
        let decoded = Structure::decode(&encoded).unwrap().envelope;
        assert_eq!(
            EnvelopeLines::of(&encoded).unwrap().incomplete,
            decoded.incomplete
        );
        decoded
    };
    assert!(!of("Message-ID: <a@b>\r\nX: 1\r\nX: 2\r\nTo: a@b\r\n\r\n").incomplete);
    let twice = of("Message-ID: <a@b>\r\nmessage-id: <c@d>\r\n\r\n");
    assert_eq!(twice.message_id.as_deref(), Some(&b"<a@b>"[..]));
    assert!(twice.incomplete);
    let long = "<a@b>\r\n ".repeat(crate::header::MAX_VALUE_BYTES / 8 + 1);
    assert!(of(&format!("References: {long}\r\n\r\n")).incomplete);
    assert!(of(&format!("{}\r\n", "X: 1\r\n".repeat(crate::header::MAX_FIELDS))).incomplete);
}
