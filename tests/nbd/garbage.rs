//! Invalid data in every phase: the server continues to serve others, and its memory stays small.

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

/// Sends garbage, and then leaves in one of several ways. The server may have closed the connection long before.
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
        // In place of the handshake flags, or after them.
        let client = Client::silent(&server);
        let garbage = random_bytes(&mut random, 300);
        leave(client, &garbage, &mut random);

        // Options: random ones with plausible headers, wrong lengths, or wrong data.
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

        // Requests: random commands, flags, offsets and lengths; then something that is no request.
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

/// Silent clients are dropped to make room for new ones; clients with an export open are not.
#[test]
fn many_clients_are_served_and_too_many_turned_away() {
    let (install, uid, image) = install();
    let server = Server::new(&install, &["-r"]);
    let first = Client::opened(&server, &uid, false);
    let mut silent: Vec<Client> = (0..127).map(|_| Client::silent(&server)).collect();
    for client in &mut silent {
        assert_eq!(client.take(18).len(), 18);
    }
    let open = || {
        let mut client = Client::opened(&server, &uid, false);
        client.read(0, 1).expect("served");
        client
    };
    let mut others: Vec<Client> = (0..127).map(|_| open()).collect();
    assert!(silent.iter_mut().all(Client::is_dropped));
    let mut turned_away = Client::silent(&server);
    assert!(turned_away.is_dropped());
    others.push(first);
    for client in &mut others {
        assert!(client.read(0, 100).expect("served") == image[..100]);
    }
    assert!(log(&install).contains("there are already 128 clients"));
    server.end();
}

/// A client cannot keep a connection by sending a byte now and then.
#[test]
fn a_client_that_chooses_no_export_is_dropped_even_if_it_keeps_talking() {
    if !all() {
        return crate::common::skip(
            "a_client_that_chooses_no_export_is_dropped_even_if_it_keeps_talking",
            "it takes half a minute",
        );
    }
    let (install, uid, _) = install();
    let server = Server::new(&install, &["-r"]);
    let start = std::time::Instant::now();
    let mut client = Client::new(&server);
    let mut first = Client::opened(&server, &uid, false);
    while client
        .stream
        .write_all(&[&b"IHAVEOPT"[..], &STRUCTURED_REPLY.to_be_bytes(), &[0; 4]].concat())
        .is_ok()
    {
        assert!(start.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert!(
        start.elapsed().as_secs() >= 29 && log(&install).contains("did not choose an export within 30 s")
    );
    first.read(0, 100).expect("served");
    server.end();
}

/// All clients share few permits for large replies; a client that reads none of its reply cannot keep one for ever.
#[test]
fn a_client_that_reads_no_replies_does_not_block_others() {
    if !all() {
        return crate::common::skip(
            "a_client_that_reads_no_replies_does_not_block_others",
            "it takes a minute",
        );
    }
    let (install, ..) = install();
    let big = install.backup(&[&install.image("zeros", &vec![0; 64 << 20]), "big"]);
    let server = Server::new(&install, &["-r"]);
    let mut stalled: Vec<Client> = (0..4).map(|_| Client::opened(&server, &big, false)).collect();
    for client in &mut stalled {
        client.request(0, READ, 0, 32 << 20, b"");
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut client = Client::opened(&server, &big, false);
    client.stream.set_read_timeout(Some(std::time::Duration::from_secs(100))).expect("set");
    assert_eq!(client.read(0, 2 << 20).expect("served").len(), 2 << 20);
    // The permit is free a moment before the log says why.
    let logged = || log(&install).contains("it has not read anything of a reply for 30 s");
    crate::common::checks::wait_until("the log says it", std::time::Duration::from_secs(100), logged);
    server.end();
}
