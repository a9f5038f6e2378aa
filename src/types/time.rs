//! Points in time as the database holds them: naive UTC.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta, Utc};
use std::fmt;

/// A point in time in UTC, with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NaiveDateTime);

impl Timestamp {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        Timestamp(Utc::now().naive_utc())
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
            .map(Timestamp)
    }

    /// `YYYYmmddTHHMMSS`, the form in names, of `seconds` later.
    pub fn compact(&self, seconds: i64) -> String {
        (self.0 + TimeDelta::seconds(seconds)).format("%Y%m%dT%H%M%S").to_string()
    }

    /// `YYYY-MM-DD HH:MM:SS.ffffff`, the form in the database.
    pub fn to_database(&self) -> String {
        self.0.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
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
}
