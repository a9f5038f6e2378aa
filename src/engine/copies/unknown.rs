//! Objects that the database does not know. They belong to a database that was lost, or to a newer state of this one.

use crate::engine::Site;
use crate::store::BlobStore;
use crate::types::error::Result;
use crate::types::object::{ObjectFolder, ObjectName};
use std::collections::HashSet;

/// The names of all objects beside the blobs, apart from the identity.
pub(super) struct Listing(Vec<ObjectName>);

impl Listing {
    /// Lists a store.
    pub(super) fn read(store: &dyn BlobStore) -> Result<Self> {
        let mut names = Vec::new();
        for folder in ObjectFolder::ALL {
            store.list_objects(folder, None, &mut |name| {
                names.push(name.clone());
                Ok(())
            })?;
        }
        Ok(Listing(names))
    }

    /// The last parts of the names in a folder.
    pub(super) fn names(&self, folder: ObjectFolder) -> HashSet<String> {
        self.of(folder).map(ObjectName::last_part).collect()
    }

    fn of(&self, folder: ObjectFolder) -> impl Iterator<Item = &ObjectName> {
        self.0.iter().filter(move |name| name.folder() == Some(folder))
    }
}

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
        Self::among(site, &Listing::read(store)?)
    }

    /// Those objects of a listing that the database does not know by now. Their rows are made before the objects, so an
    /// object of a running command is known, unless it was deleted since it was listed.
    pub(super) fn among(site: &mut Site<'_>, listing: &Listing) -> Result<Self> {
        let lists: HashSet<String> = site.meta.indexes()?.into_iter().map(|index| index.name).collect();
        // The copies of removed versions are due.
        let versions = site.meta.uids_with_copies()?;
        let unknown = |folder, known: &HashSet<String>| {
            listing.of(folder).filter(|name| !known.contains(&name.last_part())).cloned().collect()
        };
        Ok(Unknown {
            lists: unknown(ObjectFolder::Index, &lists),
            versions: unknown(ObjectFolder::Versions, &versions),
        })
    }

    /// Those that are in `other` as well.
    pub(super) fn both(mut self, other: &Unknown) -> Self {
        self.lists.retain(|name| other.lists.contains(name));
        self.versions.retain(|name| other.versions.contains(name));
        self
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
