//! `rbd://`: images in Ceph, accessed with the host's own librbd.

mod extents;
mod snapshots;
mod source;
mod spec;
mod target;

pub(crate) use snapshots::{Removal, Snapshots};
pub(crate) use source::RbdSource;
pub(crate) use spec::Spec;
pub(crate) use target::RbdTarget;

use super::{source_error, target_error};
use crate::config::RbdConfig;
use crate::sys::ceph::{Cluster, Image, Pool, Snapshot};
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::version::{ImageId, SnapshotOrigin};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;

/// Whether an error is about the source or the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// The context of error texts.
#[derive(Clone, Copy)]
struct About<'a> {
    url: &'a str,
    side: Side,
    config: &'a RbdConfig,
}

impl About<'_> {
    fn error(&self, reason: impl Into<Reason>) -> Error {
        match self.side {
            Side::Source => source_error(self.url, reason),
            Side::Target => target_error(self.url, reason),
        }
    }

    fn absent(&self, message: String) -> Error {
        Error::NoSuchImage { url: self.url.to_owned(), message }
    }

    /// An error: `what` failed, with the reason and, for the usual causes, advice.
    fn failed(&self, what: &str, error: io::Error) -> Error {
        self.error(reason(what, error, self.config))
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// The reason for `what` that failed by an error of the libraries, with the meaning of that error.
fn reason(what: impl Into<String>, error: io::Error, config: &RbdConfig) -> Reason {
    let advice = match Errno::from_io_error(&error) {
        Some(Errno::TIMEDOUT) => format!(
            "The cluster did not answer within {} seconds (timeout in [io_rbd]). `ceph -s` shows its state; the \
             addresses of its monitors come from {}",
            config.timeout.as_secs(),
            config.conffile.display()
        ),
        Some(Errno::PERM | Errno::ACCESS) => format!(
            "{} needs the rights `mon 'profile rbd' osd 'profile rbd pool=POOL'`, and the correct key",
            config.user
        ),
        _ => String::new(),
    };
    because(what, error).advise(advice)
}

/// Whether librbd caches what it reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caching {
    /// For targets.
    On,
    /// For sources: they are read once, and the cache would only slow that down.
    Off,
}

/// Connects to the cluster.
fn connect(about: About<'_>, caching: Caching) -> Result<Arc<Cluster>> {
    let config = about.config;
    let cluster = Cluster::new(&config.cluster, &config.user)
        .map_err(|text| about.error(text))?
        .map_err(|e| about.failed("no connection can be prepared", e))?;
    cluster.read_configuration(&config.conffile).map_err(|e| {
        let what = format!("[io_rbd] ceph_conffile: {} cannot be read", config.conffile.display());
        let advice = "It is the file that Ceph's own commands use, usually /etc/ceph/ceph.conf.";
        Error::config(because(what, e).advise(advice))
    })?;
    let seconds = config.timeout.as_secs().max(1).to_string();
    for (option, value) in [
        ("client_mount_timeout", &*seconds),
        ("rados_mon_op_timeout", &seconds),
        ("rados_osd_op_timeout", &seconds),
        // The program reports errors itself, in one line.
        ("log_to_stderr", "false"),
        ("err_to_stderr", "false"),
        ("rbd_cache", if caching == Caching::On { "true" } else { "false" }),
    ] {
        cluster.set(option, value).map_err(|e| about.failed(&format!("option {option} cannot be set"), e))?;
    }
    cluster.connect().map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::NOENT) => about.error(format!(
            "no connection to the cluster: there is no key of {} in the keyrings that {} names (or it names \
             no monitor)",
            config.user,
            config.conffile.display()
        )),
        _ => about.failed("no connection to the cluster", e),
    })?;
    Ok(Arc::new(cluster))
}

fn open_pool(about: About<'_>, cluster: &Arc<Cluster>, spec: &Spec) -> Result<Arc<Pool>> {
    Pool::open(cluster, &spec.pool, &spec.namespace).map(Arc::new).map_err(|e| {
        if is(&e, Errno::NOENT) {
            about.absent(format!("there is no pool {}. `ceph osd pool ls` lists them.", spec.pool))
        } else {
            about.failed(&format!("the pool {} cannot be opened", spec.pool), e)
        }
    })
}

/// The names of the images in `path`: a pool, or a pool, a slash and a namespace. `url` names them in errors.
///
/// # Errors
/// [`Error::Source`], [`Error::NoSuchImage`], [`Error::Config`].
pub(super) fn images(url: &str, path: &str, config: &RbdConfig) -> Result<Vec<String>> {
    let about = About { url, side: Side::Source, config };
    let (pool, namespace) = path.split_once('/').unwrap_or((path, ""));
    let spec =
        Spec { pool: pool.to_owned(), namespace: namespace.to_owned(), image: String::new(), snapshot: None };
    let pool = open_pool(about, &connect(about, Caching::Off)?, &spec)?;
    pool.images().map_err(|e| about.failed("the images cannot be listed", e))
}

/// The error for an image that does not exist.
fn no_image(about: About<'_>, spec: &Spec) -> Error {
    let Spec { pool, namespace, image, .. } = spec;
    if namespace.is_empty() {
        about.absent(format!("there is no image {image} in the pool {pool}. `rbd ls {pool}` lists them."))
    } else {
        about.absent(format!(
            "there is no image {image} in the namespace {namespace} of the pool {pool}. `rbd ls {pool}/{namespace}` \
             lists them."
        ))
    }
}

fn identify(about: About<'_>, cluster: &Cluster, pool: &Pool, spec: &Spec, image: &Image) -> Result<ImageId> {
    let unknown = |e: io::Error| about.failed("its identity cannot be read", e);
    Ok(ImageId {
        cluster: cluster.fsid().map_err(unknown)?,
        pool: pool.id(),
        namespace: spec.namespace.clone(),
        image: image.id().map_err(unknown)?,
    })
}

/// The snapshot as it is recorded with a version.
fn origin(about: About<'_>, id: &ImageId, image: &Image, snapshot: &Snapshot) -> Result<SnapshotOrigin> {
    let taken = image
        .snapshot_time(snapshot.id)
        .map_err(|e| about.failed(&format!("the time of snapshot {} cannot be read", snapshot.name), e))?;
    Ok(SnapshotOrigin { image: id.clone(), snapshot: snapshot.id, taken })
}
