//! A mount of all versions, by FUSE.
//!
//! The tree follows from the list of versions, which is kept in memory and read again when the database has changed.
//! `data` of a version is an [`crate::engine::image::Image`], opened with the first handle.

mod files;
mod mountpoint;
mod names;
mod node;
mod serve;
mod tree;

pub use mountpoint::check;

use crate::engine::image::Depot;
use crate::monitor::Monitor;
use crate::pool::{cores, threads};
use crate::types::error::{Error, Result};
use files::Files;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::mount::{UnmountFlags, unmount};
use serve::Server;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Least threads that answer the kernel. They wait for blocks, too, so that there are more of them than processors.
const THREADS: usize = 8;
/// How often it is looked whether the mount has come to its end.
const PAUSE: Duration = Duration::from_millis(50);

/// Mounts all versions on the folder `path`, calls `mounted` with their number, and returns when the mount has ended:
/// by a signal, or by `umount`.
///
/// # Errors
/// It cannot be mounted.
pub fn run(
    depot: Arc<Depot>,
    path: &Path,
    read_only: bool,
    monitor: &dyn Monitor,
    mounted: impl FnOnce(usize) -> Result<()>,
) -> Result<()> {
    // Those of the kernel's requests, and the one that waits for them.
    threads::can_start(threads_for_requests() + 1)?;
    let files = Files::new(depot, read_only)?;
    let versions = files.tree().len();
    let session = mount(files, path, read_only).map_err(|error| {
        let hint = match rustix::process::geteuid().is_root() {
            true => "",
            false => " Without root this takes the program fusermount3 (package fuse3).",
        };
        Error::Refused(format!("Cannot mount on {}: {error}.{hint}", path.display()))
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

fn mount(files: Files, path: &Path, read_only: bool) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    let writes = if read_only { MountOption::RO } else { MountOption::RW };
    config.mount_options = vec![
        MountOption::FSName("backy2".to_owned()),
        MountOption::Subtype("backy2".to_owned()),
        // With other users let in, the rights of the files must count.
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
        writes,
    ];
    config.acl = if mountpoint::may_allow_others() { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(threads_for_requests());
    config.clone_fd = true;
    Session::new(Server::new(files), path, &config)?.spawn()
}

/// Unmounts, unless that was done. What is still in use is detached: it would hold the process for ever.
///
/// # Errors
/// The threads that answer the kernel could not be started, or have failed.
fn end(session: BackgroundSession, path: &Path, monitor: &dyn Monitor) -> Result<()> {
    if session.guard.is_finished() {
        // The mount goes with the session, if it is still there.
        return match session.join() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(threads::refused(&error)),
            Err(error) => Err(Error::Refused(format!("The mount on {} has failed: {error}", path.display()))),
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
                "{} is still in use ({error}): by a loop device, a mount, or a program that has a file or folder of it \
                 open. {how} Whatever uses it gets errors from now on.",
                path.display()
            ));
        }
    }
    Ok(())
}
