//! The commands, without their arguments and their output.

pub mod backup;
pub mod catalogue;
mod claims;
pub mod cleanup;
pub mod copy_on_write;
pub mod damage;
pub mod downgrade;
pub mod future;
pub mod image;
pub mod incremental;
pub mod init;
mod lock_dir;
pub mod migrate;
pub mod migrate_db;
pub mod names;
pub mod rekey;
pub mod remove;
pub mod restore;
pub mod schedule;
pub mod scrub;
pub mod site;
pub mod tags;
pub mod transfer;
pub mod upgrade;
pub mod usage;

pub use crate::meta::Access;
pub use site::Site;
