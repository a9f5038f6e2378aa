//! Block-level backup of disk images and block devices.
//!
//! The modules form layers, and imports go downward only (`tests/architecture.rs` holds the table):
//!
//! | layer | modules |
//! | --- | --- |
//! | terminal | [`cli`] |
//! | servers | [`fuse`], [`nbd`], [`runner`] |
//! | engine | [`engine`] |
//! | flow | [`flow`] |
//! | ports | [`io`], [`store`], [`meta`], [`locks`] |
//! | connections | [`pg`] |
//! | mechanisms | [`config`], [`copies`], [`crypt`], [`hash`], [`metrics`], [`pem`], [`pool`], [`throttle`], [`monitor`] |
//! | system | [`sys`] |
//! | failpoints | [`failpoint`] |
//! | types | [`types`] |
//!
//! `docs/architecture.md` describes how a block travels through them.

// Whatever is `pub` can be reached from outside of the crate: by the binary, the benches and the tests.
#![cfg_attr(not(test), warn(unreachable_pub))]
// The table above links to modules that are not.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod config;
pub mod copies;
pub mod crypt;
pub mod engine;
mod failpoint;
pub mod flow;
mod fuse;
pub mod hash;
pub mod io;
mod locks;
pub mod meta;
mod metrics;
pub mod monitor;
mod nbd;
mod pem;
mod pg;
mod pool;
mod runner;
mod store;
pub mod sys;
mod throttle;
pub mod types;

#[cfg(test)]
#[path = "../tests/common/skip.rs"]
mod skip;
