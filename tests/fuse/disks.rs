//! Images on loop devices: their file systems are mounted and written to, and the version does not change.

use super::mount::{Mount, SOON};
use crate::common::checks::wait_until;
use crate::common::disk::{LoopDevice, Mounted, run, text};
use crate::common::images::sha256;
use crate::common::install::{Install, noise};
use std::fs;
use std::path::Path;

/// Why a test cannot run on this machine; `None` if it can.
fn missing(programs: &[&str]) -> Option<String> {
    let absent =
        programs.iter().find(|program| run(program, &["-V"]).is_err_and(|why| why.contains("cannot be run")));
    absent.map(|program| format!("there is no {program}"))
}

/// Makes an image, backs it up, mounts it twice from the FUSE mount with changes in between, and checks the content.
fn written_and_thrown_away(make: impl FnOnce(&Path), check: &[&str]) {
    let install = Install::new(1 << 20);
    let image = install.path("image");
    make(&image);
    let before = sha256(&fs::read(&image).expect("read"));
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let mount = Mount::new(&install, &[]);
    let files: Vec<(String, Vec<u8>)> =
        (0..20u64).map(|n| (format!("file{n}"), noise(n, 1000 + 300_000 * n as usize % 1_000_000))).collect();
    let folder = install.path("disk");
    fs::create_dir(&folder).expect("mkdir");
    for round in 0..2 {
        let device = LoopDevice::attach(&mount.data(&uid)).expect("attached");
        let disk = Mounted::mount(&device.0, &folder).expect("mounted");
        for (name, data) in &files {
            let path = disk.at.join(name);
            if round == 0 {
                fs::write(&path, data).expect("written");
            }
            assert!(fs::read(&path).expect("read") == *data, "{name}");
        }
        if round == 0 {
            assert!(fs::read(disk.at.join("old")).expect("read") == noise(77, 500_000));
            fs::remove_file(disk.at.join("old")).expect("removed");
            run("fstrim", &[text(&disk.at)]).expect("trimmed");
        }
        assert!(!disk.at.join("old").exists());
        drop(disk);
        run(check[0], &[&check[1..], &[&device.0]].concat()).expect("clean");
    }
    mount.unmount();
    assert_eq!(fs::read_dir(install.path("cache")).expect("listed").count(), 0);
    install.ok(&["scrub", &uid]);
    assert_eq!(sha256(&install.restored(&uid, "restored")), before, "the version is what it was");
    let mount = Mount::new(&install, &[]);
    assert_eq!(sha256(&fs::read(mount.data(&uid)).expect("read")), before, "what was written is gone");
    mount.unmount();
    install.assert_sound();
}

/// Makes a file system in a new file of `mib` MiB, with one file in it.
fn make_disk(image: &Path, mib: u64, mkfs: &[&str]) {
    fs::File::create(image).expect("made").set_len(mib << 20).expect("grown");
    run(mkfs[0], &[&mkfs[1..], &[text(image)]].concat()).expect("made");
    let folder = tempfile::tempdir().expect("a folder");
    let device = LoopDevice::attach(image).expect("attached");
    let disk = Mounted::mount(&device.0, folder.path()).expect("mounted");
    fs::write(disk.at.join("old"), noise(77, 500_000)).expect("written");
}

#[test]
fn ext4_is_written_to_and_the_version_stays() {
    if !Mount::possible("ext4_is_written_to_and_the_version_stays") {
        return;
    }
    if let Some(why) = missing(&["mkfs.ext4", "losetup"]) {
        return crate::common::skip("ext4_is_written_to_and_the_version_stays", &why);
    }
    written_and_thrown_away(|image| make_disk(image, 64, &["mkfs.ext4", "-q"]), &["e2fsck", "-fn"]);
}

#[test]
fn xfs_is_written_to_and_the_version_stays() {
    if !Mount::possible("xfs_is_written_to_and_the_version_stays") {
        return;
    }
    if let Some(why) = missing(&["mkfs.xfs", "losetup"]) {
        return crate::common::skip("xfs_is_written_to_and_the_version_stays", &why);
    }
    written_and_thrown_away(|image| make_disk(image, 320, &["mkfs.xfs", "-q"]), &["xfs_repair", "-n"]);
}

#[test]
fn partitions_are_found() {
    if !Mount::possible("partitions_are_found") {
        return;
    }
    if let Some(why) = missing(&["sfdisk", "mkfs.ext4", "losetup"]) {
        return crate::common::skip("partitions_are_found", &why);
    }
    let install = Install::new(1 << 20);
    let part = install.path("part");
    make_disk(&part, 32, &["mkfs.ext4", "-q"]);
    // A disk with one partition of 32 MiB at 1 MiB: the table, then the file system.
    let mut disk = vec![0; 1 << 20];
    disk.extend(fs::read(&part).expect("read"));
    fs::write(install.path("image"), disk).expect("written");
    let table = install.path("table");
    fs::write(&table, "label: dos\nstart=2048, size=65536, type=83\n").expect("written");
    run("sh", &["-c", &format!("sfdisk -q {} < {}", install.text("image"), text(&table))])
        .expect("partitioned");
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let mount = Mount::new(&install, &[]);
    let name =
        run("losetup", &["--find", "--show", "--partscan", text(&mount.data(&uid))]).expect("attached");
    let device = LoopDevice(name);
    let listed = run("sfdisk", &["--dump", &device.0]).expect("listed");
    assert!(listed.contains("start=        2048, size=       65536"), "{listed}");
    // Not every kernel reads partition tables of loop devices. Try with a plain file first.
    let plain =
        run("losetup", &["--find", "--show", "--partscan", &install.text("image")]).expect("attached");
    let plain = LoopDevice(plain);
    let size = |device: &LoopDevice| {
        let number = device.0.trim_start_matches("/dev/");
        // The kernel does not read the table while other processes have the device open, if only to examine it.
        let _ = run("blockdev", &["--rereadpt", &device.0]);
        fs::read_to_string(format!("/sys/block/{number}/{number}p1/size")).ok()
    };
    match size(&plain) {
        None => println!("This kernel reads no partition tables: the partition is looked for without it."),
        expected => wait_until("the kernel knows the partition", SOON, || size(&device) == expected),
    }
    let data = mount.data(&uid);
    let at = ["--find", "--show", "--offset", "1048576", "--sizelimit", "33554432", text(&data)];
    let partition = LoopDevice(run("losetup", &at).expect("attached"));
    fs::create_dir(install.path("disk")).expect("made");
    drop(Mounted::mount(&partition.0, &install.path("disk")).expect("a file system"));
    run("e2fsck", &["-fn", &partition.0]).expect("without faults");
    drop((device, plain, partition));
    mount.unmount();
}
