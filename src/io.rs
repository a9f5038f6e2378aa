//! Sources that are backed up, and targets that are restored to.

use crate::config::IoConfig;
use crate::types::error::{Error, Result};
use crate::types::hints::Hint;
use crate::types::text;
use crate::types::version::Origin;
use file::{FileSource, FileTarget};
use null::{NullSource, NullTarget};
use rbd::{RbdSource, RbdTarget};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use url::Location;

mod bad_sector;
pub mod file;
pub mod null;
pub mod rbd;
mod touched;
pub mod url;

/// Something that can be backed up: bytes at offsets. Shared by all reader threads.
pub trait Source: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// Size in bytes, as it was when the source was opened.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` (bytes). `offset` plus the length of `buf` is at most [`size`](Self::size).
    ///
    /// # Errors
    /// [`crate::types::Error::Source`], also where the source ends before `buf` is full. The error names the
    /// offset.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The next range at or after `offset` that may hold data: everything between `offset` and its start
    /// is known to read as zeros. It is not empty and lies within the source's size. `None`: nothing but zeros
    /// up to the end.
    ///
    /// A source that knows no holes returns all that is left. Cheap when asked for ascending offsets.
    ///
    /// # Errors
    /// None that a caller could see: a source that cannot tell says that all may be data.
    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.size()).then(|| offset..self.size())
    }

    /// The snapshot that this is, where that is certain and will stay so. `None` for all but RBD snapshots.
    fn origin(&self) -> Option<&Origin> {
        None
    }

    /// What the snapshot that this is is called; empty where it is none, or nobody can tell.
    fn snapshot_name(&self) -> &str {
        ""
    }

    /// Makes sure that what was read until now is what was asked for. To be called when all is read.
    ///
    /// # Errors
    /// [`crate::types::Error::Source`]: it went away meanwhile, so that zeros may have been read instead.
    fn verify(&self) -> Result<()> {
        Ok(())
    }

    /// Its size now, in bytes, where that may have changed. To be asked when all is read.
    fn size_now(&self) -> Option<u64> {
        None
    }

    /// What has changed since the snapshot `base`, which was called `name` then. `check` is called now and then,
    /// and what it returns as an error ends the search.
    ///
    /// # Errors
    /// [`Error::Refused`] where `base` is of another image, or its name now means another snapshot;
    /// [`Error::Source`]; what `check` returns.
    fn changes_since(&self, _base: &Origin, _name: &str, _check: &dyn Fn() -> Result<()>) -> Result<Changes> {
        Ok(Changes::Unknown("the source is no snapshot of an RBD image".to_owned()))
    }
}

/// What a source knows of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All of them, as hints within the source's size.
    Known(Vec<Hint>),
    /// Nothing, and why: a clause for a sentence. All must be read.
    Unknown(String),
}

/// How much a target should do for a range that must not show old data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeroing {
    /// The range reads as zeros afterwards, whatever that costs.
    Always,
    /// Only where it costs next to nothing (punching holes, having the device zero it).
    IfCheap,
}

/// Something that can be restored to. Shared by all writer threads, which never touch the same bytes at the
/// same time.
pub trait Target: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// Writes all of `data` at `offset` (bytes).
    ///
    /// # Errors
    /// [`crate::types::Error::Target`], naming the offset.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes `range` (bytes, within the size that the target was opened for) read as zeros, by the cheapest
    /// way. Returns whether it does now: `false` is possible with [`Zeroing::IfCheap`] only, and means that
    /// old data may show.
    ///
    /// A long range may take long, and nothing stops it midway: callers that want to be stopped pass pieces.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`], naming the offset.
    fn zero(&self, range: Range<u64>, zeroing: Zeroing) -> Result<bool>;

    /// Returns once all that was written is on stable storage.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`].
    fn flush(&self) -> Result<()>;
}

/// How a target may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An existing target is refused.
    Refuse,
    /// An existing target that is large enough is written to; an absent one is created.
    Accept,
}

/// Which settings apply to a source or target: those of `[io_file]`, `[io_null]` or `[io_rbd]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or block device.
    File,
    /// Generated data, or data that is dropped.
    Null,
    /// An image in Ceph.
    Rbd,
}

/// Which kind of source or target `url` names.
///
/// # Errors
/// [`Error::Source`] where it names none that this build knows.
pub fn kind(url: &str) -> Result<Kind> {
    match Location::parse(url) {
        Ok(Location::File(_)) => Ok(Kind::File),
        Ok(Location::Null(_)) => Ok(Kind::Null),
        Ok(Location::Rbd(_)) => Ok(Kind::Rbd),
        Err(message) => Err(source_error(url, message)),
    }
}

/// What tells the file or device that `url` names from all others, as a part of a file name: the host's name and two
/// numbers. `None` where there is none, or it is no file.
pub fn file_identity(url: &str) -> Option<String> {
    let Ok(Location::File(path)) = Location::parse(url) else { return None };
    let metadata = std::fs::metadata(path).ok()?;
    let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "_");
    Some(if metadata.file_type().is_block_device() {
        format!("{host}-device-{:x}", metadata.rdev())
    } else {
        format!("{host}-{:x}-{:x}", metadata.dev(), metadata.ino())
    })
}

/// Opens what is to be backed up. `block_size` (bytes) is the size of the blocks in which generated data is
/// made up; nothing else depends on it.
///
/// # Errors
/// [`Error::Source`] where the URL is none, or what it names cannot be opened or has no size;
/// [`Error::NoSuchImage`], and [`Error::Config`] where Ceph's configuration cannot be read.
pub fn open_source(url: &str, config: &IoConfig, block_size: u32) -> Result<Box<dyn Source>> {
    match Location::parse(url) {
        Ok(Location::File(path)) => Ok(Box::new(FileSource::open(url, &path)?)),
        Ok(Location::Null(Some(size))) => Ok(Box::new(NullSource::new(url, size, block_size))),
        Ok(Location::Null(None)) => Err(source_error(url, "a source needs a size, such as null://10G")),
        Ok(Location::Rbd(spec)) => Ok(Box::new(RbdSource::open(url, &spec, &config.rbd)?)),
        Err(message) => Err(source_error(url, message)),
    }
}

/// Opens what is to be restored to, and creates it if it is absent: `size` bytes that read as zeros. Nothing
/// is written to an existing target.
///
/// # Errors
/// [`Error::TargetRefused`] where the target exists though `existing` is [`Existing::Refuse`], or has fewer
/// than `size` bytes. [`Error::Target`] where the URL is none, or what it names cannot be opened, created or
/// sized, or is in use; [`Error::NoSuchImage`] and [`Error::Config`] as for sources.
pub fn open_target(url: &str, config: &IoConfig, size: u64, existing: Existing) -> Result<Box<dyn Target>> {
    match Location::parse(url) {
        Ok(Location::File(path)) => {
            Ok(Box::new(FileTarget::open(url, &path, size, existing, config.file_mode)?))
        }
        Ok(Location::Null(_)) => Ok(Box::new(NullTarget::new(url))),
        Ok(Location::Rbd(spec)) => Ok(Box::new(RbdTarget::open(url, &spec, size, existing, &config.rbd)?)),
        Err(message) => Err(target_error(url, message)),
    }
}

/// Refuses a read of `length` bytes at `offset` that goes beyond the size which `source` had when it was opened.
fn check_range(source: &dyn Source, offset: u64, length: usize) -> Result<()> {
    let size = source.size();
    match offset.checked_add(length as u64) {
        Some(end) if end <= size => Ok(()),
        _ => Err(source_error(
            source.url(),
            format!("{length} bytes at offset {offset} are beyond its end at {size}"),
        )),
    }
}

/// `source` ends at `offset`, before its size: it was larger when it was opened.
fn shrunk(source: &dyn Source, offset: u64) -> Error {
    source_error(
        source.url(),
        format!(
            "the source ends at offset {offset}, though it had {} bytes when it was opened: it has shrunk meanwhile",
            source.size()
        ),
    )
}

fn source_error(url: &str, message: impl ToString) -> Error {
    Error::Source { url: url.to_owned(), message: message.to_string() }
}

fn target_error(url: &str, message: impl ToString) -> Error {
    Error::Target { url: url.to_owned(), message: message.to_string() }
}

/// A target is there, and was not expected.
fn exists(url: &str) -> Error {
    Error::TargetRefused(format!(
        "Target already exists: {}\nNothing was written. You must force the restore (--force) to overwrite it.",
        text::line(url)
    ))
}

/// A target has less room (bytes) than the image needs; `help` says what to do, without a full stop.
fn too_small(url: &str, has: u64, needs: u64, help: &str) -> Error {
    Error::TargetRefused(format!(
        "Target size is too small. Has {has}b, need {needs}b: {}\nNothing was written. {help}.",
        text::line(url)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_opens_what_it_names() {
        let config = IoConfig::default();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a b").to_str().expect("text").to_owned();
        let target = open_target(&path, &config, 10, Existing::Refuse).expect("created");
        assert_eq!(target.url(), path);
        let source = open_source(&format!("file://{path}"), &config, 4).expect("opened");
        assert_eq!((source.url(), source.size()), (&*format!("file://{path}"), 10));
        assert_eq!(open_source("null://1k", &config, 4).expect("opened").size(), 1024);
        assert_eq!(open_target("null://", &config, 4, Existing::Refuse).expect("opened").url(), "null://");
        assert_eq!((kind(&path).ok(), kind("null://").ok()), (Some(Kind::File), Some(Kind::Null)));
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_of_its_side() {
        let config = IoConfig::default();
        for url in ["null://", "rbd://a", "x", "/nonexistent/x"] {
            let error = open_source(url, &config, 4).err().expect(url);
            assert!(matches!(&error, Error::Source { url: told, .. } if told == url), "{error:?}");
        }
        for url in ["rbd://a", "x", "/nonexistent/x"] {
            let error = open_target(url, &config, 4, Existing::Accept).err().expect(url);
            assert!(matches!(&error, Error::Target { url: told, .. } if told == url), "{error:?}");
        }
        assert_eq!(kind("rbd://a/b").ok(), Some(Kind::Rbd));
        assert!(kind("what").is_err());
    }
}
