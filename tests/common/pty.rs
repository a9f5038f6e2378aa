//! Runs commands in front of a pseudo terminal, as people do.

use super::install::{Install, Run};
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Stdio;

/// Runs a command whose stdout is a terminal of `width` columns. The line ends in its output are those of a file.
pub fn run(install: &Install, width: u16, args: &[&str]) -> Run {
    run_with(install, width, args, |_| Stdio::piped())
}

/// As [`run`], with stderr on the terminal as well.
pub fn run_all(install: &Install, width: u16, args: &[&str]) -> Run {
    run_with(install, width, args, |terminal| terminal.into())
}

fn run_with(install: &Install, width: u16, args: &[&str], stderr: impl Fn(OwnedFd) -> Stdio) -> Run {
    let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).expect("a pseudo terminal");
    let mut command = install.command(args);
    command.env("TERM", "xterm").stdin(Stdio::null()).stderr(stderr(pty.slave.try_clone().expect("copied")));
    command.stdout(pty.slave);
    let child = command.spawn().expect("starts");
    // It holds the other end of the terminal.
    drop(command);
    let mut shown = Vec::new();
    // Linux reports an error when nobody holds the other end any more.
    let _ = File::from(pty.master).read_to_end(&mut shown);
    let mut run = Run::from(child.wait_with_output().expect("ends"));
    run.stdout = String::from_utf8(shown).expect("text").replace("\r\n", "\n");
    run
}

/// As [`run`], for a command that succeeds. Returns its output without the messages of the log and the live line.
pub fn ok(install: &Install, width: u16, args: &[&str]) -> String {
    let run = run(install, width, args);
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    let is_message = |line: &&str| line.starts_with("    INFO: ") || line.starts_with(" WARNING: ");
    let lines = run.stdout.lines().map(|line| line.rsplit("\r\x1b[K").next().unwrap_or_default());
    lines.filter(|line| !line.is_empty() && !is_message(line)).map(|line| line.to_owned() + "\n").collect()
}
