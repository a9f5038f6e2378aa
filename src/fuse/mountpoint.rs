//! Checks of the mountpoint, and whether other users may be let in.

use crate::types::error::{Error, Result};
use crate::types::reason::because;
use rustix::io::Errno;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const DEVICE: &str = "/dev/fuse";

/// Checks that `path` can be mounted on.
///
/// # Errors
/// [`Error::Refused`]: it is missing, is no folder, is not empty, is in use, or is left over from a killed process; or
/// the kernel has no FUSE.
pub(crate) fn check(path: &Path) -> Result<()> {
    let shown = path.display();
    let refused = |why: String| Err(Error::refused(why));
    let unusable = |e| Err(Error::refused(because(format!("Cannot mount on {shown}"), e)));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            return refused(format!(
                "{shown} is still the mountpoint of a process that was killed. `umount {shown}` (without root: \
                 `fusermount3 -u {shown}`) clears it."
            ));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return refused(format!("The mountpoint {shown} does not exist. Create the folder first."));
        }
        Err(e) => return unusable(e),
    };
    if !metadata.is_dir() {
        return refused(format!("{shown} is not a folder. A mount needs an empty folder."));
    }
    if is_mountpoint(path) {
        return refused(format!(
            "Something is already mounted on {shown}. Use another folder, or `umount {shown}` first."
        ));
    }
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            return refused(format!(
                "{shown} is not empty: the mount would hide its content. Use an empty folder."
            ));
        }
        Err(e) => return unusable(e),
    }
    match fs::metadata(DEVICE) {
        Ok(_) => Ok(()),
        Err(_) => refused(format!(
            "{DEVICE} does not exist. Load the kernel module with `modprobe fuse`. A container needs access \
             to the device (--device {DEVICE})."
        )),
    }
}

/// Whether the kernel lists `path` as a mountpoint.
fn is_mountpoint(path: &Path) -> bool {
    let (Ok(path), Ok(list)) = (path.canonicalize(), fs::read_to_string("/proc/self/mountinfo")) else {
        return false;
    };
    list.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| Path::new(&unescaped(point)) == path)
}

/// Decodes the kernel's list: it writes blanks and the like as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escaped, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(escaped, character);
    }
    plain
}

/// Whether other users may be let in: root may always do so, other users only if `/etc/fuse.conf` allows it.
pub(super) fn may_allow_others() -> bool {
    let allowed = || fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    rustix::process::geteuid().is_root() || allowed().lines().any(|line| line.trim() == "user_allow_other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        check(path).expect_err("refused").to_string()
    }

    #[test]
    fn unusable_mountpoints_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(refusal(&folder.path().join("x")).contains("does not exist"));
        fs::write(folder.path().join("file"), "").expect("written");
        assert!(refusal(&folder.path().join("file")).contains("is not a folder"));
        assert!(refusal(folder.path()).contains("is not empty"));
        assert!(refusal(Path::new("/proc")).contains("already mounted on /proc"));
        assert_eq!(unescaped("/a\\040b\\134c"), "/a b\\c");
    }
}
