//! Block devices as sources and targets, by way of loop devices. Needs root and `losetup`.

use backy2::config::IoConfig;
use backy2::io::{Existing, Source, Target, Zeroing, open_source, open_target};
use backy2::types::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MIB: usize = 1 << 20;
const SECTOR: usize = 512;

/// A loop device over its own file; detached when dropped, even by a panic.
struct Loop {
    device: String,
    backing: PathBuf,
    // Dropped last, after the device is detached.
    _dir: TempDir,
}

impl Loop {
    /// A device of `size` bytes, all 7. `None` if no device can be made; the test is then reported as skipped.
    fn new(test: &str, size: usize) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let backing = dir.path().join("backing");
        fs::write(&backing, vec![7; size]).expect("written");
        match losetup(&["--find", "--show"], &backing) {
            Ok(device) => Some(Loop { device, backing, _dir: dir }),
            Err(reason) => {
                crate::common::skip(test, &reason);
                None
            }
        }
    }

    /// Opens the device as a target. Tries for a second if it is in use: a child that another test has just forked
    /// holds this process's files, and so the device, until it executes its program.
    fn target(&self, size: usize, existing: Existing) -> Result<Box<dyn Target>, Error> {
        let url = format!("file://{}", self.device);
        let start = Instant::now();
        loop {
            match open_target(&url, &IoConfig::default(), size as u64, existing) {
                Err(error) if error.to_string().contains("in use") && start.elapsed().as_secs() < 1 => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                done => return done,
            }
        }
    }

    fn source(&self) -> Box<dyn Source> {
        open_source(&self.device, &IoConfig::default(), 4096).expect("opened")
    }

    /// The content of the device, which must be the same in the file behind it.
    fn content(&self) -> Vec<u8> {
        let source = self.source();
        let mut content = vec![0; source.size() as usize];
        source.read_at(0, &mut content).expect("read");
        assert!(content == fs::read(&self.backing).expect("read"), "flushed");
        content
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

fn losetup(options: &[&str], file: &Path) -> Result<String, String> {
    let output = Command::new("losetup").args(options).arg(file).output();
    let output = output.map_err(|e| format!("losetup cannot be run: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("losetup: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Bytes of 7, with zeros in the range `zeros`.
fn sevens(size: usize, zeros: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = vec![7; size];
    bytes[zeros].fill(0);
    bytes
}

#[test]
fn a_device_is_read_in_its_whole_size() {
    let size = 3 * MIB + SECTOR;
    let Some(device) = Loop::new("a_device_is_read_in_its_whole_size", size) else { return };
    let source = device.source();
    assert_eq!(source.size(), size as u64);
    assert_eq!(source.next_data(5), Some(5..size as u64));
    let mut tail = vec![0; SECTOR + 100];
    source.read_at((size - tail.len()) as u64, &mut tail).expect("read");
    assert!(tail.iter().all(|&b| b == 7));
    source.read_at(size as u64, &mut [0]).expect_err("beyond the end");
}

#[test]
fn a_device_is_refused_without_force_and_when_too_small() {
    let Some(device) = Loop::new("a_device_is_refused_without_force_and_when_too_small", MIB) else { return };
    let error = device.target(MIB, Existing::Refuse).err().expect("exists");
    assert!(matches!(error, Error::TargetRefused(_)), "{error:?}");
    let error = device.target(MIB + 1, Existing::Accept).err().expect("too small");
    assert!(matches!(error, Error::TargetRefused(_)), "{error:?}");
    assert!(error.to_string().contains("Has 1048576b, need 1048577b"), "{error}");
    device.target(MIB - 1, Existing::Accept).expect("large enough");
    assert!(device.content() == sevens(MIB, 0..0), "nothing was written");
}

#[test]
fn data_written_to_a_device_is_there() {
    let Some(device) = Loop::new("data_written_to_a_device_is_there", MIB) else { return };
    let target = device.target(MIB, Existing::Accept).expect("opened");
    target.write_at(1000, &[0; 5000]).expect("written");
    target.flush().expect("flushed");
    assert!(device.content() == sevens(MIB, 1000..6000));
    let error = target.write_at(MIB as u64 - 10, &[1; 20]).expect_err("beyond the end").to_string();
    assert!(error.contains(&(MIB - 10).to_string()), "{error}");
}

#[test]
fn any_range_of_a_device_can_be_zeroed() {
    // The last sectors of this device do not fill a page.
    let size = 2 * MIB + 3 * SECTOR;
    let Some(device) = Loop::new("any_range_of_a_device_can_be_zeroed", size) else { return };
    for zeroing in [Zeroing::Always, Zeroing::IfCheap] {
        for range in
            [0..MIB, 8192..12288, 1..size - 1, 4097..8191, 100..101, 3 * SECTOR..MIB + 5, MIB..size, 9..9]
        {
            let target = device.target(size, Existing::Accept).expect("opened");
            target.write_at(0, &vec![7; size]).expect("written");
            let done = target.zero(range.start as u64..range.end as u64, zeroing).expect("zeroed");
            target.flush().expect("flushed");
            if done {
                assert!(device.content() == sevens(size, range.clone()), "{range:?}");
            } else {
                assert_eq!(zeroing, Zeroing::IfCheap, "{range:?}");
            }
        }
    }
}

#[test]
fn zeroing_keeps_unflushed_data_around_it() {
    let Some(device) = Loop::new("zeroing_keeps_unflushed_data_around_it", MIB) else {
        return;
    };
    let target = device.target(MIB, Existing::Accept).expect("opened");
    target.write_at(0, &[9; 10_000]).expect("written");
    target.write_at(90_000, &[9; 10_000]).expect("written");
    assert!(target.zero(10_000..90_000, Zeroing::Always).expect("zeroed"));
    target.flush().expect("flushed");
    let mut expected = sevens(MIB, 10_000..90_000);
    expected[..10_000].fill(9);
    expected[90_000..100_000].fill(9);
    assert!(device.content() == expected);
}

#[test]
fn a_loop_device_zeroes_by_itself_where_the_kernel_says_so() {
    let Some(device) = Loop::new("a_loop_device_zeroes_by_itself_where_the_kernel_says_so", MIB) else {
        return;
    };
    let name = device.device.trim_start_matches("/dev/");
    let told = fs::read_to_string(format!("/sys/block/{name}/queue/write_zeroes_max_bytes"));
    let cheap = told.is_ok_and(|text| text.trim() != "0");
    let target = device.target(MIB, Existing::Accept).expect("opened");
    assert_eq!(target.zero(0..MIB as u64, Zeroing::IfCheap).expect("asked"), cheap);
}

#[test]
fn a_device_that_another_claims_for_an_instant_is_waited_for() {
    use std::os::unix::fs::OpenOptionsExt;
    let Some(device) = Loop::new("a_device_that_another_claims_for_an_instant_is_waited_for", MIB) else {
        return;
    };
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(rustix::fs::OFlags::EXCL.bits() as i32);
    let claimed = options.open(&device.device).expect("claimed");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(150));
            drop(claimed);
        });
        device.target(MIB, Existing::Accept).expect("free after an instant");
    });
}

/// A mounted loop device; unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_mounted_device_is_no_target() {
    const NAME: &str = "a_mounted_device_is_no_target";
    let Some(device) = Loop::new(NAME, 8 * MIB) else { return };
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !run("mkfs.ext4", &["-q", "-F", &device.device]) {
        return crate::common::skip(NAME, "mkfs.ext4 cannot be run");
    }
    let dir = tempfile::tempdir().expect("a folder");
    if !run("mount", &[&device.device, dir.path().to_str().expect("text")]) {
        return crate::common::skip(NAME, "nothing can be mounted");
    }
    let mounted = Mounted(dir.path().to_owned());
    let error = device.target(8 * MIB, Existing::Accept).err().expect("in use");
    assert!(matches!(error, Error::Target { .. }), "{error:?}");
    assert!(error.to_string().contains("in use: it is mounted"), "{error}");
    assert_eq!(device.source().size(), 8 * MIB as u64, "it can be read, though");
    drop(mounted);
    device.target(8 * MIB, Existing::Accept).expect("free again");
}
