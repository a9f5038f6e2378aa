//! `rebuild --check`: compares the database with its copies in the data store.

use super::survey::{blobs_of, decode_version, named_as, row_key, show_check, unreadable};
use super::vault::{Vault, uid_in};
use crate::config::Config;
use crate::copies::{CopiedBlob, CopiedKey, CopiedVersion, decode_index};
use crate::engine::{Site, Use};
use crate::flow::objects::Usable;
use crate::meta::{VersionContent, VersionFilter};
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::version::Version;
use std::collections::{BTreeSet, HashMap};

/// What the database and the store say differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The version or object, as messages show it.
    pub what: String,
    /// The end of a sentence that begins with `what`.
    pub why: String,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Number of versions in the database.
    pub versions: u64,
    /// Number of blobs in the database.
    pub blobs: u64,
    /// The differences.
    pub differences: Vec<Difference>,
}

impl Checked {
    fn add(&mut self, what: impl ToString, why: impl Into<String>) {
        self.differences.push(Difference { what: what.to_string(), why: why.into() });
    }
}

/// Compares the database with the copies of its metadata in the store. Nothing is written.
///
/// # Errors
/// Those of the store and the database; [`Error::WrongKey`]; a signal.
pub fn run(site: &mut Site<'_>) -> Result<Checked> {
    // It makes sure that this is the right store.
    drop(site.open_store(Use::Read)?);
    let vault = Vault::open(site.config, site.monitor)?;
    let mut checked = Checked::default();
    let needed = versions(site, &vault, &mut checked)?;
    blobs(site, &vault, &needed, &mut checked)?;
    if !checked.differences.is_empty() {
        vault.prove()?;
    }
    Ok(checked)
}

/// Compares the versions. Returns the row keys that the copies of valid ones name.
fn versions(site: &mut Site<'_>, vault: &Vault<'_>, checked: &mut Checked) -> Result<BlockSet> {
    let names = vault.names(ObjectFolder::Versions)?;
    let there: BTreeSet<&ObjectName> = names.iter().collect();
    for version in site.versions(&VersionFilter::default())? {
        checked.versions += 1;
        match ObjectName::version(&version.uid) {
            None => checked.add(shown(&version), "has a uid that no copy can be named after"),
            // A version that was never valid needs no copy.
            Some(name) if version.valid && !there.contains(&name) => {
                checked.add(shown(&version), "has no copy")
            }
            Some(_) => {}
        }
    }
    let monitor = site.monitor;
    let (mut done, mut needed) = (0, BlockSet::default());
    vault.each(&names, &decode_version, &mut |object, read| {
        done += 1;
        if let Ok(copied) = read.as_ref().map_err(drop)
            && copied.version.valid
        {
            needed = needed.union(&blobs_of(copied));
        }
        show_check(monitor, "1/2: versions", done, names.len() as u64);
        let mut why = difference(site, vault, object, read)?;
        if why.is_some() {
            // Another process may have changed the version and its copy in the meantime.
            let again = vault.load(object, &decode_version)?;
            why = difference(site, vault, object, again)?;
        }
        if let Some(why) = why {
            checked.add(object, why);
        }
        Ok::<(), Error>(())
    })?;
    Ok(needed)
}

/// Why the copy in `object` is not what the database has, if it is not.
fn difference(
    site: &mut Site<'_>,
    vault: &Vault<'_>,
    object: &ObjectName,
    read: Usable<CopiedVersion>,
) -> Result<Option<String>> {
    let copied = match read.and_then(|copied| named_as(object, copied)) {
        Ok(copied) => copied,
        Err(why) => return Ok(Some(why)),
    };
    let Some(content) = site.meta.version_content(&uid_in(object))? else {
        return Ok(Some("is the copy of a version that the database does not have".into()));
    };
    let mut parts = differing(&copied, &content, site.config);
    if parts.is_empty() && site.meta.row_sum(&content.version, &vault.copy_keys.rows_key)? != copied.row_sum {
        parts.push("the sum of its rows");
    }
    Ok((!parts.is_empty()).then(|| format!("is not up to date: {}", parts.join(", "))))
}

/// The parts in which a copy differs from the database.
fn differing(copied: &CopiedVersion, content: &VersionContent, config: &Config) -> Vec<&'static str> {
    let (ours, theirs) = (&content.version, &copied.version);
    let mut our_tags = ours.tags.clone();
    let mut their_tags = theirs.tags.clone();
    our_tags.sort();
    their_tags.sort();
    let parts = [
        (ours.key == theirs.key, "row key"),
        (ours.date == theirs.date, "date"),
        (ours.expire == theirs.expire, "expiry date"),
        (ours.name == theirs.name, "name"),
        (ours.snapshot_name == theirs.snapshot_name, "snapshot name"),
        (ours.size == theirs.size && ours.size_bytes == theirs.size_bytes, "size"),
        (ours.valid == theirs.valid, "whether it is valid"),
        (ours.protected == theirs.protected, "protection"),
        (our_tags == their_tags, "tags"),
        (content.origin == copied.origin, "RBD snapshot"),
        (content.runs == copied.runs, "statistics"),
        (content.blocks == copied.blocks, "blocks"),
        (content.bad == copied.bad, "bad blobs"),
        (config.hash_function.name() == copied.hash_function, "hash_function"),
        (config.block_size == copied.block_size, "block_size"),
    ];
    parts.into_iter().filter(|(same, _)| !same).map(|(_, part)| part).collect()
}

fn blobs(site: &mut Site<'_>, vault: &Vault<'_>, needed: &BlockSet, checked: &mut Checked) -> Result<()> {
    let rows = site.meta.blob_keys()?;
    checked.blobs = rows.count();
    let names = vault.names(ObjectFolder::Index)?;
    let mut covered = BlockSet::default();
    let monitor = site.monitor;
    let mut done = 0;
    vault.each(&names, &|bytes| decode_index(bytes).map_err(unreadable), &mut |object, read| {
        done += 1;
        show_check(monitor, "2/2: blobs", done, names.len() as u64);
        let copied = match read {
            Ok(copied) => copied,
            Err(why) => {
                checked.add(object, why);
                return Ok(());
            }
        };
        let listed: BlockSet = copied.iter().filter_map(|blob| row_key(blob.id)).collect();
        let ours = site.meta.copied_blobs(&listed.intersect(&rows))?;
        let ours: HashMap<BlobId, CopiedBlob> = ours.into_iter().map(|blob| (blob.id, blob)).collect();
        let is_other = |blob: &&CopiedBlob| ours.get(&blob.id).is_some_and(|row| !same(row, blob, vault));
        let others = copied.iter().filter(is_other).count();
        if others > 0 {
            checked.add(object, format!("has other data for {others} blobs than the database"));
        }
        for range in listed.ranges() {
            covered.insert(range.clone());
        }
        Ok::<(), Error>(())
    })?;
    let without = rows.intersect(needed).subtract(&covered).count();
    if without > 0 {
        checked.add("index/", format!("has no copies of {without} blobs"));
    }
    Ok(())
}

/// Whether a row, with its key as it is, is what a list has.
fn same(row: &CopiedBlob, copied: &CopiedBlob, vault: &Vault<'_>) -> bool {
    let key = vault.wrapped(&copied.key).ok().flatten().map_or(CopiedKey::None, CopiedKey::Wrapped);
    *row == CopiedBlob { key, ..copied.clone() }
}

fn shown(version: &Version) -> String {
    format!("Version {} ({})", version.uid, version.name)
}
