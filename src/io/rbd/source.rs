//! Reads an image or a snapshot.

use super::extents::{Extents, data_of, windows};
use super::{About, Caching, Side, Spec, connect, identify, is, no_image, open_pool, origin, reason};
use crate::config::RbdConfig;
use crate::io::bad_sector::{self, SECTOR};
use crate::io::{Changes, Source, check_range, shrunk, source_error};
use crate::sys::ceph::{Image, Pool, Snapshot};
use crate::types::error::{Error, Result};
use crate::types::hints::Hint;
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::version::SnapshotOrigin;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::Arc;

/// The snapshot of the base version.
enum Base {
    /// It is there, and the changes since then can be listed.
    Found(Snapshot),
    /// It cannot be used, for this reason.
    Unusable(String),
}

/// An image or a snapshot as a source.
pub(crate) struct RbdSource {
    url: String,
    config: RbdConfig,
    spec: Spec,
    pool: Arc<Pool>,
    image: Image,
    size: u64,
    extents: Extents,
    origin: Option<SnapshotOrigin>,
}

impl RbdSource {
    /// Opens the image or snapshot that `spec` names. `url` is the user's name for it.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::Source`], or [`Error::Config`] if Ceph's configuration cannot be read.
    pub(crate) fn open(url: &str, spec: &Spec, config: &RbdConfig) -> Result<Self> {
        let about = About { url, side: Side::Source, config };
        let cluster = connect(about, Caching::Off)?;
        let pool = open_pool(about, &cluster, spec)?;
        let image = open_image(about, &pool, spec)?;
        let size = image.size().map_err(|e| about.failed("its size cannot be read", e))?;
        let origin = match &spec.snapshot {
            None => None,
            Some(name) => {
                let snapshots = list(about, &image)?;
                let snapshot = snapshots.iter().find(|snapshot| snapshot.name == *name);
                let snapshot = snapshot.ok_or_else(|| no_snapshot(about, spec, name))?;
                let id = identify(about, &cluster, &pool, spec, &image)?;
                Some(origin(about, &id, &image, snapshot)?)
            }
        };
        let extents = Extents::new(size);
        let (url, config, spec) = (url.to_owned(), config.clone(), spec.clone());
        Ok(RbdSource { url, config, spec, pool, image, size, extents, origin })
    }

    fn about(&self) -> About<'_> {
        About { url: &self.url, side: Side::Source, config: &self.config }
    }

    /// The error for a failed read of `range`, with the place of the first bytes that cannot be read.
    fn failed(&self, range: Range<u64>, error: std::io::Error) -> Error {
        let mut can_read = |part: Range<u64>| {
            let mut data = vec![0; (part.end - part.start) as usize];
            self.image.read(part.start, &mut data).is_ok_and(|count| count == data.len())
        };
        let place = if bad_sector::is_of_a_place(&error) {
            bad_sector::place(range, SECTOR, &mut can_read)
        } else {
            format!("at offset {}", range.start)
        };
        source_error(&self.url, reason(format!("read error {place}"), error, &self.config))
    }

    /// The snapshot `base` as it is now. An error if it would be wrong to go on.
    fn find_base(&self, own: &SnapshotOrigin, base: &SnapshotOrigin, name: &str) -> Result<Base> {
        let refused = |why: &str| {
            let text =
                format!("{}: the base version is not of this image: {why}. Nothing was done.", self.url);
            Error::refused(Reason::from(text).remedy(Remedy::OtherBase))
        };
        if base.image != own.image {
            return Err(refused("it was made from an image with another identity"));
        }
        let about = self.about();
        let snapshots = list(about, &self.image)?;
        let Some(found) = snapshots.iter().find(|snapshot| snapshot.id == base.snapshot) else {
            return if snapshots.iter().any(|snapshot| snapshot.name == name) {
                Err(refused(&format!(
                    "its snapshot {name} was removed, and another one was made under that name"
                )))
            } else {
                Ok(Base::Unusable(format!("its snapshot {name} is no longer there")))
            };
        };
        if *base != origin(about, &base.image, &self.image, found)? {
            return Err(refused(&format!("its snapshot {name} was made at another time")));
        }
        if base.snapshot > own.snapshot {
            return Ok(Base::Unusable(format!("its snapshot {name} is newer than the source")));
        }
        Ok(Base::Found(found.clone()))
    }
}

/// Opens the image or snapshot for reading.
fn open_image(about: About<'_>, pool: &Arc<Pool>, spec: &Spec) -> Result<Image> {
    let image = Image::open_read_only(pool, &spec.image).map_err(|e| {
        if is(&e, Errno::NOENT) {
            no_image(about, spec)
        } else {
            about.failed("the image cannot be opened", e)
        }
    })?;
    let Some(name) = &spec.snapshot else { return Ok(image) };
    image.at_snapshot(name).map_err(|e| {
        if is(&e, Errno::NOENT) {
            no_snapshot(about, spec, name)
        } else {
            about.failed(&format!("the snapshot {name} cannot be opened"), e)
        }
    })
}

fn no_snapshot(about: About<'_>, spec: &Spec, name: &str) -> Error {
    let image = Spec { snapshot: None, ..spec.clone() }.to_string();
    let image = image.trim_start_matches("rbd://");
    about.absent(format!("the image has no snapshot {name}. `rbd snap ls {image}` lists them."))
}

fn list(about: About<'_>, image: &Image) -> Result<Vec<Snapshot>> {
    image.snapshots().map_err(|e| about.failed("its snapshots cannot be listed", e))
}

impl Source for RbdSource {
    fn url(&self) -> &str {
        &self.url
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self, offset, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match self.image.read(at, &mut buf[done..]) {
                // At the very end of an image, librbd reports an invalid offset.
                Ok(0) => return Err(shrunk(self, at)),
                Err(e) if is(&e, Errno::INVAL) => return Err(shrunk(self, at)),
                Ok(n) => done += n,
                Err(e) => return Err(self.failed(at..offset + buf.len() as u64, e)),
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        self.extents.next_data(offset, |window| data_of(&self.image, window))
    }

    fn origin(&self) -> Option<&SnapshotOrigin> {
        self.origin.as_ref()
    }

    fn snapshot_name(&self) -> &str {
        self.spec.snapshot.as_deref().unwrap_or_default()
    }

    fn size_now(&self) -> Option<u64> {
        // For a snapshot this is always the same size.
        open_image(self.about(), &self.pool, &self.spec).ok()?.size().ok()
    }

    fn verify(&self) -> Result<()> {
        let Some(own) = &self.origin else {
            // Data that was cut off reads as zeros, or not at all.
            let now = self.size_now().unwrap_or(self.size);
            return if now < self.size { Err(shrunk(self, now)) } else { Ok(()) };
        };
        // Objects of a removed snapshot read as holes. The open image does not notice the removal, so open it again.
        let now = open_image(self.about(), &self.pool, &self.spec)?;
        if list(self.about(), &now)?.iter().any(|snapshot| snapshot.id == own.snapshot) {
            Ok(())
        } else {
            Err(self.about().error("the snapshot was removed while it was backed up"))
        }
    }

    fn changes_since(
        &self,
        base: &SnapshotOrigin,
        name: &str,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Changes> {
        let Some(own) = &self.origin else {
            return Ok(Changes::Unknown(
                "the source is the image itself and not a snapshot of it".to_owned(),
            ));
        };
        let from = match self.find_base(own, base, name)? {
            Base::Found(snapshot) => snapshot.name,
            Base::Unusable(why) => return Ok(Changes::Unknown(why)),
        };
        let mut hints: Vec<Hint> = Vec::new();
        for window in windows(self.size) {
            check()?;
            self.image
                .diff(Some(&from), window, &mut |offset, length, exists| {
                    let length = length.min(self.size.saturating_sub(offset));
                    match hints.last_mut() {
                        Some(last) if last.exists == exists && last.offset + last.length == offset => {
                            last.length += length;
                        }
                        _ => hints.push(Hint { offset, length, exists }),
                    }
                })
                .map_err(|e| {
                    self.about().failed(&format!("the changes since snapshot {from} cannot be read"), e)
                })?;
        }
        // The hints say what to read, so holes need not be looked up any more.
        self.extents.read_all();
        Ok(Changes::Known(hints))
    }
}
