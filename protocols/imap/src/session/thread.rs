//! THREAD=ORDEREDSUBJECT and THREAD=REFERENCES (RFC 5256 §3).

use std::collections::HashMap;

use ringpost_convert::structure::Structure;
use ringpost_host::{Connection, Host};
use ringpost_mapi::Uid;
use ringpost_store::MessageRow;

use super::{
    Session,
    reply::{Failure, Reply},
    search::sent,
    sort::{base_subject, decoded_subject},
};
use crate::{
    encode::put,
    syntax::search::{Algorithm, Search},
};

/// Most references of one message that are followed: the first and the last ones matter.
const REFERENCES: usize = 200;

/// From this many messages on threads are built on a helper thread; fewer take less than a few milliseconds.
const HELPER_MESSAGES: usize = 1000;

/// What threading needs of a message.
#[derive(Clone, Debug, Default)]
struct Entry {
    date: i64,
    subject: String,
    /// The subject says reply or forward.
    reply: bool,
    id: Option<String>,
    /// Ancestors, the oldest first.
    references: Vec<String>,
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
        let mut collected = self.collect(found.uids, entry).await?;
        collected.sort_by_key(|(_, uid)| *uid);
        let list = &self.selected()?.list;
        let number = |message: Uid| {
            if uid {
                Some(message.0)
            } else {
                list.number(message)
            }
        };
        let numbers: Vec<u32> = collected
            .iter()
            .map(|(_, uid)| number(*uid).unwrap_or_default())
            .collect();
        let entries: Vec<Entry> = collected.into_iter().map(|(entry, _)| entry).collect();
        let thread = move || match algorithm {
            Algorithm::OrderedSubject => ordered_subject(&entries),
            Algorithm::References => references(&entries),
        };
        let forest = if numbers.len() < HELPER_MESSAGES {
            thread()
        } else {
            self.host.helper(thread).await?
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
}

fn entry(row: &MessageRow, structure: &Structure) -> Entry {
    let envelope = &structure.envelope;
    let (subject, reply) = base_subject(&decoded_subject(structure));
    let mut references = envelope
        .references
        .as_deref()
        .map(message_ids)
        .unwrap_or_default();
    if references.is_empty() {
        references = envelope
            .in_reply_to
            .as_deref()
            .map(message_ids)
            .unwrap_or_default();
        references.truncate(1);
    }
    if references.len() > REFERENCES {
        references.drain(1..=references.len() - REFERENCES);
    }
    Entry {
        date: sent(envelope, row).seconds,
        subject: subject.to_uppercase(),
        reply,
        id: envelope
            .message_id
            .as_deref()
            .and_then(|raw| message_ids(raw).into_iter().next()),
        references,
    }
}

/// The message ids `<…>` of a field.
fn message_ids(raw: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(raw);
    let ids = text
        .split('<')
        .skip(1)
        .filter_map(|part| part.split_once('>'))
        .map(|(id, _)| id);
    ids.filter(|id| !id.is_empty())
        .map(|id| id.split_whitespace().collect())
        .collect()
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
                put!(out, "{}{number}", if space { " " } else { "" });
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
    let mut by_subject: HashMap<&str, usize> = HashMap::new();
    for index in order {
        match by_subject.entry(&entries[index].subject) {
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
fn references(entries: &[Entry]) -> Forest {
    let mut tree = Tree {
        nodes: Vec::new(),
        by_id: HashMap::new(),
    };
    // Step 1: link messages by their references.
    for (index, entry) in entries.iter().enumerate() {
        let own = match &entry.id {
            Some(id) => {
                let node = tree.node(id);
                // A second message with the same id is on its own.
                if tree.nodes[node].message.is_some() {
                    tree.add()
                } else {
                    node
                }
            }
            None => tree.add(),
        };
        tree.nodes[own].message = Some(index);
        let mut above = None;
        for id in &entry.references {
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

struct Tree<'a> {
    nodes: Vec<Node>,
    by_id: HashMap<&'a str, usize>,
}

impl<'a> Tree<'a> {
    fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn node(&mut self, id: &'a str) -> usize {
        if let Some(&node) = self.by_id.get(id) {
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
        let mut table: HashMap<&str, usize> = HashMap::new();
        for &root in roots.iter() {
            let Some(entry) = self.subject_entry(root, entries).map(|message| &entries[message]) else {
                continue;
            };
            if entry.subject.is_empty() {
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
            if table.get(entry.subject.as_str()).is_none_or(better) {
                table.insert(&entry.subject, root);
            }
        }
        // 5C: join.
        let mut left = Vec::new();
        for &root in roots.iter() {
            let subject = self.subject_entry(root, entries).map(|message| &entries[message]);
            let target = subject.and_then(|entry| table.get(entry.subject.as_str()).copied());
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
    use super::*;

    fn message(date: i64, subject: &str, id: &str, references: &[&str]) -> Entry {
        let (subject, reply) = base_subject(subject);
        Entry {
            date,
            subject: subject.to_uppercase(),
            reply,
            id: Some(id.to_owned()),
            references: references.iter().map(|&id| id.to_owned()).collect(),
        }
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
        let entries = [
            message(1, "a", "1", &[]),
            message(2, "Re: a", "2", &["1"]),
            message(3, "Re: a", "3", &["1"]),
            message(4, "Re: a", "4", &["1", "3"]),
            message(5, "b", "5", &[]),
            message(7, "Re: c", "7", &["gone"]),
            message(6, "Re: c", "6", &["gone"]),
        ];
        assert_eq!(text(&references(&entries), 7), "(1 (2)(3 4))(5)((7)(6))");
    }

    #[test]
    fn circles_and_equal_ids_end_well() {
        let entries = [
            message(1, "a", "1", &["2"]),
            message(2, "b", "2", &["1"]),
            message(3, "c", "1", &["1", "2", "1"]),
            message(4, "d", "4", &["4"]),
        ];
        let forest = references(&entries);
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
        let entries = [
            message(1, "x", "1", &[]),
            message(2, "Re: x", "2", &[]),
            message(3, "x", "3", &[]),
        ];
        assert_eq!(text(&references(&entries), 3), "((1 2)(3))");
        assert_eq!(text(&ordered_subject(&entries), 3), "(1 (2)(3))");
    }

    #[test]
    fn a_very_deep_thread_is_written() {
        let ids: Vec<String> = (0..50_000).map(|n| n.to_string()).collect();
        let entries: Vec<Entry> = (0..ids.len())
            .map(|n| {
                message(
                    n as i64,
                    "",
                    &ids[n],
                    &if n > 0 { vec![ids[n - 1].as_str()] } else { vec![] },
                )
            })
            .collect();
        let shown = text(&references(&entries), ids.len());
        assert!(shown.starts_with("(1 2 3 ") && shown.ends_with(" 50000)"));
    }

    #[test]
    fn ids_of_a_field() {
        assert_eq!(message_ids(b"<a@b> junk <c\r\n d@e> <>"), ["a@b", "cd@e"]);
        assert!(message_ids(b"none").is_empty());
    }
}
