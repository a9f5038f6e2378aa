//! `backy.cfg.example` is correct: it loads, it mentions every key, and its suggestions are accepted.

use super::known::SECTIONS;
use super::{Config, Origin, Places, StoreConfig, load};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/backy.cfg.example"));

/// A key in the example.
struct Mention {
    section: String,
    key: String,
    value: String,
    /// Whether the line is active, and not like `#key: value`.
    active: bool,
}

fn mentions() -> Vec<Mention> {
    let mut section = String::new();
    let mut mentions = Vec::new();
    for line in EXAMPLE.lines() {
        let content = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        }
        if let Some((key, value)) = content.split_once(": ")
            && !key.contains(' ')
        {
            let (section, key, value) = (section.clone(), key.to_owned(), value.to_owned());
            mentions.push(Mention { section, key, value, active: content == line });
        }
    }
    mentions
}

fn load_text(text: &str) -> Config {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("backy.cfg");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    load(&Origin::File(path), &Places::of_system()).expect("good")
}

#[test]
fn the_example_loads_without_a_warning() {
    let config = load_text(EXAMPLE);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.encryption_key.is_none());
    assert!(matches!(config.data.store, StoreConfig::File { .. }));
    let names: Vec<_> = config.schedulers.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["daily", "weekly", "monthly"]);
}

#[test]
fn the_example_has_every_key_and_no_other() {
    let mentions = mentions();
    for (section, keys) in SECTIONS {
        for key in keys {
            assert!(
                mentions.iter().any(|m| m.section == section && m.key == *key),
                "[{section}] {key} is missing"
            );
        }
        for mention in mentions.iter().filter(|m| m.section == section) {
            assert!(keys.contains(&mention.key.as_str()), "[{section}] {} is not known", mention.key);
        }
    }
}

#[test]
fn every_line_that_may_be_uncommented_is_accepted() {
    for mention in mentions().iter().filter(|mention| !mention.active) {
        let Mention { section, key, value, .. } = mention;
        let line = format!("#{key}: {value}\n");
        let head = |mark: &str| format!("\n{mark}[{section}]\n");
        let mut text = if let Some((before, after)) = EXAMPLE.split_once(&head("#")) {
            // A section that is commented out as a whole is uncommented as a whole.
            let (lines, rest) = after.split_once("\n\n").unwrap_or((after, ""));
            format!("{before}{}{}\n\n{rest}", head(""), lines.replace('#', ""))
        } else {
            let (before, after) = EXAMPLE.split_once(&head("")).expect("the section");
            format!("{before}{}{}", head(""), after.replacen(&line, &line[1..], 1))
        };
        // An alternative replaces the active setting.
        for set in self::mentions().iter().filter(|m| m.active && m.section == *section && m.key == *key) {
            text = text.replace(&format!("\n{key}: {}\n", set.value), "\n");
        }
        let config = load_text(&text);
        assert!(config.warnings.is_empty(), "{key}: {:?}", config.warnings);
    }
}

#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    let keys = ["block_size", "hash_function", "process_name", "deduplication", "encryption_version", "sync"];
    let keys = [&keys[..], &["bandwidth_read", "bandwidth_write"]].concat();
    let mut text = EXAMPLE.to_owned();
    for mention in mentions().iter().filter(|m| keys.contains(&m.key.as_str())) {
        let line = format!("\n#{}: {}\n", mention.key, mention.value);
        assert!(text.contains(&line), "{}", mention.key);
        text = text.replace(&line, &line.replace('#', ""));
    }
    assert_eq!(format!("{:?}", load_text(&text)), format!("{:?}", load_text(EXAMPLE)));
}
