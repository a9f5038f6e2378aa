//! Input files that may be pipes. A signal ends the wait for their data.

use crate::monitor::{Handle, Monitor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

/// How often a wait checks for a signal.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A file, a pipe, or stdin.
pub(super) struct Input {
    file: File,
    monitor: Handle,
    /// Whether a read may have to wait for a writer.
    waits: bool,
}

impl Input {
    /// Opens the file with that name; `-` is stdin. A pipe may have no writer yet; the first read waits for one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn open(name: &OsStr, monitor: &dyn Monitor) -> io::Result<Self> {
        let file = if name == "-" {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
            OpenOptions::new().read(true).custom_flags(flags).open(name)?
        };
        let waits = !file.metadata()?.is_file();
        Ok(Input { file, monitor: monitor.handle(), waits })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.waits {
            if self.monitor.interrupted().is_some() {
                return Err(io::Error::other("interrupted"));
            }
            let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut waiting, Some(&SLICE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        self.file.read(buffer)
    }
}
