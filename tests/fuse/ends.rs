//! All ways in which a mount can end.

use super::mount::{Mount, SOON};
use crate::common::bound::Bound;
use crate::common::checks::wait_until;
use crate::common::disk::{run, text};
use crate::common::install::{Install, noise};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::FileExt;

fn install() -> (Install, String, Vec<u8>) {
    let install = Install::new(65536);
    let image = noise(1, 300_000);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    (install, uid, image)
}

#[test]
fn signals_unmount_it() {
    if !Mount::possible("signals_unmount_it") {
        return;
    }
    let (install, uid, image) = install();
    for signal in [Signal::INT, Signal::TERM] {
        let mount = Mount::new(&install, &[]);
        assert!(fs::read(mount.data(&uid)).expect("read") == image);
        mount.send(signal);
        let run = mount.ended();
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("Unmounted "), "{run:?}");
        assert_eq!(fs::read_dir(install.path("mnt")).expect("listed").count(), 0);
        install.assert_sound();
    }
}

#[test]
fn a_signal_ends_it_though_a_file_is_open() {
    if !Mount::possible("a_signal_ends_it_though_a_file_is_open") {
        return;
    }
    let (install, uid, _) = install();
    let mount = Mount::new(&install, &[]);
    let file = fs::File::options().read(true).write(true).open(mount.data(&uid)).expect("opened");
    file.write_all_at(b"changed", 5).expect("written");
    mount.send(Signal::TERM);
    let run = mount.ended();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("still in use") || run.stderr.contains("still in use"), "{run:?}");
    assert!(file.write_all_at(b"x", 100_000).is_err(), "it is gone");
    assert_eq!(fs::read_dir(install.path("mnt")).expect("listed").count(), 0);
    install.assert_sound();
}

#[test]
fn remains_of_a_killed_mount_are_reported_and_cleared() {
    if !Mount::possible("remains_of_a_killed_mount_are_reported_and_cleared") {
        return;
    }
    let (install, uid, image) = install();
    let mount = Mount::new(&install, &[]);
    let file = fs::File::options().write(true).open(mount.data(&uid)).expect("opened");
    file.write_all_at(b"changed", 5).expect("written");
    drop(file);
    let at = install.text("mnt");
    mount.send(Signal::KILL);
    assert_eq!(mount.ended().code, -1);
    assert_eq!(fs::read_dir(install.path("cache")).expect("listed").count(), 0, "nothing is left");
    wait_until("the kernel knows", SOON, || fs::metadata(&at).is_err());
    let refusal = install.fails(100, &["fuse", &at]);
    let clears = format!("`umount {at}`");
    assert!(refusal.contains("a process that was killed") && refusal.contains(&clears), "{refusal}");
    run("umount", &[text(&install.path("mnt"))]).expect("cleared");
    install.ok(&["scrub", &uid]);
    let mount = Mount::new(&install, &[]);
    assert!(fs::read(mount.data(&uid)).expect("read") == image);
    mount.unmount();
    install.assert_sound();
}

#[test]
fn scripts_hear_when_it_is_mounted() {
    if !Mount::possible("scripts_hear_when_it_is_mounted") {
        return;
    }
    let (install, _, _) = install();
    fs::create_dir(install.path("mnt")).expect("made");
    let child = install.start(&["--json", "fuse", &install.text("mnt")]);
    wait_until("mounted", SOON, || install.path("mnt/by_name").is_dir());
    run("umount", &[&install.text("mnt")]).expect("unmounted");
    let run = crate::common::checks::ended(child);
    let expected = format!("{{\"mountpoint\":\"{}\",\"versions\":1}}\n", install.text("mnt"));
    assert_eq!((run.code, run.stdout), (0, expected));
}

#[test]
fn a_store_that_vanishes_meanwhile_is_an_error_of_each_read_and_no_damage() {
    let name = "a_store_that_vanishes_meanwhile_is_an_error_of_each_read_and_no_damage";
    if !Mount::possible(name) {
        return;
    }
    let (install, uid, image) = install();
    let Some(store) = Bound::new(name, &install) else { return };
    // The process has the folder open. It looks at the path again when a blob is missing.
    let (blob, aside) = (store.below(&install.blob(&install.blob_uid(&uid, 1))), install.path("aside"));
    fs::rename(&blob, &aside).expect("moved");
    let mount = Mount::new(&install, &[]);
    store.vanish();
    assert!(fs::read(mount.data(&uid)).is_err());
    store.again();
    fs::rename(&aside, &blob).expect("moved back");
    assert!(fs::read(mount.data(&uid)).expect("read") == image, "it is back");
    mount.unmount();
    let log = fs::read_to_string(install.path("backy.log")).expect("read");
    assert!(log.contains("is gone since the command began"), "{log}");
    assert!(install.is_valid(&uid) && install.invalid_blocks(&uid).is_empty());
    install.assert_sound();
}
