//! Mail as it occurs: what people, lists, servers and broken programs send.

use super::{
    Dice,
    parts::{self, Entity, File, attachment, multipart, picture},
    text::{Words, base64_lines, header_text, in_charset},
};

/// A message, and what it means.
pub(crate) struct Mail {
    pub(crate) source: Vec<u8>,
    /// What every reader finds in it; `None` where it is broken and readers differ.
    pub(crate) meant: Option<Meant>,
    pub(crate) kind: &'static str,
}

/// What a message means.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meant {
    pub(crate) subject: String,
    /// Names and addresses.
    pub(crate) from: (String, String),
    pub(crate) to: Vec<(String, String)>,
    pub(crate) cc: Vec<(String, String)>,
    pub(crate) class: &'static str,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) files: Vec<File>,
    /// Bytes that have to leave as they came: what is signed or encrypted.
    pub(crate) exact: Option<Vec<u8>>,
}

/// The message with this number.
pub(crate) fn mail(number: u64) -> Mail {
    let dice = &mut Dice::new(number);
    let (kind, entity, mut meant) = body(dice, 0);
    let fields = header(&mut meant, dice);
    let mime = if dice.one_in(2) {
        "MIME-Version: 1.0\r\n"
    } else {
        "Mime-Version: 1.0 (1.0)\r\n"
    };
    let source = [fields.as_bytes(), mime.as_bytes(), &entity.bytes()].concat();
    if dice.one_in(3) {
        let (source, breakage) = broken(source, dice);
        return Mail {
            source,
            meant: None,
            kind: breakage,
        };
    }
    Mail {
        source,
        meant: Some(meant),
        kind,
    }
}

fn person(dice: &mut Dice) -> (String, String, String) {
    let words = Words::any(dice);
    let number = dice.below(1000);
    let address = match dice.below(8) {
        0 => format!("first.last+tag{number}@example.test"),
        1 => format!("o'neil_{number}@mail.example.org"),
        2 => format!("{number}=x@example.test"),
        _ => format!("user{number}@example.test"),
    };
    match dice.below(5) {
        0 => (String::new(), address.clone(), address),
        1 => (String::new(), address.clone(), format!("<{address}>")),
        2 => {
            let name = "Doe, \"Jane\" (x) <y>".to_owned();
            let written = format!("\"Doe, \\\"Jane\\\" (x) <y>\" <{address}>");
            (name, address, written)
        }
        _ => {
            let name = words.line(3, dice);
            let written = if name.is_ascii()
                && !name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
            {
                format!("\"{name}\"")
            } else {
                header_text(&name, words.charset, dice)
            };
            let written = format!("{written} <{address}>");
            (name, address, written)
        }
    }
}

fn people(name: &str, most: usize, list: &mut Vec<(String, String)>, dice: &mut Dice) -> String {
    let count = 1 + dice.below(most);
    let written: Vec<String> = (0..count)
        .map(|_| {
            let (name, address, written) = person(dice);
            list.push((name, address));
            written
        })
        .collect();
    format!(
        "{name}: {}\r\n",
        written.join(if dice.one_in(2) { ",\r\n\t" } else { ", " })
    )
}

fn header(meant: &mut Meant, dice: &mut Dice) -> String {
    let words = Words::any(dice);
    let mut out = String::new();
    if dice.one_in(2) {
        out.push_str("Return-Path: <bounce@example.test>\r\nReceived: from a.example.test (a [192.0.2.1])\r\n\tby b.example.test with ESMTP id x1;\r\n\tTue, 24 Nov 2026 02:40:38 +0000 (UTC)\r\n");
    }
    let (name, address, written) = person(dice);
    meant.from = (name, address);
    out.push_str(&format!("From: {written}\r\n"));
    // A report goes to one.
    let report = meant.class.starts_with("REPORT.");
    out.push_str(&people("To", if report { 1 } else { 6 }, &mut meant.to, dice));
    if dice.one_in(3) && !report {
        out.push_str(&people("Cc", 3, &mut meant.cc, dice));
    }
    let prefix = dice.pick(&["", "", "", "Re: ", "Fwd: ", "AW: "]);
    meant.subject = format!("{prefix}{}", words.line(12, dice));
    // A prefix stands before the encoded words.
    let text = header_text(&meant.subject[prefix.len()..], words.charset, dice);
    out.push_str(&format!("Subject: {prefix}{text}\r\n"));
    out.push_str(&format!(
        "Date: {}, {} Nov 2026 0{}:40:38 {}\r\nMessage-ID: <{:x}@example.test>\r\n",
        ["Tue", "Wed"][dice.below(2)],
        1 + dice.below(28),
        dice.below(10),
        dice.pick(&["+0000", "+0100", "-0800", "GMT", "+0530"]),
        dice.next()
    ));
    let optional: &[&str] = &[
        "In-Reply-To: <0@example.test>\r\nReferences: <a@example.test>\r\n <0@example.test>\r\n",
        "Reply-To: Replies <replies@example.test>\r\n",
        "Importance: High\r\nX-Priority: 1 (Highest)\r\n",
        "X-Priority: 5\r\n",
        "Priority: urgent\r\n",
        "Sensitivity: Company-Confidential\r\n",
        "Keywords: red, blue, \"a, b\"\r\n",
        "X-Mailer: Test 1.0 (=?utf-8?q?=C3=BC?=)\r\n",
        "Thread-Topic: plans\r\nThread-Index: AQHWLRNo4NaOjvXU8EODe0ZotrA8Bw==\r\n",
        "Disposition-Notification-To: asker@example.test\r\n",
        "Return-Receipt-To: asker@example.test\r\n",
        "List-Id: <list.example.test>\r\nList-Unsubscribe: <mailto:leave@example.test>,\r\n <https://example.test/leave>\r\nPrecedence: list\r\n",
        "X-Auto-Response-Suppress: OOF, AutoReply\r\n",
        "X-Message-Flag: Follow up\r\n",
        "Expires: Wed, 25 Nov 2026 02:40:38 +0000\r\nReply-By: Wed, 25 Nov 2026 02:40:38 +0000\r\n",
        "User-Agent: Mozilla Thunderbird\r\nContent-Language: en-GB\r\nAccept-Language: de-DE, en\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; d=example.test;\r\n\tb=abc\r\n\t def\r\n",
        "X-Long: word word word word word word word word word word word word word word word\r\n\tword word\r\n",
        "Sender: Office <office@example.test>\r\n",
        "Bcc: hidden@example.test\r\n",
        "Auto-Submitted: auto-generated\r\n",
    ];
    for field in optional {
        if dice.one_in(7) && !(report && field.starts_with("Bcc")) {
            out.push_str(field);
        }
    }
    out
}

/// A body of some kind, and what it means; `depth` counts the messages around it.
fn body(dice: &mut Dice, depth: usize) -> (&'static str, Entity, Meant) {
    let words = Words::new(dice);
    let mut meant = Meant {
        class: "IPM.Note",
        ..Meant::default()
    };
    let charset = words.charset;
    let plain = words.lines(dice);
    let html = |words: &Words, body: &str, dice: &mut Dice| {
        format!(
            "<html><head><title>{}</title></head>\r\n<body><p>{}</p>{body}\r\n</body></html>\r\n",
            words.line(2, dice),
            words.line(20, dice)
        )
    };
    match dice.below(16) {
        0 | 1 => {
            let entity = parts::text("plain", &plain, charset, dice);
            meant.text = Some(plain);
            ("plain", entity, meant)
        }
        2 => {
            let html = html(&words, "", dice);
            let entity = parts::text("html", &html, charset, dice);
            meant.html = Some(html);
            ("HTML", entity, meant)
        }
        3 | 4 => {
            let html = html(&words, "<br>", dice);
            let list = [
                parts::text("plain", &plain, charset, dice),
                parts::text("html", &html, charset, dice),
            ];
            let entity = multipart("alternative", "", &list, dice);
            (meant.text, meant.html) = (Some(plain), Some(html));
            ("alternative", entity, meant)
        }
        5..=7 => {
            let html = html(&words, "", dice);
            let list = [
                parts::text("plain", &plain, charset, dice),
                parts::text("html", &html, charset, dice),
            ];
            let mut all = vec![if dice.one_in(2) {
                meant.html = Some(html);
                multipart("alternative", "", &list, dice)
            } else {
                list[0].clone()
            }];
            meant.text = Some(plain);
            for _ in 0..=dice.below(4) {
                let (part, file) = attachment(&words, dice);
                all.push(part);
                meant.files.push(file);
            }
            ("attachments", multipart("mixed", "", &all, dice), meant)
        }
        8 | 9 => {
            let pictures: Vec<_> = (0..=dice.below(2))
                .map(|at| picture(&format!("pic{at}"), dice))
                .collect();
            let tags: String = (0..pictures.len())
                .map(|at| format!("<img src=\"cid:pic{at}@example.test\">"))
                .collect();
            let html = html(&words, &tags, dice);
            let mut related = vec![parts::text("html", &html, charset, dice)];
            for (part, file) in pictures {
                related.push(part);
                meant.files.push(file);
            }
            let plain_part = parts::text("plain", &plain, charset, dice);
            let related = multipart("related", "; type=\"text/html\"", &related, dice);
            let mut entity = multipart("alternative", "", &[plain_part, related], dice);
            if dice.one_in(2) {
                let (part, file) = attachment(&words, dice);
                meant.files.push(file);
                entity = multipart("mixed", "", &[entity, part], dice);
            }
            (meant.text, meant.html) = (Some(plain), Some(html));
            ("inline pictures", entity, meant)
        }
        10 if depth < 3 => {
            let (_, inner, mut inside) = body(dice, depth + 1);
            let fields = header(&mut inside, dice);
            let message = Entity {
                fields: "Content-Type: message/rfc822\r\n".to_owned(),
                body: [fields.as_bytes(), b"MIME-Version: 1.0\r\n", &inner.bytes()].concat(),
            };
            let text = parts::text("plain", &plain, charset, dice);
            meant.text = Some(plain);
            meant.files.push(File {
                embedded: Some(inside.subject),
                ..File::default()
            });
            (
                "embedded message",
                multipart("mixed", "", &[text, message], dice),
                meant,
            )
        }
        11 => report(dice, meant),
        12 => signed(dice, meant),
        13 => {
            // An invitation, as programs send it.
            let calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\n\
                DTSTART:20261124T100000Z\r\nSUMMARY:Plans\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
            let part = Entity {
                fields: "Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\nContent-Transfer-Encoding: base64\r\n".into(),
                body: base64_lines(calendar.as_bytes(), 76),
            };
            let html = html(&words, "", dice);
            let list = [
                parts::text("plain", &plain, charset, dice),
                parts::text("html", &html, charset, dice),
                part,
            ];
            let entity = multipart("alternative", "", &list, dice);
            (meant.text, meant.html) = (Some(plain), Some(html));
            meant.files.push(File {
                name: None,
                bytes: calendar.into(),
                embedded: None,
            });
            ("invitation", entity, meant)
        }
        14 => {
            // What a list adds at the end.
            let list = [
                parts::text("plain", &plain, charset, dice),
                Entity {
                    fields: "Content-Type: text/plain; charset=us-ascii\r\nContent-Disposition: inline\r\n"
                        .into(),
                    body: b"_______________\r\nlist@example.test\r\n".to_vec(),
                },
            ];
            let entity = multipart("mixed", "", &list, dice);
            meant.text = Some(format!("{plain}_______________\r\nlist@example.test\r\n"));
            ("footer of a list", entity, meant)
        }
        _ => {
            let list: Vec<Entity> = (0..=dice.below(3))
                .map(|_| {
                    let mut inside = Meant::default();
                    let fields = header(&mut inside, dice);
                    let words = Words::new(dice);
                    let text = words.lines(dice);
                    let part = parts::text("plain", &text, words.charset, dice);
                    meant.files.push(File {
                        embedded: Some(inside.subject),
                        ..File::default()
                    });
                    Entity {
                        fields: String::new(),
                        body: [fields.as_bytes(), &part.bytes()].concat(),
                    }
                })
                .collect();
            ("digest", multipart("digest", "", &list, dice), meant)
        }
    }
}

/// Delivery and read reports.
fn report(dice: &mut Dice, mut meant: Meant) -> (&'static str, Entity, Meant) {
    let text = "This is the mail system.\r\n".to_owned();
    let human = Entity {
        fields: "Content-Type: text/plain\r\n".into(),
        body: text.clone().into_bytes(),
    };
    let original = Entity {
        fields: "Content-Type: text/rfc822-headers\r\n".into(),
        body: b"Subject: original\r\nMessage-ID: <orig@example.test>\r\n".to_vec(),
    };
    meant.text = Some(text);
    let (kind, machine) = if dice.one_in(2) {
        let (action, status, class) = *dice.pick(&[
            ("failed", "5.1.1", "REPORT.IPM.Note.NDR"),
            ("delayed", "4.4.1", "REPORT.IPM.Note.Delayed.DR"),
            ("delivered", "2.0.0", "REPORT.IPM.Note.DR"),
            ("relayed", "2.0.0", "REPORT.IPM.Note.Relayed.DR"),
            ("expanded", "2.0.0", "REPORT.IPM.Note.Expanded.DR"),
        ]);
        meant.class = class;
        let mut text =
            "Reporting-MTA: dns; mx.example.test\r\nArrival-Date: Tue, 24 Nov 2026 02:40:38 +0000\r\n"
                .to_owned();
        for number in 0..=dice.below(3) {
            text.push_str(&format!(
                "\r\nOriginal-Recipient: rfc822;bob{number}@example.test\r\nFinal-Recipient: rfc822; b{number}@example.org\r\nAction: {action}\r\nStatus: {status}\r\nRemote-MTA: dns; mx.example.org\r\nDiagnostic-Code: smtp; 550 5.1.1 <b>: no such\r\n user\r\n"
            ));
        }
        ("delivery-status", text)
    } else {
        let (disposition, class) = *dice.pick(&[
            ("displayed", "REPORT.IPM.Note.IPNRN"),
            ("deleted", "REPORT.IPM.Note.IPNNRN"),
        ]);
        meant.class = class;
        let text = format!(
            "Reporting-UA: x; Test\r\nFinal-Recipient: rfc822;bob@example.test\r\nOriginal-Message-ID: <orig@example.test>\r\n\
             Disposition: manual-action/MDN-sent-manually; {disposition}\r\n"
        );
        ("disposition-notification", text)
    };
    let status = Entity {
        fields: format!("Content-Type: message/{kind}\r\n"),
        body: machine.clone().into_bytes(),
    };
    meant.files = vec![
        File {
            bytes: machine.into_bytes(),
            ..File::default()
        },
        File {
            bytes: original.body.clone(),
            ..File::default()
        },
    ];
    let entity = multipart(
        "report",
        &format!("; report-type={kind}"),
        &[human, status, original],
        dice,
    );
    ("report", entity, meant)
}

/// What is signed or encrypted, by S/MIME or OpenPGP.
fn signed(dice: &mut Dice, mut meant: Meant) -> (&'static str, Entity, Meant) {
    const CMS: &[u8] = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80";
    let words = Words::new(dice);
    let text = words.lines(dice);
    // White space at line ends and empty lines at the end are signed too.
    let inner = parts::text("plain", &format!("{text} \r\n\r\n"), words.charset, dice);
    match dice.below(4) {
        0 => {
            let signature = Entity {
                fields: "Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n".into(),
                body: b"-----BEGIN PGP SIGNATURE-----\r\n\r\nabc=\r\n-----END PGP SIGNATURE-----\r\n"
                    .to_vec(),
            };
            let parameters = "; micalg=pgp-sha256;\r\n protocol=\"application/pgp-signature\"";
            let entity = multipart("signed", parameters, &[inner, signature], dice);
            meant.class = "IPM.Note.SMIME.MultipartSigned";
            meant.exact = Some(entity.body.clone());
            ("signed by OpenPGP", entity, meant)
        }
        1 => {
            let signature = Entity {
                fields: "Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n".into(),
                body: base64_lines(CMS, 76),
            };
            let parameters = "; micalg=sha-256; protocol=\"application/pkcs7-signature\"";
            let entity = multipart("signed", parameters, &[inner, signature], dice);
            meant.class = "IPM.Note.SMIME.MultipartSigned";
            meant.exact = Some(entity.body.clone());
            ("signed by S/MIME", entity, meant)
        }
        2 => {
            let mut bytes = CMS.to_vec();
            bytes.extend(dice.bytes(300));
            let entity = Entity {
                fields: "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
                    Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n"
                    .into(),
                body: base64_lines(&bytes, 76),
            };
            meant.class = "IPM.Note.SMIME";
            meant.exact = Some(entity.body.clone());
            ("encrypted by S/MIME", entity, meant)
        }
        _ => {
            let armour = format!(
                "-----BEGIN PGP MESSAGE-----\r\n\r\n{}-----END PGP MESSAGE-----\r\n",
                String::from_utf8(base64_lines(&dice.bytes(200), 64)).unwrap()
            );
            let version = Entity {
                fields: "Content-Type: application/pgp-encrypted\r\nContent-Description: PGP/MIME version identification\r\n".into(),
                body: b"Version: 1\r\n".to_vec(),
            };
            let message = Entity {
                fields: "Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\nContent-Description: OpenPGP encrypted message\r\n\
                    Content-Disposition: inline; filename=\"encrypted.asc\"\r\n"
                    .into(),
                body: armour.clone().into_bytes(),
            };
            let entity = multipart(
                "encrypted",
                "; protocol=\"application/pgp-encrypted\"",
                &[version, message],
                dice,
            );
            meant.exact = Some(armour.into_bytes());
            ("encrypted by OpenPGP", entity, meant)
        }
    }
}

/// What broken programs make of a message.
fn broken(source: Vec<u8>, dice: &mut Dice) -> (Vec<u8>, &'static str) {
    let replace = |source: &[u8], from: &str, to: &[u8]| -> Vec<u8> {
        match memchr::memmem::find(source, from.as_bytes()) {
            Some(at) => [&source[..at], to, &source[at + from.len()..]].concat(),
            None => source.to_vec(),
        }
    };
    let without = |source: &[u8], field: &str| -> Vec<u8> {
        let Some(at) = memchr::memmem::find(source, format!("\r\n{field}:").as_bytes()) else {
            return source.to_vec();
        };
        let line = memchr::memmem::find(&source[at + 2..], b"\r\n").unwrap_or(0);
        [&source[..at], &source[at + 2 + line..]].concat()
    };
    match dice.below(22) {
        0 => (
            source.into_iter().filter(|&byte| byte != b'\r').collect(),
            "LF only",
        ),
        1 => (
            without(&without(&source, "MIME-Version"), "Mime-Version"),
            "no MIME-Version",
        ),
        2 => (without(&source, "Content-Type"), "no Content-Type"),
        3 => {
            let end = memchr::memmem::rfind(&source, b"\r\n--").unwrap_or(source.len());
            (source[..end].to_vec(), "no last boundary")
        }
        4 => {
            let end = source.len() / 2 + dice.below(source.len() / 2);
            (source[..end].to_vec(), "cut off")
        }
        5 => {
            let bytes = [&b"Subject: "[..], &in_charset("Grüße für Jürgen", "iso-8859-1")].concat();
            (replace(&source, "Subject: ", &bytes), "8-bit header")
        }
        6 => (
            replace(&source, "Subject: ", "Subject: Grüße 日本 ".as_bytes()),
            "UTF-8 header",
        ),
        7 => (
            replace(&source, "Encoding: base64", b"Encoding: quoted-printable"),
            "wrong encoding",
        ),
        8 => (
            replace(&source, "Encoding: quoted-printable", b"Encoding: base64"),
            "wrong encoding",
        ),
        9 => (
            replace(&source, "charset=", b"charset=nonsense-"),
            "unknown charset",
        ),
        10 => (replace(&source, "utf-8", b"us-ascii"), "wrong charset"),
        11 => (replace(&source, "\r\n\r\n", b"\r\n"), "no empty line"),
        12 => (
            replace(&source, "boundary=\"", b"boundary=\"other"),
            "wrong boundary",
        ),
        13 => (
            replace(&source, "From: ", b"From: a@example.test, "),
            "two senders",
        ),
        14 => (
            replace(&without(&source, "Date"), "Message-ID", b"Message_ID"),
            "no date, no id",
        ),
        15 => {
            let at = dice.below(source.len());
            let mut source = source;
            source.insert(at, *dice.pick(&[0, b'\r', b'\n', 0x80, 0xff, 0x1b, b'=', b'-']));
            (source, "a byte added")
        }
        16 => {
            let at = dice.below(source.len());
            let mut source = source;
            source[at] = dice.next() as u8;
            (source, "a byte changed")
        }
        17 => (
            replace(
                &source,
                "To: ",
                b"To: group: x@example.test, y@example.test;, , <@a,@b:c@d>, bad address, ",
            ),
            "odd addresses",
        ),
        18 => (
            replace(&source, "Subject: ", b"This line is no field\r\nSubject: "),
            "a line that is no field",
        ),
        19 => {
            let long = [b"X-Long: ", &vec![b'x'; 2000][..], b"\r\nSubject: "].concat();
            (replace(&source, "Subject: ", &long), "a long line")
        }
        20 => (
            replace(
                &source,
                "Subject: ",
                b"Subject: =?utf-8?q?=C3?= =?utf-8?q?=BC?= =?x?q?bad?= =?utf-8?b?w7w? ",
            ),
            "odd encoded words",
        ),
        _ => {
            let twice = [&b"Subject: first\r\nContent-Type: text/plain\r\n"[..], &source].concat();
            (twice, "fields twice")
        }
    }
}
