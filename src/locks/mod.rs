//! Lock files, by which the processes of a host keep out of each other's way; release 2.13 uses the same.
//!
//! | file in `lock_dir` | shared | exclusive |
//! | --- | --- | --- |
//! | `backy_backy.lock` | every command, for an instant at its start | full cleanup, rekey, upgrade of the database |
//! | `backy_UID.lock` | a version in use as base, or being restored | one being written, removed or rekeyed |
//! | `backy_backy-cleanup-fast.lock` | – | the fast cleanup |
//!
//! [`LockDir`] takes and releases them, and knows the rules of the table. Nothing waits for a
//! lock longer than each verb says, so that there can be no deadlock.

mod dir;
pub mod process;
mod verbs;

pub use dir::{Guard, LockDir};
