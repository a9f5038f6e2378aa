//! Wrong usage is refused with one clear line.

use super::mount::Mount;
use crate::common::disk::run;
use crate::common::install::{Install, Run, noise};
use std::fs;
use std::process::Stdio;

fn refused(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("ERROR: ")).collect();
    let told: Vec<&&str> = lines.iter().filter(|line| !line.contains("Backy failed")).collect();
    assert_eq!(told.len(), 1, "{run:?}");
    for word in words {
        assert!(told[0].contains(word), "{word:?} is missing: {run:?}");
    }
}

#[test]
fn folders_that_cannot_be_mounted_on_are_refused() {
    let install = Install::new(65536);
    let missing = install.text("missing");
    refused(&install.run(&["fuse", &missing]), 100, &["does not exist", &missing]);
    fs::write(install.path("file"), "").expect("written");
    refused(&install.run(&["fuse", &install.text("file")]), 100, &["is not a folder"]);
    refused(&install.run(&["fuse", &install.text("data/..")]), 100, &["is not empty"]);
    assert_eq!(install.run(&["fuse"]).code, 2);
    fs::create_dir(install.path("mnt")).expect("made");
    install.set("cachedir", "/nonexistent");
    if !Mount::possible("folders_that_cannot_be_mounted_on_are_refused") {
        return;
    }
    refused(&install.run(&["fuse", &install.text("mnt")]), 100, &["cachedir /nonexistent", "--read-only"]);
    Mount::new(&install, &["--read-only"]).unmount();
}

#[test]
fn a_second_mount_on_the_same_folder_is_refused_and_one_elsewhere_is_not() {
    if !Mount::possible("a_second_mount_on_the_same_folder_is_refused_and_one_elsewhere_is_not") {
        return;
    }
    let install = Install::new(65536);
    let image = noise(1, 300_000);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let mount = Mount::new(&install, &[]);
    let again = install.run(&["fuse", &install.text("mnt")]);
    refused(&again, 100, &["Something is already mounted on", &install.text("mnt")]);
    let other = Mount::on(&install, "mnt2", &[]);
    assert!(fs::read(other.data(&uid)).expect("read") == image);
    other.unmount();
    assert!(fs::read(mount.data(&uid)).expect("read") == image);
    mount.unmount();
}

#[test]
fn a_wrong_key_is_reported_before_the_mount() {
    let install = Install::new(65536);
    install.backup(&[&install.image("image", &noise(1, 300_000)), "vm"]);
    install.set("encryption_key", &"ab".repeat(32));
    fs::create_dir(install.path("mnt")).expect("made");
    if !Mount::possible("a_wrong_key_is_reported_before_the_mount") {
        return;
    }
    refused(&install.run(&["fuse", &install.text("mnt")]), 100, &["key"]);
}

#[test]
fn without_the_device_the_error_names_it() {
    if !Mount::possible("without_the_device_the_error_names_it") {
        return;
    }
    if run("unshare", &["--mount", "true"]).is_err() {
        return crate::common::skip("without_the_device_the_error_names_it", "unshare --mount does not work");
    }
    let install = Install::new(65536);
    fs::create_dir(install.path("mnt")).expect("made");
    let command = install.command(&["fuse", &install.text("mnt")]);
    let mut words = vec![command.get_program().to_str().expect("utf-8").to_owned()];
    words.extend(command.get_args().map(|arg| arg.to_str().expect("utf-8").to_owned()));
    let script = format!("mount -t tmpfs none /dev && exec {}", words.join(" "));
    let mut namespace = std::process::Command::new("unshare");
    namespace.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null());
    let run = Run::from(namespace.output().expect("runs"));
    refused(&run, 100, &["/dev/fuse does not exist", "modprobe fuse"]);
}

#[test]
fn a_forged_version_cannot_be_opened() {
    if !Mount::possible("a_forged_version_cannot_be_opened") {
        return;
    }
    let install = Install::new(65536);
    let image = noise(1, 300_000);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let other = install.backup(&[&install.image("other", &noise(2, 300_000)), "other"]);
    let from = "(SELECT id FROM versions WHERE name = 'other')";
    install.change(&format!(
        "UPDATE block_map SET blob_id = (SELECT blob_id FROM block_map WHERE version_id = {from} AND block_id = 1)
         WHERE block_id = 2 AND version_id = (SELECT id FROM versions WHERE name = 'vm')"
    ));
    let mount = Mount::new(&install, &[]);
    let error = fs::read(mount.data(&uid)).expect_err("refused");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(fs::read(mount.data(&other)).expect("read") == noise(2, 300_000));
    let ended = mount.unmount();
    assert!(ended.stderr.contains("are not those that were sealed"), "{ended:?}");
}
