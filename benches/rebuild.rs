//! How long a rebuild of a large installation takes, and how much memory it needs.
//!
//! `cargo bench --bench rebuild -- IMAGES VERSIONS BLOCKS [LISTED]` makes a store with VERSIONS versions of each of
//! IMAGES images of BLOCKS blocks. From each version to the next, one block of a hundred changes. The store has the copies
//! of the metadata, and no blobs. Each list of blobs has LISTED of them (50 000 if not given). Then it rebuilds the
//! database.

use backy2::config::{self, Config, Origin, Places};
use backy2::copies::{BlockMap, CopiedBlob, CopiedKey, CopiedVersion, RowSum, SummedRow, encode_index};
use backy2::crypt::{Keyring, Sealer, StoreKey, rows_key};
use backy2::engine::{Access, Site, Use, init, rebuild};
use backy2::meta::Metadata;
use backy2::meta::url::DatabaseUrl;
use backy2::monitor::{Handle, Silent};
use backy2::types::object::ObjectName;
use backy2::types::time::Timestamp;
use backy2::types::uid::{BlobUid, VersionUid};
use backy2::types::version::Version;
use backy2::types::{BlobId, VersionKey};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use uuid::Uuid;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let numbers: Vec<i64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [images, versions, blocks, ref listed @ ..] = numbers[..] else {
        eprintln!("usage: rebuild IMAGES VERSIONS BLOCKS [LISTED]");
        return ExitCode::from(2);
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::new(folder.path(), *listed.first().unwrap_or(&50_000) as usize);
    (0..images).for_each(|image| store.image(image, versions, blocks));
    store.flush();
    let (blobs, bytes) = (store.next - 1, store.bytes);
    println!(
        "{} versions, {blobs} blobs, {} bytes per version",
        images * versions,
        bytes / (images * versions)
    );
    store.rebuild(images * versions);
    ExitCode::SUCCESS
}

/// A store that is being filled with copies.
struct Store {
    config: Config,
    data: PathBuf,
    sealer: Sealer,
    rows_key: [u8; 32],
    /// The most blobs in a list.
    listed: usize,
    list: Vec<CopiedBlob>,
    /// The row keys of the next blob and the next version.
    next: i64,
    next_version: i64,
    /// Bytes of the objects of versions.
    bytes: i64,
}

impl Store {
    /// An installation without versions, and its store.
    fn new(folder: &Path, listed: usize) -> Self {
        let home = folder.join("backup");
        init::folder(&home).expect("an installation");
        let config =
            config::load(&Origin::Folder(home.clone()), &Places::of_system()).expect("a configuration");
        drop(
            Site::open(&config, &Silent, Access::Write)
                .expect("opened")
                .open_store(Use::Write)
                .expect("a store"),
        );
        let url = DatabaseUrl::parse(&config.meta.engine).expect("a URL");
        let row = Metadata::open(&url, Handle::silent()).expect("a database").store().expect("read");
        let row = row.expect("the store is known");
        let keys = Keyring::new(config.encryption_key.as_ref());
        let key = StoreKey::unwrap(&keys, row.envkey.as_deref().expect("a key")).expect("it opens");
        let sealer = Sealer::new(Uuid::parse_str(&row.uuid).expect("a UUID"), Some(&key)).expect("a sealer");
        let data = home.join("data");
        for folder in ["index", "versions"] {
            fs::create_dir_all(data.join(folder)).expect("a folder");
        }
        for end in ["", "-wal", "-shm", ".reserve"] {
            let _ = fs::remove_file(home.join(format!("backy.sqlite{end}")));
        }
        let rows_key = *rows_key(Some(&key)).expect("a key");
        Store { config, data, sealer, rows_key, listed, list: Vec::new(), next: 1, next_version: 1, bytes: 0 }
    }

    fn put(&self, name: &ObjectName, plain: &[u8]) {
        fs::write(self.data.join(name.to_string()), self.sealer.seal(name, plain).expect("sealed"))
            .expect("written");
    }

    /// Writes the last list.
    fn flush(&mut self) {
        if let Some(last) = self.list.last() {
            self.put(&ObjectName::new_index(last.id), &encode_index(&self.list).expect("they ascend"));
            self.list.clear();
        }
    }

    /// The row key of a new blob.
    fn blob(&mut self) -> i64 {
        let id = self.next;
        self.next += 1;
        self.list.push(CopiedBlob {
            id: BlobId(id),
            uid: uid(id),
            checksum: Some(checksum(id).into()),
            size: 4 << 20,
            enc_version: 1,
            key: CopiedKey::Plain(zeroize::Zeroizing::new(*blake3::hash(&id.to_le_bytes()).as_bytes())),
            nonce: Some(format!("{:032x}", random(-id))),
            date: Timestamp::from_unix(id),
        });
        if self.list.len() == self.listed {
            self.flush();
        }
        id
    }

    /// All versions of an image.
    fn image(&mut self, image: i64, versions: i64, blocks: i64) {
        let mut sum = RowSum::new(&self.rows_key);
        let mut ids: Vec<i64> = (0..blocks).map(|_| self.blob()).collect();
        ids.iter().enumerate().for_each(|(block, id)| with_row(block, *id, |row| sum.add(row)));
        for version in 0..versions {
            let changed = (version..blocks).step_by(100).filter(|_| version > 0);
            for block in changed.map(|block| block as usize) {
                with_row(block, ids[block], |row| sum.sub(row));
                ids[block] = self.blob();
                with_row(block, ids[block], |row| sum.add(row));
            }
            let mut map = BlockMap::default();
            ids.iter().enumerate().for_each(|(n, id)| map.push(n as u64, BlobId(*id)).expect("they ascend"));
            self.version(&format!("image{image}"), version, map, sum.bytes());
        }
    }

    fn version(&mut self, name: &str, day: i64, blocks: BlockMap, row_sum: [u8; 32]) {
        let size = blocks.count();
        let version = Version {
            key: VersionKey(self.next_version),
            uid: VersionUid::generate(),
            date: Timestamp::from_unix(day * 86400),
            expire: None,
            name: name.to_owned(),
            snapshot_name: String::new(),
            size,
            size_bytes: size << 22,
            valid: true,
            protected: false,
            tags: vec!["daily".into()],
        };
        self.next_version += 1;
        let object = ObjectName::version(&version.uid).expect("a plain uid");
        let copied = CopiedVersion {
            version,
            origin: None,
            runs: Vec::new(),
            hash_function: self.config.hash_function.to_string(),
            block_size: self.config.block_size,
            blocks,
            bad: Default::default(),
            row_sum,
            encrypted: true,
        };
        let plain = copied.encode();
        self.put(&object, &plain);
        self.bytes += fs::metadata(self.data.join(object.to_string())).expect("there").len() as i64;
    }

    /// Rebuilds the database and prints what that costs.
    fn rebuild(&self, versions: i64) {
        fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
        let before = peak();
        let start = Instant::now();
        let rebuilt = rebuild::run(&self.config, &Silent).expect("rebuilt");
        let took = start.elapsed().as_secs_f64();
        let path = self.data.with_file_name("backy.sqlite");
        let database = fs::metadata(path).expect("a database").len() >> 20;
        println!("rebuilt in {took:.1} s; peak {} MiB, {before} MiB before; database {database} MiB", peak());
        assert!(
            rebuilt.invalid.iter().all(|invalid| invalid.loss == rebuild::Loss::Blobs),
            "no blob is there"
        );
        assert_eq!((rebuilt.versions as i64, rebuilt.skipped.len()), (versions, 0));
    }
}

/// Calls `take` with the row of a block.
fn with_row(block: usize, id: i64, take: impl FnOnce(SummedRow<'_>)) {
    let (uid, checksum) = (uid(id), checksum(id));
    take(SummedRow {
        block: block as u64,
        uid: uid.as_str(),
        checksum: Some(&checksum),
        size: 4 << 20,
        enc_version: 1,
    });
}

fn uid(id: i64) -> BlobUid {
    BlobUid::of(Uuid::from_u128(random(id)))
}

fn checksum(id: i64) -> String {
    format!("{:0128x}", random(id))
}

/// The same number in each call.
fn random(id: i64) -> u128 {
    u128::from_le_bytes(*blake3::hash(&id.to_le_bytes()).as_bytes().first_chunk().expect("16 bytes"))
}

/// Peak of resident memory in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
}
