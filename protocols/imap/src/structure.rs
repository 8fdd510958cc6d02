//! ENVELOPE and BODYSTRUCTURE from a message's structure (RFC 9051 §7.5.2), and where `BODY[…]` finds its bytes.

use std::ops::Range;

use ringpost_convert::structure::{Address, Children, Envelope, Part, Structure};

use crate::{
    encode::{nstring, put, string},
    syntax::fetch::SectionText,
};

type Parameters = [(Vec<u8>, Vec<u8>)];

/// `envelope`
pub(crate) fn envelope(out: &mut Vec<u8>, envelope: &Envelope, utf8: bool) {
    out.push(b'(');
    nstring(out, envelope.date.as_deref(), utf8);
    out.push(b' ');
    nstring(out, envelope.subject.as_deref(), utf8);
    for list in [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.push(b' ');
        addresses(out, list, utf8);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to.as_deref(), utf8);
    out.push(b' ');
    nstring(out, envelope.message_id.as_deref(), utf8);
    out.push(b')');
}

fn addresses(out: &mut Vec<u8>, list: &[Address], utf8: bool) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        nstring(out, address.name.as_deref(), utf8);
        out.extend_from_slice(b" NIL ");
        nstring(out, address.mailbox.as_deref(), utf8);
        out.push(b' ');
        nstring(out, address.host.as_deref(), utf8);
        out.push(b')');
    }
    out.push(b')');
}

/// `body`: BODYSTRUCTURE with `extended`, else BODY.
pub(crate) fn body(out: &mut Vec<u8>, part: &Part, extended: bool, utf8: bool) {
    out.push(b'(');
    if let Children::Multipart(parts) = &part.children {
        if parts.is_empty() {
            // The grammar wants a part at least.
            body(out, &Part::default(), extended, utf8);
        }
        for child in parts {
            body(out, child, extended, utf8);
        }
        out.push(b' ');
        string(out, or(&part.media_subtype, b"mixed"), utf8);
        if extended {
            out.push(b' ');
            parameters(out, &part.parameters, utf8);
            disposition_and_rest(out, part, utf8);
        }
    } else {
        leaf(out, part, extended, utf8);
    }
    out.push(b')');
}

fn leaf(out: &mut Vec<u8>, part: &Part, extended: bool, utf8: bool) {
    string(out, or(&part.media_type, b"text"), utf8);
    out.push(b' ');
    string(out, or(&part.media_subtype, b"plain"), utf8);
    out.push(b' ');
    parameters(out, &part.parameters, utf8);
    out.push(b' ');
    nstring(out, part.id.as_deref(), utf8);
    out.push(b' ');
    nstring(out, part.description.as_deref(), utf8);
    out.push(b' ');
    string(out, or(&part.encoding, b"7bit"), utf8);
    put!(out, " {}", part.body.end.saturating_sub(part.body.start));
    if let Children::Message(inner) = &part.children {
        out.push(b' ');
        envelope(out, &inner.envelope, utf8);
        out.push(b' ');
        body(out, &inner.root, extended, utf8);
        put!(out, " {}", part.lines);
    } else if or(&part.media_type, b"text") == b"text" {
        put!(out, " {}", part.lines);
    }
    if extended {
        out.push(b' ');
        nstring(out, part.md5.as_deref(), utf8);
        disposition_and_rest(out, part, utf8);
    }
}

fn disposition_and_rest(out: &mut Vec<u8>, part: &Part, utf8: bool) {
    match &part.disposition {
        Some((kind, values)) => {
            out.extend_from_slice(b" (");
            string(out, kind, utf8);
            out.push(b' ');
            parameters(out, values, utf8);
            out.push(b')');
        }
        None => out.extend_from_slice(b" NIL"),
    }
    match part.language.as_slice() {
        [] => out.extend_from_slice(b" NIL"),
        [one] => {
            out.push(b' ');
            string(out, one, utf8);
        }
        several => {
            for (index, language) in several.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b" (" } else { b" " });
                string(out, language, utf8);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, part.location.as_deref(), utf8);
}

fn parameters(out: &mut Vec<u8>, parameters: &Parameters, utf8: bool) {
    if parameters.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        string(out, name, utf8);
        out.push(b' ');
        string(out, value, utf8);
    }
    out.push(b')');
}

fn or<'a>(value: &'a [u8], default: &'a [u8]) -> &'a [u8] {
    if value.is_empty() { default } else { value }
}

/// The part with these numbers (RFC 9051 §6.4.5.1). An empty path is no part but the message.
pub(crate) fn find_part<'a>(structure: &'a Structure, path: &[u32]) -> Option<&'a Part> {
    let mut part = &structure.root;
    // At the top, and below a message part, numbers count the parts of a message's body.
    let mut message = true;
    for &number in path {
        let index = (number as usize).checked_sub(1)?;
        let root = match &part.children {
            Children::Message(inner) if !message => &inner.root,
            _ if message => part,
            Children::Multipart(parts) => {
                part = parts.get(index)?;
                continue;
            }
            _ => return None,
        };
        part = match &root.children {
            Children::Multipart(parts) => parts.get(index)?,
            _ if index == 0 => root,
            _ => return None,
        };
        message = false;
    }
    Some(part)
}

/// The bytes of a section in the source of `size` bytes; `None` where the message has no such section. For
/// HEADER.FIELDS it is the whole header.
pub(crate) fn section(
    structure: &Structure,
    path: &[u32],
    text: &SectionText,
    size: u64,
) -> Option<Range<u64>> {
    let range = if path.is_empty() {
        match text {
            SectionText::All => 0..size,
            SectionText::Header | SectionText::Fields { .. } => structure.root.header.clone(),
            SectionText::Text => structure.root.body.clone(),
            SectionText::Mime => return None,
        }
    } else {
        let part = find_part(structure, path)?;
        match (text, &part.children) {
            (SectionText::All, _) => part.body.clone(),
            (SectionText::Mime, _) => part.header.clone(),
            (SectionText::Text, Children::Message(inner)) => inner.root.body.clone(),
            (_, Children::Message(inner)) => inner.root.header.clone(),
            _ => return None,
        }
    };
    // A damaged structure must not promise more than there is.
    let end = range.end.min(size);
    Some(range.start.min(end)..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_part(body: Range<u64>) -> Part {
        Part {
            body,
            media_type: b"text".to_vec(),
            media_subtype: b"plain".to_vec(),
            ..Part::default()
        }
    }

    fn example() -> Structure {
        // RFC 9051's example: HEADER, 1 text, 2 octets, 3 message/rfc822 (3.1 text, 3.2 octets).
        let inner = Structure {
            root: Part {
                header: 40..50,
                body: 50..80,
                media_subtype: b"mixed".to_vec(),
                children: Children::Multipart(vec![text_part(52..60), text_part(62..70)]),
                ..Part::default()
            },
            ..Structure::default()
        };
        let message = Part {
            header: 30..40,
            body: 40..80,
            media_type: b"message".to_vec(),
            media_subtype: b"rfc822".to_vec(),
            children: Children::Message(Box::new(inner)),
            ..Part::default()
        };
        Structure {
            root: Part {
                header: 0..10,
                body: 10..90,
                media_subtype: b"mixed".to_vec(),
                children: Children::Multipart(vec![text_part(12..20), text_part(22..30), message]),
                ..Part::default()
            },
            ..Structure::default()
        }
    }

    #[test]
    fn sections() {
        let structure = example();
        let find = |path: &[u32], text: SectionText| section(&structure, path, &text, 100);
        assert_eq!(find(&[], SectionText::All), Some(0..100));
        assert_eq!(find(&[], SectionText::Header), Some(0..10));
        assert_eq!(find(&[], SectionText::Text), Some(10..90));
        assert_eq!(find(&[2], SectionText::All), Some(22..30));
        assert_eq!(find(&[3], SectionText::All), Some(40..80));
        assert_eq!(find(&[3], SectionText::Mime), Some(30..40));
        assert_eq!(find(&[3], SectionText::Header), Some(40..50));
        assert_eq!(find(&[3], SectionText::Text), Some(50..80));
        assert_eq!(find(&[3, 2], SectionText::All), Some(62..70));
        for (path, text) in [
            (&[4][..], SectionText::All),
            (&[1, 1], SectionText::All),
            (&[1], SectionText::Header),
            (&[3, 3], SectionText::All),
        ] {
            assert_eq!(find(path, text), None, "{path:?}");
        }
        assert_eq!(section(&structure, &[], &SectionText::Text, 50), Some(10..50));
    }

    #[test]
    fn a_message_of_one_part_has_part_one() {
        let single = Structure {
            root: text_part(5..9),
            ..Structure::default()
        };
        assert_eq!(section(&single, &[1], &SectionText::All, 9), Some(5..9));
        assert_eq!(section(&single, &[1, 1], &SectionText::All, 9), None);
        assert_eq!(section(&single, &[2], &SectionText::All, 9), None);
    }

    #[test]
    fn structures_as_text() {
        let mut out = Vec::new();
        body(&mut out, &example().root, false, false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 8 0)(\"text\" \"plain\" NIL NIL NIL \"7bit\" 8 0)\
             (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 40 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
             ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 8 0)(\"text\" \"plain\" NIL NIL NIL \"7bit\" 8 0) \"mixed\") 0) \"mixed\")"
        );
        let mut part = text_part(0..3);
        part.parameters = vec![(b"charset".to_vec(), b"utf-8".to_vec())];
        part.disposition = Some((
            b"attachment".to_vec(),
            vec![(b"filename".to_vec(), b"a".to_vec())],
        ));
        part.language = vec![b"en".to_vec(), b"de".to_vec()];
        let mut out = Vec::new();
        body(&mut out, &part, true, false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 3 0 NIL \
             (\"attachment\" (\"filename\" \"a\")) (\"en\" \"de\") NIL)"
        );
    }

    #[test]
    fn envelopes_as_text() {
        let address = |name: Option<&str>, mailbox: Option<&str>, host: Option<&str>| Address {
            name: name.map(|t| t.as_bytes().to_vec()),
            mailbox: mailbox.map(|t| t.as_bytes().to_vec()),
            host: host.map(|t| t.as_bytes().to_vec()),
        };
        let list = vec![address(
            Some("Terry Gray"),
            Some("gray"),
            Some("cac.washington.edu"),
        )];
        let value = Envelope {
            date: Some(b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)".to_vec()),
            from: list.clone(),
            sender: list,
            to: vec![address(None, Some("group"), None), address(None, None, None)],
            ..Envelope::default()
        };
        let mut out = Vec::new();
        envelope(&mut out, &value, false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" NIL ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) NIL \
             ((NIL NIL \"group\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
        );
    }
}
