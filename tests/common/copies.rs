//! Compares the copies of the metadata in a store with the database.

use super::database::{Row, quoted};
use super::install::Install;
use backy2::copies::{CopiedBlob, CopiedKey, CopiedVersion, RowSum, SummedRow, decode_index};
use backy2::crypt::{Keyring, Sealer, StoreKey, rows_key};
use backy2::types::object::{ObjectFolder, ObjectName};
use backy2::types::settings::MasterKey;
use backy2::types::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The copies in a store, decoded.
struct Copies {
    lists: BTreeMap<String, Vec<CopiedBlob>>,
    versions: BTreeMap<String, CopiedVersion>,
    rows_key: [u8; 32],
    keys: Keyring,
}

impl Copies {
    fn read(install: &Install, store: &Path) -> Self {
        let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
        let key = config.lines().find_map(|line| line.strip_prefix("encryption_key: "));
        let keys = Keyring::new(key.and_then(MasterKey::from_hex).as_ref());
        let row = install.table("SELECT uuid, envkey FROM stores WHERE name = 'main'").remove(0);
        let store_key = row[1].as_deref().map(|wrapped| StoreKey::unwrap(&keys, wrapped).expect("it opens"));
        let uuid = row[0].as_deref().expect("a UUID").parse().expect("a UUID");
        let sealer = Sealer::new(uuid, store_key.as_ref()).expect("a sealer");
        let read = |folder: ObjectFolder| -> Vec<(ObjectName, Vec<u8>)> {
            let Ok(entries) = std::fs::read_dir(store.join(folder.text())) else { return Vec::new() };
            let read = |entry: std::io::Result<std::fs::DirEntry>| {
                let entry = entry.expect("an entry");
                let name = entry.file_name().into_string().expect("text");
                let name = folder.object(&name).unwrap_or_else(|| panic!("{name} is in {folder:?}"));
                let sealed = std::fs::read(entry.path()).expect("read");
                let data = sealer.open(&name, sealed, 1 << 30).unwrap_or_else(|e| panic!("{name}: {e}"));
                (name, data.to_vec())
            };
            entries.map(read).collect()
        };
        let lists = read(ObjectFolder::Index).into_iter();
        let versions = read(ObjectFolder::Versions).into_iter();
        Copies {
            lists: lists
                .map(|(name, data)| (name.last_part(), decode_index(&data).expect("decodes")))
                .collect(),
            versions: versions
                .map(|(name, data)| (name.last_part(), CopiedVersion::decode(&data).expect("decodes")))
                .collect(),
            rows_key: *rows_key(store_key.as_ref()).expect("a key"),
            keys,
        }
    }

    /// Each blob of a valid version has a copy, and all copies say the same as the rows.
    fn check_lists(&self, install: &Install) {
        let mut copied: BTreeMap<i64, Vec<&CopiedBlob>> = BTreeMap::new();
        for blob in self.lists.values().flatten() {
            copied.entry(blob.id.0).or_default().push(blob);
        }
        let rows = install.table(
            "SELECT id, uid, checksum, size, enc_version, enc_envkey, enc_nonce, date FROM blobs WHERE id > 0",
        );
        let needed = "SELECT DISTINCT m.blob_id FROM block_map m JOIN versions v ON v.id = m.version_id
                      WHERE v.valid = 1";
        let needed: BTreeSet<i64> = install.numbers(needed).into_iter().collect();
        for row in &rows {
            let copies = copied.get(&number(&row[0]));
            assert!(copies.is_some() || !needed.contains(&number(&row[0])), "{row:?} has no copy");
            for copy in copies.into_iter().flatten() {
                let key = match &copy.key {
                    CopiedKey::None => None,
                    CopiedKey::Plain(key) => Some(hex(&self.keys.wrap(&key[..]).expect("wraps"))),
                    CopiedKey::Wrapped(text) => Some(text.clone()),
                };
                let checksum = copy.checksum.as_ref().map(|checksum| checksum.as_str().to_owned());
                assert_eq!(
                    [Some(copy.uid.to_string()), checksum, key, copy.nonce.clone()],
                    [row[1].clone(), row[2].clone(), row[5].clone(), row[6].clone()]
                );
                assert_eq!((copy.size, i64::from(copy.enc_version)), (number(&row[3]), number(&row[4])));
                assert_eq!(copy.date, time(&row[7]));
            }
        }
        let known: BTreeSet<String> = install.texts("SELECT name FROM index_objects").into_iter().collect();
        assert_eq!(known, self.lists.keys().cloned().collect::<BTreeSet<_>>(), "lists of blobs");
        let wrong = install.table(
            "SELECT o.name, o.live, count(b.id) FROM index_objects o LEFT JOIN index_runs r ON r.object = o.name
             LEFT JOIN blobs b ON b.id BETWEEN r.first_id AND r.last_id
             GROUP BY o.name, o.live HAVING o.live <> count(b.id)",
        );
        assert_eq!(wrong, [] as [Row; 0], "numbers of blobs that need a list");
    }

    /// Each version that was complete has a copy that says the same as its rows. An invalid one may have none: its backup
    /// was killed before its end.
    fn check_versions(&self, install: &Install) {
        let uids = |condition: &str| -> BTreeSet<String> {
            let sql = format!(
                "SELECT uid FROM versions v
                 WHERE size = (SELECT count(*) FROM block_map WHERE version_id = v.id) {condition}"
            );
            let uids = install.texts(&sql).into_iter();
            uids.filter(|uid| ObjectName::version(&uid[..].into()).is_some()).collect()
        };
        let copies: BTreeSet<String> = self.versions.keys().cloned().collect();
        assert_eq!(uids("AND valid = 1").difference(&copies).next(), None, "versions without a copy");
        assert_eq!(copies.difference(&uids("")).next(), None, "copies without a version");
        for (uid, copy) in &self.versions {
            assert_eq!(copy.version.uid, uid[..]);
            self.check_version(install, copy);
        }
    }

    fn check_version(&self, install: &Install, copy: &CopiedVersion) {
        let version = &copy.version;
        let uid = quoted(version.uid.as_str());
        let row = install
            .table(&format!(
                "SELECT id, date, expire, name, snapshot_name, size, size_bytes, valid, protected
                 FROM versions WHERE uid = {uid}"
            ))
            .remove(0);
        assert_eq!((version.key.0, version.date), (number(&row[0]), time(&row[1])), "{uid}");
        assert_eq!(version.expire, row[2].as_ref().map(|_| time(&row[2])), "{uid}");
        assert_eq!((Some(&version.name), Some(&version.snapshot_name)), (row[3].as_ref(), row[4].as_ref()));
        let numbers = [version.size, version.size_bytes, version.valid.into(), version.protected.into()];
        assert_eq!(numbers.map(|n| n as i64), [5, 6, 7, 8].map(|n| number(&row[n])), "{uid}: {row:?}");
        let mut tags = version.tags.clone();
        tags.sort();
        let sql = format!("SELECT name FROM tags WHERE version_uid = {uid}");
        let mut in_database = install.texts(&sql);
        in_database.sort();
        assert_eq!(tags, in_database, "{uid}");
        let runs: Vec<(Timestamp, i64)> =
            copy.runs.iter().map(|run| (run.date, run.statistics.written.blocks as i64)).collect();
        let sql = format!("SELECT date, blocks_written FROM stats WHERE version_uid = {uid} ORDER BY id");
        let in_database: Vec<_> =
            install.table(&sql).iter().map(|row| (time(&row[0]), number(&row[1]))).collect();
        assert_eq!(runs, in_database, "{uid}");
        self.check_blocks(install, copy);
    }

    fn check_blocks(&self, install: &Install, copy: &CopiedVersion) {
        let (uid, key) = (&copy.version.uid, copy.version.key);
        let rows = install.table(&format!(
            "SELECT m.block_id, m.blob_id, b.uid, b.checksum, b.size, b.enc_version, b.valid
             FROM block_map m JOIN blobs b ON b.id = m.blob_id WHERE m.version_id = {key} ORDER BY m.block_id"
        ));
        let blocks: Vec<(i64, i64)> =
            copy.blocks.blocks().map(|(block, blob)| (block as i64, blob.0)).collect();
        let in_database: Vec<(i64, i64)> =
            rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
        assert!(blocks == in_database, "the blocks of {uid}: {blocks:?}, in the database {in_database:?}");
        let (mut sum, mut bad) = (RowSum::new(&self.rows_key), BTreeSet::new());
        for row in rows.iter().filter(|row| number(&row[1]) > 0) {
            sum.add(SummedRow {
                block: number(&row[0]) as u64,
                uid: row[2].as_deref().unwrap_or_default(),
                checksum: row[3].as_deref(),
                size: number(&row[4]),
                enc_version: number(&row[5]) as u32,
            });
            if number(&row[6]) == 0 {
                bad.insert(number(&row[1]));
            }
        }
        assert_eq!(copy.row_sum, sum.bytes(), "the sum of {uid}");
        assert_eq!(
            copy.bad.iter().map(|blob| blob.0).collect::<BTreeSet<_>>(),
            bad,
            "the bad blobs of {uid}"
        );
    }
}

fn number(value: &Option<String>) -> i64 {
    value.as_deref().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value:?} is no number"))
}

fn time(value: &Option<String>) -> Timestamp {
    value.as_deref().and_then(Timestamp::parse).unwrap_or_else(|| panic!("{value:?} is no date"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Install {
    /// The copies in the store `folder` say exactly what the database says, and none is due.
    pub fn assert_copies_in(&self, folder: &Path) {
        assert_eq!(self.texts("SELECT version_uid FROM copies_due"), [""; 0], "due copies");
        let copies = Copies::read(self, folder);
        copies.check_lists(self);
        copies.check_versions(self);
    }

    /// As [`Install::assert_copies_in`], for the usual store.
    pub fn assert_copies(&self) {
        self.assert_copies_in(&self.path("data"));
    }

    /// As [`Install::assert_copies`], if the store has an identity.
    pub fn assert_copies_if_any(&self) {
        if self.count("SELECT count(*) FROM stores WHERE name = 'main'") > 0 {
            self.assert_copies();
        }
    }

    /// Names of the objects of a folder in the usual store.
    pub fn objects(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("data").join(folder)) else { return Vec::new() };
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}
