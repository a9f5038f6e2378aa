//! The processes that hold locks: this process, and others as the kernel describes them.

use super::dir::{PREFIX, SUFFIX};
use crate::types::error::{Error, Result};
use crate::types::lock::Identity;
use crate::types::time::Timestamp;
use chrono::DateTime;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A lock and the process that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the lock.
    pub name: String,
    /// Whether the lock is exclusive.
    pub exclusive: bool,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// The title of the process: `backy2`, and its current work.
    pub command: String,
    /// When the lock was taken; for lock files, when the process was started, or, if it is gone,
    /// when the file was made. `None` if that is not known.
    pub since: Option<Timestamp>,
    /// Seconds since the last heartbeat; `None` for lock files.
    pub heard: Option<u64>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { name, host, pid, command, .. } = self;
        write!(f, "{name} is held by {command:?}, process {pid} on {host}")?;
        self.since.map_or(Ok(()), |since| write!(f, ", since {since} UTC"))
    }
}

impl Identity {
    /// This process, with its present title.
    pub(crate) fn own() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
        let pid = std::process::id();
        Identity {
            host: host(),
            machine: format!("{} {}", boot.trim(), space.unwrap_or_default()),
            pid,
            started: started(pid).unwrap_or_default(),
            command: command(pid),
        }
    }

    /// The present title of this process.
    pub(crate) fn title() -> String {
        command(std::process::id())
    }

    /// Whether the process `pid` of this machine is alive and was started at `ticks`.
    pub(crate) fn is_alive(pid: u32, ticks: u64) -> bool {
        if stat(pid).is_some() {
            return started(pid) == Some(ticks);
        }
        // If /proc hides the processes of other users, the kernel still says whether there is such a process.
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The fields of `/proc/PID/stat` after the name, which may contain anything. The first field is the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// When a process was started, in ticks since boot. `None`: there is no such process, or it has ended.
fn started(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    let state = fields.first()?;
    if matches!(&state[..], "Z" | "X" | "x") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// The title that a process has given itself, or the name of its program. It leaves out the arguments, because one of
/// them may be a key.
pub(super) fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(first).trim().to_owned()
}

/// When a process was started.
fn running_since(pid: u32) -> Option<Timestamp> {
    moment(fs::metadata(format!("/proc/{pid}")).ok()?.mtime())
}

/// A time in seconds since 1970.
fn moment(seconds: i64) -> Option<Timestamp> {
    DateTime::from_timestamp(seconds, 0).map(|time| Timestamp::from_naive(time.naive_utc()))
}

/// The holders of the lock files in a folder. Takes no lock.
///
/// # Errors
/// [`Error::LockDir`]: the folder cannot be read.
pub(super) fn local(dir: &Path) -> Result<Vec<Holder>> {
    let unreadable = |e: std::io::Error| Error::LockDir { path: dir.to_owned(), reason: e.into() };
    let mut names: HashMap<u64, (String, i64)> = HashMap::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.file_name();
        let name = file.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if let (Some(name), Ok(metadata)) = (name, entry.metadata()) {
            names.insert(metadata.ino(), (name.to_owned(), metadata.mtime()));
        }
    }
    let own = std::process::id();
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let held = table.lines().filter_map(flock);
    let held = held.filter(|(_, pid, _)| *pid != own);
    Ok(held
        .filter_map(|(inode, pid, exclusive)| {
            let (name, made) = names.get(&inode)?.clone();
            // A process that has been killed may have left the lock to those that it has started.
            let since = running_since(pid).or_else(|| moment(made));
            let command = command(pid);
            Some(Holder { name, exclusive, host: host(), pid, command, since, heard: None })
        })
        .collect())
}

/// Parses a line of `/proc/locks` about a lock that flock holds: `1: FLOCK  ADVISORY  WRITE 123 08:01:456 0 EOF`. Returns
/// the inode, the process, and whether the lock is exclusive.
fn flock(line: &str) -> Option<(u64, u32, bool)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, mode, pid, file, ..] => {
            let inode = file.rsplit(':').next()?.parse().ok()?;
            Some((inode, pid.parse().ok()?, mode == "WRITE"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_start() {
        let me = Identity::own();
        assert!(Identity::is_alive(me.pid, me.started) && me.started > 0);
        assert!(!Identity::is_alive(me.pid, me.started + 1), "another one with the same number");
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let (pid, ticks) = (child.id(), started(child.id()).unwrap_or_default());
        // Dead, though nobody has asked for its exit code yet.
        while started(pid).is_some() {
            std::thread::yield_now();
        }
        assert!(!Identity::is_alive(pid, ticks));
        child.wait().expect("ended");
        assert!(!me.machine.trim().is_empty() && !me.host.is_empty() && !me.command.is_empty());
    }

    #[test]
    fn lines_about_other_kinds_of_locks_are_passed_over() {
        assert_eq!(flock("1: FLOCK  ADVISORY  WRITE 123 08:01:456 0 EOF"), Some((456, 123, true)));
        assert_eq!(flock("2: FLOCK  ADVISORY  READ 7 00:1a:8 0 EOF"), Some((8, 7, false)));
        assert_eq!(flock("3: POSIX  ADVISORY  WRITE 123 08:01:456 0 EOF"), None);
        assert_eq!(flock("1: -> FLOCK  ADVISORY  WRITE 123 08:01:456 0 EOF"), None, "it waits");
        assert_eq!(flock(""), None);
    }

    #[test]
    fn holders_of_files_are_found() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("backy_some-uid.lock");
        fs::write(&path, "").expect("write");
        assert_eq!(local(folder.path()).expect("reads"), [], "a file alone is no lock");
        let mut child = std::process::Command::new("flock")
            .args(["-o", "-s", path.to_str().expect("utf-8"), "sleep", "60"])
            .spawn()
            .expect("flock of util-linux");
        let found = loop {
            let found = local(folder.path()).expect("reads");
            if !found.is_empty() {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!((&found[0].name[..], found[0].exclusive, found[0].pid), ("some-uid", false, child.id()));
        assert!(found[0].command.contains("flock"), "{found:?}");
        let text = found[0].to_string();
        assert!(text.contains("some-uid is held by") && text.contains("since"), "{text}");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
}
