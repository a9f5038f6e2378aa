//! Servers that are not PostgreSQL, or belong to an attacker.

use crate::common::checks::ended;
use crate::common::install::Install;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads a message without a kind: a request for TLS, or a client's first message.
fn start(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut body)?;
    Ok(body)
}

/// Declines TLS, and waits for the first message.
fn without_tls(client: &mut TcpStream) -> Result<()> {
    if start(client)? == [4, 210, 22, 47] {
        client.write_all(b"N")?;
        start(client)?;
    }
    Ok(())
}

/// Runs a server in the background until the process ends. Returns its port, and the data that came after its answer.
fn serve(
    answer: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static,
) -> (u16, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("address").port();
    let (heard, told) = (Arc::default(), Arc::new(answer));
    let noted = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (told, noted) = (Arc::clone(&told), Arc::clone(&noted));
            std::thread::spawn(move || {
                let mut rest = Vec::new();
                if told(&mut client).is_ok() {
                    let _ = client.read_to_end(&mut rest);
                }
                let noted: &std::sync::Mutex<Vec<u8>> = &noted;
                noted.lock().expect("lock").extend(rest);
            });
        }
    });
    (port, heard)
}

/// An installation with that engine, and without a database.
fn installed(engine: &str) -> Install {
    let install = Install::without_database(4096);
    install.set("engine", engine);
    install
}

/// A request for the password, by the method with that number.
fn wants(number: i32) -> Vec<u8> {
    let salt: &[u8] = if number == 5 { b"salt" } else { b"" };
    [&b"R"[..], &(8 + salt.len() as u32).to_be_bytes(), &number.to_be_bytes(), salt].concat()
}

#[test]
fn a_message_that_claims_to_be_huge_is_not_waited_for() {
    for kind in [b'R', b'E', b'S'] {
        let (port, _) = serve(move |client| {
            without_tls(client)?;
            client.write_all(&[kind, 0x7f, 0xff, 0xff, 0xff])?;
            // Send as much as the client reads.
            loop {
                client.write_all(&[0; 1 << 16])?;
            }
        });
        let install = installed(&format!("postgresql://u:secret@127.0.0.1:{port}/d"));
        let started = Instant::now();
        let error = install.fails(1, &["ls"]);
        assert!(error.contains("a message of 2147483643 bytes"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// `0.0.0.0` is no loopback address, but it leads to this host.
#[test]
fn no_password_goes_to_another_host_without_tls_unless_the_url_says_so() {
    for (number, word) in [(3, "clear text"), (5, "MD5"), (0, "SCRAM")] {
        let (port, heard) = serve(move |client| {
            without_tls(client)?;
            client.write_all(&wants(number))
        });
        let install = installed(&format!("postgresql://u:secret@0.0.0.0:{port}/d"));
        let error = install.fails(1, &["ls"]);
        assert!(error.contains(word) && error.contains("sslmode=disable"), "{error}");
        std::thread::sleep(Duration::from_millis(100));
        assert!(!String::from_utf8_lossy(&heard.lock().expect("lock")).contains("secret"), "{number}");
    }
    for parameter in ["sslmode=disable", "sslmode=prefer"] {
        let (port, heard) = serve(|client| {
            without_tls(client)?;
            client.write_all(&wants(3))?;
            std::thread::sleep(Duration::from_millis(200));
            client.write_all(b"E\0\0\0\x11SFATAL\0Mno\0\0\0")
        });
        let install = installed(&format!("postgresql://u:secret@0.0.0.0:{port}/d?{parameter}"));
        install.fails(1, &["ls"]);
        crate::common::checks::wait_until("it was sent", Duration::from_secs(5), || {
            String::from_utf8_lossy(&heard.lock().expect("lock")).contains("secret")
        });
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_a_signal_ends_the_wait() {
    let (port, _) = serve(|_| Ok(()));
    let engine = format!("postgresql://u:secret@127.0.0.1:{port}/d?connect_timeout=2");
    let started = Instant::now();
    let error = installed(&engine).fails(1, &["ls"]);
    assert!(error.contains("connect_timeout"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());

    let install = installed(&engine.replace("timeout=2", "timeout=60"));
    for args in [&["ls"][..], &["initdb"]] {
        let child = install.start(args);
        std::thread::sleep(Duration::from_millis(500));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("sent");
        let started = Instant::now();
        let run = ended(child);
        assert_eq!(run.code, 143, "{run:?}");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn an_unencoded_password_is_not_shown_and_the_message_explains_the_encoding() {
    for password in ["top@secret/x", "1234/secret", "1234?secret", "1234#secret"] {
        let install = installed(&format!("postgresql://u:{password}@127.0.0.1:1/d"));
        let run = install.run(&["-d", "ls"]);
        assert_eq!(run.code, 1, "{run:?}");
        let log = std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
        assert!(run.stderr.contains("%40 for @"), "{run:?}");
        assert!(![run.stdout, run.stderr, log].concat().contains("secret"), "{password}");
    }
    // This URL is accepted; but if it fails, the doubtful password is the likely reason.
    let error = installed("postgresql://u:top@secret@127.0.0.1:1/d").fails(1, &["ls"]);
    assert!(error.contains("several @") && !error.contains("secret@"), "{error}");
}
