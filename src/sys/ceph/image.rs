//! An open image.
#![allow(unsafe_code)]

use super::library::{Functions, Handle, SnapInfo, Timespec, Watcher};
use super::{Pool, c_string, check, check_length};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// `LIBRADOS_OP_FLAG_FADVISE_SEQUENTIAL` and `…_DONTNEED`: access is sequential, and caches need not keep the data.
const ONCE: c_int = 0x8 | 0x20;
/// `ERANGE`: the buffer is too small for the list.
const RANGE: i32 = 34;
/// `ECANCELED`: a callback returns it to end a diff early.
const STOP: c_int = -125;

/// An image, or a snapshot of one. Several threads may read and write at the same time.
pub(crate) struct Image {
    pool: Arc<Pool>,
    handle: Handle,
}

// SAFETY: librbd allows calls on an open image from several threads at once, and the handle refers to none of our data.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

/// A snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The number of the snapshot. No other snapshot in the pool ever gets it.
    pub id: u64,
    /// The name of the snapshot. It may be changed, and another snapshot may get it later.
    pub name: String,
}

impl Image {
    /// Opens the image `name` for reading.
    ///
    /// # Errors
    /// There is no such image, or librbd reports another error.
    pub(crate) fn open_read_only(pool: &Arc<Pool>, name: &str) -> io::Result<Self> {
        let name = c_string(name)?;
        let mut handle = null_mut();
        // SAFETY: the context is live. The name ends in NUL and lives until the call returns. The null pointer means
        // that no snapshot is opened. The call stores the image in `handle`.
        check(unsafe {
            (pool.functions().rbd_open_read_only)(pool.context, name.as_ptr(), &mut handle, null())
        })?;
        Ok(Image { pool: Arc::clone(pool), handle })
    }

    /// Switches this image to its state at a snapshot. Opening the snapshot directly would need valid object maps. This
    /// way does not.
    ///
    /// # Errors
    /// There is no snapshot of that name, or librbd reports another error.
    pub(crate) fn at_snapshot(self, name: &str) -> io::Result<Self> {
        self.with_name(name, self.functions().rbd_snap_set)?;
        Ok(self)
    }

    /// Opens the image `name` for reading and writing.
    ///
    /// # Errors
    /// There is no such image, or librbd reports another error.
    pub(crate) fn open(pool: &Arc<Pool>, name: &str) -> io::Result<Self> {
        let name = c_string(name)?;
        let mut handle = null_mut();
        // SAFETY: as above.
        check(unsafe { (pool.functions().rbd_open)(pool.context, name.as_ptr(), &mut handle, null()) })?;
        Ok(Image { pool: Arc::clone(pool), handle })
    }

    fn functions(&self) -> &'static Functions {
        self.pool.functions()
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        // SAFETY: the image is open, and the call stores the size in `size`.
        check(unsafe { (self.functions().rbd_get_size)(self.handle, &mut size) })?;
        Ok(size)
    }

    /// The identity of the image within the pool. It stays the same when the image is renamed.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn id(&self) -> io::Result<String> {
        let mut text = [0_u8; 256];
        // SAFETY: the call writes at most `text.len()` bytes, NUL included, into `text`.
        check(unsafe { (self.functions().rbd_get_id)(self.handle, text.as_mut_ptr().cast(), text.len()) })?;
        let text = CStr::from_bytes_until_nul(&text).map_err(io::Error::other)?;
        Ok(text.to_string_lossy().into_owned())
    }

    /// Reads into `buf` from `offset` (bytes). Returns the number of bytes read, which is smaller than `buf` only at
    /// the end of the image.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the image is open, and the call writes at most `buf.len()` bytes into `buf`.
        check_length(unsafe {
            (self.functions().rbd_read2)(self.handle, offset, buf.len(), buf.as_mut_ptr().cast(), ONCE)
        })
    }

    /// Writes all of `data` at `offset` (bytes).
    ///
    /// # Errors
    /// The error that librbd reports. Part of the data may have been written.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // SAFETY: the image is open, and the call reads `data.len()` bytes of `data` before it returns.
        let written = check_length(unsafe {
            (self.functions().rbd_write2)(self.handle, offset, data.len(), data.as_ptr().cast(), ONCE)
        })?;
        if written == data.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Makes `range` (bytes, within the image) read as zeros, and frees its space where possible.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn write_zeroes(&self, range: Range<u64>) -> io::Result<()> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        // SAFETY: the image is open, and the call takes only numbers.
        check_length(unsafe {
            (self.functions().rbd_write_zeroes)(self.handle, range.start, length, 0, ONCE)
        })
        .map(drop)
    }

    /// Returns once all written data is stored.
    ///
    /// # Errors
    /// The error that librbd reports, also for earlier writes that were only cached.
    pub(crate) fn flush(&self) -> io::Result<()> {
        // SAFETY: the image is open.
        check(unsafe { (self.functions().rbd_flush)(self.handle) }).map(drop)
    }

    /// Calls `each` with the extents (offset, length, whether there is data) in which `range` (bytes) differs from the
    /// snapshot `from`. Without a snapshot, calls it with the extents that hold data, in the parent of a clone too.
    /// Extents are whole objects.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn diff(
        &self,
        from: Option<&str>,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, u64, bool),
    ) -> io::Result<()> {
        /// The callback, and whether it has panicked.
        struct Call<'a> {
            each: &'a mut dyn FnMut(u64, u64, bool),
            panicked: bool,
        }

        unsafe extern "C" fn extent(offset: u64, length: usize, exists: c_int, call: *mut c_void) -> c_int {
            // SAFETY: the pointer is the one passed in below. librbd makes these calls one after the other and none
            // after `rbd_diff_iterate2` has returned, so this is the only reference.
            let call = unsafe { &mut *call.cast::<Call>() };
            // A panic must not unwind through frames of C++.
            let called = catch_unwind(AssertUnwindSafe(|| (call.each)(offset, length as u64, exists != 0)));
            call.panicked |= called.is_err();
            if called.is_ok() { 0 } else { STOP }
        }

        let from_name = from.map(c_string).transpose()?;
        let from_pointer = from_name.as_ref().map_or(null(), |text| text.as_ptr());
        let mut call = Call { each, panicked: false };
        let include_parent = u8::from(from.is_none());
        // SAFETY: the image is open. `from` ends in NUL, or is null, which means the beginning of time. `extent` has
        // the required signature, and `call` outlives the call.
        let code = unsafe {
            (self.functions().rbd_diff_iterate2)(
                self.handle,
                from_pointer,
                range.start,
                range.end.saturating_sub(range.start),
                include_parent,
                1,
                extent,
                (&raw mut call).cast(),
            )
        };
        if call.panicked {
            return Err(io::Error::other("a callback failed"));
        }
        check(code).map(drop)
    }

    /// The snapshots of the image.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn snapshots(&self) -> io::Result<Vec<Snapshot>> {
        let mut room: c_int = 16;
        loop {
            let capacity = usize::try_from(room).map_err(io::Error::other)?;
            let mut list = vec![SnapInfo { id: 0, size: 0, name: null() }; capacity];
            // SAFETY: the image is open, and `list` has room for `room` entries. The call stores the number of existing
            // snapshots in `room`.
            let found =
                check(unsafe { (self.functions().rbd_snap_list)(self.handle, list.as_mut_ptr(), &mut room) });
            let found = match found {
                Err(e) if e.raw_os_error() == Some(RANGE) => continue,
                found => usize::try_from(found?).unwrap_or(0).min(capacity),
            };
            let text = |name: *const c_char| {
                // SAFETY: the call has set the names of the entries that it found to strings that end in NUL. They live
                // until `rbd_snap_list_end`.
                unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
            };
            let snapshots = list[..found].iter().map(|s| Snapshot { id: s.id, name: text(s.name) }).collect();
            if found > 0 {
                // SAFETY: `rbd_snap_list` has filled the list, and its names are not used any more. The call stops at
                // an entry without a name, and the last one has none: the list has room for more than was found.
                unsafe { (self.functions().rbd_snap_list_end)(list.as_mut_ptr()) };
            }
            return Ok(snapshots);
        }
    }

    /// The addresses of the clients that have the image open for writing, through `rbd map` or in a virtual machine. A
    /// killed client stays in the list for half a minute.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn watchers(&self) -> io::Result<Vec<String>> {
        let mut room = 16_usize;
        loop {
            let capacity = room;
            let mut list = vec![Watcher { address: null(), id: 0, cookie: 0 }; capacity];
            // SAFETY: the image is open, and `list` has room for `room` entries. The call stores the number of existing
            // watchers in `room`.
            let code = check(unsafe {
                (self.functions().rbd_watchers_list)(self.handle, list.as_mut_ptr(), &mut room)
            });
            match code {
                Err(e) if e.raw_os_error() == Some(RANGE) && room > capacity => continue,
                other => other.map(drop)?,
            }
            let found = room.min(capacity);
            let text = |address: *const c_char| {
                // SAFETY: the call has set the addresses of the entries that it found to strings that end in NUL. They
                // live until `rbd_watchers_list_cleanup`.
                unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
            };
            let addresses = list[..found].iter().map(|watcher| text(watcher.address)).collect();
            // SAFETY: `rbd_watchers_list` has filled the first `found` entries, and they are not used any more.
            unsafe { (self.functions().rbd_watchers_list_cleanup)(list.as_mut_ptr(), found) };
            return Ok(addresses);
        }
    }

    /// When the snapshot with the number `id` was made, in nanoseconds since 1970.
    ///
    /// # Errors
    /// The error that librbd reports.
    pub(crate) fn snapshot_time(&self, id: u64) -> io::Result<i64> {
        let mut time = Timespec::default();
        // SAFETY: the image is open, and the call fills `time`, which is a `timespec`.
        check(unsafe { (self.functions().rbd_snap_get_timestamp)(self.handle, id, &mut time) })?;
        Ok(time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanoseconds))
    }

    /// Creates a snapshot. The image must be open for writing.
    ///
    /// # Errors
    /// A snapshot of that name exists, or librbd reports another error.
    pub(crate) fn create_snapshot(&self, name: &str) -> io::Result<()> {
        self.with_name(name, self.functions().rbd_snap_create)
    }

    /// Removes a snapshot. The image must be open for writing.
    ///
    /// # Errors
    /// There is no snapshot of that name, it is protected, or librbd reports another error.
    pub(crate) fn remove_snapshot(&self, name: &str) -> io::Result<()> {
        self.with_name(name, self.functions().rbd_snap_remove)
    }

    fn with_name(
        &self,
        name: &str,
        call: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    ) -> io::Result<()> {
        let name: CString = c_string(name)?;
        // SAFETY: `call` is a function that takes an image and a name. The image is open. The name ends in NUL and
        // lives until the call returns.
        check(unsafe { call(self.handle, name.as_ptr()) }).map(drop)
    }

    /// Whether a snapshot is protected from removal.
    ///
    /// # Errors
    /// There is no snapshot of that name, or librbd reports another error.
    pub(crate) fn is_protected(&self, name: &str) -> io::Result<bool> {
        let name = c_string(name)?;
        let mut protected = 0;
        // SAFETY: the image is open, the name ends in NUL, and the call stores the answer in `protected`.
        check(unsafe {
            (self.functions().rbd_snap_is_protected)(self.handle, name.as_ptr(), &mut protected)
        })?;
        Ok(protected != 0)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the image is open, nothing uses it any more, and nothing uses it afterwards.
        unsafe { (self.functions().rbd_close)(self.handle) };
    }
}
