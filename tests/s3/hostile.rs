//! Servers that answer slowly, endlessly, or with requirements of their own.

use crate::common::checks::ended;
use crate::common::hostile::{Asked, Hostile, reply};
use crate::common::install::{Install, noise};
use crate::common::s3_server::BUCKET;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use std::io::{Result, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const NO_SUCH_KEY: &str = "<Error><Code>NoSuchKey</Code></Error>";

/// An installation with its bucket on this server.
fn installed(server: &Hostile, timeout: u32) -> Install {
    let install = Install::new(4096);
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("path:")).collect();
    let keys = format!(
        "type: s3\nendpoint_url: {}\nbucket_name: {BUCKET}\naws_access_key_id: id\naws_secret_access_key: secret\n\
         retry_time: 0\ntimeout: {timeout}\n",
        server.endpoint(),
    );
    let text = (lines.join("\n") + "\n").replace("type: backy2.data_backends.file\n", &keys);
    std::fs::write(install.path("backy.cfg"), text).expect("write");
    install
}

/// Sends ten bytes per second of an answer that promises many.
fn drip(_: &Asked, client: &mut TcpStream) -> Result<()> {
    write!(client, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
    loop {
        client.write_all(b"<")?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sends headers that never end.
fn headers(_: &Asked, client: &mut TcpStream) -> Result<()> {
    write!(client, "HTTP/1.1 200 OK\r\n")?;
    loop {
        client.write_all(b"x")?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn continues(_: &Asked, client: &mut TcpStream) -> Result<()> {
    loop {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn silence(_: &Asked, _: &mut TcpStream) -> Result<()> {
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

type Answer = fn(&Asked, &mut TcpStream) -> Result<()>;
const ENDLESS: [(&str, Answer); 4] =
    [("drip", drip), ("headers", headers), ("continues", continues), ("silence", silence)];

#[test]
fn a_server_that_answers_without_end_is_given_up() {
    for (name, answer) in ENDLESS {
        let server = Hostile::start(answer);
        let install = installed(&server, 1);
        let started = Instant::now();
        let error = install.fails(100, &["cleanup", "--full"]);
        assert!(error.contains("in time") || error.contains("too slow"), "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_server_that_answers_without_end() {
    for (name, answer) in ENDLESS {
        let asked = Arc::new(AtomicU32::new(0));
        let noted = asked.clone();
        let server = Hostile::start(move |request, client| {
            noted.fetch_add(1, Ordering::SeqCst);
            answer(request, client)
        });
        let install = installed(&server, 60);
        let child = install.start(&["cleanup", "--full"]);
        crate::common::checks::wait_until("it is asked", Duration::from_secs(20), || {
            asked.load(Ordering::SeqCst) > 0
        });
        std::thread::sleep(Duration::from_millis(200));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("sent");
        let started = Instant::now();
        let run = ended(child);
        assert_eq!(run.code, 143, "{name}: {run:?}");
        assert!(started.elapsed() < Duration::from_millis(1500), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn a_listing_that_does_not_get_on_is_an_error() {
    let page = |keys: &str, token: &str| {
        format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated>{keys}<NextContinuationToken>{token}\
             </NextContinuationToken></ListBucketResult>"
        )
    };
    let key = "<Contents><Key>0123456789abcdef0123456789abcdef</Key></Contents>";
    for (keys, counts, word) in
        [("", true, "without names"), (key, true, "order of keys"), (key, false, "same page")]
    {
        let number = AtomicU32::new(0);
        let server = Hostile::start(move |asked, client| {
            if asked.head[0].contains("backy2.store") {
                return reply(client, "404 Not Found", "", NO_SUCH_KEY);
            }
            let number = number.fetch_add(u32::from(counts), Ordering::SeqCst);
            reply(client, "200 OK", "", &page(keys, &format!("t{number}")))
        });
        let error = installed(&server, 10).fails(100, &["cleanup", "--full"]);
        assert!(error.contains("cannot list the bucket") && error.contains(word), "{word}: {error}");
    }
}

/// Some servers refuse `UNSIGNED-PAYLOAD`, and some proxies log addresses.
#[test]
fn signatures_are_in_the_header_with_the_digest_of_the_body() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let identity: Mutex<Option<String>> = Mutex::default();
    let server = Hostile::start(move |asked, client| {
        let line = asked.head[0].clone();
        let digest: String = Sha256::digest(&asked.body).iter().map(|byte| format!("{byte:02x}")).collect();
        let good = asked.header("x-amz-content-sha256") == Some(&digest[..])
            && asked.header("authorization").is_some_and(|value| {
                value.starts_with("AWS4-HMAC-SHA256 Credential=id/") && value.contains("host;")
            });
        let is_put = line.starts_with("PUT");
        let is_identity = line.contains("backy2.store");
        noted.lock().expect("lock").push((line, asked.header("content-md5").is_some()));
        let mut identity = identity.lock().expect("lock");
        if is_put && is_identity {
            *identity = Some(String::from_utf8_lossy(&asked.body).into_owned());
        }
        match (good, is_put) {
            (false, _) => reply(client, "403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>"),
            (true, true) => reply(client, "200 OK", "", ""),
            (true, false) if is_identity => match &*identity {
                Some(identity) => reply(client, "200 OK", "", identity),
                None => reply(client, "404 Not Found", "", NO_SUCH_KEY),
            },
            (true, false) => reply(
                client,
                "200 OK",
                "",
                "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
            ),
        }
    });
    let install = installed(&server, 10);
    install.backup(&[&install.image("image", &noise(1, 3 * 4096)), "vm"]);
    let seen = seen.lock().expect("lock");
    let puts: Vec<_> = seen.iter().filter(|(line, _)| line.starts_with("PUT")).collect();
    assert_eq!(
        puts.len(),
        1 + 3 + 2,
        "the identity of the store, the blobs, and two copies of metadata: {seen:?}"
    );
    for (line, has_md5) in seen.iter() {
        assert!(!line.contains("X-Amz") && !line.to_lowercase().contains("signature"), "{line}");
        assert!(*has_md5 || !line.starts_with("PUT"), "{line}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_reported_whatever_the_server_calls_it() {
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>";
    let in_words = "<Error><Code>AccessDenied</Code><Message>The difference between the request time and the \
                    current time is too large.</Message></Error>";
    let silent = "<Error><Code>AccessDenied</Code></Error>";
    let (past, now) = ("date: Mon, 01 Jan 2024 10:00:00 GMT\r\n", "");
    for (body, headers, word) in [
        (skewed, now, "See the clock of this machine"),
        (in_words, now, "See the clock of this machine"),
        (silent, past, "minutes ahead of the server's: set it"),
    ] {
        let server = Hostile::start(move |_, client| reply(client, "403 Forbidden", headers, body));
        let install = installed(&server, 10);
        let error = install.fails(6, &["backup", &install.image("image", &noise(1, 4096)), "vm"]);
        assert!(error.contains(word), "{body}: {error}");
    }
}
