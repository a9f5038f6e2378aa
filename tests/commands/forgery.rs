//! Rows that somebody has changed in the database, and blobs that somebody has exchanged in the store: restore and scrub
//! notice both, as rows are compared with what was sealed when the version was backed up. What backy2 itself changes is
//! never mistaken for that.

use crate::common::fixture::{of_image, restores_right};
use crate::common::install::{Install, noise};
use backy2::hash::Hasher;
use backy2::types::settings::HashFunction;

const BLOCK: usize = 4096;
/// Blocks of the image. The last one is short.
const BLOCKS: usize = 7;
const OLD_KEY: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
const NEW_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DIFFERS: &str = "are not those that were sealed";

fn image() -> Vec<u8> {
    noise(5, (BLOCKS - 1) * BLOCK + 1000)
}

/// An installation whose data is encrypted, with a version of [`image`] and one of other data.
fn with_versions() -> (Install, String, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &image()), "a"]);
    let other = install.backup(&[&install.image("b.img", &noise(6, 3 * BLOCK)), "b"]);
    (install, uid, other)
}

/// The condition for a block of a version.
fn block(uid: &str, number: usize) -> String {
    format!("block_id = {number} AND version_id = (SELECT id FROM versions WHERE uid = '{uid}')")
}

fn row_key(install: &Install, uid: &str, number: usize) -> i64 {
    install.count(&format!("SELECT blob_id FROM block_map WHERE {}", block(uid, number)))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgery {
    /// A blob has other data, without encryption, and its row says so.
    Plain,
    /// Two blocks have changed places.
    Order,
    /// The image is larger, within its last block.
    Grown,
    /// The image has more blocks.
    Longer,
    /// A block has a blob of another version.
    Exchanged,
    /// A block is a hole.
    Hole,
    /// A blob and its row are copies of another blob.
    Copied,
}

use Forgery::*;

const ALL: [Forgery; 7] = [Plain, Order, Grown, Longer, Exchanged, Hole, Copied];

/// The data that is slipped in.
fn slipped_in() -> Vec<u8> {
    noise(66, BLOCK)
}

fn forge(install: &Install, forgery: Forgery, uid: &str, other: &str) {
    let set = |number: usize, key: i64| {
        install.change(&format!("UPDATE block_map SET blob_id = {key} WHERE {}", block(uid, number)));
    };
    match forgery {
        Plain => plain(install, uid, 2),
        Order => {
            let keys = [row_key(install, uid, 1), row_key(install, uid, 2)];
            set(1, keys[1]);
            set(2, keys[0]);
        }
        Grown => {
            install.change(&format!("UPDATE versions SET size_bytes = size_bytes + 1000 WHERE uid = '{uid}'"))
        }
        Longer => install.change(&format!(
            "UPDATE versions SET size_bytes = size_bytes + {}, size = size + 3 WHERE uid = '{uid}'",
            3 * BLOCK
        )),
        Exchanged => set(2, row_key(install, other, 1)),
        Hole => {
            let hole = -(BLOCK as i64);
            install.change(&format!(
                "INSERT INTO blobs (id, size, valid, enc_version, date) SELECT {hole}, {BLOCK}, 1, 0, '2026-01-01'
                 WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = {hole})"
            ));
            set(2, hole);
        }
        Copied => {
            let (to, from) = (row_key(install, uid, 2), row_key(install, other, 1));
            let columns = ["checksum", "enc_envkey", "enc_nonce"];
            let set = columns.map(|name| format!("{name} = (SELECT {name} FROM blobs WHERE id = {from})"));
            install.change(&format!("UPDATE blobs SET {} WHERE id = {to}", set.join(", ")));
            let theirs = std::fs::read(install.blob(&install.blob_uid(other, 1))).expect("read");
            std::fs::write(install.blob(&install.blob_uid(uid, 2)), theirs).expect("written");
        }
    }
}

/// Replaces a blob by one without encryption.
fn plain(install: &Install, uid: &str, number: usize) {
    let file = install.blob(&install.blob_uid(uid, number as u64));
    std::fs::write(file, slipped_in()).expect("written");
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let name = config.lines().find_map(|line| line.strip_prefix("hash_function: ")).unwrap_or("sha512");
    let function = HashFunction::ALL.into_iter().find(|function| function.name() == name).expect("known");
    let checksum = Hasher::new(function).digest(&slipped_in()).hex();
    install.change(&format!(
        "UPDATE blobs SET enc_version = 0, enc_envkey = NULL, enc_nonce = NULL, checksum = '{checksum}' WHERE id = {}",
        row_key(install, uid, number)
    ));
}

/// The words of the message about a forgery.
fn words(forgery: Forgery) -> &'static str {
    match forgery {
        Grown | Longer => "The size of version",
        _ => DIFFERS,
    }
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_scrub_notices_every_forgery_and_nothing_seals_it() {
    let (original, uid, other) = with_versions();
    for forgery in ALL {
        let install = original.duplicate();
        forge(&install, forgery, &uid, &other);
        let said = install.fails(20, &["scrub", &uid]);
        assert!(said.contains(words(forgery)), "{forgery:?}: {said}");
        assert!(!install.is_valid(&uid), "{forgery:?}");
        assert!(install.is_valid(&other), "{forgery:?}");
        // Neither commands that change the version nor those that write copies make it good.
        install.ok(&["add-tag", &uid, "new"]);
        install.ok(&["cleanup"]);
        install.backup(&[&install.image("c.img", &noise(7, BLOCK)), "c"]);
        install.change(&format!("UPDATE versions SET valid = 1 WHERE uid = '{uid}'"));
        install.change("UPDATE blobs SET valid = 1");
        install.ok(&["cleanup"]);
        for args in
            [&["scrub", &uid][..], &["scrub", "-p", "1", &uid], &["restore", &uid, &install.url("new")]]
        {
            let said = install.fails(20, args);
            assert!(said.contains(words(forgery)), "{forgery:?} {args:?}: {said}");
            install.change(&format!("UPDATE versions SET valid = 1 WHERE uid = '{uid}'"));
        }
    }
}

#[test]
fn a_restore_notices_every_forgery_and_goes_on() {
    let (original, uid, other) = with_versions();
    for forgery in ALL {
        let install = original.duplicate();
        forge(&install, forgery, &uid, &other);
        let run = install.run(&["--json", "restore", &uid, &install.url("out")]);
        assert_eq!(run.code, 20, "{forgery:?}: {run:?}");
        assert!(run.stderr.contains(words(forgery)), "{forgery:?}: {run:?}");
        assert!(run.stderr.contains("may not have the data that was backed up"), "{forgery:?}: {run:?}");
        assert!(
            run.stdout.contains("\"rows_differ\": true") || run.stdout.contains("\"rows_differ\":true"),
            "{run:?}"
        );
        let restored = std::fs::read(install.path("out")).expect("read");
        let image = image();
        assert_eq!(restored.len(), image.len(), "{forgery:?}");
        assert!(!contains(&restored, &slipped_in()), "{forgery:?}");
        assert!(
            restored[..BLOCK] == image[..BLOCK] && restored[3 * BLOCK..] == image[3 * BLOCK..],
            "{forgery:?}"
        );
        let uses_sealed_size = restored == image;
        assert_eq!(uses_sealed_size, matches!(forgery, Grown | Longer), "{forgery:?}");
        // The rest of an interrupted restore is compared as well.
        let args = ["restore", "-c", "4", &uid, &install.url("out")];
        assert!(install.fails(20, &args).contains(words(forgery)), "{forgery:?}");
        // A lost database comes back as it was, from the copies.
        install.lose_database();
        install.run(&["rebuild"]);
        if forgery != Plain && forgery != Copied {
            assert!(install.restored(&uid, "rebuilt") == image, "{forgery:?}");
        }
    }
}

#[test]
fn a_forged_version_is_neither_migrated_nor_continued() {
    let (original, uid, other) = with_versions();
    for forgery in [Order, Exchanged, Hole] {
        let install = original.duplicate();
        forge(&install, forgery, &uid, &other);
        install.refuses(100, &["migrate-encryption", &uid], &["is not migrated"]);
        install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{uid}'"));
        install.change(&format!(
            "UPDATE blobs SET checksum = checksum WHERE id = {}",
            row_key(&install, &uid, 0)
        ));
        let run = install.run(&["backup", "-c", &uid, &install.url("a.img"), "a"]);
        let is_other_data = run.code == 5;
        assert!(is_other_data || run.code == 100 && run.stderr.contains("cannot be continued"), "{run:?}");
        assert_eq!(install.objects("versions").len(), 2, "the copy stays");
    }
}

#[test]
fn a_new_version_does_not_take_forged_rows_of_its_base_for_good() {
    const MANY: usize = 900;
    let install = Install::new(BLOCK as u32);
    let data = noise(9, MANY * BLOCK);
    let base = install.backup(&[&install.image("a.img", &data), "a"]);
    let other = install.backup(&[&install.image("b.img", &noise(6, BLOCK)), "b"]);
    let (last, from) = (MANY - 1, row_key(&install, &other, 0));
    install.change(&format!("UPDATE block_map SET blob_id = {from} WHERE {}", block(&base, last)));
    let hints = format!(r#"[{{"offset": 0, "length": {BLOCK}, "exists": true}}]"#);
    std::fs::write(install.path("hints"), hints).expect("written");
    // One time in two hundred the forged block is among those that a backup compares.
    let made = (0..5)
        .map(|_| install.run(&["-m", "backup", "-r", "hints", "-f", &base, &install.url("a.img"), "a"]));
    let made = made.into_iter().find(|run| run.code != 5).expect("one did not compare it");
    assert_eq!(made.code, 0, "{made:?}");
    let (new, _) = install.newest("a").expect("it was made");
    assert!(new != base);
    for uid in [&new, &base] {
        let said = install.fails(20, &["scrub", uid]);
        assert!(said.contains(DIFFERS), "{said}");
    }
}

/// With more changes than are counted one by one, the sum comes from all rows of both versions.
#[test]
fn many_changes_of_a_version_do_not_hide_forged_rows_of_its_base() {
    const SMALL: usize = 512;
    const CHANGED: usize = 50_100;
    const KEPT: usize = 600;
    let install = Install::new(SMALL as u32);
    // All changed blocks have one blob before, and another one after.
    let with = |filling: u8| {
        let mut data = vec![filling; CHANGED * SMALL];
        data.extend(noise(9, KEPT * SMALL));
        data
    };
    let base = install.backup(&[&install.image("a.img", &with(1)), "a"]);
    let other = install.backup(&[&install.image("b.img", &noise(6, SMALL)), "b"]);
    let hints = format!(r#"[{{"offset": 0, "length": {}, "exists": true}}]"#, CHANGED * SMALL);
    std::fs::write(install.path("hints"), hints).expect("written");
    let source = install.image("a.img", &with(2));
    let args = ["-m", "backup", "-r", "hints", "-f", &base, &source, "a"];
    let good = install.backup(&args[2..]);
    install.assert_copies();
    install.ok(&["scrub", &good]);
    let from = row_key(&install, &other, 0);
    let last = CHANGED + KEPT - 1;
    install.change(&format!("UPDATE block_map SET blob_id = {from} WHERE {}", block(&base, last)));
    // One time in a hundred the forged block is among those that a backup compares.
    let made = (0..5).map(|_| install.run(&args)).find(|run| run.code != 5).expect("one did not compare it");
    assert_eq!(made.code, 0, "{made:?}");
    let (forged, _) = install.newest("a").expect("it was made");
    assert!(forged != good && forged != base);
    let said = install.fails(20, &["scrub", &forged]);
    assert!(said.contains(DIFFERS), "{said}");
    install.ok(&["scrub", &good]);
}

#[test]
fn a_copy_that_is_gone_or_damaged_is_not_compared_with() {
    let (install, uid, _) = with_versions();
    let file = install.path("data").join("versions").join(&uid);
    let good = std::fs::read(&file).expect("read");
    std::fs::write(&file, &good[..good.len() - 1]).expect("written");
    let run = install.run(&["scrub", &uid]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("cannot be compared with what was sealed"), "{run:?}");
    std::fs::remove_file(&file).expect("removed");
    let run = install.run(&["restore", &uid, &install.url("out")]);
    assert_eq!((run.code, (run.stdout + &run.stderr).contains("compare")), (0, false));
    // Without a copy, plain data is still refused: all data of this store is encrypted.
    plain(&install, &uid, 2);
    let said = install.fails(20, &["restore", "-f", &uid, &install.url("out")]);
    assert!(said.contains("is not encrypted"), "{said}");
    assert!(!contains(&std::fs::read(install.path("out")).expect("read"), &slipped_in()));
}

/// Each version can be scrubbed and restored, and no message speaks of seals.
fn no_alarm(install: &Install, uids: &[&str]) {
    for uid in uids {
        for args in
            [&["scrub", uid][..], &["scrub", "-p", "50", uid], &["restore", "-f", uid, &install.url("out")]]
        {
            let run = install.run(args);
            assert_eq!(run.code, 0, "{args:?}: {run:?}");
            for word in ["sealed", "not encrypted"] {
                assert!(!run.stderr.contains(word) && !run.stdout.contains(word), "{args:?}: {run:?}");
            }
        }
    }
}

#[test]
fn mixed_and_migrated_stores_raise_no_alarm() {
    let (install, encrypted, _) = with_versions();
    let (a, b) = (install.url("a.img"), install.url("b.img"));
    install.set("encryption_version", "0");
    let plain = install.backup(&[&b, "plain"]);
    install.set("encryption_version", "1");
    let later = install.backup(&[&install.image("c.img", &noise(8, 4 * BLOCK)), "c"]);
    std::fs::write(install.path("hints"), r#"[{"offset": 0, "length": 1, "exists": true}]"#)
        .expect("written");
    let mixed = install.backup(&["-r", "hints", "-f", &plain, &b, "mixed"]);
    install.ok(&["migrate-encryption", &plain]);
    let (migrated, _) = install.newest("plain").expect("made");
    let uids = [&encrypted, &plain, &later, &mixed, &migrated].map(String::as_str);
    no_alarm(&install, &uids);
    install.assert_copies();
    // A dump from before a change of keys brings rows that the next one merges.
    install.ok(&["export", &encrypted, &install.text("dump")]);
    install.ok(&["rm", "-f", &encrypted]);
    install.set("encryption_key", NEW_KEY);
    install.ok(&["rekey", OLD_KEY]);
    install.backup(&[&a, "a"]);
    install.ok(&["import", &install.text("dump")]);
    install.ok(&["rekey", OLD_KEY]);
    no_alarm(&install, &uids);
    install.lose_database();
    install.ok(&["rebuild"]);
    no_alarm(&install, &uids);
}

#[test]
fn versions_without_encryption_that_the_store_does_not_know_of_raise_no_alarm() {
    for copies in ["1", "0"] {
        let plain = Install::new(BLOCK as u32);
        plain.set("encryption_version", "0");
        let uid = plain.backup(&[&plain.image("a.img", &noise(3, 3 * BLOCK)), "a"]);
        plain.ok(&["export", &uid, &plain.text("dump")]);
        let install = Install::new(BLOCK as u32);
        install.set_in("DataBackend", "metadata_copies", copies);
        install.backup(&[&install.image("b.img", &noise(4, 3 * BLOCK)), "b"]);
        let blobs: Vec<_> = (0..3).map(|block| plain.blob_uid(&uid, block)).collect();
        for blob in &blobs {
            let to = install.blob(blob);
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            std::fs::copy(plain.blob(blob), to).expect("copied");
        }
        let dump = plain.text("dump");
        install.ok(&["import", &dump]);
        no_alarm(&install, &[&uid]);
        if copies == "1" {
            // Without the key nothing can be recorded.
            install.unset("encryption_key");
            install.set("encryption_version", "0");
            let keyless = install.backup(&[&install.image("c.img", &noise(5, 3 * BLOCK)), "c"]);
            install.set("encryption_key", OLD_KEY);
            install.set("encryption_version", "1");
            no_alarm(&install, &[&keyless]);
            install.ok(&["cleanup"]);
            install.assert_copies();
            no_alarm(&install, &[&keyless]);
        }
    }
}

#[test]
fn stores_of_older_releases_raise_no_alarm() {
    for name in ["A", "B", "D", "E"] {
        let install = Install::fixture(name);
        restores_right(&install, name);
        let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
        if !config.contains("\nencryption_key: ") {
            install.set("encryption_version", "0");
        }
        let backup = install.backup(&[&install.image("new.img", &noise(1, 100_000)), "new"]);
        restores_right(&install, name);
        no_alarm(&install, &[&backup]);
    }
    let install = Install::fixture("A");
    no_alarm(&install, &[&of_image("A", "A1.img").uid]);
}

#[test]
fn stale_copies_and_copies_switched_off_for_a_while_raise_no_alarm() {
    let (install, uid, other) = with_versions();
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    install.ok(&["add-tag", &uid, "late"]);
    install.ok(&["export", &other, &install.text("dump")]);
    install.ok(&["rm", "-f", &other]);
    install.ok(&["import", &install.text("dump")]);
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    no_alarm(&install, &[&uid, &other]);
    install.ok(&["cleanup"]);
    install.assert_copies();
    install.set_in("DataBackend", "metadata_copies", "0");
    repaired(&install, &uid);
    let without = install.backup(&["-f", &uid, &install.url("a.img"), "a"]);
    no_alarm(&install, &[&uid, &other, &without]);
    install.set_in("DataBackend", "metadata_copies", "1");
    no_alarm(&install, &[&uid, &other, &without]);
    install.ok(&["cleanup"]);
    no_alarm(&install, &[&uid, &other, &without]);
    install.assert_copies();
}

/// A block of the version is lost, and its backup is continued.
fn repaired(install: &Install, uid: &str) {
    let blob = install.blob(&install.blob_uid(uid, 1));
    std::fs::remove_file(blob).expect("removed");
    install.fails(20, &["scrub", uid]);
    install.backup(&["-c", uid, &install.url("a.img"), "a"]);
}

#[test]
fn continued_backups_raise_no_alarm() {
    let (install, uid, other) = with_versions();
    repaired(&install, &uid);
    install.assert_copies();
    no_alarm(&install, &[&uid, &other]);
    let points = ["copies-version-written", "before-valid", "copies-list-recorded"];
    for (n, failpoint) in points.into_iter().enumerate() {
        let source = install.image("d.img", &noise(20 + n as u64, 5 * BLOCK));
        assert!(install.killed_at(failpoint, &["backup", "-f", &uid, &source, "d"]), "{failpoint}");
        let (killed, _) = install.newest("d").expect("begun");
        install.ok(&["cleanup"]);
        install.backup(&["-c", &killed, &source, "d"]);
        no_alarm(&install, &[&killed, &uid]);
        install.assert_copies();
        let blob = install.blob(&install.blob_uid(&killed, 1));
        std::fs::remove_file(blob).expect("removed");
        install.fails(20, &["scrub", &killed]);
        assert!(install.killed_at(failpoint, &["backup", "-c", &killed, &source, "d"]), "{failpoint}");
        install.ok(&["cleanup"]);
        install.backup(&["-c", &killed, &source, "d"]);
        no_alarm(&install, &[&killed]);
        install.assert_copies();
    }
}
