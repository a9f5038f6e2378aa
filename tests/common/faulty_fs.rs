//! A FUSE file system in memory that fails as remote file systems do.

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, SessionACL, TimeOrNow,
    WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a lack of space shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `write` fails with this error number.
    Write(i32),
    /// `write` succeeds, the data is lost, and `close` fails with this error number, as with sshfs.
    Close(i32),
    /// `write` succeeds, the data is lost, and `fsync` fails with this error number.
    Sync(i32),
    /// The data is lost without an error.
    Nowhere,
}

/// The failures to produce, and counters.
#[derive(Debug, Default)]
pub struct Faults {
    /// Bytes that there is room for, and how the lack of space shows.
    pub full: Option<(usize, Full)>,
    /// The number of reads to fail, and the error number.
    pub read: Option<(usize, i32)>,
    /// Bytes that were stored.
    pub stored: usize,
    /// Calls of `fsync`.
    pub synced: usize,
}

struct Node {
    /// The entries of a folder; `None` for a file.
    names: Option<BTreeMap<String, u64>>,
    data: Vec<u8>,
    /// The failure that the next `close` or `fsync` reports.
    lost: Option<Full>,
}

struct Memory {
    nodes: Mutex<BTreeMap<u64, Node>>,
    faults: Arc<Mutex<Faults>>,
}

/// A mounted file system; unmounted when dropped.
pub struct FaultyFs {
    faults: Arc<Mutex<Faults>>,
    _session: BackgroundSession,
}

impl FaultyFs {
    /// Mounts a file system on a folder, or says why that failed.
    pub fn mount(at: &Path) -> Result<Self, String> {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let root = Node { names: Some(BTreeMap::new()), data: Vec::new(), lost: None };
        let memory = Memory { nodes: Mutex::new(BTreeMap::from([(1, root)])), faults: faults.clone() };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faulty".to_owned()), MountOption::RW];
        config.acl = SessionACL::Owner;
        let session = Session::new(memory, at, &config).and_then(Session::spawn);
        let session = session.map_err(|error| format!("FUSE cannot be used: {error}"))?;
        Ok(FaultyFs { faults, _session: session })
    }

    /// The failures to produce from now on.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("fine")
    }
}

const NEVER: Duration = Duration::ZERO;

/// The attributes of a file or folder of `size` bytes that belongs to this user.
pub fn attributes(inode: u64, kind: FileType, size: u64) -> FileAttr {
    let now = SystemTime::now().max(UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm: if kind == FileType::Directory { 0o700 } else { 0o600 },
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Memory {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.nodes.lock().expect("fine")
    }

    fn attributes(&self, inode: u64) -> Result<FileAttr, Errno> {
        let nodes = self.nodes();
        let node = nodes.get(&inode).ok_or(Errno::ENOENT)?;
        let kind = if node.names.is_some() { FileType::Directory } else { FileType::RegularFile };
        Ok(attributes(inode, kind, node.data.len() as u64))
    }

    fn child(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        let nodes = self.nodes();
        let names = nodes.get(&parent).and_then(|node| node.names.as_ref()).ok_or(Errno::ENOTDIR)?;
        names.get(&*name.to_string_lossy()).copied().ok_or(Errno::ENOENT)
    }

    fn add(&self, parent: u64, name: &OsStr, names: Option<BTreeMap<String, u64>>) -> Result<u64, Errno> {
        let mut nodes = self.nodes();
        let inode = nodes.last_key_value().map_or(1, |(last, _)| last + 1);
        let folder = nodes.get_mut(&parent).and_then(|node| node.names.as_mut()).ok_or(Errno::ENOTDIR)?;
        if folder.insert(name.to_string_lossy().into_owned(), inode).is_some() {
            return Err(Errno::EEXIST);
        }
        nodes.insert(inode, Node { names, data: Vec::new(), lost: None });
        Ok(inode)
    }

    fn store(&self, inode: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let mut faults = self.faults.lock().expect("fine");
        let (mut nodes, at) = (self.nodes(), offset as usize);
        let node = nodes.get_mut(&inode).ok_or(Errno::ENOENT)?;
        if let Some((room, what)) = faults.full
            && faults.stored + data.len() > room
        {
            return match what {
                Full::Write(errno) => Err(Errno::from_i32(errno)),
                lost => {
                    node.lost = Some(lost);
                    Ok(())
                }
            };
        }
        faults.stored += data.len();
        let length = node.data.len().max(at + data.len());
        node.data.resize(length, 0);
        node.data[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    /// Reports lost data, once: in `close` if `closes`, otherwise in `fsync`.
    fn tell(&self, inode: u64, closes: bool) -> Result<(), Errno> {
        let mut nodes = self.nodes();
        let Some(node) = nodes.get_mut(&inode) else { return Ok(()) };
        match (node.lost, closes) {
            (Some(Full::Close(errno)), true) | (Some(Full::Sync(errno)), false) => {
                node.lost = None;
                Err(Errno::from_i32(errno))
            }
            _ => Ok(()),
        }
    }
}

fn entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&NEVER, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Memory {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.child(parent.0, name).and_then(|inode| self.attributes(inode)), reply);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode.0) {
            Ok(attributes) => reply.attr(&NEVER, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
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
        self.getattr(request, inode, None, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.add(parent.0, name, Some(BTreeMap::new()));
        entry(made.and_then(|inode| self.attributes(inode)), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut nodes = self.nodes();
        let names = nodes.get_mut(&parent.0).and_then(|node| node.names.as_mut());
        let gone = names.and_then(|names| names.remove(&*name.to_string_lossy()));
        empty(gone.map(drop).ok_or(Errno::ENOENT), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let found = self.child(parent.0, name);
        let mut nodes = self.nodes();
        let renamed = found.map(|inode| {
            for (folder, name, adds) in [(parent.0, name, false), (to.0, new, true)] {
                let names = nodes.get_mut(&folder).and_then(|node| node.names.as_mut()).expect("a folder");
                let name = name.to_string_lossy().into_owned();
                _ = if adds { names.insert(name, inode) } else { names.remove(&name) };
            }
        });
        empty(renamed, reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.add(parent.0, name, None).and_then(|inode| self.attributes(inode)) {
            Ok(attributes) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO;
                reply.created(&NEVER, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some((left @ 1.., errno)) = self.faults.lock().expect("fine").read.as_mut() {
            *left -= 1;
            return reply.error(Errno::from_i32(*errno));
        }
        let nodes = self.nodes();
        let Some(node) = nodes.get(&inode.0) else { return reply.error(Errno::ENOENT) };
        let from = node.data.len().min(offset as usize);
        reply.data(&node.data[from..node.data.len().min(from + size as usize)]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.store(inode.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, inode: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        empty(self.tell(inode.0, true), reply);
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.faults.lock().expect("fine").synced += 1;
        empty(self.tell(inode.0, false), reply);
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let nodes = self.nodes();
        let names = nodes.get(&inode.0).and_then(|node| node.names.as_ref());
        for ((name, child), at) in names.into_iter().flatten().zip(1..).skip(offset as usize) {
            let folder = nodes.get(child).is_some_and(|node| node.names.is_some());
            let kind = if folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(*child), at, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
