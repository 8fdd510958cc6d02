//! PREVIEW (RFC 8970): the beginning of what a message says.
//!
//! Made from the first text part when it is asked for: one look at the structure, which FETCH has anyway, and the
//! first bytes of one part. So LAZY gets it, too.

use ringpost_convert::{
    body, html,
    structure::{Children, Part, Structure},
};
use ringpost_store::{Mailbox, MessageRow, StoreError};

use crate::{encode, limits};

/// Characters of a preview (§3.2 allows 200).
const PREVIEW_CHARACTERS: usize = 200;

/// Writes the item.
pub(super) fn write(
    mailbox: &mut Mailbox,
    row: &MessageRow,
    structure: &Structure,
    utf8: bool,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let text = match text_part(&structure.root) {
        Some(part) => read(mailbox, row, part)?,
        // Nothing that could be shown, such as an encrypted message (§3.1).
        None => String::new(),
    };
    out.extend_from_slice(b"PREVIEW ");
    encode::string(out, text.as_bytes(), utf8);
    Ok(())
}

/// The part that is shown first: plain text rather than HTML where a message has both.
fn text_part(part: &Part) -> Option<&Part> {
    match &part.children {
        Children::None => {
            let attached = part
                .disposition
                .as_ref()
                .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(b"attachment"));
            (is_text(part) && !attached).then_some(part)
        }
        Children::Multipart(parts) => {
            let mut found = parts.iter().filter_map(text_part);
            let first = found.next()?;
            if part.media_subtype != b"alternative" {
                return Some(first);
            }
            Some(
                std::iter::once(first)
                    .chain(found)
                    .find(|part| !is_html(part))
                    .unwrap_or(first),
            )
        }
        Children::Message(_) => None,
    }
}

fn is_text(part: &Part) -> bool {
    part.media_type.is_empty()
        || part.media_type == b"text" && (part.media_subtype == b"plain" || is_html(part))
}

fn is_html(part: &Part) -> bool {
    part.media_subtype == b"html"
}

fn read(mailbox: &mut Mailbox, row: &MessageRow, part: &Part) -> Result<String, StoreError> {
    let end = part.body.end.min(row.size);
    let start = part.body.start.min(end);
    let end = end.min(start + limits::PREVIEW_BYTES);
    let mut raw = Vec::new();
    mailbox.read_row_source(row, start..end, &mut raw)?;
    let beginning = Part {
        header: 0..0,
        body: 0..raw.len() as u64,
        ..part.clone()
    };
    let text = body::text(&raw, &beginning);
    Ok(if is_html(part) {
        shorten(&html::to_text(&text))
    } else {
        shorten(&text)
    })
}

/// The beginning of a text on one line, without what it quotes unless there is nothing else.
fn shorten(text: &str) -> String {
    let own = text.lines().filter(|line| !line.starts_with('>'));
    let short = one_line(own);
    if short.is_empty() {
        one_line(text.lines())
    } else {
        short
    }
}

fn one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let (mut short, mut count) = (String::new(), 0);
    for word in lines.flat_map(str::split_whitespace) {
        if count >= PREVIEW_CHARACTERS {
            break;
        }
        if count > 0 {
            short.push(' ');
            count += 1;
        }
        let shown = word
            .chars()
            .filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER);
        for character in shown.take(PREVIEW_CHARACTERS - count) {
            short.push(character);
            count += 1;
        }
    }
    short.truncate(short.trim_end().len());
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(
            shorten("Hi,\r\n\r\n  one\ttwo \r\n> quoted\r\nthree"),
            "Hi, one two three"
        );
        assert_eq!(shorten("> only\n> quoted"), "> only > quoted");
        assert_eq!(shorten(" \r\n"), "");
        assert_eq!(shorten(&"ü".repeat(1000)).chars().count(), PREVIEW_CHARACTERS);
        let words = shorten(&"word ".repeat(1000));
        assert!(
            words.chars().count() <= PREVIEW_CHARACTERS && words.ends_with("word"),
            "{words}"
        );
    }

    #[test]
    fn parts() {
        let choose = |source: &str| {
            let structure = Structure::of(source.replace('\n', "\r\n").as_bytes());
            text_part(&structure.root).map(|part| String::from_utf8(part.media_subtype.clone()).unwrap())
        };
        assert_eq!(choose("Subject: x\n\ntext").as_deref(), Some("plain"));
        let two = |kind: &str, first: &str, second: &str| {
            format!(
                "Content-Type: multipart/{kind}; boundary=b\n\n--b\nContent-Type: {first}\n\na\n--b\nContent-Type: {second}\n\nb\n--b--\n"
            )
        };
        assert_eq!(
            choose(&two("alternative", "text/html", "text/plain")).as_deref(),
            Some("plain")
        );
        assert_eq!(
            choose(&two("mixed", "text/html", "text/plain")).as_deref(),
            Some("html")
        );
        assert_eq!(
            choose(&two("mixed", "image/png", "text/plain")).as_deref(),
            Some("plain")
        );
        assert_eq!(
            choose(&two(
                "encrypted",
                "application/pgp-encrypted",
                "application/octet-stream"
            )),
            None
        );
    }
}
