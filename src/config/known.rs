//! The known sections and keys, and warnings about all others.

use super::interpolate::references;
use super::raw::{INHERITED, Raw, Section};
use super::values::{Keys, has_comment};
use super::{hooks, jobs, retention};
use crate::types::{Error, Result};

/// Every section except those of schedulers and `[retention:PATTERN]`, with its keys.
///
/// `[DataBackend]` has the keys of all kinds of store, so that its `type` can be changed back and forth.
pub(super) const SECTIONS: [(&str, &[&str]); 10] = [
    (
        "DEFAULTS",
        &[
            "relative_paths",
            "logfile",
            "file_mode",
            "block_size",
            "hash_function",
            "lock_dir",
            "cachedir",
            "mount_cache_size",
            "process_name",
            "metrics_file",
            "disallow_rm_when_younger_than_days",
            "deduplication",
            "encryption_key",
            "encryption_version",
        ],
    ),
    ("MetaBackend", &["type", "engine"]),
    (
        "DataBackend",
        &[
            "type",
            "simultaneous_writes",
            "simultaneous_reads",
            "bandwidth_read",
            "bandwidth_write",
            "metadata_copies",
            "path",
            "sync",
            "aws_access_key_id",
            "aws_access_key_id_file",
            "aws_secret_access_key",
            "aws_secret_access_key_file",
            "region_name",
            "endpoint_url",
            "use_ssl",
            "bucket_name",
            "addressing_style",
            "signature_version",
            "disable_encoding_type",
            "host",
            "secure",
            "timeout",
            "retry_time",
        ],
    ),
    ("io_file", &["simultaneous_reads", "simultaneous_writes"]),
    (
        "io_rbd",
        &[
            "ceph_conffile",
            "rados_name",
            "cluster_name",
            "simultaneous_reads",
            "simultaneous_writes",
            "new_image_features",
            "timeout",
        ],
    ),
    ("io_null", &["simultaneous_reads", "simultaneous_writes"]),
    ("NBD", &["cachedir"]),
    (retention::SECTION, retention::KEYS),
    (jobs::SECTION, jobs::KEYS),
    (hooks::SECTION, hooks::KEYS),
];

/// The keys of a scheduler's section.
pub(super) const SCHEDULER: &[&str] = &["interval", "keep", "sla"];

/// The known keys of the section `name`.
fn keys_of(name: &str) -> &'static [&'static str] {
    if retention::pattern(name).is_some() {
        return retention::KEYS;
    }
    if jobs::name(name).is_some() {
        return jobs::JOB_KEYS;
    }
    SECTIONS.iter().find(|(section, _)| *section == name).map_or(SCHEDULER, |(_, keys)| *keys)
}

/// Whether the section is not one of the program's own.
fn is_foreign(section: &Section) -> bool {
    section.name != INHERITED
        && retention::pattern(&section.name).is_none()
        && jobs::name(&section.name).is_none()
        && SECTIONS.iter().all(|(name, _)| *name != section.name)
}

/// The sections of schedulers: foreign ones with at least one scheduler key.
pub(super) fn schedulers(raw: &Raw) -> impl Iterator<Item = &Section> {
    raw.sections.iter().filter(move |section| is_foreign(section) && has_schedule(raw, section))
}

fn has_schedule(raw: &Raw, section: &Section) -> bool {
    let keys = Keys::new(raw, &section.name);
    SCHEDULER.iter().any(|key| keys.find(key).is_some())
}

/// The program's own section that `name` is probably a misspelling of.
fn meant(name: &str) -> Option<&'static str> {
    if name == INHERITED {
        return Some(SECTIONS[0].0);
    }
    SECTIONS.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name) && *known != name)
}

/// A hint for messages that the section probably has another name, or an empty text.
pub(super) fn hint(name: &str) -> String {
    meant(name).map_or_else(String::new, |meant| format!(" Should it be [{meant}]? Case matters."))
}

/// A section whose name is probably a misspelling of `name`, which is missing.
pub(super) fn lookalike<'a>(raw: &'a Raw, name: &str) -> Option<&'a Section> {
    raw.sections.iter().find(|section| meant(&section.name) == Some(name))
}

/// Whether the section decides what is backed up and what is removed. Files of 2.13 do not have it.
fn is_strict(name: &str) -> bool {
    let own = [retention::SECTION, jobs::SECTION, hooks::SECTION];
    own.contains(&name) || retention::pattern(name).is_some() || jobs::name(name).is_some()
}

/// Refuses unknown keys where they would do harm: with `keep_dayly: 30` ignored, versions would be lost.
///
/// # Errors
/// [`Error::Config`] with the first of them.
pub(super) fn refuse_unknown(raw: &Raw) -> Result<()> {
    for section in raw.sections.iter().filter(|section| is_strict(&section.name)) {
        let known = keys_of(&section.name);
        let referred: Vec<String> = section.keys.iter().flat_map(|(_, value)| references(value)).collect();
        let is_known = |key: &String| known.contains(&key.as_str()) || referred.contains(key);
        if let Some((key, value)) = section.keys.iter().find(|(key, _)| !is_known(key)) {
            return Err(Error::config(format!(
                "{}: [{}] {key} is not a known key. There are: {}.",
                value.place,
                section.name,
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// One warning for each setting that has no effect, or another one than it seems.
pub(super) fn warnings(raw: &Raw) -> Vec<String> {
    let mut warnings = Vec::new();
    for section in &raw.sections {
        let name = &section.name;
        if is_foreign(section) && !has_schedule(raw, section) {
            warnings.push(format!(
                "{}: [{name}] is not a section that backy2 knows, nor a scheduler ({}): it is ignored.{}",
                section.place,
                SCHEDULER.join(", "),
                hint(name)
            ));
            continue;
        }
        let referred: Vec<String> = section.keys.iter().flat_map(|(_, value)| references(value)).collect();
        for (key, value) in &section.keys {
            // Keys that all sections inherit, and keys that other values refer to, may have any name.
            let known = name == INHERITED || keys_of(name).contains(&key.as_str()) || referred.contains(key);
            if !known {
                let place = &value.place;
                warnings.push(format!("{place}: [{name}] {key} is not a known key: it is ignored."));
            } else if has_comment(value) {
                warnings.push(format!(
                    "{}: [{name}] {key}: the text after the # is part of the value. Put the comment on a \
                     line of its own.",
                    value.place
                ));
            }
        }
    }
    warnings
}
