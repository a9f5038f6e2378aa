//! Runs commands under a false clock: a library of Debian's package `faketime` replaces the system's clock.

use super::install::{Install, Run};
use std::process::Stdio;

const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// A false clock, in the notation of faketime: `+60d`, `-1y`, or a moment such as `1969-06-01 10:00:00`.
pub struct Clock(String, &'static str);

impl Clock {
    /// `None` if the library is not installed.
    pub fn new(time: &str) -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|path| std::path::Path::new(path).exists())?;
        Some(Clock(time.to_owned(), library))
    }

    /// Runs a command under this clock, in that time zone. Fails if the command panics.
    pub fn run_in(&self, zone: &str, install: &Install, args: &[&str]) -> Run {
        let mut command = install.command(args);
        command.env("LD_PRELOAD", self.1).env("FAKETIME", &self.0).env("TZ", zone).stdin(Stdio::null());
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_RESET", "1");
        let run = Run::from(command.output().expect("runs"));
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains("panicked") && !text.contains("internal error"), "{args:?}: {run:?}");
        }
        run
    }

    /// As [`Clock::run_in`], in UTC.
    pub fn run(&self, install: &Install, args: &[&str]) -> Run {
        self.run_in("UTC", install, args)
    }

    /// Runs a command in UTC, which must succeed. Returns stdout.
    pub fn ok(&self, install: &Install, args: &[&str]) -> String {
        let run = self.run(install, args);
        assert_eq!(run.code, 0, "{} {args:?}: {run:?}", self.0);
        run.stdout
    }

    /// Makes a backup and returns the new version's uid.
    pub fn backup(&self, install: &Install, args: &[&str]) -> String {
        let out = self.ok(install, &[&["-m", "backup"], args].concat());
        out.lines().last().expect("a uid").to_owned()
    }
}
