//! The automatic tags of a backup.

use super::Site;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use chrono::{Datelike, NaiveDate};

/// The automatic tags for a version of `name` made at `now`. Versions dated in the future do not count.
///
/// # Errors
/// The database fails.
pub(crate) fn automatic(site: &mut Site<'_>, name: &str, now: Timestamp) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for (tag, is_due) in [("b_daily", daily as Rule), ("b_weekly", weekly), ("b_monthly", monthly)] {
        let last = site.meta.last_tagged(name, tag, now.latest_plausible())?;
        if last.is_none_or(|last| is_due(local_day(last), local_day(now))) {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

/// Whether a tag is due `today` if the last version with that tag was made on `last`.
type Rule = fn(last: NaiveDate, today: NaiveDate) -> bool;

/// The date in the local time zone of the administrator.
fn local_day(time: Timestamp) -> NaiveDate {
    time.local().date_naive()
}

fn daily(last: NaiveDate, today: NaiveDate) -> bool {
    last < today
}

fn weekly(last: NaiveDate, today: NaiveDate) -> bool {
    (today - last).num_days() >= 7
}

/// Counts whole calendar months: from 31 January to 28 February it is less than one.
fn monthly(last: NaiveDate, today: NaiveDate) -> bool {
    let month = |day: NaiveDate| day.year() * 12 + day.month0() as i32;
    let passed = month(today) - month(last);
    passed > 1 || (passed == 1 && today.day() >= last.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_count_calendar_days_and_months() {
        let day = |text: &str| text.parse::<NaiveDate>().expect(text);
        let due = |rule: Rule, last: &str, today: &str| rule(day(last), day(today));
        assert!(!due(daily, "2026-03-05", "2026-03-05") && due(daily, "2026-03-05", "2026-03-06"));
        assert!(!due(weekly, "2026-03-05", "2026-03-11") && due(weekly, "2026-03-05", "2026-03-12"));
        for (last, today, want) in [
            ("2026-01-31", "2026-02-28", false),
            ("2026-01-31", "2026-03-01", true),
            ("2026-01-28", "2026-02-28", true),
            ("2026-01-15", "2026-02-14", false),
            ("2025-12-15", "2026-01-15", true),
            ("2025-12-15", "2026-01-14", false),
            ("2024-02-29", "2025-02-28", true),
        ] {
            assert_eq!(due(monthly, last, today), want, "{last} {today}");
        }
        let ends = ["0001-01-01", "1969-12-31", "2026-03-29", "9999-12-31"];
        for (rule, (early, late)) in
            [daily as Rule, weekly, monthly].into_iter().zip(ends.iter().zip(&ends[1..]))
        {
            assert!(due(rule, early, late) && !due(rule, late, early), "{early} {late}");
        }
        for rule in [daily as Rule, weekly, monthly] {
            assert!(!rule(day("2026-06-01"), day("2026-03-05")), "a date in the future gives no tag");
        }
    }
}
