//! The test server itself, on which the other tests rely.

use crate::common::postgres::{Database, Server, Stop};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn each_test_gets_an_empty_database_which_is_dropped_at_its_end() {
    let Some(server) = Server::get("each_test_gets_an_empty_database_which_is_dropped_at_its_end") else {
        return;
    };
    let (one, other) = (Database::new(&server), Database::new(&server));
    assert_ne!(one.url(), other.url());
    one.client().batch_execute("CREATE TABLE t (n integer); INSERT INTO t VALUES (7)").expect("made");
    assert!(other.client().batch_execute("SELECT n FROM t").is_err());
    let copy = one.duplicate();
    one.client().batch_execute("DELETE FROM t").expect("deleted");
    let number: i32 = copy.client().query_one("SELECT n FROM t", &[]).expect("a row").get(0);
    assert_eq!(number, 7);
    let mut connected = one.client();
    drop(one);
    assert!(connected.batch_execute("SELECT 1").is_err(), "dropped under the feet of a client");
}

#[test]
fn committed_data_outlives_a_crash_of_the_server() {
    let Some(server) = Server::own("committed_data_outlives_a_crash_of_the_server") else {
        return;
    };
    let database = Database::new(&server);
    for (number, how) in [Stop::Fast, Stop::Immediate, Stop::Immediate].into_iter().enumerate() {
        database
            .client()
            .batch_execute(&format!("CREATE TABLE t{number} (n integer); INSERT INTO t{number} VALUES (7)"))
            .expect("made");
        let mut connected = database.client();
        server.restart(how);
        assert!(connected.batch_execute("SELECT 1").is_err(), "{how:?} ends the sessions");
        database.client().query_one(&format!("SELECT n FROM t{number}"), &[]).expect("a row");
    }
    let folder = server.socket_folder().to_owned();
    assert!(folder.exists());
    drop((database, server));
    assert!(!folder.exists(), "nothing is left");
}

/// Kills the process that has started the server's script, as the tests start it.
#[test]
fn a_server_ends_with_the_process_that_started_it_however_that_ends() {
    const NAME: &str = "a_server_ends_with_the_process_that_started_it_however_that_ends";
    // This part runs in the child: it starts a server, prints the folder, and waits to be killed.
    if std::env::var_os("BACKY2_TEST_IS_STARTER").is_some() {
        let server = Server::own(NAME).expect("there is one");
        println!("FOLDER={}", server.socket_folder().display());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if Server::get(NAME).is_none() {
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let mut child = Command::new(this)
        .args(["--exact", &format!("server::{NAME}"), "--nocapture"])
        .env("BACKY2_TEST_IS_STARTER", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let lines = std::io::BufRead::lines(output).map_while(Result::ok);
    let folder = lines.filter_map(|line| Some(line.split_once("FOLDER=")?.1.to_owned())).next();
    let folder = std::path::PathBuf::from(folder.expect("a folder"));
    let pid = std::fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
    let process = format!("/proc/{}", pid.lines().next().expect("a number"));
    child.kill().and_then(|()| child.wait()).expect("killed");
    let start = Instant::now();
    while folder.exists() || std::path::Path::new(&process).exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "it runs on");
        std::thread::sleep(Duration::from_millis(50));
    }
}
