//! Answers the kernel's requests from [`Files`]. Each request has one method; several threads call them.

use super::files::Files;
use super::node::{Field, Node};
use crate::engine::image::{Extent, Fault};
use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use rustix::fs::FallocateFlags;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

/// How long the kernel may cache attributes and names.
const BELIEVED: Duration = Duration::from_secs(1);
/// The largest request, in bytes.
const REQUEST: u32 = 1 << 20;
/// The most background requests (read-ahead) at the same time.
const BACKGROUND: u16 = 64;
/// Values of `whence` in `lseek`: the next data, and the next hole.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

thread_local! {
    /// Buffer for reads that span blocks.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The file system that the kernel talks to.
pub(super) struct Server {
    files: Files,
}

type Answer<T> = Result<T, Errno>;

impl Server {
    /// Serves `files`.
    pub(super) fn new(files: Files) -> Self {
        Server { files }
    }

    fn node(inode: INodeNo) -> Answer<Node> {
        Node::from_inode(inode.0).ok_or(Errno::ENOENT)
    }

    /// The number of the version whose image has this inode.
    fn data(inode: INodeNo) -> Answer<u64> {
        match Self::node(inode)? {
            Node::File(number, Field::Data) => Ok(number),
            node if node.is_folder() => Err(Errno::EISDIR),
            _ => Err(Errno::EPERM),
        }
    }

    fn open_node(&self, inode: INodeNo, flags: OpenFlags) -> Answer<FopenFlags> {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        match Self::node(inode)? {
            _ if writes && self.files.is_read_only() => Err(Errno::EROFS),
            Node::File(number, Field::Data) => {
                self.files.open(number)?;
                // Bypass the kernel's page cache: a second copy of each page costs more than it saves, and would push
                // out other useful pages.
                Ok(FopenFlags::FOPEN_DIRECT_IO)
            }
            _ if writes => Err(Errno::EPERM),
            // Bypass the cache, as tags and expiry may change at any time.
            _ => Ok(FopenFlags::FOPEN_DIRECT_IO),
        }
    }

    fn read_node(&self, inode: INodeNo, offset: u64, size: u32, reply: ReplyData) {
        let number = match Self::node(inode) {
            Ok(Node::File(number, Field::Data)) => number,
            Ok(Node::File(number, field)) => {
                let tree = self.files.tree();
                return match tree.version(number).and_then(|version| field.text(version)) {
                    Some(text) => {
                        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                        reply.data(&text.as_bytes()[from..text.len().min(from.saturating_add(size as usize))])
                    }
                    None => reply.error(Errno::ENOENT),
                };
            }
            Ok(_) => return reply.error(Errno::EISDIR),
            Err(error) => return reply.error(error),
        };
        let image = match self.files.image(number) {
            Ok(image) => image,
            Err(error) => return reply.error(error),
        };
        let length = image.size().saturating_sub(offset).min(u64::from(size)) as usize;
        if length == 0 {
            return reply.data(&[]);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut reply = Some(reply);
            let given = image.read_with(offset, length, scratch, |data| {
                if let Some(reply) = reply.take() {
                    reply.data(data);
                }
            });
            if let (Err(fault), Some(reply)) = (given, reply) {
                reply.error(errno(&fault));
            }
        });
    }

    /// Writes up to the end of the image; beyond it there is no space, as on a disk.
    fn write_node(&self, inode: INodeNo, offset: u64, data: &[u8]) -> Answer<u32> {
        let image = self.files.image(Self::data(inode)?)?;
        let length = image.size().saturating_sub(offset).min(data.len() as u64) as usize;
        if length == 0 && !data.is_empty() {
            return Err(Errno::ENOSPC);
        }
        image.write_at(offset, &data[..length]).map_err(|fault| errno(&fault))?;
        Ok(length as u32)
    }

    fn zero_node(&self, inode: INodeNo, offset: u64, length: u64, mode: i32) -> Answer<()> {
        let image = self.files.image(Self::data(inode)?)?;
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        if !mode.intersects(FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.saturating_add(length).min(image.size());
        image.zero(offset.min(end)..end).map_err(|fault| errno(&fault))
    }

    fn seek(&self, inode: INodeNo, offset: i64, whence: i32) -> Answer<i64> {
        let image = self.files.image(Self::data(inode)?)?;
        let mut at = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        if at >= image.size() {
            return Err(Errno::ENXIO);
        }
        let wants_data = match whence {
            SEEK_DATA => true,
            SEEK_HOLE => false,
            _ => return Err(Errno::EINVAL),
        };
        while at < image.size() {
            let extents = image.extents(at..image.size(), 1).map_err(|fault| errno(&fault))?;
            let Some((range, extent)) = extents.into_iter().next() else { break };
            if (extent == Extent::Data) == wants_data {
                return Ok(range.start as i64);
            }
            at = range.end;
        }
        // Everything beyond the end is a hole.
        if wants_data { Err(Errno::ENXIO) } else { Ok(image.size() as i64) }
    }

    /// The entries of a folder from the `offset`-th on; `.` and `..` come first.
    fn entries(&self, inode: INodeNo, offset: u64) -> Answer<impl Iterator<Item = (u64, Node, String)>> {
        let node = Self::node(inode)?;
        let children = self.files.tree().children(node).ok_or(Errno::ENOTDIR)?;
        let all = [(node, ".".to_owned()), (node.parent(), "..".to_owned())].into_iter().chain(children);
        let numbered = all.zip(1u64..).map(|((node, name), number)| (number, node, name));
        Ok(numbered.skip(usize::try_from(offset).unwrap_or(usize::MAX)))
    }
}

/// The error number for a fault.
fn errno(fault: &Fault) -> Errno {
    match fault {
        Fault::Data(_) | Fault::Overlay(_) => Errno::EIO,
        Fault::Range => Errno::EINVAL,
        Fault::ReadOnly => Errno::EROFS,
        Fault::Full => Errno::ENOSPC,
    }
}

fn kind(node: Node) -> FileType {
    match node {
        Node::Link(_) | Node::Latest(_) => FileType::Symlink,
        _ if node.is_folder() => FileType::Directory,
        _ => FileType::RegularFile,
    }
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // The kernel may refuse each of these; the mount works without them.
        let _ = config.set_max_write(REQUEST);
        let _ = config.set_max_background(BACKGROUND);
        for wish in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            let _ = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = self.files.tree();
        let found =
            Self::node(parent).ok().zip(name.to_str()).and_then(|(node, name)| tree.child(node, name));
        match found.and_then(|node| self.files.attributes(&tree, node)) {
            Some(attributes) => reply.entry(&BELIEVED, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let tree = self.files.tree();
        match Self::node(inode).ok().and_then(|node| self.files.attributes(&tree, node)) {
            Some(attributes) => reply.attr(&BELIEVED, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    /// Size, owner and permissions cannot be changed. Changes of times are ignored: they stay those of the version.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
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
        let tree = self.files.tree();
        match Self::node(inode).ok().and_then(|node| self.files.attributes(&tree, node)) {
            None => reply.error(Errno::ENOENT),
            Some(now) if mode.or(uid).or(gid).is_some() || size.is_some_and(|size| size != now.size) => {
                reply.error(Errno::EPERM)
            }
            Some(attributes) => reply.attr(&BELIEVED, &attributes),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match Self::node(inode).ok().and_then(|node| self.files.tree().target(node)) {
            Some(target) => reply.data(target.as_bytes()),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_node(inode, flags) {
            Ok(how) => reply.opened(FileHandle(inode.0), how),
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
        self.read_node(inode, offset, size, reply);
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
        match self.write_node(inode, offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        empty(self.zero_node(inode, offset, length, mode), reply);
    }

    fn lseek(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        match self.seek(inode, offset, whence) {
            Ok(at) => reply.offset(at),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let flushed = Self::data(inode)
            .and_then(|number| self.files.image(number))
            .and_then(|image| image.flush().map_err(|fault| errno(&fault)));
        empty(flushed, reply);
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if let Ok(number) = Self::data(inode) {
            self.files.close(number);
        }
        reply.ok();
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.entries(inode, offset) {
            Ok(mut entries) => {
                let _ = entries
                    .any(|(next, node, name)| reply.add(INodeNo(node.inode()), next, kind(node), name));
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let tree = self.files.tree();
        match self.entries(inode, offset) {
            Ok(mut entries) => {
                // `add` returns true when the reply is full, which ends the loop.
                let _ = entries.any(|(next, node, name)| {
                    let attributes = self.files.attributes(&tree, node);
                    attributes.is_some_and(|attributes| {
                        reply.add(INodeNo(node.inode()), next, name, &BELIEVED, &attributes, Generation(0))
                    })
                });
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EPERM);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EPERM);
    }
}
