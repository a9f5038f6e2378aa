//! A mount that ends with the test.

use crate::common::checks::wait_until;
use crate::common::disk::{run, text};
use crate::common::install::{Install, Run};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

/// A mount must appear and disappear within this time.
pub const SOON: Duration = Duration::from_secs(20);

/// A running `backy2 fuse`.
pub struct Mount {
    child: Option<Child>,
    at: PathBuf,
}

impl Mount {
    /// Mounts the installation on its folder `mnt`, with further arguments.
    pub fn new(install: &Install, args: &[&str]) -> Self {
        Self::on(install, "mnt", args)
    }

    /// Mounts the installation on another of its folders.
    pub fn on(install: &Install, folder: &str, args: &[&str]) -> Self {
        let at = install.path(folder);
        let _ = std::fs::create_dir(&at);
        let child = install.start(&[&["fuse", text(&at)], args].concat());
        let mount = Mount { child: Some(child), at };
        wait_until("mounted", SOON, || mount.path("by_name").is_dir());
        mount
    }

    /// Whether mounts can be made on this machine. If not, the test is reported as skipped.
    pub fn possible(test: &str) -> bool {
        let root = rustix::process::geteuid().is_root();
        let possible = root && Path::new("/dev/fuse").exists();
        if !possible {
            crate::common::skip(test, "a mount needs root and /dev/fuse");
        }
        possible
    }

    /// A path below the mountpoint.
    pub fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// The image of a version.
    pub fn data(&self, uid: &str) -> PathBuf {
        self.path(&format!("by_version_uid/{uid}/data"))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("runs").id()
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("sent");
    }

    /// Waits for the process to end.
    pub fn ended(mut self) -> Run {
        // The output fits into the pipes, so nothing blocks.
        let child = self.child.as_mut().expect("runs");
        wait_until("the mount's process has ended", 3 * SOON, || child.try_wait().expect("asked").is_some());
        crate::common::checks::ended(self.child.take().expect("runs"))
    }

    /// Unmounts, and returns the output of the process.
    pub fn unmount(self) -> Run {
        // A program that another test is just starting may have a file of the mount open for a moment.
        wait_until("unmounted", SOON, || run("umount", &[text(&self.at)]).is_ok());
        let run = self.ended();
        assert_eq!(run.code, 0, "{run:?}");
        run
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = run("umount", &["--lazy", text(&self.at)]);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
