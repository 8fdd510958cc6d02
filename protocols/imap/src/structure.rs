//! ENVELOPE and BODYSTRUCTURE from a message's encoded structure (RFC 9051 §7.5.2), and where `BODY[…]` finds its
//! bytes.
//!
//! A long list of messages is answered from these, so they are written straight from the bytes that the store has.

use std::ops::Range;

use ringpost_convert::structure::{
    Children, MAX_DEPTH, Part, Structure,
    view::{AddressesView, Content, EnvelopeView, PairsView, PartView, StructureView},
};

use crate::{
    encode::{nstring, number64, string},
    syntax::fetch::SectionText,
};

/// `envelope`; `None` where the encoded structure is damaged, with a part of it written perhaps.
pub(crate) fn envelope(out: &mut Vec<u8>, encoded: &[u8], utf8: bool) -> Option<()> {
    write_envelope(out, &StructureView::of(encoded)?.envelope()?, utf8);
    Some(())
}

/// `body`: BODYSTRUCTURE with `extended`, else BODY; `None` as [`envelope`].
pub(crate) fn body(out: &mut Vec<u8>, encoded: &[u8], extended: bool, utf8: bool) -> Option<()> {
    let mut view = StructureView::of(encoded)?;
    view.envelope()?;
    Writer {
        out,
        view,
        extended,
        utf8,
    }
    .body(0)
}

/// The message's own part of an encoded structure, without what is inside.
pub(crate) fn root(encoded: &[u8]) -> Option<PartView<'_>> {
    let mut view = StructureView::of(encoded)?;
    view.envelope()?;
    view.part()
}

fn write_envelope(out: &mut Vec<u8>, envelope: &EnvelopeView<'_>, utf8: bool) {
    out.push(b'(');
    nstring(out, envelope.date, utf8);
    out.push(b' ');
    nstring(out, envelope.subject, utf8);
    for list in [
        envelope.from,
        envelope.sender,
        envelope.reply_to,
        envelope.to,
        envelope.cc,
        envelope.bcc,
    ] {
        out.push(b' ');
        addresses(out, list, utf8);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to, utf8);
    out.push(b' ');
    nstring(out, envelope.message_id, utf8);
    out.push(b')');
}

fn addresses(out: &mut Vec<u8>, list: AddressesView<'_>, utf8: bool) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list.iter() {
        out.push(b'(');
        nstring(out, address.name, utf8);
        out.extend_from_slice(b" NIL ");
        nstring(out, address.mailbox, utf8);
        out.push(b' ');
        nstring(out, address.host, utf8);
        out.push(b')');
    }
    out.push(b')');
}

/// Writes a body part after part, as the encoded form has them.
struct Writer<'o, 'a> {
    out: &'o mut Vec<u8>,
    view: StructureView<'a>,
    extended: bool,
    utf8: bool,
}

impl Writer<'_, '_> {
    fn body(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let part = self.view.part()?;
        self.out.push(b'(');
        if let Content::Parts(count) = part.content {
            if count == 0 {
                // The grammar wants a part at least.
                self.out.push(b'(');
                self.leaf(&PartView::default(), depth)?;
                self.out.push(b')');
            }
            for _ in 0..count {
                self.body(depth + 1)?;
            }
            self.out.push(b' ');
            string(self.out, or(part.media_subtype, b"mixed"), self.utf8);
            if self.extended {
                self.out.push(b' ');
                self.parameters(part.parameters);
                self.disposition_and_rest(&part);
            }
        } else {
            self.leaf(&part, depth)?;
        }
        self.out.push(b')');
        Some(())
    }

    fn leaf(&mut self, part: &PartView<'_>, depth: usize) -> Option<()> {
        string(self.out, or(part.media_type, b"text"), self.utf8);
        self.out.push(b' ');
        string(self.out, or(part.media_subtype, b"plain"), self.utf8);
        self.out.push(b' ');
        self.parameters(part.parameters);
        self.out.push(b' ');
        nstring(self.out, part.id, self.utf8);
        self.out.push(b' ');
        nstring(self.out, part.description, self.utf8);
        self.out.push(b' ');
        string(self.out, or(part.encoding, b"7bit"), self.utf8);
        self.number(part.body.end.saturating_sub(part.body.start));
        if part.content == Content::Message {
            self.out.push(b' ');
            write_envelope(self.out, &self.view.envelope()?, self.utf8);
            self.out.push(b' ');
            self.body(depth + 1)?;
            self.number(part.lines);
        } else if or(part.media_type, b"text") == b"text" {
            self.number(part.lines);
        }
        if self.extended {
            self.out.push(b' ');
            nstring(self.out, part.md5, self.utf8);
            self.disposition_and_rest(part);
        }
        Some(())
    }

    /// With a space before it.
    fn number(&mut self, number: u64) {
        self.out.push(b' ');
        number64(self.out, number);
    }

    fn disposition_and_rest(&mut self, part: &PartView<'_>) {
        match part.disposition {
            Some((kind, values)) => {
                self.out.extend_from_slice(b" (");
                string(self.out, kind, self.utf8);
                self.out.push(b' ');
                self.parameters(values);
                self.out.push(b')');
            }
            None => self.out.extend_from_slice(b" NIL"),
        }
        let several = part.language.len() > 1;
        for (index, language) in part.language.iter().enumerate() {
            let open: &[u8] = if several && index == 0 { b" (" } else { b" " };
            self.out.extend_from_slice(open);
            string(self.out, language, self.utf8);
        }
        match part.language.len() {
            0 => self.out.extend_from_slice(b" NIL"),
            1 => {}
            _ => self.out.push(b')'),
        }
        self.out.push(b' ');
        nstring(self.out, part.location, self.utf8);
    }

    fn parameters(&mut self, parameters: PairsView<'_>) {
        if parameters.is_empty() {
            self.out.extend_from_slice(b"NIL");
            return;
        }
        for (index, (name, value)) in parameters.iter().enumerate() {
            self.out.push(if index == 0 { b'(' } else { b' ' });
            string(self.out, name, self.utf8);
            self.out.push(b' ');
            string(self.out, value, self.utf8);
        }
        self.out.push(b')');
    }
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
    let root = &structure.root;
    if path.is_empty() {
        return top_section(root.header.clone(), root.body.clone(), text, size);
    }
    let part = find_part(structure, path)?;
    let range = match (text, &part.children) {
        (SectionText::All, _) => part.body.clone(),
        (SectionText::Mime, _) => part.header.clone(),
        (SectionText::Text, Children::Message(inner)) => inner.root.body.clone(),
        (_, Children::Message(inner)) => inner.root.header.clone(),
        _ => return None,
    };
    Some(within(range, size))
}

/// [`section`] of the message itself, by where its header and body are.
pub(crate) fn top_section(
    header: Range<u64>,
    body: Range<u64>,
    text: &SectionText,
    size: u64,
) -> Option<Range<u64>> {
    let range = match text {
        SectionText::All => 0..size,
        SectionText::Header | SectionText::Fields { .. } => header,
        SectionText::Text => body,
        SectionText::Mime => return None,
    };
    Some(within(range, size))
}

/// A damaged structure must not promise more than there is.
fn within(range: Range<u64>, size: u64) -> Range<u64> {
    let end = range.end.min(size);
    range.start.min(end)..end
}

#[cfg(test)]
mod tests {
    use ringpost_convert::structure::{Address, Envelope};

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
        body(&mut out, &example().encode(), false, false).unwrap();
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
        let structure = Structure {
            root: part,
            ..Structure::default()
        };
        body(&mut out, &structure.encode(), true, false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 3 0 NIL \
             (\"attachment\" (\"filename\" \"a\")) (\"en\" \"de\") NIL)"
        );
    }

    #[test]
    fn what_is_damaged_is_noticed() {
        let encoded = example().encode();
        let written = |encoded: &[u8]| {
            let mut out = Vec::new();
            envelope(&mut out, encoded, false)?;
            body(&mut out, encoded, true, false)
        };
        assert_eq!(written(&encoded), Some(()));
        for length in 0..encoded.len() {
            assert_eq!(written(&encoded[..length]), None, "{length}");
        }
        // Multiparts without an end.
        let mut deep = Structure::default();
        for _ in 0..=MAX_DEPTH {
            deep.root = Part {
                children: Children::Multipart(vec![deep.root]),
                ..Part::default()
            };
        }
        assert_eq!(written(&deep.encode()), None);
        assert_eq!(root(&encoded).map(|part| part.header), Some(0..10));
    }

    #[test]
    fn a_multipart_without_parts_shows_one() {
        let empty = Structure {
            root: Part {
                media_subtype: b"mixed".to_vec(),
                children: Children::Multipart(Vec::new()),
                ..Part::default()
            },
            ..Structure::default()
        };
        let mut out = Vec::new();
        body(&mut out, &empty.encode(), false, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0) \"mixed\")");
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
        let structure = Structure {
            envelope: value,
            ..Structure::default()
        };
        envelope(&mut out, &structure.encode(), false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" NIL ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) NIL \
             ((NIL NIL \"group\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
        );
    }
}
