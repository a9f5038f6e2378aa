//! Points in time as the database holds them: naive UTC.

use super::error::{Error, Result};
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a date may be ahead of the clock, in seconds, without anything being wrong: hosts that share a database differ
/// a little.
const SKEW: i64 = 300;

/// A point in time in UTC, with microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// Now, by the system's clock, which may be anywhere: before 1970 as well.
    pub fn now() -> Self {
        Timestamp::from_system(SystemTime::now())
    }

    /// From the system's type. What a date in the database cannot hold becomes the first or the last that it can.
    pub fn from_system(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = since_epoch(time);
        let found = DateTime::from_timestamp(seconds, nanoseconds).map(|time| time.naive_utc());
        Timestamp(found.unwrap_or(if seconds < 0 { Self::first() } else { Self::last() })).within()
    }

    /// As the system's type.
    pub fn system(&self) -> SystemTime {
        let utc = self.0.and_utc();
        let seconds = Duration::from_secs(utc.timestamp().unsigned_abs());
        let whole = if utc.timestamp() < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
        whole + Duration::from_nanos(u64::from(utc.timestamp_subsec_nanos()))
    }

    /// The earliest of all.
    pub fn beginning() -> Self {
        Timestamp(Self::first())
    }

    /// The first moment of the year 1: what Python's datetime, and so 2.13, can hold.
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

    /// The moment so much later, or earlier; within the years that a date in the database can have.
    pub fn after(&self, by: TimeDelta) -> Self {
        let end = if by < TimeDelta::zero() { Self::first() } else { Self::last() };
        Timestamp(self.0.checked_add_signed(by).unwrap_or(end)).within()
    }

    /// How much later this is than `earlier`; negative if it is not.
    pub fn since(&self, earlier: Timestamp) -> TimeDelta {
        self.0.signed_duration_since(earlier.0)
    }

    /// Whether it is so far ahead of `now` that some clock was or is wrong.
    pub fn is_future(&self, now: Timestamp) -> bool {
        *self > now.latest_plausible()
    }

    /// If this is now, the latest date that is not in the future.
    pub fn latest_plausible(&self) -> Self {
        self.after(TimeDelta::seconds(SKEW))
    }

    /// In the time zone of the administrator.
    pub fn local(&self) -> DateTime<Local> {
        DateTime::<Local>::from(self.0.and_utc())
    }

    /// From chrono's type, taken as UTC.
    pub fn from_naive(value: NaiveDateTime) -> Self {
        Timestamp(value)
    }

    /// As chrono's type, in UTC.
    pub fn naive(&self) -> NaiveDateTime {
        self.0
    }

    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub fn unix(&self) -> i64 {
        self.0.and_utc().timestamp()
    }

    /// From seconds since 1970-01-01 00:00:00 UTC. What a date in the database cannot hold becomes the first or the last
    /// that it can.
    pub fn from_unix(seconds: i64) -> Self {
        Timestamp::default().after(TimeDelta::try_seconds(seconds).unwrap_or(match seconds < 0 {
            true => TimeDelta::MIN,
            false => TimeDelta::MAX,
        }))
    }

    /// Reads what any release has put into a database or into an export: `YYYY-MM-DD`, or that with
    /// ` HH:MM:SS` or `THH:MM:SS`, with or without a fraction.
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

    /// `YYYYmmddTHHMMSS`, the form in names, of `seconds` later.
    pub fn compact(&self, seconds: i64) -> String {
        self.after(TimeDelta::seconds(seconds)).0.format("%Y%m%dT%H%M%S").to_string()
    }

    /// `YYYY-MM-DD HH:MM:SS.ffffff`, the form in the database.
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

/// `23:59:60` is the second after it, which Python's datetime can hold.
fn without_leap_second(time: NaiveDateTime) -> NaiveDateTime {
    const SECOND: u32 = 1_000_000_000;
    let Some(part) = time.nanosecond().checked_sub(SECOND) else { return time };
    let whole = time.with_nanosecond(part).unwrap_or(time);
    whole.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(whole)
}

/// Refuses a clock that certificates and signatures cannot be checked with. For connections; all else works.
///
/// # Errors
/// [`Error::Refused`]: the system's clock is before 1970.
pub fn check_clock() -> Result<()> {
    match SystemTime::now() < UNIX_EPOCH {
        false => Ok(()),
        true => Err(Error::Refused(format!(
            "The system's clock says {} (UTC), which is before 1970: servers do not accept connections with \
             that date. Set the clock and try again.",
            Timestamp::now()
        ))),
    }
}

/// `YYYY-MM-DD HH:MM:SS`, the form in tables.
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
            // Years that no date in the database can have.
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
