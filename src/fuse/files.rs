//! The state of a mount: the tree, and the images that are open.

use super::names::uid_name;
use super::node::{Field, Node};
use super::tree::{Numbers, Tree};
use crate::engine::image::{Depot, Image};
use crate::monitor::Level;
use crate::types::error::{Error, Result};
use crate::types::version::Version;
use fuser::{Errno, FileAttr, FileType, INodeNo};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long the tree is used before the database is asked whether it has changed.
const FRESH: Duration = Duration::from_millis(200);
/// Bytes of the blocks in which `stat` counts space.
const SECTOR: u64 = 512;

/// Whether programs may write to the files of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// They may, and see their changes until the mount ends.
    Allowed,
    /// The mount is read-only.
    Refused,
}

/// The tree of versions, and the images that are open.
pub(super) struct Files {
    depot: Arc<Depot>,
    state: Mutex<TreeState>,
    images: RwLock<HashMap<u64, Open>>,
    /// Held while an image is opened, which takes time. Other images can be read in the meantime.
    opening: Mutex<()>,
    owner: (u32, u32),
    writing: Writing,
    /// Stored bytes of each version, by its number.
    stored: Mutex<HashMap<u64, u64>>,
}

/// The tree as it was read last.
struct TreeState {
    tree: Arc<Tree>,
    numbers: Numbers,
    generation: u64,
    checked: Instant,
    /// The last query of the database has failed, and the log says so.
    failing: bool,
}

struct Open {
    image: Arc<Image>,
    handles: usize,
}

/// Makes the tree of all versions. Warns of each version whose uid cannot be a file name.
fn grown(depot: &Depot, numbers: &mut Numbers) -> Result<Arc<Tree>> {
    let tree = Tree::new(depot.versions()?, numbers);
    for uid in tree.odd_uids() {
        let text = format!(
            "The uid {uid:?} of a version cannot be a file name: the mount shows it as {:?}.",
            uid_name(uid)
        );
        depot.warn_once(text, &[]);
    }
    Ok(Arc::new(tree))
}

impl Files {
    /// Reads the versions of `depot`.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn new(depot: Arc<Depot>, writing: Writing) -> Result<Self> {
        let mut numbers = Numbers::default();
        // Read the generation first: the next refresh then sees changes that happen between the two reads.
        let generation = depot.generation()?;
        let tree = grown(&depot, &mut numbers)?;
        let state = TreeState { tree, numbers, generation, checked: Instant::now(), failing: false };
        Ok(Files {
            depot,
            state: Mutex::new(state),
            images: RwLock::default(),
            opening: Mutex::default(),
            owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            writing,
            stored: Mutex::default(),
        })
    }

    /// The current tree.
    pub(super) fn tree(&self) -> Arc<Tree> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.checked.elapsed() >= FRESH {
            let refreshed = self.refresh(&mut state);
            state.checked = Instant::now();
            let failed = refreshed.is_err();
            if let (Err(error), false) = (refreshed, state.failing) {
                let text = format!("{}. The mount still shows the old list of versions.", error.line());
                self.depot.advise(Level::Error, text, error.remedies());
            }
            state.failing = failed;
        }
        Arc::clone(&state.tree)
    }

    fn refresh(&self, state: &mut TreeState) -> Result<()> {
        let generation = self.depot.generation()?;
        if generation != state.generation {
            state.tree = grown(&self.depot, &mut state.numbers)?;
            state.generation = generation;
        }
        Ok(())
    }

    /// Opens the image of a version, or counts one more handle.
    pub(super) fn open(&self, number: u64) -> std::result::Result<(), Errno> {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut images = self.images.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = images.get_mut(&number) {
                open.handles += 1;
                return Ok(());
            }
        }
        let tree = self.tree();
        let uid = &tree.version(number).ok_or(Errno::ENOENT)?.uid;
        let image = self.depot.open(uid).map_err(|error| {
            self.depot.advise(Level::Error, error.line(), error.remedies());
            match error {
                Error::VersionNotFound(_) => Errno::ENOENT,
                Error::Locked(_) => Errno::EBUSY,
                _ => Errno::EIO,
            }
        })?;
        let mut images = self.images.write().unwrap_or_else(PoisonError::into_inner);
        images.insert(number, Open { image: Arc::new(image), handles: 1 });
        Ok(())
    }

    /// Counts one handle less. An image that was written to stays until the mount ends, even without a handle.
    pub(super) fn close(&self, number: u64) {
        let mut images = self.images.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = images.get_mut(&number) {
            open.handles = open.handles.saturating_sub(1);
            if open.handles == 0 && !open.image.is_changed() {
                images.remove(&number);
            }
        }
    }

    /// An open image.
    pub(super) fn image(&self, number: u64) -> std::result::Result<Arc<Image>, Errno> {
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner);
        images.get(&number).map(|open| Arc::clone(&open.image)).ok_or(Errno::EBADF)
    }

    /// Whether writing is refused.
    pub(super) fn is_read_only(&self) -> bool {
        self.writing == Writing::Refused
    }

    /// Bytes that a file occupies. For an image these are the stored bytes and those written to it, so that programs
    /// see that it has holes. If they cannot be determined, it is the whole size.
    fn taken(&self, tree: &Tree, node: Node, size: u64) -> u64 {
        let Node::File(number, Field::Data) = node else { return size };
        let Some(version) = tree.version(number) else { return size };
        let written = self.image(number).map_or(0, |image| image.written_bytes());
        self.stored_bytes(version, number).map_or(size, |stored| size.min(stored.saturating_add(written)))
    }

    /// The stored bytes of a version. Valid versions do not change, so the database is asked only once for each.
    fn stored_bytes(&self, version: &Version, number: u64) -> Option<u64> {
        if let Some(stored) = self.stored.lock().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Some(*stored);
        }
        let stored = self.depot.stored_bytes(version).ok()?;
        if version.valid {
            self.stored.lock().unwrap_or_else(PoisonError::into_inner).insert(number, stored);
        }
        Some(stored)
    }

    /// The attributes that `stat` returns; `None` if the file has gone.
    pub(super) fn attributes(&self, tree: &Tree, node: Node) -> Option<FileAttr> {
        let facts = tree.facts(node)?;
        let (kind, perm, nlink) = match node {
            _ if node.is_folder() => {
                (FileType::Directory, if self.is_read_only() { 0o500 } else { 0o700 }, 2)
            }
            Node::Link(_) | Node::Latest(_) => (FileType::Symlink, 0o777, 1),
            _ => (FileType::RegularFile, if self.is_read_only() { 0o400 } else { 0o600 }, 1),
        };
        Some(FileAttr {
            ino: INodeNo(node.inode()),
            size: facts.size,
            blocks: self.taken(tree, node, facts.size).div_ceil(SECTOR),
            atime: facts.date,
            mtime: facts.date,
            ctime: facts.date,
            crtime: facts.date,
            kind,
            perm,
            nlink,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}
