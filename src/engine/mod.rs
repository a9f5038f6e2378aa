//! The commands, without their arguments and their output.

pub mod backup;
pub mod catalogue;
pub mod cleanup;
pub mod damage;
pub mod init;
pub mod remove;
pub mod restore;
pub mod scrub;
pub mod site;
pub mod tags;

pub use site::{Access, Site};
