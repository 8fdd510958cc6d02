//! LIST with its extensions (RFC 5258, 5819, 6154), LSUB, and STATUS items.

use super::{SyntaxError, reader::Reader};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// LIST or LSUB.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct List {
    pub(crate) reference: String,
    pub(crate) patterns: Vec<String>,
    /// Selection options or a pattern list were given, or return options: the extended form.
    pub(crate) extended: bool,
    /// Selection option SUBSCRIBED.
    pub(crate) subscribed: bool,
    pub(crate) recursive_match: bool,
    /// Selection option SPECIAL-USE.
    pub(crate) special_use: bool,
    pub(crate) return_subscribed: bool,
    pub(crate) return_children: bool,
    pub(crate) return_status: Vec<StatusItem>,
    /// Return option MYRIGHTS (RFC 8440).
    pub(crate) return_my_rights: bool,
}

/// What STATUS can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    HighestModSeq,
    MailboxId,
    /// APPENDLIMIT (RFC 7889)
    AppendLimit,
    /// DELETED-STORAGE (RFC 9208 §4.1.4)
    DeletedStorage,
}

pub(super) fn list(reader: &mut Reader<'_>) -> Result<List> {
    let mut list = List::default();
    reader.space()?;
    if reader.peek() == Some(b'(') {
        list.extended = true;
        reader.list(limits::LIST_ELEMENTS, |r| {
            match r.word()?.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => list.subscribed = true,
                "RECURSIVEMATCH" => list.recursive_match = true,
                "SPECIAL-USE" => list.special_use = true,
                // There are no remote mailboxes.
                "REMOTE" => {}
                _ => return Err(SyntaxError::Expected("a selection option")),
            }
            Ok(())
        })?;
        if list.recursive_match && !list.subscribed && !list.special_use {
            return Err(SyntaxError::Expected(
                "another selection option with RECURSIVEMATCH",
            ));
        }
        reader.space()?;
    }
    list.reference = reader.mailbox()?;
    reader.space()?;
    if reader.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = reader.list(limits::LIST_ELEMENTS, Reader::list_mailbox)?;
        if list.patterns.is_empty() {
            return Err(SyntaxError::Expected("a mailbox pattern"));
        }
    } else {
        list.patterns.push(reader.list_mailbox()?);
    }
    if reader.eat(b' ') {
        list.extended = true;
        if !reader.eat_word("RETURN") {
            return Err(SyntaxError::Expected("RETURN"));
        }
        reader.space()?;
        reader.list(limits::LIST_ELEMENTS, |r| {
            match r.word()?.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => list.return_subscribed = true,
                "CHILDREN" => list.return_children = true,
                "MYRIGHTS" => list.return_my_rights = true,
                // Special uses are told anyway.
                "SPECIAL-USE" => {}
                "STATUS" => {
                    r.space()?;
                    list.return_status = status_items(r)?;
                }
                _ => return Err(SyntaxError::Expected("a return option")),
            }
            Ok(())
        })?;
    }
    list.return_subscribed |= list.subscribed;
    Ok(list)
}

pub(super) fn lsub(reader: &mut Reader<'_>) -> Result<List> {
    reader.space()?;
    let reference = reader.mailbox()?;
    reader.space()?;
    Ok(List {
        reference,
        patterns: vec![reader.list_mailbox()?],
        subscribed: true,
        ..List::default()
    })
}

pub(super) fn status_items(reader: &mut Reader<'_>) -> Result<Vec<StatusItem>> {
    let items = reader.list(limits::LIST_ELEMENTS, |r| {
        Ok(match r.word()?.to_ascii_uppercase().as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "MAILBOXID" => StatusItem::MailboxId,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            _ => return Err(SyntaxError::Expected("a status item")),
        })
    })?;
    if items.is_empty() {
        Err(SyntaxError::Expected("a status item"))
    } else {
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read = |text: &'static str| list(&mut Reader::new(text.as_bytes(), false));
        let plain = read(" \"\" %").unwrap();
        assert!(!plain.extended && plain.patterns == ["%"]);
        let full = read(
            " (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"Sent/*\" %) RETURN (CHILDREN STATUS (MESSAGES SIZE) SPECIAL-USE)",
        )
        .unwrap();
        assert!(full.extended && full.subscribed && full.recursive_match && full.return_children);
        assert_eq!(full.patterns.len(), 3);
        assert_eq!(full.return_status, [StatusItem::Messages, StatusItem::Size]);
        for bad in [
            " (RECURSIVEMATCH) \"\" *",
            " (X) \"\" *",
            " \"\" ()",
            " \"\" * RETURN (X)",
            " \"\" * RETURN",
            " \"\"",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
