//! TOML files: the same sections and keys as in INI files, with the same meaning.
//!
//! Values are strings, integers and booleans, and for `new_image_features` of `[io_rbd]` and `schedulers` of a job also
//! an array of strings. They are literal: `%` is an ordinary character. Key names are converted to lower case. The tables
//! `[job.NAME]` and `[retention.PATTERN]` are the sections `[job:NAME]` and `[retention:PATTERN]`.
//!
//! Errors name the file and the line, and never quote a value.

use super::raw::{Place, Raw, Section, Value, ValueKind};
use crate::types::{Error, Result};
use ::toml::de::{DeArray, DeInteger, DeTable, DeValue};
use std::sync::Arc;

/// The section and the name of the key whose array is a list.
const LIST: (&str, &str) = ("io_rbd", "new_image_features");
/// The key of jobs that may be an array. Its value is the text that an INI file would have.
const SCHEDULERS: &str = "schedulers";

/// The tables whose tables are sections of their own.
const FAMILIES: [&str; 2] = ["job", "retention"];

/// Parses `text`, the contents of the file named `file`.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Raw> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = DeTable::parse(text).map_err(|error| {
        let place = place(text, file, error.span().map_or(0, |span| span.start));
        Error::config(format!("{place}: not TOML: {}.", error.message().replace('\n', ", ")))
    })?;
    let mut sections = Vec::new();
    for (name, value) in document.get_ref() {
        let start = name.span().start;
        let place = place(text, file, start);
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Error::config(format!("{place}: {} is outside of a [section].", name.get_ref())));
        };
        let name: &str = name.get_ref();
        if !FAMILIES.contains(&name) {
            sections.push((start, section(text, name, place, table)?));
            continue;
        }
        let mut own = table.clone();
        for (member, value) in table {
            let DeValue::Table(inner) = value.get_ref() else { continue };
            own.remove(member);
            let start = member.span().start;
            let place = self::place(text, file, start);
            sections.push((start, section(text, &format!("{name}:{}", member.get_ref()), place, inner)?));
        }
        if !own.is_empty() || table.is_empty() {
            sections.push((start, section(text, name, place, &own)?));
        }
    }
    // The parser sorts by name, but schedulers keep the order of the file.
    sections.sort_by_key(|(start, _)| *start);
    let sections: Vec<Section> = sections.into_iter().map(|(_, section)| section).collect();
    for (number, Section { name, place, .. }) in sections.iter().enumerate() {
        if let Some(first) = sections[..number].iter().find(|first| first.name == *name) {
            let line = first.place.line;
            return Err(Error::config(format!(
                "{place}: [{name}] is there already, in line {line}: remove one."
            )));
        }
    }
    Ok(Raw { sections, ..Raw::default() })
}

fn section(text: &str, name: &str, at: Place, table: &DeTable) -> Result<Section> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut section = Section::new(name, at);
    for (key, value) in entries {
        let place = place(text, &section.place.file, key.span().start);
        let key = key.get_ref().to_lowercase();
        let error = |problem: &str| Error::config(format!("{place}: [{name}] {key} {problem}."));
        if let Some(first) = section.get(&key) {
            let line = first.place.line;
            return Err(error(&format!("is there already, in line {line}: remove one")));
        }
        let (kind, text) = match value.get_ref() {
            DeValue::String(text) => (ValueKind::Text, text.to_string()),
            DeValue::Boolean(value) => (ValueKind::Boolean, value.to_string()),
            DeValue::Integer(value) => {
                (ValueKind::Integer, decimal(value).ok_or_else(|| error("is too large a number"))?)
            }
            DeValue::Array(array) if key == SCHEDULERS && name.starts_with("job:") => {
                let names = strings(array).ok_or_else(|| error("must be an array of strings"))?;
                (ValueKind::Text, names.join(", "))
            }
            DeValue::Array(array) if (name, key.as_str()) == LIST => {
                let items = strings(array).ok_or_else(|| error("must be an array of strings"))?;
                (ValueKind::List, items.join(" "))
            }
            other => {
                let found = other.type_str();
                return Err(error(&format!(
                    "has the type {found}, but it must be a string, a whole number or a boolean"
                )));
            }
        };
        section.keys.push((key, Value { text, kind, place }));
    }
    Ok(section)
}

fn decimal(value: &DeInteger) -> Option<String> {
    i64::from_str_radix(value.as_str(), value.radix()).ok().map(|number| number.to_string())
}

fn strings<'a>(array: &'a DeArray) -> Option<Vec<&'a str>> {
    array.iter().map(|item| item.get_ref().as_str()).collect()
}

/// The position of the byte at `offset`.
fn place(text: &str, file: &Arc<str>, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Place { file: file.clone(), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Raw> {
        parse(text, &"f.toml".into())
    }

    #[test]
    fn sections_and_keys_come_in_the_order_of_the_file() {
        let text = "\u{feff}# c\r\n[DEFAULTS]\r\nLogfile = '/l%s # no comment'\r\nblock_size = 0x1_000\r\n\
                    [b]\r\nz = true\r\na = \"\"\"x\r\ny\"\"\"\r\n[a]\r\n\
                    [io_rbd]\r\nnew_image_features = ['A', 'B']\r\n";
        let raw = read(text).expect("good");
        let all: Vec<_> = raw
            .sections
            .iter()
            .flat_map(|s| s.keys.iter().map(|(k, v)| (s.name.as_str(), k.as_str(), v)))
            .map(|(s, k, v)| (s, k, v.text.as_str(), v.kind, v.place.line))
            .collect();
        assert_eq!(
            all,
            [
                ("DEFAULTS", "logfile", "/l%s # no comment", ValueKind::Text, 3),
                ("DEFAULTS", "block_size", "4096", ValueKind::Integer, 4),
                ("b", "z", "true", ValueKind::Boolean, 6),
                ("b", "a", "x\r\ny", ValueKind::Text, 7),
                ("io_rbd", "new_image_features", "A B", ValueKind::List, 11),
            ]
        );
        assert_eq!(raw.section("a").map(|s| s.place.line), Some(9));
        assert_eq!(read("").expect("empty"), Raw::default());
    }

    #[test]
    fn tables_of_jobs_and_rules_are_sections_and_schedulers_may_be_an_array() {
        let text = "[job.vm2]\nschedulers = ['daily', 'weekly']\n['job:vm1']\na = 1\n\
                    [retention]\nkeep_last = 1\n[retention.'vm*']\nkeep_last = 2\n";
        let raw = read(text).expect("good");
        let names: Vec<(&str, usize)> = raw.sections.iter().map(|s| (&s.name[..], s.place.line)).collect();
        assert_eq!(names, [("job:vm2", 1), ("job:vm1", 3), ("retention", 5), ("retention:vm*", 7)]);
        let value = raw.section("job:vm2").and_then(|s| s.get("schedulers")).expect("a value");
        assert_eq!((value.text.as_str(), value.kind), ("daily, weekly", ValueKind::Text));
        let own = raw.section("retention").expect("a section");
        assert_eq!(own.keys.len(), 1, "{own:?}");
    }

    #[test]
    fn errors_name_file_section_and_key() {
        for (text, message) in [
            ("a = 1", "f.toml:1: a is outside of a [section]."),
            ("[[s]]\na = 1", "f.toml:1: s is outside of a [section]."),
            ("[s]\na = 1.5", "f.toml:2: [s] a has the type float, but it must be a string"),
            ("[s]\n\na = 1979-05-27", "f.toml:3: [s] a has the type datetime"),
            ("[s]\na = ['x']", "f.toml:2: [s] a has the type array"),
            ("[s.a]\nb = 1", "f.toml:1: [s] a has the type table"),
            (
                "[io_rbd]\nnew_image_features = [1]",
                "[io_rbd] new_image_features must be an array of strings.",
            ),
            ("[s]\na = 99999999999999999999", "f.toml:2: [s] a is too large a number."),
            ("[s]\na = 1\nA = 2", "f.toml:3: [s] a is there already, in line 2: remove one."),
            ("[s]\na = 1\na = 2", "f.toml:3: not TOML: duplicate key"),
            ("['job:a']\n[job.a]\n", "f.toml:2: [job:a] is there already, in line 1: remove one."),
            ("[job.a.b]\nc = 1", "f.toml:1: [job:a] b has the type table"),
            ("[job.a]\nschedulers = [1]", "f.toml:2: [job:a] schedulers must be an array of strings."),
            ("[s]\na: 1", "f.toml:2: not TOML: "),
            ("[s]\nencryption_key = decafbad", "f.toml:2: not TOML: "),
            ("[s]\nencryption_key = 'decafbad", "f.toml:2: not TOML: "),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text:?} gave {error}");
            assert!(!error.contains("decafbad"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
