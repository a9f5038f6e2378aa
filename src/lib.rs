//! Block-level backup of disk images and block devices.
//!
//! The modules form layers, and imports go downward only (`tests/architecture.rs` holds the table):
//!
//! | layer | modules |
//! | --- | --- |
//! | terminal | [`cli`] |
//! | servers | [`fuse`], [`nbd`] |
//! | engine | [`engine`] |
//! | flow | [`flow`] |
//! | ports | [`io`], [`store`], [`meta`], [`locks`] |
//! | connections | [`pg`] |
//! | mechanisms | [`config`], [`crypt`], [`hash`], [`pool`], [`throttle`], [`monitor`] |
//! | system | [`sys`] |
//! | failpoints | [`failpoint`] |
//! | types | [`types`] |
//!
//! `docs/architecture.md` describes how a block travels through them.

pub mod cli;
pub mod config;
pub mod crypt;
pub mod engine;
pub mod failpoint;
pub mod flow;
pub mod fuse;
pub mod hash;
pub mod io;
pub mod locks;
pub mod meta;
pub mod monitor;
pub mod nbd;
pub mod pg;
pub mod pool;
pub mod store;
pub mod sys;
pub mod throttle;
pub mod types;

#[cfg(test)]
#[path = "../tests/common/skip.rs"]
mod skip;
