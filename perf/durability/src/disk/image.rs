//! What could be on the disk after the power failed.
//!
//! What was synced is there. Of what was not, a disk may keep anything: nothing, all, the first part, writes
//! out of order, single sectors of a write. For names there are two kinds of file system ([`Order`]); both
//! are tried. [`Lie`] makes the disk break its promise: a check that such an image passes checks nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Change, Content, Node, ROOT, Recording, write_into};
use crate::random::Random;

/// Smallest unit that a disk writes at once.
const SECTOR_BYTES: usize = 512;
/// Unit of newer disks, and of the page cache.
const PAGE_BYTES: usize = 4096;

/// How a file system keeps names, sizes and renames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// As POSIX promises: a name is durable once its own folder was synced; others come in any combination.
    Posix,
    /// As ext4 has it: names and sizes are in one journal, in their order. It is written by the sync of a
    /// folder, and of a file that is new or whose size changed.
    Journal,
}

/// Promises that the disk breaks: for checking the checker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lie {
    /// None: an honest disk.
    None,
    /// No sync did anything.
    AllSyncs,
    /// Syncs of content files and their folders did nothing: rows are durable before what they name.
    ContentSyncs,
}

/// A power loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Nothing from this instant on happened.
    pub(crate) at: usize,
    /// What the disk keeps of what was not synced.
    pub(crate) seed: u64,
    pub(crate) order: Order,
    pub(crate) lie: Lie,
}

/// Files by their paths; folders have no content.
pub(crate) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// The disk after a power loss.
pub(crate) fn after(recording: &Recording, loss: Loss) -> Tree {
    Image::new(recording, loss).tree()
}

/// Writes a tree into a folder, which is emptied before.
pub(crate) fn write(tree: &Tree, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    for (path, content) in tree {
        match content {
            None => fs::create_dir_all(folder.join(path))?,
            Some(data) => fs::write(folder.join(path), data)?,
        }
    }
    Ok(())
}

/// How far a node is durable.
#[derive(Clone, Default)]
struct Durable {
    upto: usize,
    /// Below `upto`, and yet not: a sync of these failed.
    lost: Vec<Range<usize>>,
}

impl Durable {
    fn covers(&self, instant: usize) -> bool {
        instant < self.upto && !self.lost.iter().any(|lost| lost.contains(&instant))
    }
}

/// What a disk does with what was not synced, one way for each file.
enum Fate {
    Nothing,
    All,
    /// The first so many changes, the last of them torn.
    Prefix(usize),
    Changes,
    Sectors(usize),
}

struct Image<'a> {
    base: &'a HashMap<Node, Content>,
    changes: &'a [Change],
    order: Order,
    random: Random,
    durable: HashMap<Node, Durable>,
    /// In a journal: names and sizes before this instant are there, later ones not.
    journal: usize,
    /// When each file was written to, cut or grown.
    touched: HashMap<Node, Vec<usize>>,
}

impl<'a> Image<'a> {
    fn new(recording: &'a Recording, loss: Loss) -> Self {
        let changes = &recording.changes[..loss.at.min(recording.changes.len())];
        let mut image = Self {
            base: &recording.base,
            changes,
            order: loss.order,
            random: Random::new(loss.seed),
            durable: HashMap::new(),
            journal: 0,
            touched: HashMap::new(),
        };
        for (instant, change) in changes.iter().enumerate() {
            if let Change::Write { node, .. } | Change::Resize { node, .. } = change {
                image.touched.entry(*node).or_default().push(instant);
            }
        }
        image.find_durable(loss.lie);
        let pending = changes.len() - image.journal;
        image.journal += image.random.below(pending + 1);
        image
    }

    fn find_durable(&mut self, lie: Lie) {
        let content = match lie {
            Lie::ContentSyncs => content_nodes(self.base, self.changes),
            _ => HashSet::new(),
        };
        // Nodes whose name or size the journal has to write with their next sync, and since when.
        let mut unwritten: HashMap<Node, usize> = HashMap::new();
        for (instant, change) in self.changes.iter().enumerate() {
            match change {
                Change::Create { folder, node, .. } => {
                    unwritten.entry(*node).or_insert(instant);
                    unwritten.entry(*folder).or_insert(instant);
                }
                Change::Rename { from, to, .. } => {
                    unwritten.entry(*from).or_insert(instant);
                    unwritten.entry(*to).or_insert(instant);
                }
                Change::Remove { folder, .. } => {
                    unwritten.entry(*folder).or_insert(instant);
                }
                Change::Resize { node, .. } => {
                    unwritten.entry(*node).or_insert(instant);
                }
                Change::Write { .. } => {}
                Change::Synced { node, upto } => {
                    if lie == Lie::AllSyncs || content.contains(node) {
                        continue;
                    }
                    let durable = self.durable.entry(*node).or_default();
                    durable.upto = durable.upto.max(*upto);
                    if unwritten.get(node).is_some_and(|since| since < upto) {
                        unwritten.remove(node);
                        self.journal = self.journal.max(*upto);
                    }
                }
                Change::SyncFailed { node, upto } => {
                    let durable = self.durable.entry(*node).or_default();
                    durable.lost.push(durable.upto..*upto);
                }
            }
        }
    }

    fn tree(mut self) -> Tree {
        let names = self.names();
        let mut tree = Tree::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((path, folder)) = folders.pop() {
            for (name, node) in names.get(&folder).into_iter().flatten() {
                let path = path.join(name);
                if names.contains_key(node) {
                    tree.insert(path.clone(), None);
                    folders.push((path, *node));
                } else {
                    let data = self.content(*node);
                    tree.insert(path, Some(data));
                }
            }
        }
        tree
    }

    /// The names in each folder.
    fn names(&mut self) -> HashMap<Node, BTreeMap<OsString, Node>> {
        let mut folders: HashMap<Node, BTreeMap<OsString, Node>> = self
            .base
            .iter()
            .filter_map(|(node, content)| match content {
                Content::Folder(names) => Some((*node, names.clone())),
                Content::File(_) => None,
            })
            .collect();
        // How much of what was not synced each folder keeps, of a hundred.
        let mut kept: HashMap<Node, usize> = HashMap::new();
        for (instant, change) in self.changes.iter().enumerate() {
            let folder = match change {
                Change::Create { folder, .. } | Change::Remove { folder, .. } => *folder,
                Change::Rename { to, .. } => *to,
                _ => continue,
            };
            let is_there = match self.order {
                Order::Journal => instant < self.journal,
                Order::Posix => {
                    let synced = self.durable.get(&folder).is_some_and(|d| d.covers(instant));
                    let share = *kept
                        .entry(folder)
                        .or_insert_with(|| [0, 50, 100][self.random.below(3)]);
                    synced || self.random.percent(share)
                }
            };
            if !is_there {
                // The folder's own node exists as soon as anything in it might.
                if let Change::Create {
                    node,
                    is_folder: true,
                    ..
                } = change
                {
                    folders.entry(*node).or_default();
                }
                continue;
            }
            match change {
                Change::Create {
                    name,
                    node,
                    is_folder,
                    ..
                } => {
                    folders.entry(folder).or_default().insert(name.clone(), *node);
                    if *is_folder {
                        folders.entry(*node).or_default();
                    }
                }
                Change::Remove { name, node, .. } => remove(&mut folders, folder, name, *node),
                Change::Rename {
                    from,
                    name,
                    new_name,
                    node,
                    ..
                } => {
                    remove(&mut folders, *from, name, *node);
                    folders.entry(folder).or_default().insert(new_name.clone(), *node);
                }
                _ => {}
            }
        }
        folders
    }

    /// The bytes of a file.
    fn content(&mut self, node: Node) -> Vec<u8> {
        let mut data = match self.base.get(&node) {
            Some(Content::File(data)) => data.clone(),
            _ => Vec::new(),
        };
        let durable = self.durable.get(&node).cloned().unwrap_or_default();
        let changes = self.changes;
        let mine = self.touched.get(&node).cloned().unwrap_or_default();
        let pending = mine.iter().filter(|instant| !durable.covers(**instant)).count();
        let fate = match self.random.below(6) {
            0 => Fate::Nothing,
            1 => Fate::All,
            2 => Fate::Prefix(self.random.below(pending + 1)),
            3 => Fate::Changes,
            4 => Fate::Sectors(SECTOR_BYTES),
            _ => Fate::Sectors(PAGE_BYTES),
        };
        let mut seen = 0;
        // In a journal, bytes behind a cut that was not written yet go to blocks that nobody finds.
        let mut cut: Option<u64> = None;
        for instant in mine {
            let is_durable = durable.covers(instant);
            let number = seen;
            seen += usize::from(!is_durable);
            match &changes[instant] {
                Change::Resize { size, .. } => {
                    let is_there = match (self.order, &fate) {
                        (Order::Journal, _) => instant < self.journal || is_durable,
                        (_, Fate::Nothing) => is_durable,
                        (_, Fate::Prefix(first)) => is_durable || number < *first,
                        (_, Fate::All) => true,
                        (_, Fate::Changes | Fate::Sectors(_)) => is_durable || self.random.percent(50),
                    };
                    if is_there {
                        data.resize(*size as usize, 0);
                        cut = None;
                    } else if *size < data.len() as u64 && self.order == Order::Journal {
                        cut = Some(cut.map_or(*size, |cut| cut.min(*size)));
                    }
                }
                Change::Write {
                    offset,
                    data: written,
                    ..
                } => {
                    if is_durable {
                        write_into(&mut data, *offset, written);
                    } else if cut.is_none_or(|cut| *offset < cut) {
                        self.maybe_write(&mut data, *offset, written, &fate, number);
                    }
                }
                _ => {}
            }
        }
        data
    }

    /// Writes as much of what was not synced as the disk keeps.
    fn maybe_write(
        &mut self,
        data: &mut Vec<u8>,
        offset: u64,
        written: &Arc<[u8]>,
        fate: &Fate,
        number: usize,
    ) {
        match fate {
            Fate::Nothing => {}
            Fate::All => write_into(data, offset, written),
            Fate::Prefix(first) if number + 1 < *first => write_into(data, offset, written),
            Fate::Prefix(first) if number + 1 == *first => {
                // Whole sectors, as far as the head got.
                let end = offset as usize + self.random.below(written.len() + 1);
                let end = (end / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(offset as usize);
                write_into(data, offset, &written[..end]);
            }
            Fate::Prefix(_) => {}
            Fate::Changes => {
                if self.random.percent(50) {
                    write_into(data, offset, written);
                }
            }
            Fate::Sectors(unit) => {
                let end = offset as usize + written.len();
                // The size may be there before the bytes are.
                if data.len() < end && self.random.percent(50) {
                    data.resize(end, 0);
                }
                let mut at = offset as usize;
                while at < end {
                    let next = ((at / unit + 1) * unit).min(end);
                    if self.random.percent(50) {
                        let from = at - offset as usize;
                        let piece = &written[from..next - offset as usize];
                        write_into(data, at as u64, piece);
                    }
                    at = next;
                }
            }
        }
    }
}

fn remove(folders: &mut HashMap<Node, BTreeMap<OsString, Node>>, folder: Node, name: &OsStr, node: Node) {
    if let Some(names) = folders.get_mut(&folder)
        && names.get(name) == Some(&node)
    {
        names.remove(name);
    }
}

/// Content files, and the folders they are in: `cid` and `tmp`, and what was created in them.
fn content_nodes(base: &HashMap<Node, Content>, changes: &[Change]) -> HashSet<Node> {
    let mut nodes = HashSet::new();
    for content in base.values() {
        if let Content::Folder(names) = content {
            let folders = names.iter().filter(|(name, _)| *name == "cid" || *name == "tmp");
            nodes.extend(folders.map(|(_, node)| *node));
        }
    }
    for change in changes {
        if let Change::Create { folder, node, .. } = change
            && nodes.contains(folder)
        {
            nodes.insert(*node);
        }
    }
    nodes
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
