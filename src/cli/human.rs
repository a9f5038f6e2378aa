//! Sizes (`-r`) and ages for people.

use std::time::Duration;

/// The units, each 1024 times the one before.
pub(super) const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Formats `bytes` with a unit and without decimals: `524 MiB`, `10 B`, `0`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    let mut number = bytes as f64;
    let mut unit = 0;
    // 1024 of a unit are shown as 1 of the next one.
    while number.round_ties_even() >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.0} {}", UNITS[unit])
}

/// Formats an age in whole units: `45 s`, `7 min`, `23 h`, `2 d`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        // Two days are a better unit for the age of a backup than one.
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Formats a duration: `12 s`, `3 min`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_whole_units() {
        for (bytes, shown) in [
            (0, "0"),
            (1, "1 B"),
            (10, "10 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1_986_355, "2 MiB"),
            (5_120_000, "5 MiB"),
            (10_000_001, "10 MiB"),
            (20_971_520, "20 MiB"),
            (41_943_040, "40 MiB"),
            (67_108_864, "64 MiB"),
            (524 << 20, "524 MiB"),
            ((1 << 20) - 1, "1 MiB"),
            (2560, "2 KiB"),
            (3 << 30, "3 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }
    #[test]
    fn ages_are_rounded_down_to_whole_units() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (86_400, "24 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
            (u64::MAX, "213503982334601 d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), shown, "{seconds}");
        }
    }

    #[test]
    fn durations_have_one_or_two_units() {
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7500, "2 h 5 min")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
