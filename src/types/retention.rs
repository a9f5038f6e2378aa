//! Retention rules: the versions of a name that should stay.

use super::pattern;
use super::time::Timestamp;
use chrono::{Days, LocalResult, Months, TimeDelta, TimeZone};
use std::fmt;
use std::str::FromStr;

/// A rule that keeps a number of versions: the newest ones, or the newest one of each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The newest versions.
    Last,
    /// The newest version of each hour.
    Hourly,
    /// The newest version of each day.
    Daily,
    /// The newest version of each week, from Monday to Sunday.
    Weekly,
    /// The newest version of each month.
    Monthly,
    /// The newest version of each year.
    Yearly,
}

impl Rule {
    /// All rules, from the shortest period to the longest.
    pub const ALL: [Rule; 6] =
        [Rule::Last, Rule::Hourly, Rule::Daily, Rule::Weekly, Rule::Monthly, Rule::Yearly];

    /// The name, as in the keys of the configuration after `keep_`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Last => "last",
            Rule::Hourly => "hourly",
            Rule::Daily => "daily",
            Rule::Weekly => "weekly",
            Rule::Monthly => "monthly",
            Rule::Yearly => "yearly",
        }
    }
}

/// The rules for one name. A version stays if any of them keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    counts: [u64; Rule::ALL.len()],
    /// Keeps all versions that are at most this much older than the newest one.
    pub within: Option<Span>,
}

impl KeepRules {
    /// The same rules, with `rule` keeping `count` versions. 0 switches the rule off, and `u64::MAX` means that there is
    /// no limit.
    pub fn with(mut self, rule: Rule, count: u64) -> Self {
        self.counts[rule as usize] = count;
        self
    }

    /// The number of versions that `rule` keeps.
    pub fn count(&self, rule: Rule) -> u64 {
        self.counts[rule as usize]
    }

    /// Rules that keep whatever these rules or `other` keep.
    pub fn or(mut self, other: KeepRules) -> Self {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = (*count).max(other);
        }
        self.within = match (self.within, other.within) {
            (Some(one), Some(other)) => Some(one.or(other)),
            (one, other) => one.or(other),
        };
        self
    }

    /// Whether there is no rule: then no version has to go.
    pub fn is_empty(&self) -> bool {
        *self == KeepRules::default()
    }
}

/// The number of versions that a rule without a limit keeps, as users write it.
pub const UNLIMITED: &str = "unlimited";

/// Parses the number of versions that a rule keeps: digits, or [`UNLIMITED`].
pub fn parse_count(text: &str) -> Option<u64> {
    if text == UNLIMITED {
        return Some(u64::MAX);
    }
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// A length of time in years, months, days and hours, not 0. Months and years differ in length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

/// The most of each unit in a [`Span`].
const MOST: u32 = 100_000;

impl Span {
    /// A time that is not shorter than this one and `other`, whatever the lengths of the months are.
    fn or(self, other: Span) -> Span {
        Span {
            years: self.years.max(other.years),
            months: self.months.max(other.months),
            days: self.days.max(other.days),
            hours: self.hours.max(other.hours),
        }
    }

    /// The moment that is this much before `end`, by the calendar of `zone`. A day that the month does not have becomes
    /// its last day.
    pub fn before<Z: TimeZone>(&self, end: Timestamp, zone: &Z) -> Timestamp {
        let months = self.years.saturating_mul(12).saturating_add(self.months);
        let local_end = zone.from_utc_datetime(&end.naive()).naive_local();
        let local = local_end.checked_sub_months(Months::new(months));
        let local = local.and_then(|local| local.checked_sub_days(Days::new(self.days.into())));
        let first = Timestamp::beginning();
        let Some(local) = local.filter(|local| *local >= first.naive()) else { return first };
        let moment = match zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
                Timestamp::from_naive(moment.naive_utc())
            }
            // The clock was set forward over this moment.
            LocalResult::None => end.after(local.signed_duration_since(local_end)),
        };
        moment.after(-TimeDelta::hours(self.hours.into()))
    }
}

impl FromStr for Span {
    type Err = ();

    /// Parses numbers with the units `y`, `m` (months), `d` and `h`, each unit at most once: `2y5m7d3h`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut span = Span { years: 0, months: 0, days: 0, hours: 0 };
        let mut seen = String::new();
        for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
            let unit = part.chars().next_back().filter(|c| !c.is_ascii_digit()).ok_or(())?;
            let number = &part[..part.len() - unit.len_utf8()];
            let number = number.parse().ok().filter(|number| *number <= MOST).ok_or(())?;
            let place = match unit {
                'y' => &mut span.years,
                'm' => &mut span.months,
                'd' => &mut span.days,
                'h' => &mut span.hours,
                _ => return Err(()),
            };
            if seen.contains(unit) {
                return Err(());
            }
            seen.push(unit);
            *place = number;
        }
        let zero = Span { years: 0, months: 0, days: 0, hours: 0 };
        if span == zero { Err(()) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

/// The rules for all names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Rules for the names that match a pattern (see [`pattern::matches`]). The first pattern that matches counts.
    pub patterns: Vec<(String, KeepRules)>,
    /// Rules for all other names.
    pub others: KeepRules,
}

impl Retention {
    /// The rules for `name`.
    pub fn of(&self, name: &str) -> KeepRules {
        let found = self.patterns.iter().find(|(pattern, _)| pattern::matches(pattern, name));
        found.map_or(self.others, |(_, rules)| *rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, Utc};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    #[test]
    fn spans_are_read_and_shown() {
        for text in ["2y5m7d3h", "7d", "1h", "12m", "75y", "100000d"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
        assert_eq!("3h7d".parse::<Span>().expect("any order").to_string(), "7d3h");
        for text in
            ["", "d", "7", "7d3", "1w", "0d", "0y0h", "7d7d", "-1d", "1.5d", "7 d", "7D", "100001d", "7é"]
        {
            assert_eq!(text.parse::<Span>(), Err(()), "{text}");
        }
    }

    #[test]
    fn spans_follow_the_calendar() {
        for (span, end, begin) in [
            ("1h", "2026-03-01 00:30:00", "2026-02-28 23:30:00"),
            ("1d", "2028-03-01 00:30:00", "2028-02-29 00:30:00"),
            ("1m", "2026-03-31 12:00:00", "2026-02-28 12:00:00"),
            ("1y", "2028-02-29 12:00:00", "2027-02-28 12:00:00"),
            ("1y1m1d1h", "2026-03-02 02:00:00", "2025-02-01 01:00:00"),
            ("9999y", "2026-03-02 02:00:00", "0001-01-01"),
            ("100000y", "2026-03-02 02:00:00", "0001-01-01"),
        ] {
            let span: Span = span.parse().expect(span);
            assert_eq!(span.before(at(end), &Utc), at(begin), "{span} {end}");
        }
        // In this zone it is already March.
        let east = FixedOffset::east_opt(2 * 3600).expect("a zone");
        let month: Span = "1m".parse().expect("a month");
        assert_eq!(month.before(at("2026-02-28 23:00:00"), &east), at("2026-01-31 23:00:00"));
    }

    #[test]
    fn counts_are_numbers_or_unlimited() {
        for (text, count) in [("0", Some(0)), ("8", Some(8)), ("unlimited", Some(u64::MAX))] {
            assert_eq!(parse_count(text), count, "{text}");
        }
        for text in ["", "-1", "+1", "8 ", "x", "Unlimited", "99999999999999999999"] {
            assert_eq!(parse_count(text), None, "{text}");
        }
    }

    #[test]
    fn rules_are_joined_so_that_both_are_kept() {
        let rules = |text: &str| KeepRules { within: text.parse().ok(), ..KeepRules::default() };
        let joined = rules("1m2d").with(Rule::Daily, 3).with(Rule::Last, 9);
        let joined = joined.or(rules("30d").with(Rule::Daily, 8).with(Rule::Yearly, u64::MAX));
        assert_eq!([Rule::Last, Rule::Daily, Rule::Yearly].map(|rule| joined.count(rule)), [9, 8, u64::MAX]);
        assert_eq!(joined.within.map(|span| span.to_string()), Some("1m30d".to_owned()));
        assert_eq!(rules("").or(rules("3d")), rules("3d"));
    }

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let last = |count| KeepRules::default().with(Rule::Last, count);
        let patterns =
            vec![("vm1".to_owned(), last(1)), ("vm*".to_owned(), last(2)), ("*1".to_owned(), last(3))];
        let retention = Retention { patterns, others: last(4) };
        for (name, count) in [("vm1", 1), ("vm2", 2), ("vm11", 2), ("db1", 3), ("db2", 4)] {
            assert_eq!(retention.of(name).count(Rule::Last), count, "{name}");
        }
        assert!(Retention::default().of("vm1").is_empty());
    }
}
