//! Commands of a scenario: text with places that are filled in each time.

use std::{io::Write, ops::RangeInclusive};

use regex::bytes::{Regex, RegexBuilder};

use crate::{messages, scenario::Step, session::Turn};

/// A command as a scenario writes it.
pub(crate) struct Command {
    /// What errors call it.
    pub(crate) name: String,
    parts: Vec<Part>,
    /// The response, untagged and tagged lines, must match this.
    pub(crate) pattern: Option<Regex>,
    /// How many messages must be in the response.
    pub(crate) messages: Expected,
    /// What distinguishes the FETCH responses that were asked for.
    pub(crate) marker: Option<&'static [u8]>,
    /// Compare message content with what was generated.
    pub(crate) verify: bool,
}

/// Items of FETCH, and what a response has of them. Unasked, servers send FLAGS (and UID, and MODSEQ) alone.
const MARKERS: [(&str, &[u8]); 5] = [
    ("ENVELOPE", b"ENVELOPE"),
    ("BODYSTRUCTURE", b"BODYSTRUCTURE"),
    ("BODY", b"BODY["),
    ("RFC822.SIZE", b"RFC822.SIZE"),
    ("INTERNALDATE", b"INTERNALDATE"),
];

/// How many FETCH responses belong to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No matter.
    Any,
    /// This many.
    Count(u64),
    /// As many as the mailbox has messages.
    All,
    /// As many as `{any}` or `{last:N}` named.
    Named,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The sequence number of any message.
    Any,
    /// The sequence numbers of the last messages, at most so many.
    Last(u64),
    /// So many consecutive messages, anywhere.
    Some(u64),
    /// A word that some messages have.
    Word,
    /// A number unique in the run.
    Number,
    /// The mailbox's number.
    Mailbox,
}

impl Command {
    pub(crate) fn compile(step: &Step) -> Result<Self, String> {
        let text = step
            .command
            .as_deref()
            .ok_or("a `command` step needs its `command`")?;
        let pattern = match &step.expect {
            None => None,
            Some(pattern) => Some(
                RegexBuilder::new(pattern)
                    .multi_line(true)
                    .build()
                    .map_err(|error| error.to_string())?,
            ),
        };
        let messages = match step.messages.as_deref() {
            None => Expected::Any,
            Some("all") => Expected::All,
            Some("named") => Expected::Named,
            Some(count) => Expected::Count(
                count
                    .parse()
                    .map_err(|_| format!("`messages` is `all`, `named` or a number, not `{count}`"))?,
            ),
        };
        Ok(Self {
            name: text.to_owned(),
            parts: parse(text),
            pattern,
            messages,
            marker: marker(text),
            verify: step.verify,
        })
    }

    pub(crate) fn simple(text: &str) -> Self {
        Self {
            name: text.to_owned(),
            parts: vec![Part::Text(text.to_owned())],
            pattern: None,
            messages: Expected::Any,
            marker: None,
            verify: false,
        }
    }

    /// Appends the command; returns how many messages its places named.
    pub(crate) fn write(&self, out: &mut Vec<u8>, exists: u64, turn: &mut Turn<'_>) -> u64 {
        let mut named = 0;
        for part in &self.parts {
            let written = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    Ok(())
                }
                Part::Any => {
                    named = exists.min(1);
                    write!(out, "{}", 1 + turn.random.below(exists.max(1)))
                }
                Part::Last(count) => {
                    named = exists.min(*count);
                    range(out, exists.saturating_sub(*count) + 1..=exists)
                }
                Part::Some(count) => {
                    named = exists.min(*count);
                    let first = 1 + turn.random.below(exists.saturating_sub(*count) + 1);
                    range(out, first..=(first + count - 1).min(exists))
                }
                Part::Word => {
                    out.extend_from_slice(messages::word(turn.random).as_bytes());
                    Ok(())
                }
                Part::Number => write!(out, "{}", turn.number),
                Part::Mailbox => write!(out, "{}", turn.mailbox),
            };
            debug_assert!(written.is_ok(), "a Vec takes everything");
        }
        named
    }
}

fn marker(text: &str) -> Option<&'static [u8]> {
    let text = text.to_ascii_uppercase();
    let found = MARKERS
        .iter()
        .find(|(item, _)| text.contains("FETCH") && text.contains(item));
    found.map(|(_, marker)| *marker)
}

fn range(out: &mut Vec<u8>, numbers: RangeInclusive<u64>) -> std::io::Result<()> {
    write!(out, "{}:{}", numbers.start().max(&1), numbers.end().max(&1))
}

/// Splits at the places; braces with anything else in them are text.
fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let place = rest[open + 1..].split_once('}').and_then(|(inside, after)| {
            let part = match inside.split_once(':') {
                None => match inside {
                    "any" => Part::Any,
                    "word" => Part::Word,
                    "n" => Part::Number,
                    "mailbox" => Part::Mailbox,
                    _ => return None,
                },
                Some(("last", count)) => Part::Last(count.parse().ok().filter(|&count| count > 0)?),
                Some(("some", count)) => Part::Some(count.parse().ok().filter(|&count| count > 0)?),
                Some(_) => return None,
            };
            Some((part, after))
        });
        if let Some((part, after)) = place {
            plain.push_str(&rest[..open]);
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = after;
        } else {
            plain.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_other_braces_left_alone() {
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            parse("FETCH {last:50} (FLAGS) {any}{word} {x} {last:0} {n"),
            [
                text("FETCH "),
                Part::Last(50),
                text(" (FLAGS) "),
                Part::Any,
                Part::Word,
                text(" {x} {last:0} {n"),
            ]
        );
        assert_eq!(parse("NOOP"), [text("NOOP")]);
    }

    #[test]
    fn what_was_asked_for_is_told_from_what_others_changed() {
        assert_eq!(marker("UID FETCH 1:* BODY.PEEK[]"), Some(&b"BODY["[..]));
        assert_eq!(
            marker("FETCH 1 (UID FLAGS ENVELOPE BODYSTRUCTURE)"),
            Some(&b"ENVELOPE"[..])
        );
        assert_eq!(marker("FETCH 1:* (FLAGS)"), None);
        assert_eq!(marker("UID SEARCH BODY x"), None);
    }
}
