//! Completions and manual pages: all of them are made, and the programs that read them accept them.

use crate::common::skip;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn backy2(args: &[&str]) -> Output {
    Command::new(crate::common::program()).args(args).output().expect("runs")
}

fn generated() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let output = backy2(&["generate-docs", dir.path().join("new/docs").to_str().expect("utf-8")]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    dir
}

/// The commands that the usage lists.
fn commands() -> Vec<String> {
    let usage = String::from_utf8(backy2(&[]).stdout).expect("utf-8");
    let names = usage.split(['{', '}']).nth(1).expect("commands in braces");
    names.split(',').map(str::to_owned).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text")
}

/// Whether the program is installed.
fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// The program accepts the file and prints nothing on stderr.
fn accepts(program: &str, args: &[&str], file: &Path) {
    let output = Command::new(program).args(args).arg(file).output().expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{program} {}: {told}", file.display());
}

fn pages(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("new/docs/man")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn every_command_has_completions_and_a_page() {
    let dir = generated();
    let completions = dir.path().join("new/docs/completions");
    for file in ["backy2.bash", "_backy2", "backy2.fish"] {
        let text = read(&completions.join(file));
        for command in commands() {
            assert!(text.contains(&command), "{file} lacks {command}");
        }
        assert!(!text.contains("generate-docs"), "{file} tells of a hidden command");
    }
    let main_page = read(&dir.path().join("new/docs/man/backy2.1"));
    let mut names = BTreeSet::from(["backy2.1".to_owned()]);
    for command in commands() {
        assert!(main_page.contains(&format!("backy2\\-{}(1)", command.replace('-', "\\-"))), "{command}");
        names.insert(format!("backy2-{command}.1"));
    }
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "\"EXIT STATUS\"", "FILES", "EXAMPLES"] {
        assert!(main_page.contains(&format!(".SH {section}\n")), "{section}");
    }
    let file_name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(pages(dir.path()).iter().map(file_name).collect::<BTreeSet<_>>(), names);
}

#[test]
fn help_and_usage_hide_it() {
    for args in [&[][..], &["-h"], &["--help"]] {
        let output = backy2(args);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("generate-docs"), "{args:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_reported() {
    let output = backy2(&["generate-docs", "/dev/null/x"]);
    assert_eq!(output.status.code(), Some(100));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write into /dev/null/x"), "{output:?}");
}

#[test]
fn shells_accept_the_completions() {
    let dir = generated();
    for (shell, file) in [("bash", "backy2.bash"), ("zsh", "_backy2"), ("fish", "backy2.fish")] {
        // Bash is always installed; the other shells are checked if they are.
        if shell == "bash" || exists(shell) {
            accepts(shell, &["-n"], &dir.path().join("new/docs/completions").join(file));
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let dir = generated();
    let file = dir.path().join("new/docs/completions/backy2.bash");
    let complete = |words: &str, current: &str, previous: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _backy2 backy2 '{current}' '{previous}'; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(complete("backy2 migrate-e", "migrate-e", "backy2"), "migrate-encryption");
    assert_eq!(complete("backy2 cleanup --da", "--da", "cleanup"), "--dangerous-force");
    assert_eq!(complete("backy2 --back", "--back", "backy2"), "--backupdir");
}

#[test]
fn groff_accepts_the_pages() {
    if !exists("groff") {
        return skip("groff_accepts_the_pages", "groff is not installed");
    }
    let dir = generated();
    for page in pages(dir.path()) {
        accepts("groff", &["-man", "-ww", "-Tutf8", "-Z"], &page);
    }
}
