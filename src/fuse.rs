//! A FUSE mount of all versions.
//!
//! The tree is made from the list of versions, which is kept in memory and read again when the database has changed.
//! The file `data` of a version is an [`crate::engine::image::Image`], which the first handle opens.

mod files;
mod mountpoint;
mod names;
mod node;
mod serve;
mod tree;

pub(crate) use files::Writing;
pub(crate) use mountpoint::check;

use crate::engine::image::Depot;
use crate::monitor::Monitor;
use crate::pool::{cores, threads};
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use files::Files;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::mount::{UnmountFlags, unmount};
use serve::Server;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The fewest threads that answer the kernel. They also wait for blocks, so there are more of them than processors.
const THREADS: usize = 8;
/// How often the mount is checked for its end.
const PAUSE: Duration = Duration::from_millis(50);

/// Mounts all versions on the folder `path`, calls `mounted` with their number, and returns when a signal or `umount`
/// has ended the mount.
///
/// # Errors
/// The mount fails; the errors of `mounted`.
pub(crate) fn run(
    depot: Arc<Depot>,
    path: &Path,
    writing: Writing,
    monitor: &dyn Monitor,
    mounted: impl FnOnce(usize) -> Result<()>,
) -> Result<()> {
    // The threads that answer the kernel, and the session's own thread, which waits for them.
    threads::can_start(threads_for_requests() + 1)?;
    let files = Files::new(depot, writing)?;
    let versions = files.tree().len();
    let session = mount(files, path, writing).map_err(|error| {
        let hint = if rustix::process::geteuid().is_root() {
            ""
        } else {
            " Without root, mounting needs the program fusermount3 (package fuse3)."
        };
        Error::refused(because(format!("Cannot mount on {}", path.display()), error).advise(hint))
    })?;
    mounted(versions)?;
    while !session.guard.is_finished() && monitor.interrupted().is_none() {
        std::thread::sleep(PAUSE);
    }
    end(session, path, monitor)
}

fn threads_for_requests() -> usize {
    THREADS.max(2 * cores())
}

fn mount(files: Files, path: &Path, writing: Writing) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    let writes = match writing {
        Writing::Allowed => MountOption::RW,
        Writing::Refused => MountOption::RO,
    };
    config.mount_options = vec![
        MountOption::FSName("backy2".to_owned()),
        MountOption::Subtype("backy2".to_owned()),
        // If other users are let in, the kernel must check the permissions of the files.
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
        writes,
    ];
    config.acl = if mountpoint::may_allow_others() { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(threads_for_requests());
    config.clone_fd = true;
    Session::new(Server::new(files), path, &config)?.spawn()
}

/// Unmounts, unless somebody has done so already. A mount that is still in use is only detached; waiting for its users
/// could take for ever.
///
/// # Errors
/// The threads that answer the kernel could not be started, or have failed.
fn end(session: BackgroundSession, path: &Path, monitor: &dyn Monitor) -> Result<()> {
    if session.guard.is_finished() {
        // Joining the session also unmounts, if that is still necessary.
        return match session.join() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(threads::refused(error)),
            Err(error) => {
                Err(Error::refused(because(format!("The mount on {} has failed", path.display()), error)))
            }
            Ok(()) => {
                monitor.info(&format!("{} was unmounted.", path.display()));
                Ok(())
            }
        };
    }
    match session.umount_and_join() {
        Ok(()) => monitor.info(&format!("Unmounted {}.", path.display())),
        Err(error) => {
            let detached = unmount(path, UnmountFlags::DETACH);
            let how = detached
                .map_or_else(|e| format!("It cannot be detached: {e}."), |()| "It was detached.".into());
            monitor.warning(&format!(
                "{} is still in use ({error}) by a loop device, a mount, or a program with an open file or \
                 folder. {how} Its users get errors from now on.",
                path.display()
            ));
        }
    }
    Ok(())
}
