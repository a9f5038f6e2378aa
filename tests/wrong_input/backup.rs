//! Backups that must be refused.

use super::{BLOCK, UNKNOWN, image, with_version};
use crate::common::install::{Install, noise};

/// Writes a hints file and returns its path.
fn hints(install: &Install, text: &str) -> String {
    std::fs::write(install.path("hints.json"), text).expect("write");
    install.text("hints.json")
}

#[test]
fn malformed_hints_are_refused() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    for text in [
        "",
        "not json",
        "{}",
        "[",
        "[1]",
        r#"[{"offset": 0, "length": 1}]"#,
        r#"[{"offset": -1, "length": 1, "exists": true}]"#,
        r#"[{"offset": 0, "length": 1.5, "exists": true}]"#,
        r#"[{"offset": 0, "length": 1, "exists": "maybe"}]"#,
        r#"[{"offset": 0, "length": 1, "exists": true}] and more"#,
    ] {
        let file = hints(&install, text);
        install.refuses(100, &["backup", "-r", &file, "-f", &uid, &source, "a"], &["hints.json"]);
        install.refuses(100, &["backup", "-r", &file, &source, "a"], &["hints.json"]);
    }
}

#[test]
fn hints_beyond_the_source_are_refused() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    for (offset, length) in [(8 * BLOCK as u64, 1), (0, 8 * BLOCK as u64 + 1), (u64::MAX, 2), (5, u64::MAX)] {
        let file =
            hints(&install, &format!(r#"[{{"offset": {offset}, "length": {length}, "exists": true}}]"#));
        let words = ["beyond the source", &offset.to_string()];
        install.refuses(100, &["backup", "-r", &file, "-f", &uid, &source, "a"], &words);
    }
}

#[test]
fn a_hints_file_that_is_missing_is_named() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    install.refuses(100, &["backup", "-r", "nosuch.json", "-f", &uid, &source, "a"], &["nosuch.json"]);
    install.refuses(100, &["backup", "-r", "lock", "-f", &uid, &source, "a"], &["lock"]);
    install.refuses(100, &["backup", "-r", "-", "-f", &uid, &source, "a"], &["stdin"]);
}

#[test]
fn good_hints_that_2_13_could_not_read_are_read() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    // Hints on several lines, with fewer than five blocks outside.
    let file = hints(
        &install,
        &format!(
            "[\n  {{\n    \"offset\": 0,\n    \"length\": {},\n    \"exists\": true\n  }}\n]\n",
            6 * BLOCK
        ),
    );
    let new = install.backup(&["-r", &file, "-f", &uid, &source, "a"]);
    assert!(install.restored(&new, "out") == image());
}

#[test]
fn another_source_than_the_hints_speak_of_is_noticed() {
    let (install, uid) = with_version();
    let source = install.image("other.img", &noise(8, 8 * BLOCK));
    let file = hints(&install, &format!(r#"[{{"offset": 0, "length": {BLOCK}, "exists": true}}]"#));
    install.refuses(5, &["backup", "-r", &file, "-f", &uid, &source, "mismatch"], &[&uid, "block"]);
    assert!(install.uids(&["mismatch"]).is_empty());
}

#[test]
fn an_empty_list_of_hints_is_compared_as_well() {
    let (install, uid) = with_version();
    let empty = hints(&install, "[]");
    let other = install.image("other.img", &noise(8, 8 * BLOCK));
    install.refuses(5, &["backup", "-r", &empty, "-f", &uid, &other, "vm"], &[&uid, "block 0"]);
    let same = install.backup(&["-r", &empty, "-f", &uid, &install.url("a.img"), "vm"]);
    assert!(install.restored(&same, "out") == image());
    // Hints of length 0 count as no hints.
    let empty = hints(&install, r#"[{"offset": 0, "length": 0, "exists": true}]"#);
    install.refuses(5, &["backup", "-r", &empty, "-f", &uid, &other, "vm"], &[&uid, "block 0"]);
}

#[test]
fn data_behind_the_base_that_no_hint_touches_is_noticed() {
    let (install, uid) = with_version();
    let mut grown = image();
    grown.extend(vec![0; 3 * BLOCK]);
    let empty = hints(&install, "[]");
    let source = install.image("grown.img", &grown);
    let new = install.backup(&["-r", &empty, "-f", &uid, &source, "a"]);
    assert!(install.restored(&new, "out") == grown);
    grown[9 * BLOCK + 5] = 1;
    let source = install.image("grown.img", &grown);
    install.refuses(5, &["backup", "-r", &empty, "-f", &uid, &source, "a"], &["block 9"]);
}

#[test]
fn data_that_hints_without_a_base_leave_out_is_reported() {
    let (install, _) = with_version();
    let file = hints(&install, &format!(r#"[{{"offset": 0, "length": {BLOCK}, "exists": true}}]"#));
    let run = install.run(&["backup", "-r", &file, &install.url("a.img"), "part"]);
    assert!(run.code == 0 && (run.stdout + &run.stderr).contains("so that it counts as zeros"));
    let new = install.newest("part").expect("made").0;
    let mut part = vec![0; image().len()];
    part[..BLOCK].copy_from_slice(&image()[..BLOCK]);
    assert!(install.restored(&new, "out") == part);
}

#[test]
fn data_where_the_base_has_a_hole_is_noticed() {
    let (install, uid) = with_version();
    let mut data = image();
    data[7 * BLOCK..].fill(1);
    let source = install.image("other.img", &data);
    let file = hints(&install, &format!(r#"[{{"offset": 0, "length": {BLOCK}, "exists": true}}]"#));
    install.refuses(5, &["backup", "-r", &file, "-f", &uid, &source, "mismatch"], &["block 7"]);
}

#[test]
fn a_base_must_be_there_and_valid() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    for unknown in UNKNOWN.into_iter().filter(|uid| !uid.is_empty()) {
        install.refuses(100, &["backup", "-f", unknown, &source, "a"], &[unknown, "not found"]);
    }
    install.change("UPDATE versions SET valid = 0");
    install.refuses(100, &["backup", "-f", &uid, &source, "a"], &[&uid, "invalid"]);
}

#[test]
fn only_an_unfinished_version_of_the_same_size_is_continued() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    for unknown in UNKNOWN.into_iter().filter(|uid| !uid.is_empty()) {
        install.refuses(100, &["backup", "-c", unknown, &source, "a"], &[unknown, "not found"]);
    }
    install.refuses(100, &["backup", "-c", &uid, &source, "a"], &["cannot continue a valid version"]);
    install.change("UPDATE versions SET valid = 0");
    let short = install.image("short.img", &image()[1..]);
    install.refuses(100, &["backup", "-c", &uid, &short, "a"], &[&uid, "different size"]);
}

#[test]
fn a_marked_version_is_continued_from_its_own_source_only() {
    let (install, uid) = with_version();
    let source = install.url("a.img");
    install.change("UPDATE versions SET valid = 0; UPDATE blobs SET valid = 0 WHERE id = 2");
    let other = install.image("other.img", &noise(8, 8 * BLOCK));
    install.refuses(100, &["backup", "-c", &uid, &other, "vm2"], &[&uid, "is called a, not vm2"]);
    install.refuses(100, &["backup", "-c", &uid, &source, "vm2"], &["is called a, not vm2"]);
    install.refuses(5, &["backup", "-c", &uid, &other, "a"], &[&uid, "continued", "block 0"]);
    let mut data = image();
    data[7 * BLOCK..].fill(1);
    let changed = install.image("changed.img", &data);
    install.refuses(5, &["backup", "-c", &uid, &changed, "a"], &[&uid, "block 7"]);
    install.ok(&["backup", "-c", &uid, &source, "a"]);
    assert!(install.is_valid(&uid) && install.restored(&uid, "out") == image());
}

#[test]
fn an_empty_source_does_not_become_the_newest_version() {
    let (install, _) = with_version();
    let empty = install.image("empty.img", b"");
    install.refuses(100, &["backup", &empty, "a"], &[&empty, "0 bytes", "--allow-empty"]);
    install.refuses(100, &["backup", "--incremental", &empty, "a"], &["0 bytes", "--allow-empty"]);
    for args in [["backup", "--allow-empty", &empty, "a"], ["-v", "backup", &empty, "new"]] {
        let run = install.run(&args);
        assert_eq!(run.code, 0, "{run:?}");
        assert!((run.stdout + &run.stderr).contains("has 0 bytes: the version will be empty"));
    }
    // Allowed once the last version is empty, too.
    install.backup(&[&empty, "a"]);
    let run = install.run(&["restore", "-f", "a", &install.url("a.img")]);
    assert!(run.code == 0 && (run.stdout + &run.stderr).contains("is empty (0 bytes)"));
    assert!(std::fs::read(install.path("a.img")).expect("read") == image());
    install.fails(100, &["scrub", "-s", &empty, "a:2"]);
}

#[test]
fn a_malformed_date_is_refused() {
    let (install, _) = with_version();
    let source = install.url("a.img");
    for date in ["02.01.2030", "2030-13-45", "2030-02-29", "tomorrow", "2030-01-02 03:04"] {
        install.refuses(1, &["backup", "-e", date, &source, "a"], &[date, "YYYY-MM-DD"]);
    }
    for date in ["2001-01-01", "2030-01-02 03:04:05", "2030-01-02T03:04:05", ""] {
        install.backup(&["-e", date, &source, "dated"]);
    }
    assert_eq!(install.uids(&["-e", "dated"]).len(), 1, "the one in the past has expired");
}

#[test]
fn an_unusable_source_is_named() {
    let (install, _) = with_version();
    let folder = install.url("lock");
    rustix::fs::mkfifoat(rustix::fs::CWD, install.path("fifo"), rustix::fs::Mode::RWXU).expect("a pipe");
    let fifo = install.url("fifo");
    for (source, word) in [
        ("null://64XB", "64XB"),
        ("null://", "size"),
        ("nosuch.img", "You must provide the type"),
        ("", "You must provide the type"),
        ("foo://x", "foo://"),
        ("file://", "no path"),
        ("file:///tmp/a?b", "?"),
        ("file:///nonexistent/nosuch.img", "/nonexistent/nosuch.img"),
        ("file://nosuch.img", "nosuch.img"),
        ("/nonexistent/nosuch.img", "/nonexistent/nosuch.img"),
        ("rbd://pool", "names no image"),
        ("/dev/null", "/dev/null"),
        (&folder, "directory"),
        (&fifo, "fifo"),
    ] {
        install.refuses(100, &["backup", source, "x"], &[word]);
    }
}

#[test]
fn a_plain_path_is_a_source_too() {
    let (install, uid) = with_version();
    for path in [install.text("a.img"), "./a.img".to_owned(), "file://a.img".to_owned()] {
        let new = install.backup(&[&path, "again"]);
        assert_eq!(install.blob_uid(&new, 0), install.blob_uid(&uid, 0));
    }
}

#[test]
fn tags_that_are_no_list_are_refused() {
    let (install, _) = with_version();
    let source = install.url("a.img");
    install.refuses(100, &["backup", "-t", "a\nb", &source, "a"], &["comma-separated"]);
    let uid = install.backup(&["-t", "a,a,\"b,c\",", &source, "tagged"]);
    let tags = install.ok(&["-ms", "ls", "-f", "uid,tags", "tagged"]);
    assert_eq!(tags, format!("{uid}|a,b,c\n"));
    assert_eq!(install.uids(&["-t", "b,c"]), [uid]);
}
