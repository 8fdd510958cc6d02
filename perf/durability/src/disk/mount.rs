//! The disk as a file system that a server can use: FUSE, answered by this process.
//!
//! Files are opened with direct I/O, so every read and write comes here, in its order, and nothing stays in
//! the kernel's cache. Syncs take a while, as on a disk, and cover only what came before they began.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

use super::{
    Disk, Node,
    fault::{Effect, Operation},
};
use crate::random::Random;

/// How long the kernel may believe an answer: nobody else changes the disk.
const BELIEVED_FOR: Duration = Duration::from_mins(1);
/// A sync takes up to so many microseconds.
const SYNC_MAX_US: usize = 2000;
/// Space that is always said to be free.
const FREE_BLOCKS: u64 = 1 << 24;
/// A disk that is in use for so long after its server has ended stays so.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(20);
const UNMOUNT_PAUSE: Duration = Duration::from_millis(10);

/// Mounts the disk; it is unmounted when the session ends.
pub(crate) fn mount(disk: &Arc<Disk>, at: &Path, seed: u64) -> io::Result<BackgroundSession> {
    let mut options = Config::default();
    options.mount_options = vec![
        MountOption::FSName("ringpost-durability".to_owned()),
        MountOption::NoAtime,
    ];
    let files = Files {
        disk: Arc::clone(disk),
        random: Mutex::new(Random::new(seed)),
    };
    fuser::spawn_mount(files, at, &options)
}

/// Unmounts the disk. A server that was killed lets go of its files a moment after it has ended: the kernel takes
/// its ring down in the background.
pub(crate) fn unmount(session: BackgroundSession, at: &Path) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match nix::mount::umount(at) {
            Ok(()) => return session.join(),
            Err(nix::errno::Errno::EBUSY) if began.elapsed() < UNMOUNT_TIMEOUT => {
                thread::sleep(UNMOUNT_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

struct Files {
    disk: Arc<Disk>,
    random: Mutex<Random>,
}

impl Files {
    fn attributes(&self, node: Node) -> Option<FileAttr> {
        let (is_folder, size) = self.disk.describe(node)?;
        Some(FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: kind(is_folder),
            perm: if is_folder { 0o770 } else { 0o660 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// What happens instead of an operation, if anything.
    fn fault(&self, operation: Operation, node: Node, name: Option<&OsStr>) -> Option<Effect> {
        if !self.disk.faults.any() {
            return None;
        }
        let mut path: PathBuf = self.disk.path(node);
        path.extend(name);
        self.disk.faults.on(operation, &path)
    }

    fn error(&self, operation: Operation, node: Node, name: Option<&OsStr>) -> Option<Errno> {
        match self.fault(operation, node, name)? {
            Effect::Error(number) => Some(Errno::from_i32(number)),
            Effect::Short => None,
        }
    }

    fn sync(&self, node: Node, reply: ReplyEmpty) {
        let upto = self.disk.now();
        let error = self.error(Operation::Sync, node, None);
        let pause = self
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .below(SYNC_MAX_US);
        let disk = Arc::clone(&self.disk);
        thread::spawn(move || {
            thread::sleep(Duration::from_micros(pause as u64));
            match error {
                None => {
                    disk.synced(node, upto);
                    reply.ok();
                }
                Some(error) => {
                    disk.sync_failed(node, upto);
                    reply.error(error);
                }
            }
        });
    }

    fn make(&self, folder: Node, name: &OsStr, is_folder: bool) -> Result<FileAttr, Errno> {
        if let Some(error) = self.error(Operation::Create, folder, Some(name)) {
            return Err(error);
        }
        let node = self.disk.create(folder, name, is_folder).ok_or(Errno::ENOENT)?;
        self.attributes(node).ok_or(Errno::ENOENT)
    }

    fn remove(&self, folder: Node, name: &OsStr) -> Result<(), Errno> {
        if let Some(error) = self.error(Operation::Remove, folder, Some(name)) {
            return Err(error);
        }
        self.disk.remove(folder, name).ok_or(Errno::ENOENT)
    }
}

fn kind(is_folder: bool) -> FileType {
    if is_folder {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.disk.lookup(parent.0, name);
        match found.and_then(|node| self.attributes(node)) {
            Some(attributes) => reply.entry(&BELIEVED_FOR, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(node.0) {
            Some(attributes) => reply.attr(&BELIEVED_FOR, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let Some(size) = size {
            if let Some(error) = self.error(Operation::Resize, node.0, None) {
                return reply.error(error);
            }
            if self.disk.resize(node.0, size).is_none() {
                return reply.error(Errno::EISDIR);
            }
        }
        match self.attributes(node.0) {
            Some(attributes) => reply.attr(&BELIEVED_FOR, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        match self.make(parent.0, name, true) {
            Ok(attributes) => reply.entry(&BELIEVED_FOR, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.remove(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let node = self.disk.lookup(parent.0, name);
        if node.is_some_and(|node| !self.disk.names(node).is_empty()) {
            return reply.error(Errno::ENOTEMPTY);
        }
        answer(reply, self.remove(parent.0, name));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        if let Some(error) = self.error(Operation::Rename, new_parent.0, Some(new_name)) {
            return reply.error(error);
        }
        let renamed = self.disk.rename(parent.0, name, new_parent.0, new_name);
        answer(reply, renamed.ok_or(Errno::ENOENT));
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.error(Operation::Open, node.0, None) {
            Some(error) => reply.error(error),
            None => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.make(parent.0, name, false) {
            Ok(attributes) => reply.created(
                &BELIEVED_FOR,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some(error) = self.error(Operation::Read, node.0, None) {
            return reply.error(error);
        }
        match self.disk.read(node.0, offset, size as usize) {
            Some(data) => reply.data(&data),
            None => reply.error(Errno::EISDIR),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = match self.fault(Operation::Write, node.0, None) {
            Some(Effect::Error(number)) => {
                // A part of it may have been written before the disk said no.
                self.disk.write(node.0, offset, &data[..data.len() / 2]);
                return reply.error(Errno::from_i32(number));
            }
            Some(Effect::Short) => &data[..data.len().div_ceil(3)],
            None => data,
        };
        match self.disk.write(node.0, offset, data) {
            Some(()) => reply.written(data.len() as u32),
            None => reply.error(Errno::EISDIR),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        if let Some(error) = self.error(Operation::Resize, node.0, None) {
            return reply.error(error);
        }
        let end = offset + length;
        match self.disk.describe(node.0) {
            Some((false, size)) if size < end => {
                self.disk.resize(node.0, end);
                reply.ok();
            }
            Some((false, _)) => reply.ok(),
            _ => reply.error(Errno::EISDIR),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node.0, reply);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node.0, reply);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let names = self.disk.names(node.0);
        for (index, (name, child, is_folder)) in names.into_iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(child), index as u64 + 1, kind(is_folder), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            FREE_BLOCKS,
            FREE_BLOCKS,
            FREE_BLOCKS,
            FREE_BLOCKS,
            FREE_BLOCKS,
            4096,
            255,
            4096,
        );
    }
}
