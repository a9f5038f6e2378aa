//! Configurations and databases that cannot be used.

use super::{image, with_version};
use crate::common::install::{Install, Run};

const KEY: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";

#[test]
fn a_file_that_is_no_configuration_is_named() {
    let install = Install::new(4096);
    std::fs::write(install.path("empty.cfg"), "").expect("write");
    std::fs::write(install.path("text.cfg"), "what is this\n").expect("write");
    std::fs::write(install.path("latin1.cfg"), b"[DEFAULTS]\nlogfile: \xe4\n").expect("write");
    for (file, word) in [
        ("/nonexistent/backy.cfg", "File not found: /nonexistent/backy.cfg"),
        ("lock", "folder"),
        ("empty.cfg", "[DEFAULTS]"),
        ("text.cfg", "text.cfg:1"),
        ("latin1.cfg", "UTF-8"),
    ] {
        let run = Run::from(install.command(&["-c", file, "ls"]).output().expect("runs"));
        assert_eq!(run.code, 1, "{file}: {run:?}");
        assert!(run.stderr.contains(word) && run.stderr.contains(file), "{file}: {run:?}");
        assert_eq!(run.stdout, "", "{file}");
    }
}

#[test]
fn a_bad_value_is_named_with_its_section_and_key() {
    for (key, value) in [
        ("block_size", "abc"),
        ("block_size", "0"),
        ("block_size", "-4096"),
        ("block_size", "4096 # bytes"),
        ("hash_function", "nosuchhash"),
        ("encryption_version", "2"),
        ("deduplication", "maybe"),
        ("disallow_rm_when_younger_than_days", "-1"),
        ("process_name", "a/b"),
        ("simultaneous_writes", "0"),
        ("simultaneous_reads", "many"),
        ("type", "backy2.meta_backends.nosuch"),
        ("sync", "sometimes"),
        ("engine", "mysql://host/db"),
    ] {
        let (install, _) = with_version();
        install.set(key, value);
        install.refuses(1, &["ls"], &["backy.cfg:", key, value]);
    }
}

#[test]
fn a_bad_key_is_reported_without_showing_it() {
    for key in ["decafbad", "zz", &KEY[1..], &format!("{KEY}00"), &KEY.replace('d', "g")] {
        let (install, _) = with_version();
        install.set("encryption_key", key);
        install.refuses(1, &["ls"], &["[DEFAULTS] encryption_key", "64 hex digits"]);
        let error = install.fails(1, &["ls"]);
        assert!(!error.contains(key), "{error}");
    }
}

/// As [`with_version`], with an edited configuration.
fn edited(edit: impl Fn(String) -> String) -> Install {
    let (install, _) = with_version();
    let text = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    std::fs::write(install.path("backy.cfg"), edit(text)).expect("write");
    install
}

#[test]
fn duplicates_are_refused() {
    let install = edited(|text| text + "\n[DataBackend]\npath: /tmp\n");
    install.refuses(1, &["ls"], &["DataBackend"]);
    let install = edited(|text| text.replace("[DEFAULTS]\n", "[DEFAULTS]\nblock_size: 4096\n"));
    install.refuses(1, &["ls"], &["block_size"]);
}

#[test]
fn a_missing_section_is_refused() {
    let install = edited(|text| text.replace("[DataBackend]", "[databackend]"));
    install.refuses(1, &["ls"], &["[DataBackend]", "case"]);
}

#[test]
fn an_unknown_key_is_a_warning() {
    let (install, _) = with_version();
    install.set("blok_size", "4096");
    let run = install.run(&["ls"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("WARNING") && run.stderr.contains("blok_size"), "{run:?}");
}

#[test]
fn without_a_key_nothing_is_encrypted_and_nothing_decrypted() {
    let install = edited(|text| text.replace(&format!("encryption_key: {KEY}\n"), ""));
    let uid = install.uids(&[]).remove(0);
    for args in [
        &["backup", &install.url("a.img"), "a"][..],
        &["restore", &uid, &install.url("out")],
        &["scrub", &uid],
    ] {
        install.refuses(1, args, &["encryption_key is missing"]);
    }
    install.set("encryption_version", "0");
    install.refuses(1, &["restore", &uid, &install.url("out")], &["encryption_key is missing"]);
}

#[test]
fn with_encryption_version_0_older_blobs_are_still_decrypted() {
    let (install, uid) = with_version();
    install.set("encryption_version", "0");
    assert!(install.restored(&uid, "out") == image());
}

#[test]
fn folders_that_are_missing_are_named() {
    let (install, _) = with_version();
    install.set("lock_dir", "/nonexistent/lockdir");
    install.refuses(100, &["ls"], &["/nonexistent/lockdir"]);
    let (install, _) = with_version();
    install.set("logfile", "/nonexistent/x.log");
    install.refuses(1, &["ls"], &["/nonexistent/x.log"]);
}

#[test]
fn initdb_refuses_a_database_with_tables() {
    let (install, _) = with_version();
    install.refuses(100, &["initdb"], &["already"]);
}
