//! Shared parts of the integration tests.
#![allow(dead_code, unused_imports)]

mod program;
mod skip;
pub use program::program;
pub use skip::skip;

/// Whether `BACKY2_TESTS=all` asks for the long variants, too.
pub fn all() -> bool {
    std::env::var_os("BACKY2_TESTS").is_some_and(|value| value == "all")
}

pub mod bound;
pub mod browser;
pub mod ceph;
pub mod checks;
pub mod clock;
pub mod copies;
pub mod database;
pub mod disk;
pub mod documented;
pub mod faulty_fs;
pub mod fixture;
pub mod history;
pub mod hostile;
pub mod images;
pub mod install;
pub mod old_database;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod pty;
pub mod rust_source;
pub mod s3_server;
pub mod told;
