//! The metadata store on any engine.

use super::{Db, Engine, Fallible, Work};
use super::{backup, catalogue, cleanup, marks, origins, read, rekey, transfer, usage};
use crate::meta::{
    Candidates, Carried, Deletable, DumpRow, DumpRows, Fingerprint, Finish, Healed, Known, Listed, MetaStore,
    NewRow, PastRun, Rekeyed, Rewrap, Rows, StatisticsRow, Usage, VersionFilter,
};
use crate::types::block::{Blob, BlockRow, Geometry};
use crate::types::error::{Error, Result};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{ImageId, NewVersion, Origin, Version};
use std::collections::HashMap;
use std::ops::Range;

/// A small transaction.
fn write<T>(engine: &mut impl Engine, what: &str, work: impl FnMut(&mut dyn Db) -> Fallible<T>) -> Result<T> {
    engine.write(what, Work::Small, work)
}

impl<E: Engine> MetaStore for E {
    fn location(&self) -> &str {
        self.place()
    }
    fn is_writable(&self) -> bool {
        self.may_write().is_ok()
    }
    fn check_writable(&self) -> Result<()> {
        self.may_write()
    }
    fn change_counter(&mut self) -> Result<u64> {
        self.read("looking for changes", |db| db.change_counter())
    }
    fn versions(&mut self, filter: &VersionFilter) -> Result<Listed> {
        self.read("listing versions", |db| catalogue::versions(db, filter))
    }
    fn version(&mut self, uid: &VersionUid) -> Result<Version> {
        self.read("looking up a version", |db| catalogue::version(db, uid))?
            .ok_or_else(|| Error::VersionNotFound(uid.to_string()))
    }
    fn set_protected(&mut self, version: &Version, protected: bool) -> Result<()> {
        write(self, "changing the protection", |db| catalogue::set_protected(db, version, protected))
    }
    fn last_tagged(&mut self, name: &str, tag: &str, until: Timestamp) -> Result<Option<Timestamp>> {
        self.read("looking up tags", |db| catalogue::last_tagged(db, name, tag, until))
    }
    fn add_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        write(self, "adding tags", |db| catalogue::add_tags(db, &version.uid, tags))
    }
    fn remove_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        write(self, "removing tags", |db| catalogue::remove_tags(db, &version.uid, tags))
    }
    fn set_expire(&mut self, version: &Version, expire: Option<Timestamp>) -> Result<()> {
        write(self, "setting the expiry", |db| catalogue::set_expire(db, &version.uid, expire))
    }
    fn past_runs(&mut self, version_uid: Option<&VersionUid>, limit: Option<u64>) -> Result<Vec<PastRun>> {
        self.read("reading statistics", |db| usage::past_runs(db, version_uid, limit))
    }
    fn usage(&mut self, version: Option<&Version>) -> Result<HashMap<VersionKey, Usage>> {
        self.read("adding up sizes", |db| usage::usage(db, version.map(|v| v.key)))
    }
    fn dump_rows(&mut self, version: &Version, from: u64, limit: usize) -> Result<Vec<DumpRow>> {
        self.read("reading blocks", |db| transfer::dump_rows(db, version, from, limit))
    }
    fn import(&mut self, version: &Version, rows: DumpRows<'_>) -> Result<()> {
        Engine::write(self, "importing a version", Work::Once, |db| transfer::import(db, version, rows))
    }
    fn rekey(&mut self, rewrap: Rewrap<'_>) -> Result<Rekeyed> {
        write(self, "rekeying", |db| rekey::rekey(db, rewrap))
    }
    fn begin_version(&mut self, version: &NewVersion) -> Result<Version> {
        write(self, "making a version", |db| catalogue::begin_version(db, version))?;
        self.version(&version.uid)
    }
    fn origin(&mut self, version: &Version) -> Result<Option<Origin>> {
        self.read("looking up a snapshot", |db| origins::origin(db, &version.uid))
    }
    fn versions_of(&mut self, image: &ImageId) -> Result<Vec<(Version, Origin)>> {
        self.read("listing versions of an image", |db| origins::versions_of(db, image))
    }
    fn note_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        write(self, "noting a snapshot", |db| origins::note(db, image, name))
    }
    fn noted_snapshots(&mut self, image: &ImageId) -> Result<Vec<String>> {
        self.read("listing snapshots", |db| origins::noted(db, image))
    }
    fn forget_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        write(self, "forgetting a snapshot", |db| origins::forget(db, image, name))
    }
    fn carry(&mut self, base: &Version, version: &Version, ranges: &[Range<u64>]) -> Result<Carried> {
        let work = |db: &mut dyn Db| backup::carry(db, base.key, version.key, ranges);
        Engine::write(self, "carrying unchanged blocks", Work::Bulk, work)
    }
    fn set_sparse(&mut self, version: &Version, geometry: Geometry, ranges: &[Range<u64>]) -> Result<()> {
        write(self, "recording sparse blocks", |db| backup::set_sparse(db, version.key, geometry, ranges))
    }
    fn missing(&mut self, version: &Version) -> Result<Vec<Range<u64>>> {
        self.read("looking for missing blocks", |db| backup::missing(db, version.key, version.size))
    }
    fn unusable(&mut self, version: &Version) -> Result<Vec<Range<u64>>> {
        self.read("looking for invalid blocks", |db| backup::unusable(db, version.key, version.size))
    }
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Result<Vec<Option<Known>>> {
        self.read("looking up checksums", |db| db.find_known(wanted))
    }
    fn commit_blocks(&mut self, version: &Version, rows: &[NewRow]) -> Result<Vec<u64>> {
        write(self, "committing blocks", |db| db.commit_blocks(version.key, rows))
    }
    fn finish_version(&mut self, version: &Version, statistics: &StatisticsRow) -> Result<Finish> {
        write(self, "finishing the version", |db| backup::finish_version(db, version, statistics))
    }
    fn add_statistics(&mut self, statistics: &StatisticsRow) -> Result<()> {
        write(self, "adding statistics", |db| catalogue::add_statistics(db, statistics))
    }
    fn rows(&mut self, version: &Version, from: u64, limit: usize, which: Rows) -> Result<Vec<BlockRow>> {
        self.read("reading blocks", |db| read::rows(db, version, from, limit, which))
    }
    fn stray_row(&mut self, version: &Version) -> Result<Option<i64>> {
        self.read("looking for stray rows", |db| read::stray_row(db, version))
    }
    fn hole_bytes(&mut self, version: &Version) -> Result<u64> {
        self.read("adding up sparse blocks", |db| read::hole_bytes(db, version.key))
    }
    fn sparse_ranges(&mut self, version: &Version, from: u64) -> Result<Vec<Range<u64>>> {
        self.read("reading sparse blocks", |db| read::sparse_ranges(db, version.key, from))
    }
    fn sample(
        &mut self,
        version: Option<&Version>,
        enc_version: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BlockRow>> {
        self.read("reading some blocks", |db| read::sample(db, version.map(|v| v.key), enc_version, limit))
    }
    fn first_block_size(&mut self, version: Option<&Version>) -> Result<Option<(VersionUid, u64)>> {
        self.read("reading a block's size", |db| read::first_block_size(db, version.map(|v| v.key)))
    }
    fn mark_blobs_invalid(&mut self, blobs: &[Blob]) -> Result<Vec<VersionUid>> {
        write(self, "marking blocks invalid", |db| marks::blobs_invalid(db, blobs))
    }
    fn mark_version_invalid(&mut self, version: &Version) -> Result<()> {
        write(self, "marking a version invalid", |db| marks::version_invalid(db, version.key))
    }
    fn mark_version_valid(&mut self, version: &Version, mended: &[BlobId]) -> Result<Healed> {
        write(self, "marking a version valid", |db| marks::version_valid(db, version.key, mended))
    }
    fn remove_version(&mut self, version: &Version, now: i64) -> Result<u64> {
        let work = |db: &mut dyn Db| cleanup::remove_version(db, version, now);
        Engine::write(self, "removing a version", Work::Bulk, work)
    }
    fn remove_blocks(&mut self, version: &Version, limit: usize, now: i64) -> Result<u64> {
        let work = |db: &mut dyn Db| cleanup::remove_blocks(db, version, limit, now);
        Engine::write(self, "removing blocks of a version", Work::Bulk, work)
    }
    fn restamp_deleted(&mut self, now: i64, plausible: i64) -> Result<u64> {
        write(self, "correcting times of deletions", |db| cleanup::restamp(db, now, plausible))
    }
    fn doomed(&mut self, after: Option<&BlobUid>, limit: usize) -> Result<Vec<BlobUid>> {
        self.read("looking for unfinished deletions", |db| cleanup::doomed(db, after, limit))
    }
    fn take_delete_candidates(&mut self, after: i64, before: i64, limit: usize) -> Result<Candidates> {
        let work = |db: &mut dyn Db| db.take_candidates(after, before, limit);
        Engine::write(self, "looking for deletable blobs", Work::Scattered, work)
    }
    fn forget_deleted(&mut self, uids: &[BlobUid]) -> Result<()> {
        write(self, "forgetting deleted blobs", |db| cleanup::forget(db, uids))
    }
    fn deletable(&mut self, after: Option<&BlobUid>, before: i64, limit: usize) -> Result<Vec<Deletable>> {
        self.read("looking at deletable blobs", |db| cleanup::deletable(db, after, before, limit))
    }
    fn unnamed(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>> {
        self.read("looking up blobs", |db| cleanup::unnamed(db, uids))
    }
    fn drop_unnamed_blobs(&mut self) -> Result<u64> {
        write(self, "dropping rows of unused blobs", |db| cleanup::drop_unnamed(db))
    }
    fn without_row(&mut self, uids: &[BlobUid]) -> Result<Vec<BlobUid>> {
        // As a writer: what is told here is deleted, and who was taken for dead must not do that.
        write(self, "looking up blobs", |db| cleanup::without_row(db, uids))
    }
}
