//! Replacing the file, also while other processes do so.

use super::Metrics;
use crate::sys::private::open_lock;
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::settings::FileMode;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for another process that writes the file.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two attempts to get the lock.
const RETRY: Duration = Duration::from_millis(5);
/// The largest file in bytes that is read.
const MOST: u64 = 16 << 20;

/// Reads the metrics at `path`, passes them to `change`, and replaces the file. Readers see either the old file or the new
/// one. Several processes may do this at the same time: they wait for each other, for two seconds at most.
///
/// # Errors
/// [`Error::Refused`]: there is another file at `path`, or it cannot be read, locked or written. It stays as it is then.
pub(crate) fn update(path: &Path, change: impl FnOnce(&mut Metrics)) -> Result<()> {
    let failed =
        |reason: Reason| Error::refused(reason.during(&format!("The metrics_file {}", path.display())));
    let _lock = lock(path).map_err(failed)?;
    let mut metrics = read(path).map_err(failed)?;
    change(&mut metrics);
    let written = Whole::begin_anew(path, FileMode::PUBLIC).and_then(|mut file| {
        file.write_all(metrics.text().as_bytes())?;
        file.finish()
    });
    written.map_err(|error| failed(because("it cannot be replaced", error)))
}

/// The lock file. It stays, so that all processes lock the same one.
fn lock_file(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(".lock");
    Some(path.with_file_name(name))
}

/// Takes the lock. It is released when the file is dropped.
fn lock(path: &Path) -> std::result::Result<File, Reason> {
    let beside = lock_file(path).ok_or("it is not the path of a file")?;
    let failed = |error: io::Error| because(format!("its lock {} cannot be used", beside.display()), error);
    let begin = Instant::now();
    loop {
        // Somebody may remove the file while it is opened.
        match open_lock(&beside, Some(FileMode::PRIVATE)) {
            Err(error) if error.kind() == ErrorKind::NotFound && begin.elapsed() < RETRY => {}
            Err(error) => return Err(failed(error)),
            Ok(file) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK | Errno::INTR) if begin.elapsed() < PATIENCE => sleep(RETRY),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(
                        format!("another process has held its lock for {} s", PATIENCE.as_secs()).into()
                    );
                }
                Err(error) => return Err(failed(error.into())),
            },
        }
    }
}

/// The metrics in the file. There are none if it is absent or empty.
fn read(path: &Path) -> std::result::Result<Metrics, Reason> {
    // Others may be allowed to write to the folder, so links are not followed, and pipes do not make us wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Metrics::default()),
        Err(Errno::LOOP) => return Err("it is a link. Name the file itself".into()),
        Err(error) => return Err(because("it cannot be read", io::Error::from(error))),
    };
    let failed = |error| because("it cannot be read", error);
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let foreign =
        "it was not written by backy2, so it was not replaced. Name another file, or remove this one";
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Ok(Metrics::default()),
        Ok(text) if text.len() as u64 <= MOST => Metrics::parse(&text).ok_or_else(|| foreign.into()),
        _ => Err(foreign.into()),
    }
}
