//! Nonsense in every phase: the server goes on serving others, and its memory stays small.

use super::client::*;
use super::protocol::install;
use super::server::{Server, log};
use crate::common::all;
use std::io::{Read, Write};
use std::net::Shutdown;

/// The number of sessions of each kind.
fn sessions() -> u64 {
    if all() { 400 } else { 60 }
}

fn random_bytes(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(0..most)];
    random.fill(&mut bytes);
    bytes
}

/// Sends what may not be taken, then leaves in one of several ways. The server may have closed long before.
fn leave(client: Client, garbage: &[u8], random: &mut fastrand::Rng) {
    let mut stream = client.stream;
    let _ = stream.write_all(garbage);
    if random.bool() {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn garbage_in_every_phase_harms_nobody() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &[]);
    let mut witness = Client::opened(&server, &uid, false);
    let mut random = fastrand::Rng::with_seed(42);
    for session in 0..sessions() {
        // Instead of the handshake flags, or behind them.
        let client = Client::silent(&server);
        let garbage = random_bytes(&mut random, 300);
        leave(client, &garbage, &mut random);

        // Options: random ones with plausible heads, lengths that lie, data that lies.
        let mut client = Client::new(&server);
        let option = random.u32(0..14);
        let mut data = random_bytes(&mut random, 80);
        if random.bool() {
            data = [&info(&uid, &[3, 4])[..], &data].concat();
        }
        let length = if random.bool() { data.len() as u32 } else { random.u32(..) };
        client.say(&[&b"IHAVEOPT"[..], &option.to_be_bytes(), &length.to_be_bytes(), &data].concat());
        let garbage = random_bytes(&mut random, 300);
        leave(client, &garbage, &mut random);

        // Requests: random commands, flags, offsets and lengths; then no request at all.
        let mut client = Client::opened(&server, &uid, session % 2 == 0);
        for _ in 0..random.usize(0..6) {
            let command =
                [READ, TRIM, FLUSH, WRITE_ZEROES, BLOCK_STATUS, random.u16(4..)][random.usize(0..6)];
            let flags = if random.bool() { 0 } else { random.u16(..) };
            let offset = if random.bool() { random.u64(0..image.len() as u64) } else { random.u64(..) };
            let length = if random.bool() { random.u32(0..100_000) } else { random.u32(..) };
            client.request(flags, command, offset, length, b"");
        }
        let garbage = random_bytes(&mut random, 300);
        leave(client, &garbage, &mut random);

        assert!(witness.read(5, 4000).expect("served") == image[5..4005], "session {session}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches("kB").trim().parse().expect("a number");
    assert!(peak < 300 << 10, "{peak} KiB");
    witness.leave();
    server.end();
    assert!(!log(&install).contains("panicked"));
    assert!(install.restored(&uid, "original") == image);
    install.assert_sound();
}

/// A client that says nothing during the handshake is dropped in the end, one that is connected is not.
#[test]
fn many_clients_are_served_and_too_many_turned_away() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["-r"]);
    let mut first = Client::opened(&server, &uid, false);
    let silent: Vec<Client> = (0..127).map(|_| Client::silent(&server)).collect();
    for mut client in silent {
        client.take(18);
        if client.stream.peer_addr().is_err() {
            panic!("dropped");
        }
        std::mem::forget(client);
    }
    let mut turned_away = Client::silent(&server);
    assert!(turned_away.is_dropped());
    assert!(first.read(0, 100).expect("served") == image[..100]);
    assert!(log(&install).contains("128 clients already"));
    server.end();
}
