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

/// `LIBRADOS_OP_FLAG_FADVISE_SEQUENTIAL` and `…_DONTNEED`: more comes behind it, and no cache need keep it.
const ONCE: c_int = 0x8 | 0x20;
/// `ERANGE`: a list is longer than there is room for.
const RANGE: i32 = 34;
/// What a callback returns to end a diff early; `ECANCELED`.
const STOP: c_int = -125;

/// An image, or a snapshot of one. Several threads may read and write at the same time.
pub struct Image {
    pool: Arc<Pool>,
    handle: Handle,
}

// SAFETY: librbd's calls on an open image may come from several threads at once; nothing of ours is behind it.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

/// A snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number, which no other snapshot in the pool ever gets.
    pub id: u64,
    /// Its name, which may be changed and given again.
    pub name: String,
}

impl Image {
    /// Opens the image `name` for reading.
    ///
    /// # Errors
    /// There is no such image, or what librbd says.
    pub fn open_read_only(pool: &Arc<Pool>, name: &str) -> io::Result<Self> {
        let name = c_string(name)?;
        let mut handle = null_mut();
        // SAFETY: the context is a live one; the name ends in NUL, and lives until the call returns; the null pointer
        // means that it is opened at no snapshot; `handle` is where the call puts the image.
        check(unsafe {
            (pool.functions().rbd_open_read_only)(pool.context, name.as_ptr(), &mut handle, null())
        })?;
        Ok(Image { pool: Arc::clone(pool), handle })
    }

    /// Makes this the image as it was at a snapshot. To be opened at one right away, an image needs object maps in good
    /// order, and this way it does not.
    ///
    /// # Errors
    /// There is none of that name, or what librbd says.
    pub fn at_snapshot(self, name: &str) -> io::Result<Self> {
        self.with_name(name, self.functions().rbd_snap_set)?;
        Ok(self)
    }

    /// Opens the image `name` for reading and writing.
    ///
    /// # Errors
    /// There is no such image, or what librbd says.
    pub fn open(pool: &Arc<Pool>, name: &str) -> io::Result<Self> {
        let name = c_string(name)?;
        let mut handle = null_mut();
        // SAFETY: as above.
        check(unsafe { (pool.functions().rbd_open)(pool.context, name.as_ptr(), &mut handle, null()) })?;
        Ok(Image { pool: Arc::clone(pool), handle })
    }

    fn functions(&self) -> &'static Functions {
        self.pool.functions()
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// What librbd says.
    pub fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        // SAFETY: the image is open, and `size` is where the call puts the size.
        check(unsafe { (self.functions().rbd_get_size)(self.handle, &mut size) })?;
        Ok(size)
    }

    /// Its identity within the pool, which stays when it is renamed.
    ///
    /// # Errors
    /// What librbd says.
    pub fn id(&self) -> io::Result<String> {
        let mut text = [0_u8; 256];
        // SAFETY: the call writes at most the number of bytes that it is told, NUL included, into a buffer of that
        // size.
        check(unsafe { (self.functions().rbd_get_id)(self.handle, text.as_mut_ptr().cast(), text.len()) })?;
        let text = CStr::from_bytes_until_nul(&text).map_err(io::Error::other)?;
        Ok(text.to_string_lossy().into_owned())
    }

    /// Reads into `buf` from `offset` (bytes). Returns how much was there: less only at the end of the image.
    ///
    /// # Errors
    /// What librbd says.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the image is open, and the call writes at most `buf.len()` bytes into `buf`.
        check_length(unsafe {
            (self.functions().rbd_read2)(self.handle, offset, buf.len(), buf.as_mut_ptr().cast(), ONCE)
        })
    }

    /// Writes all of `data` at `offset` (bytes).
    ///
    /// # Errors
    /// What librbd says; the image may be written in part.
    pub fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // SAFETY: the image is open, and the call reads `data.len()` bytes of `data`, before it returns.
        let written = check_length(unsafe {
            (self.functions().rbd_write2)(self.handle, offset, data.len(), data.as_ptr().cast(), ONCE)
        })?;
        if written == data.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Makes `range` (bytes, within the image) read as zeros, giving back the space where that is possible.
    ///
    /// # Errors
    /// What librbd says.
    pub fn write_zeroes(&self, range: Range<u64>) -> io::Result<()> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        // SAFETY: the image is open; the call takes numbers only.
        check_length(unsafe {
            (self.functions().rbd_write_zeroes)(self.handle, range.start, length, 0, ONCE)
        })
        .map(drop)
    }

    /// Returns once all that was written is stored.
    ///
    /// # Errors
    /// What librbd says, also of writes that were only cached so far.
    pub fn flush(&self) -> io::Result<()> {
        // SAFETY: the image is open.
        check(unsafe { (self.functions().rbd_flush)(self.handle) }).map(drop)
    }

    /// Calls `each` for the extents (offset, length, whether there is data) in which `range` (bytes) differs from
    /// the snapshot `from`; without one, those that hold data, of the parent of a clone too. Extents are whole objects.
    ///
    /// # Errors
    /// What librbd says.
    pub fn diff(
        &self,
        from: Option<&str>,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, u64, bool),
    ) -> io::Result<()> {
        /// `each`, and whether it has panicked.
        struct Call<'a> {
            each: &'a mut dyn FnMut(u64, u64, bool),
            panicked: bool,
        }

        unsafe extern "C" fn extent(offset: u64, length: usize, exists: c_int, call: *mut c_void) -> c_int {
            // SAFETY: the pointer is the one that is handed in below; librbd calls this one extent after the other
            // and not after rbd_diff_iterate2 has returned, so that this is the only reference.
            let call = unsafe { &mut *call.cast::<Call>() };
            // A panic must not go through frames of C++.
            let called = catch_unwind(AssertUnwindSafe(|| (call.each)(offset, length as u64, exists != 0)));
            call.panicked |= called.is_err();
            if called.is_ok() { 0 } else { STOP }
        }

        let from_name = from.map(c_string).transpose()?;
        let from_pointer = from_name.as_ref().map_or(null(), |text| text.as_ptr());
        let mut call = Call { each, panicked: false };
        let include_parent = u8::from(from.is_none());
        // SAFETY: the image is open; `from` ends in NUL or is null, which means the beginning of time; `extent` has
        // the signature that is asked for, and `call` outlives the call.
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
    /// What librbd says.
    pub fn snapshots(&self) -> io::Result<Vec<Snapshot>> {
        let mut room: c_int = 16;
        loop {
            let capacity = usize::try_from(room).map_err(io::Error::other)?;
            let mut list = vec![SnapInfo { id: 0, size: 0, name: null() }; capacity];
            // SAFETY: the image is open, and `list` has room for the number of entries that the call is told; it
            // writes that of those there are to `room`.
            let found =
                check(unsafe { (self.functions().rbd_snap_list)(self.handle, list.as_mut_ptr(), &mut room) });
            let found = match found {
                Err(e) if e.raw_os_error() == Some(RANGE) => continue,
                found => usize::try_from(found?).unwrap_or(0).min(capacity),
            };
            let text = |name: *const c_char| {
                // SAFETY: the call has set the names of the entries that it found to strings that end in NUL, which
                // live until rbd_snap_list_end.
                unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
            };
            let snapshots = list[..found].iter().map(|s| Snapshot { id: s.id, name: text(s.name) }).collect();
            if found > 0 {
                // SAFETY: the list was filled by rbd_snap_list, and no name of it is used any more. It has an entry
                // without a name at its end, as the call needs: what was found is fewer than there is room for.
                unsafe { (self.functions().rbd_snap_list_end)(list.as_mut_ptr()) };
            }
            return Ok(snapshots);
        }
    }

    /// The addresses of those that have the image open for writing, by `rbd map` or in a virtual machine. One that
    /// was killed stays in the list for half a minute.
    ///
    /// # Errors
    /// What librbd says.
    pub fn watchers(&self) -> io::Result<Vec<String>> {
        let mut room = 16_usize;
        loop {
            let capacity = room;
            let mut list = vec![Watcher { address: null(), id: 0, cookie: 0 }; capacity];
            // SAFETY: the image is open, and `list` has room for the number of entries that the call is told; it
            // writes that of those there are to `room`.
            let code = check(unsafe {
                (self.functions().rbd_watchers_list)(self.handle, list.as_mut_ptr(), &mut room)
            });
            match code {
                Err(e) if e.raw_os_error() == Some(RANGE) && room > capacity => continue,
                other => other.map(drop)?,
            }
            let found = room.min(capacity);
            let text = |address: *const c_char| {
                // SAFETY: the call has set the addresses of the entries that it found to strings that end in NUL,
                // which live until rbd_watchers_list_cleanup.
                unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
            };
            let addresses = list[..found].iter().map(|watcher| text(watcher.address)).collect();
            // SAFETY: the first `found` entries were filled by rbd_watchers_list, and are not used any more.
            unsafe { (self.functions().rbd_watchers_list_cleanup)(list.as_mut_ptr(), found) };
            return Ok(addresses);
        }
    }

    /// When the snapshot of that number was made, in nanoseconds since 1970.
    ///
    /// # Errors
    /// What librbd says.
    pub fn snapshot_time(&self, id: u64) -> io::Result<i64> {
        let mut time = Timespec::default();
        // SAFETY: the image is open, and `time` is a timespec for the call to fill.
        check(unsafe { (self.functions().rbd_snap_get_timestamp)(self.handle, id, &mut time) })?;
        Ok(time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanoseconds))
    }

    /// Makes a snapshot. The image must be open for writing.
    ///
    /// # Errors
    /// There is one of that name, or what librbd says.
    pub fn create_snapshot(&self, name: &str) -> io::Result<()> {
        self.with_name(name, self.functions().rbd_snap_create)
    }

    /// Removes a snapshot. The image must be open for writing.
    ///
    /// # Errors
    /// There is none of that name, it is protected, or what librbd says.
    pub fn remove_snapshot(&self, name: &str) -> io::Result<()> {
        self.with_name(name, self.functions().rbd_snap_remove)
    }

    fn with_name(
        &self,
        name: &str,
        call: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    ) -> io::Result<()> {
        let name: CString = c_string(name)?;
        // SAFETY: `call` is one of those that take an image and a name; the image is open, and the name ends in NUL and lives until the
        // call returns.
        check(unsafe { call(self.handle, name.as_ptr()) }).map(drop)
    }

    /// Whether a snapshot is protected from being removed.
    ///
    /// # Errors
    /// There is none of that name, or what librbd says.
    pub fn is_protected(&self, name: &str) -> io::Result<bool> {
        let name = c_string(name)?;
        let mut protected = 0;
        // SAFETY: the image is open, the name ends in NUL, and `protected` is where the call puts the answer.
        check(unsafe {
            (self.functions().rbd_snap_is_protected)(self.handle, name.as_ptr(), &mut protected)
        })?;
        Ok(protected != 0)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the image is open, nobody uses it any more, and it is not used again.
        unsafe { (self.functions().rbd_close)(self.handle) };
    }
}
