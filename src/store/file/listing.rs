//! Listing the blobs in a folder, and the files that killed backups have left beside them.

use super::failure::is;
use super::place::TEMPORARY;
use super::{ENDING, FileStore};
use crate::store::Found;
use crate::sys::beneath::Folder;
use crate::types::error::Result;
use crate::types::reason::because;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use rustix::io::Errno;
use std::io::ErrorKind;
use std::path::Path;

/// Seconds after which an unchanged temporary file cannot belong to a running backup.
const STALE: i64 = 24 * 3600;

impl FileStore {
    /// See [`crate::store::BlobStore::list`]. Also removes the files that killed backups have left.
    pub(super) fn list_and_tidy(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(&BlobUid) -> Result<()>,
    ) -> Result<()> {
        self.folders(prefix, &mut |path| {
            for name in self.names(path)? {
                if let Some(uid) = self.blob_named(path, prefix, &name) {
                    each(&uid)?;
                } else if is_temporary(&name)
                    && let Ok(folder) = self.folder(path)
                {
                    remove_if_stale(&folder, &name);
                }
            }
            Ok(())
        })
    }

    /// See [`crate::store::BlobStore::survey`].
    pub(super) fn look_around(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        self.folders(prefix, &mut |path| {
            let names = self.names(path)?;
            // It may just have been removed.
            let Ok(folder) = self.folder(path) else { return Ok(()) };
            for name in names {
                if let Some(uid) = self.blob_named(path, prefix, &name) {
                    let Ok(entry) = folder.entry(&name) else { continue };
                    if entry.is_file {
                        each(Found::Blob {
                            uid: &uid,
                            bytes: Some(entry.bytes),
                            stored: Some(entry.changed),
                        })?;
                    }
                } else if is_temporary(&name) && is_stale(&folder, &name) {
                    each(Found::Unfinished(&self.path.join(path).join(name).to_string_lossy()))?;
                }
            }
            Ok(())
        })
    }

    /// Calls `each` with every folder that may hold blobs whose names begin with `prefix`.
    fn folders(&self, prefix: &str, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
        crate::store::BlobStore::check(self)?;
        let begins = |name: &str, part: &str| name.starts_with(part) || part.starts_with(name);
        let (first, second) = (prefix.get(..2).unwrap_or(prefix), prefix.get(2..).unwrap_or(""));
        for outer in self.names(Path::new("."))? {
            if outer.len() != 2 || !begins(&outer, first) {
                continue;
            }
            for inner in self.names(Path::new(&outer))? {
                if inner.len() == 2 && begins(&inner, second) {
                    each(&Path::new(&outer).join(inner))?;
                }
            }
        }
        Ok(())
    }

    /// The names in a folder below. Empty if it is not a folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        match self.folder(folder).and_then(|folder| folder.names()) {
            Ok(names) => Ok(names),
            Err(e) if matches!(e.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => Ok(Vec::new()),
            Err(e) => {
                let link = self.linked_folder(&folder.join("blob")).filter(|_| is(&e, Errno::LOOP));
                let what = format!("cannot list {}", self.path.join(folder).display());
                Err(link.unwrap_or_else(|| self.error(because(what, e))))
            }
        }
    }

    /// The blob that the file `name` in `folder` holds, if it is one, is in the right folder, and begins with `prefix`.
    fn blob_named(&self, folder: &Path, prefix: &str, name: &str) -> Option<BlobUid> {
        let name = name.strip_suffix(ENDING)?;
        let uid = BlobUid::from(name);
        let at_its_place = self.file(&uid).is_ok_and(|file| file.parent() == Some(folder));
        (name.starts_with(prefix) && BlobUid::is_one(name) && at_its_place).then_some(uid)
    }
}

fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY) && name.contains(ENDING)
}

/// Removes an unfinished file of a killed run.
pub(super) fn remove_if_stale(folder: &Folder, name: &str) {
    if is_stale(folder, name) {
        let _ = folder.remove(name);
    }
}

/// Whether no running backup can be writing the file.
fn is_stale(folder: &Folder, name: &str) -> bool {
    let before = Timestamp::now().unix().saturating_sub(STALE);
    folder.entry(name).is_ok_and(|entry| entry.changed < before)
}
