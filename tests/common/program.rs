//! The program that the tests run.

/// The program that is tested: that of this build, or the one that `BACKY2_TEST_BINARY` names. The other one must be of
/// the same version; without debug assertions it has no failpoints, and tests that need them fail.
pub fn program() -> String {
    std::env::var("BACKY2_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_backy2").to_owned())
}
