//! Memory shortage: an allocator that ends the program, and allocations that may fail.
//!
//! The standard library ends a program with SIGABRT if an allocation fails. [`Careful`], the program's allocator, ends
//! it with one line and an exit code instead. That is as abrupt as `kill -9`: it loses and marks nothing. For large
//! pieces use [`zeroed`] and [`reserve`], which return an ordinary error.
#![allow(unsafe_code)]

use crate::types::error::{Error, Result};
use rustix::process::{Resource, getrlimit};
use std::alloc::{GlobalAlloc, Layout, System, alloc_zeroed};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The message on stderr.
const LINE: &[u8] = b"   ERROR: There is not enough memory (see `ulimit -v`, or free some on this host). Nothing \
more was done, and nothing is marked. Lower simultaneous_reads and simultaneous_writes, or mount_cache_size.\n";
/// The exit code of errors without one of their own.
const FAILED: c_int = 100;

static ON_STDOUT: OnceLock<&'static str> = OnceLock::new();

thread_local! {
    /// Whether this thread can handle a failed allocation. The variable has no destructor, so that access to it never
    /// allocates.
    static FALLIBLE: Cell<bool> = const { Cell::new(false) };
}

unsafe extern "C" {
    /// Ends the process at once, without the exit handlers, which could need memory.
    fn _exit(code: c_int) -> !;
    fn write(file: c_int, data: *const c_void, size: usize) -> isize;
}

/// The system's allocator, except that it ends the program when there is no memory.
pub struct Careful;

// SAFETY: every call goes to the system's allocator unchanged, and so does its result back. The handling of a null
// pointer allocates nothing and does not unwind.
unsafe impl GlobalAlloc for Careful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's guarantees are those that the system's allocator needs.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn checked(memory: *mut u8) -> *mut u8 {
    if memory.is_null() && !FALLIBLE.try_with(Cell::get).unwrap_or(false) {
        end();
    }
    memory
}

/// Sets the text that [`end`] prints on stdout, for programs that read JSON there.
pub fn set_answer(text: &'static str) {
    let _ = ON_STDOUT.set(text);
}

/// Ends the process because memory ran out: prints one line and exits with the code of an error. Allocates nothing.
pub fn end() -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    if ENDING.swap(true, Ordering::SeqCst) {
        // Another thread is ending the process. Let it print its line.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let on_stdout = ON_STDOUT.get().map_or(&b""[..], |text| text.as_bytes());
    // SAFETY: `write` reads as many bytes as each slice has. `_exit` takes a number and does not return.
    unsafe {
        write(2, LINE.as_ptr().cast(), LINE.len());
        write(1, on_stdout.as_ptr().cast(), on_stdout.len());
        _exit(FAILED)
    }
}

/// Runs `take` with allocations that may fail.
fn fallible<T>(take: impl FnOnce() -> T) -> T {
    let before = FALLIBLE.replace(true);
    let taken = take();
    FALLIBLE.set(before);
    taken
}

fn shortage(bytes: usize) -> Error {
    Error::resources(format!(
        "There is not enough memory for {bytes} bytes more (see `ulimit -v`, or free some on this host). Lower \
         simultaneous_reads and simultaneous_writes, or mount_cache_size."
    ))
}

/// Returns `length` zeros. The system provides zeroed memory, so nothing is written here.
///
/// # Errors
/// [`Error::Resources`].
pub fn zeroed(length: usize) -> Result<Vec<u8>> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let layout = Layout::array::<u8>(length).map_err(|_| shortage(length))?;
    // SAFETY: the layout is not empty.
    let memory = fallible(|| unsafe { alloc_zeroed(layout) });
    if memory.is_null() {
        return Err(shortage(length));
    }
    // SAFETY: the memory comes from the global allocator, for `length` bytes with the alignment of bytes. All of them
    // are initialized.
    Ok(unsafe { Vec::from_raw_parts(memory, length, length) })
}

/// Makes room for `more` further items in `list`, and for few beyond them.
///
/// # Errors
/// [`Error::Resources`]. The list is unchanged.
pub fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    fallible(|| list.try_reserve_exact(more)).map_err(|_| shortage(more.saturating_mul(size_of::<T>())))
}

/// Whether the limits of this process (`ulimit -v` and `ulimit -d`) leave room for `bytes` more. `true` if there is no
/// limit or the system does not tell.
pub fn has_room(bytes: u64) -> bool {
    let limits =
        [(Resource::As, 0), (Resource::Data, 5)].map(|(limit, field)| (getrlimit(limit).current, field));
    if limits.iter().all(|(limit, _)| limit.is_none()) {
        return true;
    }
    // The file counts pages. Field 0 is the whole address space, field 5 is data and stacks.
    let used = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let used: Vec<u64> = used.split_whitespace().filter_map(|pages| pages.parse().ok()).collect();
    let page = rustix::param::page_size() as u64;
    limits.iter().all(|&(limit, field)| match (limit, used.get(field)) {
        (Some(limit), Some(pages)) => (pages * page).saturating_add(bytes) <= limit,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_decide_how_much_room_there_is() {
        assert!(has_room(0), "this process runs");
        let limited =
            getrlimit(Resource::As).current.is_some() || getrlimit(Resource::Data).current.is_some();
        assert_eq!(has_room(u64::MAX), !limited);
    }

    #[test]
    fn impossible_allocations_are_errors() {
        let mut list = vec![7_u8];
        for impossible in [usize::MAX, isize::MAX as usize - 100] {
            for error in [reserve(&mut list, impossible).err(), zeroed(impossible).err()] {
                assert!(matches!(error, Some(Error::Resources(_))), "{error:?}");
            }
        }
        assert_eq!(list, [7]);
        assert!(!FALLIBLE.get(), "the allocator handles later failures again");
    }

    #[test]
    fn possible_allocations_succeed() {
        assert_eq!(zeroed(1000).expect("little"), vec![0; 1000]);
        assert!(zeroed(0).expect("nothing").is_empty());
        let mut list = vec![1_u64];
        reserve(&mut list, 99).expect("little");
        assert!(list.capacity() >= 100);
        // The program's own allocator returns the same as the system's.
        let layout = Layout::array::<u8>(64).expect("small");
        // SAFETY: the layout is not empty, and the memory is freed with its actual layout.
        unsafe {
            let memory = Careful.alloc_zeroed(layout);
            assert_eq!(*memory.add(63), 0);
            let memory = Careful.realloc(memory, layout, 128);
            Careful.dealloc(memory, Layout::array::<u8>(128).expect("small"));
        }
    }
}
