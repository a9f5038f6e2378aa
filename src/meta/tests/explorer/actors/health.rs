//! Commands that read and mark data (restore, scrub), damage in the store, and imports.

use super::{BLOCK, Next, Shop, Stepped, failed, more_if, version_of};
use crate::meta::tests::explorer::model::{Data, ROTTEN, digest};
use crate::meta::{DumpRow, Rows};
use crate::types::block::{Blob, Encryption};
use crate::types::checksum::Checksum;
use crate::types::error::Error;
use crate::types::keys::BlobId;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::Version;
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    Pin,
    Rows,
    Get,
    Mark,
}

/// A row that must still be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    block: usize,
    id: BlobId,
    valid: bool,
    uid: BlobUid,
    checksum: Option<Checksum>,
}

/// Reads the blobs of a pinned version, one in each step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    version: &'static str,
    at: At,
    left: VecDeque<Wanted>,
}

impl Reader {
    fn of(version: &'static str) -> Self {
        Reader { version, at: At::Start, left: VecDeque::new() }
    }

    /// Runs the steps up to the one that reads the rows.
    fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match self.at {
            At::Start => {
                self.at = At::Pin;
                shop.start()
            }
            At::Pin => {
                self.at = At::Rows;
                Ok(more_if(shop.pin(self.version) && shop.version(self.version)?.is_some()))
            }
            _ => {
                let Some(version) = shop.version(self.version)? else { return Ok(Next::End) };
                let rows = shop.ground.meta().rows(&version, 0, 100, Rows::Stored);
                let rows = rows.map_err(|e| failed("reading rows", e))?;
                self.left = rows.into_iter().filter_map(wanted).collect();
                self.at = At::Get;
                Ok(Next::More)
            }
        }
    }
}

fn wanted(row: crate::types::block::BlockRow) -> Option<Wanted> {
    let blob = row.blob?;
    let (id, valid) = (blob.id, blob.valid);
    Some(Wanted { block: row.id as usize, id, valid, uid: blob.uid, checksum: blob.checksum })
}

/// Restores a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restore {
    reader: Reader,
}

impl Restore {
    pub fn of(version: &'static str) -> Self {
        Restore { reader: Reader::of(version) }
    }

    pub fn label(&self) -> String {
        format!("restore {}: {:?} {:?}", self.reader.version, self.reader.at, self.reader.left.front())
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        if self.reader.at != At::Get {
            return self.reader.step(shop);
        }
        let Some(Wanted { block, uid, .. }) = self.reader.left.pop_front() else { return Ok(Next::End) };
        let model = shop.model();
        let (found, backed_up) =
            (model.store.get(&uid), model.versions[&VersionUid::from(self.reader.version)].get(block));
        if found != backed_up && found != Some(&ROTTEN) && !model.lost.contains(&uid) {
            return Err(format!("the restore got {found:?} of {uid} for {backed_up:?}"));
        }
        Ok(more_if(!self.reader.left.is_empty()))
    }
}

/// Scrubs a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scrub {
    reader: Reader,
    bad: Option<Wanted>,
    any: bool,
    mended: Vec<BlobId>,
}

impl Scrub {
    pub fn of(version: &'static str) -> Self {
        Scrub { reader: Reader::of(version), bad: None, any: false, mended: Vec::new() }
    }

    pub fn label(&self) -> String {
        let Reader { version, at, left } = &self.reader;
        format!("scrub {version}: {at:?} {:?}, to mark: {:?}", left.front(), self.bad)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        if let Some(bad) = self.bad.take() {
            return self.mark(shop, bad);
        }
        if self.reader.at != At::Get {
            return self.reader.step(shop);
        }
        if let Some(wanted) = self.reader.left.pop_front() {
            let found = shop.model().store.get(&wanted.uid).map(|data| digest(*data));
            if found != wanted.checksum {
                self.bad = Some(wanted);
            } else if !wanted.valid {
                self.mended.push(wanted.id);
            }
            return Ok(Next::More);
        }
        let Some(version) = shop.version(self.reader.version)? else { return Ok(Next::End) };
        if self.is_good(shop, &version)? {
            let marked = shop.ground.meta().mark_version_valid(&version, &self.mended);
            marked.map_err(|e| failed("marking as good", e))?;
        }
        Ok(Next::End)
    }

    fn is_good(&self, shop: &mut Shop<'_>, version: &Version) -> Result<bool, String> {
        let missing = shop.ground.meta().missing(version).map_err(|e| failed("counting", e))?;
        Ok(!self.any && missing.is_empty())
    }

    fn mark(&mut self, shop: &mut Shop<'_>, bad: Wanted) -> Stepped {
        let Wanted { uid, checksum, .. } = bad;
        let blob = Blob {
            id: BlobId(0),
            uid: uid.clone(),
            checksum,
            size: 0,
            valid: true,
            encryption: Encryption::default(),
        };
        shop.ground.meta().mark_blobs_invalid(&[blob]).map_err(|e| failed("marking as bad", e))?;
        shop.model().found_bad.insert(uid);
        self.any = true;
        Ok(Next::More)
    }
}

/// Data goes bad in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rot {
    uid: &'static str,
}

impl Rot {
    pub fn of(uid: &'static str) -> Self {
        Rot { uid }
    }

    pub fn label(&self) -> String {
        format!("{} rots", self.uid)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        shop.model().store.entry(self.uid.into()).and_modify(|data| *data = ROTTEN);
        Ok(Next::End)
    }
}

/// Imports a dump of a version of one block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Import {
    version: &'static str,
    uid: &'static str,
    data: Data,
    /// The key of its blob. With a key, the blob is another row for the same data.
    key: Option<&'static str>,
    at: At,
}

impl Import {
    pub fn of(version: &'static str, uid: &'static str, data: Data) -> Self {
        Import { version, uid, data, key: None, at: At::Start }
    }

    /// The dump is from before a rekey.
    pub fn with_key(self, key: &'static str) -> Self {
        Import { key: Some(key), ..self }
    }

    pub fn label(&self) -> String {
        format!("import of {}, which names {}: {:?}", self.version, self.uid, self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match self.at {
            At::Start => {
                self.at = At::Mark;
                shop.start()
            }
            At::Mark => {
                self.at = At::Rows;
                Ok(more_if(shop.own(self.version)))
            }
            _ => self.import(shop),
        }
    }

    fn import(&self, shop: &mut Shop<'_>) -> Stepped {
        let version = Version { valid: true, ..version_of(self.version, 1) };
        let row = DumpRow {
            id: 0,
            uid: Some(self.uid.into()),
            date: version.date,
            checksum: Some(digest(self.data)),
            size: u64::from(BLOCK),
            valid: true,
            encryption: Encryption {
                version: u32::from(self.key.is_some()),
                envkey: self.key.map(str::to_owned),
                nonce: None,
            },
        };
        match shop.ground.meta().import(&version, &mut std::iter::once(Ok(row))) {
            // The import is refused, because the blob is being deleted.
            Err(Error::DumpFormat(_)) => return Ok(Next::End),
            done => done.map_err(|e| failed("importing", e))?,
        }
        shop.model().versions.insert(self.version.into(), vec![self.data]);
        let uid = BlobUid::from(self.uid);
        if !shop.model().store.contains_key(&uid) {
            shop.model().lost.insert(uid);
        }
        Ok(Next::End)
    }
}
