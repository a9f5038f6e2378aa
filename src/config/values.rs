//! Typed values. Each error names file, line, section, key and, unless it is secret, the value.

use super::interpolate::{Problem, expand};
use super::mask::{SECRET, shown};
use super::raw::{INHERITED, Raw, Section, Value, ValueKind};
use crate::types::settings::FileMode;
use crate::types::{Error, Result};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The keys of a section, including inherited ones.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    raw: &'a Raw,
    section: Option<&'a Section>,
    inherited: Option<&'a Section>,
}

impl<'a> Keys<'a> {
    /// The keys of the section `name`. Empty if there is no such section.
    pub(super) fn new(raw: &'a Raw, name: &str) -> Self {
        let section = raw.section(name);
        Keys { raw, section, inherited: section.and_then(|_| raw.section(INHERITED)) }
    }

    /// The value of `key` as it is in the file.
    pub(super) fn find(&self, key: &str) -> Option<&'a Value> {
        let own = self.section.and_then(|section| section.get(key));
        own.or_else(|| self.inherited.and_then(|section| section.get(key)))
    }

    /// An error about the value of `key`. `problem` continues the sentence after the value.
    pub(super) fn bad(&self, key: &str, value: &Value, problem: impl Display) -> Error {
        let value_shown = shown(key, &value.text);
        let comment = if has_comment(value) {
            " (a value cannot be followed by a comment: put the comment on a line of its own)"
        } else {
            ""
        };
        self.error(key, value, format!("{value_shown} {problem}{comment}"))
    }

    /// An error about `key` that does not show its value.
    fn error(&self, key: &str, value: &Value, problem: impl Display) -> Error {
        let section = self.section.map_or("", |section| section.name.as_str());
        Error::config(format!("{}: [{section}] {key}: {problem}.", value.place))
    }

    /// The value of `key` with its references expanded.
    fn expanded(&self, key: &str) -> Result<Option<(String, &'a Value)>> {
        let Some(value) = self.find(key) else { return Ok(None) };
        let text = expand(value, &|name| self.find(name)).map_err(|problem| {
            // Part of a password may look like the name of a key.
            let secret = key == "engine" || SECRET.contains(&key);
            let text = match problem {
                Problem::Percent => {
                    "a % must be written as %% (or begin a reference, as in %(name)s)".to_owned()
                }
                Problem::Unclosed => "a reference must read %(name)s".to_owned(),
                Problem::Missing(name) if !secret => {
                    format!("%({name})s refers to a key that is not in this section")
                }
                Problem::Missing(_) => "a %(name)s refers to a key that is not in this section".to_owned(),
                Problem::Depth => "references are nested more than 10 deep, or in a circle".to_owned(),
                Problem::Length => "the references make too long a value".to_owned(),
            };
            self.error(key, value, text)
        })?;
        Ok(Some((text, value)))
    }

    /// A string on one line, not empty. In TOML it must be a string.
    pub(super) fn text(&self, key: &str) -> Result<Option<(String, &'a Value)>> {
        let Some((text, value)) = self.lines(key)? else { return Ok(None) };
        if text.contains(['\n', '\r', '\0']) {
            return Err(self.bad(key, value, "is longer than one line (indented lines continue it)"));
        }
        Ok(Some((text, value)))
    }

    /// Commands for a shell, on any number of lines, not empty. In TOML they must be a string.
    pub(super) fn script(&self, key: &str) -> Result<Option<String>> {
        let Some((text, value)) = self.lines(key)? else { return Ok(None) };
        if text.contains('\0') {
            return Err(self.bad(key, value, "contains a NUL character"));
        }
        Ok(Some(text.trim().to_owned()))
    }

    /// A string on any number of lines, not blank.
    fn lines(&self, key: &str) -> Result<Option<(String, &'a Value)>> {
        let Some((text, value)) = self.expanded(key)? else { return Ok(None) };
        if !matches!(value.kind, ValueKind::Ini | ValueKind::Text) {
            return Err(self.bad(key, value, "is not a string (in quotes)"));
        }
        if text.is_empty() {
            return Err(self.error(key, value, "the value is empty"));
        }
        Ok(Some((text, value)))
    }

    /// Words separated by white space, on any number of lines. In TOML a list of strings, or a string.
    pub(super) fn words(&self, key: &str) -> Result<Option<(Vec<String>, &'a Value)>> {
        let Some((text, value)) = self.expanded(key)? else { return Ok(None) };
        if !matches!(value.kind, ValueKind::Ini | ValueKind::Text | ValueKind::List) {
            return Err(self.bad(key, value, "is not a list of strings"));
        }
        Ok(Some((text.split_whitespace().map(str::to_owned).collect(), value)))
    }

    /// A path, taken literally: `~` is an ordinary character.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        Ok(self.text(key)?.map(|(text, value)| self.located(value, &text)))
    }

    /// `path`, which is from `value`, as seen from the current folder.
    pub(super) fn located(&self, value: &Value, path: &str) -> PathBuf {
        // Joined with a folder, an absolute path stays as it is.
        self.raw.folder_of(&value.place.file).map_or_else(|| path.into(), |folder| folder.join(path))
    }

    /// A whole number in `range`. A range up to `u64::MAX` counts as open.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64> {
        let Some((text, value)) = self.expanded(key)? else { return Ok(default) };
        let typed = !matches!(value.kind, ValueKind::Boolean | ValueKind::List);
        match parse_number(&text) {
            Some(number) if typed && range.contains(&number) => Ok(number),
            _ if *range.end() == u64::MAX => {
                Err(self.bad(key, value, format!("is not a whole number, {} or more", range.start())))
            }
            _ => {
                let (start, end) = range.into_inner();
                Err(self.bad(key, value, format!("is not a whole number from {start} to {end}")))
            }
        }
    }

    /// 1, yes, true, on or 0, no, false, off, in upper or lower case.
    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        let Some((text, value)) = self.expanded(key)? else { return Ok(default) };
        match text.to_lowercase().as_str() {
            "1" | "yes" | "true" | "on" if value.kind != ValueKind::List => Ok(true),
            "0" | "no" | "false" | "off" if value.kind != ValueKind::List => Ok(false),
            _ => Err(self.bad(key, value, "is not one of 1, yes, true, on, 0, no, false, off")),
        }
    }

    /// Permissions as octal digits. In TOML they must be a string: a decimal number would mean something else.
    pub(super) fn file_mode(&self, key: &str) -> Result<FileMode> {
        let Some((text, value)) = self.expanded(key)? else { return Ok(FileMode::default()) };
        match value.kind {
            ValueKind::Ini | ValueKind::Text => {
                FileMode::parse(&text).map_err(|problem| self.bad(key, value, problem))
            }
            _ => Err(self.bad(key, value, "is not a string (in quotes) with an octal number such as 0600")),
        }
    }

    /// One of `choices`, by its name.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], default: T) -> Result<T> {
        let Some((text, value)) = self.text(key)? else { return Ok(default) };
        choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.bad(key, value, format!("is not one of {}", names.join(", ")))
        })
    }

    /// A duration from `min` up to a hundred years.
    pub(super) fn time(&self, key: &str, min: Duration) -> Result<Option<Duration>> {
        let Some((text, value)) = self.text(key)? else { return Ok(None) };
        match parse_time(&text) {
            Some(time) if (min..=MAX_TIME).contains(&time) => Ok(Some(time)),
            Some(time) if time < min => Err(self.bad(key, value, "is too short a time")),
            Some(_) => Err(self.bad(key, value, "is longer than 36500d")),
            None => Err(self.bad(
                key,
                value,
                "is not a time: a whole number and s, m, h or d, for example 6h or 1d",
            )),
        }
    }
}

/// A hundred years, so that sums with dates cannot overflow.
const MAX_TIME: Duration = Duration::from_secs(36_500 * 86_400);

/// Parses as Python's `int` does, for numbers that are not negative: accepts surrounding blanks, a plus sign, and
/// single underscores between the digits.
fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|c| c.is_ascii_digit())) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

fn parse_time(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = parse_number(text.strip_suffix(unit)?)?;
    Some(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Whether there seems to be a comment after the value. INI has no such comments.
pub(super) fn has_comment(value: &Value) -> bool {
    let starts_comment =
        |(at, _): (usize, &str)| value.text[..at].chars().next_back().is_none_or(char::is_whitespace);
    value.kind == ValueKind::Ini && value.text.match_indices('#').any(starts_comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            (" 4_194_304\n", Some(4_194_304)),
            ("+007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+-1", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1 0", None),
            ("0x10", None),
            ("1.0", None),
            ("4M", None),
            ("٣", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("15s", Some(15)),
            ("15m", Some(900)),
            ("6h", Some(21_600)),
            ("30d", Some(2_592_000)),
            ("1 d", Some(86_400)),
            ("0s", Some(0)),
            ("18446744073709551615d", Some(u64::MAX)),
            ("", None),
            ("d", None),
            ("1", None),
            ("1w", None),
            ("1D", None),
            ("1.5h", None),
            ("-1h", None),
            ("1h30m", None),
            ("1é", None),
        ] {
            assert_eq!(parse_time(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
