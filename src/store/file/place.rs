//! The folder of a file store, open, and writing below it.

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

/// Files that are being written end so; one that a crash left is no blob.
pub(super) const TEMPORARY: &str = ".tmp";

/// The store's folder. It is open since before the first write: the kernel tells an error of writing back to each
/// descriptor that was open when it happened, and to one that is opened later perhaps not.
pub(super) struct Place {
    root: Folder,
    /// Device and number of the root.
    identity: (u64, u64),
    sync: Durability,
    mode: FileMode,
    /// Whether one flush of the file system tells of all that was not written to it.
    tells_all: bool,
    /// Whether anything was written.
    pub written: AtomicBool,
    /// Folders that this process has seen or made, so that a blob costs no `mkdir`; and whether each is on the file
    /// system of the root.
    known: Mutex<BTreeMap<String, bool>>,
}

/// Why a blob was not written.
pub(super) struct NotWritten {
    pub error: io::Error,
    /// It was written, and whether it or others arrived is not known: what was written before is not to be trusted.
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
    pub fn open(path: &Path, sync: Durability, mode: FileMode) -> io::Result<Self> {
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

    /// Whether the folder that is at `path` now is this one.
    pub fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// The folder itself.
    pub fn root(&self) -> &Folder {
        &self.root
    }

    /// Writes the file `name` in the folder `outer/inner`, all of it or nothing.
    pub fn write(&self, outer: &str, inner: &str, name: &str, data: &[u8]) -> Result<(), NotWritten> {
        self.written.store(true, Ordering::Relaxed);
        let same = self.make_folder(outer, inner)?;
        let folder = self.root.folder_at(&Path::new(outer).join(inner))?;
        // On another file system than the root's, a flush of that one would not do.
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
            // Starts the writing now, so that one flush of the file system for a batch finds little to do.
            cache::drop_behind(&file, 0..data.len() as u64);
        }
        let size = if self.tells_all { file.metadata().map(|found| found.len()) } else { stored_size(&file) };
        // What close says of a file that is too short tells more.
        close(file).map_err(in_doubt)?;
        match size.map_err(in_doubt)? {
            size if size == data.len() as u64 => Ok(()),
            size => {
                let text = format!("{} bytes were written, and the file has {size}", data.len());
                Err(in_doubt(io::Error::other(text)))
            }
        }
    }

    /// Makes the folder for a blob, durable if each blob is to be. Returns whether it is on the root's file system.
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

    /// Makes durable what [`Place::write`] has left to be.
    pub fn sync(&self) -> io::Result<()> {
        if self.sync == Durability::Filesystem && self.tells_all {
            sync_filesystem(self.root.file())
        } else {
            Ok(())
        }
    }
}
