//! Objects beside the blobs, as files: `<path>/backy2.store`, `<path>/index/…`, `<path>/versions/…`.

use super::FileStore;
use super::failure::{advice, is, is_of_one_file};
use super::listing::remove_if_stale;
use super::place::TEMPORARY;
use crate::store::{BlobStore, GetError, Objects};
use crate::sys::beneath::Folder;
use crate::sys::close::close;
use crate::sys::durable::sync_entries;
use crate::types::error::{Error, Result};
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::reason::because;
use crate::types::settings::Durability;
use crate::types::text::of_system;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// Whether nothing has that name.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl FileStore {
    /// The folder that is at the configured path now, whatever the blobs are read from.
    fn root_now(&self) -> Result<Folder> {
        self.check()?;
        Folder::open(&self.path).map_err(|e| self.error(because("cannot be opened", e)))
    }

    fn object_error(&self, what: &str, name: &str, error: io::Error) -> Error {
        let advice = advice(&error).unwrap_or_default();
        self.error(because(format!("cannot {what} {}", self.path.join(name).display()), error).advise(advice))
    }

    /// The folder of an object below `root`. With `make`, it is made if it is missing.
    fn folder_of(&self, root: &Folder, name: &ObjectName, make: bool) -> io::Result<Folder> {
        let Some(folder) = name.folder().map(ObjectFolder::text) else {
            return root.folder_at(Path::new("."));
        };
        match root.folder_at(Path::new(folder)) {
            Err(e) if e.kind() == ErrorKind::NotFound && make => {}
            done => return done,
        }
        match root.make_folder(folder, self.mode) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if self.sync != Durability::None {
            sync_entries(root.file())?;
        }
        root.folder_at(Path::new(folder))
    }

    /// Writes an object beside its place, and moves it there.
    fn write_object(&self, root: &Folder, name: &ObjectName, data: &[u8]) -> io::Result<()> {
        let folder = self.folder_of(root, name, true)?;
        let last = name.last_part();
        let temporary = format!("{last}.{:016x}{TEMPORARY}", fastrand::u64(..));
        let durable = self.sync != Durability::None;
        let mut file = folder.make_file(&temporary, self.mode)?;
        let written = file.write_all(data).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        let written = written.and(close(file)).and_then(|()| folder.rename(&temporary, &last));
        if written.is_err() {
            let _ = folder.remove(&temporary);
        }
        written?;
        if durable { sync_entries(folder.file()) } else { Ok(()) }
    }

    /// Reads a file, and one byte more than `most` if it is larger. `None` if it is no regular file.
    fn read_object(root: &Folder, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = root.open_at(Path::new(name), flags)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut data = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut data)?;
        Ok(Some(data))
    }
}

impl Objects for FileStore {
    fn keeps_objects(&self) -> bool {
        true
    }

    fn put_object(&self, name: &ObjectName, data: &[u8]) -> Result<()> {
        let root = self.root_now()?;
        self.write_object(&root, name, data).map_err(|e| self.object_error("write", &name.to_string(), e))
    }

    fn get_object(&self, name: &ObjectName, most: u64) -> std::result::Result<Option<Vec<u8>>, GetError> {
        let (root, name) = (self.root_now().map_err(GetError::Store)?, name.to_string());
        let unreadable = |why: String| GetError::Unreadable(format!("cannot be read: {why}"));
        match Self::read_object(&root, &name, most) {
            Ok(Some(data)) if data.len() as u64 > most => {
                Err(unreadable(format!("it has more than {most} bytes")))
            }
            Ok(Some(data)) => Ok(Some(data)),
            Ok(None) => Err(unreadable("it is not a file".to_owned())),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) if is(&e, Errno::LOOP) => Err(unreadable("it is a symbolic link".to_owned())),
            Err(e) if is_of_one_file(&e) => Err(unreadable(of_system(&e))),
            Err(e) => Err(GetError::Store(self.object_error("read", &name, e))),
        }
    }

    fn delete_object(&self, name: &ObjectName) -> Result<()> {
        let root = self.root_now()?;
        let removed = self.folder_of(&root, name, false).and_then(|folder| folder.remove(&name.last_part()));
        match removed {
            Err(e) if !is_missing(&e) => Err(self.object_error("delete", &name.to_string(), e)),
            _ => Ok(()),
        }
    }

    fn list_objects(
        &self,
        folder: ObjectFolder,
        after: Option<&ObjectName>,
        each: &mut dyn FnMut(&ObjectName) -> Result<()>,
    ) -> Result<()> {
        let root = self.root_now()?;
        let opened = root.folder_at(Path::new(folder.text()));
        let (opened, names) = match opened.and_then(|opened| opened.names().map(|names| (opened, names))) {
            Err(e) if is_missing(&e) => return Ok(()),
            done => done.map_err(|e| self.object_error("list", folder.text(), e))?,
        };
        let mut objects: Vec<ObjectName> = Vec::new();
        for name in names {
            match folder.object(&name) {
                Some(object) => {
                    objects.extend(Some(object).filter(|object| after.is_none_or(|after| object > after)))
                }
                None if name.ends_with(TEMPORARY) => remove_if_stale(&opened, &name),
                None => {}
            }
        }
        objects.sort();
        objects.iter().try_for_each(each)
    }
}
