//! The open folder of a file store, and writing to it.

use crate::failpoint;
use crate::sys::beneath::Folder;
use crate::sys::cache;
use crate::sys::close::close;
use crate::sys::durable::{stored_size, sync_entries, sync_filesystem, tells_all};
use crate::types::settings::{Durability, FileMode};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The ending of files that are being written. A file that a crash left with this ending is not a blob.
pub(super) const TEMPORARY: &str = ".tmp";

/// The store's folder. It is opened before the first write: the kernel reports a write-back error to each descriptor
/// that was open at that time, and perhaps not to one that is opened later.
pub(super) struct Place {
    root: Folder,
    /// Device and inode of the folder.
    identity: (u64, u64),
    sync: Durability,
    mode: FileMode,
    /// Whether one flush of the file system reports every failed write.
    tells_all: bool,
    /// Whether anything has been written.
    pub written: AtomicBool,
    /// Folders that this process has found or created, so that most blobs need no `mkdir`. The value says whether the
    /// folder is on the file system of the root.
    known: Mutex<BTreeMap<String, bool>>,
}

/// Why a blob was not written.
pub(super) struct NotWritten {
    pub error: io::Error,
    /// The blob was written, but it is not known whether this blob or others were stored. Earlier writes cannot be
    /// trusted either.
    pub in_doubt: bool,
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        NotWritten { error, in_doubt: false }
    }
}

fn in_doubt(error: io::Error) -> NotWritten {
    NotWritten { error, in_doubt: true }
}

impl Place {
    /// Opens the folder.
    pub(super) fn open(path: &Path, sync: Durability, mode: FileMode) -> io::Result<Self> {
        let root = Folder::open(path)?;
        let metadata = root.file().metadata()?;
        Ok(Place {
            identity: (metadata.dev(), metadata.ino()),
            tells_all: tells_all(root.file()),
            root,
            sync,
            mode,
            written: AtomicBool::new(false),
            known: Mutex::default(),
        })
    }

    /// Whether this is the folder that is now at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// The open folder.
    pub(super) fn root(&self) -> &Folder {
        &self.root
    }

    /// Writes the file `name` in the folder `outer/inner`, completely or not at all.
    pub(super) fn write(&self, outer: &str, inner: &str, name: &str, data: &[u8]) -> Result<(), NotWritten> {
        self.written.store(true, Ordering::Relaxed);
        let same = self.make_folder(outer, inner)?;
        let folder = self.root.folder_at(&Path::new(outer).join(inner))?;
        // If the folder is on another file system than the root, a flush of the root's file system is not enough.
        let flush = match self.sync {
            Durability::File => true,
            Durability::Filesystem => !(self.tells_all && same),
            Durability::None => false,
        };
        let temporary = format!("{name}.{:016x}{TEMPORARY}", fastrand::u64(..));
        let written = self.write_temporary(&folder, &temporary, data, flush).and_then(|()| {
            failpoint::pass("blob-before-rename");
            Ok(folder.rename(&temporary, name)?)
        });
        if let Err(error) = written {
            let _ = folder.remove(&temporary);
            return Err(error);
        }
        if flush {
            sync_entries(folder.file()).map_err(in_doubt)?;
        }
        failpoint::pass("blob-after-put");
        Ok(())
    }

    fn write_temporary(
        &self,
        folder: &Folder,
        name: &str,
        data: &[u8],
        flush: bool,
    ) -> Result<(), NotWritten> {
        let mut file = folder.make_file(name, self.mode)?;
        file.write_all(data)?;
        if flush {
            file.sync_all().map_err(in_doubt)?;
        } else if self.sync == Durability::Filesystem {
            // Starts writing now, so that the flush of the file system for a batch has little left to do.
            cache::drop_behind(&file, 0..data.len() as u64);
        }
        let size = if self.tells_all { file.metadata().map(|found| found.len()) } else { stored_size(&file) };
        // If the file is too short, the error of close says why, so check it first.
        close(file).map_err(in_doubt)?;
        match size.map_err(in_doubt)? {
            size if size == data.len() as u64 => Ok(()),
            size => {
                let text = format!("{} bytes were written, and the file has {size}", data.len());
                Err(in_doubt(io::Error::other(text)))
            }
        }
    }

    /// Creates the folder for a blob, and makes it durable if each blob must be. Returns whether it is on the root's
    /// file system.
    fn make_folder(&self, outer: &str, inner: &str) -> io::Result<bool> {
        let path = Path::new(outer).join(inner);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.get(&format!("{outer}{inner}")) {
            return Ok(*same);
        }
        let folder = match self.root.folder_at(&path) {
            Ok(folder) => folder,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.make(&self.root, outer)?;
                let above = self.root.folder_at(Path::new(outer))?;
                self.make(&above, inner)?;
                above.folder_at(Path::new(inner))?
            }
            Err(error) => return Err(error),
        };
        let same = folder.file().metadata()?.dev() == self.identity.0;
        known.insert(format!("{outer}{inner}"), same);
        Ok(same)
    }

    fn make(&self, above: &Folder, name: &str) -> io::Result<()> {
        match above.make_folder(name, self.mode) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
            done => done?,
        }
        let all_at_once = self.sync == Durability::Filesystem && self.tells_all;
        if self.sync == Durability::None || all_at_once { Ok(()) } else { sync_entries(above.file()) }
    }

    /// Makes durable the data that [`Place::write`] has not flushed.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.sync == Durability::Filesystem && self.tells_all {
            sync_filesystem(self.root.file())
        } else {
            Ok(())
        }
    }
}
