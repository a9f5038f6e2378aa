//! Words that are no command line.

use super::common::install::{Install, Run};
use super::with_version;
use std::process::Command;

fn bare(args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backy2"));
    Run::from(command.args(args).output().expect("runs"))
}

#[test]
fn no_command_shows_the_usage() {
    let run = bare(&[]);
    assert_eq!((run.code, &run.stderr[..]), (1, ""));
    assert!(run.stdout.starts_with("usage: backy2 [-h]"), "{run:?}");
    assert!(
        run.stdout.contains("{initdb,") && run.stdout.contains(",ls,") && run.stdout.contains(",sla}"),
        "{run:?}"
    );
}

#[test]
fn the_version_is_one_line() {
    let run = bare(&["-V"]);
    assert_eq!((run.code, &run.stdout[..]), (0, concat!(env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn wrong_usage_names_the_word_and_exits_2() {
    let (install, _) = with_version();
    for (args, word) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["backup"], "<SOURCE>"),
        (&["backup", "file:///x"], "<NAME>"),
        (&["restore"], "<VERSION_UID>"),
        (&["restore", "x"], "<TARGET>"),
        (&["rm"], "<VERSION_UID>"),
        (&["scrub"], "<VERSION_UID>"),
        (&["protect"], "<VERSION_UID>"),
        (&["ls", "--nope"], "--nope"),
        (&["ls", "-m"], "-m"),
        (&["ls", "a", "b"], "'b'"),
        (&["rm", "a", "b"], "'b'"),
        (&["scrub", "-p"], "--percentile"),
        (&["--nope", "ls"], "--nope"),
        (&["backup", "-e"], "--expire"),
        (&["cleanup", "--dangerous-force=1"], "--dangerous-force"),
        (&["init"], "-b DIR"),
    ] {
        install.refuses(2, args, &[word]);
    }
}

#[test]
fn a_file_and_a_folder_of_configuration_exclude_each_other() {
    let install = Install::new(4096);
    let run = bare(&["-c", &install.text("backy.cfg"), "-b", &install.text(""), "ls"]);
    assert_eq!(run.code, 2, "{run:?}");
}

#[test]
fn unknown_and_empty_fields_are_refused() {
    let (install, _) = with_version();
    install.refuses(100, &["ls", "-f", "uid,nosuch"], &["nosuch"]);
    install.refuses(100, &["ls", "-f", ""], &["No fields"]);
}

#[test]
fn init_refuses_a_folder_with_something_in_it() {
    let folder = tempfile::tempdir().expect("tempdir");
    let dir = folder.path().to_str().expect("utf-8");
    std::fs::write(folder.path().join("x"), "mine").expect("write");
    let run = bare(&["-b", dir, "init"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("is not empty"), "{run:?}");
    assert_eq!(std::fs::read_dir(dir).expect("list").count(), 1);
    let run = bare(&["-b", dir, "ls"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("File not found") && run.stderr.contains("init"), "{run:?}");
}
