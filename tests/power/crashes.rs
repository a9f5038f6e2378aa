//! Commands on a recording disk, and what is left of their work after a power failure.

use crate::common::disk::{LoopDevice, Mounted};
use crate::common::install::{Install, noise};
use crate::common::{all, skip};
use crate::recording_disk::{Content, Operation, RecordingDisk, format};
use std::collections::BTreeMap;

const BLOCK: usize = 65536;

/// The content of each name.
fn images() -> BTreeMap<&'static str, Vec<u8>> {
    let first = noise(1, 24 * BLOCK);
    let mut second = first.clone();
    second[5 * BLOCK..9 * BLOCK].copy_from_slice(&noise(2, 4 * BLOCK));
    let mut third = noise(3, 10 * BLOCK);
    third[2 * BLOCK..4 * BLOCK].fill(0);
    BTreeMap::from([("first", first), ("second", second), ("third", third)])
}

/// A command, and the names that have a valid version afterwards.
type Step = (&'static [&'static str], &'static [&'static str]);

/// The names stand for their newest version, and for their image.
const STEPS: [Step; 7] = [
    (&["backup", "first"], &["first"]),
    (&["backup", "second"], &["first", "second"]),
    (&["rm", "first"], &["second"]),
    (&["cleanup"], &["second"]),
    (&["backup", "third"], &["second", "third"]),
    (&["rm", "second"], &["third"]),
    (&["backup", "first"], &["first", "third"]),
];

/// A recording of all steps.
struct Recording {
    install: Install,
    size: u64,
    begin: Content,
    operations: Vec<Operation>,
    /// How many operations there were after each step.
    ends: Vec<usize>,
}

impl Recording {
    /// Carries out the steps on a new file system, or says why that is impossible.
    fn make(kind: &str, sync: &str) -> Result<Self, String> {
        let install = Install::without_database(BLOCK as u32);
        let size = if kind == "xfs" { 320 << 20 } else { 64 << 20 };
        for folder in ["fuse", "disk"] {
            std::fs::create_dir(install.path(folder)).expect("a folder");
        }
        let disk = RecordingDisk::new(&install.path("fuse"), size)?;
        format(&disk.device.0, kind)?;
        let mounted = Mounted::mount(&disk.device.0, &install.path("disk"))?;
        std::fs::create_dir(install.path("disk/data")).expect("a folder");
        install.set_in("DataBackend", "path", &install.text("disk/data"));
        install.set_in("DataBackend", "sync", sync);
        install.set_in("MetaBackend", "engine", &format!("sqlite:///{}", install.text("disk/backy.sqlite")));
        for (name, data) in images() {
            install.image(name, &data);
        }
        install.ok(&["initdb"]);
        rustix::fs::sync();
        let begin = disk.begin();
        let mut ends = Vec::new();
        for (words, _) in STEPS {
            carry_out(&install, words);
            ends.push(disk.position());
        }
        drop(mounted);
        let operations = disk.operations();
        Ok(Recording { install, size, begin, operations, ends })
    }

    /// What the disk may hold if the power fails after `count` operations. `keeps` decides about each write that was not
    /// flushed yet.
    fn image(&self, count: usize, mut keeps: impl FnMut() -> bool) -> Content {
        let mut content = self.begin.clone();
        let is_flush = |operation: &Operation| matches!(operation, Operation::Flush);
        let flushed = self.operations[..count].iter().rposition(is_flush).map_or(0, |at| at + 1);
        for (number, operation) in self.operations[..count].iter().enumerate() {
            if let Operation::Write(offset, data) = operation
                && (number < flushed || keeps())
            {
                content.write(*offset, data);
            }
        }
        content
    }

    /// Mounts what the disk holds, and checks it. Returns what was lost.
    fn losses(&self, count: usize, content: &Content) -> Vec<String> {
        let file = self.install.path("crashed");
        content.save(&file, self.size);
        let device = LoopDevice::attach(&file).expect("attached");
        let _mounted = match Mounted::mount(&device.0, &self.install.path("disk")) {
            Ok(mounted) => mounted,
            Err(why) => return vec![format!("the file system: {why}")],
        };
        self.check(self.ends.iter().filter(|end| **end <= count).count())
    }

    /// Checks the mounted installation, in which `done` steps had ended.
    fn check(&self, done: usize) -> Vec<String> {
        let install = &self.install;
        let before = done.checked_sub(1).map_or(&[][..], |step| STEPS[step].1);
        let after = STEPS.get(done).map_or(before, |(_, names)| names);
        let run = install.run(&["-ms", "ls", "-f", "uid,name,valid"]);
        if run.code != 0 {
            return vec![format!("the database: {run:?}")];
        }
        let mut losses = Vec::new();
        let valid: Vec<(&str, &str)> =
            run.stdout.lines().filter_map(|line| line.strip_suffix("|1")?.split_once('|')).collect();
        let images = images();
        for (uid, name) in &valid {
            let _ = std::fs::remove_file(install.path("out"));
            let restored = install.run(&["restore", uid, &install.url("out")]);
            if restored.code != 0 || std::fs::read(install.path("out")).expect("read") != images[name] {
                losses.push(format!("the valid version of {name}: {restored:?}"));
            }
        }
        for name in before.iter().filter(|name| after.contains(name)) {
            if !valid.iter().any(|(_, found)| found == name) {
                losses.push(format!("the version of {name}, whose backup had ended"));
            }
        }
        for (_, name) in valid.iter().filter(|(_, name)| !before.contains(name) && !after.contains(name)) {
            losses.push(format!("the removal of {name}, which had ended"));
        }
        if losses.is_empty() {
            losses.extend(self.work_again());
        }
        losses
    }

    /// Repeats work on the mounted installation. Returns what does not work.
    fn work_again(&self) -> Option<String> {
        let image = self.install.url("second");
        for args in [&["backup", &image, "second"][..], &["scrub", "second"], &["cleanup", "-f"], &["check"]]
        {
            let run = self.install.run(args);
            if run.code != 0 {
                let lines = run.stdout.lines().chain(run.stderr.lines());
                let bad: Vec<&str> =
                    lines.filter(|line| !line.starts_with("ok") && !line.contains("INFO")).collect();
                return Some(format!("{args:?} afterwards: code: {} {bad:#?}", run.code));
            }
        }
        None
    }
}

fn carry_out(install: &Install, words: &[&str]) {
    match words {
        ["backup", name] => install.ok(&["backup", &install.url(name), name]),
        ["rm", name] => install.ok(&["rm", &format!("{name}:latest")]),
        words => install.ok(words),
    };
}

/// Crashes at `points` moments, in three ways each: all unflushed writes are lost, none of them is, or any of them.
/// Returns the number of images, and what was lost in which.
fn crash(recording: &Recording, points: usize) -> (usize, Vec<String>) {
    let mut random = fastrand::Rng::with_seed(5);
    let count = recording.operations.len();
    // Right after each step, and at random.
    let mut moments = recording.ends.clone();
    moments.extend((0..points).map(|_| random.usize(0..=count)));
    let (mut images, mut losses) = (0, Vec::new());
    for moment in moments {
        for part in [0, 100, 50] {
            let content = recording.image(moment, || random.u8(0..100) < part);
            images += 1;
            for loss in recording.losses(moment, &content) {
                losses.push(format!(
                    "after {moment} of {count} operations, with {part} % of the unflushed ones: {loss}"
                ));
            }
        }
    }
    (images, losses)
}

fn points() -> usize {
    let wanted = std::env::var("BACKY2_CRASHES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(if all() { 4 } else { 1 })
}

/// Crashes a file system on which data is flushed in the way `sync`.
fn survives(name: &str, kind: &str, sync: &str) {
    let recording = match Recording::make(kind, sync) {
        Ok(recording) => recording,
        Err(reason) => return skip(name, &reason),
    };
    let (images, losses) = crash(&recording, points());
    assert!(losses.is_empty(), "{} of {images} images: {losses:#?}", losses.len());
    println!("{name}: {images} images, {} operations", recording.operations.len());
}

#[test]
fn ext4_keeps_everything_with_one_flush_of_the_file_system() {
    survives("ext4_keeps_everything_with_one_flush_of_the_file_system", "ext4", "filesystem");
}

#[test]
fn ext4_keeps_everything_with_flushes_of_files() {
    survives("ext4_keeps_everything_with_flushes_of_files", "ext4", "file");
}

#[test]
fn xfs_keeps_everything_with_one_flush_of_the_file_system() {
    survives("xfs_keeps_everything_with_one_flush_of_the_file_system", "xfs", "filesystem");
}

#[test]
fn xfs_keeps_everything_with_flushes_of_files() {
    survives("xfs_keeps_everything_with_flushes_of_files", "xfs", "file");
}

/// Without flushes data is lost, and a restore says so. The test also shows that a missing flush is found.
#[test]
fn without_flushes_losses_are_noticed() {
    let name = "without_flushes_losses_are_noticed";
    let recording = match Recording::make("ext4", "none") {
        Ok(recording) => recording,
        Err(reason) => return skip(name, &reason),
    };
    let (_, losses) = crash(&recording, 3);
    assert!(!losses.is_empty(), "no loss was found");
    for loss in &losses {
        let is_noticed = loss.contains("code: 20")
            || loss.contains("whose backup had ended")
            || loss.contains("which had ended");
        assert!(is_noticed, "{loss}");
    }
}
