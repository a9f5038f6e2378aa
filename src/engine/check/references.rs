//! The references between the tables, and the rows of the versions.

use super::Check;
use super::NAMED;
use super::finding::{Finding, Kind};
use crate::meta::{MapSummary, Metadata, VersionFilter};
use crate::types::block::Geometry;
use crate::types::error::{Error, Result};
use crate::types::keys::VersionKey;
use crate::types::text::plural;
use crate::types::version::Version;
use std::collections::HashMap;

/// Checks all references, and whether the versions that count as valid have a row for each block.
pub(super) fn references(check: &mut Check<'_, '_>) -> Result<Finding> {
    check.begin("the references of the database");
    let block_size = check.fits.block_size.then_some(check.config.block_size);
    let meta = &mut check.site()?.meta;
    let mut wrong = Kind::default();
    of_tables(meta, &mut wrong)?;
    // Versions first: one that is removed meanwhile has no rows, and is looked up again.
    let listed = meta.versions(&VersionFilter::default())?;
    listed.unreadable.into_iter().for_each(|why| wrong.add(|| why));
    let summaries = meta.map_summaries()?;
    let mut rows: HashMap<VersionKey, u64> = HashMap::new();
    let mut summary_of: HashMap<VersionKey, &MapSummary> = HashMap::new();
    for summary in &summaries {
        rows.insert(summary.key, summary.rows);
        summary_of.insert(summary.key, summary);
        if summary.uid.is_none() {
            wrong.add(|| format!("{} of a version that does not exist", blocks(summary.rows)));
        }
    }
    for version in &listed.versions {
        of_version(meta, version, summary_of.get(&version.key).copied(), block_size, &mut wrong)?;
    }
    check.rows = Some(rows);
    let blocks: u64 = summaries.iter().map(|summary| summary.rows).sum();
    Ok(match wrong.count {
        0 => Finding::good(format!(
            "{} of {} are complete",
            plural(blocks, "block", "blocks"),
            plural(listed.versions.len() as u64, "version", "versions")
        )),
        number => Finding::wrong(plural(number, "thing is wrong", "things are wrong"))
            .details(wrong.lines("of them"))
            .advise("The database is damaged: restore it from a copy if you can; see docs/recovery.md"),
    })
}

fn blocks(number: u64) -> String {
    plural(number, "block", "blocks")
}

/// Rows that name rows which do not exist.
fn of_tables(meta: &mut Metadata, wrong: &mut Kind) -> Result<()> {
    let (number, first) = meta.dangling(NAMED)?;
    for row in &first {
        let version = row
            .version
            .as_ref()
            .map_or("a version that does not exist".to_owned(), |uid| format!("version {uid}"));
        wrong.add(|| format!("block {} of {version} names a blob that has no row", row.block));
    }
    wrong.add_unnamed(number - first.len() as u64);
    let tags = meta.lone_tags()?;
    if tags > 0 {
        wrong.add(|| format!("{} of versions that do not exist", plural(tags, "tag", "tags")));
    }
    let nameless = meta.nameless_blobs()?;
    if nameless > 0 {
        wrong.add(|| {
            format!("{} without a name, although blocks need them", plural(nameless, "blob", "blobs"))
        });
    }
    Ok(())
}

/// The size of a version, and its rows if it counts as valid.
fn of_version(
    meta: &mut Metadata,
    version: &Version,
    summary: Option<&MapSummary>,
    block_size: Option<u32>,
    wrong: &mut Kind,
) -> Result<()> {
    let Version { uid, size, size_bytes, .. } = version;
    if let Some(block_size) = block_size {
        let should = Geometry::new(*size_bytes, block_size).blocks();
        if should != *size {
            wrong.add(|| {
                format!("version {uid} has {}, and its {size_bytes} bytes are {should}", blocks(*size))
            });
            return Ok(());
        }
    }
    let in_range = |row: &&MapSummary| row.lowest >= 0 && row.highest.unsigned_abs() < *size;
    let whole = summary.filter(in_range).map_or(0, |summary| summary.rows) == *size;
    if whole || (!version.valid && summary.is_none_or(|summary| in_range(&summary))) {
        return Ok(());
    }
    // Another process may have changed or removed it since it was listed.
    let version = match meta.version(uid) {
        Ok(version) => version,
        Err(Error::VersionNotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Some(block) = meta.stray_row(&version)? {
        wrong.add(|| format!("version {uid} has {}, and a row for block {block}", blocks(version.size)));
    }
    let missing = meta.missing(&version)?.count();
    if version.valid && missing > 0 {
        wrong.add(|| format!("version {uid} is marked valid, and has no row for {}", blocks(missing)));
    }
    Ok(())
}
