//! Invalid command lines.

use super::with_version;
use crate::common::install::{Install, Run};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

fn bare(args: &[&str]) -> Run {
    let mut command = Command::new(crate::common::program());
    Run::from(command.args(args).output().expect("runs"))
}

#[test]
fn no_command_shows_the_usage() {
    let run = bare(&[]);
    assert_eq!((run.code, &run.stderr[..]), (1, ""));
    assert!(run.stdout.starts_with("usage: backy2 [-h]"), "{run:?}");
    assert!(
        run.stdout.contains("{initdb,") && run.stdout.contains(",ls,") && run.stdout.contains(",sla,"),
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
        (&["ls", "-V"], "-V"),
        (&["ls", "a", "b"], "'b'"),
        (&["protect", "a", "b"], "'b'"),
        (&["scrub", "-p"], "--percentile"),
        (&["--nope", "ls"], "--nope"),
        (&["backup", "-e"], "--expire"),
        (&["cleanup", "--dangerous-force=1"], "--dangerous-force"),
        (&["init"], "-b DIR"),
    ] {
        install.refuses(2, args, &[word]);
        let said = install.fails(2, args);
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "one line: {said}");
    }
    for (word, meant) in
        [("forget", "Did you mean"), ("verify", "'scrub'"), ("mount", "'fuse'"), ("delete", "'rm'")]
    {
        install.refuses(2, &[word], &[meant]);
    }
}

#[test]
fn commands_about_the_program_need_no_configuration() {
    assert_eq!(bare(&["version"]).stdout, concat!(env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(
        bare(&["--json", "version"]).stdout,
        concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}\n")
    );
    let help = bare(&["help", "backup"]);
    assert_eq!((help.code, &help.stderr[..]), (0, ""));
    assert_eq!(help.stdout, bare(&["backup", "--help"]).stdout);
    assert!(bare(&["help"]).stdout.contains("Back up and restore:"));
    for shell in ["bash", "fish", "zsh"] {
        let run = bare(&["completion", shell]);
        assert!(
            run.code == 0 && run.stdout.contains("backy2") && run.stdout.contains("diff-meta"),
            "{shell}"
        );
    }
    let wrong = bare(&["completion", "tcsh"]);
    assert!(
        wrong.code == 2 && wrong.stderr.contains("zsh") && wrong.stderr.lines().count() == 1,
        "{wrong:?}"
    );
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

#[test]
fn an_argument_that_is_no_text_is_wrong_usage() {
    let (install, _) = with_version();
    let run = Run::from(install.command(&["ls"]).arg(OsStr::from_bytes(b"\xff\xfe")).output().expect("runs"));
    assert_eq!(run.code, 2, "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

/// Runs a command whose output nobody reads, as with `backy2 … | head -0`.
fn unread(install: &Install, args: &[&str]) -> Run {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = install.command(args).stdout(writer).stderr(Stdio::piped()).spawn().expect("starts");
    Run::from(child.wait_with_output().expect("ended"))
}

#[test]
fn a_reader_that_has_gone_is_no_reason_to_complain() {
    let (install, uid) = with_version();
    for args in [&["ls"][..], &["-m", "ls"], &["scrub", &uid], &["-h"], &["-V"], &[]] {
        let run = unread(&install, args);
        assert_eq!(run.stderr, "", "{args:?}");
    }
    // Half a dump is useless, so `export` fails.
    let run = unread(&install, &["export", &uid, "-"]);
    assert!(run.code == 100 && run.stderr.contains("reader of stdout closed it"), "{run:?}");
    assert_eq!(unread(&install, &["diff-meta", &uid, &uid]).code, 0);
    let run = unread(&install, &["backup", &install.url("a.img"), "unread"]);
    assert_eq!((run.code, &run.stderr[..]), (0, ""), "a backup goes on");
    let made = install.uids(&["unread"]);
    assert!(made.len() == 1 && install.is_valid(&made[0]));
}
