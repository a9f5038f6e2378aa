//! Objects that the database does not know. They belong to a database that was lost, or to a newer state of this one.

use crate::engine::Site;
use crate::store::BlobStore;
use crate::types::error::Result;
use crate::types::object::{ObjectFolder, ObjectName};
use std::collections::HashSet;

/// Names of objects that the database does not know.
#[derive(Debug, Default)]
pub(in crate::engine) struct Unknown {
    /// Lists of blobs.
    pub lists: Vec<ObjectName>,
    /// Objects of versions.
    pub versions: Vec<ObjectName>,
}

impl Unknown {
    /// Looks for them. The caller has exclusive use of the installation.
    ///
    /// # Errors
    /// The store or the database fails.
    pub(in crate::engine) fn find(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<Self> {
        let mut unknown = Unknown::default();
        let lists: HashSet<String> = site.meta.indexes()?.into_iter().map(|index| index.name).collect();
        store.list_objects(ObjectFolder::Index, None, &mut |name| {
            if !lists.contains(&name.last_part()) {
                unknown.lists.push(name.clone());
            }
            Ok(())
        })?;
        // The copies of removed versions are due.
        let versions = site.meta.uids_with_copies()?;
        store.list_objects(ObjectFolder::Versions, None, &mut |name| {
            if !versions.contains(&name.last_part()) {
                unknown.versions.push(name.clone());
            }
            Ok(())
        })?;
        Ok(unknown)
    }

    /// Whether there are none.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.versions.is_empty()
    }

    /// Deletes them.
    ///
    /// # Errors
    /// The store fails.
    pub(in crate::engine) fn delete(&self, store: &dyn BlobStore) -> Result<()> {
        // Without its version, nobody needs a list. The other way round, a version would be incomplete.
        self.versions.iter().chain(&self.lists).try_for_each(|name| store.delete_object(name))
    }
}
