//! Finds versions by name. Users may give a name wherever a version is expected, not only a uid.

use super::{Site, future};
use crate::meta::VersionFilter;
use crate::types::error::{Error, Result};
use crate::types::text::line;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;

/// Minimum number of characters of an abbreviated uid.
const PREFIX: usize = 6;
/// Number of candidates that an error lists.
const LISTED: usize = 10;

/// A place to look up versions.
pub(crate) trait Catalogue {
    /// The version with this uid.
    ///
    /// # Errors
    /// [`Error::VersionNotFound`]; the database fails.
    fn version(&mut self, uid: &VersionUid) -> Result<Version>;

    /// The versions that pass `filter`, sorted by name, then date.
    ///
    /// # Errors
    /// The database fails.
    fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>>;

    /// Prints lines that the user must not miss.
    fn notice_lines(&self, lines: &[String]);
}

impl Catalogue for Site<'_> {
    fn version(&mut self, uid: &VersionUid) -> Result<Version> {
        self.meta.version(uid)
    }

    fn versions(&mut self, filter: &VersionFilter) -> Result<Vec<Version>> {
        Site::versions(self, filter)
    }

    fn notice_lines(&self, lines: &[String]) {
        self.monitor.notice_lines(lines);
    }
}

/// Finds the version that `text` means: a uid, `NAME` or `NAME:latest` (the newest valid version of that name),
/// `NAME:N` (the N-th newest valid one, 0 = newest), or an unambiguous beginning of a uid. If versions of that name
/// are dated in the future, it warns about them and uses the order in which they were made.
///
/// # Errors
/// [`Error::VersionNotFound`], [`Error::Similar`] or [`Error::Refused`]. The last two list candidates.
pub(crate) fn find(versions: &mut dyn Catalogue, text: &str) -> Result<Version> {
    let mut meant = candidates(versions, text)?;
    match meant.len() {
        0 => Err(not_found(versions, text)?),
        1 => Ok(meant.remove(0)),
        _ => Err(ambiguous(text, &meant)),
    }
}

/// As [`find`], for a command that must not take another version than the user has in mind: a bare name is refused,
/// because it means another version after each backup.
///
/// # Errors
/// As [`find`]; [`Error::Refused`] for a bare name. It lists the versions of that name.
pub(crate) fn find_exactly(versions: &mut dyn Catalogue, text: &str) -> Result<Version> {
    let version = find(versions, text)?;
    if version.name != text || version.uid.as_str() == text {
        return Ok(version);
    }
    let filter = VersionFilter { name: Some(text.to_owned()), ..VersionFilter::default() };
    let mut same = versions.versions(&filter)?;
    same.reverse();
    Err(Error::Similar(format!(
        "'{0}' is a name, and names no single version. Give {0}:latest, {0}:1 for the one before it, or a uid:{1}",
        line(text),
        listed(&same.iter().collect::<Vec<_>>())
    )))
}

/// All versions that `text` may mean.
///
/// # Errors
/// The database fails.
pub(crate) fn candidates(versions: &mut dyn Catalogue, text: &str) -> Result<Vec<Version>> {
    match versions.version(&VersionUid::from(text)) {
        Ok(version) => return Ok(vec![version]),
        Err(Error::VersionNotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let mut meant = by_prefix(versions, text)?;
    meant.extend(
        by_name(versions, text)?.filter(|named| meant.iter().all(|version| version.uid != named.uid)),
    );
    Ok(meant)
}

/// The error for an ambiguous text.
pub(crate) fn ambiguous(text: &str, meant: &[Version]) -> Error {
    let meant: Vec<&Version> = meant.iter().collect();
    Error::refused(format!("'{text}' may mean several versions:{}", listed(&meant)))
}

/// Looks up `NAME`, `NAME:latest` and `NAME:N`. A name may contain colons, so the whole text is tried as a name
/// first.
fn by_name(versions: &mut dyn Catalogue, text: &str) -> Result<Option<Version>> {
    if let Some(version) = nth_newest(versions, text, text, 0)? {
        return Ok(Some(version));
    }
    match text.rsplit_once(':') {
        Some((name, "latest")) => nth_newest(versions, text, name, 0),
        Some((name, number)) => match number.parse() {
            Ok(n) => nth_newest(versions, text, name, n),
            Err(_) => Ok(None),
        },
        None => Ok(None),
    }
}

fn nth_newest(versions: &mut dyn Catalogue, text: &str, name: &str, n: usize) -> Result<Option<Version>> {
    let filter = VersionFilter { name: Some(name.to_owned()), ..VersionFilter::default() };
    let mut found = versions.versions(&filter)?;
    found.retain(|version| version.valid);
    future::by_making(&mut found, |version| version, Timestamp::now());
    let meant = found.iter().rev().nth(n).cloned();
    if let Some(Version { uid, date, .. }) = &meant {
        let what = format!("'{text}' means {uid} of {date}, by the order in which the versions were made.");
        if let Some(lines) = future::warning(&found, &what) {
            versions.notice_lines(&lines);
        }
    }
    Ok(meant)
}

fn by_prefix(versions: &mut dyn Catalogue, text: &str) -> Result<Vec<Version>> {
    if text.len() < PREFIX {
        return Ok(Vec::new());
    }
    let mut found = versions.versions(&VersionFilter::default())?;
    found.retain(|version| version.uid.as_str().starts_with(text));
    Ok(found)
}

/// The error for a text that means no version. It lists similar versions, if there are any.
fn not_found(versions: &mut dyn Catalogue, text: &str) -> Result<Error> {
    let word = text.rsplit_once(':').map_or(text, |(name, _)| name);
    let mut similar = versions.versions(&VersionFilter::default())?;
    similar.retain(|version| {
        let part = !word.is_empty() && (version.name.contains(word) || word.contains(&version.name));
        part || version.uid.as_str().starts_with(word)
    });
    if similar.is_empty() || word.is_empty() {
        return Ok(Error::VersionNotFound(text.to_owned()));
    }
    similar.reverse();
    let named = |version: &&Version| version.name == word || version.name == text;
    let invalid: Vec<&Version> = similar.iter().filter(named).collect();
    if !invalid.is_empty() && invalid.iter().all(|version| !version.valid) {
        return Ok(Error::Similar(format!(
            "Version {} not found: there is no valid version of that name. Invalid versions must be named \
             by their uid; a restore lists their bad ranges:{}",
            line(text),
            listed(&invalid)
        )));
    }
    let candidates: Vec<&Version> = similar.iter().collect();
    Ok(Error::Similar(format!("Version {} not found. Similar are:{}", line(text), listed(&candidates))))
}

fn listed(versions: &[&Version]) -> String {
    let mut text = String::new();
    for version in versions.iter().take(LISTED) {
        let valid = if version.valid { "" } else { " (invalid)" };
        text +=
            &format!("\n  {} {} {}{valid}", line(version.uid.as_str()), version.date, line(&version.name));
    }
    if versions.len() > LISTED {
        text += &format!("\n  and {} more", versions.len() - LISTED);
    }
    text
}
