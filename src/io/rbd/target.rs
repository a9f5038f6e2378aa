//! Writes an image.

use super::{About, Caching, Side, Spec, connect, is, open_pool, reason};
use crate::config::RbdConfig;
use crate::io::touched::Touched;
use crate::io::{Existing, Target, Zeroing, exists, target_error, too_small};
use crate::sys::ceph::{Image, Pool};
use crate::types::error::{Error, Result};
use rustix::io::Errno;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// An image as a target.
pub(crate) struct RbdTarget {
    url: String,
    config: RbdConfig,
    image: Image,
    /// The parts written so far of an image that was created for this restore. `None` for an image that existed before.
    new: Option<Touched>,
}

impl RbdTarget {
    /// Opens the image that `spec` names for `size` bytes, or creates one of that size with the configured features.
    /// `url` is the user's name for it.
    ///
    /// # Errors
    /// [`Error::TargetRefused`] if an existing image is not accepted or too small. [`Error::NoSuchImage`] if there is
    /// no such pool. [`Error::Config`] if Ceph's configuration cannot be read. [`Error::Target`] if it is a snapshot,
    /// is in use, or cannot be opened or created.
    pub(crate) fn open(
        url: &str,
        spec: &Spec,
        size: u64,
        existing: Existing,
        config: &RbdConfig,
    ) -> Result<Self> {
        let about = About { url, side: Side::Target, config };
        if let Some(snapshot) = &spec.snapshot {
            return Err(about.error(format!(
                "a snapshot cannot be written to. Leave @{snapshot} out to restore to the image."
            )));
        }
        let cluster = connect(about, Caching::On)?;
        let pool = open_pool(about, &cluster, spec)?;
        let (image, new) = match Image::open_read_only(&pool, &spec.image) {
            Ok(_) if existing == Existing::Refuse => return Err(exists(url)),
            Ok(seen) => (open_existing(about, &pool, spec, seen, size)?, None),
            Err(e) if is(&e, Errno::NOENT) => (create(about, &pool, spec, size)?, Some(Touched::new(size))),
            Err(e) => return Err(about.failed("the image cannot be opened", e)),
        };
        Ok(RbdTarget { url: url.to_owned(), config: config.clone(), image, new })
    }

    fn failed(&self, what: &str, range: Range<u64>, error: io::Error) -> Error {
        let length = range.end - range.start;
        let what = format!("{what} in the {length} bytes at offset {}", range.start);
        target_error(&self.url, reason(what, error, &self.config))
    }
}

/// Opens an existing image for writing. `seen` is the same image, open for reading.
fn open_existing(about: About<'_>, pool: &Arc<Pool>, spec: &Spec, seen: Image, size: u64) -> Result<Image> {
    let has = seen.size().map_err(|e| about.failed("its size cannot be read", e))?;
    if has < size {
        let help = "Enlarge it with `rbd resize`, or restore to another one";
        return Err(too_small(about.url, has, size, help));
    }
    let users = seen.watchers().map_err(|e| about.failed("its users cannot be listed", e))?;
    if let Some(first) = users.first() {
        return Err(about.error(format!(
            "the image is in use by {first}: a running machine, or `rbd map`. Nothing was written. Shut that down \
             or unmap it first; after a crash Ceph forgets it within a minute."
        )));
    }
    drop(seen);
    Image::open(pool, &spec.image).map_err(|e| about.failed("the image cannot be opened for writing", e))
}

fn create(about: About<'_>, pool: &Arc<Pool>, spec: &Spec, size: u64) -> Result<Image> {
    pool.create(&spec.image, size, about.config.new_image_features).map_err(|e| {
        if is(&e, Errno::NOENT) && !spec.namespace.is_empty() {
            return about.absent(format!(
                "there is no namespace {} in the pool {}. Make it with `rbd namespace create`.",
                spec.namespace, spec.pool
            ));
        }
        about.failed(&format!("an image of {size} bytes cannot be created"), e)
    })?;
    Image::open(pool, &spec.image).map_err(|e| about.failed("the new image cannot be opened", e))
}

impl Target for RbdTarget {
    fn url(&self) -> &str {
        &self.url
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let range = offset..offset.saturating_add(data.len() as u64);
        if let Some(touched) = &self.new {
            touched.touch(range.clone());
        }
        self.image.write(offset, data).map_err(|e| self.failed("write error", range, e))
    }

    fn zero(&self, range: Range<u64>, _zeroing: Zeroing) -> Result<bool> {
        if range.is_empty() || self.new.as_ref().is_some_and(|touched| touched.is_untouched(range.clone())) {
            return Ok(true);
        }
        // Whole objects are removed and others are shortened, so this is always cheap.
        self.image.write_zeroes(range.clone()).map_err(|e| self.failed("cannot write zeros", range, e))?;
        Ok(true)
    }

    fn flush(&self) -> Result<()> {
        self.image
            .flush()
            .map_err(|e| target_error(&self.url, reason("cannot flush the written data", e, &self.config)))
    }
}
