//! Other users of the host must not get at the data.

use super::client::*;
use super::protocol::install;
use super::server::{Server, log, wait_for};
use crate::common::skip;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// Whether this process can act as another user. If not, the test is reported as skipped.
fn possible(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let possible = root && Command::new("nbdinfo").arg("--version").output().is_ok();
    if !possible {
        skip(test, "it takes root, to be another user, and nbdinfo");
    }
    possible
}

fn as_nobody(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).uid(NOBODY).gid(NOBODY).current_dir("/");
    command.output().expect("it runs")
}

#[test]
fn other_users_of_the_host_cannot_connect_unless_they_may() {
    if !possible("other_users_of_the_host_cannot_connect_unless_they_may") {
        return;
    }
    let (install, uid, _) = install();
    for address in ["127.0.0.1", "::1"] {
        let server = Server::new(&install, &["-a", address, "-r"]);
        let host = if address == "::1" { "[::1]" } else { address };
        let uri = format!("nbd://{host}:{}/{uid}", server.port);
        for _ in 0..3 {
            assert!(!as_nobody("nbdinfo", &["--size", &uri]).status.success());
        }
        assert!(Command::new("nbdinfo").args(["--size", &uri]).output().expect("runs").status.success());
        let told = log(&install);
        assert_eq!(told.matches("refused: it belongs to the user with uid 65534").count(), 1, "{told}");
        assert!(told.contains("Use --any-user to let everybody in"), "{told}");
        server.end();
        let server = Server::new(&install, &["-a", address, "-r", "--any-user"]);
        let uri = format!("nbd://{host}:{}/{uid}", server.port);
        let output = as_nobody("nbdinfo", &["--size", &uri]);
        assert!(output.status.success(), "{output:?}");
        server.end();
    }
}

#[test]
fn a_unix_socket_checks_the_user_of_a_client_even_if_its_mode_was_changed() {
    if !possible("a_unix_socket_checks_the_user_of_a_client_even_if_its_mode_was_changed") {
        return;
    }
    let (install, uid, _) = install();
    let folder = tempfile::tempdir().expect("a folder");
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(folder.path(), 0o755);
    let path = folder.path().join("nbd.sock");
    let text = path.to_str().expect("utf-8");
    let uri = format!("nbd+unix:///{uid}?socket={text}");
    let server = Server::on_path(&install, text, &["-r"]);
    assert!(!as_nobody("nbdinfo", &["--size", &uri]).status.success());
    mode(&path, 0o666);
    assert!(!as_nobody("nbdinfo", &["--size", &uri]).status.success());
    wait_for(&install, "refused: it belongs to the user with uid 65534");
    assert!(Command::new("nbdinfo").args(["--size", &uri]).output().expect("runs").status.success());
    server.end();
    let server = Server::on_path(&install, text, &["-r", "--any-user"]);
    let output = as_nobody("nbdinfo", &["--size", &uri]);
    assert!(output.status.success(), "{output:?}");
    server.end();
}

/// The kernel shows a closed socket as root's.
#[test]
fn a_client_that_writes_and_closes_at_once_is_not_taken_for_root() {
    if !possible("a_client_that_writes_and_closes_at_once_is_not_taken_for_root") {
        return;
    }
    let (install, uid, _) = install();
    let server = Server::new(&install, &[]);
    let go = info(&uid, &[]);
    let option = [&b"IHAVEOPT"[..], &GO.to_be_bytes(), &(go.len() as u32).to_be_bytes(), &go].concat();
    let write = [
        &0x2560_9513u32.to_be_bytes()[..],
        &0u16.to_be_bytes(),
        &WRITE.to_be_bytes(),
        &[0; 16],
        &4u32.to_be_bytes(),
        b"mine",
    ]
    .concat();
    let said: String = [&3u32.to_be_bytes()[..], &option, &write]
        .concat()
        .iter()
        .fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"));
    let script = format!("for i in {{1..40}}; do printf '{said}' > /dev/tcp/127.0.0.1/{}; done", server.port);
    let output = as_nobody("bash", &["-c", &script]);
    assert!(output.stderr.is_empty(), "{output:?}");
    wait_for(&install, "A client was refused");
    let run = server.end();
    assert!(!run.stdout.contains("has opened version"), "{run:?}");
    assert_eq!(install.ok(&["-ms", "ls", "-f", "uid"]).trim(), uid);
}
