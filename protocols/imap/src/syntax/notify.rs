//! NOTIFY (RFC 5465 §8).

use super::{
    SyntaxError,
    command::Body,
    fetch::{self, Item},
    reader::Reader,
};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// NOTIFY SET.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct NotifySet {
    /// The state of the mailboxes is told, too.
    pub(crate) status: bool,
    /// What is told of the selected mailbox; `None`: nothing.
    pub(crate) selected: Option<SelectedEvents>,
    pub(crate) groups: Vec<Group>,
    /// An event was named that is not known.
    pub(crate) unknown_event: bool,
}

/// What is told of the selected mailbox. That messages come and go is always part of it (§5).
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct SelectedEvents {
    /// SELECTED: EXPUNGE may come at any time, not only while a command runs (SELECTED-DELAYED).
    pub(crate) immediate: bool,
    /// What is told of a new message.
    pub(crate) items: Vec<Item>,
    pub(crate) flags: bool,
}

/// Mailboxes and what is told of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) mailboxes: Mailboxes,
    pub(crate) events: Events,
}

/// Which mailboxes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mailboxes {
    /// One's own; INBOXES means the same, since rules may deliver to all of them (§6.3).
    Personal,
    Subscribed,
    Subtree(Vec<String>),
    Named(Vec<String>),
}

/// A set of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Events(u8);

impl Events {
    /// MessageNew and MessageExpunge, which come together (§5).
    pub(crate) const MESSAGES: Self = Self(1 | 2);
    pub(crate) const FLAGS: Self = Self(4);
    pub(crate) const NAME: Self = Self(8);
    pub(crate) const SUBSCRIPTION: Self = Self(16);
    pub(crate) const METADATA: Self = Self(32);
    pub(crate) const SERVER_METADATA: Self = Self(64);

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The events' names, and the bits that they set.
const EVENTS: [(&str, u8); 7] = [
    ("MessageNew", 1),
    ("MessageExpunge", 2),
    ("FlagChange", 4),
    ("MailboxName", 8),
    ("SubscriptionChange", 16),
    ("MailboxMetadataChange", 32),
    ("ServerMetadataChange", 64),
];

/// The names of the events there are, with spaces between.
pub(crate) fn event_names() -> String {
    EVENTS.map(|(name, _)| name).join(" ")
}

pub(super) fn notify<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    if reader.eat_word("NONE") {
        return Ok(Body::Notify(None));
    }
    if !reader.eat_word("SET") {
        return Err(SyntaxError::Expected("SET or NONE"));
    }
    let mut set = NotifySet::default();
    reader.space()?;
    if reader.eat_word("STATUS") {
        set.status = true;
        reader.space()?;
    }
    let mut selected = false;
    loop {
        group(reader, &mut set, &mut selected)?;
        if set.groups.len() > limits::NOTIFY_GROUPS {
            return Err(SyntaxError::TooMany("event groups"));
        }
        if !reader.eat(b' ') {
            return Ok(Body::Notify(Some(set)));
        }
    }
}

fn group(reader: &mut Reader<'_>, set: &mut NotifySet, selected: &mut bool) -> Result<()> {
    reader.expect(b'(', "(")?;
    let mailboxes = match reader.word()?.to_ascii_uppercase().as_str() {
        specifier @ ("SELECTED" | "SELECTED-DELAYED") => {
            // One of them, once (§6.1).
            if std::mem::replace(selected, true) {
                return Err(SyntaxError::Expected("SELECTED once only"));
            }
            let mut items = Vec::new();
            let events = events(reader, Some(&mut items), &mut set.unknown_event)?;
            if events.0 & !(Events::MESSAGES.0 | Events::FLAGS.0) != 0 {
                return Err(SyntaxError::Expected("events of messages with SELECTED"));
            }
            if events != Events::default() {
                set.selected = Some(SelectedEvents {
                    immediate: specifier == "SELECTED",
                    items,
                    flags: events.has(Events::FLAGS),
                });
            }
            return Ok(());
        }
        "PERSONAL" | "INBOXES" => Mailboxes::Personal,
        "SUBSCRIBED" => Mailboxes::Subscribed,
        "SUBTREE" => Mailboxes::Subtree(names(reader)?),
        "MAILBOXES" => Mailboxes::Named(names(reader)?),
        _ => return Err(SyntaxError::Expected("mailboxes to watch")),
    };
    let events = events(reader, None, &mut set.unknown_event)?;
    set.groups.push(Group { mailboxes, events });
    Ok(())
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    reader.space()?;
    let names = if reader.peek() == Some(b'(') {
        reader.list(limits::LIST_ELEMENTS, Reader::mailbox)?
    } else {
        vec![reader.mailbox()?]
    };
    if names.is_empty() {
        return Err(SyntaxError::Expected("a mailbox"));
    }
    Ok(names)
}

/// The events up to the group's end. Parentheses around them may be missing, as in the standard's own example.
fn events(reader: &mut Reader<'_>, items: Option<&mut Vec<Item>>, unknown: &mut bool) -> Result<Events> {
    reader.space()?;
    if reader.eat_word("NONE") {
        reader.expect(b')', ")")?;
        return Ok(Events::default());
    }
    let enclosed = reader.eat(b'(');
    let (mut events, mut given) = (0, Vec::new());
    for count in 0.. {
        if count == limits::LIST_ELEMENTS {
            return Err(SyntaxError::TooMany("events"));
        }
        let name = reader.word()?;
        match EVENTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, bit)) => events |= bit,
            None => *unknown = true,
        }
        let mut ahead = reader.clone();
        if name.eq_ignore_ascii_case("MessageNew") && ahead.eat(b' ') && ahead.peek() == Some(b'(') {
            if items.is_none() {
                return Err(SyntaxError::Expected("data items with SELECTED only"));
            }
            given = ahead.list(limits::FETCH_ITEMS, fetch::item)?;
            *reader = ahead;
        }
        if !reader.eat(b' ') {
            break;
        }
    }
    if enclosed {
        reader.expect(b')', ")")?;
    }
    reader.expect(b')', ")")?;
    if let Some(items) = items {
        *items = given;
    }
    // Messages come and go; who hears of flags hears of that, too (§5).
    let messages = events & Events::MESSAGES.0;
    if !*unknown && (messages != 0 || events & Events::FLAGS.0 != 0) && messages != Events::MESSAGES.0 {
        return Err(SyntaxError::Expected("both MessageNew and MessageExpunge"));
    }
    Ok(Events(events))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Option<NotifySet>> {
        let mut reader = Reader::new(text.as_bytes(), false);
        match notify(&mut reader, false)? {
            Body::Notify(set) => reader.end().map(|()| set),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn forms() {
        assert_eq!(read(" NONE"), Ok(None));
        let set = read(
            " set status (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge) \
             (subtree Lists (MessageNew MessageExpunge)) (mailboxes (a \"b c\") (MailboxName)) (inboxes NONE)",
        )
        .unwrap()
        .unwrap();
        assert!(set.status && !set.unknown_event);
        let selected = set.selected.unwrap();
        assert!(selected.immediate && !selected.flags && selected.items.len() == 2);
        assert_eq!(set.groups.len(), 3);
        assert_eq!(set.groups[0].mailboxes, Mailboxes::Subtree(vec!["Lists".into()]));
        assert_eq!(set.groups[0].events, Events::MESSAGES);
        assert_eq!(
            set.groups[1].mailboxes,
            Mailboxes::Named(vec!["a".into(), "b c".into()])
        );
        assert_eq!(
            (&set.groups[2].mailboxes, set.groups[2].events),
            (&Mailboxes::Personal, Events::default())
        );
        let set = read(
            " SET (selected-delayed (MessageNew FlagChange MessageExpunge)) (personal (SubscriptionChange))",
        )
        .unwrap()
        .unwrap();
        assert!(
            set.selected
                .is_some_and(|selected| selected.flags && !selected.immediate)
        );
        assert!(read(" SET (selected NONE)").unwrap().unwrap().selected.is_none());
        assert!(
            read(" SET (personal (AnnotationChange))")
                .unwrap()
                .unwrap()
                .unknown_event
        );
    }

    #[test]
    fn malformed() {
        for bad in [
            "",
            " SET",
            " SET ()",
            " SET (selected)",
            " SET (selected (MessageNew))",
            " SET (personal (FlagChange))",
            " SET (selected (MessageNew MessageExpunge)) (selected-delayed NONE)",
            " SET (selected (MailboxName))",
            " SET (personal (MessageNew (uid) MessageExpunge))",
            " SET (subtree (MailboxName))",
            " SET (mailboxes () (MailboxName))",
            " SET (other (MailboxName))",
            " SET (personal (MailboxName)",
            " SET STATUS",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
