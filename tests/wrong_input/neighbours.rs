//! Files that other users of the host have prepared: configuration, logfile, folder, database. And files of ours that
//! they can see.

use crate::common::disk::{self, Mounted};
use crate::common::install::{Install, Run, noise};
use crate::common::skip;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Another user.
const NOBODY: u32 = 65534;

/// Runs the binary in a folder, with a separate home folder and the given umask.
fn bare(folder: &Path, umask: &str, args: &[&str]) -> Run {
    let mut shell = Command::new("sh");
    let run = format!("umask {umask}; exec \"$0\" \"$@\"");
    shell.args(["-c", &run, &crate::common::program()]).args(args).current_dir(folder);
    shell.env("HOME", folder.join("home")).stdin(Stdio::null());
    Run::from(shell.output().expect("runs"))
}

fn good(folder: &Path, umask: &str, args: &[&str]) -> String {
    let run = bare(folder, umask, args);
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    run.stdout
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

/// All files below a folder, with their modes.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        found.push((path.clone(), mode(&path)));
        if path.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "needs root");
    }
    root
}

#[test]
fn created_files_are_private_under_every_umask() {
    let folder = tempfile::tempdir().expect("tempdir");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.img"), noise(7, 9000)).expect("written");
    let dir = at("backup").to_str().expect("text").to_owned();
    good(folder.path(), "000", &["-b", &dir, "init"]);
    good(folder.path(), "000", &["-b", &dir, "backup", "./a.img", "vm"]);
    good(folder.path(), "000", &["-b", &dir, "export", "vm:latest", "dump"]);
    good(folder.path(), "000", &["-b", &dir, "restore", "vm:latest", "./b.img"]);
    assert_eq!((mode(&at("dump")), mode(&at("b.img"))), (0o600, 0o600));
    let made = modes(&at("backup"));
    assert!(made.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "blob")), "{made:?}");
    for (path, mode) in &made {
        assert_eq!(*mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    // A shared installation gets the configured mode, although the umask is narrow.
    let config = at("backup/backy.cfg");
    let text = fs::read_to_string(&config).expect("read");
    let text = text.replace("[DEFAULTS]\n", "[DEFAULTS]\nfile_mode: 0660\n");
    fs::create_dir(at("shared")).expect("made");
    let text = text.replace("backy.sqlite", "shared.sqlite").replace("backy.log", "shared.log");
    fs::write(&config, text.replace("\npath: data\n", "\npath: ../shared\n")).expect("written");
    good(folder.path(), "077", &["-b", &dir, "initdb"]);
    good(folder.path(), "077", &["-b", &dir, "backup", "./a.img", "vm"]);
    good(folder.path(), "077", &["-b", &dir, "export", "vm:latest", "dump2"]);
    good(folder.path(), "077", &["-b", &dir, "restore", "vm:latest", "./c.img"]);
    let names = ["dump2", "c.img", "backup/shared.sqlite", "backup/shared.log", "shared/backy2.store"];
    for name in names {
        assert_eq!(mode(&at(name)), 0o660, "{name}");
    }
    // An existing file keeps its mode.
    chmod(&at("dump2"), 0o644);
    good(folder.path(), "077", &["-b", &dir, "export", "vm:latest", "dump2"]);
    assert_eq!(mode(&at("dump2")), 0o644);
}

#[test]
fn the_configuration_in_a_folder_of_others_is_not_read() {
    let install = Install::new(4096);
    let folder = tempfile::tempdir().expect("tempdir");
    let trap = folder.path().join("trap");
    fs::create_dir(&trap).expect("made");
    let text = fs::read_to_string(install.path("backy.cfg")).expect("read");
    let log = folder.path().join("cron.d");
    let text = text.replace(&install.text("backy.log"), log.to_str().expect("text"));
    fs::write(trap.join("backy.cfg"), text).expect("written");
    chmod(&trap, 0o777);
    let refused = |word: &str| {
        let run = bare(&trap, "022", &["ls"]);
        assert_eq!((run.code, &run.stdout[..]), (1, ""), "{run:?}");
        assert!(run.stderr.contains("./backy.cfg") && run.stderr.contains(word), "{word}: {run:?}");
        assert!(!log.exists(), "the log of the trap was written");
    };
    refused("which others can write to");
    chmod(&trap, 0o755);
    chmod(&trap.join("backy.cfg"), 0o666);
    refused("chmod go-w");
    chmod(&trap.join("backy.cfg"), 0o644);
    if is_root("the_configuration_in_a_folder_of_others_is_not_read") {
        chown(trap.join("backy.cfg"), Some(NOBODY), None).expect("given away");
        refused("belongs to another user");
        chown(trap.join("backy.cfg"), Some(0), None).expect("given back");
        chown(&trap, Some(NOBODY), None).expect("given away");
        refused("of another user");
        // If the file is named by `-c`, it is read with a warning.
        let run = bare(&trap, "022", &["-c", "./backy.cfg", "ls"]);
        assert!(run.code == 0 && run.stderr.contains("others can change what backy2 does"), "{run:?}");
    }
}

#[test]
fn a_logfile_that_is_a_trap_is_neither_followed_nor_waited_for() {
    let install = Install::new(4096);
    let shared = install.path("shared");
    fs::create_dir(&shared).expect("made");
    chmod(&shared, 0o1777);
    fs::write(install.path("crontab"), "").expect("written");
    symlink(install.path("crontab"), shared.join("link")).expect("linked");
    mknodat(CWD, shared.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a pipe");
    for (name, word) in [("shared/link", "symbolic link"), ("shared/pipe", "pipe"), ("shared", "logfile")] {
        install.set("logfile", &install.text(name));
        let error = install.fails(1, &["ls"]);
        assert!(error.contains(&install.text(name)) && error.contains(word), "{error}");
    }
    assert_eq!(fs::read(install.path("crontab")).expect("read"), b"");
    for device in ["/dev/null", "/dev/stderr"] {
        install.set("logfile", device);
        install.ok(&["ls"]);
    }
}

#[test]
fn init_that_was_killed_or_met_a_full_disk_goes_on() {
    let folder = tempfile::tempdir().expect("tempdir");
    for failpoint in ["init-folder:1", "init-folder:3", "init-database", "whole-before-rename"] {
        let dir = folder.path().join(failpoint.replace(':', "-"));
        let text = dir.to_str().expect("text");
        let mut command = Command::new(crate::common::program());
        let killed = command.args(["-b", text, "init"]).env("BACKY2_FAILPOINT", failpoint).output();
        assert_eq!(Run::from(killed.expect("runs")).code, -1, "{failpoint}");
        assert!(!dir.join("backy.cfg").exists(), "{failpoint}");
        good(folder.path(), "022", &["-b", text, "init"]);
        good(folder.path(), "022", &["-b", text, "ls"]);
        let run = bare(folder.path(), "022", &["-b", text, "init"]);
        assert!(run.code == 100 && run.stderr.contains("is not empty"), "{run:?}");
        // A folder whose database has versions is no interrupted `init`.
        fs::write(folder.path().join("a.img"), noise(7, 5000)).expect("written");
        good(folder.path(), "022", &["-b", text, "backup", "./a.img", "vm"]);
        fs::remove_file(dir.join("backy.cfg")).expect("removed");
        let run = bare(folder.path(), "022", &["-b", text, "init"]);
        assert!(run.code == 100 && run.stderr.contains("is not empty"), "{run:?}");
    }
    let small = folder.path().join("small");
    fs::create_dir(&small).expect("made");
    if let Err(reason) = disk::run("mount", &["-t", "tmpfs", "-o", "size=48k", "small", disk::text(&small)]) {
        return skip("init_that_was_killed_or_met_a_full_disk_goes_on", &reason);
    }
    let _mounted = Mounted { at: small.clone() };
    chmod(&small, 0o755);
    let run = bare(folder.path(), "022", &["-b", disk::text(&small), "init"]);
    assert!(run.code == 100 && !small.join("backy.cfg").exists(), "{run:?}");
    disk::run("mount", &["-o", "remount,size=16m", disk::text(&small)]).expect("enlarged");
    good(folder.path(), "022", &["-b", disk::text(&small), "init"]);
    good(folder.path(), "022", &["-b", disk::text(&small), "ls"]);
}

#[test]
fn init_takes_no_folder_of_others_and_closes_its_own() {
    let folder = tempfile::tempdir().expect("tempdir");
    let dir = folder.path().join("backup");
    fs::create_dir(&dir).expect("made");
    let text = disk::text(&dir);
    let refused = |word: &str| {
        let run = bare(folder.path(), "022", &["-b", text, "init"]);
        assert!(run.code == 100 && run.stderr.contains(word), "{run:?}");
        assert_eq!(fs::read_dir(&dir).expect("listed").count(), 0);
    };
    chmod(&dir, 0o777);
    refused("Others can write to");
    chmod(&dir, 0o1777);
    refused("Others can write to");
    chmod(&dir, 0o755);
    if is_root("init_takes_no_folder_of_others_and_closes_its_own") {
        chown(&dir, Some(NOBODY), None).expect("given away");
        refused("belongs to another user");
        chown(&dir, Some(0), None).expect("given back");
    }
    let told = good(folder.path(), "022", &["-b", text, "init"]);
    assert!(told.contains("0755") && told.contains("0700"), "{told}");
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn an_export_that_does_not_arrive_leaves_the_old_dump_and_says_so() {
    let install = Install::new(4096);
    install.backup(&[&install.image("a.img", &noise(7, 9000)), "vm"]);
    let dump = install.text("dump");
    fs::write(&dump, "the old one").expect("written");
    let mut command = install.command(&["export", "vm:latest", &dump]);
    let killed = command.env("BACKY2_FAILPOINT", "whole-before-rename").output().expect("runs");
    assert_eq!(Run::from(killed).code, -1);
    assert_eq!(fs::read(&dump).expect("read"), b"the old one");
    for left in fs::read_dir(install.path("")).expect("listed") {
        let path = left.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "tmp") {
            fs::remove_file(path).expect("removed");
        }
    }
    install.refuses(100, &["export", "vm:latest", "/dev/full"], &["No space left"]);
    let full = fs::File::options().write(true).open("/dev/full").expect("opened");
    let run = Run::from(install.command(&["export", "vm:latest", "-"]).stdout(full).output().expect("runs"));
    assert_eq!(run.code, 100, "{run:?}");
    install.ok(&["export", "vm:latest", &dump]);
    let whole = fs::read_to_string(&dump).expect("read");
    assert_eq!(install.ok(&["-m", "export", "vm:latest", "/dev/stdout"]), whole);
    assert_eq!(install.ok(&["export", "vm:latest", "-"]), whole);
}

#[test]
fn a_database_in_which_something_foreign_runs_is_not_used() {
    let install = Install::new(4096);
    install.backup(&[&install.image("a.img", &noise(7, 9000)), "vm"]);
    install
        .sqlite()
        .execute_batch("CREATE TRIGGER gotcha AFTER INSERT ON versions BEGIN DELETE FROM tags; END")
        .expect("made");
    for args in [&["ls"][..], &["backup", "./a.img", "vm"], &["cleanup"]] {
        install.refuses(1, args, &["the trigger gotcha of versions"]);
    }
    install.sqlite().execute_batch("DROP TRIGGER gotcha").expect("dropped");
    install.ok(&["ls"]);
    chmod(&install.path("backy.sqlite"), 0o666);
    install.refuses(1, &["ls"], &["Everybody can write the database", "chmod o-w"]);
}

#[test]
fn checksums_that_can_be_forged_are_a_warning_at_each_backup() {
    let install = Install::without_database(4096);
    for (function, warned) in [("md5", true), ("sha1", true), ("sha256", false)] {
        install.set("hash_function", function);
        let source = install.image("a.img", &noise(7, 9000));
        if !install.path("backy.sqlite").exists() {
            assert!(install.run(&["initdb"]).stderr.contains("same checksum"));
        }
        let run = install.run(&["backup", &source, function]);
        assert_eq!(run.stderr.contains("same checksum"), warned, "{run:?}");
        assert!(!install.run(&["ls"]).stderr.contains("same checksum"));
    }
}
