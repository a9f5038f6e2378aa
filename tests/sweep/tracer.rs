//! Runs a program under ptrace and makes one of its system calls fail.

use super::calls::{CALLS, Call, Site, Subject, class};
use crate::common::install::Run;
use nix::libc::user_regs_struct;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A run that takes longer counts as hanging.
const LONGEST: Duration = Duration::from_secs(60);

/// How often each call was made, by its name and the class of its file.
pub type Counts = HashMap<(&'static str, String), usize>;

/// The failure to produce.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The call that fails.
    pub site: Site,
    /// The error number.
    pub errno: i32,
}

/// The result of a run.
#[derive(Debug)]
pub struct Traced {
    /// Output and exit code. If a signal killed it, the code is minus the signal's number.
    pub run: Run,
    /// The calls that it made.
    pub counts: Counts,
    /// Whether the failing call was reached.
    pub struck: bool,
    /// Whether it was killed because it hung.
    pub hung: bool,
}

/// Runs `command`, whose installation is in `folder`, and makes the fault happen.
// The tracer has already waited for the child, so a second wait would find none.
#[allow(clippy::zombie_processes)]
pub fn run(command: &Command, folder: &Path, fault: Option<&Fault>) -> Traced {
    // The shell waits until it is traced, and then becomes the program.
    let mut gate = Command::new("/bin/sh");
    gate.args(["-c", "read go; exec \"$@\" </dev/null", "sh"]);
    gate.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => gate.env(key, value),
            None => gate.env_remove(key),
        };
    }
    gate.current_dir(command.get_current_dir().expect("a folder"));
    gate.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = gate.spawn().expect("starts");
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(main, options).expect("traced");
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    drop(child.stdin.take());
    let watch = Watchdog::start(main);
    let mut tracer = Tracer { folder, fault, counts: Counts::new(), inside: HashMap::new(), struck: false };
    let code = tracer.follow(main);
    let hung = watch.end();
    let run = Run { code, stdout: stdout.join().expect("read"), stderr: stderr.join().expect("read") };
    Traced { run, counts: tracer.counts, struck: tracer.struck, hung }
}

/// Reads a pipe to its end, so that the program never waits for the reader.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut pipe = pipe.expect("piped");
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Kills a program that hangs.
struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    fn start(pid: Pid) -> Self {
        let (done, ended) = channel();
        let thread = std::thread::spawn(move || {
            let hangs = ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout);
            if hangs {
                let _ = kill(pid, Signal::SIGKILL);
            }
            hangs
        });
        Watchdog { done, thread }
    }

    /// Stops the watchdog. Returns whether it has killed the program.
    fn end(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().expect("ends")
    }
}

/// The action when a thread's current call returns.
enum Pending {
    Nothing,
    Fail(i32),
}

struct Tracer<'t> {
    folder: &'t Path,
    fault: Option<&'t Fault>,
    counts: Counts,
    /// Threads that are inside a call.
    inside: HashMap<Pid, Pending>,
    struck: bool,
}

impl Tracer<'_> {
    /// Runs until the program ends. Returns its exit code, or minus the number of the signal that killed it.
    fn follow(&mut self, main: Pid) -> i32 {
        // Wait only for threads that this thread traces, as other tests have children, too.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            // A killed thread may be gone before it can continue, which is no error.
            let (pid, signal) = match waitpid(None, Some(flags)).expect("there is a child") {
                WaitStatus::Exited(pid, code) if pid == main => return code,
                WaitStatus::Signaled(pid, signal, _) if pid == main => return -(signal as i32),
                WaitStatus::PtraceSyscall(pid) => {
                    let _ = self.at_call(pid);
                    (pid, None)
                }
                // A stop that ptrace itself has caused.
                WaitStatus::PtraceEvent(pid, ..) => (pid, None),
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                _ => continue,
            };
            let _ = ptrace::syscall(pid, signal);
        }
    }

    /// Handles a thread that enters a call or returns from one.
    fn at_call(&mut self, pid: Pid) -> nix::Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        match self.inside.remove(&pid) {
            None => {
                let pending = self.begins(pid, &mut registers)?;
                self.inside.insert(pid, pending);
            }
            Some(Pending::Nothing) => {}
            Some(Pending::Fail(errno)) => {
                registers.rax = (-i64::from(errno)).cast_unsigned();
                ptrace::setregs(pid, registers)?;
            }
        }
        Ok(())
    }

    fn begins(&mut self, pid: Pid, registers: &mut user_regs_struct) -> nix::Result<Pending> {
        let Some(call) = CALLS.iter().find(|call| call.number == registers.orig_rax) else {
            return Ok(Pending::Nothing);
        };
        let Some(class) = subject(call, pid, registers).and_then(|path| class(&path, self.folder)) else {
            return Ok(Pending::Nothing);
        };
        let count = self.counts.entry((call.name, class.clone())).or_default();
        let nth = *count;
        *count += 1;
        let fault =
            self.fault.filter(|f| f.site.call == call.name && f.site.class == class && f.site.nth == nth);
        let Some(fault) = fault else { return Ok(Pending::Nothing) };
        self.struck = true;
        if call.name != "close" {
            // Replace the call by an invalid one, so that the kernel does nothing.
            registers.orig_rax = u64::MAX;
            ptrace::setregs(pid, *registers)?;
        }
        Ok(Pending::Fail(fault.errno))
    }
}

/// The path of the file that a call concerns. The start of a thread gets an artificial path, `thread`.
fn subject(call: &Call, pid: Pid, registers: &user_regs_struct) -> Option<String> {
    let link = |descriptor: u64| {
        let path = std::fs::read_link(format!("/proc/{pid}/fd/{}", descriptor as i32)).ok()?;
        path.into_os_string().into_string().ok()
    };
    match call.subject {
        Subject::Descriptor => link(registers.rdi),
        Subject::Path => absolute(&text(pid, registers.rdi)?, || folder(pid)),
        Subject::PathAt => {
            const CURRENT: i32 = -100;
            let from = || if registers.rdi as i32 == CURRENT { folder(pid) } else { link(registers.rdi) };
            absolute(&text(pid, registers.rsi)?, from)
        }
        Subject::Thread => folder(pid).map(|folder| format!("{folder}/thread")),
    }
}

/// The current folder of a process, which is the installation's.
fn folder(pid: Pid) -> Option<String> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?.into_os_string().into_string().ok()
}

fn absolute(path: &str, from: impl Fn() -> Option<String>) -> Option<String> {
    if path.starts_with('/') { Some(path.to_owned()) } else { Some(format!("{}/{path}", from()?)) }
}

/// Reads a string from the memory of a process.
fn text(pid: Pid, address: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 4096];
    // The string may lie near the end of the mapped memory, so do not read across a page.
    let most = (4096 - (address % 4096) as usize).max(256);
    let length =
        memory.read_at(&mut bytes[..most], address).or_else(|_| memory.read_at(&mut bytes[..64], address));
    let end = bytes[..length.ok()?].iter().position(|&byte| byte == 0)?;
    String::from_utf8(bytes[..end].to_vec()).ok()
}
