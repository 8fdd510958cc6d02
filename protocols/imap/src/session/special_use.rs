//! What mailboxes are for (RFC 6154): names of the attributes, and what a client may declare.

use ringpost_store::SpecialUse;

use super::reply::{Failure, Reply};

/// The attributes, as LIST shows them.
const ATTRIBUTES: [(SpecialUse, &str); 5] = [
    (SpecialUse::Archive, "\\Archive"),
    (SpecialUse::Drafts, "\\Drafts"),
    (SpecialUse::Junk, "\\Junk"),
    (SpecialUse::Sent, "\\Sent"),
    (SpecialUse::Trash, "\\Trash"),
];

/// A use as LIST shows it.
pub(super) fn attribute(special: SpecialUse) -> &'static str {
    let known = ATTRIBUTES.iter().find(|(known, _)| *known == special);
    known.map_or("", |(_, name)| name)
}

/// Uses that a client named. An error for what is not stored but would have to be computed, such as `\All`.
pub(super) fn parse<S: AsRef<str>>(names: &[S]) -> Result<Vec<SpecialUse>, Failure> {
    let mut uses = Vec::new();
    for name in names {
        let name = name.as_ref();
        let known = ATTRIBUTES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name));
        let Some((special, _)) = known else {
            return Err(Reply::no("USEATTR", "a use that mailboxes can't be given here").into());
        };
        if !uses.contains(special) {
            uses.push(*special);
        }
    }
    Ok(uses)
}
