//! A bucket belongs to one database.

use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::common::s3_server::S3Server;
use crate::setup::{installed, rclone, servers, through};
use std::sync::atomic::{AtomicBool, Ordering};

const BLOCK: usize = 4096;

fn with_a_version(server: &S3Server, blocks: usize) -> (Install, String) {
    let install = installed(server, BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(5, blocks * BLOCK)), "a"]);
    (install, uid)
}

/// Every command that uses blobs refuses the bucket with exit code 6 and these words, and changes nothing.
fn all_refuse(install: &Install, words: &str) {
    let (source, out) = (install.url("a.img"), install.url("out"));
    for args in [
        &["backup", &source, "a"][..],
        &["scrub", "a"],
        &["restore", "a", &out],
        &["cleanup", "--dangerous-force"],
        &["cleanup", "--full", "--dangerous-force"],
    ] {
        install.refuses(6, args, &[words]);
    }
}

/// Deletes all that is in the bucket.
fn empty(server: &S3Server) {
    // rclone remembers what is in folders.
    for folder in ["index", "versions"] {
        for entry in std::fs::read_dir(server.bucket_folder().join(folder)).into_iter().flatten() {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            server.delete(&format!("{folder}/{name}"));
        }
    }
    server.blobs().iter().for_each(|blob| server.delete(blob));
    server.delete("backy2.store");
}

#[test]
fn a_bucket_has_an_identity_that_the_database_remembers() {
    for server in servers("a_bucket_has_an_identity_that_the_database_remembers") {
        let (install, uid) = with_a_version(&server, 12);
        let identity = server.get("backy2.store").expect("there");
        let fields: serde_json::Value = serde_json::from_slice(&identity).expect("JSON");
        let row = install.table("SELECT name, uuid, envkey FROM stores");
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        assert_eq!(row, [vec![Some("main".to_owned()), text("uuid"), text("key")]]);
        let other = installed(&server, BLOCK as u32);
        other.image("a.img", b"other");
        for args in [&["backup", &other.url("a.img"), "a"][..], &["cleanup", "-f", "--dangerous-force"]] {
            other.refuses(6, args, &["it has data, and the database knows of none", "empty bucket"]);
        }
        assert!(install.restored(&uid, "out") == noise(5, 12 * BLOCK));
        assert_eq!(server.get("backy2.store"), Some(identity));
    }
}

#[test]
fn a_bucket_that_was_made_anew_is_not_the_same() {
    let Some(server) = rclone("a_bucket_that_was_made_anew_is_not_the_same") else { return };
    let (install, _) = with_a_version(&server, 12);
    empty(&server);
    all_refuse(&install, "blobs that should be there is there");
    let (other, _) = with_a_version(&server, 2);
    all_refuse(&install, "it is another store: its UUID is ");
    other.ok(&["scrub", "a"]);
}

#[test]
fn an_identity_that_2_13_has_removed_is_written_again() {
    let Some(server) = rclone("an_identity_that_2_13_has_removed_is_written_again") else { return };
    let (install, uid) = with_a_version(&server, 12);
    let identity = server.get("backy2.store").expect("there");
    let fields = |data: &[u8]| -> serde_json::Value { serde_json::from_slice(data).expect("JSON") };
    server.delete("backy2.store");
    install.ok(&["scrub", &uid]);
    assert_eq!(server.get("backy2.store"), None, "a scrub writes nothing there");
    let run = install.run(&["backup", &install.url("a.img"), "b"]);
    assert!(run.code == 0 && run.stdout.contains("has lost its backy2.store"), "{run:?}");
    let again = fields(&server.get("backy2.store").expect("there"));
    let before = fields(&identity);
    assert_eq!((&again["uuid"], &again["key"]), (&before["uuid"], &before["key"]));
    let run = install.run(&["backup", &install.url("a.img"), "b"]);
    assert!(!run.stdout.contains("has lost"), "{run:?}");
}

#[test]
fn a_bucket_of_2_13_gets_an_identity_and_one_that_is_empty_is_refused() {
    let Some(server) = rclone("a_bucket_of_2_13_gets_an_identity_and_one_that_is_empty_is_refused") else {
        return;
    };
    let (install, uid) = with_a_version(&server, 12);
    server.delete("backy2.store");
    install.change("DELETE FROM stores");
    install.ok(&["scrub", &uid]);
    assert_eq!(server.get("backy2.store"), None);
    install.backup(&[&install.url("a.img"), "b"]);
    assert!(server.get("backy2.store").is_some() && install.count("SELECT count(*) FROM stores") == 1);
    install.change("DELETE FROM stores");
    empty(&server);
    all_refuse(&install, "blobs that should be there is there");
}

#[test]
fn a_bucket_that_is_emptied_meanwhile_is_no_damage() {
    let Some(server) = rclone("a_bucket_that_is_emptied_meanwhile_is_no_damage") else { return };
    let (install, uid) = with_a_version(&server, 40);
    install.set_in("DataBackend", "simultaneous_reads", "1");
    let no_key = "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>";
    for args in [&["scrub", &uid][..], &["restore", "-f", &uid, &install.url("out")]] {
        // After the first blobs everything is missing, the identity as well.
        let proxy = through(&install, &server, move |number, line| {
            if number > 20 && line.starts_with("GET") { Fault::Answer(404, no_key) } else { Fault::None }
        });
        let error = install.fails(6, args);
        assert!(error.contains("backy2.store is gone since the command began"), "{args:?}: {error}");
        assert!(install.is_valid(&uid) && install.invalid_blocks(&uid).is_empty(), "{args:?}");
        drop(proxy);
    }
    install.ok(&["rm", &uid]);
    // The deletion succeeds, as of blobs that are missing; then the identity is gone.
    let proxy = through(&install, &server, move |number, line| {
        if number > 2 && line.contains("backy2.store") { Fault::Answer(404, no_key) } else { Fault::None }
    });
    let error = install.fails(6, &["cleanup", "--dangerous-force"]);
    assert!(error.contains("backy2.store is gone since the command began"), "{error}");
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 40, "nothing counts as deleted");
    drop(proxy);
    install.set_in("DataBackend", "endpoint_url", &server.endpoint());
    install.ok(&["cleanup"]);
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
}

#[test]
fn a_bucket_that_is_made_anew_during_a_backup_fails_it() {
    let Some(server) = rclone("a_bucket_that_is_made_anew_during_a_backup_fails_it") else { return };
    let (install, _) = with_a_version(&server, 3);
    let no_key = "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>";
    let stores = AtomicBool::new(false);
    // Once the first blob is stored, the identity is gone.
    let proxy = through(&install, &server, move |_, line| {
        let was_storing = stores.fetch_or(line.starts_with("PUT"), Ordering::Relaxed);
        let is_gone = was_storing && line.contains("backy2.store");
        if is_gone { Fault::Answer(404, no_key) } else { Fault::None }
    });
    let source = install.image("b.img", &noise(6, 9 * BLOCK));
    let error = install.fails(6, &["backup", &source, "b"]);
    assert!(error.contains("backy2.store is gone since the command began"), "{error}");
    let (uid, valid) = install.newest("b").expect("it was begun");
    assert!(!valid);
    drop(proxy);
    install.set_in("DataBackend", "endpoint_url", &server.endpoint());
    install.backup(&["-c", &uid, &source, "b"]);
    assert!(install.restored(&uid, "out") == noise(6, 9 * BLOCK));
    install.ok(&["check"]);
}
