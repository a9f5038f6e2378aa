//! `librados.so.2` and `librbd.so.1`. They are loaded only when needed, so that the program also starts on hosts
//! without Ceph.
//!
//! The signatures are those of `rados/librados.h` and `rbd/librbd.h`. They are stable as long as the number after `.so`
//! stays the same: Ceph adds functions but changes none.
#![allow(unsafe_code)]

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

/// An opaque handle of the libraries.
pub(super) type Handle = *mut c_void;

/// The callback of `rbd_diff_iterate2`, called for each extent: offset, length, whether it holds data, and our own
/// pointer.
pub(super) type DiffCallback = unsafe extern "C" fn(u64, usize, c_int, *mut c_void) -> c_int;

/// `rbd_snap_info_t`.
#[repr(C)]
#[derive(Clone)]
pub(super) struct SnapInfo {
    pub id: u64,
    pub size: u64,
    pub name: *const c_char,
}

/// `rbd_image_watcher_t`.
#[repr(C)]
#[derive(Clone)]
pub(super) struct Watcher {
    pub address: *const c_char,
    pub id: i64,
    pub cookie: u64,
}

/// `struct timespec` where `time_t` and `long` have 64 bits.
#[repr(C)]
#[derive(Default)]
pub(super) struct Timespec {
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// Declares the functions that the program uses, and loads them.
macro_rules! functions {
    ($( $library:ident: $name:ident ( $($argument:ty),* ) $(-> $result:ty)? ; )*) => {
        /// The functions of both libraries. The libraries stay loaded as long as the process lives.
        pub(super) struct Functions {
            $( pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?, )*
        }

        impl Functions {
            fn find(rados: &Library, rbd: &Library) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    $( $name: {
                        // SAFETY: the library is one of the two that export this symbol, and the type named here
                        // is its signature in their headers.
                        let symbol = unsafe {
                            functions!(@library $library rados rbd)
                                .get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                                    concat!(stringify!($name), "\0").as_bytes(),
                                )
                        };
                        *symbol?
                    }, )*
                })
            }
        }
    };
    (@library rados $rados:ident $rbd:ident) => { $rados };
    (@library rbd $rados:ident $rbd:ident) => { $rbd };
}

functions! {
    rados: rados_create2(*mut Handle, *const c_char, *const c_char, u64) -> c_int;
    rados: rados_conf_read_file(Handle, *const c_char) -> c_int;
    rados: rados_conf_set(Handle, *const c_char, *const c_char) -> c_int;
    rados: rados_connect(Handle) -> c_int;
    rados: rados_shutdown(Handle);
    rados: rados_cluster_fsid(Handle, *mut c_char, usize) -> c_int;
    rados: rados_ioctx_create(Handle, *const c_char, *mut Handle) -> c_int;
    rados: rados_ioctx_destroy(Handle);
    rados: rados_ioctx_get_id(Handle) -> i64;
    rados: rados_ioctx_set_namespace(Handle, *const c_char);
    rbd: rbd_image_options_create(*mut Handle);
    rbd: rbd_image_options_destroy(Handle);
    rbd: rbd_image_options_set_uint64(Handle, c_int, u64) -> c_int;
    rbd: rbd_list(Handle, *mut c_char, *mut usize) -> c_int;
    rbd: rbd_create4(Handle, *const c_char, u64, Handle) -> c_int;
    rbd: rbd_open(Handle, *const c_char, *mut Handle, *const c_char) -> c_int;
    rbd: rbd_open_read_only(Handle, *const c_char, *mut Handle, *const c_char) -> c_int;
    rbd: rbd_close(Handle) -> c_int;
    rbd: rbd_get_size(Handle, *mut u64) -> c_int;
    rbd: rbd_get_id(Handle, *mut c_char, usize) -> c_int;
    rbd: rbd_read2(Handle, u64, usize, *mut c_char, c_int) -> isize;
    rbd: rbd_write2(Handle, u64, usize, *const c_char, c_int) -> isize;
    rbd: rbd_write_zeroes(Handle, u64, usize, c_int, c_int) -> isize;
    rbd: rbd_flush(Handle) -> c_int;
    rbd: rbd_diff_iterate2(Handle, *const c_char, u64, u64, u8, u8, DiffCallback, *mut c_void) -> c_int;
    rbd: rbd_watchers_list(Handle, *mut Watcher, *mut usize) -> c_int;
    rbd: rbd_watchers_list_cleanup(*mut Watcher, usize);
    rbd: rbd_snap_set(Handle, *const c_char) -> c_int;
    rbd: rbd_snap_create(Handle, *const c_char) -> c_int;
    rbd: rbd_snap_remove(Handle, *const c_char) -> c_int;
    rbd: rbd_snap_list(Handle, *mut SnapInfo, *mut c_int) -> c_int;
    rbd: rbd_snap_list_end(*mut SnapInfo);
    rbd: rbd_snap_is_protected(Handle, *const c_char, *mut c_int) -> c_int;
    rbd: rbd_snap_get_timestamp(Handle, u64, *mut Timespec) -> c_int;
}

fn open(name: &str) -> Result<Library, String> {
    // SAFETY: loading a library runs its constructors. Both libraries are made to be loaded into any process and
    // require nothing of it.
    unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| e.to_string())
}

/// The functions. The first call loads them.
///
/// # Errors
/// A text that names the missing library or function and the packages to install. A static program can load no
/// libraries, and the text says so.
pub(super) fn functions() -> Result<&'static Functions, String> {
    // The C library's own error would be about a file that is missing, and would send people to install it.
    if cfg!(target_feature = "crt-static") {
        return Err("This is the static build of backy2, which cannot load Ceph's libraries and so has no rbd://. Use \
                    the program of the Debian or RPM package, or build it with `cargo build --release`."
            .to_owned());
    }
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let needs = |what: String| {
            format!(
                "rbd:// needs Ceph's libraries on this host, and they cannot be loaded ({what}). Install the packages \
                 librados2 and librbd1 (`apt-get install librados2 librbd1`)."
            )
        };
        let (rados, rbd) = (open("librados.so.2").map_err(needs)?, open("librbd.so.1").map_err(needs)?);
        let functions = Functions::find(&rados, &rbd).map_err(|e| {
            format!("The installed librbd1 is too old: {e}. Install the one of Ceph 16 (Pacific) or newer.")
        });
        // The libraries run threads of their own, so they are never unloaded.
        std::mem::forget((rados, rbd));
        functions
    });
    loaded.as_ref().map_err(Clone::clone)
}
