//! System calls by number, and the files that they concern.

use std::path::Path;

/// Which arguments of a call name its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The first argument is a descriptor.
    Descriptor,
    /// The first argument is a path.
    Path,
    /// The first argument is the descriptor of a folder, the second a path relative to it.
    PathAt,
    /// The call starts a thread.
    Thread,
}

/// A system call that can be made to fail.
#[derive(Debug)]
pub struct Call {
    /// The number on x86-64.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// Which arguments name its file.
    pub subject: Subject,
    /// The errors to try: their names and numbers.
    pub errors: &'static [(&'static str, i32)],
}

const ENOSPC: (&str, i32) = ("ENOSPC", 28);
const EIO: (&str, i32) = ("EIO", 5);
const ENOMEM: (&str, i32) = ("ENOMEM", 12);
const EMFILE: (&str, i32) = ("EMFILE", 24);
const EAGAIN: (&str, i32) = ("EAGAIN", 11);
const EINTR: (&str, i32) = ("EINTR", 4);

/// The calls that are made to fail. A failing `close` still closes the descriptor, as in the kernel.
pub const CALLS: &[Call] = &[
    Call { number: 0, name: "read", subject: Subject::Descriptor, errors: &[EIO, ENOMEM, EINTR] },
    Call { number: 17, name: "pread64", subject: Subject::Descriptor, errors: &[EIO, ENOMEM, EINTR] },
    Call { number: 1, name: "write", subject: Subject::Descriptor, errors: &[ENOSPC, EIO, EINTR] },
    Call { number: 18, name: "pwrite64", subject: Subject::Descriptor, errors: &[ENOSPC, EIO, EINTR] },
    Call { number: 20, name: "writev", subject: Subject::Descriptor, errors: &[ENOSPC] },
    Call { number: 3, name: "close", subject: Subject::Descriptor, errors: &[EIO] },
    Call { number: 74, name: "fsync", subject: Subject::Descriptor, errors: &[EIO, EINTR] },
    Call { number: 75, name: "fdatasync", subject: Subject::Descriptor, errors: &[EIO] },
    Call { number: 306, name: "syncfs", subject: Subject::Descriptor, errors: &[EIO, EINTR] },
    Call { number: 77, name: "ftruncate", subject: Subject::Descriptor, errors: &[ENOSPC] },
    Call { number: 2, name: "open", subject: Subject::Path, errors: &[EMFILE] },
    Call { number: 257, name: "openat", subject: Subject::PathAt, errors: &[EMFILE, EIO] },
    Call { number: 437, name: "openat2", subject: Subject::PathAt, errors: &[EMFILE, EIO] },
    Call { number: 82, name: "rename", subject: Subject::Path, errors: &[EIO] },
    Call { number: 264, name: "renameat", subject: Subject::PathAt, errors: &[EIO] },
    Call { number: 316, name: "renameat2", subject: Subject::PathAt, errors: &[EIO] },
    Call { number: 83, name: "mkdir", subject: Subject::Path, errors: &[ENOSPC] },
    Call { number: 258, name: "mkdirat", subject: Subject::PathAt, errors: &[ENOSPC] },
    Call { number: 87, name: "unlink", subject: Subject::Path, errors: &[EIO] },
    Call { number: 263, name: "unlinkat", subject: Subject::PathAt, errors: &[EIO] },
    Call { number: 435, name: "clone3", subject: Subject::Thread, errors: &[EAGAIN] },
];

/// A call of a run, in a form that finds it again in the next run: threads change the order of all calls, but hardly
/// the order of the calls of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// The name of the call.
    pub call: &'static str,
    /// The general form of its file: `data/*.blob` for any blob.
    pub class: String,
    /// The number of calls of the same name and class before it.
    pub nth: usize,
}

/// The general form of a path; `None` if it is not in `folder`, the installation's.
pub fn class(path: &str, folder: &Path) -> Option<String> {
    let rest = path.strip_prefix(folder.to_str()?)?.trim_start_matches('/');
    let rest = rest.strip_suffix(" (deleted)").unwrap_or(rest);
    let ending = |name: &str| match name.split_once(".blob") {
        Some((_, "")) => "*.blob",
        Some(_) => "*.tmp",
        None => "*",
    };
    Some(match rest.split_once('/') {
        Some((first @ ("data" | "lock" | "cache"), name)) => format!("{first}/{}", ending(name)),
        _ => rest.to_owned(),
    })
}

#[test]
fn paths_are_classified() {
    let folder = Path::new("/tmp/x");
    let is = |path: &str| class(path, folder);
    assert_eq!(is("/tmp/x/data/ab/cd/abcd12.blob").as_deref(), Some("data/*.blob"));
    assert_eq!(is("/tmp/x/data/ab/cd/abcd12.blob.77.tmp").as_deref(), Some("data/*.tmp"));
    assert_eq!(is("/tmp/x/data/ab").as_deref(), Some("data/*"));
    assert_eq!(is("/tmp/x/backy.sqlite-wal").as_deref(), Some("backy.sqlite-wal"));
    assert_eq!(is("/usr/lib/libc.so.6"), None);
}
