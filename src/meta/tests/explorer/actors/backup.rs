//! `backup`, as the job and the coordinator do it.

use super::copies::Following;
use super::{BLOCK, Break, Next, Shop, Stepped, failed, more_if, time_of, version_of};
use crate::meta::tests::explorer::ground::{Content, MapRow};
use crate::meta::tests::explorer::model::{Data, Object, digest};
use crate::meta::{DueCopy, Fingerprint, Finish, Known, NewBlob, NewRow, StatisticsRow};
use crate::types::block::{Encryption, Geometry};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::uid::BlobUid;
use crate::types::version::{NewVersion, Statistics, Version};
use std::collections::VecDeque;

/// Number of rounds after which a backup counts as endless, because its blocks are rejected each time.
const ROUNDS: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    PinBase,
    Own,
    Begin,
    Carry,
    LookUp,
    Put,
    BlobApart,
    Commit,
    /// Lists the new blobs.
    List,
    Lock,
    Expect,
    Copy,
    Finish,
    /// Brings due copies of other versions up to date.
    Follow(Following),
}

/// How the data of a block gets into the version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Plan {
    Sparse,
    Reuse(BlobId, BlobUid),
    Store(BlobUid),
}

/// Makes a version of an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backup {
    version: &'static str,
    image: &'static [Data],
    base: Option<&'static str>,
    at: At,
    key: VersionKey,
    /// Blocks that must still be read.
    left: VecDeque<u64>,
    planned: Vec<(u64, Plan)>,
    /// Number of planned blocks whose data is in the store.
    put: usize,
    /// Number of the next new blob.
    next: u32,
    rounds: u32,
    /// Whether it writes copies of metadata.
    copying: bool,
    /// The entry of the copy, and the copy.
    copy: Option<(DueCopy, Object)>,
}

impl Backup {
    /// The name of a new blob is the version and a number.
    pub fn of(version: &'static str, image: &'static [Data]) -> Self {
        Backup {
            version,
            image,
            base: None,
            at: At::Start,
            key: VersionKey(0),
            left: (0..image.len() as u64).collect(),
            planned: Vec::new(),
            put: 0,
            next: 0,
            rounds: 0,
            copying: false,
            copy: None,
        }
    }

    /// Writes copies of metadata, too.
    pub fn copying(self) -> Self {
        Backup { copying: true, ..self }
    }

    /// Whether it waits for the lock on copies.
    pub fn waits(&self) -> bool {
        match &self.at {
            At::Lock => true,
            At::Follow(following) => following.waits(),
            _ => false,
        }
    }

    /// The first block has not changed since that version.
    pub fn on(self, base: &'static str) -> Self {
        Backup { base: Some(base), ..self }
    }

    pub fn label(&self) -> String {
        let Backup { version, image, at, left, planned, .. } = self;
        format!("backup {version} of {image:?}: {at:?}, to read: {left:?}, planned: {planned:?}")
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match &mut self.at {
            At::Follow(following) => following.step(shop),
            At::Start => {
                self.at = if self.base.is_some() { At::PinBase } else { At::Own };
                shop.start()
            }
            At::PinBase => {
                self.at = At::Own;
                let base = self.base.unwrap_or_default();
                Ok(more_if(shop.pin(base) && shop.version(base)?.is_some()))
            }
            At::Own => {
                self.at = At::Begin;
                Ok(more_if(shop.own(self.version)))
            }
            At::Begin => self.begin(shop),
            At::Carry => self.carry(shop),
            At::LookUp => self.look_up(shop),
            At::Put => self.put(shop),
            At::BlobApart => self.blobs_apart(shop),
            At::Commit => self.commit(shop),
            At::List => {
                let content = shop.ground.content();
                let blobs = content.stored().map(|(_, uid)| uid.into());
                shop.model().listed.extend(blobs);
                self.at = At::Lock;
                Ok(Next::More)
            }
            At::Lock => {
                shop.lock_copies();
                self.at = At::Expect;
                Ok(Next::More)
            }
            At::Expect => self.expect(shop),
            At::Copy => {
                self.put_copy(shop);
                self.at = At::Finish;
                Ok(more_if(!shop.is(Break::ValidBeforeCopy)))
            }
            At::Finish => self.finish(shop),
        }
    }

    fn begin(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let version = self.version();
        let new = NewVersion {
            uid: version.uid,
            date: version.date,
            expire: None,
            name: version.name,
            snapshot_name: String::new(),
            size: version.size,
            size_bytes: version.size_bytes,
            tags: Vec::new(),
            origin: None,
        };
        self.key = shop.ground.meta().begin_version(&new).map_err(|e| failed("making a version", e))?.key;
        shop.model().versions.insert(self.version.into(), self.image.to_vec());
        self.at = if self.base.is_some() { At::Carry } else { At::LookUp };
        Ok(Next::More)
    }

    fn carry(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let version = self.version();
        let meta = shop.ground.meta();
        let mut carried = 0;
        // The base existed before. It may be gone if commands do not pin.
        if let Ok(base) = meta.version(&self.base.unwrap_or_default().into()) {
            carried = meta.carry(&base, &version, &(0..1).into()).map_err(|e| failed("carrying", e))?.blocks;
        }
        let missing = match carried {
            // Everything was carried, so the rest is read.
            1 => (1..version.size).collect(),
            // A blob of the base has become bad in the meantime.
            _ => {
                let missing = meta.missing(&version).map_err(|e| failed("looking for missing blocks", e))?;
                missing.blocks().collect()
            }
        };
        let content = shop.ground.content();
        let bad = |row: &MapRow| content.stored().find(|(blob, _)| blob.id == row.blob && !blob.valid);
        let carried = content.map.iter().filter(|row| row.version == self.key.0 && shop.strict).find_map(bad);
        if let Some((_, uid)) = carried {
            return Err(format!("rule 3: {} has carried {uid}, which is bad", self.version));
        }
        self.read_next(missing);
        Ok(Next::More)
    }

    /// Sets the blocks to read next. If there are none, the version can be finished.
    fn read_next(&mut self, left: VecDeque<u64>) {
        self.at = if left.is_empty() { self.end() } else { At::LookUp };
        self.left = left;
    }

    /// The first step when all blocks are there.
    fn end(&self) -> At {
        if self.copying { At::List } else { At::Finish }
    }

    fn expect(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let due = shop.ground.meta().expect_copy(&self.version.into()).map_err(|e| failed("expecting", e))?;
        let object = shop.object_of(self.version)?.filter(|object| object.is_whole);
        self.copy = object.map(|object| (due, Object { valid: true, ..object }));
        let first = if shop.is(Break::ValidBeforeCopy) { At::Finish } else { At::Copy };
        self.at = if self.copy.is_some() { first } else { At::Finish };
        Ok(Next::More)
    }

    fn put_copy(&mut self, shop: &mut Shop<'_>) {
        if let Some((_, object)) = &self.copy {
            shop.put_object(self.version, Some(object.clone()));
        }
    }

    fn look_up(&mut self, shop: &mut Shop<'_>) -> Stepped {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Err("the backup does not come to an end: its blocks are rejected each time".to_owned());
        }
        let wanted: Vec<Fingerprint> =
            self.left.iter().map(|id| fingerprint(self.image[*id as usize])).collect();
        let found = shop.ground.meta().find_known(&wanted).map_err(|e| failed("looking up", e))?;
        self.planned.clear();
        for (id, known) in self.left.drain(..).zip(found) {
            let plan = match known {
                _ if self.image[id as usize] == 0 => Plan::Sparse,
                Some(known) => Plan::Reuse(known.id, known.uid),
                None => {
                    self.next += 1;
                    Plan::Store(format!("{}.{}", self.version, self.next).into())
                }
            };
            self.planned.push((id, plan));
        }
        self.put = 0;
        self.at = if shop.is(Break::RowsBeforeData) { At::Commit } else { self.put_next(shop) };
        Ok(Next::More)
    }

    /// Advances to the next blob to store. Returns the step that follows.
    fn put_next(&mut self, shop: &Shop<'_>) -> At {
        let new = |(_, plan): &(u64, Plan)| matches!(plan, Plan::Store(_));
        match self.planned[self.put..].iter().position(new) {
            Some(distance) => {
                self.put += distance;
                At::Put
            }
            None if shop.is(Break::RowsBeforeData) => At::Finish,
            None if shop.is(Break::BlobApart) => At::BlobApart,
            None => At::Commit,
        }
    }

    fn put(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let (id, plan) = &self.planned[self.put];
        if let Plan::Store(uid) = plan {
            shop.model().store.insert(uid.clone(), self.image[*id as usize]);
        }
        self.put += 1;
        self.at = self.put_next(shop);
        Ok(Next::More)
    }

    /// A wrong order: inserts only the rows of the blobs.
    fn blobs_apart(&mut self, shop: &mut Shop<'_>) -> Stepped {
        for (id, plan) in &self.planned {
            if let Plan::Store(uid) = plan {
                let sql = format!(
                    "INSERT INTO blobs (uid, checksum, size, valid, date) VALUES ('{uid}', '{}', {BLOCK}, 1, '2026-01-02')",
                    digest(self.image[*id as usize])
                );
                shop.ground.old_change(&sql)?;
            }
        }
        self.at = At::Commit;
        Ok(Next::More)
    }

    fn rows(&self) -> Vec<NewRow> {
        let row = |(id, plan): &(u64, Plan)| match plan {
            Plan::Sparse => NewRow::Sparse { id: *id, size: u64::from(BLOCK) },
            Plan::Reuse(blob, uid) => NewRow::Reuse { id: *id, known: Known { id: *blob, uid: uid.clone() } },
            Plan::Store(uid) => {
                let fingerprint = fingerprint(self.image[*id as usize]);
                let blob = NewBlob { uid: uid.clone(), fingerprint, encryption: Encryption::default() };
                NewRow::Store { ids: vec![*id], blob }
            }
        };
        self.planned.iter().map(row).collect()
    }

    fn commit(&mut self, shop: &mut Shop<'_>) -> Stepped {
        if shop.is(Break::BlobApart) {
            self.name_blobs(shop)?;
        }
        let before = shop.ground.content();
        let rows = self.rows();
        let rejected = shop.ground.meta().commit_blocks(&self.version(), &rows);
        let rejected = rejected.map_err(|e| failed("committing", e))?;
        if shop.strict {
            self.taken_as_they_should_be(&before, &rejected)?;
        }
        self.read_next(rejected.into());
        if shop.is(Break::RowsBeforeData) {
            self.at = self.put_next(shop);
        }
        Ok(Next::More)
    }

    /// A wrong order: inserts the rows that name the blobs, and removes them from the plan.
    fn name_blobs(&mut self, shop: &mut Shop<'_>) -> Result<(), String> {
        for (id, plan) in &self.planned {
            if let Plan::Store(uid) = plan {
                let key = self.key;
                let sql =
                    format!("INSERT INTO block_map SELECT {key}, {id}, id FROM blobs WHERE uid = '{uid}'");
                shop.ground.old_change(&sql)?;
            }
        }
        self.planned.retain(|(_, plan)| !matches!(plan, Plan::Store(_)));
        Ok(())
    }

    /// Checks rule 1: only blobs that exist, are good and are named by a block may be reused.
    fn taken_as_they_should_be(&self, before: &Content, rejected: &[u64]) -> Result<(), String> {
        for (id, plan) in self.planned.iter().filter(|(id, _)| !rejected.contains(id)) {
            let Plan::Reuse(blob, uid) = plan else { continue };
            let good = before.stored().any(|(row, of)| {
                BlobId(row.id) == *blob && *uid == of && row.valid && before.names_row(row.id)
            });
            if !good {
                return Err(format!("rule 1: block {id} took {uid}, which is gone, bad or named by nothing"));
            }
        }
        Ok(())
    }

    fn finish(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let geometry = Geometry::new(self.image.len() as u64 * u64::from(BLOCK), BLOCK);
        let statistics = StatisticsRow {
            date: time_of(shop.model().clock),
            version_uid: self.version.into(),
            name: "vm".to_owned(),
            geometry,
            statistics: Statistics::default(),
            duration: 0,
        };
        let due = self.copy.as_ref().map(|(due, _)| due);
        let done = shop.ground.meta().finish_version(&self.version(), &statistics, due);
        shop.unlock_copies();
        match done.map_err(|e| failed("finishing", e))? {
            Finish::Valid => {
                let late = self.copy.is_some() && shop.is(Break::ValidBeforeCopy);
                self.at = if late { At::Copy } else { At::Follow(Following::new()) };
                Ok(more_if(self.copying))
            }
            Finish::Missing(blocks) => {
                self.read_next(blocks.blocks().collect());
                Ok(Next::More)
            }
        }
    }

    /// The version as it was created. The job keeps it, and does not look it up again.
    fn version(&self) -> Version {
        Version { key: self.key, ..version_of(self.version, self.image.len()) }
    }
}

fn fingerprint(data: Data) -> Fingerprint {
    Fingerprint { checksum: digest(data), size: u64::from(BLOCK), enc_version: 0 }
}
