//! A disk that remembers the order of writes and flushes.

use crate::common::disk::{LoopDevice, text};
use crate::common::faulty_fs::attributes;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

const PAGE: usize = 4096;
const FILE: u64 = 2;
const NAME: &str = "disk";

/// An operation of the file system on the disk.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Data at an offset.
    Write(u64, Vec<u8>),
    /// Everything written before is on the disk.
    Flush,
}

/// The content of a disk. Pages that were never written to are zeros.
#[derive(Clone, Debug, Default)]
pub struct Content(BTreeMap<u64, Vec<u8>>);

impl Content {
    fn read(&self, offset: u64, buffer: &mut [u8]) {
        buffer.fill(0);
        each_page(offset, buffer.len(), |page, within, range| {
            if let Some(data) = self.0.get(&page) {
                buffer[range.clone()].copy_from_slice(&data[within..within + range.len()]);
            }
        });
    }

    /// Writes data at an offset.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        each_page(offset, data.len(), |page, within, range| {
            let old = self.0.entry(page).or_insert_with(|| vec![0; PAGE]);
            old[within..within + range.len()].copy_from_slice(&data[range]);
        });
    }

    /// Writes the content to a file of that size.
    pub fn save(&self, path: &Path, size: u64) {
        let file = File::create(path).expect("a file");
        file.set_len(size).expect("a size");
        for (page, data) in self.0.iter().filter(|(_, data)| data.iter().any(|byte| *byte != 0)) {
            file.write_all_at(data, page * PAGE as u64).expect("written");
        }
    }
}

/// Calls `each` for every page of a range with its number, the offset in the page, and the range in the buffer.
fn each_page(offset: u64, length: usize, mut each: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let part = (PAGE - within).min(length - done);
        each(at / PAGE as u64, within, done..done + part);
        done += part;
    }
}

#[derive(Default)]
struct State {
    content: Content,
    operations: Vec<Operation>,
}

struct Disk {
    size: u64,
    state: Arc<Mutex<State>>,
}

/// A recording disk on a loop device.
pub struct RecordingDisk {
    state: Arc<Mutex<State>>,
    /// The device.
    pub device: LoopDevice,
    _session: BackgroundSession,
}

impl RecordingDisk {
    /// Makes an empty disk of `size` bytes, or says why that is impossible. `at` is an empty folder.
    pub fn new(at: &Path, size: u64) -> Result<Self, String> {
        let state = Arc::new(Mutex::new(State::default()));
        let disk = Disk { size, state: state.clone() };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("recording".to_owned()), MountOption::RW];
        config.acl = SessionACL::Owner;
        let session = Session::new(disk, at, &config).and_then(Session::spawn);
        let session = session.map_err(|error| format!("FUSE cannot be used: {error}"))?;
        let device = LoopDevice::attach(&at.join(NAME))?;
        Ok(RecordingDisk { state, device, _session: session })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("fine")
    }

    /// Forgets what was recorded. Returns the content.
    pub fn begin(&self) -> Content {
        let mut state = self.state();
        state.operations.clear();
        state.content.clone()
    }

    /// The number of operations until now.
    pub fn position(&self) -> usize {
        self.state().operations.len()
    }

    /// All operations since the beginning.
    pub fn operations(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }
}

const NEVER: Duration = Duration::ZERO;

impl Disk {
    fn attributes(&self, inode: u64) -> FileAttr {
        match inode {
            FILE => attributes(FILE, FileType::RegularFile, self.size),
            folder => attributes(folder, FileType::Directory, 0),
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&NEVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NEVER, &self.attributes(inode.0));
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

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No cache of the kernel's may hold writes back.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = u64::from(size).min(self.size.saturating_sub(offset)) as usize;
        let mut buffer = vec![0; length];
        self.state.lock().expect("fine").content.read(offset, &mut buffer);
        reply.data(&buffer);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state.lock().expect("fine");
        state.content.write(offset, data);
        state.operations.push(Operation::Write(offset, data.to_vec()));
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.state.lock().expect("fine").operations.push(Operation::Flush);
        reply.ok();
    }
}

/// Makes a file system on a device, or says why that is impossible.
pub fn format(device: &str, kind: &str) -> Result<(), String> {
    let program = format!("mkfs.{kind}");
    let args: &[&str] = if kind == "xfs" { &["-q", "-f"] } else { &["-q", "-F"] };
    crate::common::disk::run(&program, &[args, &[text(Path::new(device))]].concat()).map(drop)
}
