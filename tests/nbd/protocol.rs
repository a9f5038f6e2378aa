//! The server's replies, byte by byte.

use super::client::*;
use super::server::Server;
use crate::common::bound::Bound;
use crate::common::install::{Install, noise};

pub const BLOCK: usize = 64 << 10;

/// Data, a hole, data, and an end that does not fill a sector.
pub fn image() -> Vec<u8> {
    let mut image = noise(1, 4 * BLOCK);
    image.extend(vec![0; 4 * BLOCK]);
    image.extend(noise(2, 2 * BLOCK + 1000));
    image
}

/// An installation with one version of [`image`].
pub fn install() -> (Install, String, Vec<u8>) {
    let (install, image) = (Install::new(BLOCK as u32), image());
    let uid = install.backup(&[&install.image("image", &image), "vm", "-s", "snap"]);
    (install, uid, image)
}

fn padded(image: &[u8]) -> Vec<u8> {
    let mut padded = image.to_vec();
    padded.resize(image.len().next_multiple_of(4096), 0);
    padded
}

#[test]
fn exports_are_listed_and_described() {
    let (install, uid, image) = install();
    let other = install.backup(&["null://1MB", "other"]);
    let server = Server::new(&install, &["-r"]);
    let mut client = Client::new(&server);
    let listed = client.option(LIST, b"");
    let names: Vec<&[u8]> =
        listed.iter().filter(|(kind, _)| *kind == REP_SERVER).map(|(_, e)| &e[4..40]).collect();
    assert_eq!(names, [other.as_bytes(), uid.as_bytes()]);
    assert!(String::from_utf8_lossy(&listed[1].1).contains("vm 20"), "{listed:?}");
    assert_eq!(client.option(LIST, b"x"), [(ERR_INVALID, b"the option has no data".to_vec())]);

    let told = client.option(INFO, &info(&uid, &[1, 2, 3, 77]));
    let size = (image.len() as u64).next_multiple_of(4096).to_be_bytes();
    // Flags, read-only, flush, FUA, many connections.
    assert_eq!(told[0], (REP_INFO, [&[0, 0], &size[..], &[0x01, 0x0f]].concat()));
    assert_eq!(told[1].1, [&[0, 1], uid.as_bytes()].concat());
    assert!(told[2].1.ends_with(b"(snap)"));
    assert_eq!(told[3].1, [0, 3, 0, 0, 0, 1, 0, 0, 16, 0, 2, 0, 0, 0]);
    assert_eq!(told[4..], [(ACK, vec![])]);

    for name in ["", "nothing", &uid[..5], "vm:1", "vm:x"] {
        assert_eq!(client.option(INFO, &info(name, &[]))[0].0, ERR_UNKNOWN, "{name}");
    }
    for data in [&b""[..], b"\0\0\0\x09abc", b"\0\0\0\0\0\x02\0\0", b"\0\0\0\x01\xff\0\0"] {
        assert_eq!(client.option(GO, data)[0].0, ERR_INVALID, "{data:?}");
    }
    for option in [5, 11, 4711] {
        assert_eq!(client.option(option, b"whatever")[0].0, ERR_UNSUP);
    }
    assert_eq!(client.option(LIST, &vec![7; 100_000])[0].0, ERR_TOO_BIG);
    assert_eq!(client.option(2, b""), [(ACK, vec![])]);
    assert!(client.is_dropped());
    server.end();
}

/// A name means the same version as on the command line, and keeps that meaning during a handshake.
#[test]
fn exports_are_found_as_the_command_line_finds_versions() {
    let (install, first, image) = install();
    let second = install.backup(&[&install.image("image2", &noise(3, BLOCK)), "vm"]);
    let other = install.backup(&["null://64kB", "pool/other:x"]);
    let server = Server::new(&install, &["-r"]);
    let mut client = Client::new(&server);
    for (name, uid) in [
        ("vm", &second),
        ("vm:latest", &second),
        ("vm:0", &second),
        ("vm:1", &first),
        ("pool/other:x", &other),
        (&first[..8], &first),
        (&first, &first),
    ] {
        let told = client.option(INFO, &info(name, &[1]));
        assert_eq!(told[1].1, [&[0, 1], uid.as_bytes()].concat(), "{name}");
        // The flag for many connections is set if all of them get the same version.
        assert_eq!(told[0].1[10], if name == uid { 0x01 } else { 0x00 }, "{name}");
    }
    assert_eq!(client.option(INFO, &info("vm:2", &[]))[0].0, ERR_UNKNOWN);
    let mut client = Client::opened(&server, "vm:1", true);
    let mut data = vec![0; 4096];
    let chunks = client.structured(0, READ, 0, 4096);
    assert!(assembled(&chunks, 0, &mut data).is_empty() && data == image[..4096]);
    // A backup between two options must not separate the context from the export.
    let mut client = Client::new(&server);
    client.option(STRUCTURED_REPLY, b"");
    client.option(SET_META_CONTEXT, &contexts("vm", &["base:allocation"]));
    install.backup(&[&install.image("image3", &noise(4, 2 * BLOCK)), "vm"]);
    let told = client.option(GO, &info("vm", &[1]));
    assert_eq!(told[1].1[2..], *second.as_bytes());
    assert_eq!(client.structured(0, BLOCK_STATUS, 0, 4096)[0].1, 5);
    // If only one version is served, no name leads to another one.
    server.end();
    let server = Server::new(&install, &["-r", "vm:2"]);
    let mut client = Client::new(&server);
    assert_eq!(client.option(INFO, &info("vm:2", &[]))[0].0, REP_INFO);
    assert_eq!(client.option(INFO, &info("vm", &[]))[0].0, ERR_UNKNOWN);
    server.end();
}

#[test]
fn the_one_version_that_is_served_needs_no_name() {
    let (install, uid, image) = install();
    let other = install.backup(&["null://1MB", "other"]);
    let server = Server::new(&install, &["vm:latest"]);
    let mut client = Client::new(&server);
    assert_eq!(client.option(INFO, &info(&other, &[]))[0].0, ERR_UNKNOWN);
    assert_eq!(client.option(LIST, b"").len(), 2);
    for name in ["", &uid] {
        let mut client = Client::opened(&server, name, false);
        assert!(client.read(0, 4096).expect("read") == image[..4096]);
    }
    // The old option `EXPORT_NAME`, whose reply ends with zeros.
    let mut client = Client::silent(&server);
    client.take(18);
    client.say(&[&[0, 0, 0, 1], &b"IHAVEOPT"[..], &EXPORT_NAME.to_be_bytes(), &[0; 4]].concat());
    let answer = client.take(8 + 2 + 124);
    assert!(answer[10..].iter().all(|byte| *byte == 0));
    assert!(client.read(0, 4096).expect("read") == image[..4096]);
    client.leave();
    let mut client = Client::new(&server);
    client.say(&[&b"IHAVEOPT"[..], &EXPORT_NAME.to_be_bytes(), &[0, 0, 0, 1, b'x']].concat());
    assert!(client.is_dropped());
    server.end();
}

#[test]
fn reads_give_the_image_and_zeros_behind_it() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["--read-only"]);
    let padded = padded(&image);
    let mut client = Client::opened(&server, &uid, false);
    let mut structured = Client::opened(&server, &uid, true);
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..60 {
        let start = random.usize(0..padded.len());
        let length = random.usize(1..=(padded.len() - start).min(5 * BLOCK));
        let range = start..start + length;
        assert!(client.read(start as u64, length as u32).expect("read") == padded[range.clone()]);
        let flags = if round % 2 == 0 { 0 } else { 4 };
        let chunks = structured.structured(flags, READ, start as u64, length as u32);
        let mut buffer = vec![0xee; length];
        assert_eq!(assembled(&chunks, start as u64, &mut buffer), []);
        assert!(buffer == padded[range], "{start} {length}");
        assert!(flags == 0 || chunks.len() == 1);
    }
    assert_eq!(client.read(0, 0), Ok(vec![]));
    assert_eq!(structured.structured(0, READ, 0, 0), [(1, 0, vec![])]);
    // A hole is sent as a hole, without data.
    let chunks = structured.structured(0, READ, 4 * BLOCK as u64, 4 * BLOCK as u32);
    assert_eq!((chunks.len(), chunks[0].1, chunks[0].2.len()), (1, 2, 12));
    server.end();
}

#[test]
fn impossible_requests_are_refused_and_the_client_goes_on() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["-r"]);
    let mut client = Client::opened(&server, &uid, false);
    let end = padded(&image).len() as u64;
    assert_eq!(client.read(end - 1, 2), Err(EINVAL));
    assert_eq!(client.read(u64::MAX, 2), Err(EINVAL));
    assert_eq!(client.write(0, b"x"), EPERM);
    assert_eq!(client.write(0, &vec![1; 1 << 20]), EPERM);
    assert_eq!(client.write(end, b"x"), EPERM);
    assert_eq!(client.simple(TRIM, 0, 4096, b""), EPERM);
    assert_eq!(client.simple(WRITE_ZEROES, 0, 4096, b""), EPERM);
    assert_eq!(client.simple(FLUSH, 0, 0, b""), 0);
    assert_eq!(client.simple(BLOCK_STATUS, 0, 4096, b""), EINVAL);
    assert_eq!(client.simple(99, 0, 0, b""), EINVAL);
    assert!(client.read(0, 10).expect("read") == image[..10]);
    let mut client = Client::opened(&server, &uid, true);
    for (flags, command, offset, length) in
        [(0x80, READ, 0, 4096), (0, READ, end, 1), (0, BLOCK_STATUS, 0, 0), (0x80, BLOCK_STATUS, 0, 1)]
    {
        let chunks = client.structured(flags, command, offset, length);
        assert_eq!(assembled(&chunks, 0, &mut [])[0].0, EINVAL, "{command}");
    }
    client.leave();
    assert_eq!(server.end().stderr, "");
}

#[test]
fn a_read_may_have_32_mib_and_no_more() {
    let install = Install::new(4 << 20);
    let uid = install.backup(&["null://48MB", "big"]);
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(client.read(0, 32 << 20).expect("read").len(), 32 << 20);
    assert_eq!(client.read(0, (32 << 20) + 1), Err(EOVERFLOW));
    assert_eq!(client.write(0, &vec![0; (32 << 20) + 1]), EINVAL);
    assert_eq!(client.read(0, 1).expect("read").len(), 1);
    server.end();
}

#[test]
fn allocation_is_reported() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["-r"]);
    let mut client = Client::opened(&server, &uid, true);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four"));
    let extents = |chunk: &Chunk| -> Vec<(u32, u32)> {
        assert_eq!((chunk.0, chunk.1, number(&chunk.2[..4])), (1, 5, 1));
        chunk.2[4..].chunks(8).map(|e| (number(&e[..4]), number(&e[4..]))).collect()
    };
    let (block, end) = (BLOCK as u32, padded(&image).len() as u32);
    let rest = 2 * block + 1000;
    let all = client.structured(0, BLOCK_STATUS, 0, end);
    assert_eq!(extents(&all[0]), [(4 * block, 0), (4 * block, 3), (rest, 0), (end - 8 * block - rest, 3)]);
    let one = client.structured(8, BLOCK_STATUS, 100, end - 100);
    assert_eq!(extents(&one[0]), [(4 * block - 100, 0)]);
    // The context holds only for the export for which it was chosen, and only with structured replies.
    let other = install.backup(&["null://1MB", "other"]);
    let mut client = Client::new(&server);
    assert_eq!(client.option(SET_META_CONTEXT, &contexts(&uid, &["base:allocation"]))[0].0, ERR_INVALID);
    client.option(STRUCTURED_REPLY, b"");
    assert_eq!(client.option(SET_META_CONTEXT, &contexts(&uid, &["other:context"])), [(ACK, vec![])]);
    assert_eq!(client.option(9, &contexts(&uid, &["base:"])).len(), 2);
    assert_eq!(client.option(SET_META_CONTEXT, &contexts(&uid, &["base:allocation"])).len(), 2);
    client.option(GO, &info(&other, &[]));
    let chunks = client.structured(0, BLOCK_STATUS, 0, 4096);
    assert_eq!(assembled(&chunks, 0, &mut [])[0].0, EINVAL);
    server.end();
}

#[test]
fn a_bad_block_is_an_error_for_its_range_only() {
    let (install, uid, image) = install();
    let blob = install.blob(&install.blob_uid(&uid, 2));
    let mut data = std::fs::read(&blob).expect("read");
    data[100] ^= 1;
    std::fs::write(&blob, data).expect("written");
    std::fs::remove_file(install.blob(&install.blob_uid(&uid, 9))).expect("removed");
    let server = Server::new(&install, &["-r"]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(client.read(2 * BLOCK as u64 - 1, 2), Err(EIO));
    assert_eq!(client.read(9 * BLOCK as u64, 1), Err(EIO));
    assert!(client.read(0, 2 * BLOCK as u32).expect("read") == image[..2 * BLOCK]);
    assert!(client.read(3 * BLOCK as u64, BLOCK as u32).expect("read") == image[3 * BLOCK..4 * BLOCK]);
    let mut client = Client::opened(&server, &uid, true);
    let mut buffer = vec![0; 4 * BLOCK];
    let chunks = client.structured(0, READ, 0, 4 * BLOCK as u32);
    let errors = assembled(&chunks, 0, &mut buffer);
    assert_eq!((errors.len(), errors[0].0), (1, EIO));
    let run = server.end();
    assert_eq!(run.stderr.matches("block 2 (UID").count(), 1, "told once: {}", run.stderr);
}

#[test]
fn a_version_that_cannot_be_read_or_named_harms_no_other_export() {
    let (install, uid, image) = install();
    let other = install.backup(&["null://1MB", "other"]);
    let odd = install.backup(&["null://1MB", "odd"]);
    install.change(&format!("UPDATE versions SET size_bytes = -1 WHERE uid = '{other}'"));
    install.change(&format!("DELETE FROM tags WHERE version_uid = '{odd}'"));
    let server = Server::new(&install, &["-r"]);
    install.change(&format!("UPDATE versions SET uid = 'a/b' WHERE uid = '{odd}'"));
    for _ in 0..2 {
        let mut client = Client::new(&server);
        let listed = client.option(LIST, b"");
        let names: Vec<&[u8]> =
            listed.iter().filter(|(kind, _)| *kind == REP_SERVER).map(|(_, e)| &e[4..7]).collect();
        assert_eq!(names, [&b"a/b"[..], &uid.as_bytes()[..3]]);
        assert_eq!(client.option(INFO, &info(&other, &[]))[0].0, ERR_UNKNOWN);
    }
    let mut client = Client::opened(&server, &uid, false);
    assert!(client.read(0, 100).expect("read") == image[..100]);
    let told = super::server::log(&install);
    let words = format!("a version is ignored: the row of version {other}: size_bytes is negative: -1");
    assert_eq!(told.matches(&words).count(), 1, "{told}");
    server.end();
}

#[test]
fn a_store_that_vanishes_meanwhile_is_an_error_of_each_read_and_no_damage() {
    let (install, uid, image) = install();
    let name = "a_store_that_vanishes_meanwhile_is_an_error_of_each_read_and_no_damage";
    let Some(store) = Bound::new(name, &install) else { return };
    // The process has the folder open. It looks at the path again when a blob is missing.
    let (blob, aside) = (store.below(&install.blob(&install.blob_uid(&uid, 0))), install.path("aside"));
    std::fs::rename(&blob, &aside).expect("moved");
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    store.vanish();
    assert_eq!(client.read(0, BLOCK as u32).map(drop), Err(EIO));
    store.again();
    std::fs::rename(&aside, &blob).expect("moved back");
    assert!(client.read(0, BLOCK as u32).expect("it is back") == image[..BLOCK]);
    client.leave();
    server.end();
    assert!(super::server::log(&install).contains("is gone since the command began"));
    assert!(install.is_valid(&uid) && install.invalid_blocks(&uid).is_empty());
    install.assert_sound();
}
