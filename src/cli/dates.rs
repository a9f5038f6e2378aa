//! Dates and numbers in arguments.

use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use chrono::TimeDelta;

/// The expiry date of `-e DATE`, in UTC: a date, or a time from now on, such as `30d`. An empty text means none.
///
/// # Errors
/// [`Error::Config`] with the forms that are accepted; this kind, because a bad date has exit code 1.
pub(crate) fn expire(text: &str) -> Result<Option<Timestamp>> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(moment) = from_now(text, Timestamp::now()) {
        return Ok(Some(moment));
    }
    let moment = if has_form(text) { Timestamp::parse(text) } else { None };
    moment.map(Some).ok_or_else(|| {
        Error::config(format!(
            "'{text}' is not a date. Please give it as YYYY-MM-DD, 'YYYY-MM-DD HH:MM:SS' or \
             YYYY-MM-DDTHH:MM:SS (UTC), or as a time from now on, such as 12h, 30d, 8w or 2y."
        ))
    })
}

/// The time that is a number of hours, days, weeks or years (of 365 days) after `now`. `None` for other text.
fn from_now(text: &str, now: Timestamp) -> Option<Timestamp> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'y' => 365 * 24,
        _ => return None,
    };
    // What is too far away is as good as the end of all dates.
    let number = digits.parse().unwrap_or(i64::MAX).saturating_mul(hours);
    Some(now.after(TimeDelta::try_hours(number).unwrap_or(TimeDelta::MAX)))
}

/// Whether the text has the digits and separators of a date in the right places. The parser accepts more than that, and
/// also the year 0 and leap seconds, which Python's datetime cannot hold.
fn has_form(text: &str) -> bool {
    let text = text.as_bytes();
    let form: &[u8] = match (text.len(), text.get(10)) {
        (10, _) => b"dddd-dd-dd",
        (19, Some(b'T')) => b"dddd-dd-ddTdd:dd:dd",
        (19, _) => b"dddd-dd-dd dd:dd:dd",
        _ => return false,
    };
    let fits = |(c, f): (&u8, &u8)| if *f == b'd' { c.is_ascii_digit() } else { c == f };
    text.iter().zip(form).all(fits) && &text[..4] != b"0000" && text.get(17) != Some(&b'6')
}

/// The whole number in the value of an option.
///
/// # Errors
/// [`Error::Refused`] with the option's name, if it is no whole number or is greater than `max`.
pub(crate) fn number(option: &str, text: &str, max: u64) -> Result<u64> {
    let number = text.trim().parse().ok().filter(|number| *number <= max);
    number.ok_or_else(|| {
        let range = if max == u64::MAX { "0 or more".to_owned() } else { format!("0 to {max}") };
        Error::refused(format!("{option}: '{text}' is not a whole number ({range})."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_of_a_date_are_read() {
        for (text, shown) in [
            ("2030-01-02", "2030-01-02 00:00:00"),
            ("2030-01-02 03:04:05", "2030-01-02 03:04:05"),
            ("2030-01-02T03:04:05", "2030-01-02 03:04:05"),
            ("2001-01-01", "2001-01-01 00:00:00"),
            ("2028-02-29", "2028-02-29 00:00:00"),
            ("0001-01-01", "0001-01-01 00:00:00"),
            ("1969-12-31 23:59:59", "1969-12-31 23:59:59"),
            ("9999-12-31T23:59:59", "9999-12-31 23:59:59"),
        ] {
            let moment = expire(text).expect(text).expect("a date");
            assert_eq!(moment.to_string(), shown);
        }
        assert_eq!(expire("").expect("none"), None);
    }

    #[test]
    fn times_from_now_on_are_dates() {
        let now = Timestamp::parse("2026-11-28 12:00:00").expect("a date");
        for (text, shown) in [
            ("12h", "2026-11-29 00:00:00"),
            ("30d", "2026-12-28 12:00:00"),
            ("0d", "2026-11-28 12:00:00"),
            ("1w", "2026-12-05 12:00:00"),
            ("2y", "2028-11-27 12:00:00"),
            ("99999999999999999999d", "9999-12-31 00:00:00"),
        ] {
            assert_eq!(from_now(text, now).expect(text).to_string(), shown, "{text}");
        }
        for text in ["d", "", "30", "-1d", "1.5d", "30 d", "3m", "30dd", "２d", "d30"] {
            assert_eq!(from_now(text, now), None, "{text}");
        }
        let soon = expire("1h").expect("read").expect("a date");
        assert!(soon > Timestamp::now());
    }

    #[test]
    fn other_dates_are_refused() {
        for text in [
            "02.01.2030",
            "2030-13-45",
            "2030-02-29",
            "2030-1-2",
            "2030-01-02 03:04",
            "2030-01-02 03:04:05.5",
            "2030-01-02 03:04:60",
            "2030-01-02_03:04:05",
            "2030-01-02 25:00:00",
            "+2030-01-2",
            "0000-01-01",
            "10000-01-01",
            "2027-02-29",
            "1900-02-29",
            "tomorrow",
            " ",
            "２０３０-01-02",
        ] {
            match expire(text) {
                Err(Error::Config(said)) => {
                    assert!(
                        said.line().contains(text) && said.line().contains("YYYY-MM-DDTHH:MM:SS"),
                        "{said}"
                    );
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(number("-p", "100", 100).expect("a number"), 100);
        assert_eq!(number("-c", " 7 ", u64::MAX).expect("a number"), 7);
        for text in ["x", "", "-1", "101", "1.5", "99999999999999999999999"] {
            match number("-p/--percentile", text, 100) {
                Err(Error::Refused(said)) => assert!(said.line().contains("-p/--percentile: '"), "{said}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let huge = number("-c", "99999999999999999999999", u64::MAX).expect_err("too large").to_string();
        assert!(huge.contains("0 or more"), "{huge}");
    }
}
