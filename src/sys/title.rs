//! The process title: the command line in `ps`, and the name by which other instances recognize this process.
//!
//! Linux keeps the command line in the process's own memory: the strings of `argv`, followed by those of the
//! environment. Overwriting them changes the output of `ps`. The environment is moved away, so that the title may be
//! longer than the command line was. The short name (`comm`, 15 bytes), by which release 2.13 looks for other
//! instances, is set as well.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, PoisonError};

/// Bytes of a task's name, without its NUL.
const COMM: usize = 15;
/// An upper bound for the command line and the environment together, in bytes (the kernel's limit is 6 MiB).
const SANE: usize = 16 << 20;

unsafe extern "C" {
    /// A variable of the C library: a NULL-terminated array of `NAME=value` strings.
    static mut environ: *mut *mut c_char;
}

/// The memory that `ps` reads. Set once [`init`] has found it.
static AREA: Mutex<Option<Area>> = Mutex::new(None);

/// A range of this process's memory that holds only the title.
struct Area {
    start: usize,
    len: usize,
}

/// Finds the memory of the command line, and moves the environment that follows it.
///
/// Call it first in `main`, before any other thread starts, because it replaces the C library's `environ`. If anything
/// looks unusual it does nothing, and [`set`] then changes only the short name.
///
/// Read the arguments before [`set`]: afterwards `std::env::args` returns parts of the title.
pub(crate) fn init() {
    let mut area = AREA.lock().unwrap_or_else(PoisonError::into_inner);
    if area.is_none() {
        *area = find();
    }
}

/// Sets the title to `text`: all of it for `ps`, as far as there is room, and its first 15 bytes for the short name.
/// Both are cut between characters. Any thread may call it.
pub(crate) fn set(text: &str) {
    let text = text.replace('\0', " ");
    if let Some(area) = AREA.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        area.write(&text);
    }
    set_short_name(cut(&text, COMM));
}

/// The start of `text`, at most `max` bytes, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// Names the main thread, because its name is that of the process.
fn set_short_name(name: &str) {
    let pid = rustix::process::getpid();
    // The title is not essential: if it cannot be set, the program goes on.
    if rustix::thread::gettid() == pid {
        if let Ok(name) = CString::new(name) {
            let _ = rustix::thread::set_name(&name);
        }
    } else {
        let _ = std::fs::write(format!("/proc/self/task/{}/comm", pid.as_raw_nonzero()), name);
    }
}

impl Area {
    /// Overwrites the area with `text` and NULs. The last byte is always a NUL.
    fn write(&self, text: &str) {
        let text = cut(text, self.len.saturating_sub(1)).as_bytes();
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: `find` made sure that these `len` bytes are writable memory which holds the strings of argv (and of
        // the old environment, to which nothing points any more). Only this module writes them, and the lock around the
        // one `Area` separates its threads. `text` has at most `len - 1` bytes and lies elsewhere. The pointers in argv
        // stay valid as C strings, because they point into the area and its last byte is a NUL.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
            start.add(text.len()).write_bytes(0, self.len - text.len());
        }
    }
}

/// Finds the area. `None` if anything is not as expected.
fn find() -> Option<Area> {
    let stat = std::fs::read(format!("/proc/self/task/{}/stat", rustix::process::getpid().as_raw_nonzero()));
    let [arg_start, arg_end, env_start, env_end] = bounds(&stat.ok()?)?;
    let maps = std::fs::read("/proc/self/maps").ok()?;
    if !writable(&maps, arg_start, env_end.max(arg_end)) {
        return None;
    }
    // SAFETY: as checked above, the range is readable memory of this process. It is the stack of the main thread, which
    // is never unmapped. Only `Area::write` writes these bytes, and it is not called before this function has returned.
    let found = unsafe {
        std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(arg_start), arg_end - arg_start)
    };
    let expected: Vec<u8> = std::env::args_os().flat_map(terminated).collect();
    if found != expected {
        return None;
    }
    let end = if env_start == arg_end && move_environment(env_start, env_end) { env_end } else { arg_end };
    Some(Area { start: arg_start, len: end - arg_start })
}

/// The bytes of a C string, with its NUL.
fn terminated(text: OsString) -> Vec<u8> {
    let mut bytes = text.into_vec();
    bytes.push(0);
    bytes
}

/// Copies all strings of the environment to memory that is never freed, and points the C library to the copies. Returns
/// whether nothing needs the range from `start` to `end` any more.
fn move_environment(start: usize, end: usize) -> bool {
    // SAFETY: `init` is called before any other thread starts, so nothing else writes `environ` or the strings. By the
    // C library's contract `environ` is NULL, or points to an array of pointers to C strings that ends with NULL.
    unsafe {
        let old = (&raw const environ).read();
        if old.is_null() {
            return false;
        }
        let first = (*old).addr();
        // The strings are elsewhere: other code has replaced the environment already, and may have kept pointers to the
        // old strings.
        if first != 0 && !(start..end).contains(&first) {
            return false;
        }
        let mut moved: Vec<*mut c_char> = Vec::new();
        let mut entry = old;
        while !(*entry).is_null() {
            moved.push(CStr::from_ptr(*entry).to_owned().into_raw());
            entry = entry.add(1);
        }
        moved.push(std::ptr::null_mut());
        // Leaked, because the C library keeps using it until the process ends.
        (&raw mut environ).write(moved.leak().as_mut_ptr());
    }
    true
}

/// Start and end of the arguments, start and end of the environment: fields 48 to 51 of `/proc/PID/stat`. `None` if
/// they are implausible.
fn bounds(stat: &[u8]) -> Option<[usize; 4]> {
    // Field 2 is the name in parentheses, and may itself contain blanks and parentheses. Field 3 follows the last
    // parenthesis.
    let after_name = stat.iter().rposition(|&c| c == b')')? + 1;
    let fields = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = fields.split_ascii_whitespace().skip(48 - 3).map(|field| field.parse::<usize>().ok());
    let mut next = || fields.next().flatten();
    let found = [next()?, next()?, next()?, next()?];
    let [arg_start, arg_end, env_start, env_end] = found;
    let in_order = arg_start > 0 && arg_start < arg_end && arg_end <= env_start && env_start <= env_end;
    (in_order && env_end - arg_start <= SANE).then_some(found)
}

/// Whether `start` to `end` lies in a single mapping of `/proc/PID/maps` that can be read and written.
fn writable(maps: &[u8], start: usize, end: usize) -> bool {
    String::from_utf8_lossy(maps).lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { return false };
        let Some((low, high)) = range.split_once('-') else { return false };
        let hex = |digits| usize::from_str_radix(digits, 16);
        matches!((hex(low), hex(high)), (Ok(low), Ok(high)) if low <= start && end <= high)
            && rights.starts_with("rw")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const CHILD: &str = "BACKY2_TEST_TITLE";

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let mut line = b"77 (a ) (b) S".to_vec();
        for field in 4..=52 {
            line.extend(format!(" {field}").bytes());
        }
        assert_eq!(bounds(&line), Some([48, 49, 50, 51]));
        for odd in [&b""[..], b"1 (x) S 1 2 3", b"\xff) \xff", b"1 (x"] {
            assert_eq!(bounds(odd), None);
        }
        let zeros = format!("1 (x) S{}", " 0".repeat(49));
        assert_eq!(bounds(zeros.as_bytes()), None);
        let backwards = format!("1 (x) S{} 9 5 5 9", " 0".repeat(44));
        assert_eq!(bounds(backwards.as_bytes()), None);
    }

    #[test]
    fn only_memory_that_can_be_written_is_used() {
        let maps = b"1000-2000 r-xp 0 0:0 0 /x\n2000-3000 rw-p 0 0:0 0 [stack]\nnonsense\n";
        assert!(writable(maps, 0x2000, 0x3000));
        assert!(!writable(maps, 0x1000, 0x1100));
        assert!(!writable(maps, 0x1f00, 0x2100));
        assert!(!writable(maps, 0x2000, 0x3001));
    }

    /// Runs as the child of the test below, which checks its output. Does nothing on its own.
    #[test]
    fn child_that_changes_its_title() {
        let Some(text) = std::env::var_os(CHILD) else { return };
        let text = text.into_string().expect("text");
        let show = || {
            let read =
                |file: &str| std::fs::read(format!("/proc/{}/{file}", std::process::id())).expect("read");
            let (line, comm) = (read("cmdline"), read("comm"));
            let line = String::from_utf8(line).expect("whole characters");
            let shown = line.split('\0').next().unwrap_or_default().to_owned();
            assert!(line[shown.len()..].bytes().all(|c| c == 0), "nothing follows the title");
            (shown, String::from_utf8(comm).expect("whole characters").trim_end_matches('\n').to_owned())
        };
        init();
        init();
        set(&text);
        assert_eq!(std::env::var(CHILD).ok().as_deref(), Some(&*text), "the environment is still there");
        assert!(std::env::vars_os().count() > 1);
        let first = show();
        assert_eq!(first.0, text);
        assert_eq!(first.1, text.chars().take(15).collect::<String>());

        let long = "backy2 é".repeat(200_000);
        set(&long);
        let cut = show();
        assert!(cut.0.len() > text.len() && long.starts_with(&cut.0), "{}", cut.0.len());
        assert_eq!(cut.1, "backy2 ébacky2");

        // A call from any thread names the process.
        std::thread::spawn(|| set("b\0c")).join().expect("set");
        assert_eq!(show(), ("b c".to_owned(), "b c".to_owned()));
        set("");
        assert_eq!(show().0, "");
        println!("TITLE CHANGED");
    }

    #[test]
    fn the_title_changes_and_the_environment_stays() {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "sys::title::tests::child_that_changes_its_title",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CHILD, "backy2 [Backing up (2/2: Data) file:///a/b ..........]")
            .output()
            .expect("run");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("TITLE CHANGED"), "{told}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success());
    }
}
