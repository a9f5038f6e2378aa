//! Restores and scrubs that must be refused.

use super::{BLOCK, UNKNOWN, image, with_version};
use crate::common::disk::LoopDevice;
use crate::common::install::noise;

#[test]
fn a_version_that_is_not_there_makes_no_target() {
    let (install, _) = with_version();
    let target = install.url("out");
    for unknown in UNKNOWN {
        install.refuses(100, &["restore", unknown, &target], &["not found", unknown]);
        install.refuses(100, &["restore", "-f", "-s", unknown, &target], &["not found"]);
        install.refuses(100, &["scrub", unknown], &["not found", unknown]);
    }
}

#[test]
fn a_name_with_invalid_versions_only_is_reported_with_their_uids() {
    let (install, uid) = with_version();
    install.change("UPDATE versions SET valid = 0");
    for text in ["a", "a:latest", "a:0"] {
        let words = ["not found", "no valid version", &uid, "(invalid)"];
        install.refuses(100, &["restore", text, &install.url("out")], &words);
    }
    install.fails(20, &["restore", &uid[..6], &install.url("out")]);
}

#[test]
fn a_target_that_exists_is_not_touched_without_force() {
    let (install, uid) = with_version();
    let target = install.image("out", &[7; 9 * BLOCK]);
    install.refuses(1, &["restore", &uid, &target], &["already exists", &target]);
    install.refuses(1, &["restore", "-s", &uid, &target], &["already exists"]);
    assert_eq!(std::fs::read(install.path("out")).expect("read"), [7; 9 * BLOCK]);
    install.ok(&["restore", "-f", &uid, &target]);
    let data = std::fs::read(install.path("out")).expect("read");
    assert!(
        data[..8 * BLOCK] == image() && data[8 * BLOCK..] == [7; BLOCK],
        "what is behind the image stays"
    );
}

#[test]
fn a_target_that_is_too_small_is_not_touched() {
    let (install, uid) = with_version();
    let target = install.image("out", &[7; 100]);
    for args in [&["-f"][..], &["-f", "-s"], &["-c", "3"]] {
        let args = [&["restore"], args, &[&uid, &target]].concat();
        install.refuses(1, &args, &["too small", "100", &(8 * BLOCK).to_string()]);
    }
    assert_eq!(std::fs::read(install.path("out")).expect("read"), [7; 100]);
}

#[test]
fn a_malformed_number_is_refused() {
    let (install, uid) = with_version();
    let target = install.url("out");
    for number in ["x", "", "-1", "1.5", "99999999999999999999999"] {
        install.refuses(100, &["restore", "-c", number, &uid, &target], &["--continue-from", number]);
    }
    for number in ["x", "", "-1", "101", "5%"] {
        install.refuses(100, &["scrub", "-p", number, &uid], &["--percentile", number]);
    }
}

#[test]
fn to_continue_behind_the_end_restores_nothing() {
    let (install, uid) = with_version();
    for number in ["8", "99", "18446744073709551615"] {
        install.ok(&["restore", "-c", number, &uid, &install.url("out")]);
        assert_eq!(std::fs::read(install.path("out")).expect("read"), [0; 8 * BLOCK]);
        std::fs::remove_file(install.path("out")).expect("removed");
    }
}

#[test]
fn an_impossible_target_is_named() {
    let (install, uid) = with_version();
    let (folder, inside) = (install.url("lock"), install.url("a.img/x"));
    for (target, word) in [
        ("vm:latest", "You must provide the type"),
        ("", "You must provide the type"),
        ("foo://x", "foo://"),
        ("file://", "no path"),
        ("file:///nonexistent/dir/x", "/nonexistent/dir"),
        ("null://5XB", "5XB"),
        ("rbd://pool", "names no image"),
        (&folder, "directory"),
        (&inside, "a.img"),
        ("/dev/null", "/dev/null"),
    ] {
        install.refuses(100, &["restore", &uid, target], &[word]);
        install.refuses(100, &["restore", "-f", &uid, target], &[word]);
    }
}

#[test]
fn a_source_that_is_missing_or_shorter_says_nothing_of_the_version() {
    let (install, uid) = with_version();
    let short = install.image("short.img", &image()[1..]);
    install.refuses(100, &["scrub", "-s", &short, &uid], &["short.img", &(8 * BLOCK).to_string()]);
    let empty = install.image("empty.img", b"");
    install.refuses(100, &["scrub", "-s", &empty, &uid], &["empty.img"]);
    install.refuses(100, &["scrub", "-s", "file:///nonexistent/x", &uid], &["/nonexistent/x"]);
    install.refuses(100, &["scrub", "-s", "x", &uid], &["You must provide the type"]);
    install.refuses(100, &["scrub", "-s", &install.url("lock"), &uid], &["directory"]);
    assert!(install.is_valid(&uid));
}

#[test]
fn a_source_that_has_changed_does_not_make_a_version_invalid() {
    let (install, uid) = with_version();
    let other = install.image("other.img", &noise(9, 8 * BLOCK));
    install.refuses(20, &["scrub", "-s", &other, &uid], &["block 0", "block 2", "block 7"]);
    let mut grown = image();
    grown.extend([1; 3 * BLOCK]);
    install.ok(&["scrub", "-s", &install.image("grown.img", &grown), &uid]);
}

/// A QEMU program that has an image open, like a virtual machine.
struct Qemu(std::process::Child);

impl Qemu {
    /// `None` if QEMU is not installed; the test is then reported as skipped.
    fn open(test: &str, options: &[&str], image: &str) -> Option<Self> {
        use std::io::Read;
        use std::process::{Command, Stdio};
        let mut command = Command::new("qemu-io");
        command.args(options).args(["-f", "raw", image]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            crate::common::skip(test, "qemu-io cannot be run");
            return None;
        };
        // The prompt appears when the image is open.
        let mut prompt = [0; 7];
        child.stdout.as_mut().expect("piped").read_exact(&mut prompt).expect("a prompt");
        assert_eq!(&prompt, b"qemu-io");
        Some(Qemu(child))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_image_that_a_virtual_machine_has_open_is_not_overwritten() {
    let (install, uid) = with_version();
    let target = install.image("out", &[7; 9 * BLOCK]);
    for options in [&[][..], &["-r"]] {
        let test = "an_image_that_a_virtual_machine_has_open_is_not_overwritten";
        let Some(qemu) = Qemu::open(test, options, &install.text("out")) else { return };
        for args in [&["-f"][..], &["-f", "-s"], &["-c", "3"]] {
            let args = [&["restore"], args, &[&uid, &target]].concat();
            install.refuses(100, &args, &["the file is in use", "virtual machine", "Nothing was written"]);
        }
        assert_eq!(std::fs::read(install.path("out")).expect("read"), [7; 9 * BLOCK]);
        drop(qemu);
    }
    install.ok(&["restore", "-f", &uid, &target]);
}

#[test]
fn a_file_that_a_loop_device_is_made_of_is_not_overwritten() {
    let test = "a_file_that_a_loop_device_is_made_of_is_not_overwritten";
    let (install, uid) = with_version();
    let target = install.image("out", &[7; 9 * BLOCK]);
    let device = match LoopDevice::attach(&install.path("out")) {
        Ok(device) => device,
        Err(reason) => return crate::common::skip(test, &reason),
    };
    let words = ["the file is in use", &device.0, "losetup --detach", "Nothing was written"];
    install.refuses(100, &["restore", "-f", &uid, &target], &words);
    assert_eq!(std::fs::read(install.path("out")).expect("read"), [7; 9 * BLOCK]);
    // The device itself may be overwritten, unless a virtual machine has it open.
    if let Some(qemu) = Qemu::open(test, &[], &device.0) {
        install.refuses(100, &["restore", "-f", &uid, &device.0], &["the device is in use", "QEMU"]);
        drop(qemu);
    }
    install.ok(&["restore", "-f", &uid, &device.0]);
    drop(device);
    install.ok(&["restore", "-f", &uid, &target]);
}
