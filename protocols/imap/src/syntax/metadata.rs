//! GETMETADATA and SETMETADATA (RFC 5464).

use super::{SyntaxError, command::Body, reader::Reader};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// GETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GetMetadata {
    /// Empty: the server's annotations.
    pub(crate) mailbox: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) max_size: Option<u64>,
    pub(crate) depth: Depth,
}

/// How far below the named entries others are told, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Depth {
    #[default]
    Zero,
    One,
    Infinity,
}

/// SETMETADATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetMetadata {
    pub(crate) mailbox: String,
    pub(crate) values: Vec<(Entry, Option<Vec<u8>>)>,
}

/// An annotation's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// One reader's own, not shared by all.
    pub(crate) private: bool,
    /// The whole name, in lower case: names are compared without regard to it.
    pub(crate) name: String,
}

pub(super) fn get<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let (mut max_size, mut depth) = (None, Depth::Zero);
    if reader.peek() == Some(b'(') {
        reader.list(2, |r| {
            if r.eat_word("MAXSIZE") {
                r.space()?;
                max_size = Some(r.number64()?);
                return Ok(());
            }
            if !r.eat_word("DEPTH") {
                return Err(SyntaxError::Expected("MAXSIZE or DEPTH"));
            }
            r.space()?;
            depth = match r.word()?.to_ascii_lowercase().as_str() {
                "0" => Depth::Zero,
                "1" => Depth::One,
                "infinity" => Depth::Infinity,
                _ => return Err(SyntaxError::Expected("0, 1 or infinity")),
            };
            Ok(())
        })?;
        reader.space()?;
    }
    let mailbox = reader.mailbox()?;
    reader.space()?;
    let entries = if reader.peek() == Some(b'(') {
        reader.list(limits::LIST_ELEMENTS, entry)?
    } else {
        vec![entry(reader)?]
    };
    if entries.is_empty() {
        return Err(SyntaxError::Expected("an entry"));
    }
    Ok(Body::GetMetadata(GetMetadata {
        mailbox,
        entries,
        max_size,
        depth,
    }))
}

pub(super) fn set<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let mailbox = reader.mailbox()?;
    reader.space()?;
    let values = reader.list(limits::LIST_ELEMENTS, |r| {
        let entry = entry(r)?;
        r.space()?;
        let value = r.nstring()?.map(std::borrow::Cow::into_owned);
        Ok((entry, value))
    })?;
    if values.is_empty() {
        return Err(SyntaxError::Expected("an entry"));
    }
    Ok(Body::SetMetadata(SetMetadata { mailbox, values }))
}

/// An entry's name (§4.1).
fn entry(reader: &mut Reader<'_>) -> Result<Entry> {
    let name = reader.text()?.to_ascii_lowercase();
    let private = name.strip_prefix("/private/");
    let Some(path) = private.or(name.strip_prefix("/shared/")) else {
        return Err(SyntaxError::Expected("/private/ or /shared/"));
    };
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && !matches!(byte, b'*' | b'%');
    if name.len() > ringpost_store::MAX_ANNOTATION_NAME_BYTES
        || path.split('/').any(str::is_empty)
        || !path.bytes().all(plain)
    {
        return Err(SyntaxError::Expected("an entry's name"));
    }
    Ok(Entry {
        private: private.is_some(),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Body<'static>> {
        let mut reader = Reader::new(text.as_bytes(), false);
        let body = if text.starts_with(" set") {
            reader.space()?;
            reader.word()?;
            set(&mut reader, false)
        } else {
            get(&mut reader, false)
        };
        reader.end().and(body)
    }

    #[test]
    fn forms() {
        let Body::GetMetadata(wanted) =
            read(" (MAXSIZE 1024 DEPTH infinity) \"INBOX\" (/shared/comment /Private/Filters/values)")
                .unwrap()
        else {
            panic!()
        };
        assert_eq!((wanted.max_size, wanted.depth), (Some(1024), Depth::Infinity));
        assert_eq!(wanted.entries[1].name, "/private/filters/values");
        assert!(wanted.entries[1].private && !wanted.entries[0].private);
        assert!(matches!(read(" \"\" /shared/comment"), Ok(Body::GetMetadata(_))));
        let Body::SetMetadata(set) =
            read(" set INBOX (/private/comment {3}\r\na\r\n /shared/comment NIL /private/x ~{1}\r\n\0)")
                .unwrap()
        else {
            panic!()
        };
        let values: Vec<_> = set.values.iter().map(|(_, value)| value.as_deref()).collect();
        assert_eq!(values, [Some(&b"a\r\n"[..]), None, Some(&b"\0"[..])]);
    }

    #[test]
    fn malformed() {
        for bad in [
            " INBOX",
            " INBOX ()",
            " INBOX /comment",
            " INBOX /private/",
            " INBOX /private",
            " INBOX /private//x",
            " INBOX /private/x/",
            " INBOX \"/private/*\"",
            " INBOX /private/%",
            " (DEPTH 2) INBOX /private/x",
            " (X) INBOX /private/x",
            " set INBOX /private/x NIL",
            " set INBOX (/private/x)",
            " set INBOX (/private/x atom)",
            " set INBOX ()",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
