//! A backup calls the verbs of the metadata in the order that the explorer proves correct.

use super::*;
use crate::config::{self, Config, Origin, Places};
use crate::engine::{Access, init};
use crate::meta::tests::explorer::order::{Case, compared};
use crate::meta::tests::recorder;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Metadata, Rows, VersionFilter};
use crate::monitor::{Activity, Handle, Level, Progress};
use crate::types::block::Blob;
use crate::types::error::Signal;
use std::path::Path;
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
    fn say(&self, _: Level, _: &str) {}
    fn interrupted(&self) -> Option<Signal> {
        None
    }
}

/// Backs up an image whose blocks are filled with the bytes `image`. With a base, the hints name only the second block.
fn back_up(
    config: &Config,
    folder: &Path,
    image: &[u8],
    base: Option<&VersionUid>,
    spoil: bool,
) -> VersionUid {
    let path = folder.join("image");
    let bytes: Vec<u8> = image.iter().flat_map(|data| [*data; BLOCK]).collect();
    std::fs::write(&path, bytes).expect("written");
    let spoiler = Spoiler { database: Mutex::new(spoil.then_some(&config.meta.engine)) };
    let mut site = Site::open(config, &spoiler, Access::Write).expect("opened");
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
    run(&mut site, options).expect("backed up").version.uid
}

/// The verbs that the engine calls, in order.
fn recorded(case: Case) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("b");
    init::folder(&home).expect("made");
    let mut config = config::load(&Origin::Folder(home), &Places::of_system()).expect("loaded");
    config.block_size = BLOCK as u32;
    config.process_name = format!("b2o{}", fastrand::u32(..));
    let back_up = |image: &[u8], base: Option<&VersionUid>, spoil: bool| {
        back_up(&config, folder.path(), image, base, spoil)
    };
    let verbs = match case {
        Case::First => recorder::record(|| drop(back_up(&[1, 0], None, false))),
        Case::Reusing => {
            back_up(&[1], None, false);
            recorder::record(|| drop(back_up(&[1], None, false)))
        }
        Case::OnBase | Case::BadAtItsEnd => {
            let base = back_up(&[1, 2], None, false);
            recorder::record(|| drop(back_up(&[1, 3], Some(&base), case == Case::BadAtItsEnd)))
        }
    };
    compared(verbs)
}

#[test]
fn a_backup_calls_the_verbs_in_the_order_that_the_explorer_explores() {
    for case in Case::ALL {
        let scripted = case.scripted();
        assert!(scripted.ends_with(&["finishing the version".to_owned()]), "{case:?}: {scripted:?}");
        assert_eq!(recorded(case), scripted, "{case:?}");
    }
    let finishes = Case::BadAtItsEnd.scripted().iter().filter(|verb| verb.starts_with("finishing")).count();
    assert_eq!(finishes, 2, "the blob is found bad at the first end");
}
