//! Copies of the metadata in a bucket.

use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::common::s3_server::S3Server;
use crate::setup::{installed, rclone, servers, through};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

fn with_a_version(server: &S3Server) -> (Install, String) {
    let install = installed(server, BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(5, 6 * BLOCK)), "a"]);
    (install, uid)
}

#[test]
fn every_command_leaves_copies_of_what_the_database_has() {
    let Some(server) = rclone("every_command_leaves_copies_of_what_the_database_has") else { return };
    let (install, first) = with_a_version(&server);
    install.assert_copies_in(&server.bucket_folder());
    let second = install.backup(&["-f", &first, &install.image("b.img", &noise(6, 6 * BLOCK)), "b"]);
    for args in [
        &["protect", &first][..],
        &["unprotect", &first],
        &["add-tag", &first, "new"],
        &["scrub", &second],
        &["export", &first, &install.text("dump")],
        &["rm", "-f", &first],
        &["cleanup", "--dangerous-force"],
        &["rm", "-f", &second],
        &["cleanup", "--full"],
    ] {
        install.ok(args);
        install.assert_copies_in(&server.bucket_folder());
    }
    assert_eq!(install.count("SELECT count(*) FROM index_objects"), 0);
    assert_eq!(server.blobs(), [""; 0]);
}

#[test]
fn objects_are_written_and_deleted_in_every_kind_of_bucket() {
    for server in servers("objects_are_written_and_deleted_in_every_kind_of_bucket") {
        let (install, uid) = with_a_version(&server);
        let list = format!("index/{}", install.texts("SELECT name FROM index_objects")[0]);
        let object = format!("versions/{uid}");
        assert!(server.get(&object).is_some() && server.get(&list).is_some());
        install.ok(&["rm", "-f", &uid]);
        assert_eq!(server.get(&object), None);
        install.ok(&["cleanup", "--dangerous-force"]);
        assert_eq!(server.get(&list), None);
        install.backup(&[&install.url("a.img"), "a"]);
        install.ok(&["cleanup", "--full"]);
    }
}

#[test]
fn without_the_server_versions_can_be_removed_soon() {
    let Some(mut server) = rclone("without_the_server_versions_can_be_removed_soon") else { return };
    let (install, first) = with_a_version(&server);
    let second = install.backup(&[&install.url("a.img"), "b"]);
    server.kill();
    let start = Instant::now();
    install.ok(&["rm", "-f", &first]);
    assert!(start.elapsed() < Duration::from_secs(30), "it waited {:?}", start.elapsed());
    let log = std::fs::read_to_string(install.path("backy.log")).expect("read");
    assert!(log.contains("The next backup or cleanup tries again."), "{log}");
    server.restart().expect("started again");
    install.set_in("DataBackend", "endpoint_url", &server.endpoint());
    install.ok(&["protect", &second]);
    install.ok(&["cleanup"]);
    install.assert_copies_in(&server.bucket_folder());
}

#[test]
fn a_bucket_that_2_13_has_cleaned_gets_all_copies_again() {
    let Some(server) = rclone("a_bucket_that_2_13_has_cleaned_gets_all_copies_again") else { return };
    let (install, uid) = with_a_version(&server);
    // A full cleanup by 2.13 deletes every key that is no blob.
    for name in install.texts("SELECT name FROM index_objects") {
        server.delete(&format!("index/{name}"));
    }
    server.delete(&format!("versions/{uid}"));
    server.delete("backy2.store");
    install.backup(&[&install.url("a.img"), "b"]);
    install.ok(&["cleanup"]);
    install.assert_copies_in(&server.bucket_folder());
}

#[test]
fn a_version_is_valid_only_when_its_copy_is_written() {
    let Some(server) = rclone("a_version_is_valid_only_when_its_copy_is_written") else { return };
    let (install, _) = with_a_version(&server);
    install.set_in("DataBackend", "retry_time", "0");
    for part in ["index/", "versions/"] {
        let proxy = through(&install, &server, move |_, line| {
            let is_put = line.starts_with("PUT") && line.contains(part);
            if is_put { Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>") } else { Fault::None }
        });
        let source = install.image("b.img", &noise(part.len() as u64, 3 * BLOCK));
        let error = install.fails(6, &["backup", &source, part]);
        assert!(error.contains(part), "{error}");
        let (uid, valid) = install.newest(part).expect("it was begun");
        assert!(!valid);
        drop(proxy);
        install.set_in("DataBackend", "endpoint_url", &server.endpoint());
        install.backup(&["-c", &uid, &source, part]);
        install.ok(&["cleanup"]);
        install.assert_copies_in(&server.bucket_folder());
    }
}

#[test]
fn a_forged_row_is_noticed() {
    let Some(server) = rclone("a_forged_row_is_noticed") else { return };
    let (install, uid) = with_a_version(&server);
    install.ok(&["scrub", &uid]);
    install.change(
        "UPDATE block_map SET blob_id = (SELECT max(blob_id) FROM block_map WHERE block_id = 1) WHERE block_id = 2",
    );
    for args in [&["restore", &uid, &install.url("out")][..], &["scrub", &uid]] {
        let said = install.fails(20, args);
        assert!(said.contains("are not those that were sealed"), "{said}");
    }
    server.delete(&format!("versions/{uid}"));
    install.ok(&["scrub", &uid]);
}
