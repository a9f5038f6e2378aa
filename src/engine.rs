//! The commands, without their arguments and output.

pub mod backup;
pub(crate) mod catalogue;
pub(crate) mod check;
mod claims;
pub mod cleanup;
mod copies;
pub(crate) mod copy_on_write;
pub(crate) mod damage;
pub(crate) mod downgrade;
pub(crate) mod future;
pub mod image;
pub(crate) mod incremental;
pub mod init;
pub(crate) mod jobs;
mod lock_dir;
pub(crate) mod migrate;
pub(crate) mod migrate_db;
pub(crate) mod names;
pub(crate) mod prune;
pub mod rebuild;
pub(crate) mod rekey;
pub mod remove;
pub(crate) mod report;
pub mod restore;
mod row_check;
pub(crate) mod schedule;
pub mod scrub;
pub(crate) mod site;
pub(crate) mod status;
mod store_parts;
pub(crate) mod tags;
pub mod transfer;
pub(crate) mod upgrade;
pub(crate) mod usage;
mod verified;

pub use crate::meta::Access;
pub use site::{Site, Use};

#[cfg(test)]
mod tests;
