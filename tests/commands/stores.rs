//! A data store belongs to one database, and a wrong one is noticed before anything is changed.

use crate::common::checks::ended;
use crate::common::disk::run;
use crate::common::fixture::{of_image, restores_right};
use crate::common::install::{Install, noise};
use std::path::PathBuf;

const BLOCK: usize = 4096;
const OTHER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The file in the store that has its identity.
fn identity(install: &Install) -> PathBuf {
    install.path("data").join("backy2.store")
}

/// The fields of the identity.
fn fields(install: &Install) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(identity(install)).expect("an identity")).expect("JSON")
}

/// What the database remembers: name, UUID and key.
fn remembered(install: &Install) -> Vec<Vec<Option<String>>> {
    install.table("SELECT name, uuid, envkey FROM stores")
}

/// The database remembers the store that is there, and has the same key.
fn assert_known(install: &Install) {
    let fields = fields(install);
    let text = |name: &str| fields[name].as_str().map(str::to_owned);
    assert_eq!(remembered(install), [vec![Some("main".to_owned()), text("uuid"), text("key")]]);
    assert_eq!(fields["mac"].is_string(), fields["key"].is_string(), "{fields}");
}

/// An installation with a version of `blocks` different blocks, and its uid.
fn with_a_version(blocks: usize) -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(5, blocks * BLOCK)), "a"]);
    (install, uid)
}

/// Every command that uses blobs refuses the store with exit code 6 and one of these words, and changes nothing.
fn all_refuse(install: &Install, words: &[&str]) {
    let (source, out) = (install.url("a.img"), install.url("out"));
    for args in [
        &["backup", &source, "a"][..],
        &["backup", "--incremental", &source, "a"],
        &["scrub", "a"],
        &["restore", "a", &out],
        &["cleanup", "--dangerous-force"],
        &["cleanup", "--full"],
        &["cleanup", "--full", "--dangerous-force"],
        &["cleanup", "--full", "--dry-run"],
        &["migrate-encryption", "a"],
        &["fuse", &install.text("cache")],
        &["nbd", "--socket", &install.text("socket")],
    ] {
        let before = (install.state(), std::fs::read(identity(install)).ok());
        let error = install.fails(6, args);
        assert!(words.iter().any(|word| error.contains(word)), "{args:?}: {error}");
        assert!((install.state(), std::fs::read(identity(install)).ok()) == before, "{args:?}");
    }
}

/// The command between backticks in a message.
fn advised(error: &str) -> String {
    error.split('`').nth(1).expect("a command").to_owned()
}

#[test]
fn the_first_backup_makes_the_identity_and_later_ones_keep_it() {
    let install = Install::new(BLOCK as u32);
    for args in [&["ls"][..], &["cleanup"], &["cleanup", "--full"]] {
        install.ok(args);
        assert!(!identity(&install).exists() && remembered(&install).is_empty(), "{args:?}");
    }
    install.backup(&[&install.image("a.img", &noise(1, 3 * BLOCK)), "a"]);
    assert_known(&install);
    let made = fields(&install);
    assert_eq!((made["format"].as_u64(), made["plain"].as_bool()), (Some(1), Some(false)), "{made}");
    install.backup(&[&install.url("a.img"), "b"]);
    install.set("encryption_version", "0");
    install.backup(&[&install.image("c.img", &noise(2, BLOCK)), "c"]);
    assert_eq!(fields(&install)["plain"].as_bool(), Some(true));
    assert_eq!(fields(&install)["uuid"], made["uuid"]);
    assert_known(&install);
    install.ok(&["scrub", "a"]);
}

#[test]
fn a_folder_where_nothing_is_mounted_is_no_store() {
    let (install, uid) = with_a_version(12);
    std::fs::rename(install.path("data"), install.path("real")).expect("moved");
    std::fs::create_dir(install.path("data")).expect("a mountpoint");
    all_refuse(&install, &["it has no backy2.store: it is not the store that belongs to the database"]);
    assert!(std::fs::read_dir(install.path("data")).expect("listed").next().is_none());
    assert!(install.is_valid(&uid) && install.invalid_blocks(&uid).is_empty());
    std::fs::remove_dir(install.path("data")).expect("removed");
    std::fs::rename(install.path("real"), install.path("data")).expect("moved back");
    install.ok(&["scrub", &uid]);
}

#[test]
fn an_identity_that_was_deleted_is_written_again_as_the_message_says() {
    let (install, uid) = with_a_version(12);
    let before = fields(&install);
    std::fs::remove_file(identity(&install)).expect("removed");
    all_refuse(&install, &["holds blobs of this installation: the file was deleted"]);
    let error = install.fails(6, &["scrub", &uid]);
    run("sh", &["-c", &advised(&error)]).expect("written");
    install.ok(&["scrub", &uid]);
    assert!(fields(&install)["key"].is_null(), "a scrub writes nothing there");
    install.backup(&[&install.url("a.img"), "b"]);
    assert_known(&install);
    assert_eq!((&fields(&install)["uuid"], &fields(&install)["key"]), (&before["uuid"], &before["key"]));
}

#[test]
fn a_store_that_is_lost_for_good_can_be_replaced_by_an_empty_folder() {
    let (install, uid) = with_a_version(3);
    std::fs::remove_dir_all(install.path("data")).expect("lost");
    std::fs::create_dir(install.path("data")).expect("made");
    let error = install.fails(6, &["scrub", &uid]);
    run("sh", &["-c", &advised(&error)]).expect("written");
    install.fails(20, &["scrub", &uid]);
    assert_eq!(install.invalid_blocks(&uid), [0, 1, 2]);
    let new = install.backup(&[&install.url("a.img"), "a"]);
    assert!(install.restored(&new, "out") == noise(5, 3 * BLOCK));
}

#[test]
fn two_installations_cannot_use_one_store() {
    let (first, uid) = with_a_version(12);
    let (second, _) = with_a_version(2);
    let own = second.text("data");
    second.set_in("DataBackend", "path", &first.text("data"));
    let blobs = first.blobs();
    all_refuse(&second, &["it is another store: its UUID is "]);
    second.set_in("DataBackend", "path", &own);
    second.ok(&["scrub", "a"]);
    // A new one cannot either, also if the store has no blob or no identity.
    let third = Install::new(BLOCK as u32);
    third.image("a.img", &noise(3, BLOCK));
    third.set_in("DataBackend", "path", &first.text("data"));
    let foreign = |install: &Install| {
        for args in [&["backup", &install.url("a.img"), "a"][..], &["cleanup", "-f", "--dangerous-force"]] {
            install.refuses(6, args, &["it has data, and the database knows of none", "backy2 rebuild"]);
        }
    };
    foreign(&third);
    assert!(first.blobs() == blobs);
    std::fs::rename(identity(&first), first.path("aside")).expect("moved");
    foreign(&third);
    let aside = first.path("blobs");
    std::fs::rename(first.path("data"), &aside).expect("moved");
    std::fs::create_dir(first.path("data")).expect("made");
    std::fs::copy(first.path("aside"), identity(&first)).expect("copied");
    foreign(&third);
    std::fs::remove_dir_all(first.path("data")).expect("removed");
    std::fs::rename(&aside, first.path("data")).expect("moved");
    std::fs::rename(first.path("aside"), identity(&first)).expect("moved");
    first.ok(&["scrub", &uid]);
}

#[test]
fn a_copy_of_the_store_with_its_database_is_as_good() {
    let (install, uid) = with_a_version(12);
    let copy = install.duplicate();
    assert!(copy.restored(&uid, "out") == noise(5, 12 * BLOCK));
    copy.backup(&[&copy.url("a.img"), "b"]);
    assert_known(&copy);
}

#[test]
fn a_new_database_is_warned_of_a_store_with_data() {
    let (install, _) = with_a_version(3);
    install.ok(&["export", "a", &install.text("dump")]);
    install.lose_database();
    let hint = "`backy2 rebuild` makes it anew from the data store";
    let error = install.fails(1, &["ls"]);
    assert!(error.contains("initdb") && error.contains(hint), "{error}");
    let run = install.run(&["initdb"]);
    assert!(run.code == 0 && (run.stdout + &run.stderr).contains(hint));
    install.fails(6, &["backup", &install.url("a.img"), "a"]);
    // With the dump it knows the store again.
    install.ok(&["import", &install.text("dump")]);
    install.ok(&["scrub", "a"]);
    assert!(remembered(&install).is_empty(), "a scrub records nothing");
    install.backup(&[&install.url("a.img"), "b"]);
    assert_known(&install);

    let fresh = Install::without_database(BLOCK as u32);
    let error = fresh.fails(1, &["ls"]);
    assert!(error.contains("initdb") && !error.contains("rebuild"), "{error}");
    let run = fresh.run(&["initdb"]);
    assert!(run.code == 0 && !(run.stdout + &run.stderr).contains("rebuild"));
}

#[test]
fn a_full_cleanup_with_a_new_database_deletes_nothing_of_2_13() {
    let install = Install::emptied_fixture("A", None);
    let blobs = install.blobs();
    assert!(blobs.len() > 10);
    for args in [&["cleanup", "--full"][..], &["cleanup", "--full", "--dangerous-force"]] {
        install.refuses(6, args, &["it has data, and the database knows of none"]);
    }
    assert!(install.blobs() == blobs);
}

#[test]
fn a_store_of_2_13_gets_an_identity_from_the_first_backup() {
    for adopts in [&["backup"][..], &["cleanup"], &["cleanup", "--full"]] {
        let install = Install::fixture("A");
        restores_right(&install, "A");
        let good = of_image("A", "A2.img").uid;
        install.ok(&["scrub", &good]);
        assert!(!identity(&install).exists() && remembered(&install).is_empty(), "they only read");
        let source = install.image("new.img", b"new");
        let args = if adopts == ["backup"] { vec!["backup", &source, "new"] } else { adopts.to_vec() };
        install.ok(&args);
        assert_known(&install);
        restores_right(&install, "A");
        // A copy of the database from before knows the store by its blobs.
        install.change("DELETE FROM stores");
        install.ok(&["scrub", &good]);
        install.backup(&[&source, "new"]);
        assert_known(&install);
    }
}

#[test]
fn a_store_of_2_13_that_is_not_mounted_is_noticed_too() {
    let install = Install::fixture("A");
    install.image("a.img", b"new");
    let good = of_image("A", "A2.img").uid;
    // This upgrades the database.
    install.ok(&["scrub", &good]);
    std::fs::rename(install.path("data"), install.path("real")).expect("moved");
    std::fs::create_dir(install.path("data")).expect("a mountpoint");
    let (out, source) = (install.url("out"), install.url("a.img"));
    for args in
        [&["scrub", &good][..], &["restore", &good, &out], &["backup", &source, "a"], &["cleanup", "-f"]]
    {
        install.refuses(6, args, &["blobs that should be there is there", "Is it mounted"]);
    }
    let (other, _) = with_a_version(2);
    install.set_in("DataBackend", "path", &other.text("data"));
    for args in [&["scrub", &good][..], &["backup", &source, "a"]] {
        install.refuses(6, args, &["blobs that should be there is there"]);
    }
}

#[test]
fn with_an_identity_that_was_changed_or_damaged_one_can_only_read() {
    let (install, uid) = with_a_version(2);
    let good = std::fs::read_to_string(identity(&install)).expect("read");
    std::fs::write(identity(&install), good.replace("\"format\":1", "\"format\":2")).expect("written");
    all_refuse(&install, &["it was made by a newer release"]);
    for (changed, why) in [
        (good.replace("\"plain\":false", "\"plain\":true"), "was changed, and not by backy2"),
        (good.replace("\"mac\":\"", "\"mac\":\"00"), "was changed, and not by backy2"),
        (String::new(), "is damaged"),
        ("{".to_owned(), "is damaged"),
    ] {
        std::fs::write(identity(&install), &changed).expect("written");
        let run_of = |args: &[&str]| {
            let run = install.run(args);
            let said = run.stdout + &run.stderr;
            assert!(said.contains(why), "{args:?}: {said}");
            (run.code, said)
        };
        for args in [&["scrub", &uid][..], &["restore", "-f", &uid, &install.url("out")]] {
            assert_eq!(run_of(args).0, 0, "{args:?}");
        }
        for args in [&["backup", &install.url("a.img"), "a"][..], &["cleanup"], &["cleanup", "--full"]] {
            install.refuses(6, args, &[why]);
        }
        assert!(std::fs::read_to_string(identity(&install)).expect("read") == changed);
        run("sh", &["-c", &advised(&run_of(&["scrub", &uid]).1)]).expect("written");
        install.backup(&[&install.url("a.img"), "b"]);
        assert_known(&install);
        assert_eq!(fields(&install)["plain"].as_bool(), Some(false), "the database knows");
        std::fs::write(identity(&install), &good).expect("written");
    }
    install.ok(&["scrub", &uid]);
}

#[test]
fn a_store_without_a_key_gets_one_when_a_master_key_is_configured() {
    let install = Install::new(BLOCK as u32);
    let key = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
    install.unset("encryption_key");
    install.set("encryption_version", "0");
    install.backup(&[&install.image("a.img", &noise(1, BLOCK)), "a"]);
    assert_known(&install);
    let plain = fields(&install);
    assert!(plain["key"].is_null() && plain["plain"] == true, "{plain}");
    install.set("encryption_key", key);
    install.set("encryption_version", "1");
    install.ok(&["scrub", "a"]);
    assert!(fields(&install) == plain, "a scrub writes nothing there");
    install.backup(&[&install.image("b.img", &noise(2, BLOCK)), "b"]);
    assert_known(&install);
    assert!(fields(&install)["key"].is_string());
    // With another key, nothing is stored; what needs no key goes on.
    install.set("encryption_key", OTHER_KEY);
    let source = install.url("a.img");
    install.refuses(100, &["backup", &source, "c"], &["encryption_key does not open"]);
    install.ok(&["cleanup"]);
    install.set("encryption_key", key);
    install.backup(&[&source, "c"]);
}

#[test]
fn a_crash_while_the_identity_is_made_does_no_harm() {
    for failpoint in ["store-recorded", "store-identity-written"] {
        let install = Install::new(BLOCK as u32);
        let source = install.image("a.img", &noise(1, 3 * BLOCK));
        assert!(install.killed_at(failpoint, &["backup", &source, "a"]), "{failpoint}");
        let row = remembered(&install);
        assert_eq!(row[0][0].as_deref(), Some("making"), "{failpoint}");
        install.ok(&["cleanup", "--full"]);
        let uid = install.backup(&[&source, "a"]);
        assert_known(&install);
        assert_eq!(remembered(&install)[0][1..], row[0][1..], "the same one");
        assert!(install.restored(&uid, "out") == noise(1, 3 * BLOCK));

        let old = Install::fixture("A");
        let source = old.image("new.img", b"new");
        assert!(old.killed_at(failpoint, &["backup", &source, "new"]), "{failpoint}");
        restores_right(&old, "A");
        old.backup(&[&source, "new"]);
        assert_known(&old);
    }
}

#[test]
fn two_first_backups_at_a_time_agree_about_the_identity() {
    let install = Install::new(BLOCK as u32);
    let sources: Vec<String> =
        (0..4u64).map(|n| install.image(&format!("{n}.img"), &noise(n, 20 * BLOCK))).collect();
    let children: Vec<_> = sources.iter().map(|source| install.start(&["backup", source, "vm"])).collect();
    for child in children {
        let run = ended(child);
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert_known(&install);
    install.assert_sound();
}

#[test]
fn a_rekey_reaches_the_store_or_the_next_backup_does() {
    const OLD: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
    let (install, uid) = with_a_version(3);
    let before = fields(&install);
    install.set("encryption_key", OTHER_KEY);
    install.ok(&["rekey", OLD]);
    assert_known(&install);
    assert!(fields(&install)["key"] != before["key"] && fields(&install)["uuid"] == before["uuid"]);

    // Killed in between.
    install.set("encryption_key", OLD);
    assert!(install.killed_at("rekey-before-store", &["rekey", OTHER_KEY]));
    install.ok(&["scrub", &uid]);
    install.backup(&[&install.url("a.img"), "b"]);
    assert_known(&install);

    // The store is away.
    install.set("encryption_key", OTHER_KEY);
    std::fs::rename(install.path("data"), install.path("real")).expect("moved");
    let run = install.run(&["rekey", OLD]);
    let said = run.stdout + &run.stderr;
    assert!(run.code == 0 && said.contains("the next backup does that"), "{said}");
    std::fs::rename(install.path("real"), install.path("data")).expect("moved back");
    install.ok(&["scrub", &uid]);
    install.backup(&[&install.url("a.img"), "c"]);
    assert_known(&install);
}

#[test]
fn a_full_cleanup_of_most_of_the_store_needs_force() {
    let (install, uid) = with_a_version(9);
    install.backup(&[&install.image("b.img", &noise(6, 9 * BLOCK)), "b"]);
    install.ok(&["rm", "-f", &uid]);
    let out = install.ok(&["cleanup", "--full"]);
    assert!(out.contains("Removed 9 blobs"), "half of them is not more than half: {out}");
    let uid = install.backup(&[&install.image("c.img", &noise(7, 10 * BLOCK)), "c"]);
    install.ok(&["rm", "-f", &uid]);
    let words = ["No version names 10 of the 19 blobs", "--dangerous-force", "--dry-run"];
    install.refuses(100, &["cleanup", "--full"], &words);
    let out = install.ok(&["cleanup", "--full", "--dry-run"]);
    assert!(out.contains("Would delete 10 blobs"), "{out}");
    let out = install.ok(&["cleanup", "--full", "--dangerous-force"]);
    assert!(out.contains("Removed 10 blobs"), "{out}");
    install.ok(&["scrub", "b"]);

    // Of a few blobs, all may go.
    let (small, uid) = with_a_version(8);
    small.ok(&["rm", "-f", &uid]);
    let out = small.ok(&["cleanup", "--full"]);
    assert!(out.contains("Removed 8 blobs"), "{out}");
}

#[test]
fn a_store_whose_blobs_are_all_known_to_be_lost_may_be_empty() {
    // As an installation of an older release that lost its data and found that out.
    let (install, uid) = with_a_version(3);
    let empty = || {
        std::fs::remove_dir_all(install.path("data")).expect("lost");
        std::fs::create_dir(install.path("data")).expect("made");
        install.change("DELETE FROM stores");
    };
    empty();
    let source = install.url("a.img");
    install.refuses(6, &["backup", &source, "a"], &["begin with a new database"]);
    install.change("UPDATE blobs SET valid = 0; UPDATE versions SET valid = 0");
    install.backup(&[&source, "a"]);
    assert_known(&install);
    // And one whose versions are removed, and whose cleanup was killed after it had deleted the data.
    install.ok(&["rm", "-f", &uid]);
    install.ok(&["rm", "-f", "a:latest"]);
    assert!(install.killed_at("cleanup-deleted", &["cleanup", "--dangerous-force"]));
    empty();
    install.ok(&["cleanup"]);
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
    install.backup(&[&source, "a"]);
    assert_known(&install);
}
