//! File systems in image files and on loop devices.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program, and returns its output, or an error text if it fails.
pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program} {args:?}: {} {}", text(&output.stdout), text(&output.stderr)))
    }
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

/// A loop device over a file; detached when dropped, even by a panic.
pub struct LoopDevice(pub String);

impl LoopDevice {
    /// Attaches a loop device, or says why that failed.
    pub fn attach(file: &Path) -> Result<Self, String> {
        run("losetup", &["--find", "--show", text(file)]).map(LoopDevice)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.0]);
    }
}

/// A mounted device; unmounted when dropped.
pub struct Mounted {
    /// The mountpoint.
    pub at: PathBuf,
}

impl Mounted {
    /// Mounts a device on an existing folder, or says why that failed.
    pub fn mount(device: &str, at: &Path) -> Result<Self, String> {
        run("mount", &[device, text(at)])?;
        Ok(Mounted { at: at.to_owned() })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run("umount", &[text(&self.at)]);
    }
}

/// Reads two files or devices of the same size. Calls `each` with every piece: offset, old bytes, new bytes.
pub fn compare(old: &Path, new: &Path, piece: usize, mut each: impl FnMut(u64, &[u8], &[u8])) {
    let (mut old, mut new) = (File::open(old).expect("opened"), File::open(new).expect("opened"));
    let mut offset = 0;
    loop {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        (&mut old).take(piece as u64).read_to_end(&mut left).expect("read");
        (&mut new).take(piece as u64).read_to_end(&mut right).expect("read");
        assert_eq!(left.len(), right.len(), "they differ in size");
        if left.is_empty() {
            return;
        }
        each(offset, &left, &right);
        offset += left.len() as u64;
    }
}
