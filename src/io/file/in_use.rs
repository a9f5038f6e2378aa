//! Finds users of a file that is about to be overwritten. A device in use cannot be opened, but a file can.

use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The user of `file`, in words that follow "it is in use: ". `None` if no user is known.
///
/// If the system cannot report one kind of use (no `/proc`, no `/sys`, a file system without locks), the file counts as
/// not used that way.
pub(super) fn user_of(file: &File, metadata: &Metadata) -> Option<String> {
    locked(file).or_else(|| attached(metadata, Path::new("/sys/block"))).or_else(|| {
        let swaps = fs::read("/proc/swaps").unwrap_or_default();
        swapped(metadata, &swaps).then(|| "the system uses it as swap space. Run swapoff first".to_owned())
    })
}

/// A process with any lock on the file reads it or writes to it. QEMU and its tools lock single bytes of their open
/// images, and other hypervisors do so too.
fn locked(file: &File) -> Option<String> {
    // From the first byte to the end. Locks of both kinds conflict with this one.
    let holder = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    // A lock that belongs to an open file, as QEMU's does, has the pid -1. If there is no pid, the holder is on another
    // host.
    let pid = holder.pid.map(|pid| pid.as_raw_pid()).filter(|pid| *pid > 0);
    let who = pid.map_or_else(
        || "a program has locked it, as QEMU does while it has an image open".to_owned(),
        |pid| format!("process {pid} has locked it"),
    );
    Some(format!("{who}. Stop the virtual machine or the program first"))
}

/// The loop device that uses the file.
fn attached(metadata: &Metadata, devices: &Path) -> Option<String> {
    let found = fs::read_dir(devices).ok()?.flatten().find(|device| {
        let backing = fs::read(device.path().join("loop/backing_file")).unwrap_or_default();
        let backing = backing.strip_suffix(b"\n").unwrap_or(&backing);
        !backing.is_empty() && is_same(metadata, Path::new(std::ffi::OsStr::from_bytes(backing)))
    })?;
    let device = found.file_name();
    let device = device.to_string_lossy();
    Some(format!("/dev/{device} uses it. Unmount that device and run `losetup --detach /dev/{device}` first"))
}

/// Whether the file is in the list of swap files.
fn swapped(metadata: &Metadata, swaps: &[u8]) -> bool {
    let lines = swaps.split(|byte| *byte == b'\n').skip(1);
    let first = |line: &[u8]| line.split(|byte| matches!(byte, b' ' | b'\t')).next().map(unescaped);
    lines.filter_map(first).any(|path| is_same(metadata, &path))
}

/// The kernel writes a blank as `\040`.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<3>().filter(|_| *byte == b'\\');
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &behind[3..] } else { behind };
    }
    PathBuf::from(OsString::from_vec(plain))
}

fn is_same(metadata: &Metadata, path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()) && other.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(folder: &tempfile::TempDir, name: &str) -> (PathBuf, File, Metadata) {
        let path = folder.path().join(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path).expect("a file");
        let metadata = file.metadata().expect("told");
        (path, file, metadata)
    }

    #[test]
    fn a_file_that_nobody_uses_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, file, metadata) = file_in(&folder, "x");
        assert_eq!(user_of(&file, &metadata), None);
    }

    #[test]
    fn a_loop_device_is_found_by_the_file_and_not_by_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, _, metadata) = file_in(&folder, "x y");
        let device = folder.path().join("devices/loop7/loop");
        fs::create_dir_all(&device).expect("made");
        let other = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &other).expect("linked");
        for backing in [&path, &other] {
            fs::write(device.join("backing_file"), format!("{}\n", backing.display())).expect("written");
            let told = attached(&metadata, &folder.path().join("devices")).expect("found");
            assert!(told.starts_with("/dev/loop7 uses it"), "{told}");
        }
        fs::write(device.join("backing_file"), format!("{} (deleted)\n", path.display())).expect("written");
        assert_eq!(attached(&metadata, &folder.path().join("devices")), None);
    }

    #[test]
    fn a_swap_file_is_found_whatever_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, _, metadata) = file_in(&folder, "a b\\c");
        let (_, _, other) = file_in(&folder, "other");
        let escaped = path.to_str().expect("utf-8").replace('\\', "\\134").replace(' ', "\\040");
        let swaps = format!(
            "Filename Type Size Used Priority\n/dev/dm-0 partition 1 0 -2\n{escaped}\tfile\t9\t0\t-3\n"
        );
        assert!(swapped(&metadata, swaps.as_bytes()) && !swapped(&other, swaps.as_bytes()));
        assert_eq!(unescaped(b"\\04"), Path::new("\\04"));
    }
}
