//! Versions as exports, and one version that a client has open.

use super::protocol::{Errno, MAX_STRING, transmission_flag};
use crate::config::Config;
use crate::engine::copy_on_write::{Copy, CopyNaming};
use crate::engine::image::{Depot, Extent, Extents, Fault, Image};
use crate::monitor::{Level, Monitor};
use crate::sys::memory;
use crate::types::error::{Error, Result};
use crate::types::remedy::Remedy;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Sizes are rounded up to this many bytes, the largest sector size that clients expect.
const SECTOR: u64 = 4096;

/// The versions that are served, and the way in which they are.
pub(super) struct Exports<'a> {
    /// Opens the versions.
    pub depot: Arc<Depot>,
    /// Settings for the versions that store what clients write.
    pub config: &'a Config,
    /// The names of those versions.
    pub copies: CopyNaming,
    /// Receives messages and progress.
    pub monitor: &'a dyn Monitor,
    /// The only version that is served, which clients need not name. `None` serves all.
    pub only: Option<VersionUid>,
}

impl<'a> Exports<'a> {
    /// All versions that are served, by name and date. Leaves out a version whose uid the protocol cannot transmit, and
    /// warns of it once.
    ///
    /// # Errors
    /// The database fails.
    pub(super) fn list(&self) -> Result<Vec<Version>> {
        let mut versions = match &self.only {
            Some(uid) => return Ok(vec![self.depot.version(uid)?]),
            None => self.depot.versions()?,
        };
        versions.retain(|version| {
            let uid = version.uid.as_str();
            let fits = uid.len() <= MAX_STRING && !uid.contains('\0');
            if !fits {
                let text = format!(
                    "The version with the uid {uid:?} is not listed: this uid cannot be the name of an export."
                );
                self.depot.warn_once(text, &[]);
            }
            fits
        });
        Ok(versions)
    }

    /// The version that an export name means: a uid, or anything that the command line accepts.
    ///
    /// # Errors
    /// No version or several match; the database fails.
    pub(super) fn find(&self, name: &str) -> Result<Version> {
        let Some(uid) = &self.only else { return self.depot.find(name) };
        if name.is_empty() || *uid == name {
            return self.depot.version(uid);
        }
        match self.depot.find(name) {
            Ok(version) if version.uid == *uid => Ok(version),
            _ => Err(Error::VersionNotFound(name.to_owned())),
        }
    }

    /// Opens a version for one client.
    ///
    /// # Errors
    /// As [`Depot::open`].
    pub(super) fn open(&self, version: &Version) -> Result<Export<'a>> {
        let image = self.depot.open(&version.uid).inspect_err(|error| {
            if let Error::Refused(_) = error {
                self.depot.advise(Level::Error, error.line(), error.remedies());
            }
        })?;
        let read_only = self.is_read_only(version);
        let copy = Mutex::new(CopyState::Untouched);
        let copies = self.copies.clone();
        Ok(Export { image, read_only, copy, copies, config: self.config, monitor: self.monitor })
    }

    /// The size in bytes and the transmission flags of the export that a client calls `name`.
    pub(super) fn facts(&self, version: &Version, name: &str, structured: bool) -> (u64, u16) {
        use transmission_flag::*;
        let mut flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA;
        // Each connection that writes has its own copy, so one connection does not see what another writes. And a
        // name may mean another version at the next connection.
        let is_fixed = self.only.is_some() || version.uid == name;
        flags |= if !self.is_read_only(version) {
            SEND_TRIM | SEND_WRITE_ZEROES
        } else if is_fixed {
            READ_ONLY | CAN_MULTI_CONN
        } else {
            READ_ONLY
        };
        if structured {
            flags |= SEND_DF;
        }
        (rounded(version.size_bytes), flags)
    }

    /// Writes are stored as a copy of the version, and an invalid version cannot be copied.
    fn is_read_only(&self, version: &Version) -> bool {
        !self.depot.is_writable() || !version.valid
    }
}

fn rounded(size: u64) -> u64 {
    size.next_multiple_of(SECTOR)
}

/// A version that one client has open.
pub(super) struct Export<'a> {
    image: Image,
    read_only: bool,
    copy: Mutex<CopyState<'a>>,
    copies: CopyNaming,
    config: &'a Config,
    monitor: &'a dyn Monitor,
}

/// The state of the copy that stores the client's writes.
enum CopyState<'a> {
    Untouched,
    Begun(Box<Copy<'a>>),
    Failed,
}

impl<'a> Export<'a> {
    /// Size in bytes, with the zeros that pad the image to a whole sector.
    pub(super) fn size(&self) -> u64 {
        rounded(self.image.size())
    }

    /// Whether clients cannot write to it.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The version.
    pub(super) fn version(&self) -> &Version {
        self.image.version()
    }

    /// Calls `give` with the data at `offset`. Data within one block is passed without copying.
    ///
    /// # Errors
    /// The number for the client, and a text.
    pub(super) fn read<R>(
        &self,
        offset: u64,
        length: usize,
        scratch: &mut Vec<u8>,
        give: impl FnOnce(&[u8]) -> R,
    ) -> std::result::Result<R, (Errno, String)> {
        let there = self.image.size().saturating_sub(offset).min(length as u64) as usize;
        let read = if there == length {
            self.image.read_with(offset, length, scratch, give)
        } else {
            scratch.clear();
            memory::reserve(scratch, length).map_err(|e| (Errno::Io, e.line()))?;
            scratch.resize(length, 0);
            let inside = if there == 0 { Ok(()) } else { self.image.read_at(offset, &mut scratch[..there]) };
            inside.map(|()| give(scratch))
        };
        read.map_err(|fault| (errno(&fault), fault.to_string()))
    }

    /// The data and holes of a range, from its beginning on: at most `most` extents.
    ///
    /// # Errors
    /// As [`Export::read`].
    pub(super) fn extents(
        &self,
        range: Range<u64>,
        most: usize,
    ) -> std::result::Result<Extents, (Errno, String)> {
        let size = self.image.size();
        let mut found: Extents = Vec::new();
        if range.start < size {
            let inside = range.start..range.end.min(size);
            found = self.image.extents(inside, most).map_err(|fault| (errno(&fault), fault.to_string()))?;
        }
        let reached = found.last().map_or(range.start, |(last, _)| last.end);
        if reached >= size && reached < range.end {
            let room = found.len() < most;
            match found.last_mut() {
                Some((last, Extent::Hole)) => last.end = range.end,
                _ if room => found.push((reached..range.end, Extent::Hole)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Writes data into the copy; the first write begins the copy.
    ///
    /// # Errors
    /// The number for the client. Only zeros can be written beyond the end of the image.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> std::result::Result<(), Errno> {
        if !data.is_empty() || self.read_only {
            self.begin_copy()?;
        }
        let there = self.image.size().saturating_sub(offset).min(data.len() as u64) as usize;
        let (inside, behind) = data.split_at(there);
        if behind.iter().any(|byte| *byte != 0) {
            return Err(Errno::NoSpc);
        }
        if inside.is_empty() {
            Ok(())
        } else {
            self.image.write_at(offset, inside).map_err(|fault| errno(&fault))
        }
    }

    /// Overwrites a range with zeros.
    ///
    /// # Errors
    /// As [`Export::write`].
    pub(super) fn zero(&self, range: Range<u64>) -> std::result::Result<(), Errno> {
        if !range.is_empty() || self.read_only {
            self.begin_copy()?;
        }
        let end = range.end.min(self.image.size());
        if range.start < end {
            self.image.zero(range.start..end).map_err(|fault| errno(&fault))
        } else {
            Ok(())
        }
    }

    /// Makes the writes as safe as they can be before the client leaves.
    ///
    /// # Errors
    /// As [`Export::write`].
    pub(super) fn flush(&self) -> std::result::Result<(), Errno> {
        self.image.flush().map_err(|fault| errno(&fault))
    }

    fn begin_copy(&self) -> std::result::Result<(), Errno> {
        if self.read_only {
            return Err(Errno::Perm);
        }
        let mut state = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        if let CopyState::Untouched = *state {
            *state = match Copy::begin(self.config, self.monitor, self.version(), &self.copies) {
                Ok(copy) => {
                    self.monitor.info(&format!(
                        "A client writes to version {}: its changes become version {}.",
                        self.version().uid,
                        copy.version().uid
                    ));
                    CopyState::Begun(Box::new(copy))
                }
                Err(error) => {
                    let text = format!("Version {} cannot be written: {}", self.version().uid, error.line());
                    self.monitor.advise(Level::Error, &text, error.remedies());
                    CopyState::Failed
                }
            };
        }
        match *state {
            CopyState::Failed => Err(Errno::Io),
            _ => Ok(()),
        }
    }

    /// Stores what the client has written, once it has left.
    pub(super) fn finish(self) {
        let CopyState::Begun(copy) = self.copy.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return;
        };
        let uid = copy.version().uid.clone();
        match copy.complete(&self.image) {
            Ok(made) => {
                let written = made.run.statistics.written;
                self.monitor.info(&format!(
                    "Version {uid} is complete: it has a client's changes to version {}. New blocks: {}.",
                    self.image.version().uid,
                    written.blocks
                ));
            }
            Err(error) => {
                let original = &self.image.version().uid;
                let text = format!(
                    "A client's changes to version {original} could not be stored and are lost: {}",
                    error.line()
                );
                self.monitor.advise(Level::Error, &text, error.remedies());
                let text = format!("Version {uid} stays incomplete.");
                self.monitor.advise(Level::Error, &text, &[Remedy::RemoveIncomplete(uid)]);
            }
        }
    }
}

/// The number that tells a client of a fault.
fn errno(fault: &Fault) -> Errno {
    match fault {
        Fault::Data(_) | Fault::Overlay(_) => Errno::Io,
        Fault::Range => Errno::Inval,
        Fault::ReadOnly => Errno::Perm,
        Fault::Full => Errno::NoSpc,
    }
}
