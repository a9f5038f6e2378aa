//! Sources to back up, and targets to restore to.

use crate::config::IoConfig;
use crate::types::error::{Error, Result};
use crate::types::hints::Hint;
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::text;
use crate::types::version::SnapshotOrigin;
use file::{FileSource, FileTarget};
pub(crate) use find::{Entry, find};
use null::{NullSource, NullTarget};
use rbd::{RbdSource, RbdTarget};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use url::Location;

mod bad_sector;
pub(crate) mod file;
mod find;
pub(crate) mod null;
pub(crate) mod rbd;
mod touched;
pub(crate) mod url;

/// A source of a backup: bytes at offsets. All reader threads share it.
pub trait Source: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// The size in bytes when the source was opened.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` (bytes). `offset` plus the length of `buf` is at most [`size`](Self::size).
    ///
    /// # Errors
    /// [`crate::types::Error::Source`] with the offset, also if the source ends before `buf` is full.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The next range at or after `offset` that may hold data: everything between `offset` and its start is known to
    /// read as zeros. It is not empty and lies within the source's size. `None` if only zeros follow.
    ///
    /// A source that knows no holes returns the whole rest. The call is cheap if offsets ascend.
    ///
    /// # Errors
    /// Callers see none: a source that cannot tell returns the whole rest.
    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        (offset < self.size()).then(|| offset..self.size())
    }

    /// The snapshot that this source is, if that is certain and cannot change. `None` for everything but RBD snapshots.
    fn origin(&self) -> Option<&SnapshotOrigin> {
        None
    }

    /// The name of the snapshot. Empty if the source is not a snapshot, or the name is unknown.
    fn snapshot_name(&self) -> &str {
        ""
    }

    /// Checks that the data read so far is correct. Call it when everything is read.
    ///
    /// # Errors
    /// [`crate::types::Error::Source`] if the source has disappeared meanwhile, so that zeros may have been read
    /// instead of data.
    fn verify(&self) -> Result<()> {
        Ok(())
    }

    /// The present size in bytes, if it may have changed. Call it when everything is read.
    fn size_now(&self) -> Option<u64> {
        None
    }

    /// The changes since the snapshot `base`, which had the name `name`. Calls `check` now and then. An error from it
    /// ends the search.
    ///
    /// # Errors
    /// [`Error::Refused`] if `base` belongs to another image or its name now means another snapshot, [`Error::Source`],
    /// or the error from `check`.
    fn changes_since(
        &self,
        _base: &SnapshotOrigin,
        _name: &str,
        _check: &dyn Fn() -> Result<()>,
    ) -> Result<Changes> {
        Ok(Changes::Unknown("the source is not a snapshot of an RBD image".to_owned()))
    }
}

/// The changes that a source knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All changes, as hints within the source's size.
    Known(Vec<Hint>),
    /// The changes are unknown, so everything must be read. The text gives the reason, as a clause of a sentence.
    Unknown(String),
}

/// How much a target should do for a range that must not show old data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeroing {
    /// The range must read as zeros afterwards, at any cost.
    Always,
    /// Only if it is cheap (punching holes, or a command of the device).
    IfCheap,
}

/// A target of a restore. All writer threads share it, and they never access the same bytes at the same time.
pub trait Target: Send + Sync {
    /// The URL as the user gave it.
    fn url(&self) -> &str;

    /// Writes all of `data` at `offset` (bytes).
    ///
    /// # Errors
    /// [`crate::types::Error::Target`] with the offset.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Makes `range` (bytes, within the size that the target was opened for) read as zeros, in the cheapest way.
    /// Returns whether it does now: `false` is possible only with [`Zeroing::IfCheap`], and means that old data may
    /// show.
    ///
    /// A long range may take long, and nothing stops the call midway. Callers that want to be able to stop pass smaller
    /// pieces.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`] with the offset.
    fn zero(&self, range: Range<u64>, zeroing: Zeroing) -> Result<bool>;

    /// Returns once all written data is on stable storage.
    ///
    /// # Errors
    /// [`crate::types::Error::Target`].
    fn flush(&self) -> Result<()>;
}

/// Whether an existing target may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuses an existing target.
    Refuse,
    /// Accepts an existing target that is large enough, and creates one that does not exist.
    Accept,
}

/// Selects the settings of a source or target: those of `[io_file]`, `[io_null]` or `[io_rbd]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlKind {
    /// A file or block device.
    File,
    /// Generated data, or a target that discards data.
    Null,
    /// An image in Ceph.
    Rbd,
}

/// The kind of source or target that `url` names.
///
/// # Errors
/// [`Error::Source`] if this build does not know that kind.
pub fn kind(url: &str) -> Result<UrlKind> {
    match Location::parse(url) {
        Ok(Location::File(_)) => Ok(UrlKind::File),
        Ok(Location::Null(_)) => Ok(UrlKind::Null),
        Ok(Location::Rbd(_)) => Ok(UrlKind::Rbd),
        Err(message) => Err(source_error(url, message)),
    }
}

/// Identifies the file or device that `url` names, as part of a file name: the host name and one or two numbers. `None`
/// if it does not exist or is not a file.
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

/// Opens a source. `block_size` (bytes) is the block size of generated data, and matters for nothing else.
///
/// # Errors
/// [`Error::Source`] if the URL is invalid, or the source cannot be opened or has no size. [`Error::NoSuchImage`].
/// [`Error::Config`] if Ceph's configuration cannot be read.
pub fn open_source(url: &str, config: &IoConfig, block_size: u32) -> Result<Box<dyn Source>> {
    match Location::parse(url) {
        Ok(Location::File(path)) => Ok(Box::new(FileSource::open(url, &path)?)),
        Ok(Location::Null(Some(size))) => Ok(Box::new(NullSource::new(url, size, block_size))),
        Ok(Location::Null(None)) => Err(source_error(url, "a source needs a size, such as null://10G")),
        Ok(Location::Rbd(spec)) => Ok(Box::new(RbdSource::open(url, &spec, &config.rbd)?)),
        // A word without a type is more often the name of a file that is missing than a bad URL.
        Err(message) if !url.is_empty() && !url.contains("://") && !Path::new(url).exists() => {
            let (_, help) = message.split_once("Invalid URL. ").unwrap_or(("", &message));
            Err(source_error(url, format!("it does not exist. {help}")))
        }
        Err(message) => Err(source_error(url, message)),
    }
}

/// Opens a target, or creates it with `size` bytes that read as zeros. Nothing is written to an existing target.
///
/// # Errors
/// [`Error::TargetRefused`] if the target exists but `existing` is [`Existing::Refuse`], or if it has fewer than `size`
/// bytes. [`Error::Target`] if the URL is invalid, or the target is in use or cannot be opened, created or resized.
/// [`Error::NoSuchImage`] and [`Error::Config`] as for sources.
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

/// Refuses a read of `length` bytes at `offset` that exceeds the size of `source` when it was opened.
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

/// The error for a `source` that now ends at `offset`, before its original size.
fn shrunk(source: &dyn Source, offset: u64) -> Error {
    source_error(
        source.url(),
        format!(
            "the source ends at offset {offset}, but it had {} bytes when it was opened: it has shrunk \
             since then",
            source.size()
        ),
    )
}

fn source_error(url: &str, reason: impl Into<Reason>) -> Error {
    Error::Source { url: url.to_owned(), reason: reason.into() }
}

fn target_error(url: &str, reason: impl Into<Reason>) -> Error {
    Error::Target { url: url.to_owned(), reason: reason.into() }
}

/// The error for a target that exists unexpectedly.
fn exists(url: &str) -> Error {
    let text = format!("Target already exists: {}\nNothing was written.", text::line(url));
    Error::TargetRefused(Reason::from(text).remedy(Remedy::OverwriteTarget))
}

/// The error for a target that is smaller (in bytes) than the image. `help` gives advice, without a full stop.
fn too_small(url: &str, has: u64, needs: u64, help: &str) -> Error {
    let text = format!(
        "Target size is too small. Has {has}b, need {needs}b: {}\nNothing was written. {help}.",
        text::line(url)
    );
    Error::TargetRefused(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_missing_file_or_lacks_its_type() {
        for (word, said, not_said) in [
            ("no-such-file", "it does not exist. You must provide the type", "Invalid URL"),
            ("Cargo.toml", "Invalid URL. You must provide the type", "does not exist"),
            ("", "Invalid URL. You must provide the type", "does not exist"),
        ] {
            let error = open_source(word, &IoConfig::default(), 4).err().expect("refused").line();
            assert!(error.contains(said) && !error.contains(not_said), "{error}");
        }
    }

    #[test]
    fn a_url_opens_the_source_or_target_that_it_names() {
        let config = IoConfig::default();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a b").to_str().expect("text").to_owned();
        let target = open_target(&path, &config, 10, Existing::Refuse).expect("created");
        assert_eq!(target.url(), path);
        let source = open_source(&format!("file://{path}"), &config, 4).expect("opened");
        assert_eq!((source.url(), source.size()), (&*format!("file://{path}"), 10));
        assert_eq!(open_source("null://1k", &config, 4).expect("opened").size(), 1024);
        assert_eq!(open_target("null://", &config, 4, Existing::Refuse).expect("opened").url(), "null://");
        assert_eq!((kind(&path).ok(), kind("null://").ok()), (Some(UrlKind::File), Some(UrlKind::Null)));
    }

    #[test]
    fn errors_of_opening_tell_sources_and_targets_apart() {
        let config = IoConfig::default();
        for url in ["null://", "rbd://a", "x", "/nonexistent/x"] {
            let error = open_source(url, &config, 4).err().expect(url);
            assert!(matches!(&error, Error::Source { url: told, .. } if told == url), "{error:?}");
        }
        for url in ["rbd://a", "x", "/nonexistent/x"] {
            let error = open_target(url, &config, 4, Existing::Accept).err().expect(url);
            assert!(matches!(&error, Error::Target { url: told, .. } if told == url), "{error:?}");
        }
        assert_eq!(kind("rbd://a/b").ok(), Some(UrlKind::Rbd));
        assert!(kind("what").is_err());
    }
}
