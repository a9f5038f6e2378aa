//! Self-contained folders that are moved or copied.

use crate::common::install::{Run, noise};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `backy2 ARGS` in the folder `current`.
fn run(current: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(crate::common::program());
    Run::from(command.args(args).current_dir(current).env("HOME", current).output().expect("runs"))
}

fn ok(current: &Path, args: &[&str]) -> String {
    let run = run(current, args);
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    run.stdout
}

/// The paths and contents of all files below `folder`.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("read"));
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp").success());
}

/// A folder with an image of 8 MiB, and the installation `old` with a backup of it.
fn with_backup() -> tempfile::TempDir {
    let parent = tempfile::tempdir().expect("a folder");
    let at = parent.path();
    fs::write(at.join("image"), noise(7, 8 << 20)).expect("written");
    ok(at, &["-b", "old", "init"]);
    ok(at, &["-b", "old", "backup", "./image", "vm"]);
    parent
}

/// Gives the configuration absolute paths, as the first installations had.
fn make_absolute(folder: &Path) {
    let config = folder.join("backy.cfg");
    let text = fs::read_to_string(&config).expect("read");
    let at = folder.display();
    let mut changed = String::new();
    for line in text.lines().filter(|line| !line.starts_with("relative_paths:")) {
        changed += &match line.split_once(": ") {
            Some(("engine", _)) => format!("engine: sqlite:///{at}/backy.sqlite\n"),
            Some((key @ ("logfile" | "lock_dir" | "cachedir" | "path"), name)) => {
                format!("{key}: {at}/{name}\n")
            }
            _ => format!("{line}\n"),
        };
    }
    fs::write(config, changed).expect("written");
}

fn restores(at: &Path, folder: &str, version: &str) {
    let _ = fs::remove_file(at.join("out"));
    ok(at, &["-b", folder, "restore", version, "./out"]);
    assert!(fs::read(at.join("out")).expect("there") == fs::read(at.join("image")).expect("there"));
}

#[test]
fn a_folder_can_be_moved() {
    let parent = with_backup();
    let at = parent.path();
    let config = fs::read_to_string(at.join("old/backy.cfg")).expect("there");
    assert!(!config.contains(at.to_str().expect("text")), "{config}");
    fs::create_dir(at.join("deep")).expect("made");
    fs::rename(at.join("old"), at.join("deep/100% new")).expect("moved");
    restores(at, "deep/100% new", "vm:latest");
    ok(at, &["-b", "deep/100% new", "backup", "./image", "vm"]);
    ok(at, &["-b", "deep/100% new", "check"]);
    // From within the folder, by the file, and by a link.
    assert_eq!(ok(&at.join("deep/100% new"), &["-b", ".", "-ms", "ls", "-f", "name"]), "vm\nvm\n");
    let file = at.join("deep/100% new/backy.cfg");
    assert_eq!(ok(at, &["-c", file.to_str().expect("text"), "-ms", "ls", "-f", "name"]), "vm\nvm\n");
    std::os::unix::fs::symlink("deep/100% new", at.join("link")).expect("a link");
    restores(at, "link", "vm");
    let mut names: Vec<_> =
        fs::read_dir(at).expect("there").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["deep", "image", "link", "out"], "nothing in the current folder");
}

#[test]
fn a_copy_is_an_installation_of_its_own() {
    let parent = with_backup();
    let at = parent.path();
    copy(&at.join("old"), &at.join("copy"));
    let before = content(&at.join("old"));
    fs::write(at.join("image"), noise(8, 8 << 20)).expect("written");
    ok(at, &["-b", "copy", "backup", "./image", "vm"]);
    restores(at, "copy", "vm:latest");
    let older = ok(at, &["-b", "copy", "-ms", "ls", "-f", "uid"]).lines().next().expect("a uid").to_owned();
    ok(at, &["-b", "copy", "rm", &older]);
    ok(at, &["-b", "copy", "cleanup", "--dangerous-force"]);
    ok(at, &["-b", "copy", "check", "--read", "100%"]);
    assert!(content(&at.join("old")) == before, "the original is as it was");
    assert_eq!(ok(at, &["-b", "old", "-ms", "ls", "-f", "name"]), "vm\n");
    ok(at, &["-b", "old", "check", "--read", "100%"]);
}

#[test]
fn a_copy_with_absolute_paths_is_refused_until_they_are_changed() {
    let parent = with_backup();
    let at = fs::canonicalize(parent.path()).expect("there");
    let (old, new) = (at.join("old"), at.join("copy"));
    make_absolute(&old);
    ok(&at, &["-b", "old", "check"]);
    copy(&old, &new);
    let before = content(&at);
    let commands: [&[&str]; 4] =
        [&["backup", "./image", "vm"], &["cleanup", "--full"], &["rm", "vm:latest"], &["ls"]];
    let refused = |words: &[&str]| {
        for command in commands {
            let run = run(&at, &[&["-b", "copy"], command].concat());
            assert_eq!(run.code, 1, "{command:?}: {run:?}");
            for word in words {
                assert!(run.stderr.contains(word), "{word}: {run:?}");
            }
        }
        assert!(content(&at) == before, "nothing was written");
    };
    let advice = format!(
        "Replace {} in the paths of {}/backy.cfg by {}.",
        old.display(),
        new.display(),
        new.display()
    );
    refused(&[&advice, "A copy must not write to the original."]);
    // The original may have another configuration by now.
    let config = new.join("backy.cfg");
    let text = fs::read_to_string(&config).expect("there");
    fs::write(&config, text.clone() + "\n").expect("written");
    let before = content(&at);
    let run = run(&at, &["-b", "copy", "backup", "./image", "vm"]);
    assert!(run.code == 1 && run.stderr.contains(&advice), "{run:?}");
    assert!(content(&at) == before, "nothing was written");
    // The advice helps.
    fs::write(&config, text.replace(old.to_str().expect("text"), new.to_str().expect("text")))
        .expect("written");
    let before = content(&old);
    ok(&at, &["-b", "copy", "backup", "./image", "vm"]);
    assert!(content(&old) == before);
}

#[test]
fn a_moved_folder_with_absolute_paths_is_told_apart_from_a_lost_database() {
    let parent = with_backup();
    let at = fs::canonicalize(parent.path()).expect("there");
    make_absolute(&at.join("old"));
    fs::rename(at.join("old"), at.join("new")).expect("moved");
    let run = run(&at, &["-b", "new", "ls"]);
    assert_eq!(run.code, 1, "{run:?}");
    let (old, new) = (at.join("old"), at.join("new"));
    let advice = format!(
        "Replace {} in the paths of {}/backy.cfg by {}.",
        old.display(),
        new.display(),
        new.display()
    );
    assert!(run.stderr.contains("moved?") && run.stderr.contains(&advice), "{run:?}");
    assert!(!old.exists());
}

#[test]
fn paths_that_were_never_inside_are_fine() {
    let parent = tempfile::tempdir().expect("a folder");
    let at = parent.path();
    fs::write(at.join("image"), noise(7, 8 << 20)).expect("written");
    ok(at, &["-b", "old", "init"]);
    fs::create_dir(at.join("disk")).expect("made");
    fs::rename(at.join("old/data"), at.join("disk/data")).expect("moved");
    let config = at.join("old/backy.cfg");
    let text = fs::read_to_string(&config).expect("there");
    let changed = text.replace("\npath: data\n", &format!("\npath: {}/disk/data\n", at.display()));
    assert_ne!(changed, text);
    fs::write(&config, changed).expect("written");
    ok(at, &["-b", "old", "backup", "./image", "vm"]);
    fs::rename(at.join("old"), at.join("new")).expect("moved");
    restores(at, "new", "vm:latest");
}
