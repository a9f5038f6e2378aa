//! A server that ends with the test.

use crate::common::checks::wait_until;
use crate::common::install::{Install, Run};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::process::{Child, ExitStatus};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// A server must appear, disappear and store written data within this time.
pub const SOON: Duration = Duration::from_secs(20);

/// A running `backy2 nbd`.
pub struct Server {
    child: Option<Child>,
    /// Threads that read its output, which may be more than a pipe holds.
    printed: Option<[JoinHandle<String>; 2]>,
    /// The port on the loopback address.
    pub port: u16,
}

impl Server {
    /// Serves the installation on a free port, with further arguments.
    pub fn new(install: &Install, args: &[&str]) -> Self {
        let (child, printed) = start(install, &[&["-p", "0"], args].concat());
        let mut port = None;
        wait_until("a server that listens", SOON, || {
            port = announced(install)
                .and_then(|place| place.split_once(". ")?.0.rsplit_once(':')?.1.parse().ok());
            port.is_some()
        });
        Server { child: Some(child), printed: Some(printed), port: port.expect("a port") }
    }

    /// Serves the installation on a unix socket in its folder.
    pub fn on_socket(install: &Install, args: &[&str]) -> Self {
        Self::on_path(install, &install.text("nbd.sock"), args)
    }

    /// As [`Server::on_socket`], with any path.
    pub fn on_path(install: &Install, path: &str, args: &[&str]) -> Self {
        let (child, printed) = start(install, &[&["--socket", path], args].concat());
        wait_until("a server that listens", SOON, || announced(install).is_some());
        Server { child: Some(child), printed: Some(printed), port: 0 }
    }

    /// The URI of an export.
    pub fn uri(&self, export: &str) -> String {
        format!("nbd://127.0.0.1:{}/{export}", self.port)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("runs").id()
    }

    /// Stops the server like Ctrl-C, and returns its output.
    pub fn end(self) -> Run {
        self.end_by(Signal::INT)
    }

    /// Stops the server with a signal, and returns its output.
    pub fn end_by(mut self, signal: Signal) -> Run {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("sent");
        let mut child = self.child.take().expect("runs");
        let mut status: Option<ExitStatus> = None;
        wait_until("the server has ended", 3 * SOON, || {
            status = child.try_wait().expect("asked");
            status.is_some()
        });
        let [stdout, stderr] = self.printed.take().expect("runs").map(|text| text.join().expect("read"));
        let run = Run { code: status.and_then(|status| status.code()).unwrap_or(-1), stdout, stderr };
        assert_eq!(run.code, 0, "{run:?}");
        run
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(install: &Install, args: &[&str]) -> (Child, [JoinHandle<String>; 2]) {
    let _ = std::fs::remove_file(install.path("backy.log"));
    let mut child = install.start(&[&["nbd"], args].concat());
    let printed = [taken(child.stdout.take()), taken(child.stderr.take())];
    (child, printed)
}

/// Reads a pipe to its end.
fn taken(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    spawn(move || {
        let mut text = Vec::new();
        pipe.expect("piped").read_to_end(&mut text).expect("read");
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The address in the server's message that it is listening.
fn announced(install: &Install) -> Option<String> {
    log(install).lines().find_map(|line| Some(line.split_once("Serving NBD on ")?.1.to_owned()))
}

/// The log since the server was started.
pub fn log(install: &Install) -> String {
    std::fs::read_to_string(install.path("backy.log")).unwrap_or_default()
}

/// Waits until the log contains `text`.
pub fn wait_for(install: &Install, text: &str) {
    wait_until(text, SOON, || log(install).contains(text));
}
