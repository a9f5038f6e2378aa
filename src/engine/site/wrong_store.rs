//! The errors about a store that is not the right one.

use super::store::Opening;
use crate::config::StoreConfig;
use crate::meta::StoreRow;
use crate::types::error::Error;
use crate::types::object::ObjectName;
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::text::quoted;
use std::path::Path;

/// The name of the object.
const IDENTITY: ObjectName = ObjectName::Identity;

impl Opening<'_, '_> {
    pub(super) fn wrong(&self, reason: impl Into<Reason>) -> Error {
        Error::WrongStore { store: self.store.location(), reason: reason.into() }
    }

    /// The store has another identity than the database remembers.
    pub(super) fn other(&self, remembered: &str, found: &str) -> Error {
        self.wrong(
            Reason::from(format!(
                "it is another store: its UUID is {found}, and the database belongs to the store with the UUID \
                 {remembered}"
            ))
            .advise(format!(
                "{} Or is this the database of another installation? Nothing was changed.",
                self.likely_cause()
            )),
        )
    }

    /// The store has an identity or blobs, and the database is new.
    pub(super) fn foreign(&self) -> Error {
        self.wrong(
            Reason::from("it has data, and the database knows of none: the store belongs to another installation, or its \
                          database was lost")
            .advise(format!(
                "Nothing was changed. To start anew, configure an empty {}.",
                self.place()
            ))
            .remedy(Remedy::RebuildDatabase),
        )
    }

    /// None of `tried` blobs is there, and there is no identity that the database remembers.
    pub(super) fn empty_or_other(&self, tried: usize, row: Option<&StoreRow>) -> Error {
        let way_on = match row {
            Some(row) => format!("write {}", self.write_again(row)),
            None => "begin with a new database".to_owned(),
        };
        self.wrong(
            Reason::from(format!(
                "none of {tried} blobs that should be there is there: it is not the store that belongs to the database"
            ))
            .advise(format!(
                "{} Nothing was changed. If the data is lost for good, {way_on}.",
                self.likely_cause()
            )),
        )
    }

    /// The folder has no identity. `holds_blobs` says whether it holds blobs of the installation.
    pub(super) fn not_mounted(&self, row: &StoreRow, holds_blobs: bool) -> Error {
        let again = self.write_again(row);
        let (text, advice) = if holds_blobs {
            (
                format!(
                    "it has no {IDENTITY}, but it holds blobs of this installation: the file was deleted"
                ),
                format!("Write it again: {again}. Nothing was changed."),
            )
        } else {
            (
                format!("it has no {IDENTITY}: it is not the store that belongs to the database"),
                format!(
                    "{} Nothing was changed. If the data is lost for good, and this folder is to be used from now on: \
                     {again}.",
                    self.likely_cause()
                ),
            )
        };
        self.wrong(Reason::from(text).advise(advice))
    }

    /// There is an identity that cannot be used. `why` is the end of a sentence about it.
    pub(super) fn unusable(&self, row: Option<&StoreRow>, why: &str) -> Error {
        let advice = match row {
            Some(row) => format!(
                "Nothing was changed. If this is the right store, write it again: {}.",
                self.write_again(row)
            ),
            None => {
                "Nothing was changed. If no other installation uses this store, delete that file or object."
                    .to_owned()
            }
        };
        self.wrong(Reason::from(format!("its {IDENTITY} {why}")).advise(advice))
    }

    /// A newer release made the identity. `why` is the end of a sentence about it.
    pub(super) fn newer(&self, why: &str) -> Error {
        self.wrong(Reason::from(format!("its {IDENTITY} {why}")).advise("Nothing was changed."))
    }

    /// How the user writes an identity that the next command completes.
    fn write_again(&self, row: &StoreRow) -> String {
        let line = format!("{{\"format\":1,\"uuid\":\"{}\"}}", row.uuid);
        match &self.site.config.data.store {
            StoreConfig::File { path, .. } => {
                let file = Path::new(path).join(IDENTITY.to_string());
                format!("`echo '{line}' > {}`", quoted(&file.to_string_lossy()))
            }
            _ => format!("an object {IDENTITY} with the line {line}"),
        }
    }

    fn place(&self) -> &'static str {
        match &self.site.config.data.store {
            StoreConfig::File { .. } => "folder (path in [DataBackend])",
            _ => "bucket (bucket_name in [DataBackend])",
        }
    }

    fn likely_cause(&self) -> &'static str {
        match &self.site.config.data.store {
            StoreConfig::File { .. } => "Is it mounted, and is path in [DataBackend] right?",
            _ => "Is bucket_name in [DataBackend] right, or was the bucket emptied or made anew?",
        }
    }

    pub(super) fn wrong_key(&self) -> Error {
        Error::WrongKey(format!(
            "The configured encryption_key does not open the key of the data store {}: it is not the key of this \
             installation. Nothing was changed.",
            self.store.location()
        ))
    }
}
