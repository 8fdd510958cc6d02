//! What holds for any bytes, in every function that reads header fields, bodies and messages.

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::{collection::vec, prelude::*};
use ringpost_convert::{
    body::{self, charset},
    header::{self, Parameterised, addresses, decode_text, parameter::MAX_PARAMETERS, parse_date},
    message::{AttachmentContent, AttachmentData, MessageContent, from_mime},
    mime_to_mapi::{MAX_EMBEDDED, MAX_NAMED, html_body, part_data, plain_body, transport_headers},
    structure::{Part, Section, Structure},
};
use ringpost_mapi::tags;

/// Pieces of fields, which come together to something that almost means something.
const FIELD_PIECES: &[&str] = &[
    "=?",
    "?=",
    "utf-8",
    "?q?",
    "?b?",
    "=C3=BC",
    "w7w=",
    "\"",
    "\\",
    "(",
    ")",
    "<",
    ">",
    "@",
    ",",
    ";",
    ":",
    "=",
    "a",
    "b c",
    "*0*",
    "*1",
    "*",
    "''",
    "%41",
    "%",
    " ",
    "\t",
    "\r\n ",
    "\n",
    "\0",
    "ü",
    "filename",
    "charset",
    "1",
    "Jan",
    "2000",
    "12:00",
    "+0100",
    "iso-8859-1",
    "group:",
];

/// Lines of messages, likewise.
const MESSAGE_PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "--a\r\n",
    "--a--\r\n",
    "--b\n",
    "--b--\n",
    "text",
    "<img src=cid:x>",
    "é",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/alternative; boundary=b\n",
    "Content-Type: multipart/related; boundary=b\n",
    "Content-Type: multipart/signed; boundary=a; protocol=x\r\n",
    "Content-Type: multipart/report; boundary=b\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: message/delivery-status\n",
    "Content-Type: message/disposition-notification\n",
    "Content-Type: text/html; charset=utf-8\r\n",
    "Content-Type: text/plain; name=x\n",
    "Content-Type: image/png\r\n",
    "Content-Type: application/pkcs7-mime; name=smime.p7m\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\n",
    "Content-Transfer-Encoding: x-uuencode\n",
    "Content-Disposition: attachment; filename=\"a.txt\"\r\n",
    "Content-ID: <x>\n",
    "Content-Description: =?utf-8?q?=C3=BC?=\n",
    "Final-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.1.1\n",
    "Disposition: manual-action/MDN-sent-manually; displayed\n",
    "Subject: Re: x\r\n",
    "From: a <b@c>\n",
    "To: d@e, f: g@h;\r\n",
    "Reply-To: i@j\n",
    "Date: 1 Jan 2000 12:00:00 +0100\n",
    "Received: from a by b; 1 Jan 2000 12:00:00 +0100\n",
    "References: <1> <2>\r\n",
    "Thread-Index: AQHWLRNo4NaOjvXU8EODe0ZotrA8Bw==\n",
    "X-Priority: 1\n",
    "X-Message-Flag: x\n",
    "Keywords: a, b\n",
    "begin 644 a.txt\n#0V%T\n`\nend\n",
    "aGVsbG8=\r\n",
];

fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(of), 0..most).prop_map(|chosen| chosen.concat().into_bytes())
}

fn field_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..200), pieces(FIELD_PIECES, 40)]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..400), pieces(MESSAGE_PIECES, 40)]
}

proptest! {
    #[test]
    fn fields_are_pieces_of_the_header(header in message()) {
        let mut length = 0;
        for field in header::fields(&header) {
            length += field.line.len();
            prop_assert!(!field.name.is_empty());
            prop_assert!(field.line.starts_with(field.name));
            prop_assert!(field.name.len() + field.value.len() < field.line.len());
            prop_assert!(!field.unfolded().contains(&b'\n'));
        }
        prop_assert!(length <= header.len());
    }

    #[test]
    fn values_can_be_anything(value in field_value()) {
        let text = decode_text(&value);
        prop_assert!(!text.contains('\0'));
        if value.is_ascii() && !value.contains(&0) && !text.contains("=?") && memchr::memmem::find(&value, b"=?").is_none() {
            prop_assert_eq!(text.as_bytes(), &value[..]);
        }
        let _ = parse_date(&value);
        let read = Parameterised::read(&value);
        prop_assert!(read.parameters.len() <= MAX_PARAMETERS);
        for (index, (name, _)) in read.parameters.iter().enumerate() {
            prop_assert!(read.parameters[..index].iter().all(|(known, _)| known != name));
            prop_assert_eq!(&name.to_ascii_lowercase(), name);
        }
        // A group's start has no host, its end nothing, and no group is in another.
        let mut open = false;
        for one in addresses(&value) {
            match (&one.mailbox, &one.host) {
                (Some(_), Some(_)) => {}
                (Some(_), None) => prop_assert!(!std::mem::replace(&mut open, true)),
                (None, _) => prop_assert!(std::mem::replace(&mut open, false)),
            }
        }
        prop_assert!(!open);
    }

    #[test]
    fn encodings_can_be_undone(content in vec(any::<u8>(), 0..300), line in 4usize..100) {
        let encoded = BASE64_STANDARD.encode(&content);
        let lines: Vec<&[u8]> = encoded.as_bytes().chunks(line).collect();
        prop_assert_eq!(&body::base64(&lines.join(&b"\r\n"[..])), &content);
        let quoted: Vec<String> = content.iter().map(|byte| format!("={byte:02X}")).collect();
        let lines: Vec<String> = quoted.chunks(line).map(<[String]>::concat).collect();
        prop_assert_eq!(&body::quoted_printable(lines.join("=\r\n").as_bytes()), &content);
    }

    #[test]
    fn bodies_can_be_anything(body in message(), encoding in 0usize..5, name in "[a-z0-9-]{0,12}") {
        let encoding = ["base64", "quoted-printable", "x-uuencode", "8bit", "x"][encoding];
        let part = Part {
            body: 0..body.len() as u64,
            encoding: encoding.into(),
            parameters: vec![(b"charset".to_vec(), name.into_bytes())],
            ..Part::default()
        };
        let data = body::data(&body, &part);
        prop_assert_eq!(body::data_size(&body, &part), data.len() as u64);
        prop_assert!(data.len() <= body.len());
        let _ = body::text(&body, &part);
        // A structure of another source.
        let _ = body::data(&body[body.len() / 2..], &part);
    }

    #[test]
    fn charsets_can_be_anything(
        bytes in vec(any::<u8>(), 0..200),
        name in prop::sample::select(CHARSETS),
    ) {
        let text = charset::decode(&bytes, name.as_bytes());
        prop_assert!(text.len() <= bytes.len() * 4 + 8);
        let _ = charset::code_page(name.as_bytes());
    }

    #[test]
    fn messages_can_be_anything(source in message()) {
        let structure = Structure::of(&source);
        let content = from_mime(&source, &structure);
        prop_assert_eq!(&from_mime(&source, &Structure::decode(&structure.encode()).unwrap()), &content);
        let bag = &content.properties;
        prop_assert!(bag.string(tags::MESSAGE_CLASS).is_some());
        let joined = [tags::SUBJECT_PREFIX, tags::NORMALIZED_SUBJECT].map(|tag| bag.string(tag).unwrap()).concat();
        prop_assert_eq!(bag.string(tags::SUBJECT), Some(&*joined));
        let bodies = (plain_body(&source, &structure), html_body(&source, &structure));
        let native = bag.get(tags::NATIVE_BODY).cloned();
        let expected = match bodies {
            (_, Some(_)) => 3,
            (Some(_), None) => 1,
            (None, None) => 0,
        };
        prop_assert_eq!(native, Some(ringpost_mapi::PropValue::Integer32(expected)));
        let _ = transport_headers(&source, &structure);
        check(&source, &structure, &content, 0);
    }

    #[test]
    fn a_structure_of_another_message_harms_nothing(of in message(), source in message()) {
        let structure = Structure::of(&of);
        let content = from_mime(&source, &structure);
        check(&source, &structure, &content, 0);
        let _ = (plain_body(&source, &structure), html_body(&source, &structure));
    }

    #[test]
    fn sections_are_pieces_of_the_source(source in message(), numbers in vec(0u32..4, 0..5)) {
        let structure = Structure::of(&source);
        for section in [Section::Whole, Section::Header, Section::Text, Section::Mime] {
            if let Some(range) = structure.section(&numbers, section) {
                prop_assert!(range.start <= range.end && range.end <= source.len() as u64);
            }
        }
    }
}

const CHARSETS: &[&str] = &[
    "",
    "utf-8",
    "utf-7",
    "utf-16",
    "utf-16le",
    "utf-32",
    "utf-32be",
    "us-ascii",
    "iso-8859-1",
    "iso-2022-jp",
    "iso-2022-kr",
    "hz-gb-2312",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-kr",
    "koi8-r",
    "cp1252",
    "cp125",
    "replacement",
    "x-user-defined",
    "nonsense",
];

fn check(source: &[u8], structure: &Structure, content: &MessageContent, depth: usize) {
    assert!(depth <= MAX_EMBEDDED);
    assert!(content.named.len() <= MAX_NAMED);
    for AttachmentContent { data, properties } in &content.attachments {
        assert!(properties.get(tags::ATTACH_SIZE).is_some());
        match data {
            // Those in TNEF streams hold their data themselves.
            AttachmentData::None => {}
            AttachmentData::Part(path) => {
                let _ = part_data(source, structure, path);
            }
            AttachmentData::Embedded(inner) => check(source, structure, inner, depth + 1),
        }
    }
}
