//! Runs another program with a time limit, and ends it with everything that it has started.

use super::NESTED;
use crate::locks::Guard;
use crate::types::error::{Error, Result, Signal};
use crate::types::reason::because;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
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

/// What bounds a program.
pub(super) struct Bounds<'a> {
    /// It must have ended by then.
    pub until: Option<Instant>,
    /// It must end when this returns a signal.
    pub stop: &'a dyn Fn() -> Option<Signal>,
    /// The lock that other processes on this host must not get before it has ended, even if this process is killed.
    pub lock: Option<&'a Guard>,
    /// The most bytes of stdout, and of stderr, that are kept: those at the end.
    pub most_output: u64,
}

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

/// Runs `command` until it ends, or until it is ended. It gets no input.
///
/// # Errors
/// [`Error::Resources`]: the program cannot be started.
pub(super) fn run(mut command: Command, bounds: &Bounds<'_>) -> Result<Finished> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |e: std::io::Error| Error::resources(because(format!("{program} cannot be run"), e));
    // Not pipes: a program that goes on in the background would keep them open.
    let output = || Output::new(bounds.most_output).map_err(failed);
    let mut outputs = [output()?, output()?];
    // A lock file is empty, so as the input of a program it is as good as /dev/null. As its input it reaches the program,
    // and no other that another thread starts. A program that goes on in the background usually closes it.
    let lock = bounds.lock.map(Guard::to_inherit).transpose()?;
    command.stdin(lock.map_or_else(Stdio::null, Stdio::from)).env(NESTED, "1");
    let [stdout, stderr] = outputs.each_ref().map(|output| output.file.try_clone().map_err(failed));
    command.stdout(stdout?).stderr(stderr?);
    // Signals reach everything that the program has started.
    command.process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let ended = wait(&mut child, bounds, &mut outputs).map_err(failed)?;
    let [stdout, stderr] = &mut outputs;
    let stderr = stderr.text().map_err(failed)?;
    let lines = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned);
    Ok(Finished { ended, stdout: stdout.text().map_err(failed)?, stderr: lines.collect() })
}

/// The output of a program: a file in memory.
struct Output {
    file: File,
    /// The number of bytes that are kept.
    most: u64,
    /// The number of bytes at the beginning that need no memory any more.
    freed: u64,
}

impl Output {
    fn new(most: u64) -> std::io::Result<Self> {
        Ok(Output { file: memfd_create("backy2-output", MemfdFlags::CLOEXEC)?.into(), most, freed: 0 })
    }

    /// Frees the memory of what is not kept.
    fn trim(&mut self) {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        let excess = length.saturating_sub(self.most);
        // Not for every line: the kernel frees whole pages.
        if excess < self.freed.saturating_add(self.most) {
            return;
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file, hole, self.freed, excess - self.freed).is_ok() {
            self.freed = excess;
        }
    }

    /// The end of what was written, after a line that says how much is missing.
    fn text(&mut self) -> std::io::Result<String> {
        let length = self.file.seek(SeekFrom::End(0))?;
        let left_out = self.file.seek(SeekFrom::Start(length.saturating_sub(self.most)))?;
        let mut bytes = Vec::new();
        (&self.file).take(self.most).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(match left_out {
            0 => text.into_owned(),
            _ => format!("… {left_out} bytes left out\n{text}"),
        })
    }
}

fn wait(child: &mut Child, bounds: &Bounds<'_>, outputs: &mut [Output; 2]) -> std::io::Result<Ended> {
    let why = loop {
        outputs.iter_mut().for_each(Output::trim);
        if let Some(status) = child.try_wait()? {
            let killed = || Ended::Killed(status.signal().unwrap_or(0));
            return Ok(status.code().map_or_else(killed, |code| Ended::Exit(code as u8)));
        }
        if let Some(signal) = (bounds.stop)() {
            break Ended::Stopped(signal);
        }
        if bounds.until.is_some_and(|until| Instant::now() >= until) {
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
        outputs.iter_mut().for_each(Output::trim);
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
        let until = limit.map(|limit| Instant::now() + limit);
        run(command, &Bounds { until, stop, lock: None, most_output: MOST }).expect("run")
    }

    const MOST: u64 = 10_000;

    #[test]
    fn long_output_needs_little_memory_and_its_end_is_kept() {
        let finished =
            shell("head -c 50000000 /dev/zero | tr '\\0' x; echo end; echo short >&2", None, &|| None);
        assert!(finished.stdout.starts_with("… 49990004 bytes left out\nxxx"), "{:.60}", finished.stdout);
        assert!(finished.stdout.ends_with("xend\n") && finished.stdout.len() < 11_000);
        assert_eq!(finished.stderr, ["short"]);
        let mut output = Output::new(MOST).expect("a file");
        for _ in 0..100 {
            std::io::Write::write_all(&mut output.file, &[b'x'; 100_000]).expect("written");
            output.trim();
        }
        let blocks = std::os::unix::fs::MetadataExt::blocks(&output.file.metadata().expect("metadata"));
        assert!(blocks * 512 < 2_000_000, "{blocks} blocks of 512 bytes are in memory");
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
        let bounds = Bounds { until: None, stop: &|| None, lock: None, most_output: MOST };
        let error = run(Command::new("/no/such/program"), &bounds).expect_err("refused").line();
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
