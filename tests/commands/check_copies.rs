//! `check` compares the copies of the metadata in the store with the database, and writes those that are missing.

use crate::common::checks::ended;
use crate::common::database::Engine;
use crate::common::fixture::{of_image, restores_right};
use crate::common::install::{Install, noise};
use crate::common::told::{Told, check, check_only};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

const BLOCK: usize = 4096;

/// An installation with two versions, which share most blobs, and their uids.
fn with_versions() -> (Install, [String; 2]) {
    let install = Install::new(BLOCK as u32);
    let mut image = noise(1, 9 * BLOCK);
    let first = install.backup(&[&install.image("a.img", &image), "a"]);
    image[..BLOCK].fill(7);
    let second = install.backup(&[&install.image("b.img", &image), "b"]);
    (install, [first, second])
}

/// Adds a tag to some versions while the store is away.
fn tag_without_store(install: &Install, uids: &[&str]) {
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    uids.iter().for_each(|uid| _ = install.ok(&["add-tag", uid, "late"]));
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
}

/// Writes the missing copies, after which all are there.
#[track_caller]
fn write(install: &Install, words: &[&str]) {
    let told = check_only(install, &["--write-metadata"]);
    told.warns(&[]);
    told.says("copies", words);
    install.assert_copies();
    let again = check_only(install, &["--write-metadata"]);
    again.warns(&[]);
    again.says("copies", &["all copies are there. Now written: copies of 0 versions and 0 blobs"]);
    check(install, &[]).warns(&[]);
}

#[test]
fn copies_that_are_not_up_to_date_are_a_warning_and_are_written() {
    let (install, [first, second]) = with_versions();
    tag_without_store(&install, &[&second]);
    let told = check(&install, &[]);
    told.warns(&["copies"]);
    told.says(
        "copies",
        &["2 valid versions: 1 copy is not up to date", &format!("the copy of version {second}")],
    );
    let text = install.ok(&["check"]);
    assert!(
        text.contains("The next backup or cleanup") && text.contains("`backy2 check --write-metadata`"),
        "{text}"
    );
    tag_without_store(&install, &[&first]);
    let told = check(&install, &[]);
    told.says("copies", &[&format!("2 copies are not up to date, the oldest that of version {second}")]);
    write(&install, &["Now written: copies of 2 versions and 0 blobs"]);
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    install.ok(&["rm", "-f", &first]);
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    let told = check(&install, &[]);
    told.warns(&["copies"]);
    told.says("copies", &[&format!("version {first} was removed, and its copy is still there")]);
    write(&install, &["1 valid version, and all copies are there. Now written: copies of 1 version"]);
    assert_eq!(install.objects("versions"), [second]);
}

#[test]
fn lost_copies_are_wrong_and_are_written_again() {
    let (install, [first, second]) = with_versions();
    let lists = install.objects("index");
    std::fs::remove_file(install.path("data").join("versions").join(&first)).expect("removed");
    std::fs::remove_file(install.path("data").join("index").join(&lists[0])).expect("removed");
    let told = check(&install, &[]);
    told.wrong(&["copies"], &["2 valid versions: 2 copies are lost", &format!("version {first} of \"a\"")]);
    told.says("copies", &[&format!("index/{}, a list of 9 blobs, is missing", lists[0])]);
    write(&install, &["Now written: copies of 1 version and 9 blobs"]);
    for folder in ["versions", "index"] {
        std::fs::remove_dir_all(install.path("data").join(folder)).expect("removed");
    }
    check(&install, &[]).wrong(&["copies"], &["4 copies are lost"]);
    write(&install, &["Now written: copies of 2 versions and 10 blobs"]);
    let before = install.ok(&["-ms", "ls"]);
    install.lose_database();
    install.ok(&["rebuild"]);
    assert_eq!(install.ok(&["-ms", "ls"]), before);
    assert!(install.restored(&second, "out")[BLOCK..] == noise(1, 9 * BLOCK)[BLOCK..]);
}

#[test]
fn a_damaged_copy_that_was_deleted_is_written_again() {
    let (install, [first, _]) = with_versions();
    let object = install.path("data").join("versions").join(&first);
    std::fs::write(&object, "damaged").expect("written");
    let error = install.fails(20, &["rebuild", "--check"]);
    assert!(error.contains(&format!("versions/{first} cannot be used")), "{error}");
    check(&install, &[]).warns(&[]);
    std::fs::remove_file(&object).expect("removed");
    write(&install, &["Now written: copies of 1 version and 0 blobs"]);
    install.ok(&["rebuild", "--check"]);
}

#[test]
fn an_installation_of_2_13_gets_its_copies_without_a_backup() {
    let install = Install::fixture("A");
    // This upgrades the database.
    install.ok(&["scrub", &of_image("A", "A1.img").uid]);
    let told = check_only(&install, &[]);
    assert!(told.states("warning").contains(&"copies"), "{:?}", told.run);
    told.says("copies", &["copies are not up to date", "are in no list"]);
    assert!(install.killed_at("copies-list-recorded", &["check", "--write-metadata"]));
    assert!(install.killed_at("copies-version-renewed:2", &["check", "--write-metadata"]));
    let told = check_only(&install, &["--write-metadata"]);
    told.says("copies", &["and all copies are there. Now written"]);
    install.assert_copies();
    let before = install.ok(&["-ms", "ls"]);
    install.lose_database();
    install.ok(&["rebuild"]);
    assert_eq!(install.ok(&["-ms", "ls"]), before);
    restores_right(&install, "A");
}

#[test]
fn copies_that_the_database_does_not_know_are_named() {
    let (install, [first, _]) = with_versions();
    let object = |name: &str| install.path("data").join("versions").join(name);
    std::fs::copy(object(&first), object("unknown-1")).expect("copied");
    let told = check(&install, &["--write-metadata"]);
    told.warns(&["copies"]);
    told.says(
        "copies",
        &["1 copy is unknown to the database", "the database does not know versions/unknown-1"],
    );
    let text = install.ok(&["check"]);
    assert!(
        text.contains("was an older copy of it put back?") && text.contains("--dangerous-force"),
        "{text}"
    );
    install.ok(&["cleanup", "--full", "--dangerous-force"]);
    check(&install, &[]).warns(&[]);
}

#[test]
fn an_older_copy_of_the_database_is_wrong() {
    if Engine::usual() != Engine::Sqlite {
        return;
    }
    let (install, _) = with_versions();
    let database = install.path("backy.sqlite");
    let written = || install.sqlite().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("written");
    written();
    let older = std::fs::read(&database).expect("read");
    install.backup(&[&install.image("c.img", &noise(3, 2 * BLOCK)), "c"]);
    written();
    std::fs::write(&database, older).expect("written");
    for args in [&[][..], &["--write-metadata"]] {
        let told = check(&install, args);
        told.wrong(&["copies"], &["is an older copy", "up to blob 12"]);
    }
    assert!(install.run(&["check"]).stdout.contains("`backy2 rebuild`"));
}

#[test]
fn copies_that_are_switched_off_are_a_warning() {
    let (install, [first, _]) = with_versions();
    install.set_in("DataBackend", "metadata_copies", "0");
    install.ok(&["add-tag", &first, "x"]);
    let told = check(&install, &[]);
    told.warns(&["copies"]);
    told.says("copies", &["metadata_copies is 0"]);
    check(&install, &["--write-metadata"])
        .wrong(&["copies"], &["no copies are written: metadata_copies is 0"]);
    install.set_in("DataBackend", "metadata_copies", "1");
    write(&install, &["Now written: copies of 1 version"]);
}

#[test]
fn nothing_is_written_into_a_store_that_does_not_fit() {
    let (install, [first, _]) = with_versions();
    std::fs::remove_file(install.path("data").join("versions").join(&first)).expect("removed");
    let objects = || (install.objects("versions"), install.objects("index"));
    let before = objects();
    let refused = |told: &Told| {
        assert_eq!(told.run.code, 20, "{:?}", told.run);
        assert!(told.states("not checked").contains(&"copies"), "{:?}", told.run);
        assert_eq!(objects(), before);
    };
    for (key, wrong, right) in [
        ("block_size", "8192", "4096"),
        ("hash_function", "sha3_512", "sha512"),
        ("encryption_key", &"00ff".repeat(16), &"decafbad".repeat(8)),
    ] {
        install.set(key, wrong);
        refused(&check(&install, &["--write-metadata"]));
        install.set(key, right);
    }
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    std::fs::create_dir(install.path("data")).expect("made");
    let told = check_only(&install, &["--write-metadata"]);
    told.wrong(&["data store"], &["it has no backy2.store"]);
    assert_eq!(std::fs::read_dir(install.path("data")).expect("listed").count(), 0);
    std::fs::remove_dir(install.path("data")).expect("removed");
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    write(&install, &["Now written: copies of 1 version"]);
}

#[test]
fn a_folder_of_copies_that_cannot_be_listed_is_wrong() {
    let (install, _) = with_versions();
    let folder = install.path("data").join("index");
    std::fs::rename(&folder, install.path("aside")).expect("moved");
    std::fs::write(&folder, "a file").expect("written");
    check(&install, &[]).wrong(&["copies"], &["index"]);
    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(install.path("aside"), &folder).expect("moved");
    check(&install, &[]).warns(&[]);
}

#[test]
fn a_signal_ends_the_writing_of_copies() {
    let (install, [first, _]) = with_versions();
    std::fs::remove_file(install.path("data").join("versions").join(&first)).expect("removed");
    // Another process writes copies.
    let lock = File::create(install.path("lock/backy_backy-copies.lock")).expect("made");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    let mut child = install.start(&["check", "--write-metadata"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    while !lines.next().expect("a line").expect("read").starts_with("ok          blobs") {}
    std::thread::sleep(Duration::from_millis(500));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("sent");
    let run = ended(child);
    assert_eq!(run.code, 130, "{run:?}");
    assert!(!install.objects("versions").contains(&first));
    drop(lock);
    write(&install, &["Now written: copies of 1 version"]);
}
