//! Requests that fail temporarily.

use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::setup::{assert_no_strays, installed, rclone, through};
use std::sync::atomic::{AtomicU64, Ordering};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 200;

/// Every tenth request fails, each time in another way.
fn every_tenth(number: u64, _: &str) -> Fault {
    const FAULTS: [Fault; 10] = [
        Fault::Reset,
        Fault::Answer(503, "<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"),
        Fault::Unheard,
        Fault::Answer(500, ""),
        Fault::Truncate,
        Fault::Flip,
        Fault::Answer(429, "slow"),
        Fault::Silence(50),
        Fault::Answer(502, "<html>Bad gateway</html>"),
        Fault::Answer(504, ""),
    ];
    match number % 10 {
        5 => FAULTS[(number / 10 % 10) as usize],
        _ => Fault::None,
    }
}

fn with_image(server: &crate::common::s3_server::S3Server) -> (Install, String, Vec<u8>) {
    let install = installed(server, BLOCK as u32);
    let image = noise(6, BLOCKS * BLOCK);
    let source = install.image("image", &image);
    (install, source, image)
}

#[test]
fn while_every_tenth_request_fails_a_backup_and_a_restore_go_through() {
    let Some(server) = rclone("while_every_tenth_request_fails_a_backup_and_a_restore_go_through") else {
        return;
    };
    let (install, source, image) = with_image(&server);
    let proxy = through(&install, &server, every_tenth);
    let uid = install.backup(&[&source, "a"]);
    assert!(proxy.count("PUT") > BLOCKS, "some were repeated");
    assert_eq!(server.blobs().len(), BLOCKS);
    assert_no_strays(&install, &server);
    assert!(install.restored(&uid, "out") == image);
    install.ok(&["scrub", "-s", &source, &uid]);
    assert!(install.is_valid(&uid));
    install.ok(&["rm", &uid]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert!(server.blobs().is_empty());
}

#[test]
fn a_blob_that_is_damaged_on_its_way_is_refused_by_the_server_and_sent_again() {
    for server in
        crate::setup::servers("a_blob_that_is_damaged_on_its_way_is_refused_by_the_server_and_sent_again")
    {
        let (install, source, image) = with_image(&server);
        let puts = AtomicU64::new(0);
        let proxy = through(&install, &server, move |_, line| {
            let flip = line.starts_with("PUT") && puts.fetch_add(1, Ordering::SeqCst) % 4 == 1;
            if flip { Fault::Flip } else { Fault::None }
        });
        let uid = install.backup(&[&source, "a"]);
        assert!(proxy.count("PUT") >= BLOCKS * 5 / 4, "{}", proxy.count("PUT"));
        install.ok(&["scrub", &uid]);
        assert!(install.restored(&uid, "out") == image);
    }
}

#[test]
fn a_download_that_ends_early_is_repeated_and_no_damage() {
    let Some(server) = rclone("a_download_that_ends_early_is_repeated_and_no_damage") else { return };
    let (install, source, _) = with_image(&server);
    let uid = install.backup(&[&source, "a"]);
    let _proxy = through(&install, &server, |number, _| match number % 3 {
        1 => Fault::Truncate,
        _ => Fault::None,
    });
    install.ok(&["scrub", &uid]);
    assert!(install.is_valid(&uid));
}

#[test]
fn an_answer_that_is_not_from_s3_makes_no_blob_missing() {
    let Some(server) = rclone("an_answer_that_is_not_from_s3_makes_no_blob_missing") else { return };
    let (install, source, _) = with_image(&server);
    let uid = install.backup(&[&source, "a"]);
    // Like a web server in place of the right server.
    let proxy = through(&install, &server, |_, line| {
        if line.contains("list-type") { Fault::None } else { Fault::Answer(404, "<html>Not here</html>") }
    });
    let error = install.fails(100, &["scrub", &uid]);
    assert!(error.contains("not as S3 does") && error.contains("endpoint_url"), "{error}");
    assert!(install.is_valid(&uid) && install.invalid_blocks(&uid).is_empty());
    drop(proxy);
    let error = install.fails(6, &["restore", &uid, &install.url("out")]);
    assert!(error.contains("endpoint_url"), "{error}");
}

#[test]
fn one_object_that_the_server_cannot_give_is_damage_of_this_one() {
    let Some(server) = rclone("one_object_that_the_server_cannot_give_is_damage_of_this_one") else { return };
    let (install, source, image) = with_image(&server);
    let uid = install.backup(&[&source, "a"]);
    install.set_in("DataBackend", "retry_time", "1");
    let bad = install.blob_uid(&uid, 7);
    let _proxy = through(&install, &server, move |_, line| {
        if line.contains(&bad) {
            Fault::Answer(500, "<Error><Code>InternalError</Code><Message>disk</Message></Error>")
        } else {
            Fault::None
        }
    });
    install.fails(20, &["restore", &uid, &install.url("out")]);
    let mut wanted = image;
    wanted[7 * BLOCK..8 * BLOCK].fill(0);
    assert!(std::fs::read(install.path("out")).expect("read") == wanted, "all but that block");
    assert_eq!(install.invalid_blocks(&uid), [7]);
}
