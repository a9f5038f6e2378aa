//! `file://`: regular files and block devices.

mod device;
mod direct;
mod holes;
mod in_use;
mod source;
mod target;

pub(crate) use source::FileSource;
pub(crate) use target::FileTarget;

use std::fs::Metadata;
use std::os::unix::fs::FileTypeExt;

/// The kinds of file that can be a source or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    Regular,
    Device,
}

/// The kind of file that `metadata` describes, or a text that says what it is instead.
fn medium(metadata: &Metadata) -> Result<Medium, String> {
    let kind = metadata.file_type();
    let other = if kind.is_file() {
        return Ok(Medium::Regular);
    } else if kind.is_block_device() {
        return Ok(Medium::Device);
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a character device"
    };
    Err(format!("it is {other}; a regular file or a block device is needed"))
}
