//! Skips tests that cannot run on this machine.

/// Reports a test as skipped. The test calls this and returns when something that it needs is missing. If
/// `BACKY2_REQUIRE_ALL=1` is set, skipping is a failure.
pub fn skip(name: &str, reason: &str) {
    println!("SKIPPED {name}: {reason}");
    let required = std::env::var_os("BACKY2_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{name} was skipped, and BACKY2_REQUIRE_ALL=1 forbids that: {reason}");
}
