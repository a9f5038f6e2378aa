//! Reading files and block devices.

use super::direct::Direct;
use super::holes::Holes;
use super::{Medium, medium};
use crate::io::bad_sector::{self, SECTOR};
use crate::io::{Source, check_range, shrunk, source_error};
use crate::sys::{cache, device};
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A regular file or block device as a source.
pub(crate) struct FileSource {
    url: String,
    file: File,
    size: u64,
    /// `None` for devices, which cannot report holes.
    holes: Option<Holes>,
    /// Whether all data read so far was already in the page cache.
    cached: AtomicBool,
    /// For data that is not in the page cache. `None` if direct access is impossible.
    direct: Option<Direct>,
}

impl FileSource {
    /// Opens the file or block device at `path`, following symbolic links. `url` is the user's name for it.
    ///
    /// # Errors
    /// [`Error::Source`] if it does not exist, cannot be read, or is neither of these.
    pub(crate) fn open(url: &str, path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| source_error(url, because("the source cannot be opened", e));
        // Checked before opening, because opening a pipe waits for a writer.
        medium(&std::fs::metadata(path).map_err(failed)?).map_err(|what| source_error(url, what))?;
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let (size, holes) = match medium(&metadata).map_err(|what| source_error(url, what))? {
            Medium::Regular => (metadata.len(), Some(Holes::new(metadata.len()))),
            Medium::Device => (device::size(&file).map_err(failed)?, None),
        };
        if size == 0 && holes.is_none() {
            return Err(source_error(
                url,
                "the device has 0 bytes: a loop device that is attached to nothing, or a drive without a medium",
            ));
        }
        // This increases the kernel's read-ahead. It is only advice, so errors are ignored.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let direct = Direct::for_reading(&file);
        Ok(FileSource { url: url.to_owned(), file, size, holes, cached: AtomicBool::new(true), direct })
    }

    /// Whether other programs have brought `range` into the page cache. Once something was missing there, later data
    /// may be cached only because the kernel read ahead for this program.
    fn was_cached(&self, range: &Range<u64>) -> bool {
        if self.cached.load(Ordering::Relaxed) && !cache::holds(&self.file, range.end.saturating_sub(1)) {
            self.cached.store(false, Ordering::Relaxed);
        }
        self.cached.load(Ordering::Relaxed)
    }

    /// The error for a failed read of `range`, with the place of the first bad sector.
    fn failed(&self, range: Range<u64>, error: std::io::Error) -> Error {
        let place = if bad_sector::is_of_a_place(&error) {
            bad_sector::place(range, self.unit(), &mut |part| self.can_read(part))
        } else {
            format!("at offset {}", range.start)
        };
        source_error(&self.url, because(format!("read error {place}"), error))
    }

    /// The smallest size of a separate read, in bytes.
    fn unit(&self) -> u64 {
        match (&self.direct, &self.holes) {
            // Files have no sectors of their own. Their pages are read as a whole.
            (None, _) | (_, Some(_)) => 4096,
            (Some(_), None) => device::sector_size(&self.file).unwrap_or(SECTOR),
        }
    }

    /// Whether all of `range` can be read. Reads from the drive if possible, not from a cache.
    fn can_read(&self, range: Range<u64>) -> bool {
        let mut data = vec![0; (range.end - range.start) as usize];
        match self.direct.as_ref().map(|direct| direct.read_sectors(range.start, &mut data)) {
            Some(Ok(count)) if count == data.len() => true,
            Some(Err(_)) => false,
            // Direct access is impossible.
            Some(Ok(_)) | None => self.file.read_exact_at(&mut data, range.start).is_ok(),
        }
    }

    fn current_size(&self) -> std::io::Result<u64> {
        match self.holes {
            Some(_) => Ok(self.file.metadata()?.len()),
            None => device::size(&self.file),
        }
    }
}

impl Source for FileSource {
    fn url(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // If a file has grown, only its original size is read.
        check_range(self, offset, buf.len())?;
        let range = offset..offset + buf.len() as u64;
        let cached = self.was_cached(&range);
        let mut done = match &self.direct {
            Some(direct) if !cached => direct.read(offset, buf).map_err(|e| self.failed(range.clone(), e))?,
            _ => 0,
        };
        let past_cache = done == buf.len();
        while done < buf.len() {
            let at = offset + done as u64;
            match self.file.read_at(&mut buf[done..], at) {
                Ok(0) => return Err(shrunk(self, at)),
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(at..range.end, e)),
            }
        }
        // A backup must neither fill the page cache nor displace data that the host's other programs need.
        if !cached && !past_cache {
            cache::drop_behind(&self.file, range);
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        match self.current_size() {
            Ok(now) if now < self.size => Err(shrunk(self, now)),
            // If the size is unknown now, the data read before is still correct.
            _ => Ok(()),
        }
    }

    fn size_now(&self) -> Option<u64> {
        self.current_size().ok()
    }

    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        match &self.holes {
            Some(holes) => holes.next_data(&self.file, offset),
            None => (offset < self.size).then_some(offset..self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn source(content: &[u8]) -> (TempDir, FileSource) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("image");
        fs::write(&path, content).expect("written");
        let source = FileSource::open("file://image", &path).expect("opened");
        (dir, source)
    }

    #[test]
    fn bytes_are_read_at_offsets_by_several_threads() {
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let (_dir, source) = source(&content);
        assert_eq!((source.size(), source.url()), (100_000, "file://image"));
        let (source, content) = (&source, &content);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for offset in (thread * 777..90_000).step_by(3001) {
                        let mut buf = vec![0; 5000.min(100_000 - offset)];
                        source.read_at(offset as u64, &mut buf).expect("read");
                        assert_eq!(buf, content[offset..offset + buf.len()]);
                    }
                });
            }
        });
        source.read_at(100_000, &mut []).expect("nothing at the end");
    }

    #[test]
    fn a_source_that_shrinks_is_an_error_with_its_offset() {
        let (dir, source) = source(&[7; 1000]);
        fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join("image"))
            .expect("opened")
            .set_len(600)
            .expect("cut");
        let error = source.verify().expect_err("smaller").to_string();
        assert!(error.contains("ends at offset 600"), "{error}");
        source.read_at(0, &mut [0; 600]).expect("the bytes that are left");
        let error = source.read_at(500, &mut [0; 500]).expect_err("short").to_string();
        assert!(error.contains("ends at offset 600") && error.contains("1000 bytes"), "{error}");
    }

    #[test]
    fn a_source_that_grows_is_read_to_its_first_size() {
        let (dir, source) = source(&[7; 1000]);
        fs::write(dir.path().join("image"), [8; 3000]).expect("written");
        assert_eq!((source.size(), source.size_now()), (1000, Some(3000)));
        source.verify().expect("the first size is still there");
        assert_eq!(source.next_data(10), Some(10..1000));
        source.read_at(900, &mut [0; 100]).expect("read");
        for offset in [901, u64::MAX] {
            let error = source.read_at(offset, &mut [0; 100]).expect_err("beyond the end").to_string();
            assert!(error.contains(&offset.to_string()), "{error}");
        }
    }

    #[test]
    fn only_files_and_block_devices_are_sources() {
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe");
        let absent = dir.path().join("absent");
        for (path, what) in [
            (dir.path(), "a directory"),
            (&pipe, "a pipe"),
            (Path::new("/dev/null"), "a character device"),
            (&absent, "cannot be opened"),
        ] {
            let error = FileSource::open("it", path).err().expect(what).to_string();
            assert!(error.starts_with("it: ") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn links_are_followed() {
        let (dir, _) = source(b"content");
        std::os::unix::fs::symlink("image", dir.path().join("link")).expect("a link");
        let source = FileSource::open("link", &dir.path().join("link")).expect("opened");
        let mut buf = [0; 7];
        source.read_at(0, &mut buf).expect("read");
        assert_eq!(&buf, b"content");
    }

    #[test]
    fn an_empty_source_has_no_data() {
        let (_dir, source) = source(b"");
        assert_eq!((source.size(), source.next_data(0)), (0, None));
    }
}
