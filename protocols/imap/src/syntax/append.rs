//! Messages that a client brings: APPEND (RFC 9051 §6.3.12, RFC 3502, 3516, 6855), CATENATE (RFC 4469), REPLACE
//! (RFC 8508).

use std::ops::Range;

use super::{
    SyntaxError,
    command::Body,
    date,
    reader::Reader,
    sequence::{self, Bound},
};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// One message of APPEND, or REPLACE's.
#[derive(Debug, PartialEq)]
pub(crate) struct Append {
    pub(crate) flags: Vec<String>,
    /// Seconds since 1970.
    pub(crate) date: Option<i64>,
    pub(crate) source: Source,
    /// Some of it came as literal8 outside `UTF8 (…)` (RFC 3516 §4.4).
    pub(crate) binary: bool,
}

/// Where a message comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    /// Where it is in the command.
    Literal(Range<usize>),
    /// CATENATE: what it is put together from.
    Parts(Vec<Piece>),
}

/// A piece of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// TEXT: where it is in the command.
    Text(Range<usize>),
    /// URL, as the client wrote it.
    Url(String),
}

pub(super) fn append<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let mailbox = reader.mailbox()?;
    let mut messages = Vec::new();
    while reader.eat(b' ') {
        if messages.len() == limits::APPEND_MESSAGES {
            return Err(SyntaxError::TooMany("messages"));
        }
        messages.push(message(reader)?);
    }
    if messages.is_empty() {
        return Err(SyntaxError::Expected("a message"));
    }
    Ok(Body::Append { mailbox, messages })
}

pub(super) fn replace<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let target: Bound = sequence::bound(reader)?;
    reader.space()?;
    let mailbox = reader.mailbox()?;
    reader.space()?;
    Ok(Body::Replace {
        target,
        mailbox,
        message: message(reader)?,
    })
}

fn message(reader: &mut Reader<'_>) -> Result<Append> {
    let flags = match reader.peek() {
        Some(b'(') => {
            let flags = reader.list(limits::LIST_ELEMENTS, Reader::flag)?;
            reader.space()?;
            flags
        }
        _ => Vec::new(),
    };
    let date = match reader.peek() {
        Some(b'"') => {
            let text = reader.string()?;
            reader.space()?;
            Some(date::parse_date_time(&text).ok_or(SyntaxError::Expected("a date and time"))?)
        }
        _ => None,
    };
    if reader.eat_word("CATENATE") {
        reader.space()?;
        let mut binary = false;
        let pieces = reader.list(limits::CATENATED_PIECES, |r| piece(r, &mut binary))?;
        if pieces.is_empty() {
            return Err(SyntaxError::Expected("TEXT or URL"));
        }
        return Ok(Append {
            flags,
            date,
            source: Source::Parts(pieces),
            binary,
        });
    }
    let utf8 = reader.eat_word("UTF8");
    if utf8 {
        reader.space()?;
        reader.expect(b'(', "(")?;
    }
    let (source, binary) = literal(reader)?;
    if utf8 {
        reader.expect(b')', ")")?;
    }
    Ok(Append {
        flags,
        date,
        source: Source::Literal(source),
        binary: binary && !utf8,
    })
}

fn piece(reader: &mut Reader<'_>, any_binary: &mut bool) -> Result<Piece> {
    if reader.eat_word("URL") {
        reader.space()?;
        return reader.text().map(Piece::Url);
    }
    if !reader.eat_word("TEXT") {
        return Err(SyntaxError::Expected("TEXT or URL"));
    }
    reader.space()?;
    let (source, binary) = literal(reader)?;
    *any_binary |= binary;
    Ok(Piece::Text(source))
}

fn literal(reader: &mut Reader<'_>) -> Result<(Range<usize>, bool)> {
    let (bytes, binary) = reader.literal()?;
    Ok((reader.position() - bytes.len()..reader.position(), binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Vec<Append>> {
        let mut reader = Reader::new(text.as_bytes(), false);
        match append(&mut reader, false)? {
            Body::Append { messages, .. } => reader.end().map(|()| messages),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn literals() {
        let messages = read(
            " x (\\Seen $k) \" 1-Jan-1970 00:00:00 +0000\" {3}\r\nabc {1+}\r\nd UTF8 (~{1}\r\ne) ~{1}\r\nf",
        )
        .unwrap();
        assert_eq!(messages.len(), 4);
        assert_eq!(messages[0].flags, ["\\Seen", "$k"]);
        assert_eq!((messages[0].date, messages[1].date), (Some(0), None));
        assert_eq!(
            messages.iter().map(|m| m.binary).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert!(matches!(&messages[0].source, Source::Literal(range) if range.len() == 3));
    }

    #[test]
    fn pieces() {
        let messages = read(
            " x (\\Seen) CATENATE (URL \"/a/;UID=1\" TEXT {3}\r\nabc URL /b/;UID=2 TEXT ~{0+}\r\n) {1}\r\nx",
        )
        .unwrap();
        assert_eq!(messages.len(), 2);
        let Source::Parts(pieces) = &messages[0].source else {
            panic!()
        };
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[0], Piece::Url("/a/;UID=1".into()));
        assert!(matches!(&pieces[1], Piece::Text(range) if range.len() == 3));
        assert!(messages[0].binary && !messages[1].binary);
        for bad in [
            " x CATENATE ()",
            " x CATENATE (URL)",
            " x CATENATE (TEXT \"x\")",
            " x CATENATE (X {0}\r\n)",
            " x CATENATE {0}\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many = format!(" x CATENATE ({}URL x)", "URL x ".repeat(limits::CATENATED_PIECES));
        let mut reader = Reader::new(many.as_bytes(), false);
        assert_eq!(
            append(&mut reader, false),
            Err(SyntaxError::TooMany("list elements"))
        );
    }
}
