//! The commands take their steps in the order that the explorer of the metadata proves correct.

use super::backup::{self, Options};
use super::cleanup::{self, Grace};
use super::{Access, Site, init, remove, restore, scrub, transfer};
use crate::config::{self, Config, Origin, Places};
use crate::failpoint::recorder;
use crate::meta::tests::explorer::order::Case;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Metadata, Rows, VersionFilter};
use crate::monitor::{Activity, Handle, Level, Monitor, Progress, Silent};
use crate::types::block::Blob;
use crate::types::error::Signal;
use crate::types::remedy::Remedy;
use crate::types::uid::VersionUid;
use std::path::PathBuf;
use std::sync::Mutex;

const BLOCK: usize = 64 << 10;

/// Marks the first blob of the only version as bad once the rest of a backup is being read.
struct Spoiler<'c> {
    /// The database, until it is done.
    database: Mutex<Option<&'c str>>,
}

impl Monitor for Spoiler<'_> {
    fn progress(&self, progress: &Progress<'_>) {
        let reads = matches!(progress.activity, Activity::BackupData { .. });
        let Some(url) = self.database.lock().expect("nobody has panicked").take_if(|_| reads) else { return };
        let url = DatabaseUrl::parse(url).expect("a URL");
        let mut other = Metadata::open(&url, Handle::silent()).expect("opens");
        let versions = other.versions(&VersionFilter::default()).expect("lists").versions;
        let base = versions.iter().find(|version| version.valid).expect("the base");
        let rows = other.rows(base, 0, 1, Rows::All).expect("reads");
        let blobs: Vec<Blob> = rows.into_iter().filter_map(|row| row.blob).collect();
        other.mark_blobs_invalid(&blobs).expect("marks");
    }
    fn advise(&self, _: Level, _: &str, _: &[Remedy]) {}
    fn interrupted(&self) -> Option<Signal> {
        None
    }
}

/// An installation.
struct Bench {
    folder: tempfile::TempDir,
    config: Config,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("b");
        init::folder(&home).expect("made");
        let mut config = config::load(&Origin::Folder(home), &Places::of_system()).expect("loaded");
        config.block_size = BLOCK as u32;
        config.process_name = format!("b2o{}", fastrand::u32(..));
        Bench { folder, config }
    }

    fn site(&self, access: Access) -> Site<'_> {
        Site::open(&self.config, &Silent, access).expect("opened")
    }

    /// Backs up an image whose blocks are filled with the bytes `image`. With a base, the hints name only the
    /// second block.
    fn back_up(&self, image: &[u8], base: Option<&VersionUid>) -> VersionUid {
        self.back_up_watched(image, base, &Silent)
    }

    fn back_up_watched(&self, image: &[u8], base: Option<&VersionUid>, monitor: &dyn Monitor) -> VersionUid {
        let path = self.folder.path().join("image");
        let bytes: Vec<u8> = image.iter().flat_map(|data| [*data; BLOCK]).collect();
        std::fs::write(&path, bytes).expect("written");
        let mut site = Site::open(&self.config, monitor, Access::Write).expect("opened");
        let hints = format!(r#"[{{"offset": {BLOCK}, "length": {BLOCK}, "exists": "true"}}]"#);
        let options = Options {
            source: &format!("file://{}", path.display()),
            name: "vm",
            snapshot_name: "",
            hints: base.map(|_| (Box::new(hints.as_bytes()) as Box<dyn std::io::Read>, "hints")),
            base: base.map(|uid| uid.as_str()),
            resume: None,
            tags: Vec::new(),
            expire: None,
            source_stays: true,
            allow_empty: false,
        };
        backup::run(&mut site, options).expect("backed up").version.uid
    }

    fn remove(&self, uid: &VersionUid) {
        remove::run(&mut self.site(Access::Remove), uid.as_str(), remove::AgeLimit::Ignore).expect("removed");
    }

    fn clean(&self) {
        cleanup::fast(&mut self.site(Access::Clean), Grace::Waived).expect("cleaned");
    }

    fn clean_fully(&self) {
        cleanup::full(&mut self.site(Access::Clean), "", true).expect("cleaned");
    }

    fn scrub(&self, uid: &VersionUid) {
        let options = scrub::Options { version: uid.as_str(), source: None, percentile: 100 };
        scrub::run(&mut self.site(Access::Write), &options).expect("scrubbed");
    }

    fn restore(&self, uid: &VersionUid) {
        let target = format!("file://{}", self.folder.path().join("restored").display());
        let (version, target) = (uid.as_str(), &target[..]);
        let options = restore::Options { version, target, sparse: false, force: false, continue_from: None };
        restore::run(&mut self.site(Access::Write), &options).expect("restored");
    }

    /// Exports and removes a version. Returns the dump.
    fn dump_and_remove(&self, uid: &VersionUid) -> Vec<u8> {
        let mut dump = Vec::new();
        transfer::export(&mut self.site(Access::Write), uid.as_str(), || Ok(&mut dump)).expect("exported");
        self.remove(uid);
        dump
    }

    /// Damages all blobs.
    fn damage(&self) {
        let mut folders = vec![self.folder.path().join("b")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("read") {
                let path: PathBuf = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "blob") {
                    std::fs::write(path, "damaged").expect("written");
                }
            }
        }
    }
}

/// The steps of the engine, in order.
fn recorded(case: Case) -> Vec<String> {
    let bench = Bench::new();
    let record = |work: &dyn Fn()| recorder::record(work);
    let steps = match case {
        Case::FirstBackup => record(&|| drop(bench.back_up(&[1, 0], None))),
        Case::ReusingBackup => {
            bench.back_up(&[1], None);
            record(&|| drop(bench.back_up(&[1], None)))
        }
        Case::BackupOnBase => {
            let base = bench.back_up(&[1, 2], None);
            record(&|| drop(bench.back_up(&[1, 3], Some(&base))))
        }
        Case::BackupBadAtItsEnd => {
            let base = bench.back_up(&[1, 2], None);
            let spoiler = Spoiler { database: Mutex::new(Some(&bench.config.meta.engine)) };
            record(&|| drop(bench.back_up_watched(&[1, 3], Some(&base), &spoiler)))
        }
        Case::Remove => {
            let uid = bench.back_up(&[1], None);
            record(&|| bench.remove(&uid))
        }
        Case::Cleanup => {
            bench.remove(&bench.back_up(&[1], None));
            record(&|| bench.clean())
        }
        Case::FullCleanup => {
            bench.remove(&bench.back_up(&[1], None));
            record(&|| bench.clean_fully())
        }
        Case::Import => {
            let dump = bench.dump_and_remove(&bench.back_up(&[1], None));
            let import = || transfer::import(&mut bench.site(Access::Write), &dump[..], "dump");
            record(&|| drop(import().expect("imported")))
        }
        Case::Scrub => {
            let uid = bench.back_up(&[1], None);
            record(&|| bench.scrub(&uid))
        }
        Case::ScrubOfDamage => {
            let uid = bench.back_up(&[1], None);
            bench.damage();
            record(&|| bench.scrub(&uid))
        }
        Case::Restore => {
            let uid = bench.back_up(&[1], None);
            record(&|| bench.restore(&uid))
        }
    };
    case.compared(steps)
}

#[test]
fn the_commands_take_their_steps_in_the_order_that_the_explorer_explores() {
    for case in Case::ALL {
        assert_eq!(recorded(case), case.scripted(), "{case:?}");
    }
    // The scripts do what the cases are about.
    for (case, last) in [
        (Case::FirstBackup, "finishing the version"),
        (Case::Remove, "settling a due copy"),
        (Case::Cleanup, "looking for unfinished deletions"),
        (Case::FullCleanup, "looking up blobs"),
        (Case::Import, "importing a version"),
        (Case::Scrub, "marking a version valid"),
        (Case::ScrubOfDamage, "marking blocks invalid"),
        (Case::Restore, "reading blocks"),
    ] {
        assert_eq!(case.scripted().last().map(String::as_str), Some(last), "{case:?}");
    }
    let steps = Case::BackupBadAtItsEnd.scripted();
    let finishes = steps.iter().filter(|step| step.starts_with("finishing")).count();
    assert_eq!(finishes, 2, "the blob is found bad at the first end");
}
