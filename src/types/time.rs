//! Points in time, in UTC without a time zone, as the database holds them.

use super::error::{Error, Result};
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds that a date may be ahead of the clock before it counts as wrong. The clocks of hosts that share a database
/// differ a little.
const SKEW: i64 = 300;

/// A point in time in UTC, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// The current time of the system's clock. The clock may be wrong, even before 1970.
    pub fn now() -> Self {
        Timestamp::from_system(SystemTime::now())
    }

    /// Converts from the system's type. A time outside the range of a database date becomes the first or last date of
    /// that range.
    pub fn from_system(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = since_epoch(time);
        let found = DateTime::from_timestamp(seconds, nanoseconds).map(|time| time.naive_utc());
        Timestamp(found.unwrap_or(if seconds < 0 { Self::first() } else { Self::last() })).within()
    }

    /// Converts to the system's type.
    pub fn system(&self) -> SystemTime {
        let utc = self.0.and_utc();
        let seconds = Duration::from_secs(utc.timestamp().unsigned_abs());
        let whole = if utc.timestamp() < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
        whole + Duration::from_nanos(u64::from(utc.timestamp_subsec_nanos()))
    }

    /// The earliest possible date.
    pub fn beginning() -> Self {
        Timestamp(Self::first())
    }

    /// The first moment of the year 1. Python's datetime, which 2.13 uses, holds nothing earlier.
    fn first() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default().into()
    }

    /// The beginning of the last day of the year 9999.
    fn last() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default().into()
    }

    fn within(self) -> Self {
        Timestamp(self.0.clamp(Self::first(), Self::last()))
    }

    /// The time `by` later (earlier if negative), limited to the range of a database date.
    pub fn after(&self, by: TimeDelta) -> Self {
        let end = if by < TimeDelta::zero() { Self::first() } else { Self::last() };
        Timestamp(self.0.checked_add_signed(by).unwrap_or(end)).within()
    }

    /// The time from `earlier` to this; negative if `earlier` is later.
    pub fn since(&self, earlier: Timestamp) -> TimeDelta {
        self.0.signed_duration_since(earlier.0)
    }

    /// Whether this is so far ahead of `now` that a clock must be or have been wrong.
    pub fn is_future(&self, now: Timestamp) -> bool {
        *self > now.latest_plausible()
    }

    /// The latest date that does not count as in the future, if this is the current time.
    pub fn latest_plausible(&self) -> Self {
        self.after(TimeDelta::seconds(SKEW))
    }

    /// This time in the local time zone.
    pub fn local(&self) -> DateTime<Local> {
        DateTime::<Local>::from(self.0.and_utc())
    }

    /// Converts from chrono's type, taken as UTC.
    pub fn from_naive(value: NaiveDateTime) -> Self {
        Timestamp(value)
    }

    /// Converts to chrono's type, in UTC.
    pub fn naive(&self) -> NaiveDateTime {
        self.0
    }

    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub fn unix(&self) -> i64 {
        self.0.and_utc().timestamp()
    }

    /// Converts from seconds since 1970-01-01 00:00:00 UTC. A time outside the range of a database date becomes the
    /// first or last date of that range.
    pub fn from_unix(seconds: i64) -> Self {
        Timestamp::default().after(TimeDelta::try_seconds(seconds).unwrap_or(if seconds < 0 {
            TimeDelta::MIN
        } else {
            TimeDelta::MAX
        }))
    }

    /// Parses a date from a database or an export of any release: `YYYY-MM-DD`, optionally followed by ` HH:MM:SS` or
    /// `THH:MM:SS`, with or without a fraction. Returns `None` for other text.
    pub fn parse(text: &str) -> Option<Self> {
        const WITH_TIME: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
        WITH_TIME
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .or_else(|| {
                let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
                date.and_hms_opt(0, 0, 0)
            })
            .map(without_leap_second)
            .map(Timestamp)
    }

    /// The time `seconds` later as `YYYYmmddTHHMMSS`, the form used in names.
    pub fn compact(&self, seconds: i64) -> String {
        self.after(TimeDelta::seconds(seconds)).0.format("%Y%m%dT%H%M%S").to_string()
    }

    /// This time as `YYYY-MM-DD HH:MM:SS.ffffff`, the form used in the database.
    pub fn to_database(&self) -> String {
        self.0.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }
}

/// Seconds since 1970, negative before it, and nanoseconds since that second.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let until = before.duration();
            let seconds = i64::try_from(until.as_secs()).unwrap_or(i64::MAX);
            match until.subsec_nanos() {
                0 => (-seconds, 0),
                part => (-seconds - 1, 1_000_000_000 - part),
            }
        }
    }
}

/// Turns a leap second such as `23:59:60` into the second after it, because Python's datetime cannot hold leap
/// seconds.
fn without_leap_second(time: NaiveDateTime) -> NaiveDateTime {
    const SECOND: u32 = 1_000_000_000;
    let Some(part) = time.nanosecond().checked_sub(SECOND) else { return time };
    let whole = time.with_nanosecond(part).unwrap_or(time);
    whole.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(whole)
}

/// Refuses a clock before 1970, because certificates and signatures cannot be checked with it. Call this before
/// connecting to a server. Everything else works with such a clock.
///
/// # Errors
/// [`Error::Refused`]: the system's clock is before 1970.
pub fn check_clock() -> Result<()> {
    if SystemTime::now() < UNIX_EPOCH {
        Err(Error::refused(format!(
            "The system's clock says {} (UTC), which is before 1970: servers do not accept connections with \
             that date. Set the clock and try again.",
            Timestamp::now()
        )))
    } else {
        Ok(())
    }
}

/// Formats as `YYYY-MM-DD HH:MM:SS`, the form used in tables.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d %H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_date_is_read() {
        for (text, database) in [
            ("2020-04-20", "2020-04-20 00:00:00.000000"),
            ("2020-04-20 01:02:03", "2020-04-20 01:02:03.000000"),
            ("2020-04-20T01:02:03", "2020-04-20 01:02:03.000000"),
            ("2020-04-20 01:02:03.000405", "2020-04-20 01:02:03.000405"),
        ] {
            let time = Timestamp::parse(text).expect(text);
            assert_eq!(time.to_database(), database);
        }
        for text in ["", "02.01.2030", "2030-13-45", "2030-01-02 25:00:00", "now"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        for (text, database) in [
            ("2016-12-31 23:59:60", "2017-01-01 00:00:00.000000"),
            ("2016-12-31 23:59:60.250000", "2017-01-01 00:00:00.250000"),
            ("2016-12-31 23:59:59.999999", "2016-12-31 23:59:59.999999"),
        ] {
            assert_eq!(Timestamp::parse(text).expect(text).to_database(), database);
        }
    }

    #[test]
    fn every_moment_of_the_systems_clock_is_a_date() {
        let second = |n: u64| Duration::from_secs(n);
        for (time, database) in [
            (UNIX_EPOCH, "1970-01-01 00:00:00.000000"),
            (UNIX_EPOCH - second(1), "1969-12-31 23:59:59.000000"),
            (UNIX_EPOCH - Duration::from_millis(250), "1969-12-31 23:59:59.750000"),
            (UNIX_EPOCH - second(86_400 * 366), "1968-12-31 00:00:00.000000"),
            (UNIX_EPOCH + second(1 << 31), "2038-01-19 03:14:08.000000"),
            // These years are outside the range of a database date.
            (UNIX_EPOCH - second(1 << 40), "0001-01-01 00:00:00.000000"),
            (UNIX_EPOCH + second(1 << 40), "9999-12-31 00:00:00.000000"),
            (UNIX_EPOCH + second(1 << 60), "9999-12-31 00:00:00.000000"),
        ] {
            let found = Timestamp::from_system(time);
            assert_eq!(found.to_database(), database);
            let inside = (2..9999).contains(&chrono::Datelike::year(&found.naive()));
            assert!(!inside || found.system() == time, "{database}");
        }
    }

    #[test]
    fn sums_stay_within_the_years_that_a_date_can_have() {
        let at = |text: &str| Timestamp::parse(text).expect(text);
        for by in [TimeDelta::MAX, TimeDelta::MIN, TimeDelta::days(4_000_000), TimeDelta::days(-4_000_000)] {
            for time in ["0001-01-01", "1969-12-31 23:59:59", "2026-03-29 01:30:00", "9999-12-31 23:59:59"] {
                let sum = at(time).after(by).to_database();
                assert_eq!(&sum[..10], if by < TimeDelta::zero() { "0001-01-01" } else { "9999-12-31" });
            }
        }
        assert_eq!(at("9999-12-31").compact(200_000), "99991231T000000");
        let (first, last) = (at("0001-01-01"), at("9999-12-31"));
        assert!(last.since(first) > TimeDelta::zero() && first.since(last) < TimeDelta::zero());
        assert!(last.is_future(first) && !first.is_future(last) && !first.is_future(first));
        let now = at("2026-03-01 12:00:00");
        assert!(!at("2026-03-01 12:05:00").is_future(now) && at("2026-03-01 12:05:01").is_future(now));
    }

    #[test]
    fn extreme_dates_have_local_days() {
        for text in ["0001-01-01", "1583-01-01", "1969-12-31 23:59:59", "2026-10-25 01:30:00", "9999-12-31"] {
            let at = Timestamp::parse(text).expect(text);
            let apart = at.local().naive_local().signed_duration_since(at.naive());
            assert!(apart.num_hours().abs() <= 26, "{text}: {apart}");
        }
    }
}
