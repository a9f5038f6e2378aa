//! `check` finds each kind of trouble, changes nothing, and is content with a sound installation.

use crate::common::checks::{ended, wait_until};
use crate::common::database::{Engine, quoted};
use crate::common::install::{Install, noise};
use crate::common::told::{check, check_only};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

const BLOCK: usize = 4096;

/// An installation with two versions, which share most blobs, and their uids.
fn sound() -> (Install, [String; 2]) {
    let install = Install::new(BLOCK as u32);
    let mut image = noise(1, 9 * BLOCK);
    image[BLOCK..3 * BLOCK].fill(0);
    let first = install.backup(&[&install.image("a.img", &image), "vm"]);
    image[..BLOCK].fill(7);
    let second = install.backup(&[&install.image("a.img", &image), "vm"]);
    (install, [first, second])
}

fn age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    File::options().write(true).open(path).expect("opened").set_modified(time).expect("set");
}

#[test]
fn a_sound_installation_is_good_in_every_point() {
    let (install, _) = sound();
    let told = check(&install, &["--read", "100%"]);
    assert_eq!(told.run.code, 0, "{:?}", told.run);
    assert_eq!(told.states("ok").len() + told.states("warning").len(), told.points.len(), "{:?}", told.run);
    told.warns(&[]);
    told.says("blobs", &["8 blobs in the store"]);
    told.says("data", &["8 blobs were read, and all are good"]);
    told.says("references", &["18 blocks of 2 versions"]);
    told.says("versions", &["2 versions"]);
    told.says("copies", &["2 valid versions, and all copies are there"]);
    assert_eq!(told.run.stderr, "");
    assert!(check(&install, &[]).points.iter().all(|(point, _, _)| point != "data"), "nothing is read");
    let few = check(&install, &["--read", "50"]);
    assert!(few.text("data").contains("all are good"), "{:?}", few.run);
}

#[test]
fn an_installation_without_versions_is_sound() {
    let install = Install::new(BLOCK as u32);
    let told = check(&install, &["--read", "100"]);
    assert!(told.states("wrong").is_empty() && told.run.code == 0, "{:?}", told.run);
    told.says("versions", &["0 versions"]);
    told.says("blobs", &["0 blobs"]);
}

#[test]
fn people_see_one_line_for_each_point_and_a_pipe_gets_words() {
    let (install, [first, _]) = sound();
    let run = install.run(&["check"]);
    assert_eq!(run.code, 0, "{run:?}");
    for line in ["ok          database: ", "ok          blobs: 8 blobs", "INFO: Backy complete."] {
        assert!(run.stdout.contains(line), "{line}: {run:?}");
    }
    assert!(run.stdout.is_ascii(), "{run:?}");
    std::fs::remove_file(install.blob(&install.blob_uid(&first, 5))).expect("removed");
    let run = install.run(&["check"]);
    assert_eq!(run.code, 20, "{run:?}");
    for text in ["wrong       blobs: 7 blobs", "is missing; versions ", "`backy2 scrub`", "1 point is wrong"]
    {
        assert!(run.stdout.contains(text), "{text}: {run:?}");
    }
    let log = std::fs::read_to_string(install.path("backy.log")).expect("the logfile");
    assert!(log.contains("blobs: 7 blobs in the store: 1 blob is missing"), "{log}");
    let json: serde_json::Value =
        serde_json::from_str(&install.run(&["--json", "check"]).stdout).expect("JSON");
    assert_eq!(json["sound"], false);
    let points = json["points"].as_array().expect("points");
    let blobs = points.iter().find(|point| point["point"] == "blobs").expect("there");
    assert_eq!(blobs["state"], "wrong");
    assert!(blobs["details"][0].as_str().is_some_and(|text| text.contains(&first)), "{blobs}");
    for wrong in ["101", "-1", "x", ""] {
        install.fails(100, &["check", "--read", wrong]);
    }
}

#[test]
fn blobs_that_are_missing_or_have_an_impossible_size_are_found_without_reading() {
    let (install, [first, second]) = sound();
    let uid = |version: &str, id: u64| install.blob_uid(version, id);
    let (own, shared, short) = (uid(&first, 0), uid(&first, 3), uid(&second, 4));
    std::fs::remove_file(install.blob(&own)).expect("removed");
    std::fs::remove_file(install.blob(&shared)).expect("removed");
    std::fs::write(install.blob(&short), "x").expect("written");
    let told = check(&install, &[]);
    told.wrong(&["blobs"], &["2 blobs are missing", "1 blob has an impossible size"]);
    told.says("blobs", &[&format!("blob {own} is missing; version {first} needs it")]);
    told.says("blobs", &[&format!("blob {short} has 1 bytes, which is impossible for a block of 4096")]);
    let both = [format!("versions {first}, {second} need it"), format!("versions {second}, {first} need it")];
    assert!(both.iter().any(|both| told.text("blobs").contains(both)), "{:?}", told.run);
    assert!(install.is_valid(&first) && install.is_valid(&second), "a check marks nothing");
}

#[test]
fn bad_data_is_found_by_reading_it() {
    let (install, [_, second]) = sound();
    let uid = install.blob_uid(&second, 6);
    let mut data = std::fs::read(install.blob(&uid)).expect("read");
    let middle = data.len() / 2;
    data[middle] ^= 1;
    std::fs::write(install.blob(&uid), data).expect("written");
    assert_eq!(check(&install, &[]).run.code, 0, "names and sizes are right");
    let told = check(&install, &["--read", "100"]);
    told.wrong(&["data"], &["1 blob is bad", &uid, &second, "authentication tag"]);
    assert!(install.is_valid(&second), "a check marks nothing");
}

#[test]
fn blobs_that_nothing_names_are_a_warning_unless_a_backup_may_just_have_stored_them() {
    let (install, [first, _]) = sound();
    let other = Install::new(BLOCK as u32);
    let source = other.image("b.img", &noise(2, 2 * BLOCK));
    let foreign = other.backup(&[&source, "other"]);
    for id in 0..2 {
        let uid = other.blob_uid(&foreign, id);
        let path = install.blob(&uid);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::copy(other.blob(&uid), &path).expect("copied");
        age(&path, if id == 0 { 2 } else { 0 });
    }
    let told = check(&install, &[]);
    told.warns(&["blobs"]);
    told.says("blobs", &["1 blob is named by nothing", &other.blob_uid(&foreign, 0)]);
    let text = install.ok(&["check"]);
    assert!(text.contains("cleanup --full"), "{text}");
    // The data of a removed version waits for its cleanup.
    install.ok(&["rm", "-f", &first]);
    install.blobs().iter().for_each(|path| age(path, 2));
    let told = check(&install, &[]);
    told.says("blobs", &["2 blobs are named by nothing"]);
}

#[test]
fn wrong_settings_are_told_once_and_not_as_damage() {
    let (install, _) = sound();
    install.set("encryption_key", &"00ff".repeat(16));
    let told = check(&install, &["--read", "100"]);
    told.wrong(&["master key"], &["does not open"]);
    assert_eq!(told.states("not checked"), ["hash function", "data"], "{:?}", told.run);
    install.set("encryption_key", &"decafbad".repeat(8));
    install.set("hash_function", "sha3_512");
    let told = check(&install, &["--read", "100"]);
    told.wrong(&["hash function"], &["sha3_512", "It is sha512"]);
    assert_eq!(told.states("not checked"), ["data"], "{:?}", told.run);
    install.set("hash_function", "sha512");
    install.set("block_size", "8192");
    check(&install, &["--read", "100"]).wrong(&["block size"], &["8192", "4096"]);
}

#[test]
fn an_outage_of_the_store_is_one_line() {
    let (install, [first, _]) = sound();
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    let told = check_only(&install, &["--read", "100"]);
    told.wrong(&["data store"], &["cannot be reached", "mounted"]);
    assert_eq!(told.states("not checked"), ["hash function", "blobs", "data", "copies"], "{:?}", told.run);
    assert!(install.is_valid(&first));
}

#[test]
fn an_outage_of_the_database_is_one_line() {
    let (install, _) = sound();
    install.lose_database();
    let told = check(&install, &["--read", "100"]);
    told.wrong(&["database"], &["initdb"]);
    told.says("data store", &["can be reached"]);
    let not = told.states("not checked");
    assert!(
        ["references", "master key", "blobs", "versions"].iter().all(|point| not.contains(point)),
        "{not:?}"
    );
}

#[test]
fn damaged_rows_are_found() {
    let (install, [first, second]) = sound();
    let key = |uid: &str| format!("(SELECT id FROM versions WHERE uid = {})", quoted(uid));
    let change = |sql: String| install.change(&sql);
    let off = if install.engine() == Engine::Sqlite { "PRAGMA foreign_keys = OFF;" } else { "" };
    change(format!("DELETE FROM block_map WHERE version_id = {} AND block_id = 4", key(&first)));
    check(&install, &[]).says("references", &["marked valid, and has no row for 1 block", &first]);
    change(format!("{off} INSERT INTO block_map VALUES ({}, 4, 77777)", key(&first)));
    let told = check(&install, &[]);
    told.says("references", &[&format!("block 4 of version {first} names a blob that has no row")]);
    assert_eq!(told.run.code, 20);
    change(format!("DELETE FROM block_map WHERE version_id = {} AND block_id = 4", key(&first)));
    change(format!(
        "INSERT INTO block_map SELECT version_id, 4, blob_id FROM block_map WHERE version_id = {} AND block_id = 5",
        key(&first)
    ));
    assert_eq!(check(&install, &[]).run.code, 0, "a row as good as any other");
    change(format!(
        "INSERT INTO block_map SELECT version_id, 1000, blob_id FROM block_map WHERE version_id = {} AND block_id = 5",
        key(&second)
    ));
    check(&install, &[])
        .says("references", &[&format!("version {second} has 9 blocks, and a row for block 1000")]);
    change("DELETE FROM block_map WHERE block_id = 1000".into());
    change(format!("UPDATE versions SET size_bytes = 1000000 WHERE uid = {}", quoted(&second)));
    check(&install, &[])
        .says("references", &[&format!("version {second} has 9 blocks, and its 1000000 bytes are 245")]);
    change(format!("UPDATE versions SET size_bytes = -1 WHERE uid = {}", quoted(&second)));
    check(&install, &[]).wrong(&["references"], &[&second, "negative"]);
    change(format!("UPDATE versions SET size_bytes = 36864 WHERE uid = {}", quoted(&second)));
    change(format!(
        "{off} INSERT INTO block_map SELECT 999, 0, min(blob_id) FROM block_map WHERE blob_id > 0"
    ));
    check(&install, &[]).wrong(&["references"], &["1 block of a version that does not exist"]);
    change("DELETE FROM block_map WHERE version_id = 999".into());
    change(format!("UPDATE blobs SET uid = '' WHERE uid = {}", quoted(&install.blob_uid(&second, 0))));
    check(&install, &[]).says("references", &["1 blob without a name"]);
}

#[test]
fn versions_that_are_invalid_or_incomplete_are_named() {
    let (install, [first, second]) = sound();
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = {}", quoted(&first)));
    let told = check(&install, &[]);
    told.wrong(&["versions"], &["2 versions, 1 is invalid", &first, "\"vm\""]);
    install.change(&format!(
        "DELETE FROM block_map WHERE block_id = 5 AND version_id = (SELECT id FROM versions WHERE uid = {})",
        quoted(&first)
    ));
    let told = check(&install, &[]);
    told.warns(&["versions"]);
    told.says("versions", &["1 is incomplete", &first]);
    assert!(!told.text("versions").contains(&second));
    assert!(install.ok(&["check"]).contains("backup -c UID"));
}

#[test]
fn a_running_backup_disturbs_nothing_and_a_killed_one_leaves_traces() {
    let (install, _) = sound();
    let image = install.image("slow.img", &noise(3, 40 * BLOCK));
    install.bandwidth((10 * BLOCK) as u64, 0);
    let mut child = install.start(&["backup", &image, "slow"]);
    wait_until("its version exists", Duration::from_secs(10), || install.newest("slow").is_some());
    install.bandwidth(0, 0);
    let told = check_only(&install, &["--read", "100"]);
    assert!(told.states("wrong").is_empty() && told.run.code == 0, "{:?}", told.run);
    told.says("versions", &["3 versions, 1 is being written or removed"]);
    told.says("locks", &["held"]);
    told.says("copies", &["2 valid versions, and all copies are there"]);
    child.kill().expect("killed");
    ended(child);
    let told = check(&install, &[]);
    told.says("versions", &["1 is incomplete"]);
    told.says("copies", &["2 valid versions, and all copies are there"]);
    told.says("locks", &["1 lock is left of processes that were killed"]);
    assert_eq!(told.run.code, 0, "{:?}", told.run);
}

#[test]
fn leftovers_of_killed_commands_are_named() {
    let (install, [first, _]) = sound();
    let blob = install.blob(&install.blob_uid(&first, 0));
    let in_store = blob.with_extension("blob.0123456789abcdef.tmp");
    let in_cache = install.path("cache/backy2-0123.tmp");
    let young = install.path("cache/backy2-4567.tmp");
    for path in [&in_store, &in_cache, &young] {
        std::fs::write(path, "x").expect("written");
    }
    age(&in_store, 25);
    age(&in_cache, 25);
    let told = check(&install, &[]);
    told.warns(&["leftovers"]);
    told.says("leftovers", &["2 files", in_store.to_str().expect("text"), in_cache.to_str().expect("text")]);
    assert!(in_store.exists() && in_cache.exists());
}

#[test]
fn folders_and_settings_are_checked() {
    let (install, _) = sound();
    std::fs::remove_dir_all(install.path("cache")).expect("removed");
    check(&install, &[]).wrong(&["folders"], &["cachedir", "does not exist"]);
    std::fs::create_dir(install.path("cache")).expect("made");
    install.set("metrics_file", &install.text("none/backy2.prom"));
    let told = check(&install, &[]);
    told.wrong(&["folders"], &["the folder of metrics_file", "does not exist"]);
    install.unset("metrics_file");
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("[DEFAULTS]", "[DEFAULTS]\nblok_size: 1")).expect("written");
    let told = check(&install, &[]);
    told.warns(&["configuration"]);
    told.says("configuration", &["blok_size"]);
    std::fs::write(&config, text.replace("block_size: ", "block_size: x")).expect("written");
    install.fails(1, &["check"]);
}

#[test]
fn a_version_from_the_future_is_a_warning_about_clocks() {
    let (install, [first, _]) = sound();
    install
        .change(&format!("UPDATE versions SET date = '2200-01-01 00:00:00' WHERE uid = {}", quoted(&first)));
    let told = check(&install, &[]);
    // The copy of the version is due since it was changed.
    told.warns(&["copies", "clock"]);
    told.says("clock", &[&first]);
}
