//! Names of the objects that a store keeps beside its blobs.
//!
//! No path and no key is made from foreign text: a name is made from parts that were checked.

use super::keys::BlobId;
use super::uid::VersionUid;
use std::fmt;

/// The longest uid that becomes part of a name.
const LONGEST_UID: usize = 36;

/// The name of an object beside the blobs. It never ends in `.blob`, and it is never the uid of a blob, because it
/// has a full stop or a slash.
///
/// The order is that of the texts, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectName {
    /// `backy2.store`: what the store is.
    Identity,
    /// `index/…`: a list of blobs.
    Index(IndexName),
    /// `versions/…`: the metadata of a version.
    Version(PlainUid),
}

/// The name of a list of blobs: the highest row key in the list, and random digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexName {
    last: u64,
    random: u64,
}

/// The uid of a version that has only ASCII letters, digits and `-`, and 1 to 36 of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlainUid(VersionUid);

/// A group of objects that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFolder {
    /// Lists of blobs.
    Index,
    /// Metadata of versions.
    Versions,
}

impl ObjectFolder {
    /// Both groups.
    pub const ALL: [ObjectFolder; 2] = [ObjectFolder::Index, ObjectFolder::Versions];

    /// The part of the name before the slash.
    pub fn text(self) -> &'static str {
        match self {
            ObjectFolder::Index => "index",
            ObjectFolder::Versions => "versions",
        }
    }

    /// The object of this group that has the text `name` behind the slash. `None` if no object has such a name.
    pub fn object(self, name: &str) -> Option<ObjectName> {
        match self {
            ObjectFolder::Index => {
                let (last, random) = name.split_once('-')?;
                Some(ObjectName::Index(IndexName { last: digits(last)?, random: digits(random)? }))
            }
            ObjectFolder::Versions => ObjectName::version(&VersionUid::from(name)),
        }
    }
}

/// The value of exactly 16 lower-case hex digits.
fn digits(text: &str) -> Option<u64> {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (text.len() == 16 && text.bytes().all(is_digit)).then(|| u64::from_str_radix(text, 16).ok())?
}

impl ObjectName {
    /// A new name for a list of blobs whose highest row key is `last`.
    pub fn new_index(last: BlobId) -> Self {
        ObjectName::Index(IndexName { last: last.0.unsigned_abs(), random: fastrand::u64(..) })
    }

    /// The name behind which all lists come whose highest row key is above `last`.
    pub fn highest_index(last: BlobId) -> Self {
        ObjectName::Index(IndexName { last: last.0.unsigned_abs(), random: u64::MAX })
    }

    /// The highest row key in a list of blobs. `None` for other objects.
    pub fn last_blob(&self) -> Option<BlobId> {
        match self {
            ObjectName::Index(name) => Some(BlobId(i64::try_from(name.last).unwrap_or(i64::MAX))),
            _ => None,
        }
    }

    /// The name for the metadata of a version. `None` if its uid has other characters than letters, digits and `-`, as
    /// in a dump that was edited. Such a version has no object.
    pub fn version(uid: &VersionUid) -> Option<Self> {
        let text = uid.as_str();
        let is_plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        let fits = (1..=LONGEST_UID).contains(&text.len());
        (is_plain && fits).then(|| ObjectName::Version(PlainUid(uid.clone())))
    }

    /// The group that the object belongs to. The identity belongs to none.
    pub fn folder(&self) -> Option<ObjectFolder> {
        match self {
            ObjectName::Identity => None,
            ObjectName::Index(_) => Some(ObjectFolder::Index),
            ObjectName::Version(_) => Some(ObjectFolder::Versions),
        }
    }

    /// The part of the name behind the slash.
    pub fn last_part(&self) -> String {
        match self {
            ObjectName::Identity => "backy2.store".to_owned(),
            ObjectName::Index(IndexName { last, random }) => format!("{last:016x}-{random:016x}"),
            ObjectName::Version(PlainUid(uid)) => uid.to_string(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.folder() {
            Some(folder) => write!(f, "{}/{}", folder.text(), self.last_part()),
            None => f.write_str(&self.last_part()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::uid::BlobUid;

    #[test]
    fn names_are_read_back_and_sort_as_their_texts() {
        let uid = VersionUid::generate();
        let mut names: Vec<ObjectName> =
            [300, 2, 1, i64::MAX].into_iter().map(|n| ObjectName::new_index(BlobId(n))).collect();
        names.extend([&uid, &"Odd-1".into()].into_iter().filter_map(ObjectName::version));
        names.push(ObjectName::Identity);
        for name in &names {
            let text = name.to_string();
            assert!(!text.ends_with(".blob") && !BlobUid::is_plain(&text), "{text}");
            let Some((folder, last)) = text.split_once('/') else { continue };
            let folder = ObjectFolder::ALL.into_iter().find(|f| f.text() == folder).expect("a folder");
            assert_eq!((name.folder(), folder.object(last)), (Some(folder), Some(name.clone())));
        }
        let mut texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        texts.sort();
        names.sort();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn foreign_text_becomes_no_name() {
        for text in ["", "..", "a/b", "ä", "a b", "a.blob", "a\0", "1234567890123456789012345678901234567"] {
            assert_eq!(ObjectName::version(&text.into()), None, "{text}");
        }
        let good = "00000000000000ff-0123456789abcdef";
        assert!(ObjectFolder::Index.object(good).is_some());
        for text in
            ["", "-", &good[1..], "00000000000000FF-0123456789abcdef", "+0000000000000ff-0123456789abcdef"]
        {
            assert_eq!(ObjectFolder::Index.object(text), None, "{text}");
        }
    }
}
