//! What the copies of versions say of their rows, and whether the rows in the database are still those.
//!
//! The copy of a version is sealed with the key of the store. So somebody who can write to the database and to the store,
//! but lacks the master key, cannot change the rows of a version unnoticed.

use super::CopyKeys;
use crate::copies::CopiedVersion;
use crate::engine::Site;
use crate::flow::fetch::Plain;
use crate::flow::objects::load;
use crate::meta::Metadata;
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::error::Result;
use crate::types::object::ObjectName;
use crate::types::uid::VersionUid;
use crate::types::version::Version;

/// What the store has for a version.
pub(in crate::engine) enum Found {
    /// No copy.
    Nothing,
    /// A copy that cannot be used. The text is the end of a sentence that begins with its name.
    Unusable(String),
    /// This copy. It is authentic.
    Copy(Box<CopiedVersion>),
}

impl CopyKeys {
    /// The copy of a version in `store`.
    ///
    /// # Errors
    /// The store as a whole fails, or there is no memory.
    pub(super) fn find(&self, store: &dyn BlobStore, uid: &VersionUid) -> Result<Found> {
        let Some(name) = ObjectName::version(uid) else { return Ok(Found::Nothing) };
        let unusable = |why: String| Ok(Found::Unusable(format!("cannot be used: {why}")));
        let data = match load(store, &self.sealer, &name)? {
            Some(Ok(data)) => data,
            Some(Err(why)) => return Ok(Found::Unusable(why)),
            None => return Ok(Found::Nothing),
        };
        match CopiedVersion::decode(&data) {
            Ok(copied) if copied.version.uid == *uid => Ok(Found::Copy(Box::new(copied))),
            Ok(_) => unusable("it is that of another version".to_owned()),
            Err(error) => unusable(error.to_string()),
        }
    }
}

/// Compares the rows of versions with their copies. It only reads.
pub(in crate::engine) struct Seals {
    /// `None` if nothing is compared.
    keys: Option<CopyKeys>,
    /// Whether blobs without encryption are accepted where no copy says more.
    plain: Plain,
    /// Whether a master key is configured.
    has_key: bool,
    block_size: u32,
}

/// What must be true of the rows of a version.
#[derive(Debug)]
pub(in crate::engine) struct Expected {
    /// What its copy says. `None` if there is none that counts.
    pub seal: Option<Expectation>,
    /// Whether its blobs may be without encryption.
    pub plain: Plain,
    /// Errors that were found already, as sentences.
    pub faults: Vec<String>,
    /// Something that the user should know, as a sentence.
    pub warning: Option<String>,
}

/// What the copy of a version says.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Expectation {
    /// The sum of its rows.
    pub sum: [u8; 32],
    /// Number of its blocks.
    pub size: u64,
    /// Size of its image in bytes.
    pub size_bytes: u64,
}

impl Seals {
    /// For the opened store of `site`.
    ///
    /// # Errors
    /// The database fails.
    pub(in crate::engine) fn open(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<Self> {
        let (has_key, block_size) = (site.keys.has_key(), site.config.block_size);
        let mut seals = Seals { keys: None, plain: site.plain, has_key, block_size };
        if !store.keeps_objects() {
            return Ok(Seals { plain: Plain::Accepted, ..seals });
        }
        if !site.config.data.metadata_copies {
            site.monitor.debug("Copies of the metadata are switched off: rows are not compared with them.");
            return Ok(seals);
        }
        match CopyKeys::of(site)? {
            Some(Ok(keys)) => seals.keys = Some(keys),
            Some(Err(why)) => {
                site.monitor.debug(&format!("Rows are not compared with copies of the metadata: {why}."));
            }
            None => {}
        }
        Ok(seals)
    }

    /// The key of the sums of rows, if rows are compared.
    pub(in crate::engine) fn rows_key(&self) -> Option<&[u8; 32]> {
        self.keys.as_ref().map(|keys| &*keys.rows_key)
    }

    /// The copy of a version in `store`.
    ///
    /// # Errors
    /// The store as a whole fails.
    pub(in crate::engine) fn find(&self, store: &dyn BlobStore, uid: &VersionUid) -> Result<Found> {
        self.keys.as_ref().map_or(Ok(Found::Nothing), |keys| keys.find(store, uid))
    }

    /// What must be true of the rows of `version`, for which the store has `found`.
    ///
    /// # Errors
    /// The database fails.
    pub(in crate::engine) fn expect(
        &self,
        meta: &mut Metadata,
        version: &Version,
        found: Found,
    ) -> Result<Expected> {
        let mut faults = Vec::new();
        let blocks = Geometry::new(version.size_bytes, self.block_size).blocks();
        if blocks != version.size {
            faults.push(format!(
                "The database is damaged: version {} has {} blocks, and {} bytes, which are {blocks} blocks.",
                version.uid, version.size, version.size_bytes
            ));
        }
        let (mut seal, mut warning, mut plain) = (None, None, self.plain);
        match found {
            // It was removed and imported again, and the copy is that of the version before.
            Found::Copy(copied) if copied.version.key != version.key && meta.is_copy_due(&version.uid)? => {
                plain = Plain::Accepted;
            }
            Found::Copy(copied) => {
                let sealed = &copied.version;
                if (sealed.size, sealed.size_bytes) != (version.size, version.size_bytes) {
                    faults.push(format!(
                        "The size of version {} is not the one that was sealed when it was backed up: it had {} bytes in {} \
                         blocks, and the database says {} bytes in {} blocks.",
                        version.uid, sealed.size_bytes, sealed.size, version.size_bytes, version.size
                    ));
                }
                plain = if copied.encrypted { Plain::Refused } else { Plain::Accepted };
                let (size, size_bytes) = (sealed.size, sealed.size_bytes);
                seal = Some(Expectation { sum: copied.row_sum, size, size_bytes });
            }
            Found::Unusable(why) => {
                warning = Some(format!(
                    "The rows of version {} cannot be compared with what was sealed when it was backed up: its copy in the \
                     data store {why}.",
                    version.uid
                ));
            }
            // The next command that writes copies seals it as it is.
            Found::Nothing if self.keys.is_some() && meta.is_copy_due(&version.uid)? => {
                plain = Plain::Accepted
            }
            Found::Nothing => {}
        }
        if !self.has_key {
            plain = Plain::Accepted;
        }
        Ok(Expected { seal, plain, faults, warning })
    }
}
