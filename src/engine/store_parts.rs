//! Lists a store part by part, so that only one part is in memory, however large the store is.
//!
//! Blob uids begin with digits of an md5 sum, so a prefix of them divides the blobs evenly.

use crate::store::{BlobStore, Found};
use crate::types::error::{Error, Result};
use crate::types::uid::BlobUid;

/// The most blobs of one part. A blob takes about 90 bytes.
const MOST: usize = 200_000;
/// The number of blobs that a part should have.
const WANTED: u64 = 50_000;
/// The longest prefix.
const DEEPEST: usize = 8;
/// The digits with which uids begin, in byte order.
const DIGITS: &str = "0123456789abcdef";

/// A blob in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Stored {
    pub uid: BlobUid,
    /// Its size in bytes, if the store tells it.
    pub bytes: Option<u64>,
    /// When it was stored, in seconds since 1970, if the store tells it.
    pub stored: Option<i64>,
}

/// A part: the uids that begin with `prefix`, and in the database also those between them and the neighbouring parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Part {
    prefix: String,
    /// The uids in the database begin here.
    pub from: String,
    /// They end before this one; `None`: at the last one.
    pub to: Option<String>,
}

impl Part {
    /// The parts of a store that should have `blobs` blobs, in order.
    pub(in crate::engine) fn all(blobs: u64) -> Vec<Part> {
        let mut parts = vec![Part { prefix: String::new(), from: String::new(), to: None }];
        while (parts.len() as u64) * WANTED < blobs && parts[0].prefix.len() < DEEPEST / 2 {
            parts = parts.iter().flat_map(Part::divided).collect();
        }
        parts
    }

    /// The sixteen parts with one digit more.
    fn divided(&self) -> Vec<Part> {
        let prefixes: Vec<String> = DIGITS.chars().map(|digit| format!("{}{digit}", self.prefix)).collect();
        let last = prefixes.len() - 1;
        let part = |n: usize| Part {
            prefix: prefixes[n].clone(),
            from: if n == 0 { self.from.clone() } else { prefixes[n].clone() },
            to: if n == last { self.to.clone() } else { Some(prefixes[n + 1].clone()) },
        };
        (0..prefixes.len()).map(part).collect()
    }

    /// Calls `visit` with the blobs of this part, in the order of their uids. If there are too many, it is called for
    /// smaller parts instead. `unfinished` receives the files that killed backups have left.
    ///
    /// # Errors
    /// The store or `visit` fails.
    pub(in crate::engine) fn list(
        &self,
        store: &dyn BlobStore,
        unfinished: &mut Vec<String>,
        visit: &mut dyn FnMut(&Part, &[Stored]) -> Result<()>,
    ) -> Result<()> {
        let mut found = Vec::new();
        let mut left = Vec::new();
        let mut too_many = false;
        let listed = store.survey(&self.prefix, &mut |next| {
            match next {
                Found::Blob { uid, bytes, stored } => found.push(Stored { uid: uid.clone(), bytes, stored }),
                Found::Unfinished(name) => left.push(name.to_owned()),
            }
            too_many = found.len() > MOST && self.prefix.len() < DEEPEST;
            if too_many { Err(Error::internal("too many blobs in one part")) } else { Ok(()) }
        });
        if too_many {
            drop(found);
            return self.divided().iter().try_for_each(|part| part.list(store, unfinished, visit));
        }
        listed?;
        // A prefix of less than four characters lists some folders of its neighbours, and their leftovers again.
        left.retain(|name| !unfinished.contains(name));
        unfinished.extend(left);
        found.sort_unstable();
        found.dedup_by(|a, b| a.uid == b.uid);
        visit(self, &found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GetError;
    use crate::store::Wanted;

    /// A store that lists these uids and does nothing else.
    struct Names(Vec<BlobUid>);

    impl crate::store::Objects for Names {}

    impl BlobStore for Names {
        fn location(&self) -> String {
            "names".into()
        }
        fn put(&self, _: &BlobUid, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn get(&self, _: Wanted<'_>, _: &mut Vec<u8>) -> std::result::Result<bool, GetError> {
            Ok(false)
        }
        fn delete(&self, _: &[BlobUid]) -> Vec<(BlobUid, Error)> {
            Vec::new()
        }
        fn list(&self, prefix: &str, each: &mut dyn FnMut(&BlobUid) -> Result<()>) -> Result<()> {
            self.0.iter().filter(|uid| uid.as_str().starts_with(prefix)).try_for_each(each)
        }
        fn sync(&self) -> Result<()> {
            Ok(())
        }
        fn check(&self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn parts_follow_each_other_without_gaps() {
        for (blobs, number) in [(0, 1), (WANTED, 1), (WANTED + 1, 16), (WANTED * 17, 256), (u64::MAX, 65536)]
        {
            let parts = Part::all(blobs);
            assert_eq!(parts.len(), number, "{blobs}");
            assert_eq!((&parts[0].from[..], &parts[number - 1].to), ("", &None));
            for pair in parts.windows(2) {
                assert_eq!(pair[0].to.as_ref(), Some(&pair[1].from));
                assert!(pair[0].from < pair[1].from);
            }
        }
    }

    #[test]
    fn a_part_with_too_many_blobs_is_divided_and_every_blob_is_seen_once() {
        let mut uids: Vec<BlobUid> = (0..MOST + 1000).map(|_| BlobUid::generate()).collect();
        let store = Names(uids.clone());
        let mut seen = Vec::new();
        let mut parts = 0;
        Part::all(0)[0]
            .list(&store, &mut Vec::new(), &mut |part, stored| {
                parts += 1;
                let uid = |stored: &Stored| stored.uid.as_str().to_owned();
                assert!(
                    stored
                        .iter()
                        .map(uid)
                        .all(|uid| uid >= part.from && part.to.as_ref().is_none_or(|to| uid < *to))
                );
                seen.extend(stored.iter().map(|stored| stored.uid.clone()));
                Ok(())
            })
            .expect("listed");
        uids.sort_unstable();
        assert_eq!(parts, 16);
        assert!(seen == uids, "in order and complete");
    }
}
