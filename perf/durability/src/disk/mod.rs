//! A disk in memory that remembers everything that was done to it, and in which order.
//!
//! [`mount`] shows it to a server as a file system; [`image`] says what of it could be there after the power
//! failed at any instant. What the server does is a list of [`Change`]s; a place in that list is an *instant*.
//!
//! ```text
//! server ── write, rename, sync ──► mount (FUSE) ──► Disk: files as they are now, and the list of changes
//!                                                      │
//!                         image(instant, seed) ◄───────┘ files as they might be after a power loss
//! ```

pub(crate) mod fault;
pub(crate) mod image;
pub(crate) mod mount;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fault::Faults;

/// A file or folder.
pub(crate) type Node = u64;
/// The folder that is mounted.
pub(crate) const ROOT: Node = 1;

/// What happened to the disk.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new file or folder got a name.
    Create {
        folder: Node,
        name: OsString,
        node: Node,
        is_folder: bool,
    },
    /// A file got another name, in place of what had it.
    Rename {
        from: Node,
        name: OsString,
        to: Node,
        new_name: OsString,
        node: Node,
    },
    /// A file or folder lost its name.
    Remove {
        folder: Node,
        name: OsString,
        node: Node,
    },
    /// Bytes were written.
    Write {
        node: Node,
        offset: u64,
        data: Arc<[u8]>,
    },
    /// A file was cut or grown.
    Resize { node: Node, size: u64 },
    /// Everything that had happened to the node before the instant `upto` is durable.
    Synced { node: Node, upto: usize },
    /// A sync failed. What it was to cover may be on the disk or not, and no later sync will write it: the
    /// kernel takes its pages for clean (as Linux does).
    SyncFailed { node: Node, upto: usize },
}

/// A file or folder as it is now.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Names, in order.
    Folder(BTreeMap<OsString, Node>),
    /// Bytes.
    File(Vec<u8>),
}

/// Files as they are at one instant, all of them durable, and what happened since.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) base: Arc<HashMap<Node, Content>>,
    pub(crate) changes: Vec<Change>,
}

/// The disk.
pub(crate) struct Disk {
    state: Mutex<State>,
    pub(crate) faults: Faults,
}

struct State {
    nodes: HashMap<Node, Content>,
    /// Where each node has its name.
    places: HashMap<Node, (Node, OsString)>,
    next: Node,
    base: Arc<HashMap<Node, Content>>,
    changes: Vec<Change>,
    written: u64,
}

impl Disk {
    /// A disk that holds, durable, what is in a folder.
    pub(crate) fn load(folder: &Path) -> io::Result<Self> {
        let mut state = State {
            nodes: HashMap::from([(ROOT, Content::Folder(BTreeMap::new()))]),
            places: HashMap::new(),
            next: ROOT + 1,
            base: Arc::default(),
            changes: Vec::new(),
            written: 0,
        };
        state.load(folder, ROOT)?;
        state.base = Arc::new(state.nodes.clone());
        Ok(Self {
            state: Mutex::new(state),
            faults: Faults::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present instant: everything before it has happened.
    pub(crate) fn now(&self) -> usize {
        self.state().changes.len()
    }

    /// Bytes written so far: what the recording holds in memory.
    pub(crate) fn written(&self) -> u64 {
        self.state().written
    }

    /// What has happened.
    pub(crate) fn recording(&self) -> Recording {
        let state = self.state();
        Recording {
            base: Arc::clone(&state.base),
            changes: state.changes.clone(),
        }
    }

    pub(crate) fn lookup(&self, folder: Node, name: &OsStr) -> Option<Node> {
        match self.state().nodes.get(&folder)? {
            Content::Folder(names) => names.get(name).copied(),
            Content::File(_) => None,
        }
    }

    /// Whether it is a folder, and how large. `None`: there is no such node.
    pub(crate) fn describe(&self, node: Node) -> Option<(bool, u64)> {
        Some(match self.state().nodes.get(&node)? {
            Content::Folder(names) => (true, names.len() as u64),
            Content::File(data) => (false, data.len() as u64),
        })
    }

    pub(crate) fn names(&self, folder: Node) -> Vec<(OsString, Node, bool)> {
        let state = self.state();
        let Some(Content::Folder(names)) = state.nodes.get(&folder) else {
            return Vec::new();
        };
        let is_folder = |node: &Node| matches!(state.nodes.get(node), Some(Content::Folder(_)));
        names
            .iter()
            .map(|(name, node)| (name.clone(), *node, is_folder(node)))
            .collect()
    }

    /// A node's path below the mounted folder, for faults; of a removed file the last one.
    pub(crate) fn path(&self, node: Node) -> PathBuf {
        let state = self.state();
        let mut names = Vec::new();
        let mut at = node;
        while let Some((folder, name)) = state.places.get(&at) {
            names.push(name.clone());
            at = *folder;
        }
        names.iter().rev().collect()
    }

    pub(crate) fn read(&self, node: Node, offset: u64, length: usize) -> Option<Vec<u8>> {
        let state = self.state();
        let Some(Content::File(data)) = state.nodes.get(&node) else {
            return None;
        };
        let start = (offset as usize).min(data.len());
        let end = start.saturating_add(length).min(data.len());
        Some(data[start..end].to_vec())
    }

    pub(crate) fn create(&self, folder: Node, name: &OsStr, is_folder: bool) -> Option<Node> {
        let mut state = self.state();
        let node = state.next;
        state.next += 1;
        let content = if is_folder {
            Content::Folder(BTreeMap::new())
        } else {
            Content::File(Vec::new())
        };
        state.nodes.insert(node, content);
        state.place(folder, name, node)?;
        state.changes.push(Change::Create {
            folder,
            name: name.to_owned(),
            node,
            is_folder,
        });
        Some(node)
    }

    pub(crate) fn rename(&self, from: Node, name: &OsStr, to: Node, new_name: &OsStr) -> Option<()> {
        let mut state = self.state();
        let node = state.unplace(from, name)?;
        state.place(to, new_name, node)?;
        state.changes.push(Change::Rename {
            from,
            name: name.to_owned(),
            to,
            new_name: new_name.to_owned(),
            node,
        });
        Some(())
    }

    pub(crate) fn remove(&self, folder: Node, name: &OsStr) -> Option<()> {
        let mut state = self.state();
        let node = state.unplace(folder, name)?;
        state.changes.push(Change::Remove {
            folder,
            name: name.to_owned(),
            node,
        });
        Some(())
    }

    pub(crate) fn write(&self, node: Node, offset: u64, data: &[u8]) -> Option<()> {
        let mut state = self.state();
        let Some(Content::File(content)) = state.nodes.get_mut(&node) else {
            return None;
        };
        write_into(content, offset, data);
        state.written += data.len() as u64;
        state.changes.push(Change::Write {
            node,
            offset,
            data: data.into(),
        });
        Some(())
    }

    pub(crate) fn resize(&self, node: Node, size: u64) -> Option<()> {
        let mut state = self.state();
        let Some(Content::File(content)) = state.nodes.get_mut(&node) else {
            return None;
        };
        content.resize(size as usize, 0);
        state.changes.push(Change::Resize { node, size });
        Some(())
    }

    /// A sync that began at the instant `upto` has ended. It covers nothing that came while it ran.
    pub(crate) fn synced(&self, node: Node, upto: usize) {
        self.state().changes.push(Change::Synced { node, upto });
    }

    /// A sync that began at the instant `upto` has failed.
    pub(crate) fn sync_failed(&self, node: Node, upto: usize) {
        self.state().changes.push(Change::SyncFailed { node, upto });
    }
}

impl State {
    fn load(&mut self, folder: &Path, node: Node) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let child = self.next;
            self.next += 1;
            let is_folder = entry.file_type()?.is_dir();
            let content = if is_folder {
                Content::Folder(BTreeMap::new())
            } else {
                Content::File(fs::read(entry.path())?)
            };
            self.nodes.insert(child, content);
            self.place(node, &entry.file_name(), child);
            if is_folder {
                self.load(&entry.path(), child)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, folder: Node, name: &OsStr, node: Node) -> Option<()> {
        let Some(Content::Folder(names)) = self.nodes.get_mut(&folder) else {
            return None;
        };
        names.insert(name.to_owned(), node);
        self.places.insert(node, (folder, name.to_owned()));
        Some(())
    }

    fn unplace(&mut self, folder: Node, name: &OsStr) -> Option<Node> {
        match self.nodes.get_mut(&folder) {
            Some(Content::Folder(names)) => names.remove(name),
            _ => None,
        }
    }
}

/// Writes as into a file: behind the end, the gap is zeros.
pub(crate) fn write_into(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(data);
}
