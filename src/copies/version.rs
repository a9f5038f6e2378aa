//! The metadata of one version.

use super::CopyError;
use super::block_map::BlockMap;
use super::wire::{Ascending, Reader, Writer};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{Count, ImageId, SnapshotOrigin, Statistics, Version};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// Bytes that a run has at least: its date, the length of its name, ten counts and its duration.
const LEAST_RUN: usize = 13;

/// A version, and everything in the database that belongs to it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedVersion {
    /// Its row and its tags. Fractions of a microsecond of its dates are lost.
    pub version: Version,
    /// The RBD snapshot that it was made from, if that was recorded.
    pub origin: Option<SnapshotOrigin>,
    /// Its rows of statistics, in the order of their insertion.
    pub runs: Vec<CopiedRun>,
    /// The hash function of the installation, as the configuration names it.
    pub hash_function: String,
    /// The block size of the installation, in bytes.
    pub block_size: u32,
    /// The blobs of its blocks.
    pub blocks: BlockMap,
    /// Those of its blobs that were found bad.
    pub bad: BTreeSet<BlobId>,
    /// The [`super::RowSum`] of its blocks that are no holes.
    pub row_sum: [u8; 32],
    /// Whether all of its blobs were encrypted when that sum was made.
    pub encrypted: bool,
}

/// A row of statistics. The version is the one that it stands with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedRun {
    /// When the run ended. Fractions of a microsecond are lost.
    pub date: Timestamp,
    /// Name as given on the command line.
    pub name: String,
    /// Size of the image.
    pub size: Count,
    /// What was done.
    pub statistics: Statistics,
    /// Whole seconds.
    pub duration: u64,
}

/// A byte of truth values.
struct Flags(u8);

impl Flags {
    const VALID: u8 = 1;
    const PROTECTED: u8 = 2;
    const EXPIRES: u8 = 4;
    const ORIGIN: u8 = 8;
    const ENCRYPTED: u8 = 16;
    const ALL: u8 = 31;

    fn of(copied: &CopiedVersion) -> Self {
        let flags = [
            (copied.version.valid, Self::VALID),
            (copied.version.protected, Self::PROTECTED),
            (copied.version.expire.is_some(), Self::EXPIRES),
            (copied.origin.is_some(), Self::ORIGIN),
            (copied.encrypted, Self::ENCRYPTED),
        ];
        Flags(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum())
    }

    fn read(from: &mut Reader) -> Result<Self, CopyError> {
        match from.byte()? {
            byte if byte <= Self::ALL => Ok(Flags(byte)),
            _ => Err(CopyError::Malformed("flags")),
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

impl CopiedVersion {
    /// The bytes for this version. They contain no keys.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut to = Writer::new(0);
        let flags = Flags::of(self);
        to.byte(flags.0);
        write_version(&mut to, &self.version);
        if let Some(origin) = &self.origin {
            write_origin(&mut to, origin);
        }
        to.text(&self.hash_function);
        to.number(u64::from(self.block_size));
        to.number(self.runs.len() as u64);
        for run in &self.runs {
            run.write(&mut to);
        }
        to.number(self.bad.len() as u64);
        let mut ids = Ascending::default();
        for id in &self.bad {
            ids.write(&mut to, id.0);
        }
        to.fixed(&self.row_sum);
        self.blocks.write(&mut to);
        to.finish()
    }

    /// The version that [`CopiedVersion::encode`] has encoded as `bytes`.
    ///
    /// # Errors
    /// Any [`CopyError`] except [`CopyError::Order`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CopyError> {
        let mut from = Reader::new(bytes)?;
        let flags = Flags::read(&mut from)?;
        let version = read_version(&mut from, &flags)?;
        let origin = if flags.has(Flags::ORIGIN) { Some(read_origin(&mut from)?) } else { None };
        let hash_function = from.text()?.to_owned();
        let block_size = from.small("block size")?;
        let (count, mut runs) = from.list(LEAST_RUN)?;
        for _ in 0..count {
            runs.push(CopiedRun::read(&mut from)?);
        }
        let bad = read_bad(&mut from)?;
        let row_sum = from.fixed()?;
        let blocks = BlockMap::read(&mut from)?;
        from.finish()?;
        let encrypted = flags.has(Flags::ENCRYPTED);
        Ok(CopiedVersion {
            version,
            origin,
            runs,
            hash_function,
            block_size,
            blocks,
            bad,
            row_sum,
            encrypted,
        })
    }
}

/// Everything but the flags.
fn write_version(to: &mut Writer, version: &Version) {
    to.signed(version.key.0);
    to.text(version.uid.as_str());
    to.date(version.date);
    if let Some(expire) = version.expire {
        to.date(expire);
    }
    to.text(&version.name);
    to.text(&version.snapshot_name);
    to.number(version.size);
    to.number(version.size_bytes);
    to.number(version.tags.len() as u64);
    for tag in &version.tags {
        to.text(tag);
    }
}

fn read_version(from: &mut Reader, flags: &Flags) -> Result<Version, CopyError> {
    Ok(Version {
        key: VersionKey(from.signed()?),
        uid: VersionUid::from(from.text()?),
        date: from.date()?,
        expire: if flags.has(Flags::EXPIRES) { Some(from.date()?) } else { None },
        name: from.text()?.to_owned(),
        snapshot_name: from.text()?.to_owned(),
        size: from.number()?,
        size_bytes: from.number()?,
        valid: flags.has(Flags::VALID),
        protected: flags.has(Flags::PROTECTED),
        tags: read_tags(from)?,
    })
}

fn read_tags(from: &mut Reader) -> Result<Vec<String>, CopyError> {
    let (count, mut tags) = from.list(1)?;
    for _ in 0..count {
        tags.push(from.text()?.to_owned());
    }
    Ok(tags)
}

fn write_origin(to: &mut Writer, origin: &SnapshotOrigin) {
    let SnapshotOrigin { image, snapshot, taken } = origin;
    to.text(&image.cluster);
    to.signed(image.pool);
    to.text(&image.namespace);
    to.text(&image.image);
    to.number(*snapshot);
    to.signed(*taken);
}

fn read_origin(from: &mut Reader) -> Result<SnapshotOrigin, CopyError> {
    let image = ImageId {
        cluster: from.text()?.to_owned(),
        pool: from.signed()?,
        namespace: from.text()?.to_owned(),
        image: from.text()?.to_owned(),
    };
    Ok(SnapshotOrigin { image, snapshot: from.number()?, taken: from.signed()? })
}

fn read_bad(from: &mut Reader) -> Result<BTreeSet<BlobId>, CopyError> {
    let (count, mut bad): (_, Vec<BlobId>) = from.list(1)?;
    let mut ids = Ascending::default();
    for _ in 0..count {
        bad.push(BlobId(ids.read(from, "bad blobs")?));
    }
    Ok(bad.into_iter().collect())
}

fn write_count(to: &mut Writer, count: Count) {
    to.number(count.blocks);
    to.number(count.bytes);
}

fn read_count(from: &mut Reader) -> Result<Count, CopyError> {
    Ok(Count { blocks: from.number()?, bytes: from.number()? })
}

impl CopiedRun {
    fn write(&self, to: &mut Writer) {
        to.date(self.date);
        to.text(&self.name);
        let Statistics { read, written, dedup, sparse } = self.statistics;
        for count in [self.size, read, written, dedup, sparse] {
            write_count(to, count);
        }
        to.number(self.duration);
    }

    fn read(from: &mut Reader) -> Result<Self, CopyError> {
        Ok(CopiedRun {
            date: from.date()?,
            name: from.text()?.to_owned(),
            size: read_count(from)?,
            statistics: Statistics {
                read: read_count(from)?,
                written: read_count(from)?,
                dedup: read_count(from)?,
                sparse: read_count(from)?,
            },
            duration: from.number()?,
        })
    }
}
