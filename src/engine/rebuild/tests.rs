//! Databases are lost and come back.

mod damage;

use super::*;
use crate::config::{self, Origin, Places};
use crate::copies::CopiedVersion;
use crate::crypt::{Sealer, StoreKey};
use crate::engine::backup::{self, Options};
use crate::engine::cleanup::{self, Grace};
use crate::engine::remove::AgeLimit;
use crate::engine::{Site, Use, catalogue, init, remove, schedule};
use crate::meta::{DumpRow, PastRun, Usage, VersionFilter};
use crate::monitor::Silent;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::version::{SnapshotOrigin, Version};
use std::fs;
use std::path::PathBuf;
use uuid::Uuid;

const BLOCK: usize = 4096;

/// An installation in a folder.
struct Bench {
    _folder: tempfile::TempDir,
    config: Config,
    home: PathBuf,
}

/// What a user can see of a database.
#[derive(Debug, PartialEq)]
struct View {
    versions: Vec<Version>,
    rows: Vec<Vec<DumpRow>>,
    origins: Vec<Option<SnapshotOrigin>>,
    runs: Vec<PastRun>,
    usage: Vec<Usage>,
    store: Option<String>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("b");
        init::folder(&home).expect("made");
        let mut config = config::load(&Origin::Folder(home.clone()), &Places::of_system()).expect("loaded");
        config.block_size = BLOCK as u32;
        config.process_name = format!("b2r{}", fastrand::u32(..));
        Bench { _folder: folder, config, home }
    }

    fn site(&self, access: Access) -> Site<'_> {
        Site::open(&self.config, &Silent, access).expect("opened")
    }

    /// Backs up an image whose blocks are filled with these bytes. 0 is a hole.
    fn back_up(&self, image: &[u8], name: &str) -> VersionUid {
        let path = self.home.join("image");
        let bytes: Vec<u8> = image.iter().flat_map(|data| [*data; BLOCK]).collect();
        fs::write(&path, bytes).expect("written");
        let mut site = self.site(Access::Write);
        let options = Options {
            source: &format!("file://{}", path.display()),
            name,
            snapshot_name: "snap",
            hints: None,
            base: None,
            resume: None,
            tags: vec!["daily".into(), "b2".into()],
            expire: None,
            source_stays: true,
            allow_empty: false,
        };
        backup::run(&mut site, options).expect("backed up").version.uid
    }

    /// A small history: three versions, of which one is protected and one expires, and one that was removed.
    fn history(&self) -> Vec<VersionUid> {
        let one = self.back_up(&[1, 2, 3, 0, 5, 6], "vm");
        let gone = self.back_up(&[9, 8, 7], "gone");
        let two = self.back_up(&[1, 2, 4, 0, 5, 7], "vm");
        let other = self.back_up(&[1, 10, 0, 0], "other");
        remove::run(&mut self.site(Access::Remove), gone.as_str(), AgeLimit::Ignore).expect("removed");
        catalogue::set_protected(&mut self.site(Access::Write), one.as_str(), true).expect("protected");
        schedule::add_tags(&mut self.site(Access::Write), two.as_str(), &["more".to_owned()])
            .expect("tagged");
        vec![one, two, other]
    }

    fn database(&self) -> PathBuf {
        self.home.join("backy.sqlite")
    }

    fn lose_database(&self) {
        for end in ["", "-wal", "-shm", ".reserve"] {
            let _ = fs::remove_file(format!("{}{end}", self.database().display()));
        }
    }

    fn rebuild(&self) -> Result<Rebuilt> {
        run(&self.config, &Silent)
    }

    fn view(&self) -> View {
        let mut site = self.site(Access::Catalogue);
        let versions = site.versions(&VersionFilter::default()).expect("listed");
        let mut rows = Vec::new();
        let mut usage = Vec::new();
        for version in &versions {
            let mut of_version = site.meta.dump_rows(version, 0, 1000).expect("read");
            // The date of a hole has no meaning.
            of_version.iter_mut().filter(|row| row.uid.is_none()).for_each(|row| row.date = version.date);
            rows.push(of_version);
            usage.extend(site.meta.usage(Some(version)).expect("read").remove(&version.key));
        }
        let origins = versions.iter().map(|version| site.meta.origin(version).expect("read")).collect();
        let uids: Vec<&VersionUid> = versions.iter().map(|version| &version.uid).collect();
        let mut runs = site.meta.past_runs(None, None).expect("read");
        runs.retain(|run| uids.contains(&&run.version_uid));
        let store = site.meta.store().expect("read").map(|row| row.uuid);
        View { versions, rows, origins, runs, usage, store }
    }

    /// The file of an object.
    fn object(&self, name: &str) -> PathBuf {
        self.home.join("data").join(name)
    }

    /// The names of all copies.
    fn objects(&self) -> Vec<String> {
        let vault = Vault::open(&self.config, &Silent).expect("opened");
        let folders = ObjectFolder::ALL.into_iter();
        folders.flat_map(|folder| vault.names(folder).expect("listed")).map(|name| name.to_string()).collect()
    }
}

#[test]
fn everything_comes_back() {
    let bench = Bench::new();
    bench.history();
    let before = bench.view();
    assert_eq!(before.versions.len(), 3);
    bench.lose_database();
    let rebuilt = bench.rebuild().expect("rebuilt");
    assert_eq!((rebuilt.versions, &rebuilt.invalid[..], &rebuilt.skipped[..]), (3, &[][..], &[][..]));
    // 9, 8 and 7 of the removed version.
    assert_eq!((rebuilt.missing, rebuilt.unlisted), (0, 0));
    assert_eq!(bench.view(), before);
    let checked = check(&mut bench.site(Access::Catalogue)).expect("checked");
    assert_eq!(checked.differences, []);
    // Work goes on.
    bench.back_up(&[1, 2, 4, 11], "vm");
    cleanup::fast(&mut bench.site(Access::Clean), Grace::Waived).expect("cleaned");
    let all = bench.view();
    bench.lose_database();
    bench.rebuild().expect("rebuilt");
    assert_eq!(bench.view(), all);
}
