//! Blobs as files in a folder: `<path>/<uid[0:2]>/<uid[2:4]>/<uid>.blob`.

use super::{BlobStore, GetError, Wanted};
use crate::failpoint;
use crate::sys::cache;
use crate::sys::durable::{sync_filesystem, sync_folder};
use crate::types::error::{Error, Result};
use crate::types::settings::Durability;
use crate::types::uid::BlobUid;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Only files that end so are blobs.
const ENDING: &str = ".blob";
/// Files that are being written end so; one that a crash left is no blob, and `list` removes old ones.
const TEMPORARY: &str = ".tmp";
/// A temporary file that nobody has touched for so long belongs to no running backup.
const STALE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The file store.
pub struct FileStore {
    path: PathBuf,
    sync: Durability,
    /// Folders that this process has seen or made, so that a blob costs no `mkdir`.
    known: Mutex<BTreeSet<PathBuf>>,
    /// The folder, open since before the first write: the kernel tells an error of writing back to each
    /// descriptor that was open when it happened, and to one that is opened later perhaps not.
    root: OnceLock<File>,
}

impl FileStore {
    /// A store in the folder `path`, which must exist when it is used.
    pub fn new(path: &Path, sync: Durability) -> Self {
        FileStore { path: path.to_owned(), sync, known: Mutex::default(), root: OnceLock::new() }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Store { store: self.location(), message: message.into() }
    }

    fn file(&self, uid: &str) -> Result<PathBuf> {
        if !BlobUid::is_plain(uid) {
            return Err(self.error(format!("{uid:?} is no name of a blob")));
        }
        Ok(self.path.join(&uid[..2]).join(&uid[2..4]).join(format!("{uid}{ENDING}")))
    }

    /// Makes the folder for a blob, durable if each blob is to be.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        if known.contains(folder) {
            return Ok(());
        }
        for level in [folder.parent().unwrap_or(folder), folder] {
            match fs::create_dir(level) {
                Ok(()) if self.sync == Durability::File => sync_folder(level.parent().unwrap_or(level))?,
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    /// The descriptor that the file system is flushed by.
    fn root(&self) -> io::Result<&File> {
        match self.root.get() {
            Some(root) => Ok(root),
            None => {
                let opened = File::open(&self.path)?;
                Ok(self.root.get_or_init(|| opened))
            }
        }
    }

    fn write(&self, file: &Path, data: &[u8]) -> io::Result<()> {
        if self.sync == Durability::Filesystem {
            self.root()?;
        }
        let folder = file.parent().unwrap_or(&self.path);
        self.make_folder(folder)?;
        let temporary = file.with_extension(format!("blob.{}{TEMPORARY}", std::process::id()));
        let written = self.write_temporary(&temporary, data).and_then(|()| {
            failpoint::pass("blob-before-rename");
            fs::rename(&temporary, file)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        if self.sync == Durability::File {
            sync_folder(folder)?;
        }
        failpoint::pass("blob-after-put");
        Ok(())
    }

    fn write_temporary(&self, temporary: &Path, data: &[u8]) -> io::Result<()> {
        let mut file = File::create(temporary)?;
        file.write_all(data)?;
        match self.sync {
            Durability::File => file.sync_all(),
            // Starts the writing now, so that one flush of the file system for a batch finds little to do.
            Durability::Filesystem => {
                cache::drop_behind(&file, 0..data.len() as u64);
                Ok(())
            }
            Durability::None => Ok(()),
        }
    }

    /// The blobs of one folder of the second level.
    fn list_folder(
        &self,
        folder: &Path,
        prefix: &str,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        for name in self.names(folder)? {
            if let Some(uid) = name.strip_suffix(ENDING) {
                let at_its_place = self.file(uid).is_ok_and(|file| file.parent() == Some(folder));
                if uid.starts_with(prefix) && BlobUid::is_one(uid) && at_its_place {
                    each(uid)?;
                }
            } else if name.ends_with(TEMPORARY) && name.contains(ENDING) {
                remove_if_stale(&folder.join(name));
            }
        }
        Ok(())
    }

    /// Names in a folder; none if it is no folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(self.error(format!("cannot list {}: {e}", folder.display()))),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| self.error(format!("cannot list {}: {e}", folder.display())))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

/// Whether a file could not be opened because of what it is or of damage to it, so that others may well be
/// readable. Missing rights, a lack of memory and the like are not.
fn is_of_one_file(error: &io::Error) -> bool {
    let own = [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO];
    Errno::from_io_error(error).is_some_and(|errno| own.contains(&errno))
}

/// Removes what a killed run has left half-written.
fn remove_if_stale(file: &Path) {
    let age = fs::metadata(file).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    if age.is_some_and(|age| age > STALE) {
        let _ = fs::remove_file(file);
    }
}

impl BlobStore for FileStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn put(&self, uid: &str, data: &[u8]) -> Result<()> {
        let file = self.file(uid)?;
        self.write(&file, data).map_err(|e| self.error(format!("cannot write {}: {e}", file.display())))
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        let path = match self.file(wanted.uid) {
            Ok(path) => path,
            Err(error) => return Err(GetError::Unreadable(error.to_string())),
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                self.check().map_err(GetError::Store)?;
                return Ok(false);
            }
            Err(e) if is_of_one_file(&e) => {
                return Err(GetError::Unreadable(format!("cannot open {}: {e}", path.display())));
            }
            Err(e) => {
                return Err(GetError::Store(self.error(format!("cannot open {}: {e}", path.display()))));
            }
        };
        // More than the largest possible blob of such a block is damage; do not fill the memory with it.
        let limit = wanted.size.saturating_add(wanted.size / 128).saturating_add(1 << 16);
        let cached = cache::holds(&file, 0);
        match (&file).take(limit).read_to_end(data) {
            Ok(_) => {
                // What was read into the page cache for this alone must not push out what others work with.
                if !cached {
                    cache::drop_behind(&file, 0..data.len() as u64);
                }
                Ok(true)
            }
            Err(e) => Err(GetError::Unreadable(format!("cannot read {}: {e}", path.display()))),
        }
    }

    fn delete(&self, uids: &[String]) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        for uid in uids {
            // No blob can have a name that is none: it is missing.
            let Ok(file) = self.file(uid) else { continue };
            match fs::remove_file(&file) {
                Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => {
                    let error = self.error(format!("cannot delete {}: {e}", file.display()));
                    failed.push((uid.clone(), error));
                }
                _ => {}
            }
        }
        failed
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        self.check()?;
        let begins = |name: &str, part: &str| name.starts_with(part) || part.starts_with(name);
        let (first, second) = (prefix.get(..2).unwrap_or(prefix), prefix.get(2..).unwrap_or(""));
        for outer in self.names(&self.path)? {
            if outer.len() != 2 || !begins(&outer, first) {
                continue;
            }
            for inner in self.names(&self.path.join(&outer))? {
                if inner.len() == 2 && begins(&inner, second) {
                    self.list_folder(&self.path.join(&outer).join(&inner), prefix, each)?;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if self.sync != Durability::Filesystem {
            return Ok(());
        }
        self.root()
            .and_then(sync_filesystem)
            .map_err(|e| self.error(format!("cannot flush the file system: {e}")))
    }

    fn check(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(self.error("is no folder: see path in [DataBackend]")),
            Err(e) => {
                Err(self.error(format!("cannot be reached: {e}. Is it mounted? See path in [DataBackend]")))
            }
        }
    }
}
