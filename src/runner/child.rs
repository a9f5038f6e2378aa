//! Runs another program with a time limit, and ends it with everything that it has started.

use super::NESTED;
use crate::types::error::{Error, Result, Signal};
use crate::types::reason::because;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal as ToSend, kill_process_group};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(60);
/// Time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The most bytes of output that are kept: those at the end.
const MOST_OUTPUT: u64 = 1 << 20;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this exit code.
    Exit(u8),
    /// By this signal, which somebody else has sent.
    Killed(i32),
    /// It took too long, and was ended.
    TimedOut,
    /// This program was asked to end.
    Stopped(Signal),
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it has written to stdout.
    pub stdout: String,
    /// The lines that it has written to stderr.
    pub stderr: Vec<String>,
}

/// Runs `command` until it ends, until the moment `until`, or until `stop` returns a signal. It gets no input.
///
/// # Errors
/// [`Error::Resources`]: the program cannot be started.
pub(super) fn run(
    mut command: Command,
    until: Option<Instant>,
    stop: &dyn Fn() -> Option<Signal>,
) -> Result<Finished> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |e: std::io::Error| Error::resources(because(format!("{program} cannot be run"), e));
    // Not pipes: a program that goes on in the background would keep them open.
    let (mut stdout, mut stderr) = (scratch().map_err(failed)?, scratch().map_err(failed)?);
    command.stdin(Stdio::null()).env(NESTED, "1");
    command.stdout(stdout.try_clone().map_err(failed)?).stderr(stderr.try_clone().map_err(failed)?);
    // Signals reach everything that the program has started.
    command.process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let ended = wait(&mut child, until, stop).map_err(failed)?;
    let stderr = text(&mut stderr).map_err(failed)?;
    let lines = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned);
    Ok(Finished { ended, stdout: text(&mut stdout).map_err(failed)?, stderr: lines.collect() })
}

/// A file in memory.
fn scratch() -> std::io::Result<File> {
    Ok(memfd_create("backy2-output", MemfdFlags::CLOEXEC)?.into())
}

/// The end of what was written to `file`.
fn text(file: &mut File) -> std::io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_OUTPUT)))?;
    let mut bytes = Vec::new();
    file.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait(
    child: &mut Child,
    until: Option<Instant>,
    stop: &dyn Fn() -> Option<Signal>,
) -> std::io::Result<Ended> {
    let why = loop {
        if let Some(status) = child.try_wait()? {
            let killed = || Ended::Killed(status.signal().unwrap_or(0));
            return Ok(status.code().map_or_else(killed, |code| Ended::Exit(code as u8)));
        }
        if let Some(signal) = stop() {
            break Ended::Stopped(signal);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break Ended::TimedOut;
        }
        sleep(LOOK);
    };
    let asked = Instant::now();
    send(child, ToSend::TERM);
    while child.try_wait()?.is_none() {
        if asked.elapsed() >= GRACE {
            send(child, ToSend::KILL);
            child.wait()?;
            break;
        }
        sleep(LOOK);
    }
    // What it has started may go on without it.
    send(child, ToSend::KILL);
    Ok(why)
}

/// Sends a signal to the program and to what it has started. They may have ended.
fn send(child: &Child, signal: ToSend) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Option<Duration>, stop: &dyn Fn() -> Option<Signal>) -> Finished {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, limit.map(|limit| Instant::now() + limit), stop).expect("run")
    }

    #[test]
    fn output_and_exit_codes_are_kept() {
        let finished = shell("echo out; echo one >&2; echo; echo two >&2; exit 7", None, &|| None);
        assert_eq!(finished.ended, Ended::Exit(7));
        assert_eq!(
            (&finished.stdout[..], &finished.stderr[..]),
            ("out\n\n", &["one".into(), "two".into()][..])
        );
        assert_eq!(shell("kill -9 $$", None, &|| None).ended, Ended::Killed(9));
        assert_eq!(shell("cat", None, &|| None).ended, Ended::Exit(0), "there is no input");
        // A program that goes on in the background keeps nobody waiting.
        let start = Instant::now();
        assert_eq!(shell("sleep 60 & echo started", None, &|| None).stdout, "started\n");
        assert!(start.elapsed() < Duration::from_secs(30));
        let error = run(Command::new("/no/such/program"), None, &|| None).expect_err("refused").line();
        assert!(error.contains("/no/such/program"), "{error}");
    }

    #[test]
    fn limits_and_signals_end_everything() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = folder.path().join("ended");
        let script = format!("trap 'touch {}; exit 3' TERM; sleep 60 & wait", mark.display());
        let start = Instant::now();
        assert_eq!(shell(&script, Some(Duration::from_millis(300)), &|| None).ended, Ended::TimedOut);
        assert!(mark.exists(), "it was asked to end");
        assert_eq!(
            shell("sleep 60", None, &|| Some(Signal::Terminate)).ended,
            Ended::Stopped(Signal::Terminate)
        );
        assert!(start.elapsed() < Duration::from_secs(50));
    }
}
