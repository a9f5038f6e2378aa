//! Ceph's RADOS block devices: a safe interface to the few functions that the program uses of the host's libraries.
//!
//! Errors are those of the operating system (`io::Error`), as the libraries return them. The caller adds the context.
#![allow(unsafe_code)]

mod image;
mod library;

pub(crate) use image::{Image, Snapshot};

use library::{Functions, Handle};
use std::ffi::{CString, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;

/// Converts the result of a call: 0 or more, or a negative errno.
fn check(code: c_int) -> io::Result<c_int> {
    if code < 0 { Err(io::Error::from_raw_os_error(code.saturating_neg())) } else { Ok(code) }
}

/// As [`check`], for calls that return a number of bytes.
fn check_length(length: isize) -> io::Result<usize> {
    usize::try_from(length)
        .map_err(|_| io::Error::from_raw_os_error(i32::try_from(length.saturating_neg()).unwrap_or(i32::MAX)))
}

fn c_string(text: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error()))
}

/// A connection to a cluster, or a handle that is not connected yet.
pub(crate) struct Cluster {
    functions: &'static Functions,
    handle: Handle,
}

// SAFETY: librados allows several threads to use a `rados_t` at once, and the handle refers to none of our data.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    /// A handle for the cluster named `cluster` and the user with the full name `user` (`client.admin`). It is not
    /// connected yet. Loads the libraries.
    ///
    /// # Errors
    /// The outer error: the libraries are missing or too old. The inner error: the one that librados reports.
    pub(crate) fn new(cluster: &str, user: &str) -> Result<io::Result<Self>, String> {
        let functions = library::functions()?;
        Ok((|| {
            let (cluster, user) = (c_string(cluster)?, c_string(user)?);
            let mut handle = null_mut();
            // SAFETY: both strings end in NUL and live until the call returns. The call stores the handle in `handle`.
            check(unsafe { (functions.rados_create2)(&mut handle, cluster.as_ptr(), user.as_ptr(), 0) })?;
            Ok(Cluster { functions, handle })
        })())
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// The file is missing, or is not a configuration file.
    pub(crate) fn read_configuration(&self, path: &Path) -> io::Result<()> {
        let path = c_string(path.as_os_str().as_bytes())?;
        // SAFETY: the handle is live. The path ends in NUL and lives until the call returns.
        check(unsafe { (self.functions.rados_conf_read_file)(self.handle, path.as_ptr()) }).map(drop)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// There is no option of that name, or the value is invalid.
    pub(crate) fn set(&self, option: &str, value: &str) -> io::Result<()> {
        let (option, value) = (c_string(option)?, c_string(value)?);
        // SAFETY: as above, for both strings.
        check(unsafe { (self.functions.rados_conf_set)(self.handle, option.as_ptr(), value.as_ptr()) })
            .map(drop)
    }

    /// Connects. Waits for `client_mount_timeout` at most.
    ///
    /// # Errors
    /// No monitor answers, or the cluster does not know the user or the key.
    pub(crate) fn connect(&self) -> io::Result<()> {
        // SAFETY: the handle is live.
        check(unsafe { (self.functions.rados_connect)(self.handle) }).map(drop)
    }

    /// The identity of the cluster, as text. Needs a connection.
    ///
    /// # Errors
    /// The error that librados reports.
    pub(crate) fn fsid(&self) -> io::Result<String> {
        let mut text = [0_u8; 64];
        // SAFETY: the call writes at most `text.len()` bytes into `text`.
        let length = check(unsafe {
            (self.functions.rados_cluster_fsid)(self.handle, text.as_mut_ptr().cast(), text.len())
        })?;
        let length = usize::try_from(length).unwrap_or(0).min(text.len());
        Ok(String::from_utf8_lossy(&text[..length]).trim_end_matches('\0').to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SAFETY: the handle is live, nothing uses it any more (pools hold a reference to this `Cluster`), and nothing
        // uses it afterwards.
        unsafe { (self.functions.rados_shutdown)(self.handle) }
    }
}

/// A pool, or a namespace in one.
pub(crate) struct Pool {
    cluster: Arc<Cluster>,
    context: Handle,
}

// SAFETY: as for the cluster. Several threads may use an I/O context at once, and its namespace is set only before it
// is shared.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Opens the pool `name`, and `namespace` in it. An empty namespace holds the images that have no namespace.
    ///
    /// # Errors
    /// There is no such pool. A missing namespace shows only later.
    pub(crate) fn open(cluster: &Arc<Cluster>, name: &str, namespace: &str) -> io::Result<Self> {
        let (name, namespace) = (c_string(name)?, c_string(namespace)?);
        let functions = cluster.functions;
        let mut context = null_mut();
        // SAFETY: the cluster's handle is live, and the name ends in NUL. The call stores the context in `context`.
        check(unsafe { (functions.rados_ioctx_create)(cluster.handle, name.as_ptr(), &mut context) })?;
        // SAFETY: the context comes from the call above. The namespace ends in NUL, and the call copies it.
        unsafe { (functions.rados_ioctx_set_namespace)(context, namespace.as_ptr()) };
        Ok(Pool { cluster: Arc::clone(cluster), context })
    }

    /// The number of the pool. The cluster never gives it to another pool.
    pub(crate) fn id(&self) -> i64 {
        // SAFETY: the context is live.
        unsafe { (self.functions().rados_ioctx_get_id)(self.context) }
    }

    /// The names of the images in the pool or namespace.
    ///
    /// # Errors
    /// The namespace does not exist, or librbd reports another error.
    pub(crate) fn images(&self) -> io::Result<Vec<String>> {
        let mut room = 4096;
        loop {
            let mut names = vec![0_u8; room];
            // SAFETY: the context is live, and `names` has `room` bytes. The call stores the number of bytes that it
            // needs in `room`.
            let listed = check(unsafe {
                (self.functions().rbd_list)(self.context, names.as_mut_ptr().cast(), &mut room)
            });
            match listed {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::RANGE.raw_os_error()) => continue,
                listed => names.truncate(usize::try_from(listed?).unwrap_or(0)),
            }
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            return Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect());
        }
    }

    /// Creates an image of `size` bytes with the given features (a sum of `RBD_FEATURE_*`).
    ///
    /// # Errors
    /// An image of that name exists, or librbd reports another error.
    pub(crate) fn create(&self, name: &str, size: u64, features: u64) -> io::Result<()> {
        /// `RBD_IMAGE_OPTION_FEATURES`.
        const FEATURES: c_int = 1;
        let name = c_string(name)?;
        let functions = self.functions();
        let mut options = null_mut();
        // SAFETY: the options are created, used and destroyed only here. The context is live. The name ends in NUL and
        // lives until the call returns.
        let code = unsafe {
            (functions.rbd_image_options_create)(&mut options);
            let mut code = (functions.rbd_image_options_set_uint64)(options, FEATURES, features);
            if code >= 0 {
                code = (functions.rbd_create4)(self.context, name.as_ptr(), size, options);
            }
            (functions.rbd_image_options_destroy)(options);
            code
        };
        check(code).map(drop)
    }

    fn functions(&self) -> &'static Functions {
        self.cluster.functions
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the context is live, images hold a reference to this `Pool`, and nothing uses the context afterwards.
        unsafe { (self.functions().rados_ioctx_destroy)(self.context) }
    }
}
