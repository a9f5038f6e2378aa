//! Clients in common use: libnbd's and QEMU's.

use super::protocol::{BLOCK, install};
use super::server::{SOON, Server};
use crate::common::checks::wait_until;
use crate::common::disk::run;
use crate::common::install::{Install, noise};
use std::os::unix::fs::MetadataExt;

/// Whether the programs are installed. If not, the test is reported as skipped.
fn have(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        if let Err(reason) = run(program, &["--version"]) {
            crate::common::skip(test, &reason);
            return false;
        }
    }
    true
}

fn ok(program: &str, args: &[&str]) -> String {
    run(program, args).expect("it succeeds")
}

#[test]
fn nbdinfo_lists_and_maps() {
    if !have("nbdinfo_lists_and_maps", &["nbdinfo"]) {
        return;
    }
    let (install, uid, image) = install();
    install.backup(&["null://1MB", "other"]);
    let server = Server::new(&install, &["-r"]);
    let listed = ok("nbdinfo", &["--list", &server.uri("")]);
    assert!(listed.contains(&format!("export=\"{uid}\"")) && listed.contains("snap"), "{listed}");
    assert!(listed.contains("can_multi_conn: true") && listed.contains("is_read_only: true"), "{listed}");
    let map = ok("nbdinfo", &["--map", &server.uri(&uid)]);
    let rows: Vec<Vec<&str>> = map.lines().map(|line| line.split_whitespace().collect()).collect();
    let hole = (4 * BLOCK).to_string();
    assert_eq!(rows[1], [&hole[..], &hole, "3", "hole,zero"], "{map}");
    assert_eq!(ok("nbdinfo", &["--size", &server.uri(&uid)]), image.len().next_multiple_of(4096).to_string());
    server.end();
}

#[test]
fn nbd_client_lists() {
    if !have("nbd_client_lists", &["nbd-client"]) {
        return;
    }
    let (install, uid, _) = install();
    let server = Server::new(&install, &["-r"]);
    let listed = ok("nbd-client", &["-l", "127.0.0.1", "-p", &server.port.to_string()]);
    assert!(listed.contains(&format!("{uid}: vm 20")), "{listed}");
    server.end();
}

#[test]
fn nbdcopy_makes_an_image_as_sparse_as_the_version() {
    if !have("nbdcopy_makes_an_image_as_sparse_as_the_version", &["nbdcopy"]) {
        return;
    }
    let install = Install::new(4 << 20);
    let mut image = noise(4, 24 << 20);
    image[8 << 20..16 << 20].fill(0);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let server = Server::new(&install, &["-r", "vm"]);
    for export in ["", &uid] {
        let copy = install.path("copy");
        let _ = std::fs::remove_file(&copy);
        ok("nbdcopy", &[&server.uri(export), &install.text("copy")]);
        assert!(std::fs::read(&copy).expect("read") == image);
        let taken = std::fs::metadata(&copy).expect("there").blocks() * 512;
        assert!(taken < 17 << 20, "{taken}");
    }
    server.end();
}

#[test]
fn unix_sockets_serve_as_well() {
    if !have("unix_sockets_serve_as_well", &["nbdcopy"]) {
        return;
    }
    let (install, uid, image) = install();
    let server = Server::on_socket(&install, &["-r"]);
    let uri = format!("nbd+unix:///{uid}?socket={}", install.text("nbd.sock"));
    ok("nbdcopy", &[&uri, &install.text("copy")]);
    assert!(std::fs::read(install.path("copy")).expect("read")[..image.len()] == image);
    server.end();
    assert!(!install.path("nbd.sock").exists());
}

#[test]
fn qemu_converts_and_compares() {
    if !have("qemu_converts_and_compares", &["qemu-img"]) {
        return;
    }
    let install = Install::new(1 << 20);
    let image = [noise(5, 5 << 20), vec![0; 3 << 20], noise(6, 4 << 20)].concat();
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let server = Server::new(&install, &["-r"]);
    let (uri, copy) = (server.uri(&uid), install.text("copy.qcow2"));
    ok("qemu-img", &["convert", "-O", "qcow2", &uri, &copy]);
    ok("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &copy, &install.text("image")]);
    ok("qemu-img", &["compare", "-f", "raw", "-F", "raw", &uri, &install.text("image")]);
    ok("qemu-img", &["convert", "-O", "raw", "-W", "-m", "16", &uri, &install.text("copy.raw")]);
    assert!(std::fs::read(install.path("copy.raw")).expect("read") == image);
    server.end();
}

/// Reads, writes, zeroes, trims and flushes at odd offsets. The data read back is right, and becomes a version.
#[test]
fn a_copy_has_the_data_that_qemu_io_wrote() {
    if !have("a_copy_has_the_data_that_qemu_io_wrote", &["qemu-io"]) {
        return;
    }
    let (install, uid, mut image) = install();
    let blobs = install.blobs().len();
    let server = Server::new(&install, &[]);
    let commands = [
        "write -P 0xab 12345 67890",
        "read -P 0xab 12345 67890",
        "write -z 200001 9999",
        "discard 262144 65536",
        "write -f -P 0x17 655360 512",
        "aio_write -P 0x33 300000 4097",
        "aio_flush",
        "flush",
        "read -P 0 200001 9999",
        "read -P 0x33 300000 4097",
    ];
    let uri = server.uri(&uid);
    let mut args = vec!["-f", "raw", "-t", "none", &uri[..]];
    for command in commands {
        args.extend(["-c", command]);
    }
    let said = ok("qemu-io", &args);
    assert!(!said.contains("failed"), "{said}");
    image[12345..12345 + 67890].fill(0xab);
    image[200_001..210_000].fill(0);
    image[262_144..327_680].fill(0);
    image[655_360..655_872].fill(0x17);
    image[300_000..304_097].fill(0x33);
    let find = || install.ok(&["-ms", "ls", "-f", "uid,valid", "copy on write"]);
    wait_until("a valid copy", SOON, || find().trim().ends_with("|1"));
    let copy = find().trim().trim_end_matches("|1").to_owned();
    assert!(install.restored(&copy, "restored") == image);
    assert!(install.restored(&uid, "original") == super::protocol::image());
    let changed = [0, 1, 3, 4, 10].len();
    assert!(install.blobs().len() <= blobs + changed, "unchanged blobs are shared");
    let diff = ["compare", "-f", "raw", "-F", "raw", &server.uri(&copy), &install.text("restored")];
    ok("qemu-img", &diff);
    server.end();
    install.assert_sound();
}
