//! Reads samples of the blocks that a backup would not read, and compares them with the data that the version gets
//! instead. Otherwise a wrong source, or hints for another image or snapshot, would make a version with wrong data.

use super::opening::{Base, Changed};
use crate::engine::Site;
use crate::flow::coordinator::Tally;
use crate::flow::plan::{Plan, sample};
use crate::hash::is_zero;
use crate::io::Source;
use crate::meta::Rows;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::version::Version;

/// Compares ten of the blocks that are carried over, and ten of those behind the end of the base that count as zeros.
/// Compares none if the source itself has proved that nothing has changed. If a hints file calls blocks empty that have
/// data, this only warns, as 2.13 does.
///
/// # Errors
/// [`Error::BaseMismatch`]; the source or the database fails.
pub(super) fn check(
    site: &mut Site<'_>,
    source: &dyn Source,
    base: Option<&Base>,
    changed: &Changed,
    plan: &Plan,
    tally: &mut Tally,
) -> Result<()> {
    let mut called_empty = plan.sparse.clone();
    if let Some(base) = base {
        if matches!(changed, Changed::Proved(hints) if hints.is_empty()) {
            return Ok(());
        }
        let within = BlockSet::from(0..base.blocks.geometry.blocks());
        let behind = plan.sparse.subtract(&within);
        with_base(site, source, &base.version, plan, &behind, tally)?;
        called_empty = plan.sparse.intersect(&within);
    }
    match changed {
        Changed::Hinted(_) => tell_of_data(site, source, &called_empty, base.is_some(), tally),
        Changed::Proved(_) | Changed::Unknown => Ok(()),
    }
}

/// Compares blocks that are carried over, and those `behind` the end of the base that count as zeros.
fn with_base(
    site: &mut Site<'_>,
    source: &dyn Source,
    base: &Version,
    plan: &Plan,
    behind: &BlockSet,
    tally: &mut Tally,
) -> Result<()> {
    let differs = match with_version(site, source, base, &plan.carry, tally)? {
        Some(block) => Some(block),
        None => first_data(site, source, behind, tally)?,
    };
    let Some(block) = differs else { return Ok(()) };
    let offset = Geometry::new(source.size(), site.config.block_size).offset(block);
    Err(Error::BaseMismatch { base: base.uid.clone(), block, offset })
}

/// Warns if one of `blocks` has data in the source. They count as zeros, because the hints call them empty, or because
/// there is no base and the hints do not touch them.
fn tell_of_data(
    site: &mut Site<'_>,
    source: &dyn Source,
    blocks: &BlockSet,
    has_base: bool,
    tally: &mut Tally,
) -> Result<()> {
    let Some(block) = first_data(site, source, blocks, tally)? else { return Ok(()) };
    let why =
        if has_base { "The hints call it empty" } else { "The hints do not touch it, or call it empty" };
    site.monitor
        .warning(&format!("Block {block} has data in {}. {why}, so that it counts as zeros.", source.url()));
    Ok(())
}

/// Compares ten of `blocks` with `version`, and returns the first one that differs.
pub(super) fn with_version(
    site: &mut Site<'_>,
    source: &dyn Source,
    version: &Version,
    blocks: &BlockSet,
    tally: &mut Tally,
) -> Result<Option<u64>> {
    let mut data = Vec::new();
    for id in sample(blocks, &mut fastrand::Rng::new()) {
        read(site, source, id, &mut data, tally)?;
        let row = site.meta.rows(version, id, 1, Rows::All)?.into_iter().find(|row| row.id == id);
        let same = match row.map(|row| row.blob) {
            Some(Some(blob)) => blob.checksum.is_some_and(|checksum| site.hasher.digest(&data).is(&checksum)),
            Some(None) => is_zero(&data),
            None => false,
        };
        if !same {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Looks at ten of `blocks`, and returns the first one that has data in the source. Does not read holes of the source.
fn first_data(
    site: &mut Site<'_>,
    source: &dyn Source,
    blocks: &BlockSet,
    tally: &mut Tally,
) -> Result<Option<u64>> {
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let mut data = Vec::new();
    for id in sample(blocks, &mut fastrand::Rng::new()) {
        let end = geometry.offset(id) + geometry.length(id) as u64;
        if source.next_data(geometry.offset(id)).is_none_or(|data| data.start >= end) {
            continue;
        }
        read(site, source, id, &mut data, tally)?;
        if !is_zero(&data) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn read(
    site: &mut Site<'_>,
    source: &dyn Source,
    id: u64,
    data: &mut Vec<u8>,
    tally: &mut Tally,
) -> Result<()> {
    let geometry = Geometry::new(source.size(), site.config.block_size);
    site.monitor.check()?;
    data.resize(geometry.length(id), 0);
    source.read_at(geometry.offset(id), data)?;
    tally.statistics.read.add(data.len() as u64);
    Ok(())
}
