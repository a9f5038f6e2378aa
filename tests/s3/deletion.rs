//! `cleanup` on a bucket deletes in bulk. Blobs that cannot be deleted wait for the next cleanup.

use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::common::s3_server::S3Server;
use crate::setup::{assert_no_strays, installed, rclone, servers, through};
use backy2::types::uid::BlobUid;

const BLOCK: usize = 4096;

/// Backs up `blocks` blocks and removes the version.
fn doomed(server: &S3Server, blocks: usize) -> Install {
    let install = installed(server, BLOCK as u32);
    let uid = install.backup(&[&install.image("image", &noise(13, blocks * BLOCK)), "a"]);
    install.ok(&["rm", &uid]);
    install
}

/// The number of blobs that wait to be deleted.
fn waiting(install: &Install) -> i64 {
    install.count("SELECT count(*) FROM deleted_blocks")
}

#[test]
fn blobs_are_deleted_a_thousand_at_a_time() {
    for server in servers("blobs_are_deleted_a_thousand_at_a_time") {
        let install = doomed(&server, 1203);
        let proxy = through(&install, &server, |_, _| Fault::None);
        install.ok(&["cleanup", "--dangerous-force"]);
        assert_eq!((proxy.count("POST"), proxy.count("DELETE")), (2, 1), "the one is a list of blobs");
        let out = install.ok(&["cleanup", "--full"]);
        assert!(out.contains("Removed 0 blobs"), "{out}");
    }
}

#[test]
fn a_full_cleanup_lists_all_pages_and_leaves_foreign_objects_alone() {
    let name = "a_full_cleanup_lists_all_pages_and_leaves_foreign_objects_alone";
    for server in servers(name) {
        let install = installed(&server, BLOCK as u32);
        let image = noise(14, 5 * BLOCK);
        let uid = install.backup(&[&install.image("image", &image), "a"]);
        let strays: Vec<String> = (0..1100).map(|_| BlobUid::generate().to_string()).collect();
        strays.iter().for_each(|stray| server.put(stray, b"x"));
        server.put("README", b"mine");
        let prefix = &strays[0][..1];
        let with_prefix = strays.iter().filter(|stray| stray.starts_with(prefix)).count();
        let error = install.fails(100, &["cleanup", "--full"]);
        assert!(error.contains("No version names 1100 of the 1105 blobs"), "{error}");
        let out = install.ok(&["cleanup", "--full", "--dangerous-force", "-p", prefix]);
        assert!(out.contains(&format!("Removed {with_prefix} blobs")), "{with_prefix}: {out}");
        let out = install.ok(&["cleanup", "--full", "--dangerous-force"]);
        assert!(out.contains(&format!("Removed {} blobs", strays.len() - with_prefix)), "{out}");
        assert_eq!(server.get("README").as_deref(), Some(&b"mine"[..]));
        assert!(install.restored(&uid, "out") == image);
    }
}

#[test]
fn objects_that_cannot_be_deleted_are_reported_and_wait() {
    let Some(server) = rclone("objects_that_cannot_be_deleted_are_reported_and_wait") else { return };
    let install = doomed(&server, 20);
    let objects = server.blobs();
    let (denied, busy) = (objects[3].clone(), objects[4].clone());
    // The server deletes all blobs, but claims that it failed for two. The next cleanup finds them missing, which
    // counts as deleted.
    let answer: &'static str = format!(
        "<DeleteResult><Error><Key>{denied}</Key><Code>AccessDenied</Code><Message>Not you</Message></Error>\
         <Error><Key>{busy}</Key><Code>SlowDown</Code><Message>Later</Message></Error></DeleteResult>"
    )
    .leak();
    let proxy = through(&install, &server, move |number, line| {
        if line.starts_with("POST") && number < 4 { Fault::Answer(200, answer) } else { Fault::None }
    });
    let out = install.run(&["cleanup", "--dangerous-force"]);
    assert!(out.stdout.contains(&denied) && out.stdout.contains("AccessDenied: Not you"), "{out:?}");
    assert_eq!(proxy.count("POST"), 2, "the other was tried again");
    assert!(!server.blobs().contains(&busy));
    assert_eq!(waiting(&install), 1);
    install.ok(&["cleanup"]);
    assert_eq!(waiting(&install), 0);
    assert!(!server.blobs().contains(&denied));
}

#[test]
fn a_server_without_bulk_deletion_gets_single_requests() {
    let Some(server) = rclone("a_server_without_bulk_deletion_gets_single_requests") else { return };
    for (status, text) in
        [(501, "<Error><Code>NotImplemented</Code><Message>no</Message></Error>"), (405, "")]
    {
        let install = doomed(&server, 1005);
        let proxy = through(&install, &server, move |_, line| {
            if line.starts_with("POST") { Fault::Answer(status, text) } else { Fault::None }
        });
        install.ok(&["cleanup", "--dangerous-force"]);
        assert_eq!((proxy.count("POST"), proxy.count("DELETE")), (1, 1006), "and the list of blobs");
        assert_no_strays(&install, &server);
        assert_eq!(waiting(&install), 0);
        // The next installation needs a bucket of its own.
        server.delete("backy2.store");
    }
}

#[test]
fn a_server_that_goes_away_ends_a_cleanup_that_can_go_on() {
    let Some(server) = rclone("a_server_that_goes_away_ends_a_cleanup_that_can_go_on") else { return };
    let install = doomed(&server, 2100);
    install.set_in("DataBackend", "retry_time", "1");
    let proxy = through(&install, &server, |number, _| match number {
        // The listing, the identity, newer copies of metadata, one deletion, and the identity again.
        0..=4 => Fault::None,
        _ => Fault::Reset,
    });
    let run = install.run(&["cleanup", "--dangerous-force"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("Connection reset"), "{run:?}");
    assert!(run.stdout.contains("given up after"), "{run:?}");
    assert!(run.stdout.lines().count() < 30, "not a line for each blob: {run:?}");
    assert_eq!(waiting(&install), 1100, "one request went through");
    drop(proxy);
    install.set_in("DataBackend", "endpoint_url", &server.endpoint());
    install.ok(&["cleanup"]);
    assert_no_strays(&install, &server);
}
