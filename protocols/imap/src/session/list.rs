//! LIST and LSUB (RFC 9051 §6.3.9, RFC 3501 §6.3.9, RFC 5258, 5819, 6154).

use std::collections::HashSet;

use ringpost_host::{Connection, Host};
use ringpost_mapi::rights::Rights;
use ringpost_store::{Mailbox, StoreError};

use super::{
    Session, acl,
    folders::{self, Listed},
    mailboxes::write_status,
    place::{self, Place},
    reply::{Failure, Reply},
    special_use,
};
use crate::{
    encode::{self, put},
    syntax::list::{List, StatusItem},
};

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn list(&mut self, list: List, lsub: bool) -> Result<Reply, Failure> {
        if !list.extended && !lsub && list.patterns == [""] {
            // The client asks for the delimiter, and for the root of the reference.
            self.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" ");
            let root = place::root(&list.reference);
            encode::mailbox(&mut self.out, root, self.enabled.utf8_names());
            self.out.extend_from_slice(b"\r\n");
            return Ok(Reply::ok("LIST completed"));
        }
        if list.return_status.contains(&StatusItem::HighestModSeq) {
            self.use_condstore();
        }
        let patterns: Vec<String> = list
            .patterns
            .iter()
            .map(|pattern| format!("{}{pattern}", list.reference))
            .collect();
        let mut places = vec![self.own_place("")];
        let mut add = |place: Place| {
            if !places.iter().any(|known| known.prefix == place.prefix) {
                places.push(place);
            }
        };
        for pattern in &patterns {
            self.visited_by(pattern).into_iter().for_each(&mut add);
        }
        let wanted = lsub || list.subscribed;
        let names = if wanted || list.return_subscribed {
            self.call_at(&self.mailbox, Mailbox::subscribed_names).await?
        } else {
            Vec::new()
        };
        let reached = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        for name in names.iter().filter(|name| wanted && place::is_shared(name)) {
            if let Some(mut place) = self.place(name).ok().filter(|_| reached(name)) {
                place.name.clear();
                add(place);
            }
        }
        // Of the subscribed names, and the levels above them, those that are there.
        let mut known = HashSet::new();
        for place in &places {
            self.list_place(&list, lsub, &patterns, place, &names, &mut known)
                .await?;
        }
        if wanted && !list.special_use {
            self.list_missing(&list, lsub, &patterns, &names, &known).await?;
        }
        Ok(Reply::ok(if lsub { "LSUB completed" } else { "LIST completed" }))
    }

    /// Lists the folders of one mailbox.
    async fn list_place(
        &mut self,
        list: &List,
        lsub: bool,
        patterns: &[String],
        place: &Place,
        names: &[String],
        known: &mut HashSet<String>,
    ) -> Result<(), Failure> {
        let with_status = !list.return_status.is_empty();
        let mut listed = if place.visitor.is_none() {
            self.call_at(&place.mailbox, folders::all).await?
        } else {
            let asked = place.clone();
            let visible = self
                .call_at(&place.mailbox, move |mailbox| visible(mailbox, &asked))
                .await;
            match visible {
                Ok(listed) => listed,
                // Another's mailbox that can't be opened is his trouble.
                Err(error) => {
                    tracing::warn!(%error, mailbox = %place.prefix, "imap: a shared mailbox can't be listed");
                    return Ok(());
                }
            }
        };
        if !names.is_empty() {
            for entry in &mut listed {
                entry.folder.subscribed |= names.contains(&entry.name);
                known.insert(entry.name.clone());
            }
        }
        if let Some(owner) = place.prefix.strip_suffix('/').filter(|_| !listed.is_empty()) {
            let reached = patterns.iter().any(|pattern| matches(pattern, owner));
            if reached && !lsub && !list.subscribed && !list.special_use {
                self.out
                    .extend_from_slice(b"* LIST (\\Noselect \\HasChildren) \"/\" ");
                encode::mailbox(&mut self.out, owner, self.enabled.utf8_names());
                self.out.extend_from_slice(b"\r\n");
            }
        }
        for (index, entry) in listed.iter().enumerate() {
            if !patterns.iter().any(|pattern| matches(pattern, &entry.name)) {
                continue;
            }
            let chosen = (!list.subscribed || entry.folder.subscribed)
                && (!list.special_use || !entry.uses.is_empty());
            // RECURSIVEMATCH, and LSUB by itself, tell of mailboxes above a chosen one that the patterns don't reach.
            let mut below = if entry.has_children && (list.recursive_match || lsub) {
                chosen_below(&listed[index + 1..], entry, list, patterns)
            } else {
                Vec::new()
            };
            if list.recursive_match && list.subscribed && !list.special_use || lsub {
                let gone = names
                    .iter()
                    .filter(|name| is_below(name, &entry.name) && !known.contains(*name))
                    .map(|name| patterns.iter().any(|pattern| matches(pattern, name)));
                below.extend(gone);
            }
            let above_chosen = if list.recursive_match {
                !below.is_empty()
            } else {
                !chosen && below.contains(&false)
            };
            if chosen || above_chosen {
                self.write_entry(entry, list, lsub, chosen, above_chosen && !lsub);
            }
            if list.return_my_rights && (chosen || above_chosen) && !entry.rights.is_empty() {
                let letters = acl::letters(entry.rights, place.is_public());
                self.write_my_rights(&entry.name, &letters);
            }
            if with_status && chosen && entry.rights.contains(Rights::READ_ANY) {
                let id = entry.folder.id;
                let status = self.status_of(place, id, &list.return_status).await?;
                let utf8 = self.enabled.utf8_names();
                write_status(&mut self.out, &entry.name, id, &status, &list.return_status, utf8);
            }
            self.flush_slice().await?;
        }
        Ok(())
    }

    /// Lists names that are subscribed to and have no mailbox (RFC 5258 §3.1), and with RECURSIVEMATCH or LSUB the
    /// levels above names that are not mailboxes either.
    async fn list_missing(
        &mut self,
        list: &List,
        lsub: bool,
        patterns: &[String],
        names: &[String],
        known: &HashSet<String>,
    ) -> Result<(), Failure> {
        let reached = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        let utf8 = self.enabled.utf8_names();
        let mut told: HashSet<&str> = HashSet::new();
        for name in names {
            let is_reached = reached(name);
            if is_reached && !known.contains(name) && told.insert(name) {
                self.out.extend_from_slice(if lsub {
                    b"* LSUB () \"/\" "
                } else {
                    b"* LIST (\\NonExistent \\Subscribed) \"/\" "
                });
                encode::mailbox(&mut self.out, name, utf8);
                self.out.extend_from_slice(b"\r\n");
            }
            if list.recursive_match || lsub && !is_reached {
                for (at, _) in name.match_indices('/') {
                    let above = &name[..at];
                    let is_mailbox = known.contains(above) || names.iter().any(|other| other == above);
                    if is_mailbox || !reached(above) || !told.insert(above) {
                        continue;
                    }
                    self.out.extend_from_slice(if lsub {
                        b"* LSUB (\\Noselect) \"/\" "
                    } else {
                        b"* LIST (\\NonExistent) \"/\" "
                    });
                    encode::mailbox(&mut self.out, above, utf8);
                    self.out.extend_from_slice(if lsub {
                        b"\r\n"
                    } else {
                        b" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
                    });
                }
            }
            self.flush_slice().await?;
        }
        Ok(())
    }

    fn write_entry(&mut self, entry: &Listed, list: &List, lsub: bool, chosen: bool, child_info: bool) {
        let out = &mut self.out;
        out.extend_from_slice(if lsub { b"* LSUB (" } else { b"* LIST (" });
        let mut attributes = Vec::new();
        if lsub {
            if !chosen {
                attributes.push("\\Noselect");
            }
        } else {
            attributes.push(if entry.has_children {
                "\\HasChildren"
            } else {
                "\\HasNoChildren"
            });
            if list.return_subscribed && entry.folder.subscribed {
                attributes.push("\\Subscribed");
            }
            attributes.extend(entry.uses.iter().copied().map(special_use::attribute));
        }
        out.extend_from_slice(attributes.join(" ").as_bytes());
        out.extend_from_slice(b") \"/\" ");
        encode::mailbox(out, &entry.name, self.enabled.utf8_names());
        if child_info {
            put!(
                out,
                " (\"CHILDINFO\" (\"{}\"))",
                if list.subscribed {
                    "SUBSCRIBED"
                } else {
                    "SPECIAL-USE"
                }
            );
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The folders that a visitor may see, by their full names.
pub(super) fn visible(mailbox: &mut Mailbox, place: &Place) -> Result<Vec<Listed>, StoreError> {
    let mut shown: Vec<Listed> = Vec::new();
    for mut entry in folders::all(mailbox)? {
        entry.rights = place.rights(mailbox, entry.folder.id)?;
        if place::is_visible(entry.rights) {
            entry.name = format!("{}{}", place.prefix, entry.name);
            // What is the owner's alone: his subscriptions, what he uses a folder for.
            (entry.folder.subscribed, entry.uses) = (false, Vec::new());
            shown.push(entry);
        }
    }
    let names: HashSet<String> = shown
        .iter()
        .filter_map(|entry| entry.name.rsplit_once('/').map(|(above, _)| above.to_owned()))
        .collect();
    for entry in &mut shown {
        entry.has_children = names.contains(&entry.name);
    }
    Ok(shown)
}

/// Of the chosen mailboxes below `entry`: whether a pattern reaches each.
fn chosen_below(after: &[Listed], entry: &Listed, list: &List, patterns: &[String]) -> Vec<bool> {
    let prefix = format!("{}/", entry.name);
    after
        .iter()
        .filter(|other| {
            other.name.starts_with(&prefix)
                && (!list.subscribed || other.folder.subscribed)
                && (!list.special_use || !other.uses.is_empty())
        })
        .map(|other| patterns.iter().any(|pattern| matches(pattern, &other.name)))
        .collect()
}

/// Whether a name is of a level below `above`.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a name matches a pattern: `*` stands for anything, `%` for anything within one level. Takes time in
/// proportion to the product of both lengths, whatever the pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    // INBOX is matched in any case; below it names are as they are.
    let inbox = name == "INBOX" || name.starts_with("INBOX/");
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // reached[i]: the pattern so far matches the first i characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for &wanted in &pattern {
        let mut next = vec![false; name.len() + 1];
        match wanted {
            '*' | '%' => {
                let mut open = false;
                for (index, was) in reached.iter().enumerate() {
                    // A `%` stops at a delimiter.
                    if wanted == '%' && index > 0 && name[index - 1] == '/' {
                        open = false;
                    }
                    open |= was;
                    next[index] = open;
                }
            }
            wanted => {
                for (index, &there) in name.iter().enumerate() {
                    let same = there == wanted || inbox && index < 5 && there.eq_ignore_ascii_case(&wanted);
                    next[index + 1] = reached[index] && same;
                }
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a/*", "a/b/c", true),
            ("%/%", "a/b", true),
            ("%b%", "abc", true),
            ("inbox", "INBOX", true),
            ("iNb*", "INBOX/x", true),
            ("A", "a", false),
            ("", "a", false),
            ("*%*%", "a/b/c", true),
            ("a%", "a/", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        // A pattern made to explode takes no longer than others.
        assert!(!matches(&"*a".repeat(400), &"a".repeat(399)));
    }
}
