//! Compares with dumps that backy2 2.13 and 2.9 wrote.

use super::{dump_of, emptied, import, import_stdin};
use crate::common::fixture::{Recorded, versions};
use crate::common::images;
use crate::common::install::Install;

/// The lines of a dump without the blocks' dates: 2.13 stored one per row, we store one per blob.
fn without_block_dates(dump: &str) -> Vec<String> {
    let blank = |(at, line): (usize, &str)| {
        let mut fields: Vec<&str> = line.split(',').collect();
        if at >= 2 && fields.len() > 3 {
            fields[3] = "-";
        }
        fields.join(",")
    };
    dump.split("\r\n").enumerate().map(blank).collect()
}

#[test]
fn exports_are_those_of_2_13_but_for_the_dates_of_blocks() {
    for name in ["A", "B", "D"] {
        let install = Install::fixture(name);
        for version in versions(name) {
            let path = install.text("x.csv");
            install.ok(&["export", &version.uid, &path]);
            let dump = std::fs::read_to_string(&path).expect("read");
            let wanted = dump_of(name, &version.uid);
            assert_eq!(without_block_dates(&dump), without_block_dates(&wanted), "{name} {}", version.uid);
            assert_eq!(install.ok(&["-m", "export", &version.uid, "-"]), dump, "to stdout");
        }
    }
}

/// 2.9 wrote fewer columns; all of them must be in ours.
#[test]
fn exports_of_a_2_9_installation_have_its_rows_and_no_encryption() {
    let install = Install::fixture("E");
    install.adopt_config("migrate/backy-2.13.cfg");
    for version in versions("E") {
        let old = without_block_dates(&dump_of("E", &version.uid));
        let new = without_block_dates(&install.ok(&["-m", "export", &version.uid, "-"]));
        assert_eq!(
            (&old[0][..], &new[0][..]),
            ("backy2 Version 2.2 metadata dump", "backy2 Version 2.12 metadata dump")
        );
        assert_eq!(new.len(), old.len());
        assert_eq!(new[1], format!("{},", old[1]), "an empty expiry");
        for (new, old) in new.iter().zip(&old).skip(2).filter(|(_, old)| !old.is_empty()) {
            assert_eq!(*new, format!("{old},0,,"));
        }
    }
}

fn check(install: &Install, version: &Recorded) {
    if let Some(sha256) = &version.sha256 {
        install.ok(&["scrub", &version.uid]);
        assert_eq!(&images::sha256(&install.restored(&version.uid, "out")), sha256, "{}", version.uid);
    } else if version.number("valid") == 1 {
        // The empty version, which 2.13 could not restore.
        install.ok(&["scrub", &version.uid]);
        assert_eq!(install.restored(&version.uid, "out").len(), 0);
    } else {
        install.fails(20, &["scrub", &version.uid]);
        let bad: Vec<u64> = version.entry["invalid_block_ids"]
            .as_array()
            .expect("ids")
            .iter()
            .filter_map(|id| id.as_u64())
            .collect();
        assert_eq!(install.invalid_blocks(&version.uid), bad);
    }
}

#[test]
fn every_recorded_export_can_be_imported_scrubbed_and_restored() {
    let mut damaged = 0;
    for name in ["A", "B", "D", "E"] {
        let install = emptied(name);
        for (at, version) in versions(name).iter().enumerate() {
            let dump = dump_of(name, &version.uid);
            let run = if at % 2 == 0 { import(&install, &dump) } else { import_stdin(&install, &dump) };
            assert_eq!(run.code, 0, "{name} {}: {run:?}", version.uid);
            assert_eq!(install.is_valid(&version.uid), version.number("valid") == 1);
            check(&install, version);
            damaged += u64::from(version.number("valid") == 0);
        }
        install.assert_database();
        assert_eq!(install.uids(&[]).len(), versions(name).len());
    }
    assert_eq!(damaged, 1, "one version of A is damaged");
}

/// Name, dates, sizes, protection, expiry and validity return; dumps have no tags.
#[test]
fn an_import_brings_back_all_columns_of_ls_but_the_tags_and_the_time_of_expiry() {
    let fields = "date,name,snapshot_name,size,size_bytes,uid,valid,protected";
    for name in ["A", "B", "D"] {
        let (before, after) = (Install::fixture(name), emptied(name));
        for version in versions(name) {
            assert_eq!(import(&after, dump_of(name, &version.uid)).code, 0);
        }
        assert_eq!(after.ok(&["-m", "ls", "-f", fields]), before.ok(&["-m", "ls", "-f", fields]), "{name}");
        let day = |install: &Install| -> Vec<String> {
            let out = install.ok(&["-ms", "ls", "-f", "expire"]);
            out.lines().map(|line| line.chars().take(10).collect()).collect()
        };
        assert_eq!(day(&after), day(&before), "{name}");
        assert_eq!(after.count("SELECT count(*) FROM tags"), 0);
    }
}
