//! Writing a message's items. The bytes of a section are read from the source a slice at a time, so a message of any
//! size passes through one buffer.

use std::ops::Range;

use ringpost_convert::structure::{Children, Part, Structure};
use ringpost_store::{Mailbox, MessageRow, StoreError};

use super::{Plan, read_structure, rows};
use crate::{
    content::{header, transfer::Decoder},
    encode::{self, put},
    limits,
    session::preview,
    structure,
    syntax::{
        fetch::{Item, Partial, Section, SectionItem, SectionText},
        reader::is_atom,
    },
};

/// What items leave behind for the next ones.
#[derive(Default)]
pub(super) struct Work {
    /// A part's transfer encoding is not known.
    pub(super) unknown_encoding: bool,
    /// A header, and the fields of it that were asked for: buffers that are used again.
    header: Vec<u8>,
    chosen: Vec<u8>,
}

/// A message that is being written.
pub(super) struct Current {
    row: MessageRow,
    /// It became `\Seen` by this FETCH.
    marked: bool,
    structure: Option<Structure>,
    next_item: usize,
    stream: Option<Stream>,
}

/// Bytes of a section on their way.
enum Stream {
    /// The source as it is.
    Raw(Range<u64>),
    /// Counting the decoded bytes, since a literal begins with its size.
    Count {
        range: Range<u64>,
        at: u64,
        decoder: Decoder,
        size: u64,
    },
    /// Decoding again, skipping `skip` bytes and sending `send`.
    Decoded {
        range: Range<u64>,
        decoder: Decoder,
        skip: u64,
        send: u64,
    },
}

impl Stream {
    /// Begins to count.
    fn count(range: Range<u64>, decoder: Decoder) -> Self {
        Self::Count {
            at: range.start,
            range,
            decoder,
            size: 0,
        }
    }
}

impl Current {
    /// Before the first item.
    pub(super) fn new(row: MessageRow, marked: bool, structure: Option<Structure>) -> Self {
        Self {
            row,
            marked,
            structure,
            next_item: 0,
            stream: None,
        }
    }

    /// Writes until a slice is full. True at the message's end.
    pub(super) fn write(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        while out.len() < limits::SLICE_BYTES {
            if self.stream.is_some() {
                if !self.pump(mailbox, plan, out)? {
                    // A long count writes nothing, yet others want their turn.
                    return Ok(false);
                }
                continue;
            }
            let Some(item) = plan.items.get(self.next_item) else {
                if self.marked && !plan.items.contains(&Item::Flags) {
                    out.extend_from_slice(b" FLAGS ");
                    self.flags(plan, out);
                    if plan.condstore && !plan.items.contains(&Item::ModSeq) {
                        put!(out, " MODSEQ ({})", self.row.change);
                    }
                }
                out.extend_from_slice(b")\r\n");
                return Ok(true);
            };
            if self.next_item > 0 {
                out.push(b' ');
            }
            self.next_item += 1;
            self.item(mailbox, plan, item, work, out)?;
        }
        Ok(false)
    }

    fn flags(&self, plan: &Plan, out: &mut Vec<u8>) {
        encode::flags(
            out,
            self.row.flags,
            &self.row.keywords,
            plan.recent.contains(self.row.uid),
        );
    }

    fn item(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        item: &Item,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        if item.is_of_row() {
            return self.row_item(mailbox, plan, item, out);
        }
        let row = &self.row;
        match (item, &self.structure) {
            (Item::Preview, Some(structure)) => preview::write(mailbox, row, structure, plan.utf8, out)?,
            (Item::Section(section), structure) => {
                let Section { part, text } = &section.section;
                let range = match structure {
                    Some(structure) => structure::section(structure, part, text, row.size),
                    None if *text == SectionText::All => Some(0..row.size),
                    None => top_section(mailbox, row, text)?,
                };
                section_name(out, section, plan.utf8);
                match (range, &section.section.text) {
                    (None, _) => out.extend_from_slice(b"NIL"),
                    (Some(range), SectionText::Fields { names, not }) => {
                        let range = range.start..range.end.min(range.start + limits::HEADER_BYTES);
                        work.header.clear();
                        work.chosen.clear();
                        read_exactly(mailbox, row, range, &mut work.header)?;
                        header::choose(&work.header, names, *not, &mut work.chosen);
                        let part = cut(0..work.chosen.len() as u64, section.partial);
                        literal(out, part.end - part.start);
                        out.extend_from_slice(&work.chosen[part.start as usize..part.end as usize]);
                    }
                    (Some(range), _) => {
                        let range = cut(range, section.partial);
                        literal(out, range.end - range.start);
                        self.stream = Some(Stream::Raw(range));
                    }
                }
            }
            (Item::Binary { part, partial, .. }, Some(structure)) => {
                put!(out, "BINARY[{}]", part_text(part));
                if let Some(partial) = partial {
                    put!(out, "<{}>", partial.offset);
                }
                out.push(b' ');
                let range = structure::section(structure, part, &SectionText::All, row.size);
                match (range, decoder_for(structure, part)) {
                    (None, _) => out.extend_from_slice(b"NIL"),
                    (Some(_), None) => {
                        work.unknown_encoding = true;
                        out.extend_from_slice(b"NIL");
                    }
                    (Some(range), Some(Decoder::Identity)) => {
                        let range = cut(range, *partial);
                        put!(out, "~{{{}}}\r\n", range.end - range.start);
                        self.stream = Some(Stream::Raw(range));
                    }
                    (Some(range), Some(decoder)) => self.stream = Some(Stream::count(range, decoder)),
                }
            }
            (Item::BinarySize(part), Some(structure)) => {
                put!(out, "BINARY.SIZE[{}] ", part_text(part));
                let range = structure::section(structure, part, &SectionText::All, row.size);
                match (range, decoder_for(structure, part)) {
                    (Some(range), Some(Decoder::Identity)) => put!(out, "{}", range.end - range.start),
                    (Some(range), Some(decoder)) => self.stream = Some(Stream::count(range, decoder)),
                    (range, _) => {
                        work.unknown_encoding |= range.is_some();
                        out.push(b'0');
                    }
                }
            }
            // `begin` read the structure when any item needs it, and rows have the rest.
            _ => {}
        }
        Ok(())
    }

    fn row_item(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        item: &Item,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let start = out.len();
        if plan.row_item(out, item, &self.row).is_none() {
            // The structure is damaged.
            out.truncate(start);
            self.row.structure = Some(read_structure(mailbox, &self.row)?.encode());
            plan.row_item(out, item, &self.row)
                .ok_or_else(|| rows::unwritable(mailbox, &self.row))?;
        }
        Ok(())
    }

    /// Moves a slice of the stream on. False when it wrote nothing but should go on later.
    fn pump(&mut self, mailbox: &mut Mailbox, plan: &Plan, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        match self.stream.take() {
            None => {}
            Some(Stream::Raw(range)) => {
                let end = range.end.min(range.start + limits::SLICE_BYTES as u64);
                read_exactly(mailbox, &self.row, range.start..end, out)?;
                if end < range.end {
                    self.stream = Some(Stream::Raw(end..range.end));
                }
            }
            Some(Stream::Count {
                range,
                at,
                mut decoder,
                mut size,
            }) => {
                let end = range.end.min(at + limits::SLICE_BYTES as u64);
                let (mut raw, mut decoded) = (Vec::new(), Vec::new());
                read_exactly(mailbox, &self.row, at..end, &mut raw)?;
                decoder.feed(&raw, &mut decoded);
                if end < range.end {
                    size += decoded.len() as u64;
                    self.stream = Some(Stream::Count {
                        range,
                        at: end,
                        decoder,
                        size,
                    });
                    return Ok(false);
                }
                decoder.finish(&mut decoded);
                size += decoded.len() as u64;
                // The item that began this count is the one before the next.
                if let Some(Item::Binary { part, partial, .. }) = plan.items.get(self.next_item - 1) {
                    let sent = cut(0..size, *partial);
                    put!(out, "~{{{}}}\r\n", sent.end - sent.start);
                    let structure = self.structure.as_ref();
                    let decoder = structure.and_then(|structure| decoder_for(structure, part));
                    self.stream = decoder.map(|decoder| Stream::Decoded {
                        range,
                        decoder,
                        skip: sent.start,
                        send: sent.end - sent.start,
                    });
                } else {
                    put!(out, "{size}");
                }
            }
            Some(Stream::Decoded {
                range,
                mut decoder,
                mut skip,
                mut send,
            }) => {
                let end = range.end.min(range.start + limits::SLICE_BYTES as u64);
                let (mut raw, mut decoded) = (Vec::new(), Vec::new());
                read_exactly(mailbox, &self.row, range.start..end, &mut raw)?;
                decoder.feed(&raw, &mut decoded);
                if end == range.end {
                    decoder.finish(&mut decoded);
                }
                let start = skip.min(decoded.len() as u64);
                let taken = send.min(decoded.len() as u64 - start);
                out.extend_from_slice(&decoded[start as usize..(start + taken) as usize]);
                skip -= start;
                send -= taken;
                if send > 0 && end < range.end {
                    self.stream = Some(Stream::Decoded {
                        range: end..range.end,
                        decoder,
                        skip,
                        send,
                    });
                }
            }
        }
        Ok(true)
    }
}

/// Where the message's header or body is.
fn top_section(
    mailbox: &mut Mailbox,
    row: &MessageRow,
    text: &SectionText,
) -> Result<Option<Range<u64>>, StoreError> {
    let known = row.structure.as_deref().and_then(structure::root);
    let (header, body) = if let Some(root) = known {
        (root.header, root.body)
    } else {
        let root = read_structure(mailbox, row)?.root;
        (root.header, root.body)
    };
    Ok(structure::top_section(header, body, text, row.size))
}

/// Reads a range that must be there.
fn read_exactly(
    mailbox: &mut Mailbox,
    row: &MessageRow,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let (before, wanted) = (out.len(), range.end.saturating_sub(range.start));
    mailbox.read_row_source(row, range, out)?;
    if (out.len() - before) as u64 == wanted {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: mailbox.directory().to_owned(),
        reason: format!("message {} is shorter than its size says", row.message),
    })
}

/// The decoder of a part; a whole message, or one of several parts, is sent as it is.
fn decoder_for(structure: &Structure, part: &[u32]) -> Option<Decoder> {
    let found: Option<&Part> = if part.is_empty() {
        None
    } else {
        structure::find_part(structure, part)
    };
    match found {
        Some(leaf) if leaf.children == Children::None => Decoder::new(&leaf.encoding),
        _ => Some(Decoder::Identity),
    }
}

/// The part of a range that a partial asks for.
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length).min(range.end)
}

/// The beginning of a literal of so many bytes.
fn literal(out: &mut Vec<u8>, bytes: u64) {
    out.push(b'{');
    encode::number64(out, bytes);
    out.extend_from_slice(b"}\r\n");
}

fn part_text(part: &[u32]) -> String {
    part.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// The item as the answer names it, with a space after it.
fn section_name(out: &mut Vec<u8>, item: &SectionItem, utf8: bool) {
    if let Some(name) = item.name {
        put!(out, "{name} ");
        return;
    }
    let Section { part, text } = &item.section;
    let text_name = match text {
        SectionText::All => "",
        SectionText::Header => "HEADER",
        SectionText::Fields { not: false, .. } => "HEADER.FIELDS",
        SectionText::Fields { not: true, .. } => "HEADER.FIELDS.NOT",
        SectionText::Text => "TEXT",
        SectionText::Mime => "MIME",
    };
    out.extend_from_slice(b"BODY[");
    for (index, number) in part.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        encode::number(out, *number);
    }
    if !part.is_empty() && !text_name.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(text_name.as_bytes());
    if let SectionText::Fields { names, .. } = text {
        for (index, name) in names.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b" (" } else { b" " });
            if !name.is_empty() && name.bytes().all(is_atom) {
                out.extend(name.bytes().map(|byte| byte.to_ascii_uppercase()));
            } else {
                encode::string(out, name.as_bytes(), utf8);
            }
        }
        out.push(b')');
    }
    out.push(b']');
    if let Some(partial) = item.partial {
        put!(out, "<{}>", partial.offset);
    }
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partials() {
        let partial = |offset, length| Some(Partial { offset, length });
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, partial(2, 3)), 12..15);
        assert_eq!(cut(10..20, partial(5, 100)), 15..20);
        assert_eq!(cut(10..20, partial(11, 1)), 20..20);
        assert_eq!(cut(10..20, partial(u64::MAX, u64::MAX)), 20..20);
    }
}
