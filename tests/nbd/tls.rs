//! TLS with certificates made by openssl, and with clients in common use.

use super::client::*;
use super::protocol::install;
use super::server::{SOON, Server, log, wait_for};
use crate::common::checks::wait_until;
use crate::common::disk::run;
use crate::common::install::{Install, noise};
use crate::common::skip;
use std::io::Write;
use std::path::Path;

const STARTTLS: u32 = 5;
const ERR_TLS_REQD: u32 = 1 << 31 | 5;

/// Folders of certificates: `ours` has an authority with certificates for the server and a client, `theirs` another
/// authority with a certificate for a client.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// `None` if a program is missing; the test is then reported as skipped.
    fn new(test: &str) -> Option<Self> {
        for program in ["openssl", "nbdinfo", "nbdcopy", "qemu-img", "qemu-io"] {
            let asked = if program == "openssl" { "version" } else { "--version" };
            if let Err(reason) = run(program, &[asked]) {
                skip(test, &reason);
                return None;
            }
        }
        let made = Certificates { folder: tempfile::tempdir().expect("a folder") };
        for name in ["ours", "theirs"] {
            let folder = made.folder.path().join(name);
            std::fs::create_dir(&folder).expect("mkdir");
            authority(&folder);
            signed(&folder, "server", "serverAuth", "\nsubjectAltName=DNS:localhost,IP:127.0.0.1");
            signed(&folder, "client", "clientAuth", "");
        }
        // This client trusts the server, and has a certificate that the server does not trust.
        std::fs::copy(
            made.folder.path().join("ours/ca-cert.pem"),
            made.folder.path().join("theirs/ca-cert.pem"),
        )
        .expect("copied");
        // This client trusts the server, and has no certificate.
        std::fs::create_dir(made.folder.path().join("none")).expect("mkdir");
        std::fs::copy(
            made.folder.path().join("ours/ca-cert.pem"),
            made.folder.path().join("none/ca-cert.pem"),
        )
        .expect("copied");
        Some(made)
    }

    fn text(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("utf-8").to_owned()
    }

    fn uri(&self, server: &Server, export: &str, client: &str) -> String {
        format!("nbds://127.0.0.1:{}/{export}?tls-certificates={}", server.port, self.text(client))
    }
}

fn openssl(folder: &Path, args: &str) {
    let output = std::process::Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3";

fn authority(folder: &Path) {
    openssl(
        folder,
        &format!(
            "req -x509 {KEY} -keyout ca-key.pem -out ca-cert.pem -subj /CN=authority \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
    );
}

fn signed(folder: &Path, name: &str, purpose: &str, more: &str) {
    openssl(folder, &format!("req -new {KEY} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"));
    let extensions = format!(
        "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage={purpose}"
    );
    std::fs::write(folder.join("extensions"), extensions + more + "\n").expect("written");
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 3 -extfile extensions \
             -out {name}-cert.pem"
        ),
    );
}

#[test]
fn libnbd_reads_and_writes_through_tls() {
    let Some(certificates) = Certificates::new("libnbd_reads_and_writes_through_tls") else { return };
    let install = Install::new(1 << 20);
    let image = [noise(4, 9 << 20), vec![0; 3 << 20], noise(5, 2 << 20)].concat();
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    let server = Server::new(&install, &["--tls-certs", &certificates.text("ours")]);
    for client in ["none", "ours"] {
        let listed = run("nbdinfo", &["--list", &certificates.uri(&server, "", client)]).expect("listed");
        assert!(listed.contains(&format!("export=\"{uid}\"")) && listed.contains("with TLS"), "{listed}");
    }
    run("nbdcopy", &[&certificates.uri(&server, "vm", "none"), &install.text("copy")]).expect("copied");
    assert!(std::fs::read(install.path("copy")).expect("read") == image);
    // Both directions at once: many requests under way, large ones among them.
    let other = noise(6, image.len());
    std::fs::write(install.path("other"), &other).expect("written");
    run("nbdcopy", &[&install.text("other"), &certificates.uri(&server, &uid, "none")]).expect("copied");
    wait_for(&install, "is complete: it has a client's changes");
    assert!(install.restored("copy on write", "restored") == other);
    // Without TLS the server lists nothing.
    run("nbdinfo", &["--list", &server.uri("")]).expect_err("TLS is required");
    server.end();
    // Clients read from a read-only server over several connections.
    let server = Server::new(&install, &["-r", "--tls-certs", &certificates.text("ours")]);
    let from = certificates.uri(&server, &uid, "none");
    run("nbdcopy", &["--connections=4", "--requests=32", &from, &install.text("copy2")]).expect("copied");
    assert!(std::fs::read(install.path("copy2")).expect("read") == image);
    server.end();
}

#[test]
fn qemu_reads_and_writes_through_tls() {
    let Some(certificates) = Certificates::new("qemu_reads_and_writes_through_tls") else { return };
    let (install, uid, mut image) = install();
    let args = ["--tls-certs", &certificates.text("ours"), "--tls-verify"];
    let server = Server::new(&install, &args);
    let credentials = |client: &str| {
        format!("tls-creds-x509,id=tls0,endpoint=client,verify-peer=yes,dir={}", certificates.text(client))
    };
    let export = format!("driver=nbd,host=127.0.0.1,port={},export={uid},tls-creds=tls0", server.port);
    let ours = credentials("ours");
    let copy = install.text("copy");
    let convert = |credentials: &str| {
        run("qemu-img", &["convert", "--object", credentials, "--image-opts", &export, "-O", "raw", &copy])
    };
    convert(&ours).expect("converted");
    assert!(std::fs::read(&copy).expect("read")[..image.len()] == image);
    for client in ["theirs", "none"] {
        convert(&credentials(client)).expect_err("not accepted");
    }
    let said = log(&install);
    assert!(said.contains("was disconnected: TLS: "), "{said}");
    let writable = format!(
        "driver=raw,file.driver=nbd,file.host=127.0.0.1,file.port={},file.export={uid},file.tls-creds=tls0",
        server.port
    );
    let commands = ["write -P 0xab 12345 67890", "read -P 0xab 12345 67890", "write -z 200001 9999", "flush"];
    let mut args = vec!["--object", &ours, "--image-opts", &writable];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    let said = run("qemu-io", &args).expect("done");
    assert!(!said.contains("failed"), "{said}");
    image[12345..12345 + 67890].fill(0xab);
    image[200_001..210_000].fill(0);
    let valid = || install.ok(&["-ms", "ls", "-f", "valid", "copy on write"]).trim() == "1";
    wait_until("a valid copy", SOON, valid);
    assert!(install.restored("copy on write", "restored") == image);
    server.end();
}

#[test]
fn clients_need_a_certificate_that_is_not_revoked() {
    let Some(certificates) = Certificates::new("clients_need_a_certificate_that_is_not_revoked") else {
        return;
    };
    let (install, uid, _) = install();
    let ours = certificates.text("ours");
    let served = ["-r", "--tls-certs", &ours, "--tls-verify"];
    let server = Server::new(&install, &served);
    let size =
        |server: &Server, client: &str| run("nbdinfo", &["--size", &certificates.uri(server, &uid, client)]);
    size(&server, "ours").expect("accepted");
    for client in ["theirs", "none"] {
        size(&server, client).expect_err("not accepted");
    }
    wait_for(&install, "was disconnected: TLS: ");
    server.end();
    let folder = Path::new(&ours);
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ncrlnumber=number\ndefault_crl_days=3\n";
    for (file, text) in [("ca.cfg", config), ("index.txt", ""), ("number", "01\n")] {
        std::fs::write(folder.join(file), text).expect("written");
    }
    let authority = "-config ca.cfg -keyfile ca-key.pem -cert ca-cert.pem";
    openssl(folder, &format!("ca {authority} -gencrl -out ca-crl.pem"));
    let server = Server::new(&install, &served);
    size(&server, "ours").expect("not revoked yet");
    server.end();
    openssl(folder, &format!("ca {authority} -revoke client-cert.pem"));
    openssl(folder, &format!("ca {authority} -gencrl -out ca-crl.pem"));
    let server = Server::new(&install, &served);
    size(&server, "ours").expect_err("revoked");
    server.end();
}

#[test]
fn before_tls_nothing_is_answered_and_after_it_nothing_is_believed() {
    let test = "before_tls_nothing_is_answered_and_after_it_nothing_is_believed";
    let Some(certificates) = Certificates::new(test) else { return };
    let (install, uid, _) = install();
    let server = Server::new(&install, &["-r", "--tls-certs", &certificates.text("ours")]);
    let mut client = Client::new(&server);
    for (option, data) in [
        (LIST, vec![]),
        (INFO, info(&uid, &[])),
        (GO, info(&uid, &[])),
        (STRUCTURED_REPLY, vec![]),
        (SET_META_CONTEXT, contexts(&uid, &["base:allocation"])),
        (4711, vec![1; 100]),
        (LIST, vec![7; 100_000]),
    ] {
        assert_eq!(client.option(option, &data)[0].0, ERR_TLS_REQD, "{option}");
    }
    assert_eq!(client.option(STARTTLS, b"x")[0].0, ERR_INVALID);
    assert_eq!(client.option(2, b""), [(ACK, vec![])]);
    assert!(client.is_dropped());
    let mut client = Client::new(&server);
    client
        .say(&[&b"IHAVEOPT"[..], &EXPORT_NAME.to_be_bytes(), &36u32.to_be_bytes(), uid.as_bytes()].concat());
    assert!(client.is_dropped());
    wait_for(&install, "it has not asked for TLS");
    // Data after the acknowledgement must be TLS: options that somebody injects there must have no effect.
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..20 {
        let mut client = Client::new(&server);
        assert_eq!(client.option(STARTTLS, b""), [(ACK, vec![])]);
        let mut garbage = vec![0; random.usize(1..3000)];
        random.fill(&mut garbage);
        if round % 2 == 0 {
            garbage = [&b"IHAVEOPT"[..], &LIST.to_be_bytes(), &[0; 4]].concat().repeat(50);
        }
        let _ = client.stream.write_all(&garbage);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut answer);
        assert!(!answer.windows(36).any(|text| text == uid.as_bytes()));
    }
    run("nbdinfo", &["--size", &certificates.uri(&server, &uid, "none")]).expect("served");
    server.end();
    assert!(!log(&install).contains("panicked"));
}

#[test]
fn certificates_make_an_address_of_other_hosts_possible() {
    let Some(certificates) = Certificates::new("certificates_make_an_address_of_other_hosts_possible") else {
        return;
    };
    let (install, uid, _) = install();
    let ours = certificates.text("ours");
    let server = Server::new(&install, &["-r", "-a", "0.0.0.0", "--tls-certs", &ours]);
    assert!(log(&install).contains("without a certificate of its own"), "{}", log(&install));
    assert!(log(&install).contains("nbds://localhost:"), "{}", log(&install));
    run("nbdinfo", &["--size", &certificates.uri(&server, &uid, "none")]).expect("served");
    server.end();
    let server = Server::new(&install, &["-r", "-a", "0.0.0.0", "--tls-certs", &ours, "--tls-verify"]);
    assert!(!log(&install).contains("other hosts"), "{}", log(&install));
    server.end();
    for (file, word) in [
        ("ca-cert.pem", "ca-cert.pem"),
        ("server-key.pem", "server-key.pem"),
        ("server-cert.pem", "server-cert.pem"),
    ] {
        let path = Path::new(&ours).join(file);
        let kept = std::fs::read(&path).expect("read");
        for damaged in [Some(&b"no certificate"[..]), None] {
            match damaged {
                Some(text) => std::fs::write(&path, text).expect("written"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            let args = ["nbd", "-p", "0", "--tls-certs", &ours, "--tls-verify"];
            install.refuses(100, &args, &["The certificates of the server cannot be used", word]);
        }
        std::fs::write(&path, kept).expect("written");
    }
    // A list that cannot be read does not count as none.
    let list = Path::new(&ours).join("ca-crl.pem");
    let args = ["nbd", "-p", "0", "--tls-certs", &ours, "--tls-verify"];
    std::os::unix::fs::symlink("nothing", &list).expect("linked");
    install.refuses(
        100,
        &args,
        &["The certificates of the server cannot be used", "ca-crl.pem: No such file"],
    );
    std::fs::remove_file(&list).expect("removed");
    std::fs::write(&list, "no list").expect("written");
    install.refuses(100, &args, &["ca-crl.pem: it contains no list of revoked certificates"]);
    // The key belongs to another certificate.
    std::fs::copy(Path::new(&ours).join("client-key.pem"), Path::new(&ours).join("server-key.pem"))
        .expect("copied");
    install.refuses(100, &["nbd", "-p", "0", "--tls-certs", &ours], &["server-key.pem"]);
}
