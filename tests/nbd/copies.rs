//! Data that clients write becomes new versions.

use super::client::*;
use super::protocol::{BLOCK, install};
use super::server::{SOON, Server, log, wait_for};
use crate::common::checks::wait_until;
use crate::common::install::{Install, noise};
use rustix::process::Signal;

/// All copies: uid, snapshot name, and whether it is valid.
fn copies(install: &Install) -> Vec<(String, String, bool)> {
    let out = install.ok(&["-ms", "ls", "-f", "uid,snapshot_name,valid,name,tags", "copy on write"]);
    let rows = out.lines().map(|line| line.split('|').collect::<Vec<_>>());
    rows.map(|row| {
        assert_eq!(row[3..], ["copy on write", ""]);
        (row[0].to_owned(), row[1].to_owned(), row[2] == "1")
    })
    .collect()
}

/// Waits until the only copy is valid, and returns its uid.
fn complete(install: &Install) -> String {
    wait_until("a valid copy", SOON, || copies(install).iter().any(|copy| copy.2));
    copies(install).remove(0).0
}

#[test]
fn written_data_is_read_back_and_becomes_a_version() {
    let (install, uid, mut image) = install();
    let blobs = install.blobs().len();
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(copies(&install), [], "reading makes no copy");
    let mut write = |client: &mut Client, offset: usize, data: &[u8]| {
        assert_eq!(client.write(offset as u64, data), 0);
        image[offset..offset + data.len()].copy_from_slice(data);
    };
    write(&mut client, 4711, b"hello");
    assert_eq!(copies(&install), [(copies(&install)[0].0.clone(), uid.clone(), false)]);
    write(&mut client, 5 * BLOCK + 1, &noise(7, 3000));
    write(&mut client, 9 * BLOCK, &noise(8, 2 * BLOCK + 1000 - BLOCK));
    assert_eq!(client.simple(WRITE_ZEROES, BLOCK as u64 + 3, BLOCK as u32, b""), 0);
    image[BLOCK + 3..2 * BLOCK + 3].fill(0);
    assert_eq!(client.simple(TRIM, 3 * BLOCK as u64, BLOCK as u32, b""), 0);
    image[3 * BLOCK..4 * BLOCK].fill(0);
    assert_eq!(client.simple(FLUSH, 0, 0, b""), 0);
    // Only zeros can be written beyond the end of the image.
    let size = image.len() as u64;
    assert_eq!(client.write(size - 2, &[image[size as usize - 2], image[size as usize - 1], 0, 0]), 0);
    assert_eq!(client.write(size, b"x"), ENOSPC);
    assert!(client.read(0, size as u32).expect("read") == image);
    client.leave();
    let copy = complete(&install);
    assert!(install.restored(&copy, "restored") == image);
    let original = super::protocol::image();
    assert!(install.restored(&uid, "original") == original);
    // Blocks 0, 1, 2, 5, 9 and 10 were changed, 3 became a hole, and the others are shared.
    assert_eq!(install.blobs().len(), blobs + 6, "{}", log(&install));
    for version in [&uid, &copy] {
        install.ok(&["scrub", version]);
    }
    server.end();
    install.assert_sound();
}

#[test]
fn copies_are_called_and_expire_as_asked_for() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["--copy-name", "trial of vm", "--copy-expire", "2050-04-20", "vm"]);
    let mut client = Client::opened(&server, "", false);
    assert_eq!(client.write(0, b"x"), 0);
    client.leave();
    server.end();
    let told = install.ok(&["-ms", "ls", "-f", "snapshot_name,valid,expire", "trial of vm"]);
    assert_eq!(told.trim(), format!("{uid}|1|2050-04-20 00:00:00"));
    assert!(install.restored("trial of vm", "out")[1..] == image[1..]);
    let runs = install.ok(&["-ms", "stats", "-f", "name"]);
    assert!(runs.lines().any(|name| name == "trial of vm"), "{runs}");
}

#[test]
fn each_client_has_its_own_copy() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &[]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::opened(&server, &uid, false)).collect();
    for (n, client) in clients.iter_mut().enumerate().take(2) {
        assert_eq!(client.write(100, &[n as u8; 5000]), 0);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let mut wanted = image.clone();
        if n < 2 {
            wanted[100..5100].fill(n as u8);
        }
        assert!(client.read(0, image.len() as u32).expect("read") == wanted, "client {n}");
    }
    clients.into_iter().for_each(Client::leave);
    wait_until("two copies", SOON, || copies(&install).iter().filter(|copy| copy.2).count() == 2);
    server.end();
    let first: Vec<u8> = copies(&install).iter().map(|copy| install.restored(&copy.0, "copy")[100]).collect();
    assert!(first == [0, 1] || first == [1, 0]);
    install.assert_sound();
}

#[test]
fn a_client_that_vanishes_loses_no_confirmed_write() {
    let (install, uid, mut image) = install();
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(client.write(7, b"written"), 0);
    image[7..14].copy_from_slice(b"written");
    // Disconnect in the middle of the next write.
    client.request(0, WRITE, 0, 100_000, b"torn");
    drop(client);
    let copy = complete(&install);
    assert!(install.restored(&copy, "restored") == image);
    server.end();
    install.assert_sound();
}

#[test]
fn the_end_of_the_server_stores_written_data() {
    for signal in [Signal::INT, Signal::TERM] {
        let (install, uid, mut image) = install();
        let server = Server::new(&install, &[]);
        let mut client = Client::opened(&server, &uid, false);
        assert_eq!(client.write(0, b"changed"), 0);
        image[..7].copy_from_slice(b"changed");
        server.end_by(signal);
        assert!(client.is_dropped());
        let copy = copies(&install).remove(0);
        assert!(copy.2, "it is valid");
        assert!(install.restored(&copy.0, "restored") == image);
        install.assert_sound();
    }
}

#[test]
fn versions_in_use_cannot_be_removed() {
    let (install, uid, _) = install();
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    let refusal = install.fails(100, &["rm", "-f", &uid]);
    assert!(refusal.contains("serves it"), "{refusal}");
    assert_eq!(client.write(0, b"x"), 0);
    let copy = copies(&install).remove(0).0;
    install.fails(100, &["rm", "-f", &copy]);
    client.leave();
    complete(&install);
    wait_for(&install, "is complete");
    wait_until("both are free", SOON, || install.run(&["rm", "-f", &uid]).code == 0);
    install.ok(&["scrub", &copy]);
    server.end();
    install.assert_sound();
}

#[test]
fn data_that_cannot_be_stored_is_reported() {
    let (install, uid, _) = install();
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(client.write(0, b"changed"), 0);
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    client.leave();
    wait_for(&install, "could not be stored and are lost");
    let copy = copies(&install).remove(0);
    assert!(!copy.2 && log(&install).contains(&format!("`backy2 rm -f {}`", copy.0)));
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    server.end();
    install.ok(&["rm", "-f", &copy.0]);
    install.ok(&["scrub", &uid]);
}

#[test]
fn an_invalid_version_is_served_read_only() {
    let (install, uid, _) = install();
    install.change("UPDATE versions SET valid = 0");
    let server = Server::new(&install, &[]);
    let mut client = Client::opened(&server, &uid, false);
    assert_eq!(client.write(0, b"x"), EPERM);
    client.leave();
    server.end();
    assert_eq!(copies(&install), []);
}

/// Random writes, zeros and trims at odd offsets, through two copies one after the other.
#[test]
fn copies_of_copies_have_the_written_data() {
    let (install, mut uid, mut image) = install();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..3 {
        let server = Server::new(&install, &[&uid]);
        let mut client = Client::opened(&server, "", false);
        for _ in 0..40 {
            let start = random.usize(0..image.len());
            let length = random.usize(1..=(image.len() - start).min(100_000));
            let range = start..start + length;
            match random.u8(0..3) {
                0 => {
                    assert_eq!(client.simple(WRITE_ZEROES, start as u64, length as u32, b""), 0);
                    image[range].fill(0);
                }
                _ => {
                    let data = noise(random.u64(..), length);
                    assert_eq!(client.write(start as u64, &data), 0);
                    image[range].copy_from_slice(&data);
                }
            }
        }
        client.leave();
        wait_for(&install, "is complete");
        server.end();
        let newest = copies(&install).pop().expect("a copy");
        assert_eq!(newest.1, uid, "round {round}");
        uid = newest.0;
        assert!(install.restored(&uid, "restored") == image, "round {round}");
    }
    install.assert_sound();
}
