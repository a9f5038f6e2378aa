//! Decides when to show progress, and formats it.

use crate::monitor::{Activity, Progress};
use std::time::{Duration, Instant};

/// The shortest time between two lines of the log, and between two titles of the process.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// A new line also needs progress by 1/200 of the total, so that a job of days does not fill the logfile.
const LINES: u64 = 200;
/// The shortest time between two drawings of the live line.
const LIVE_EVERY: Duration = Duration::from_millis(200);
/// A rate over a shorter time is meaningless.
const SHORTEST: Duration = Duration::from_millis(1);

/// The outputs that are due for an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// A line of the log.
    pub line: bool,
    /// The title of the process.
    pub title: bool,
    /// The live line on the terminal.
    pub live: bool,
}

impl Due {
    /// Whether any of them is due.
    pub(super) fn any(self) -> bool {
        self.line || self.title || self.live
    }
}

/// The speed of an activity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    /// Average rate in MiB per second.
    pub rate: f64,
    /// Estimated seconds left.
    pub eta: u64,
}

/// Measures the activities, one after the other.
#[derive(Default)]
pub(super) struct Meter {
    run: Option<Run>,
}

/// One activity.
struct Run {
    phase: u8,
    started: Instant,
    /// Blocks and bytes at the first report. They do not count for the pace.
    head_start: (u64, u64),
    done: u64,
    line: (Instant, u64),
    title: Instant,
    live: Instant,
}

impl Meter {
    /// Takes a report, and returns which outputs are due.
    pub(super) fn take(&mut self, progress: &Progress<'_>, now: Instant) -> Due {
        let phase = phase(&progress.activity);
        let run = match &mut self.run {
            Some(run) if run.phase == phase && run.done <= progress.done => run,
            run => {
                *run = Some(Run {
                    phase,
                    started: now,
                    head_start: (progress.done, progress.bytes),
                    done: progress.done,
                    line: (now, progress.done),
                    title: now,
                    live: now,
                });
                return Due { line: true, title: true, live: true };
            }
        };
        run.done = progress.done;
        let past = |then: Instant| now.saturating_duration_since(then);
        let advance = progress.done - run.line.1;
        let due = Due {
            line: past(run.line.0) >= LINE_EVERY && advance.saturating_mul(LINES) >= progress.total,
            title: past(run.title) >= LINE_EVERY,
            live: past(run.live) >= LIVE_EVERY,
        };
        if due.line {
            run.line = (now, progress.done);
        }
        if due.title {
            run.title = now;
        }
        if due.live {
            run.live = now;
        }
        due
    }

    /// The pace of the current activity.
    pub(super) fn pace(&self, progress: &Progress<'_>, now: Instant) -> Pace {
        let Some(run) = &self.run else { return Pace::default() };
        let elapsed = now.saturating_duration_since(run.started);
        if elapsed < SHORTEST {
            return Pace::default();
        }
        let seconds = elapsed.as_secs_f64();
        let bytes = progress.bytes.saturating_sub(run.head_start.1);
        let blocks = progress.done.saturating_sub(run.head_start.0);
        let left = progress.total.saturating_sub(progress.done);
        let eta = if blocks == 0 { 0.0 } else { seconds * left as f64 / blocks as f64 };
        Pace { rate: bytes as f64 / f64::from(1 << 20) / seconds, eta: eta.round() as u64 }
    }
}

/// A number for the kind of activity, without its details.
fn phase(activity: &Activity<'_>) -> u8 {
    match activity {
        Activity::BackupPrep { .. } => 0,
        Activity::BackupData { .. } => 1,
        Activity::RestoreSparse { .. } => 2,
        Activity::RestoreData { .. } => 3,
        Activity::Scrub { .. } => 4,
        Activity::Measure { .. } => 5,
        // Each step has another text.
        Activity::Check { step } => {
            128 | step.bytes().fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte))
        }
        // The step's text begins with its number.
        Activity::Upgrade { step } | Activity::Rebuild { step } | Activity::Compare { step } => {
            step.bytes().next().unwrap_or(b'0')
        }
        Activity::Run { .. } => 7,
    }
}

/// Whether the activity counts steps, and moves no data.
pub(super) fn has_steps(activity: &Activity<'_>) -> bool {
    matches!(
        activity,
        Activity::Upgrade { .. }
            | Activity::Check { .. }
            | Activity::Rebuild { .. }
            | Activity::Compare { .. }
            | Activity::Run { .. }
            | Activity::Measure { .. }
    )
}

/// The activity as text, such as `Backing up (2/2: Data) SOURCE`.
pub(super) fn what(activity: &Activity<'_>) -> String {
    match activity {
        Activity::BackupPrep { source } => format!("Backing up (1/2: Prep) {source}"),
        Activity::BackupData { source } => format!("Backing up (2/2: Data) {source}"),
        Activity::RestoreSparse { target } => format!("Restore phase 1/2 (sparse) to {target}"),
        Activity::RestoreData { target, .. } => format!("Restore phase 2/2 (data) to {target}"),
        Activity::Scrub { name, uid } => format!("Scrubbing {name} ({uid})"),
        Activity::Upgrade { step } => format!("Upgrading the database ({step})"),
        Activity::Check { step } => format!("Checking ({step})"),
        Activity::Run { step } => format!("Carrying out jobs ({step})"),
        Activity::Rebuild { step } => format!("Rebuilding the database ({step})"),
        Activity::Compare { step } => format!("Comparing the database with its copies ({step})"),
        Activity::Measure { step } => format!("Measuring {step}"),
    }
}

/// The activity in as few words as tell it from others: a verb and its object, such as `Backing up` and the source.
pub(super) fn in_short<'a>(activity: &Activity<'a>) -> (&'static str, &'a str) {
    match activity {
        Activity::BackupPrep { source } => ("Preparing", source),
        Activity::BackupData { source } => ("Backing up", source),
        Activity::RestoreSparse { target } => ("Zeroing", target),
        Activity::RestoreData { target, .. } => ("Restoring to", target),
        Activity::Scrub { name, .. } => ("Scrubbing", name),
        Activity::Upgrade { step } => ("Upgrading the database:", step),
        Activity::Check { step } => ("Checking:", step),
        Activity::Rebuild { step } => ("Rebuilding the database:", step),
        Activity::Compare { step } => ("Comparing:", step),
        Activity::Run { step } => ("Carrying out jobs:", step),
        Activity::Measure { step } => ("Measuring", step),
    }
}

/// The log line in the format of 2.13, which ends with a blank.
pub(super) fn log_line(progress: &Progress<'_>, pace: Pace) -> String {
    if has_steps(&progress.activity) {
        // 2.13 has none of these, and they have no queues.
        let (what, percent) = (what(&progress.activity), percent(progress));
        return format!("{what} ({percent:.1}% ETA {}) ", eta(pace.eta));
    }
    let mut line = format!(
        "{} Read Queue [{}] Write Queue [{}] ({:.1}% {:.1}MB/sØ ETA {}) ",
        what(&progress.activity),
        bar(progress.read_queue, 10, '='),
        bar(progress.write_queue, 10, '='),
        percent(progress),
        pace.rate,
        eta(pace.eta)
    );
    if let Activity::RestoreData { last_id, .. } = progress.activity {
        line += "Last ID: ";
        line += &last_id.map_or_else(|| "None".to_owned(), |id| id.to_string());
    }
    line
}

/// The percentage that is done, 0 to 100.
pub(super) fn percent(progress: &Progress<'_>) -> f64 {
    if progress.total == 0 { 100.0 } else { progress.done as f64 * 100.0 / progress.total as f64 }
}

/// Formats a duration: `119s`, `59m3s`, `59h1m`.
pub(super) fn eta(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A bar of `width` columns that is filled to the fraction `full` (0 to 1).
pub(super) fn bar(full: f64, width: usize, fill: char) -> String {
    let filled = (full.clamp(0.0, 1.0) * width as f64).round() as usize;
    let rest = width - filled.min(width);
    let filled = std::iter::repeat_n(fill, width - rest);
    filled.chain(std::iter::repeat_n(' ', rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Activity<'_> = Activity::BackupData { source: "null://64MB" };

    fn at(activity: Activity<'_>, done: u64, total: u64) -> Progress<'_> {
        Progress { activity, done, total, bytes: done << 22, read_queue: 0.6, write_queue: 0.1 }
    }

    #[test]
    fn lines_read_as_those_of_2_13() {
        let pace = Pace { rate: 35.34, eta: 2 };
        assert_eq!(
            log_line(&at(SOURCE, 1, 16), pace),
            "Backing up (2/2: Data) null://64MB Read Queue [======    ] Write Queue [=         ] \
             (6.2% 35.3MB/sØ ETA 2s) "
        );
        let prep = Progress { read_queue: 0.0, write_queue: 1.0, ..at(SOURCE, 1, 3) };
        let prep = Progress { activity: Activity::BackupPrep { source: "file:///a" }, ..prep };
        assert_eq!(
            log_line(&prep, Pace { rate: 0.0, eta: 212_460 }),
            "Backing up (1/2: Prep) file:///a Read Queue [          ] Write Queue [==========] \
             (33.3% 0.0MB/sØ ETA 59h1m) "
        );
        let sparse = log_line(&at(Activity::RestoreSparse { target: "null://" }, 0, 0), pace);
        assert!(sparse.starts_with("Restore phase 1/2 (sparse) to null:// Read Queue ["), "{sparse}");
        assert!(sparse.ends_with("(100.0% 35.3MB/sØ ETA 2s) "), "{sparse}");
        for (last_id, shown) in [(None, "None"), (Some(42), "42")] {
            let data = log_line(&at(Activity::RestoreData { target: "null://", last_id }, 1, 8), pace);
            assert!(data.starts_with("Restore phase 2/2 (data) to null:// Read Queue ["), "{data}");
            assert!(data.ends_with(&format!("(12.5% 35.3MB/sØ ETA 2s) Last ID: {shown}")), "{data}");
        }
        let scrub = log_line(&at(Activity::Scrub { name: "rnd", uid: &"432d".into() }, 1, 10), pace);
        assert!(scrub.starts_with("Scrubbing rnd (432d) Read Queue ["), "{scrub}");
        assert!(scrub.ends_with("(10.0% 35.3MB/sØ ETA 2s) "), "{scrub}");
    }

    #[test]
    fn etas_have_two_units_at_most() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m0s"),
            (3543, "59m3s"),
            (3600, "1h0m"),
            (212_460, "59h1m"),
            (u64::MAX, "5124095576030431h0m"),
        ] {
            assert_eq!(eta(seconds), shown);
        }
    }

    #[test]
    fn bars_never_overflow() {
        for (full, shown) in [
            (0.0, "          "),
            (0.38, "====      "),
            (1.0, "=========="),
            (7.0, "=========="),
            (-1.0, "          "),
            (f64::NAN, "          "),
        ] {
            assert_eq!(bar(full, 10, '='), shown);
        }
    }

    #[test]
    fn the_first_report_shows_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let after = |ms| start + Duration::from_millis(ms);
        let all = Due { line: true, title: true, live: true };
        assert_eq!(meter.take(&at(SOURCE, 1, 100), after(0)), all);
        assert!(!meter.take(&at(SOURCE, 2, 100), after(100)).any());
        assert_eq!(meter.take(&at(SOURCE, 3, 100), after(250)), Due { live: true, ..Due::default() });
        assert!(!meter.take(&at(SOURCE, 4, 100), after(999)).line);
        assert!(meter.take(&at(SOURCE, 5, 100), after(1000)).line);
        assert!(!meter.take(&at(SOURCE, 6, 100), after(1001)).line);
        let next = Activity::BackupPrep { source: "x" };
        assert_eq!(meter.take(&at(next, 0, 100), after(1002)), all, "another activity");
        meter.take(&at(next, 9, 100), after(1003));
        assert_eq!(meter.take(&at(next, 1, 100), after(1004)), all, "the same activity anew");
    }

    #[test]
    fn a_job_of_days_writes_some_two_hundred_lines() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let (mut lines, mut titles) = (0, 0);
        for second in 0..=200_000 {
            let report = Progress { total: 1_000_000, ..at(SOURCE, second * 5, 0) };
            let due = meter.take(&report, start + Duration::from_secs(second));
            lines += u64::from(due.line);
            titles += u64::from(due.title);
        }
        assert_eq!((lines, titles), (201, 200_001));
    }

    #[test]
    fn the_pace_ignores_blocks_done_before() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.pace(&at(SOURCE, 10, 100), start), Pace::default());
        meter.take(&at(SOURCE, 10, 100), start);
        assert_eq!(meter.pace(&at(SOURCE, 10, 100), start), Pace::default());
        let later = start + Duration::from_secs(4);
        assert_eq!(meter.pace(&at(SOURCE, 30, 100), later), Pace { rate: 20.0, eta: 14 });
        assert_eq!(meter.pace(&at(SOURCE, 10, 100), later), Pace::default());
    }
}
