//! Finds other processes of this program, or of release 2.13, on this host by their names.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most bytes of the short name of a process. The kernel cuts longer names.
const COMM: usize = 15;

/// Another process with the name that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its number.
    pub pid: u32,
    /// Whether it runs the same program file as this process, or an older copy at the same path. False if that is not
    /// known, as for processes of other users.
    pub same_executable: bool,
}

/// All processes with the name `process_name` except this one, sorted by process id. The name of a process is the first
/// word of its title. Processes that have ended and wait for their parent do not count.
///
/// Every user can give a process any name, and must not be able to keep all others out in this way. So a process counts
/// only if it belongs to root or to this user, or runs this program.
///
/// If `process_name` has several words, only the first one counts.
pub(crate) fn others(process_name: &str) -> Vec<Other> {
    let Some(wanted) = first_word(process_name.as_bytes()) else { return Vec::new() };
    let proc = Path::new("/proc");
    // This is the process id by which this /proc lists this process.
    let own = fs::read_link(proc.join("self")).ok().and_then(|link| pid(&link)).unwrap_or(std::process::id());
    let own_executable = Executable::of(&proc.join("self"));
    let trusted = [0, rustix::process::geteuid().as_raw(), rustix::process::getuid().as_raw()];
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let mut found: Vec<Other> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let pid = pid(&folder).filter(|&pid| pid != own)?;
            // If a file cannot be read, its process has just ended.
            let stat = fs::read(folder.join("stat")).ok()?;
            let comm = alive(&stat)?;
            if !is_called(comm, wanted, || fs::read(folder.join("cmdline")).ok()) {
                return None;
            }
            let executable = Executable::of(&folder);
            // A process that is ending has no executable any more, and cannot be compared.
            if executable.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                return None;
            }
            let same_executable = own_executable
                .as_ref()
                .is_ok_and(|own| executable.as_ref().is_ok_and(|other| own.is_same(other)));
            let ours = same_executable || user(&folder).is_some_and(|user| trusted.contains(&user));
            ours.then_some(Other { pid, same_executable })
        })
        .collect();
    found.sort_by_key(|other| other.pid);
    found
}

/// The user who has started a process, given by its folder in /proc. This is neither the owner of that folder nor the user
/// whose rights the process has, because every user can start a program that gets the rights of root.
fn user(folder: &Path) -> Option<u32> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// The process id in the name of a folder of /proc.
fn pid(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

/// The short name from `/proc/PID/stat`, if the process has not ended.
fn alive(stat: &[u8]) -> Option<&[u8]> {
    // The name is in parentheses, and may contain parentheses itself. The state follows the last one.
    let open = stat.iter().position(|&c| c == b'(')?;
    let close = stat.iter().rposition(|&c| c == b')')?;
    let state = stat.get(close + 2)?;
    if matches!(state, b'Z' | b'X' | b'x') { None } else { stat.get(open + 1..close) }
}

/// Whether the name of a process with the short name `comm` is `wanted`. The title overwrites the command line. The command
/// line is read only if the short name was cut within its first word.
fn is_called(comm: &[u8], wanted: &[u8], cmdline: impl FnOnce() -> Option<Vec<u8>>) -> bool {
    let Some(name) = first_word(comm) else { return false };
    if name == wanted {
        return true;
    }
    // The cut may have removed up to three bytes more, of a character that did not fit as a whole.
    if comm.len() + 3 < COMM || !wanted.starts_with(name) {
        return false;
    }
    let Some(cmdline) = cmdline() else { return false };
    let title = cmdline.split(|&c| c == 0).next().unwrap_or_default();
    // A title begins with the name, and may contain slashes after it. A path may contain blanks.
    let base = |text: &[u8]| text.rsplit(|&c| c == b'/').next().unwrap_or_default().to_vec();
    first_word(title).map(base).as_deref() == Some(wanted) || first_word(&base(title)) == Some(wanted)
}

fn first_word(text: &[u8]) -> Option<&[u8]> {
    text.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())
}

/// The file that a process runs.
struct Executable {
    path: PathBuf,
    /// Device and inode.
    file: Option<(u64, u64)>,
}

impl Executable {
    fn of(folder: &Path) -> io::Result<Self> {
        let link = folder.join("exe");
        let path = fs::read_link(&link)?;
        // After an update the old file is no longer at its path, and the kernel marks the link.
        let path = match path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
            Some(path) => PathBuf::from(path),
            None => path,
        };
        let file = fs::metadata(&link).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        Ok(Executable { path, file })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.path == other.path || (self.file.is_some() && self.file == other.file)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    /// A process with a name of its own, until it is dropped.
    pub(in crate::locks) struct Named(Child);

    impl Named {
        /// Runs a shell by a link called `name` in `dir`.
        pub(in crate::locks) fn start(dir: &Path, name: &str) -> Self {
            std::os::unix::fs::symlink("/bin/sh", dir.join(name)).expect("a link");
            let mut command = Command::new(dir.join(name));
            Self::spawn(command.args(["-c", "echo started; read line; exit 0"]))
        }

        fn spawn(command: &mut Command) -> Self {
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
            // It has its name once it says something: the kernel gives it a moment after `spawn` returns.
            let told = child.stdout.as_mut().expect("a pipe");
            told.read_exact(&mut [0]).expect("a sign of life");
            Named(child)
        }

        pub(in crate::locks) fn pid(&self) -> u32 {
            self.0.id()
        }
    }

    impl Drop for Named {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    const CHILD: &str = "BACKY2_TEST_PROCESS";

    /// Runs as the child of the tests below; alone it does nothing.
    #[test]
    fn child_that_waits() {
        if std::env::var_os(CHILD).is_some() {
            let _ = std::io::stdin().read_line(&mut String::new());
        }
    }

    #[test]
    fn the_name_is_the_first_word() {
        let never = || -> Option<Vec<u8>> { panic!("the command line is not needed") };
        assert!(is_called(b"backy2 [Backing", b"backy2", never));
        assert!(is_called(b"backy2", b"backy2", never));
        for other in [&b"backy2x"[..], b"backy", b"x backy2", b"", b" ", b"Backy2"] {
            assert!(!is_called(other, b"backy2", never));
        }
    }

    #[test]
    fn names_that_were_cut_are_looked_up_in_the_command_line() {
        let wanted = b"backy-production-1";
        let is = |cmdline: &[u8]| is_called(b"backy-productio", wanted, || Some(cmdline.to_vec()));
        for title in [
            &b"backy-production-1"[..],
            b"backy-production-1 [Backing up file:///a/b]\0\0",
            b"/usr/bin/backy-production-1\0ls\0",
            b"/opt/my programs/backy-production-1\0ls\0",
        ] {
            assert!(is(title), "{}", String::from_utf8_lossy(title));
        }
        for title in [&b""[..], b"backy-production-2", b"/backy-production-1/x", b"x backy-production-1"] {
            assert!(!is(title), "{}", String::from_utf8_lossy(title));
        }
        assert!(!is_called(b"backy-productio", wanted, || None));
        assert!(is_called("1234567890123é".as_bytes(), "1234567890123éé".as_bytes(), || Some(
            "1234567890123éé [x]".into()
        )));
    }

    #[test]
    fn the_state_follows_the_last_parenthesis() {
        assert_eq!(alive(b"1 (a) b) S 1"), Some(&b"a) b"[..]));
        for gone in [&b"1 (a) Z 1"[..], b"1 (a) X", b"1 (a)", b"1 )(", b""] {
            assert_eq!(alive(gone), None);
        }
    }

    #[test]
    fn processes_of_other_programs_are_found_by_name() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(others("bk-found").is_empty());
        let (short, long) =
            (Named::start(dir.path(), "bk-found"), Named::start(dir.path(), "bk-found-long-name"));
        assert_eq!(others("bk-found"), [Other { pid: short.pid(), same_executable: false }]);
        assert_eq!(others("bk-found-long-name"), [Other { pid: long.pid(), same_executable: false }]);
        assert!(others("bk-found-long-n").iter().all(|other| other.pid != short.pid()));
        assert!(others("bk-found-long-namely").is_empty());
        assert!(others("").is_empty() && others("  ").is_empty());
    }

    #[test]
    fn processes_of_this_program_are_recognised() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = dir.path().join("bk-same");
        std::os::unix::fs::symlink(std::env::current_exe().expect("this test"), &link).expect("a link");
        let mut command = Command::new(&link);
        command.args(["--exact", "locks::process::tests::child_that_waits"]).env(CHILD, "1");
        let child = Named::spawn(&mut command);
        assert_eq!(others("bk-same"), [Other { pid: child.pid(), same_executable: true }]);
    }

    #[test]
    fn processes_of_other_users_with_the_same_name_do_not_count() {
        use std::os::unix::process::CommandExt;
        if !rustix::process::geteuid().is_root() {
            crate::skip::skip("processes_of_other_users_with_the_same_name_do_not_count", "needs root");
            return;
        }
        // Where that user can go.
        let dir = tempfile::tempdir_in("/tmp").expect("a folder");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), all).expect("changed");
        let link = dir.path().join("bk-foreign");
        std::os::unix::fs::symlink("/bin/sh", &link).expect("a link");
        let mut command = Command::new(&link);
        let child = Named::spawn(command.args(["-c", "echo started; read line; exit 0"]).uid(65534));
        assert_eq!(user(Path::new(&format!("/proc/{}", child.pid()))), Some(65534));
        assert_eq!(others("bk-foreign"), []);
    }

    #[test]
    fn processes_that_have_ended_do_not_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut child = Named::start(dir.path(), "bk-ended");
        drop(child.0.stdin.take());
        let stat = format!("/proc/{}/stat", child.pid());
        while alive(&fs::read(&stat).expect("not waited for")).is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(others("bk-ended").is_empty());
    }

    #[test]
    fn this_process_and_its_threads_do_not_count() {
        let comm = fs::read("/proc/self/comm").expect("our own");
        let name = String::from_utf8_lossy(&comm).trim().to_owned();
        assert!(others(&name).iter().all(|other| other.pid != std::process::id()));
        assert!(std::thread::spawn(move || others(&name)).join().expect("run").len() < 1000);
    }
}
