//! What several integration tests need.
#![allow(dead_code)]

/// To be called by a test that cannot run here because something is missing, before it returns: tells so, and
/// fails where `BACKY2_REQUIRE_ALL=1` says that nothing may be missing.
pub fn skip(name: &str, reason: &str) {
    println!("SKIPPED {name}: {reason}");
    let required = std::env::var_os("BACKY2_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{name} was skipped, and BACKY2_REQUIRE_ALL=1 forbids that: {reason}");
}

/// Whether the long variants are wanted too: `BACKY2_TESTS=all`.
pub fn all() -> bool {
    std::env::var_os("BACKY2_TESTS").is_some_and(|value| value == "all")
}

pub mod ceph;
pub mod checks;
pub mod disk;
pub mod fixture;
pub mod images;
pub mod install;
pub mod rust_source;
