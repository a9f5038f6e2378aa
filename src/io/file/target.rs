//! Writing files and block devices.

use super::device::Device;
use super::direct::Direct;
use super::{Medium, in_use, medium};
use crate::io::touched::Touched;
use crate::io::{Existing, Target, Zeroing, exists, target_error, too_small};
use crate::sys::{cache, device, durable, private};
use crate::types::error::Result;
use crate::types::reason::{Reason, because};
use crate::types::settings::FileMode;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of zeros in one write.
const PIECE: u64 = 1 << 20;

/// A regular file or block device as a target.
pub(crate) struct FileTarget {
    url: String,
    path: PathBuf,
    file: File,
    direct: Option<Direct>,
    medium: Backing,
    /// False once the file system has refused to punch holes.
    punches: AtomicBool,
}

/// How long to retry a device that is in use. Programs that scan all devices claim one briefly, and so does the kernel
/// when a loop device is set up.
const INSTANT: Duration = Duration::from_millis(500);

/// Opens a file. If it is a device in use, retries for a short time.
fn open_patiently(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let start = Instant::now();
    loop {
        match options.open(path) {
            Err(e) if e.kind() == ErrorKind::ResourceBusy && start.elapsed() < INSTANT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// The file or device behind a target.
enum Backing {
    /// A file that was created for this restore.
    New(Touched),
    /// A file that existed before.
    Old,
    Device(Device),
}

impl FileTarget {
    /// Opens the file or block device at `path` for an image of `size` bytes, or creates a file with that size and
    /// `mode`. Follows symbolic links. `url` is the user's name for it.
    ///
    /// # Errors
    /// [`crate::types::Error::TargetRefused`] if an existing target is not accepted or too small.
    /// [`crate::types::Error::Target`] if it is in use, is neither a file nor a block device, or cannot be opened,
    /// created or resized.
    pub(crate) fn open(
        url: &str,
        path: &Path,
        size: u64,
        existing: Existing,
        mode: FileMode,
    ) -> Result<Self> {
        let failed = |e: io::Error| target_error(url, because("the target cannot be opened", e));
        match std::fs::metadata(path) {
            Ok(metadata) => {
                let medium = medium(&metadata).map_err(|what| target_error(url, what))?;
                if existing == Existing::Refuse {
                    return Err(exists(url));
                }
                Self::open_existing(url, path, size, medium)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Self::create(url, path, size, mode),
            Err(e) => Err(failed(e)),
        }
    }

    fn create(url: &str, path: &Path, size: u64, mode: FileMode) -> Result<Self> {
        let file = private::create(path, mode).map_err(|e| target_error(url, why_not_created(path, e)))?;
        if let Err(e) = file.set_len(size) {
            // If the file stayed, the next attempt would be refused.
            let _ = std::fs::remove_file(path);
            return Err(target_error(url, because(format!("a file of {size} bytes cannot be created"), e)));
        }
        Ok(Self::new(url, path, file, Backing::New(Touched::new(size))))
    }

    fn open_existing(url: &str, path: &Path, size: u64, expected: Medium) -> Result<Self> {
        let failed = |e: io::Error| target_error(url, because("the target cannot be opened", e));
        let mut options = OpenOptions::new();
        options.write(true);
        if expected == Medium::Device {
            // For block devices without O_CREAT, the flag means: fail if anything else has claimed the device.
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        let file = open_patiently(&options, path).map_err(|e| match e.kind() {
            ErrorKind::ResourceBusy => target_error(
                url,
                "the device is in use: it is mounted, swapped to, or part of LVM, RAID or another mapping. \
                 Nothing was written. Release it first.",
            ),
            _ => failed(e),
        })?;
        let metadata = file.metadata().map_err(failed)?;
        let found = medium(&metadata).map_err(|what| target_error(url, what))?;
        if found != expected {
            return Err(target_error(
                url,
                "the target was replaced while it was opened; nothing was written",
            ));
        }
        if let Some(user) = in_use::user_of(&file, &metadata) {
            let what = if found == Medium::Device { "device" } else { "file" };
            return Err(target_error(url, format!("the {what} is in use: {user}. Nothing was written.")));
        }
        let (has, backing) = match found {
            Medium::Regular => (metadata.len(), Backing::Old),
            Medium::Device => (device::size(&file).map_err(failed)?, Backing::Device(Device::new(&file))),
        };
        if has < size {
            let help = match found {
                Medium::Regular => "Enlarge it, or remove it so that it is created",
                Medium::Device => "Enlarge it, or restore to another one",
            };
            return Err(too_small(url, has, size, help));
        }
        Ok(Self::new(url, path, file, backing))
    }

    fn new(url: &str, path: &Path, file: File, medium: Backing) -> Self {
        let punches = AtomicBool::new(true);
        let direct = Direct::for_writing(&file);
        FileTarget { url: url.to_owned(), path: path.to_owned(), file, direct, medium, punches }
    }

    /// Zeroes a range of a regular file.
    fn punch(&self, range: Range<u64>, zeroing: Zeroing) -> io::Result<bool> {
        if self.punches.load(Ordering::Relaxed) {
            match punch_hole(&self.file, &range) {
                Ok(()) => return Ok(true),
                Err(e) if is_unsupported(&e) => self.punches.store(false, Ordering::Relaxed),
                Err(e) => return Err(e),
            }
        }
        match zeroing {
            Zeroing::IfCheap => Ok(false),
            Zeroing::Always => write_zeros(&self.file, range).map(|()| true),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let done = self.direct.as_ref().map_or(Ok(0), |direct| direct.write(offset, data))?;
        let (offset, rest) = (offset + done as u64, &data[done..]);
        if !rest.is_empty() {
            self.file.write_all_at(rest, offset)?;
            // Starts writing now, so that the disk is busy meanwhile and the last flush has little left to do.
            cache::drop_behind(&self.file, offset..offset + rest.len() as u64);
        }
        Ok(())
    }

    fn flush_all(&self) -> io::Result<()> {
        self.file.sync_all()?;
        // Some remote file systems report only now that there was no room.
        durable::flush_as_close(&self.file)?;
        if let Backing::New(_) = self.medium
            && let Some(folder) = self.path.parent()
        {
            durable::sync_folder(folder)?;
        }
        Ok(())
    }
}

impl Target for FileTarget {
    fn url(&self) -> &str {
        &self.url
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        if let Backing::New(touched) = &self.medium {
            touched.touch(offset..offset.saturating_add(data.len() as u64));
        }
        self.write(offset, data).map_err(|e| {
            target_error(
                &self.url,
                because(format!("write error in the {} bytes at offset {offset}", data.len()), e),
            )
        })
    }

    fn zero(&self, range: Range<u64>, zeroing: Zeroing) -> Result<bool> {
        if range.is_empty() {
            return Ok(true);
        }
        match &self.medium {
            Backing::New(touched) if touched.is_untouched(range.clone()) => Ok(true),
            Backing::New(_) | Backing::Old => self.punch(range.clone(), zeroing),
            Backing::Device(device) => device.zero(&self.file, range.clone(), zeroing),
        }
        .map_err(|e| {
            let length = range.end - range.start;
            target_error(
                &self.url,
                because(format!("cannot zero the {length} bytes at offset {}", range.start), e),
            )
        })
    }

    fn flush(&self) -> Result<()> {
        self.flush_all().map_err(|e| target_error(&self.url, because("cannot flush it to disk", e)))?;
        // Restored data need not stay in the host's page cache.
        cache::drop_all(&self.file);
        Ok(())
    }
}

fn why_not_created(path: &Path, error: io::Error) -> Reason {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if error.kind() == ErrorKind::NotFound && !folder.exists() {
        return format!("the folder {} does not exist. Create it first.", folder.display()).into();
    }
    if error.kind() == ErrorKind::AlreadyExists && path.is_symlink() {
        return "the target is a symbolic link to something that does not exist. Create that, or remove the link."
            .into();
    }
    because("the target cannot be created", error)
}

/// Frees the blocks of `range`, which then reads as zeros. Partial blocks at its ends are overwritten.
fn punch_hole(file: &File, range: &Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    loop {
        match fallocate(file, flags, range.start, range.end - range.start) {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Whether `error` means that the kernel does not support the operation here, not that it failed.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let cannot = [Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOTTY, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|errno| cannot.contains(&errno))
}

/// Overwrites `range` with zeros. Does nothing if it is empty.
pub(super) fn write_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let zeros = vec![0; PIECE.min(range.end - range.start) as usize];
    let mut at = range.start;
    while at < range.end {
        let length = PIECE.min(range.end - at);
        file.write_all_at(&zeros[..length as usize], at)?;
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
