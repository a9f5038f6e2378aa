//! One version as an image that can be read and written.

use super::ahead::Streams;
use super::cache::{Found, Key, Slot, Ticket};
use super::overlay::{Held, Overlay};
use super::rows::{Place, Rows};
use super::{Depot, Fault};
use crate::flow::fetch::{Damage, Plain};
use crate::flow::loader::Request;
use crate::locks::Guard;
use crate::monitor::Level;
use crate::sys::memory;
use crate::types::block::{Blob, Geometry};
use crate::types::keys::BlobId;
use crate::types::remedy::Remedy;
use crate::types::version::Version;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Limit of the read-ahead for a sequential reader, in bytes and in blocks. It is also limited to a quarter of the
/// cache.
const AHEAD: u64 = 64 << 20;
const AHEAD_BLOCKS: u64 = 256;

/// The kind of a range of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Data, or unknown.
    Data,
    /// Zeros that take no space in the version.
    Hole,
    /// Zeros that were written to the image.
    Zero,
}

/// Ranges of an image in bytes, in order and without gaps. Neighbours are of different kinds.
pub type Extents = Vec<(Range<u64>, Extent)>;

/// An opened version. Later reads see earlier writes. Writes never change the version and are lost when the image is
/// dropped.
pub struct Image {
    depot: Arc<Depot>,
    version: Version,
    geometry: Geometry,
    rows: Rows,
    streams: Streams,
    overlay: OnceLock<Overlay>,
    /// Held while a thread creates the overlay.
    making: Mutex<()>,
    _pin: Guard,
}

impl Image {
    pub(super) fn new(
        depot: Arc<Depot>,
        version: Version,
        plain: Plain,
        geometry: Geometry,
        pin: Guard,
    ) -> Self {
        Image {
            rows: Rows::new(version.clone(), geometry.blocks(), plain),
            depot,
            version,
            geometry,
            streams: Streams::default(),
            overlay: OnceLock::new(),
            making: Mutex::default(),
            _pin: pin,
        }
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Size of the image in bytes.
    pub fn size(&self) -> u64 {
        self.geometry.size_bytes()
    }

    /// Whether anything was written to the image.
    pub fn is_changed(&self) -> bool {
        self.overlay.get().is_some()
    }

    /// Makes sure that the written data can be read back.
    ///
    /// # Errors
    /// Some of it could not be written to the disk and is lost.
    pub fn arrived(&self) -> std::io::Result<()> {
        self.overlay.get().map_or(Ok(()), Overlay::arrived)
    }

    /// The ranges that were written to, in bytes, ascending.
    pub fn changed(&self) -> Vec<Range<u64>> {
        self.overlay.get().map(Overlay::held).unwrap_or_default()
    }

    /// Disk space of the written data in bytes. Zeroed ranges do not count.
    pub fn written_bytes(&self) -> u64 {
        self.overlay.get().map_or(0, Overlay::data_bytes)
    }

    /// Fills `buffer` with the data at `offset`. Waits for blocks that are not in memory.
    ///
    /// # Errors
    /// [`Fault::Range`]; [`Fault::Data`], only if the range touches a bad block; [`Fault::Overlay`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        self.check(offset, buffer.len() as u64)?;
        let Some(overlay) = self.overlay.get() else { return self.read_base(offset, buffer) };
        for range in overlay.read(offset, buffer)? {
            let part = (range.start - offset) as usize..(range.end - offset) as usize;
            self.read_base(range.start, &mut buffer[part])?;
        }
        Ok(())
    }

    /// Calls `give` with the data at `offset`. Does not copy the data if it lies in one block that was not written
    /// to. `scratch` is a buffer for reuse.
    ///
    /// # Errors
    /// As [`Image::read_at`].
    pub fn read_with<R>(
        &self,
        offset: u64,
        length: usize,
        scratch: &mut Vec<u8>,
        give: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Fault> {
        self.check(offset, length as u64)?;
        let id = offset / u64::from(self.geometry.block_size());
        let at = (offset - self.geometry.offset(id)) as usize;
        let range = offset..offset + length as u64;
        let is_plain = self.overlay.get().is_none_or(|overlay| !overlay.holds_any(range));
        if length > 0
            && is_plain
            && at + length <= self.geometry.length(id)
            && let Some(data) = self.block(id)?
        {
            return Ok(give(&data[at..at + length]));
        }
        // If there is not enough memory for a large request, the server must go on.
        let more = length.saturating_sub(scratch.len());
        memory::reserve(scratch, more).map_err(|e| Fault::Data(e.line()))?;
        scratch.resize(length, 0);
        self.read_at(offset, scratch)?;
        Ok(give(scratch))
    }

    /// Writes `data` at `offset`, into the overlay.
    ///
    /// # Errors
    /// [`Fault::Range`], [`Fault::ReadOnly`], [`Fault::Full`], [`Fault::Overlay`]; [`Fault::Data`] if a page of 4 KiB
    /// is written in part and the rest of it cannot be read.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Fault> {
        self.check(offset, data.len() as u64)?;
        self.overlay()?.write(offset, data, &|at, buffer| self.read_base(at, buffer))
    }

    /// Fills a range with zeros. Frees its disk space if the file system can do that.
    ///
    /// # Errors
    /// As [`Image::write_at`].
    pub fn zero(&self, range: Range<u64>) -> Result<(), Fault> {
        self.check(range.start, range.end.saturating_sub(range.start))?;
        self.overlay()?.zero(range, &|at, buffer| self.read_base(at, buffer))
    }

    /// Does nothing. Written data is temporary and does not outlive the process, so there is nothing to wait for.
    ///
    /// # Errors
    /// None.
    pub fn flush(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// The kinds of `range`, as at most `most` extents from its start. The result may end before `range` does; the
    /// caller may then ask for the rest.
    ///
    /// # Errors
    /// [`Fault::Range`]; [`Fault::Data`] if the database fails.
    pub fn extents(&self, range: Range<u64>, most: usize) -> Result<Extents, Fault> {
        self.check(range.start, range.end.saturating_sub(range.start))?;
        let mut found: Extents = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (extent, end) = self.extent(at..range.end)?;
            let count = found.len();
            match found.last_mut() {
                Some((last, kind)) if *kind == extent => last.end = end,
                _ if count >= most => break,
                _ => found.push((at..end, extent)),
            }
            at = end;
        }
        Ok(found)
    }

    fn extent(&self, range: Range<u64>) -> Result<(Extent, u64), Fault> {
        let (held, end) = match self.overlay.get() {
            Some(overlay) => overlay.state(range.clone()),
            None => (Held::No, range.end),
        };
        match held {
            Held::Data => return Ok((Extent::Data, end)),
            Held::Zero => return Ok((Extent::Zero, end)),
            Held::No => {}
        }
        let id = range.start / u64::from(self.geometry.block_size());
        let extent = match self.place(id)? {
            Place::Hole => Extent::Hole,
            Place::Blob(_) | Place::Missing | Place::Refused(_) => Extent::Data,
        };
        Ok((extent, self.geometry.offset(id + 1).min(end)))
    }

    fn check(&self, offset: u64, length: u64) -> Result<(), Fault> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(Fault::Range),
        }
    }

    fn overlay(&self) -> Result<&Overlay, Fault> {
        let folder = self.depot.overlays.as_ref().ok_or(Fault::ReadOnly)?;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.overlay.get().is_none() {
            let made = Overlay::create(folder, self.size()).inspect_err(|error| {
                let (uid, folder) = (&self.version.uid, folder.display());
                let text = format!("Version {uid} cannot be written: cachedir {folder}: {error}");
                self.depot.advise(Level::Error, text, &[]);
            })?;
            let _ = self.overlay.set(made);
        }
        self.overlay.get().ok_or(Fault::ReadOnly)
    }

    fn read_base(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let size = u64::from(self.geometry.block_size());
        let end = offset + buffer.len() as u64;
        let (first, behind) = (offset / size, end.div_ceil(size));
        // Request all blocks at once, then wait for them one by one.
        for id in first + 1..behind {
            self.ask_for(id)?;
        }
        for id in first..behind {
            let start = self.geometry.offset(id);
            let part = start.max(offset)..(start + size).min(end);
            let into = &mut buffer[(part.start - offset) as usize..(part.end - offset) as usize];
            match self.block(id)? {
                Some(data) => {
                    into.copy_from_slice(&data[(part.start - start) as usize..(part.end - start) as usize]);
                }
                None => into.fill(0),
            }
        }
        Ok(())
    }

    /// The data of a block, or `None` if it is zeros. Also starts the read-ahead.
    fn block(&self, id: u64) -> Result<Option<Arc<Vec<u8>>>, Fault> {
        let blob = match self.place(id)? {
            Place::Blob(blob) => blob,
            Place::Hole => return Ok(None),
            Place::Missing => {
                let uid = &self.version.uid;
                let text = format!("Version {uid} is incomplete: block {id} was never stored.");
                return Err(self.reported(text, &[]));
            }
            Place::Refused(blob) => {
                let (uid, damage) = (&self.version.uid, Damage::Plain);
                let text = format!("Version {uid}: block {id} (UID {}) is bad: {damage}.", blob.uid);
                return Err(self.reported(text, &[]));
            }
        };
        let found = match self.depot.cache.claim(self.key(id, blob.id)) {
            Found::Ready(data) => Ok(data),
            Found::Coming(slot) => Err(slot),
            Found::Absent(ticket, slot, buffer) => {
                self.depot.loader.load(self.request(id, &blob, ticket, buffer));
                Err(slot)
            }
        };
        self.fetch_ahead(id);
        let data = found.or_else(|slot: Arc<Slot>| slot.wait()).map_err(Fault::Data)?;
        Ok(Some(data))
    }

    fn fetch_ahead(&self, id: u64) {
        let bytes = AHEAD.min(self.depot.cache.limit() / 4);
        let most = (bytes / u64::from(self.geometry.block_size())).clamp(1, AHEAD_BLOCKS);
        for ahead in self.streams.note(id, most) {
            // Ignore errors. A later read of this block will report them.
            if ahead >= self.geometry.blocks() || self.ask_for(ahead).is_err() {
                return;
            }
        }
    }

    /// Requests a block that no reader waits for yet.
    fn ask_for(&self, id: u64) -> Result<(), Fault> {
        if let Place::Blob(blob) = self.place(id)?
            && let Found::Absent(ticket, _, buffer) = self.depot.cache.claim(self.key(id, blob.id))
        {
            self.depot.loader.load_ahead(self.request(id, &blob, ticket, buffer));
        }
        Ok(())
    }

    fn place(&self, id: u64) -> Result<Place, Fault> {
        let found = self.rows.place(&self.depot.meta, id);
        found.map_err(|error| self.reported(error.line(), error.remedies()))
    }

    /// Reports an error to the monitor, and returns it for the client.
    fn reported(&self, text: String, remedies: &[Remedy]) -> Fault {
        self.depot.advise(Level::Error, text.clone(), remedies);
        Fault::Data(text)
    }

    fn key(&self, id: u64, blob: BlobId) -> Key {
        Key { blob, length: self.geometry.length(id) }
    }

    fn request(&self, id: u64, blob: &Blob, taker: Ticket, buffer: Vec<u8>) -> Request<Ticket> {
        let (version, length) = (self.version.uid.clone(), self.geometry.length(id));
        Request { version, id, blob: blob.clone(), length, buffer, taker }
    }
}
