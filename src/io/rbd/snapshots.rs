//! Creates and removes snapshots of an image.

use super::{About, Caching, Side, Spec, connect, identify, is, no_image, open_pool, origin};
use crate::config::RbdConfig;
use crate::io::source_error;
use crate::io::url::Location;
use crate::sys::ceph::{Image, Pool, Snapshot};
use crate::types::error::Result;
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::version::{ImageId, SnapshotOrigin};
use rustix::io::Errno;
use std::sync::Arc;

/// An image whose snapshots are managed.
pub(crate) struct Snapshots {
    url: String,
    spec: Spec,
    config: RbdConfig,
    pool: Arc<Pool>,
    id: ImageId,
}

/// The result of removing a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The snapshot is removed, or did not exist.
    Gone,
    /// The snapshot is protected, or something depends on it.
    InUse,
}

impl Snapshots {
    /// Opens the image that `url` names.
    ///
    /// # Errors
    /// The URL does not name an image, or names a snapshot, or the image cannot be opened. See
    /// [`RbdSource::open`](super::RbdSource::open).
    pub(crate) fn open(url: &str, config: &RbdConfig) -> Result<Self> {
        let about = About { url, side: Side::Source, config };
        let spec = match Location::parse(url) {
            Ok(Location::Rbd(spec)) => spec,
            Ok(_) => return Err(about.error("only snapshots of images in Ceph can be made here")),
            Err(message) => return Err(about.error(message)),
        };
        if let Some(snapshot) = &spec.snapshot {
            let reason = Reason::from("the backup makes the snapshot itself");
            return Err(about.error(reason.remedy(Remedy::LeaveSnapshotOut(snapshot.clone()))));
        }
        let cluster = connect(about, Caching::Off)?;
        let pool = open_pool(about, &cluster, &spec)?;
        let image = Image::open_read_only(&pool, &spec.image);
        let image = image.map_err(|e| {
            if is(&e, Errno::NOENT) {
                no_image(about, &spec)
            } else {
                about.failed("the image cannot be opened", e)
            }
        })?;
        let id = identify(about, &cluster, &pool, &spec, &image)?;
        drop(image);
        Ok(Snapshots { url: url.to_owned(), spec, config: config.clone(), pool, id })
    }

    /// Opens the image again for its present state: an image that is open for reading does not notice new snapshots.
    fn now(&self) -> Result<(Image, Vec<Snapshot>)> {
        let failed = |e| self.about().failed("its snapshots cannot be listed", e);
        let image = Image::open_read_only(&self.pool, &self.spec.image).map_err(failed)?;
        let snapshots = image.snapshots().map_err(failed)?;
        Ok((image, snapshots))
    }

    /// The image, opened for writing. Keep it open only briefly: if the program is killed meanwhile, other clients wait
    /// for half a minute until Ceph has forgotten it.
    fn writable(&self) -> Result<Image> {
        let image = Image::open(&self.pool, &self.spec.image);
        image.map_err(|e| self.about().failed("the image cannot be opened for writing", e))
    }

    fn about(&self) -> About<'_> {
        About { url: &self.url, side: Side::Source, config: &self.config }
    }

    /// The image.
    pub(crate) fn image(&self) -> &ImageId {
        &self.id
    }

    /// The URL of a snapshot.
    pub(crate) fn url_of(&self, name: &str) -> String {
        self.spec.at(name).to_string()
    }

    /// The names and numbers of the snapshots.
    ///
    /// # Errors
    /// The error that the cluster reports.
    pub(crate) fn list(&self) -> Result<Vec<(String, u64)>> {
        let (_, snapshots) = self.now()?;
        Ok(snapshots.into_iter().map(|snapshot| (snapshot.name, snapshot.id)).collect())
    }

    /// The present name of the snapshot `wanted`, if it still exists.
    ///
    /// # Errors
    /// The error that the cluster reports.
    pub(crate) fn name_of(&self, wanted: &SnapshotOrigin) -> Result<Option<String>> {
        if wanted.image != self.id {
            return Ok(None);
        }
        let (image, snapshots) = self.now()?;
        let Some(found) = snapshots.into_iter().find(|snapshot| snapshot.id == wanted.snapshot) else {
            return Ok(None);
        };
        let same = origin(self.about(), &self.id, &image, &found)? == *wanted;
        Ok(same.then_some(found.name))
    }

    /// Creates a snapshot. Returns `false` if there is already one of that name.
    ///
    /// # Errors
    /// The error that the cluster reports.
    pub(crate) fn create(&self, name: &str) -> Result<bool> {
        match self.writable()?.create_snapshot(name) {
            Ok(()) => Ok(true),
            Err(e) if is(&e, Errno::EXIST) => Ok(false),
            Err(e) => Err(self.about().failed(&format!("the snapshot {name} cannot be made"), e)),
        }
    }

    /// Removes a snapshot, unless it is protected.
    ///
    /// # Errors
    /// The error that the cluster reports.
    pub(crate) fn remove(&self, name: &str) -> Result<Removal> {
        let image = self.writable()?;
        match image.is_protected(name) {
            Ok(true) => return Ok(Removal::InUse),
            Err(e) if is(&e, Errno::NOENT) => return Ok(Removal::Gone),
            // In case of an error, the removal reports it.
            Ok(false) | Err(_) => {}
        }
        match image.remove_snapshot(name) {
            Ok(()) => Ok(Removal::Gone),
            Err(e) if is(&e, Errno::NOENT) => Ok(Removal::Gone),
            Err(e) if is(&e, Errno::BUSY) => Ok(Removal::InUse),
            Err(e) => Err(source_error(
                &self.url,
                super::reason(format!("the snapshot {name} cannot be removed"), e, &self.config),
            )),
        }
    }
}
