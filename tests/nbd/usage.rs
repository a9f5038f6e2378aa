//! Starting the server, its messages, and wrong usage.

use super::client::Client;
use super::protocol::install;
use super::server::{Server, log};
use crate::common::install::Install;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;

#[test]
fn it_shows_its_address_and_how_clients_connect() {
    let (install, uid, _) = install();
    let server = Server::new(&install, &[&uid[..8]]);
    let port = server.port;
    let said = log(&install);
    for words in [
        format!("Serving NBD on 127.0.0.1:{port}."),
        format!("`nbd-client -l 127.0.0.1 -p {port}`"),
        format!("`nbd-client -N {uid} 127.0.0.1 -p {port} /dev/nbd0`"),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(said.contains("become versions called 'copy on write'. Use --read-only"), "{said}");
    let mut client = Client::opened(&server, "", false);
    client.read(0, 1).expect("read");
    client.leave();
    let run = server.end();
    assert_eq!(run.stderr, "");
    assert!(run.stdout.contains(&format!("has opened version {uid}.")), "{run:?}");
}

#[test]
fn other_hosts_are_warned_of() {
    let (install, ..) = install();
    let address = ["nbd", "-p", "0", "-a", "0.0.0.0"];
    install.refuses(100, &address, &["Other hosts can reach", "--tls-certs", "--insecure", "ssh -L"]);
    let server = Server::new(&install, &["-a", "0.0.0.0", "--insecure"]);
    assert!(log(&install).contains("which other hosts can reach"), "{}", log(&install));
    assert!(log(&install).contains("`nbd-client -l localhost -p"));
    server.end();
    let server = Server::new(&install, &["-a", "localhost"]);
    assert!(!log(&install).contains("other hosts"));
    server.end();
}

#[test]
fn scripts_hear_the_port() {
    let (install, ..) = install();
    let port = TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound").port();
    let mut child = install.start(&["--json", "nbd", "-p", &port.to_string()]);
    let mut line = String::new();
    let out = child.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
    assert_eq!(line, format!("{{\"address\":\"127.0.0.1\",\"port\":{port}}}\n"));
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn sockets_are_for_their_owner_and_never_replace_a_file() {
    let (install, uid, _) = install();
    let path = install.path("nbd.sock");
    let server = Server::on_socket(&install, &[&uid]);
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    let socket = install.text("nbd.sock");
    let error = install.fails(100, &["nbd", "--socket", &socket]);
    assert!(error.contains("the socket of a running server"), "{error}");
    // The socket of a killed server is no obstacle.
    drop(server);
    assert!(path.exists());
    Server::on_socket(&install, &[]).end();
    assert!(!path.exists());
    std::fs::write(&path, "precious").expect("written");
    let error = install.fails(100, &["nbd", "--socket", &socket]);
    assert!(error.contains("is not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "precious");
}

#[test]
fn wrong_use_is_reported() {
    let (install, ..) = install();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port().to_string();
    install.refuses(100, &["nbd", "-p", &port], &["Cannot listen on 127.0.0.1", "in use", "-p"]);
    install.refuses(100, &["nbd", "-p", "70000"], &["-p/--bind-port: '70000'"]);
    install.refuses(100, &["nbd", "-p", "x"], &["-p/--bind-port: 'x'"]);
    install.refuses(100, &["nbd", "-a", "203.0.113.1"], &["Cannot listen on 203.0.113.1:10809"]);
    install.refuses(100, &["nbd", "nothing"], &["nothing not found"]);
    for args in [
        &["--socket", "/x", "-p", "1"][..],
        &["-r", "--copy-name", "x"],
        &["-r", "--copy-expire", "2050-01-01"],
        &["--insecure", "--tls-certs", "/x"],
    ] {
        install.refuses(2, &[&["nbd"], args].concat(), &["cannot be used with"]);
    }
    install.refuses(2, &["nbd", "--tls-verify"], &["--tls-certs"]);
    install.refuses(2, &["nbd", "--copy-name", ""], &["--copy-name"]);
    install.refuses(1, &["nbd", "--copy-expire", "soon"], &["soon"]);
    std::fs::remove_dir(install.path("cache")).expect("removed");
    install.set_in("DEFAULTS", "lock_dir", &install.text("lock"));
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, format!("{text}\n[NBD]\ncachedir: {}\n", install.text("nowhere")))
        .expect("written");
    install.refuses(100, &["nbd", "-p", "0"], &["cachedir", "nowhere", "--read-only"]);
    Server::new(&install, &["-r"]).end();
}

#[test]
fn an_empty_installation_and_an_empty_version_are_served() {
    let install = Install::new(4096);
    let server = Server::new(&install, &[]);
    let mut client = Client::new(&server);
    assert_eq!(client.option(super::client::LIST, b"").len(), 1);
    let uid = install.backup(&[&install.image("empty", b""), "e"]);
    let mut client = Client::opened(&server, &uid, true);
    assert_eq!(client.structured(0, super::client::READ, 0, 0), [(1, 0, vec![])]);
    client.leave();
    server.end();
}
