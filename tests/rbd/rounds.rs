//! Rounds of changes to RBD images on a real cluster: every version, restored to a file and to an image, is the same as
//! Ceph's own export.

use crate::common::ceph::{Ceph, hints};
use crate::common::checks::seed;
use crate::common::install::{Install, noise};
use backy2::io::Zeroing;

const MIB: u64 = 1 << 20;
/// The number of rounds.
const ROUNDS: usize = 10;

/// A version, and the data of its snapshot according to Ceph.
struct Kept {
    uid: String,
    data: Vec<u8>,
}

/// Restores a version to a file and, with `image`, to a new image, and compares the data.
fn check(ceph: &Ceph, install: &Install, kept: &Kept, what: &str, image: bool) {
    assert!(install.restored(&kept.uid, "out.img") == kept.data, "{what}: the file differs");
    if image {
        let url = format!("rbd://rbd/{}", &kept.uid);
        install.ok(&["restore", &kept.uid, &url]);
        assert!(ceph.export(&kept.uid) == kept.data, "{what}: the image differs");
        ceph.rbd(&["rm", &kept.uid]);
    }
}

/// Makes some writes, discards and resizes. Returns the new size in bytes.
fn change(ceph: &Ceph, image: &str, size: u64, random: &mut fastrand::Rng) -> u64 {
    let mut size = size;
    for _ in 0..random.usize(1..4) {
        if random.u8(0..3) == 0 {
            size = random.u64(20 * MIB..40 * MIB) / 512 * 512;
            let text = format!("{size}B");
            ceph.rbd(&["resize", "--allow-shrink", "--size", &text, image]);
            if random.bool() {
                // Grow the image again: the data that was cut off must read as zeros.
                size += random.u64(0..8 * MIB) / 512 * 512;
                let text = format!("{size}B");
                ceph.rbd(&["resize", "--allow-shrink", "--size", &text, image]);
            }
        }
        let target = ceph.writer(&format!("rbd://rbd/{image}"));
        for _ in 0..random.usize(0..6) {
            let offset = random.u64(0..size) / 512 * 512;
            let length = (random.u64(1..3 * MIB) / 512 * 512).min(size - offset);
            match random.u8(0..3) {
                0 => drop(target.zero(offset..offset + length, Zeroing::Always).expect("zeroed")),
                1 => target.write_at(offset, &vec![0; length as usize]).expect("written"),
                _ => target.write_at(offset, &noise(random.u64(..), length as usize)).expect("written"),
            }
        }
        target.flush().expect("flushed");
    }
    size
}

/// Changes `image` in rounds, and after each makes backups with a hints file, with `-f` alone and with `--incremental`.
fn rounds(ceph: &Ceph, image: &str, block: u32, random: &mut fastrand::Rng, disturb: impl Fn(usize)) {
    let install = ceph.install(block);
    let mut size = 40 * MIB;
    let mut kept: Vec<(String, Kept)> = Vec::new();
    let mut before: Option<[String; 2]> = None;
    let mut saved = 0;
    for round in 0..ROUNDS {
        size = change(ceph, image, size, random);
        disturb(round);
        let snapshot = format!("s{round}");
        ceph.rbd(&["snap", "create", &format!("{image}@{snapshot}")]);
        let (at, url) = (format!("{image}@{snapshot}"), format!("rbd://rbd/{image}@{snapshot}"));
        let data = ceph.export(&at);
        assert_eq!(data.len() as u64, size);
        let [hinted, based] = match &before {
            None => {
                let list = hints(ceph, &install, &[&at]);
                let hinted = install.backup(&["-s", &snapshot, "-r", &list, &url, "hinted"]);
                [hinted, install.backup(&[&url, "based"])]
            }
            Some([hinted, based]) => {
                let since = format!("s{}", round - 1);
                let whole: &[&str] = if round % 2 == 0 { &["--whole-object"] } else { &[] };
                let list = hints(ceph, &install, &[&["--from-snap", &since, &at], whole].concat());
                let hinted = install.backup(&["-s", &snapshot, "-r", &list, "-f", hinted, &url, "hinted"]);
                [hinted, install.backup(&["-f", based, &url, "based"])]
            }
        };
        let incremental = install.backup(&["--incremental", &format!("rbd://rbd/{image}"), "incremental"]);
        for (name, uid) in [("hinted", &hinted), ("based", &based), ("incremental", &incremental)] {
            let new = Kept { uid: uid.clone(), data: data.clone() };
            let what = format!("{image}, round {round}, {name}");
            check(ceph, &install, &new, &what, round % 3 == 0);
            kept.push((what, new));
        }
        let read =
            |uid: &str| install.count(&format!("SELECT blocks_read FROM stats WHERE version_uid = '{uid}'"));
        // Ten blocks are compared with the base, and a round may change nearly all blocks.
        let all = size.div_ceil(u64::from(block)) as i64;
        saved += usize::from(round > 0 && read(&based).max(read(&incremental)) < all);
        let made: Vec<String> =
            ceph.snapshots(image).into_iter().filter(|name| name.starts_with("backy2-")).collect();
        assert_eq!(made.len(), 1, "round {round}: {made:?}");
        before = Some([hinted, based]);
    }
    assert!(block > MIB as u32 || saved > 2, "all was read, but in {saved} rounds");
    for (what, kept) in &kept {
        check(ceph, &install, kept, what, false);
    }
    install.assert_sound();
}

#[test]
fn every_version_equals_the_export_of_ceph() {
    let Some(ceph) = Ceph::get("every_version_equals_the_export_of_ceph") else { return };
    let mut random = fastrand::Rng::with_seed(seed("every_version_equals_the_export_of_ceph"));
    ceph.rbd(&["create", "--size", "40M", "--object-size", "1M", "fast"]);
    rounds(&ceph, "fast", MIB as u32, &mut random, |_| {});
}

#[test]
fn without_object_maps_it_is_the_same() {
    let Some(ceph) = Ceph::get("without_object_maps_it_is_the_same") else { return };
    let mut random = fastrand::Rng::with_seed(seed("without_object_maps_it_is_the_same"));
    let features = ["--image-feature", "layering,exclusive-lock"];
    ceph.rbd(&[&["create", "--size", "40M", "--object-size", "1M", "unmapped"][..], &features].concat());
    rounds(&ceph, "unmapped", 256 << 10, &mut random, |_| {});
}

#[test]
fn with_an_invalid_object_map_it_is_the_same() {
    let Some(ceph) = Ceph::get("with_an_invalid_object_map_it_is_the_same") else { return };
    let mut random = fastrand::Rng::with_seed(seed("with_an_invalid_object_map_it_is_the_same"));
    ceph.rbd(&["create", "--size", "40M", "lost"]);
    let info: serde_json::Value =
        serde_json::from_str(&ceph.rbd(&["info", "--format", "json", "lost"])).expect("JSON");
    let map = format!("rbd_object_map.{}", info["id"].as_str().expect("an id"));
    rounds(&ceph, "lost", 4 << 20, &mut random, |round| match round {
        3 => drop(ceph.rados(&["-p", "rbd", "rm", &map])),
        7 => drop(ceph.rbd(&["object-map", "rebuild", "lost"])),
        _ => {}
    });
}
