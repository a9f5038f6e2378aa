//! The listing for people: the bytes on disk of each version, of each name, and of all.

use crate::cli::human;
use crate::cli::sheet::{Head, Sheet, minute};
use crate::cli::table::Align;
use crate::engine::catalogue::Details;
use crate::types::keys::VersionKey;
use crate::types::text::plural;
use crate::types::version::Version;
use std::collections::HashMap;

const COLUMNS: [Head; 5] = [
    Head::name("name"),
    Head::new("date (UTC)", Align::Left),
    Head::new("uid", Align::Left),
    Head::new("size", Align::Right),
    Head::new("on disk", Align::Right),
];

/// The sheet of these versions, which are sorted by name, then date.
pub(super) fn sheet(versions: Vec<Version>, details: &Details, on_disk: &HashMap<VersionKey, u64>) -> Sheet {
    let bytes = |version: &Version| on_disk.get(&version.key).copied().unwrap_or_default();
    let total = |versions: &[Version]| versions.iter().map(bytes).fold(0, u64::saturating_add);
    let sum = |what: String, versions: &[Version]| {
        let count = plural(versions.len() as u64, "version", "versions");
        vec![what, count, String::new(), String::new(), human::size(total(versions))]
    };
    let mut rows = Vec::new();
    for same in versions.chunk_by(|a, b| a.name == b.name) {
        rows.extend(same.iter().map(|version| {
            vec![
                version.name.clone(),
                minute(version.date),
                details.short(&version.uid).to_owned(),
                human::size(version.size_bytes),
                human::size(bytes(version)),
            ]
        }));
        if same.len() > 1 {
            rows.push(sum(format!("= {}", same[0].name), same));
        }
    }
    if versions.first().map(|first| &first.name) != versions.last().map(|last| &last.name) {
        rows.push(sum("= all".to_owned(), &versions));
    }
    Sheet { columns: COLUMNS.to_vec(), rows, colours: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sheet::Look;
    use crate::types::time::Timestamp;

    #[test]
    fn each_name_has_a_sum() {
        let version = |number: u8, name: &str| Version {
            key: VersionKey(number.into()),
            uid: format!("dd3de7{number:02}-e505-11f1-90ca-02fc00000001").as_str().into(),
            date: Timestamp::parse(&format!("2026-11-{number:02} 17:14:37")).expect("a date"),
            expire: None,
            name: name.to_owned(),
            snapshot_name: String::new(),
            size: 8,
            size_bytes: 4 << 30,
            valid: true,
            protected: false,
            tags: Vec::new(),
        };
        let versions = vec![version(3, "db"), version(1, "vm1"), version(2, "vm1")];
        let on_disk = [(1, 300 << 20), (2, 20 << 20), (3, 5 << 20)];
        let on_disk = on_disk.into_iter().map(|(key, bytes)| (VersionKey(key), bytes)).collect();
        let details = Details::of(&versions, &[]);
        let text = |versions: &[Version]| {
            sheet(versions.to_vec(), &details, &on_disk).render(Look { width: Some(80), ..Look::default() })
        };
        assert_eq!(
            text(&versions),
            "\
name   date (UTC)        uid        size  on disk
db     2026-11-03 17:14  dd3de703  4 GiB    5 MiB
vm1    2026-11-01 17:14  dd3de701  4 GiB  300 MiB
vm1    2026-11-02 17:14  dd3de702  4 GiB   20 MiB
= vm1  2 versions                         320 MiB
= all  3 versions                         325 MiB
"
        );
        assert!(!text(&versions[..1]).contains('='), "a sum of one version says nothing new");
        assert!(text(&versions[1..]).contains("= vm1") && !text(&versions[1..]).contains("= all"));
        assert_eq!(text(&[]), "name  date (UTC)  uid  size  on disk\n");
    }
}
