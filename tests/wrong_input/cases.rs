//! Wrong input of every kind: the exit codes of 2.13, a message that names the error, and no change.

mod backup;
mod config;
mod hostile;
mod locks;
mod removal;
mod restore;
mod usage;

use crate::common::install::{Install, noise};

/// Block size in bytes.
const BLOCK: usize = 4096;

/// An installation with one version of an image `a.img` of eight blocks, the third and the last one sparse.
fn with_version() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &image()), "a"]);
    (install, uid)
}

/// The image of [`with_version`].
fn image() -> Vec<u8> {
    let mut data = noise(7, 8 * BLOCK);
    data[2 * BLOCK..3 * BLOCK].fill(0);
    data[7 * BLOCK..].fill(0);
    data
}

/// No version can be found by these texts.
const UNKNOWN: [&str; 6] =
    ["nosuch", "", "../../etc/passwd", "' OR 1=1 --", "00000000-0000-0000-0000-000000000000", "näme|%s"];
