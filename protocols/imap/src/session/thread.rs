//! THREAD=ORDEREDSUBJECT and THREAD=REFERENCES (RFC 5256 §3).

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
};

use ringpost_host::{Connection, Host};
use ringpost_mapi::Uid;
use ringpost_store::{Mailbox, UidSet};

use super::{
    Session,
    index::{FolderIndex, Level, NONE, Texts},
    reply::{Failure, Reply},
};
use crate::{
    encode,
    syntax::search::{Algorithm, Search},
};

/// From this many messages on threads are built on a helper thread; fewer take less than a few milliseconds.
const HELPER_MESSAGES: usize = 1000;
/// Messages between two looks at whether others want their turn.
const STRIDE: usize = 4096;

/// What threading needs of a message. Texts are numbers here, and ids hashes: they are only compared.
#[derive(Clone, Debug, Default)]
struct Entry {
    date: i64,
    /// The base subject; [`NONE`]: empty.
    subject: u32,
    /// The subject says reply or forward.
    reply: bool,
    /// 0: none.
    id: u64,
    /// Ancestors, the oldest first: a range of the references of all.
    references: Range<u32>,
}

/// The messages to thread, by ascending UID.
#[derive(Default)]
struct Entries {
    uids: Vec<u32>,
    list: Vec<Entry>,
    references: Vec<u64>,
}

impl Entries {
    fn push(&mut self, uid: u32, texts: &Texts, at: usize) {
        let start = self.references.len() as u32;
        self.references.extend_from_slice(texts.references(at));
        self.uids.push(uid);
        self.list.push(Entry {
            date: texts.sent[at],
            subject: texts.base[at],
            reply: texts.reply[at],
            id: texts.id[at],
            references: start..self.references.len() as u32,
        });
    }

    fn gather(mailbox: &mut Mailbox, index: &FolderIndex, wanted: &UidSet) -> Self {
        let mut entries = Self::default();
        index.places(wanted, |at| {
            entries.push(index.uids[at], &index.texts, at);
            if entries.uids.len() % STRIDE == 0 {
                mailbox.breathe();
            }
        });
        entries
    }

    fn thread(&self, algorithm: Algorithm) -> Forest {
        match algorithm {
            Algorithm::OrderedSubject => ordered_subject(&self.list),
            Algorithm::References => references(self),
        }
    }
}

/// For keys that are hashes.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A message, or one that is only referred to, with its answers. Kept in one vector and named by index.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Index of its entry.
    message: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
    /// Something was linked below it.
    answered: bool,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn thread(
        &mut self,
        algorithm: Algorithm,
        search: Search,
        uid: bool,
    ) -> Result<Reply, Failure> {
        let all = self.selected()?.list.to_set();
        let found = self.find(&search.key, all).await?;
        let wanted = found.uids.clone();
        let gather =
            move |mailbox: &mut Mailbox, index: &FolderIndex| Entries::gather(mailbox, index, &wanted);
        let gathered = self.with_index(found.uids.len(), Level::Texts, gather).await?;
        let entries = match gathered {
            Some(entries) => entries,
            None => self.entries(found.uids).await?,
        };
        let list = &self.selected()?.list;
        let number = |message: u32| {
            if uid {
                Some(message)
            } else {
                list.number(Uid(message))
            }
        };
        let numbers: Vec<u32> = entries
            .uids
            .iter()
            .map(|&uid| number(uid).unwrap_or_default())
            .collect();
        let forest = if numbers.len() < HELPER_MESSAGES {
            entries.thread(algorithm)
        } else {
            self.host.helper(move || entries.thread(algorithm)).await?
        };
        self.out.extend_from_slice(b"* THREAD");
        if !forest.roots.is_empty() {
            self.out.push(b' ');
        }
        for &root in &forest.roots {
            forest.write(root, &numbers, &mut self.out);
            self.flush_slice().await?;
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(Reply::ok("THREAD completed"))
    }

    /// Reads what threading needs, of messages that are not looked up in an index.
    async fn entries(&mut self, uids: UidSet) -> Result<Entries, Failure> {
        let mut collected = self
            .collect(uids, |row, structure| (row.received, structure.envelope.clone()))
            .await?;
        collected.sort_by_key(|(_, uid)| *uid);
        let (mut texts, mut entries) = (Texts::default(), Entries::default());
        for (at, ((received, envelope), uid)) in collected.into_iter().enumerate() {
            texts.push(received, &envelope);
            entries.push(uid.0, &texts, at);
        }
        Ok(entries)
    }
}

struct Forest {
    nodes: Vec<Node>,
    roots: Vec<usize>,
}

impl Forest {
    /// `thread-list`: a chain is written flat, a fork nests. Without recursion: a thread may be very deep.
    fn write(&self, root: usize, numbers: &[u32], out: &mut Vec<u8>) {
        enum Step {
            Open,
            Node { index: usize, space: bool },
            Close,
        }
        let mut stack = vec![
            Step::Close,
            Step::Node {
                index: root,
                space: false,
            },
            Step::Open,
        ];
        while let Some(step) = stack.pop() {
            let (index, space) = match step {
                Step::Open => {
                    out.push(b'(');
                    continue;
                }
                Step::Close => {
                    out.push(b')');
                    continue;
                }
                Step::Node { index, space } => (index, space),
            };
            let node = &self.nodes[index];
            let number = node.message.and_then(|message| numbers.get(message));
            if let Some(number) = number {
                if space {
                    out.push(b' ');
                }
                encode::number(out, *number);
            }
            match node.children.as_slice() {
                [] => {}
                [only] => stack.push(Step::Node {
                    index: *only,
                    space: number.is_some(),
                }),
                several => {
                    if number.is_some() {
                        out.push(b' ');
                    }
                    for &child in several.iter().rev() {
                        stack.push(Step::Close);
                        stack.push(Step::Node {
                            index: child,
                            space: false,
                        });
                        stack.push(Step::Open);
                    }
                }
            }
        }
    }
}

/// RFC 5256 §3, ORDEREDSUBJECT: messages of one base subject are one thread, the first above the others.
fn ordered_subject(entries: &[Entry]) -> Forest {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&index| (entries[index].date, index));
    let mut nodes: Vec<Node> = (0..entries.len())
        .map(|index| Node {
            message: Some(index),
            ..Node::default()
        })
        .collect();
    let mut roots = Vec::new();
    let mut by_subject: HashMap<u32, usize> = HashMap::new();
    for index in order {
        match by_subject.entry(entries[index].subject) {
            std::collections::hash_map::Entry::Occupied(root) => {
                nodes[*root.get()].children.push(index);
                nodes[index].parent = Some(*root.get());
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(index);
                roots.push(index);
            }
        }
    }
    Forest { nodes, roots }
}

/// RFC 5256 §3, REFERENCES.
fn references(all: &Entries) -> Forest {
    let entries = &all.list[..];
    let mut tree = Tree {
        nodes: Vec::with_capacity(entries.len()),
        by_id: HashMap::default(),
    };
    // Step 1: link messages by their references.
    for (index, entry) in entries.iter().enumerate() {
        let own = if entry.id == 0 {
            tree.add()
        } else {
            let node = tree.node(entry.id);
            // A second message with the same id is on its own.
            if tree.nodes[node].message.is_some() {
                tree.add()
            } else {
                node
            }
        };
        tree.nodes[own].message = Some(index);
        let mut above = None;
        for &id in &all.references[entry.references.start as usize..entry.references.end as usize] {
            let node = tree.node(id);
            if let Some(parent) = above
                && tree.nodes[node].parent.is_none()
            {
                tree.link(parent, node);
            }
            above = Some(node);
        }
        if let Some(parent) = above {
            // The message's own references say best where it belongs.
            tree.nodes[own].parent = None;
            tree.link(parent, own);
        }
    }
    // Steps 2 and 3: what has no parent is a thread; nodes without a message go.
    let mut roots = tree.settle();
    // Step 4: by date, which merging by subject builds on.
    let dates = tree.dates(entries);
    roots.sort_by_key(|&root| (dates[root], root));
    // Step 5: threads of one base subject are one.
    tree.merge_by_subject(&mut roots, entries);
    // Step 6: siblings by date.
    let dates = tree.dates(entries);
    roots.sort_by_key(|&root| (dates[root], tree.first_message(root)));
    for node in 0..tree.nodes.len() {
        let mut children = std::mem::take(&mut tree.nodes[node].children);
        children.sort_by_key(|&child| (dates[child], tree.first_message(child)));
        tree.nodes[node].children = children;
    }
    Forest {
        nodes: tree.nodes,
        roots,
    }
}

struct Tree {
    nodes: Vec<Node>,
    by_id: HashMap<u64, usize, BuildHasherDefault<AsItIs>>,
}

impl Tree {
    fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn node(&mut self, id: u64) -> usize {
        if let Some(&node) = self.by_id.get(&id) {
            return node;
        }
        let node = self.add();
        self.by_id.insert(id, node);
        node
    }

    /// Makes `child` an answer to `parent`, unless that closes a circle. Child lists are made by [`Self::settle`].
    fn link(&mut self, parent: usize, child: usize) {
        // Only a node that has answers can be above `parent`: most messages come after what they answer, and
        // a long chain costs no walk for each.
        let mut above = Some(parent).filter(|_| self.nodes[child].answered || parent == child);
        while let Some(node) = above {
            if node == child {
                return;
            }
            above = self.nodes[node].parent;
        }
        self.nodes[child].parent = Some(parent);
        self.nodes[parent].answered = true;
    }

    /// Removes nodes without a message, their answers moving up (at the top only when there is one), makes the child
    /// lists, and returns the threads.
    fn settle(&mut self) -> Vec<usize> {
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut stack = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            match node.parent {
                Some(parent) => below[parent].push(index),
                None => stack.push((index, None)),
            }
        }
        let tops: Vec<usize> = stack.iter().map(|&(index, _)| index).collect();
        // From the top down: what is below a node without a message is below the nearest kept one.
        while let Some((index, kept)) = stack.pop() {
            let stays = self.nodes[index].message.is_some() || kept.is_none();
            if stays {
                self.nodes[index].parent = kept;
                if let Some(parent) = kept {
                    self.nodes[parent].children.push(index);
                }
            }
            let kept = if stays { Some(index) } else { kept };
            stack.extend(below[index].iter().map(|&child| (child, kept)));
        }
        let mut roots = Vec::new();
        for top in tops {
            match (self.nodes[top].message, self.nodes[top].children.as_slice()) {
                (None, []) => {}
                (None, &[only]) => {
                    self.nodes[top].children.clear();
                    self.nodes[only].parent = None;
                    roots.push(only);
                }
                _ => roots.push(top),
            }
        }
        roots
    }

    /// The index of a node's message, or of its first answer's.
    fn first_message(&self, mut node: usize) -> usize {
        loop {
            match (self.nodes[node].message, self.nodes[node].children.first()) {
                (Some(message), _) => return message,
                (None, Some(&child)) => node = child,
                (None, None) => return usize::MAX,
            }
        }
    }

    /// The date of each node: its message's, or the earliest of its answers'.
    fn dates(&self, entries: &[Entry]) -> Vec<i64> {
        let own = |node: &Node| node.message.map(|message| entries[message].date);
        self.nodes
            .iter()
            .map(|node| {
                own(node).unwrap_or_else(|| {
                    node.children
                        .iter()
                        .filter_map(|&child| own(&self.nodes[child]))
                        .min()
                        .unwrap_or(i64::MAX)
                })
            })
            .collect()
    }

    /// The entry that gives a thread its subject.
    fn subject_entry(&self, root: usize, entries: &[Entry]) -> Option<usize> {
        let node = &self.nodes[root];
        node.message.or_else(|| {
            let first = node
                .children
                .iter()
                .filter_map(|&child| self.nodes[child].message);
            first.min_by_key(|&message| (entries[message].date, message))
        })
    }

    fn merge_by_subject(&mut self, roots: &mut Vec<usize>, entries: &[Entry]) {
        // 5B: for each subject the thread that the others join: one without a message at its top, or else one
        // that is no reply.
        let mut table: HashMap<u32, usize> = HashMap::new();
        for &root in roots.iter() {
            let Some(entry) = self.subject_entry(root, entries).map(|message| &entries[message]) else {
                continue;
            };
            if entry.subject == NONE {
                continue;
            }
            let better = |&other: &usize| {
                let dummy = |node: usize| self.nodes[node].message.is_none();
                let reply = |node: usize| {
                    self.subject_entry(node, entries)
                        .is_some_and(|m| entries[m].reply)
                };
                dummy(root) && !dummy(other) || !dummy(other) && reply(other) && !reply(root)
            };
            if table.get(&entry.subject).is_none_or(better) {
                table.insert(entry.subject, root);
            }
        }
        // 5C: join.
        let mut left = Vec::new();
        for &root in roots.iter() {
            let subject = self.subject_entry(root, entries).map(|message| &entries[message]);
            let target = subject.and_then(|entry| table.get(&entry.subject).copied());
            let (Some(entry), Some(target)) = (subject, target.filter(|&target| target != root)) else {
                left.push(root);
                continue;
            };
            let dummy = |node: usize| self.nodes[node].message.is_none();
            let target_reply = self
                .subject_entry(target, entries)
                .is_some_and(|message| entries[message].reply);
            if dummy(root) && dummy(target) {
                for child in std::mem::take(&mut self.nodes[root].children) {
                    self.nodes[child].parent = Some(target);
                    self.nodes[target].children.push(child);
                }
            } else if dummy(target) || entry.reply && !target_reply {
                self.nodes[root].parent = Some(target);
                self.nodes[target].children.push(root);
            } else {
                // Neither answers the other: both go below a new top. The target keeps its place in the
                // table and among the roots by changing its content with the new node.
                let moved = self.add();
                self.nodes.swap(target, moved);
                for child in self.nodes[moved].children.clone() {
                    self.nodes[child].parent = Some(moved);
                }
                self.nodes[moved].parent = Some(target);
                self.nodes[root].parent = Some(target);
                self.nodes[target].children = vec![moved, root];
            }
        }
        *roots = left;
    }
}

#[cfg(test)]
mod tests {
    use ringpost_convert::structure::Envelope;
    use ringpost_mapi::FileTime;

    use super::*;

    fn message(date: i64, subject: &str, id: &str, references: &[&str]) -> (FileTime, Envelope) {
        let ids = references.iter().map(|id| format!("<{id}> "));
        let envelope = Envelope {
            subject: Some(subject.into()),
            message_id: Some(format!("<{id}>").into()),
            references: Some(ids.collect::<String>().into()),
            ..Envelope::default()
        };
        (FileTime::from_unix_seconds(date), envelope)
    }

    fn entries(messages: &[(FileTime, Envelope)]) -> Entries {
        let (mut texts, mut entries) = (Texts::default(), Entries::default());
        for (at, (received, envelope)) in messages.iter().enumerate() {
            texts.push(*received, envelope);
            entries.push(at as u32 + 1, &texts, at);
        }
        entries
    }

    fn text(forest: &Forest, count: usize) -> String {
        let numbers: Vec<u32> = (1..=count as u32).collect();
        let mut out = Vec::new();
        forest
            .roots
            .iter()
            .for_each(|&root| forest.write(root, &numbers, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn chains_forks_and_missing_messages() {
        let messages = [
            message(1, "a", "1", &[]),
            message(2, "Re: a", "2", &["1"]),
            message(3, "Re: a", "3", &["1"]),
            message(4, "Re: a", "4", &["1", "3"]),
            message(5, "b", "5", &[]),
            message(7, "Re: c", "7", &["gone"]),
            message(6, "Re: c", "6", &["gone"]),
        ];
        assert_eq!(
            text(&references(&entries(&messages)), 7),
            "(1 (2)(3 4))(5)((7)(6))"
        );
    }

    #[test]
    fn circles_and_equal_ids_end_well() {
        let messages = [
            message(1, "a", "1", &["2"]),
            message(2, "b", "2", &["1"]),
            message(3, "c", "1", &["1", "2", "1"]),
            message(4, "d", "4", &["4"]),
        ];
        let forest = references(&entries(&messages));
        let shown = text(&forest, 4);
        for number in 1..=4 {
            assert_eq!(
                shown.matches(char::from_digit(number, 10).unwrap()).count(),
                1,
                "{shown}"
            );
        }
    }

    #[test]
    fn subjects_join_threads() {
        let messages = [
            message(1, "x", "1", &[]),
            message(2, "Re: x", "2", &[]),
            message(3, "x", "3", &[]),
        ];
        assert_eq!(text(&references(&entries(&messages)), 3), "((1 2)(3))");
        assert_eq!(text(&ordered_subject(&entries(&messages).list), 3), "(1 (2)(3))");
    }

    #[test]
    fn a_very_deep_thread_is_written() {
        let ids: Vec<String> = (0..50_000).map(|n| n.to_string()).collect();
        let messages: Vec<_> = (0..ids.len())
            .map(|n| {
                message(
                    n as i64,
                    "",
                    &ids[n],
                    &if n > 0 { vec![ids[n - 1].as_str()] } else { vec![] },
                )
            })
            .collect();
        let shown = text(&references(&entries(&messages)), ids.len());
        assert!(shown.starts_with("(1 2 3 ") && shown.ends_with(" 50000)"));
    }
}
