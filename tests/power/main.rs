//! Power failures: what a file system under the store and the database holds afterwards.
//!
//! A recording disk keeps every write and every flush of its file system. A crash image is what a real disk could hold if
//! the power failed between two of them: all writes before the last flush, and any of the later ones. Each image is
//! mounted, and must have every version that was reported as complete.

#[path = "../common/mod.rs"]
mod common;

mod crashes;
mod recording_disk;
