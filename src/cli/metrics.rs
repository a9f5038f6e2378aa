//! Writes the file for Prometheus at the end of a command.

use super::Context;
use super::facts::{Ended, Facts};
use crate::config::Config;
use crate::engine::status::{self, Flaw, NameStatus, Options, Status};
use crate::engine::{Access, Site};
use crate::metrics::{self, Metric, Metrics, Origin};
use crate::monitor::{Level, Monitor, Silent};
use crate::pool::threads;
use crate::types::error::{Error, Result};
use crate::types::text;
use crate::types::time::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// How long to wait for the database. Without it, the file keeps its older values.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a name that has neither a version nor a job stays after its last backup has failed.
const MEMORY: f64 = 7.0 * 86_400.0;

/// Replaces the file, if there is to be one. A failure is a warning.
pub(super) fn write(context: &Context, facts: &Facts, ended: &Ended) {
    let (Some(path), Some(command)) = (&context.config.metrics_file, facts.command) else { return };
    let terminal = &context.terminal;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    // Before the lock is taken: others must not wait for the database.
    let status = read_database(&context.config);
    if let Err(error) = &status {
        terminal.record(Level::Warning, &format!("The metrics keep older values: {}", error.line()));
    }
    let written = metrics::update(path, |metrics| {
        if let Ok(status) = &status {
            take_status(metrics, status, now);
        }
        count(metrics, command, ended);
        take_attempts(metrics, facts, ended);
        for version in metrics.labels(Metric::BuildInfo) {
            metrics.remove(Metric::BuildInfo, &version);
        }
        metrics.set(Metric::BuildInfo, env!("CARGO_PKG_VERSION"), 1.0);
    });
    if let Err(error) = written {
        terminal.notice(&error.line());
    }
}

/// The overview of the installation. A database that does not answer keeps nobody waiting.
///
/// # Errors
/// The database cannot be read in time.
fn read_database(config: &Config) -> Result<Status> {
    let (send, receive) = crossbeam_channel::bounded(1);
    let config = config.clone();
    threads::start_alone("metrics", move || {
        let read = || {
            let mut site = Site::open(&config, &Silent, Access::Glance)?;
            status::run(&mut site, Options::default(), Timestamp::now())
        };
        // If it is too late, nobody listens.
        let _ = send.send(read());
    })?;
    receive.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(Error::database("it does not answer in time")))
}

/// Takes over the values of the database, unless another process has written newer ones. `read_at` is the moment when they
/// were read, in seconds since 1970.
fn take_status(metrics: &mut Metrics, status: &Status, read_at: f64) {
    if metrics.get(Metric::DatabaseRead, "").is_some_and(|written| written > read_at) {
        return;
    }
    metrics.forget(Origin::Database);
    metrics.set(Metric::DatabaseRead, "", read_at);
    metrics.set(Metric::BadBlobs, "", status.bad_blobs as f64);
    // The name of a job is listed before it has a version.
    metrics.set(Metric::Names, "", status.names.iter().filter(|name| name.all > 0).count() as f64);
    if let Some(totals) = &status.totals {
        let (ready, waiting) = (totals.deletions.ready, totals.deletions.waiting);
        let data = totals.data;
        for (metric, value) in [
            (Metric::AllVersions, Some(totals.versions)),
            (Metric::LogicalBytes, Some(totals.logical)),
            (Metric::Blobs, data.map(|data| data.blocks)),
            (Metric::DataBytes, data.map(|data| data.bytes)),
            (Metric::CleanupBlobs, Some(ready.blocks.saturating_add(waiting.blocks))),
            (Metric::CleanupBytes, Some(ready.bytes.saturating_add(waiting.bytes))),
            (Metric::StoreFree, totals.space.map(|space| space.free)),
            (Metric::StoreSize, totals.space.map(|space| space.total)),
        ] {
            set(metrics, metric, "", value);
        }
    }
    let mut names = BTreeSet::new();
    for name in &status.names {
        let label = text::line(&name.name).into_owned();
        take_name(metrics, &label, name);
        names.insert(label);
    }
    forget_names(metrics, &names, read_at);
}

fn set(metrics: &mut Metrics, metric: Metric, label: &str, value: Option<u64>) {
    if let Some(value) = value {
        metrics.set(metric, label, value as f64);
    }
}

/// Takes over the values of one name.
fn take_name(metrics: &mut Metrics, label: &str, name: &NameStatus) {
    let newest = name.newest.as_ref();
    let statistics = name.work.map(|work| work.statistics);
    for (metric, value) in [
        (Metric::Versions, Some(name.all)),
        (Metric::ValidVersions, Some(name.valid)),
        (Metric::LastImage, newest.map(|version| version.size_bytes)),
        (Metric::LastDuration, name.work.map(|work| work.seconds)),
        (Metric::LastRead, statistics.map(|work| work.read.bytes)),
        (Metric::LastNew, statistics.map(|work| work.written.bytes)),
        (Metric::LastDeduplicated, statistics.map(|work| work.dedup.bytes)),
        (Metric::LastHoles, statistics.map(|work| work.sparse.bytes)),
    ] {
        set(metrics, metric, label, value);
    }
    for (metric, date) in
        [(Metric::LastSuccess, newest.map(|version| version.date)), (Metric::LastVerified, name.verified)]
    {
        if let Some(date) = date {
            metrics.set(metric, label, date.unix() as f64);
        }
    }
    // A backup that was killed has left nothing but its version.
    match name.attempts.first() {
        Some(attempt) => attempted(metrics, label, attempt.date, attempt.flaw == Flaw::BadBlobs),
        None => newest.into_iter().for_each(|version| attempted(metrics, label, version.date, true)),
    }
}

/// Forgets the attempts for names that are not listed any more. A name whose first backup fails is remembered for a while.
fn forget_names(metrics: &mut Metrics, names: &BTreeSet<String>, now: f64) {
    for name in metrics.labels(Metric::LastAttempt) {
        let is_recent = || metrics.get(Metric::LastAttempt, &name).is_some_and(|date| now - date < MEMORY);
        let is_failure = metrics.get(Metric::LastAttemptSuccess, &name) == Some(0.0) && is_recent();
        if !names.contains(&name) && !is_failure {
            metrics.remove(Metric::LastAttempt, &name);
            metrics.remove(Metric::LastAttemptSuccess, &name);
        }
    }
}

/// Counts the command.
fn count(metrics: &mut Metrics, command: &str, ended: &Ended) {
    metrics.add(Metric::Runs, command, 1.0);
    metrics.add(Metric::Errors, command, f64::from(u8::from(!ended.is_good())));
    metrics.set(Metric::LastRun, command, ended.began.unix() as f64);
    metrics.set(Metric::LastExitCode, command, f64::from(ended.code));
    // Milliseconds are enough.
    metrics.set(Metric::LastRunDuration, command, ended.duration.as_millis() as f64 / 1000.0);
}

/// Notes the backups that the command has made, or has failed to make.
fn take_attempts(metrics: &mut Metrics, facts: &Facts, ended: &Ended) {
    if let (Some("backup"), Some(name)) = (facts.command, &facts.name) {
        attempted(metrics, &text::line(name), ended.began, ended.is_good());
    }
    for failure in facts.failures.iter().filter(|failure| failure.is_backup) {
        if let Some(name) = &failure.name {
            attempted(metrics, &text::line(name), ended.began, false);
        }
    }
}

/// Notes a backup, unless a newer one is noted already.
fn attempted(metrics: &mut Metrics, label: &str, began: Timestamp, is_made: bool) {
    let began = began.unix() as f64;
    if metrics.get(Metric::LastAttempt, label).is_none_or(|known| known <= began) {
        metrics.set(Metric::LastAttempt, label, began);
        metrics.set(Metric::LastAttemptSuccess, label, f64::from(u8::from(is_made)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::facts::Start;

    fn overview(bad_blobs: u64) -> Status {
        Status { at: Timestamp::now(), names: Vec::new(), bad_blobs, totals: None }
    }

    #[test]
    fn an_older_overview_replaces_no_newer_one_and_no_counter() {
        let mut metrics = Metrics::default();
        count(&mut metrics, "scrub", &Start::now().end(20, None));
        take_status(&mut metrics, &overview(1), 100.0);
        metrics.set(Metric::Versions, "gone", 1.0);
        take_status(&mut metrics, &overview(2), 99.0);
        assert_eq!(metrics.get(Metric::BadBlobs, ""), Some(1.0));
        take_status(&mut metrics, &overview(3), 101.0);
        assert_eq!(
            (metrics.get(Metric::BadBlobs, ""), metrics.get(Metric::Versions, "gone")),
            (Some(3.0), None)
        );
        assert_eq!(
            (metrics.get(Metric::Runs, "scrub"), metrics.get(Metric::Errors, "scrub")),
            (Some(1.0), Some(1.0))
        );
    }

    #[test]
    fn the_newest_attempt_counts() {
        let at = Timestamp::from_unix;
        let mut metrics = Metrics::default();
        let noted = |metrics: &Metrics| metrics.get(Metric::LastAttemptSuccess, "vm");
        attempted(&mut metrics, "vm", at(10), true);
        attempted(&mut metrics, "vm", at(9), false);
        assert_eq!(noted(&metrics), Some(1.0));
        attempted(&mut metrics, "vm", at(10), false);
        assert_eq!((noted(&metrics), metrics.get(Metric::LastAttempt, "vm")), (Some(0.0), Some(10.0)));
    }
}
