//! Files and folders, and their inode numbers.

use crate::types::version::Version;

/// A file or folder. The numbers of names and versions come from `Numbers` and start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The mountpoint.
    Root,
    /// The folder `by_name`.
    Names,
    /// The folder `by_version_uid`.
    Uids,
    /// A folder below `by_name`, by the number of the name.
    Name(u64),
    /// The link to the newest valid version of a name.
    Latest(u64),
    /// The link to a version, in the folder of its name.
    Link(u64),
    /// The folder of a version.
    Version(u64),
    /// A file in the folder of a version.
    File(u64, Field),
}

/// A file of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The image.
    Data,
    /// The expiry date, or empty.
    Expire,
    /// The version's name.
    Name,
    /// The name of the snapshot, or empty.
    SnapshotName,
    /// The tags, separated by commas.
    Tags,
    /// Exists if the version is valid.
    Valid,
    /// Exists if the version is invalid.
    Invalid,
    /// Exists if the version is protected.
    Protected,
}

const FIELDS: [Field; 8] = [
    Field::Data,
    Field::Expire,
    Field::Name,
    Field::SnapshotName,
    Field::Tags,
    Field::Valid,
    Field::Invalid,
    Field::Protected,
];

impl Field {
    /// The files that `version` has.
    pub(super) fn of(version: &Version) -> impl Iterator<Item = Field> + use<> {
        let (valid, protected) = (version.valid, version.protected);
        FIELDS.into_iter().filter(move |field| match field {
            Field::Valid => valid,
            Field::Invalid => !valid,
            Field::Protected => protected,
            _ => true,
        })
    }

    /// The file name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Data => "data",
            Field::Expire => "expire",
            Field::Name => "name",
            Field::SnapshotName => "snapshot_name",
            Field::Tags => "tags",
            Field::Valid => "valid",
            Field::Invalid => "invalid",
            Field::Protected => "protected",
        }
    }

    /// The content of a small file, without a newline; `None` for the image.
    pub(super) fn text(self, version: &Version) -> Option<String> {
        Some(match self {
            Field::Data => return None,
            Field::Expire => version
                .expire
                .map(|expire| expire.naive().format("%Y-%m-%dT%H:%M:%S").to_string())
                .unwrap_or_default(),
            Field::Name => version.name.clone(),
            Field::SnapshotName => version.snapshot_name.clone(),
            Field::Tags => version.tags.join(","),
            Field::Valid | Field::Invalid | Field::Protected => self.name().to_owned(),
        })
    }
}

/// The low bits of an inode number say what it is, the others are the number of the version or name.
const BITS: u32 = 4;
const VERSION: u64 = 0;
const NAME: u64 = 1;
const LATEST: u64 = 2;
const LINK: u64 = 3;
/// The first kind of [`FIELDS`]; the others follow.
const FILE: u64 = 4;

impl Node {
    /// The inode number; the root has 1.
    pub(super) fn inode(self) -> u64 {
        match self {
            Node::Root => 1,
            Node::Names => 2,
            Node::Uids => 3,
            Node::Version(number) => number << BITS | VERSION,
            Node::Name(number) => number << BITS | NAME,
            Node::Latest(number) => number << BITS | LATEST,
            Node::Link(number) => number << BITS | LINK,
            Node::File(number, field) => number << BITS | (FILE + field as u64),
        }
    }

    /// The node with that inode number.
    pub(super) fn from_inode(inode: u64) -> Option<Self> {
        let number = inode >> BITS;
        match (number, inode & ((1 << BITS) - 1)) {
            (0, 1) => Some(Node::Root),
            (0, 2) => Some(Node::Names),
            (0, 3) => Some(Node::Uids),
            (0, _) => None,
            (_, VERSION) => Some(Node::Version(number)),
            (_, NAME) => Some(Node::Name(number)),
            (_, LATEST) => Some(Node::Latest(number)),
            (_, LINK) => Some(Node::Link(number)),
            (_, file) => FIELDS.get((file - FILE) as usize).map(|field| Node::File(number, *field)),
        }
    }

    /// Whether it is a folder.
    pub(super) fn is_folder(self) -> bool {
        !matches!(self, Node::File(..) | Node::Link(_) | Node::Latest(_))
    }

    /// The parent folder, for the entry `..`. Only folders have that entry; for the others it need not be exact.
    pub(super) fn parent(self) -> Node {
        match self {
            Node::Root | Node::Names | Node::Uids => Node::Root,
            Node::Name(_) => Node::Names,
            Node::Latest(name) => Node::Name(name),
            Node::Link(_) => Node::Names,
            Node::Version(_) => Node::Uids,
            Node::File(number, _) => Node::Version(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_go_both_ways() {
        let mut nodes = vec![Node::Root, Node::Names, Node::Uids];
        for number in [1, 2, 1 << 40] {
            nodes.extend([
                Node::Name(number),
                Node::Latest(number),
                Node::Link(number),
                Node::Version(number),
            ]);
            nodes.extend(FIELDS.map(|field| Node::File(number, field)));
        }
        let inodes: std::collections::BTreeSet<u64> = nodes.iter().map(|node| node.inode()).collect();
        assert_eq!(inodes.len(), nodes.len(), "no two have the same");
        for node in nodes {
            assert_eq!(Node::from_inode(node.inode()), Some(node));
        }
        for inode in [0, 4, 15, 16 | 12, 16 | 15] {
            assert_eq!(Node::from_inode(inode), None, "{inode}");
        }
    }
}
