//! Installations that backy2 2.13 and 2.9 have made: list, restore, scrub, and further backups.

use crate::common::database::Engine;
use crate::common::fixture::{self, Recorded, of_image, recorded, restores_right, versions};
use crate::common::images::{by_name, pattern, sha256};
use crate::common::install::{Install, fixture_folder};

const ALL: [&str; 4] = ["A", "B", "D", "E"];
/// The version of A that 2.13 has marked invalid because the blob of its block 1 is missing.
const DAMAGED: &str = "dd3de788-e505-11f1-90ca-02fc00000001";

/// As [`Install::fixture`]. E gets the setting that administrators had to make when they upgraded to 2.13.
fn install(name: &str) -> Install {
    let install = Install::fixture(name);
    if name == "E" {
        install.adopt_config("migrate/backy-2.13.cfg");
    }
    install
}

#[test]
fn the_images_are_those_of_the_recipe() {
    let list = std::fs::read_to_string(fixture_folder("images.sha256")).expect("read");
    assert_eq!(list.lines().count(), 13);
    for line in list.lines() {
        let [digest, size, name] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let data = by_name(name);
        assert_eq!((sha256(&data), data.len().to_string()), (digest.to_owned(), size.to_owned()), "{name}");
    }
}

/// Sorts the tags: PostgreSQL lists them in the order in which they were added, the recordings have SQLite's order.
fn tags_of_any_order(install: &Install, text: &str) -> String {
    let cell = |cell: &str| {
        let tags = cell.trim();
        let mut sorted: Vec<&str> = tags.split(',').collect();
        sorted.sort_unstable();
        if tags.is_empty() { cell.to_owned() } else { cell.replace(tags, &sorted.join(",")) }
    };
    if install.engine() == Engine::Sqlite {
        return text.to_owned();
    }
    let line = |line: &str| line.split('|').map(cell).collect::<Vec<_>>().join("|") + "\n";
    text.lines().map(line).collect()
}

#[test]
fn lists_are_those_of_2_13() {
    for name in ["A", "B", "D"] {
        let install = install(name);
        let tags = |text: &str| tags_of_any_order(&install, text);
        assert_eq!(tags(&install.ok(&["-m", "ls"])), tags(&recorded(name, "ls.m.txt")), "{name}");
        let out = install.ok(&["ls"]);
        let table: String = out.split_inclusive('\n').filter(|line| line.starts_with(['+', '|'])).collect();
        assert_eq!(tags(&table), tags(&recorded(name, "ls.txt")), "{name}");
    }
}

#[test]
fn the_list_of_2_9_matches_its_manifest() {
    let install = install("E");
    let line = |v: Recorded| {
        let tags: Vec<&str> =
            v.entry["tags"].as_array().expect("tags").iter().filter_map(|t| t.as_str()).collect();
        format!(
            "{}|{}|{}|{}|{}|{}|{}|{}|{}|\n",
            v.text("date"),
            v.name,
            v.text("snapshot_name"),
            v.number("size"),
            v.number("size_bytes"),
            v.uid,
            v.number("valid"),
            v.number("protected"),
            tags.join(",")
        )
    };
    let wanted: String = versions("E").into_iter().map(line).collect();
    let tags = |text: &str| tags_of_any_order(&install, text);
    assert_eq!(tags(&install.ok(&["-ms", "ls"])), tags(&wanted));
}

#[test]
fn every_version_restores_to_its_source() {
    for name in ALL {
        restores_right(&install(name), name);
    }
}

#[test]
fn the_empty_version_restores_to_an_empty_file() {
    let install = install("B");
    let empty = versions("B").into_iter().find(|v| v.name == "empty").expect("recorded");
    assert_eq!(install.restored(&empty.uid, "x").len(), 0);
}

#[test]
fn of_the_damaged_version_all_other_blocks_are_restored() {
    let install = install("A");
    let mut wanted = by_name("A4.img");
    wanted[4 << 20..8 << 20].fill(0);
    let error = install.fails(20, &["restore", DAMAGED, &install.url("x")]);
    let data = std::fs::read(install.path("x")).expect("read");
    assert_eq!(sha256(&data), sha256(&wanted));
    assert!(error.contains("offset 4194304 length 4194304"), "{error}");
}

#[test]
fn scrub_finds_the_damage_and_nothing_else() {
    for name in ALL {
        let install = install(name);
        for version in versions(name) {
            let (code, valid) = if version.uid == DAMAGED { (20, false) } else { (0, true) };
            let run = install.run(&["scrub", &version.uid]);
            assert_eq!(run.code, code, "{name} {}: {run:?}", version.uid);
            assert_eq!(install.is_valid(&version.uid), valid);
        }
    }
    let install = install("A");
    install.fails(20, &["scrub", DAMAGED]);
    assert_eq!(install.invalid_blocks(DAMAGED), [1]);
}

/// Numbers and checksums of the blocks, so that a failure shows which ones differ.
fn checksums(install: &Install, version: &str) -> Vec<(u64, Option<String>)> {
    let sql = format!("SELECT id, checksum FROM blocks WHERE version_uid = '{version}' ORDER BY id");
    let number =
        |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).expect("a number");
    install.table(&sql).iter().map(|row| (number(&row[0]), row[1].clone())).collect()
}

#[test]
fn a_further_backup_of_the_same_image_writes_no_blob() {
    for name in ALL {
        let install = install(name);
        let blobs = install.blobs();
        for version in versions(name) {
            if version.uid == DAMAGED {
                continue;
            }
            let source = match &version.image {
                Some(image) => install.image(image, &by_name(image)),
                None => format!("null://{}", version.number("size_bytes")),
            };
            let uid = install.backup(&[&source, &version.name]);
            assert_eq!(checksums(&install, &uid), checksums(&install, &version.uid), "{name}");
            assert_eq!(
                install.count(&format!("SELECT blocks_written FROM stats WHERE version_uid = '{uid}'")),
                0
            );
        }
        assert_eq!(install.blobs(), blobs, "{name}");
    }
}

#[test]
fn a_further_backup_of_the_damaged_image_writes_its_missing_block() {
    let install = install("A");
    let blobs = install.blobs();
    let source = install.image("A4.img", &by_name("A4.img"));
    let uid = install.backup(&[&source, "db-nämé"]);
    assert_eq!(install.blobs().len(), blobs.len() + 1);
    assert!(install.blob(&install.blob_uid(&uid, 1)).exists());
    assert_ne!(install.blob_uid(&uid, 1), install.blob_uid(DAMAGED, 1));
    assert!(install.restored(&uid, "x") == by_name("A4.img"));
    assert!(!install.is_valid(DAMAGED), "its own blob is still missing");
}

/// The recorded hints on the recorded base give the recorded version.
#[test]
fn a_recorded_incremental_backup_gives_the_same_again() {
    for name in ["A", "B", "E"] {
        let install = install(name);
        let blobs = install.blobs();
        let (base, second) =
            (of_image(name, &format!("{name}1.img")), of_image(name, &format!("{name}2.img")));
        let source = install.image("second.img", &by_name(&format!("{name}2.img")));
        let hints = install.text(&format!("{name}2.hints.json"));
        let uid = install.backup(&["-r", &hints, "-f", &base.uid, &source, "again"]);
        assert_eq!(checksums(&install, &uid), checksums(&install, &second.uid), "{name}");
        assert_eq!(install.blobs(), blobs, "{name}");
        assert_eq!(Some(sha256(&install.restored(&uid, "x"))), second.sha256, "{name}");
    }
}

/// A fixture, its block size, the blocks that its hints call changed, and those that they call removed.
type Hinted = (&'static str, usize, &'static [usize], std::ops::Range<usize>);

#[test]
fn an_incremental_backup_with_recorded_hints_writes_the_changed_blocks_only() {
    let cases: [Hinted; 3] =
        [("A", 4 << 20, &[2], 5..6), ("B", 4096, &[5, 19, 20], 30..33), ("E", 65536, &[2], 4..5)];
    for (name, block, changed, gone) in cases {
        let install = install(name);
        let blobs = install.blobs().len();
        let image = format!("{name}1.img");
        let mut data = by_name(&image);
        for id in changed {
            data[id * block..(id + 1) * block].copy_from_slice(&pattern(1000 + *id as u32, block));
        }
        data[gone.start * block..gone.end * block].fill(0);
        let source = install.image("new.img", &data);
        let hints = install.text(&format!("{name}2.hints.json"));
        let base = of_image(name, &image).uid;
        let uid = install.backup(&["-r", &hints, "-f", &base, &source, "new"]);
        assert_eq!(install.blobs().len(), blobs + changed.len(), "{name}");
        let written = format!("SELECT blocks_written FROM stats WHERE version_uid = '{uid}'");
        assert_eq!(install.count(&written), changed.len() as i64, "{name}");
        assert!(install.restored(&uid, "x") == data, "{name}");
        assert_eq!(
            fixture::blocks(&install).iter().filter(|row| row[1] == uid).count(),
            data.len().div_ceil(block)
        );
        install.ok(&["scrub", "-s", &source, &uid]);
    }
}
