//! Blobs as files in a folder: `<path>/<uid[0:2]>/<uid[2:4]>/<uid>.blob`.
//!
//! Below the folder no link is followed, for reading or for writing. Otherwise a user who can write there could
//! redirect blobs anywhere, and put any file into a restored image.

mod failure;
mod listing;
mod objects;
mod place;

use super::{BlobStore, Found, GetError, Presence, Wanted};
use crate::sys::beneath::Folder;
use crate::sys::{cache, memory, private};
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::settings::{Durability, FileMode};
use crate::types::uid::BlobUid;
use failure::{advice, is, is_of_one_file, is_of_the_folder, kind};
use place::{NotWritten, Place, TEMPORARY};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The ending of blobs. Other files are ignored.
const ENDING: &str = ".blob";
/// Bytes by which a blob may be longer than its block, in addition to a 128th of the block.
const MARGIN: u64 = 1 << 16;

/// A store in a folder.
pub(crate) struct FileStore {
    path: PathBuf,
    sync: Durability,
    mode: FileMode,
    place: Mutex<Option<Arc<Place>>>,
    /// The first write that failed after it seemed done. The system reports this only once, so all later writes and
    /// flushes fail as well.
    broken: OnceLock<Reason>,
}

impl FileStore {
    /// A store in the folder `path`, which must exist before the first use. Blobs, and the folders for them, get the
    /// permissions `mode`.
    pub(crate) fn new(path: &Path, sync: Durability, mode: FileMode) -> Self {
        FileStore { path: path.to_owned(), sync, mode, place: Mutex::default(), broken: OnceLock::new() }
    }

    fn error(&self, reason: impl Into<Reason>) -> Error {
        Error::Store { store: self.location(), reason: reason.into() }
    }

    /// The path of the blob, relative to the folder.
    fn file(&self, uid: &BlobUid) -> Result<PathBuf> {
        let uid = uid.as_str();
        if !BlobUid::is_plain(uid) {
            return Err(self.error(format!("{uid:?} is not the name of a blob")));
        }
        Ok(Path::new(&uid[..2]).join(&uid[2..4]).join(format!("{uid}{ENDING}")))
    }

    /// The folder. It is opened at the first use.
    fn place(&self) -> io::Result<Arc<Place>> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = &*place {
            return Ok(place.clone());
        }
        Ok(place.insert(Arc::new(Place::open(&self.path, self.sync, self.mode)?)).clone())
    }

    /// Drops the open folder if it is no longer the one at its path, for example after a new mount, and if nothing was
    /// written to it. Returns whether it was dropped.
    fn let_go(&self, old: &Arc<Place>) -> bool {
        let gone = !old.written.load(Ordering::Relaxed) && !old.is_at(&self.path);
        if gone {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            if place.as_ref().is_some_and(|place| Arc::ptr_eq(place, old)) {
                *place = None;
            }
        }
        gone
    }

    /// Opens `path` below the folder. Accepts that the folder was mounted anew since its last use.
    fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let place = self.place()?;
        match place.root().open_at(path, flags) {
            Err(e) if is_of_the_folder(&e) && self.let_go(&place) => {
                self.place()?.root().open_at(path, flags)
            }
            done => done,
        }
    }

    /// A folder below the store's folder.
    fn folder(&self, path: &Path) -> io::Result<Folder> {
        self.place()?.root().folder_at(path)
    }

    /// An error about a folder on the way to that blob, if one is a symbolic link.
    fn linked_folder(&self, file: &Path) -> Option<Error> {
        let inner = file.parent()?;
        let is_link = |folder: &&Path| self.folder(folder).is_err_and(|e| is(&e, Errno::LOOP));
        let link = self.path.join([inner.parent()?, inner].into_iter().find(is_link)?);
        let (link, target) = (link.display(), fs::read_link(&link).unwrap_or_else(|_| "TARGET".into()));
        Some(self.error(format!(
            "{link} is a symbolic link, and links below the store's folder are not followed, because they \
             could lead blobs elsewhere. If you made the link to use another disk, mount that disk in its \
             place: `rm {link} && mkdir {link} && mount --bind {target} {link}`, and add the mount to \
             /etc/fstab",
            target = target.display()
        )))
    }

    /// The error for a blob that could not be opened or read.
    fn get_error(&self, what: &str, file: &Path, error: io::Error) -> GetError {
        let path = self.path.join(file);
        if is(&error, Errno::LOOP) {
            return match self.linked_folder(file) {
                Some(error) => GetError::Store(error),
                None => GetError::Unreadable(format!(
                    "{} is a symbolic link, and links are not followed there",
                    path.display()
                )),
            };
        }
        let one = is_of_one_file(&error);
        let reason = because(format!("cannot {what} {}", path.display()), error);
        if one { GetError::Unreadable(reason.line()) } else { GetError::Store(self.error(reason)) }
    }

    /// Opens a blob for reading. It must be a regular file, and opening it never waits.
    fn open_blob(&self, file: &Path) -> std::result::Result<Option<(File, u64)>, GetError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = match self.open_at(file, flags) {
            Ok(opened) => opened,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                self.check().map_err(GetError::Store)?;
                return Ok(None);
            }
            Err(error) => return Err(self.get_error("open", file, error)),
        };
        let metadata = opened.metadata().map_err(|error| self.get_error("look at", file, error))?;
        if metadata.is_file() {
            Ok(Some((opened, metadata.len())))
        } else {
            let what = kind(metadata.file_type());
            Err(GetError::Unreadable(format!("{} is {what} and not a file", self.path.join(file).display())))
        }
    }

    /// Records that written data may be lost.
    fn broke(&self, what: &str, error: io::Error) -> Error {
        let doubt = "Data that was written before is not trusted";
        let first = self.broken.get_or_init(|| {
            let advice = advice(&error).map_or(doubt.to_owned(), |advice| format!("{advice}. {doubt}"));
            because(what, error).advise(advice)
        });
        self.error(first.clone())
    }
}

impl BlobStore for FileStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn put(&self, uid: &BlobUid, data: &[u8]) -> Result<()> {
        let file = self.file(uid)?;
        let uid = uid.as_str();
        if let Some(broken) = self.broken.get() {
            return Err(self.error(broken.clone()));
        }
        let written = match self.place() {
            Ok(place) => place.write(&uid[..2], &uid[2..4], &format!("{uid}{ENDING}"), data),
            Err(error) => Err(NotWritten::from(error)),
        };
        written.map_err(|NotWritten { error, in_doubt }| {
            let what = format!("cannot write {}", self.path.join(&file).display());
            if in_doubt {
                self.broke(&what, error)
            } else {
                let link = self.linked_folder(&file).filter(|_| is(&error, Errno::LOOP));
                let advice = advice(&error).unwrap_or_default();
                link.unwrap_or_else(|| self.error(because(what, error).advise(advice)))
            }
        })
    }

    fn get(&self, wanted: Wanted<'_>, data: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
        data.clear();
        let path = match self.file(wanted.uid) {
            Ok(path) => path,
            Err(error) => return Err(GetError::Unreadable(error.line())),
        };
        let Some((file, size)) = self.open_blob(&path)? else { return Ok(false) };
        // A file that is longer than the largest possible blob of this block is damaged. It must not fill the memory.
        let limit = wanted.size.saturating_add(wanted.size / 128).saturating_add(MARGIN);
        let cached = cache::holds(&file, 0);
        if wanted.again {
            cache::drop_all(&file);
        }
        let room = usize::try_from(size.min(limit)).unwrap_or(usize::MAX);
        let read = match memory::reserve(data, room) {
            Ok(()) => (&file).take(limit).read_to_end(data),
            Err(_) => Err(ErrorKind::OutOfMemory.into()),
        };
        match read {
            Ok(_) => {
                // Pages that were cached only for this read must not displace those of other programs.
                if !cached {
                    cache::drop_behind(&file, 0..data.len() as u64);
                }
                Ok(true)
            }
            Err(error) => Err(self.get_error("read", &path, error)),
        }
    }

    fn tells_presence(&self) -> bool {
        true
    }

    fn presence(&self, uid: &BlobUid) -> Result<Presence> {
        let Ok(file) = self.file(uid) else { return Ok(Presence::Missing) };
        let found = self.open_at(&file, OFlags::PATH).and_then(|found| found.metadata());
        match found {
            Ok(metadata) if metadata.is_file() => Ok(Presence::Bytes(metadata.len())),
            Ok(_) => Ok(Presence::Missing),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                self.check().map(|()| Presence::Missing)
            }
            Err(error) => match self.get_error("look at", &file, error) {
                GetError::Store(error) => Err(error),
                GetError::Unreadable(_) => Ok(Presence::Missing),
            },
        }
    }

    fn delete(&self, uids: &[BlobUid]) -> Vec<(BlobUid, Error)> {
        let mut failed = Vec::new();
        for uid in uids {
            // A name that is not valid cannot have a blob, so the blob counts as missing.
            let Ok(file) = self.file(uid) else { continue };
            let folder = file.parent().unwrap_or(Path::new("."));
            let removed = self.folder(folder).and_then(|folder| folder.remove(&format!("{uid}{ENDING}")));
            let gone = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::InvalidFilename];
            match removed.or_else(|e| if gone.contains(&e.kind()) { self.place().map(drop) } else { Err(e) })
            {
                Ok(()) => {}
                Err(e) => {
                    let link = self.linked_folder(&file).filter(|_| is(&e, Errno::LOOP));
                    let what = format!("cannot delete {}", self.path.join(&file).display());
                    failed.push((uid.clone(), link.unwrap_or_else(|| self.error(because(what, e)))));
                }
            }
        }
        failed
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
        self.list_and_tidy(prefix, each)
    }

    fn survey(&self, prefix: &str, each: &mut dyn FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        self.look_around(prefix, each)
    }

    fn sync(&self) -> Result<()> {
        if let Some(broken) = self.broken.get() {
            return Err(self.error(broken.clone()));
        }
        self.place().and_then(|place| place.sync()).map_err(|e| self.broke("cannot flush the file system", e))
    }

    fn check_writable(&self) -> Result<()> {
        self.check()?;
        let probe = self.path.join(format!("backy2-probe-{:016x}{TEMPORARY}", fastrand::u64(..)));
        let made = private::create(&probe, FileMode::PRIVATE).and_then(|_| fs::remove_file(&probe));
        match made {
            Ok(()) => Ok(()),
            // Perhaps there is nothing new to store. Otherwise the code that stores it reports the error.
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::NOSPC | Errno::DQUOT)) => Ok(()),
            Err(e) => Err(self.error(because("cannot be written to", e).advise("See path in [DataBackend]"))),
        }
    }

    fn check(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(self.error("is no folder: see path in [DataBackend]")),
            Err(e) => {
                let advice = "Is it mounted? See path in [DataBackend]";
                return Err(self.error(because("cannot be reached", e).advise(advice)));
            }
        }
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if place.is_none_or(|place| place.is_at(&self.path) || self.let_go(&place)) {
            Ok(())
        } else {
            Err(self.error(
                "the folder is not the one that was written to: it was mounted or unmounted in the \
                 meantime. Start again",
            ))
        }
    }
}

#[cfg(test)]
mod tests;
