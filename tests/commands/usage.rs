//! `du`: compared with recorded numbers and with its definition, and its speed.

use crate::common::database::padded;
use crate::common::fixture::recorded;
use crate::common::install::{Install, noise};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

#[test]
fn the_numbers_are_those_of_2_13() {
    for name in ["A", "B", "D"] {
        let install = Install::fixture(name);
        assert_eq!(sorted(&install.ok(&["-m", "du"])), sorted(&recorded(name, "du.m.txt")), "{name}");
        // The lines of single versions are the same.
        let mut one_by_one =
            String::from("Real|Null|Dedup Own|Dedup Others|Individual|Est. Space|Est. Space freed\n");
        for uid in install.uids(&[]) {
            one_by_one += &install.ok(&["-ms", "du", &uid]);
        }
        assert_eq!(one_by_one, install.ok(&["-m", "du"]), "{name}");
    }
}

/// A version: for each block its blob, if it has one, and its size.
type Model = Vec<Vec<(Option<usize>, u64)>>;

/// The definition, translated literally.
fn by_definition(model: &Model, version: usize) -> [u64; 7] {
    let rows = &model[version];
    let real = rows.iter().filter(|(blob, _)| blob.is_some()).map(|(_, size)| size).sum();
    let null = rows.iter().filter(|(blob, _)| blob.is_none()).map(|(_, size)| size).sum();
    let (mut own, mut others, mut individual, mut space, mut freed) = (0, 0, 0, (0, 1), 0);
    let distinct: BTreeMap<usize, u64> =
        rows.iter().filter_map(|(blob, size)| Some(((*blob)?, *size))).collect();
    for (blob, size) in distinct {
        let times = |rows: &[(Option<usize>, u64)]| {
            rows.iter().filter(|(other, _)| *other == Some(blob)).count() as u64
        };
        let here = times(rows);
        let everywhere: u64 = model.iter().map(|rows| times(rows)).sum();
        match (everywhere > here, here) {
            (true, here) => others += size * here,
            (false, 1) => individual += size,
            (false, here) => own += (here - 1) * size,
        }
        if everywhere == here {
            freed += size;
        }
        space = plus(space, (size, everywhere));
    }
    [real, null, own, others, individual, rounded(space), freed]
}

/// The sum of two fractions, in lowest terms. Floating point would round some halves the wrong way.
fn plus(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    let (over, under) = (a.0 * b.1 + b.0 * a.1, a.1 * b.1);
    let (mut divisor, mut rest) = (over, under);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (over / divisor, under / divisor)
}

/// The nearest whole number; the even one if two are equally near.
fn rounded((over, under): (u64, u64)) -> u64 {
    let (whole, rest) = (over / under, over % under);
    whole + u64::from(2 * rest > under || (2 * rest == under && whole % 2 == 1))
}

/// Writes the model into the database as a backup would have done.
fn store(install: &Install, model: &Model) {
    let mut sql = String::from("BEGIN; DELETE FROM block_map; DELETE FROM blobs; DELETE FROM versions;");
    let mut known = BTreeSet::new();
    for (version, rows) in model.iter().enumerate() {
        sql += &format!(
            "INSERT INTO versions (id, uid, date, name, size, size_bytes, valid, protected)
             VALUES ({0}, 'uid-{0:06}', '2026-01-01 00:00:00.{0:06}', 'vm', {1}, {1} * 4096, 1, 0);",
            version + 1,
            rows.len()
        );
        for (block, (blob, size)) in rows.iter().enumerate() {
            let id = blob.map_or(-(*size as i64), |blob| blob as i64 + 1);
            if known.insert(id) {
                let uid = blob.map_or("NULL".to_owned(), |blob| format!("'blob{blob:028}'"));
                sql += &format!(
                    "INSERT INTO blobs (id, uid, size, valid, date) VALUES ({id}, {uid}, {size}, 1, '2026-01-01 00:00:00');"
                );
            }
            sql += &format!("INSERT INTO block_map VALUES ({}, {block}, {id});", version + 1);
        }
    }
    install.change(&(sql + "COMMIT;"));
}

#[test]
fn on_random_stores_the_numbers_are_those_of_the_definition() {
    let mut random = fastrand::Rng::with_seed(crate::common::checks::seed("usage"));
    let install = Install::in_memory(4096);
    install.ok(&["initdb"]);
    let mut seen = [false; 7];
    for _ in 0..if crate::common::all() { 200 } else { 25 } {
        let blobs: Vec<u64> = (0..random.usize(1..12)).map(|_| random.u64(1..=4096)).collect();
        let row = |random: &mut fastrand::Rng| match random.usize(0..=blobs.len()) {
            0 => (None, random.u64(1..=4096)),
            n => (Some(n - 1), blobs[n - 1]),
        };
        let model: Model = (0..random.usize(1..6))
            .map(|_| (0..random.usize(0..10)).map(|_| row(&mut random)).collect())
            .collect();
        store(&install, &model);
        let out = install.ok(&["-ms", "du"]);
        let found: Vec<Vec<u64>> = out
            .lines()
            .map(|line| line.split('|').map(|cell| cell.parse().expect("a number")).collect())
            .collect();
        let wanted: Vec<Vec<u64>> = (0..model.len()).map(|v| by_definition(&model, v).to_vec()).collect();
        assert_eq!(found, wanted, "{model:?}");
        for numbers in &wanted {
            numbers.iter().enumerate().for_each(|(column, number)| seen[column] |= *number > 0);
        }
        let one = random.usize(0..model.len());
        let line = install.ok(&["-ms", "du", &format!("uid-{:06}", one + 1)]);
        assert_eq!(line.trim_end(), out.lines().nth(one).expect("a line"));
    }
    assert_eq!(seen, [true; 7], "every column was more than 0 at some time");
}

#[test]
fn a_thousand_versions_take_seconds() {
    let install = Install::new(4096);
    let (uid, blob) = (format!("'uid-' || {}", padded("i", 6)), padded("a.i * 1000 + b.i", 32));
    install.change(&format!(
        "BEGIN;
         CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n;
         INSERT INTO versions (id, uid, date, name, size, size_bytes, valid, protected)
             SELECT i + 1, {uid}, '2026-01-01 00:00:00', 'vm' || (i % 10), 1000, 4096000, 1, 0 FROM n;
         INSERT INTO blobs (id, size, valid, date) VALUES (-4096, 4096, 1, '2026-01-01 00:00:00');
         INSERT INTO blobs (uid, size, valid, date)
             SELECT {blob}, 4096, 1, '2026-01-01 00:00:00' FROM n a, n b WHERE a.i < 20;
         INSERT INTO block_map SELECT v.i + 1, b.i,
             CASE WHEN b.i % 10 = 0 THEN -4096 ELSE (v.i % 10) * 1000 + b.i + (CASE WHEN (v.i + b.i) % 50 = 0 THEN 10000 ELSE 0 END) END
             FROM n v, n b;
         COMMIT;",
    ));
    let start = Instant::now();
    let out = install.ok(&["-ms", "du"]);
    assert_eq!(out.lines().count(), 1000);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?} for a million blocks", start.elapsed());
    println!("all: {:?}", start.elapsed());
    let start = Instant::now();
    let line = install.ok(&["-ms", "du", "uid-000500"]);
    assert!(out.lines().any(|other| other == line.trim_end()));
    println!("one: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} for one version", start.elapsed());
}

#[test]
fn data_that_was_stored_twice_differs_in_diff_meta_as_in_2_13() {
    let install = Install::new(4096);
    let mut image = noise(1, 3 * 4096);
    image[4096..8192].fill(0);
    let source = install.image("x.img", &image);
    let first = install.backup(&[&source, "vm"]);
    let second = install.backup(&[&source, "vm"]);
    let diff = |a: &str, b: &str| install.ok(&["-m", "diff-meta", a, b]);
    assert_eq!(diff(&first, &second), "SAME      0\nSAME      1\nSAME      2\n");
    install.set("deduplication", "0");
    let third = install.backup(&[&source, "vm"]);
    assert_eq!(diff(&first, &third), "DIFF      0\nSAME      1\nDIFF      2\n", "holes are the same");
}
