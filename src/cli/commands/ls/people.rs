//! The listing for people: the newest version last, in the width of the terminal.

use crate::cli::human;
use crate::cli::sheet::{Head, Sheet, minute};
use crate::cli::table::Align;
use crate::engine::catalogue::Details;
use crate::types::time::Timestamp;
use crate::types::version::Version;

const COLUMNS: [Head; 7] = [
    Head::new("date (UTC)", Align::Left),
    Head::name("name"),
    Head::new("size", Align::Right),
    Head::new("new", Align::Right),
    Head::new("state", Align::Left),
    Head::new("uid", Align::Left),
    Head::text("tags"),
];

/// The sheet of these versions.
pub(super) fn sheet(mut versions: Vec<Version>, details: &Details, now: Timestamp) -> Sheet {
    versions.sort_by_key(|version| version.date);
    let row = |version: &Version| {
        vec![
            minute(version.date),
            version.name.clone(),
            human::size(version.size_bytes),
            details.new_bytes(&version.uid).map_or_else(|| "-".to_owned(), human::size),
            state(version, now).to_owned(),
            details.short(&version.uid).to_owned(),
            version.tags.join(","),
        ]
    };
    Sheet { columns: COLUMNS.to_vec(), rows: versions.iter().map(row).collect(), colours: None }
}

/// The state in one word: the one that matters most for the use of the version.
fn state(version: &Version, now: Timestamp) -> &'static str {
    let has_expired = version.expire.is_some_and(|expire| expire <= now);
    match version {
        Version { valid: false, .. } => "invalid",
        Version { protected: true, .. } => "protected",
        _ if has_expired => "expired",
        _ => "valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sheet::Look;
    use crate::types::keys::VersionKey;
    use unicode_width::UnicodeWidthStr;

    fn version(number: u8, name: &str) -> Version {
        Version {
            key: VersionKey(number.into()),
            uid: format!("dd3de7{number:02}-e505-11f1-90ca-02fc00000001").as_str().into(),
            date: Timestamp::parse(&format!("2026-11-{number:02} 17:14:37")).expect("a date"),
            expire: None,
            name: name.to_owned(),
            snapshot_name: String::new(),
            size: 8,
            size_bytes: 1023 << 20,
            valid: true,
            protected: false,
            tags: ["b_daily", "b_monthly", "b_weekly"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn the_newest_version_is_last_and_eighty_columns_are_enough() {
        let now = Timestamp::parse("2026-12-01").expect("a date");
        let past = Timestamp::parse("2026-11-30");
        let versions = vec![
            Version { expire: past, ..version(9, "vm1") },
            Version { valid: false, protected: true, ..version(3, "a-virtual-machine-with-a-long-name") },
            Version { protected: true, expire: past, ..version(5, "vm2") },
            version(7, "vm1"),
        ];
        let sheet = sheet(versions.clone(), &Details::of(&versions, &[]), now);
        let text = sheet.render(Look { width: Some(80), ..Look::default() });
        assert_eq!(
            text,
            "\
date (UTC)        name              size  new  state      uid       tags
2026-11-03 17:14  a-virt…-name  1023 MiB    -  invalid    dd3de703  b_daily,b_…
2026-11-05 17:14  vm2           1023 MiB    -  protected  dd3de705  b_daily,b_…
2026-11-07 17:14  vm1           1023 MiB    -  valid      dd3de707  b_daily,b_…
2026-11-09 17:14  vm1           1023 MiB    -  expired    dd3de709  b_daily,b_…
"
        );
        assert!(text.lines().all(|line| line.width() < 80), "{text}");
    }
}
