//! Sections and keys as they are in the files, before their values are interpreted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroize;

/// The section whose keys every other section inherits.
pub(super) const INHERITED: &str = "DEFAULT";

/// A position in a file, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of the file, as the user gave it.
    pub file: Arc<str>,
    /// The line number, counted from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The type of a value in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// INI: any type, and `%` is special.
    Ini,
    /// A string in TOML, taken literally.
    Text,
    /// An integer in TOML, in decimal.
    Integer,
    /// A boolean in TOML, `true` or `false`.
    Boolean,
    /// An array of strings in TOML, joined by blanks.
    List,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// The text. In INI files its `%` is not expanded yet.
    pub text: String,
    /// How to read the text.
    pub kind: ValueKind,
    /// The position of the key.
    pub place: Place,
}

impl Drop for Value {
    fn drop(&mut self) {
        // The text may be a key or a password.
        self.text.zeroize();
    }
}

/// A section with its own keys, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// The name, case-sensitive.
    pub name: String,
    /// The position of its first header.
    pub place: Place,
    /// Names in lower case, each only once.
    pub keys: Vec<(String, Value)>,
}

impl Section {
    /// A section without keys.
    pub(super) fn new(name: &str, place: Place) -> Self {
        Section { name: name.to_owned(), place, keys: Vec::new() }
    }

    /// The section's own value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// All sections of one file or of several merged files, in the order in which they first appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    /// The sections. Each name occurs once.
    pub sections: Vec<Section>,
    /// The files whose relative paths begin at a folder other than the current one, with that folder.
    pub folders: Vec<(Arc<str>, PathBuf)>,
}

impl Raw {
    /// The section of that name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The folder at which relative paths in `file` begin, unless it is the current one.
    pub(super) fn folder_of(&self, file: &str) -> Option<&Path> {
        self.folders.iter().find(|(name, _)| **name == *file).map(|(_, folder)| folder.as_path())
    }

    /// Overrides with the values of `later`, key by key.
    pub(super) fn merge(&mut self, later: Raw) {
        self.folders.extend(later.folders);
        for section in later.sections {
            match self.sections.iter_mut().find(|known| known.name == section.name) {
                Some(known) => merge_keys(&mut known.keys, section.keys),
                None => self.sections.push(section),
            }
        }
    }
}

fn merge_keys(keys: &mut Vec<(String, Value)>, later: Vec<(String, Value)>) {
    for (name, value) in later {
        match keys.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => keys.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;

    #[test]
    fn later_files_override_key_by_key_and_keep_the_order() {
        let mut raw = ini::parse("[a]\nx: 1\ny: 2\n[b]\nz: 3\n", &"one".into()).expect("good");
        raw.merge(ini::parse("[c]\n[a]\ny: 4\nw: 5\n", &"two".into()).expect("good"));
        let names: Vec<_> = raw.sections.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let a = raw.section("a").expect("there");
        let keys: Vec<_> = a.keys.iter().map(|(k, v)| (k.as_str(), v.text.as_str())).collect();
        assert_eq!(keys, [("x", "1"), ("y", "4"), ("w", "5")]);
        assert_eq!(a.get("y").expect("there").place.to_string(), "two:3");
        assert_eq!(a.get("x").expect("there").place.to_string(), "one:2");
    }
}
