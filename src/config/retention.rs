//! The retention rules: `[retention]`, `[retention:PATTERN]`, and the same keys in other sections.

use super::raw::Raw;
use super::values::Keys;
use crate::types::retention::{KeepRules, Retention, Rule, UNLIMITED};
use crate::types::{Error, Result};

/// The section with the rules for all names that have no other rules.
pub(super) const SECTION: &str = "retention";
/// The keys of the rules.
pub(super) const KEYS: &[&str] =
    &["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within"];

/// The pattern in the name of a section `[retention:PATTERN]`.
pub(super) fn pattern(section: &str) -> Option<&str> {
    section.strip_prefix(SECTION)?.strip_prefix(':')
}

/// The rules of all sections, in the order of the files.
pub(super) fn settings(raw: &Raw) -> Result<Retention> {
    let mut patterns = Vec::new();
    for section in &raw.sections {
        let Some(pattern) = pattern(&section.name) else { continue };
        if pattern.is_empty() {
            return Err(Error::config(format!(
                "{}: [{}] has no pattern after the colon. Rules for all names belong to [{SECTION}].",
                section.place, section.name
            )));
        }
        if pattern.trim() != pattern {
            return Err(Error::config(format!(
                "{}: [{}] has a blank at the beginning or the end of its pattern.",
                section.place, section.name
            )));
        }
        patterns.push((pattern.to_owned(), rules(Keys::new(raw, &section.name))?));
    }
    Ok(Retention { patterns, others: rules(Keys::new(raw, SECTION))? })
}

/// The rules in one section of any kind.
pub(super) fn rules(keys: Keys) -> Result<KeepRules> {
    let mut rules = KeepRules::default();
    for (rule, key) in Rule::ALL.into_iter().zip(KEYS) {
        rules = rules.with(rule, keys.count(key)?);
    }
    if let Some((text, value)) = keys.text("keep_within")? {
        let problem = "is not a time such as 2y5m7d3h: numbers of years, months, days and hours";
        rules.within = Some(text.parse().map_err(|()| keys.bad("keep_within", value, problem))?);
    }
    Ok(rules)
}

impl Keys<'_> {
    /// A number of versions, or `unlimited`. The default is 0.
    fn count(&self, key: &str) -> Result<u64> {
        match self.text(key) {
            Ok(Some((text, _))) if text == UNLIMITED => Ok(u64::MAX),
            Ok(Some((_, value))) => self.number(key, 0..=u64::MAX, 0).map_err(|_| {
                self.bad(key, value, format!("is not a whole number, 0 or more, or {UNLIMITED}"))
            }),
            _ => self.number(key, 0..=u64::MAX, 0),
        }
    }
}
