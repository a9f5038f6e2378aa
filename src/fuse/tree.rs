//! The tree of folders and small files, made from the list of versions. Pure: no kernel, no database.

use super::names::{LATEST, file_name, uid_name};
use super::node::{Field, Node};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::SystemTime;

/// Numbers of versions and names, from which inode numbers are made. A version or name keeps its number as long as the
/// mount lives, even if it is removed and comes back.
#[derive(Default)]
pub(super) struct Numbers {
    versions: HashMap<VersionUid, u64>,
    names: HashMap<String, u64>,
}

impl Numbers {
    fn of_version(&mut self, uid: &VersionUid) -> u64 {
        number(&mut self.versions, uid.clone())
    }

    fn of_name(&mut self, name: &str) -> u64 {
        number(&mut self.names, name.to_owned())
    }
}

/// The number of `key`; a new key gets the next one. The first number is 1.
fn number<K: Eq + Hash>(numbers: &mut HashMap<K, u64>, key: K) -> u64 {
    let next = numbers.len() as u64 + 1;
    *numbers.entry(key).or_insert(next)
}

/// The tree at one moment.
#[derive(Default)]
pub(super) struct Tree {
    versions: HashMap<u64, Version>,
    by_uid: BTreeMap<String, u64>,
    names: HashMap<u64, Name>,
    by_name: BTreeMap<String, u64>,
    /// Uids that cannot be file names.
    odd: Vec<VersionUid>,
}

/// The versions of one name.
#[derive(Default)]
struct Name {
    /// By uid, in the form of a file name.
    versions: BTreeMap<String, u64>,
    /// The newest valid version.
    latest: Option<u64>,
    date: Option<SystemTime>,
}

/// Size and date of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Size in bytes.
    pub size: u64,
    /// The date of the version, or of the newest one in a folder.
    pub date: SystemTime,
}

impl Tree {
    /// Makes the tree of `versions`; versions of the same name must come in the order in which they were made.
    pub(super) fn new(versions: Vec<Version>, numbers: &mut Numbers) -> Self {
        let mut tree = Tree::default();
        for version in versions {
            let number = numbers.of_version(&version.uid);
            let folder = file_name(&version.name);
            let name_number = numbers.of_name(&folder);
            let name = tree.names.entry(name_number).or_default();
            let uid_folder = uid_name(&version.uid);
            if version.uid != uid_folder[..] {
                tree.odd.push(version.uid.clone());
            }
            name.versions.insert(uid_folder.clone(), number);
            name.date = name.date.max(Some(date(&version)));
            if version.valid {
                name.latest = Some(number);
            }
            tree.by_name.insert(folder, name_number);
            tree.by_uid.insert(uid_folder, number);
            tree.versions.insert(number, version);
        }
        tree
    }

    /// The version with that number.
    pub(super) fn version(&self, number: u64) -> Option<&Version> {
        self.versions.get(&number)
    }

    /// Uids that cannot be file names, and are shown escaped.
    pub(super) fn odd_uids(&self) -> &[VersionUid] {
        &self.odd
    }

    /// The number of versions.
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// The entry `name` of a folder.
    pub(super) fn child(&self, folder: Node, name: &str) -> Option<Node> {
        match folder {
            Node::Root => [Node::Names, Node::Uids].into_iter().find(|node| top_name(*node) == name),
            Node::Names => self.by_name.get(name).copied().map(Node::Name),
            Node::Uids => self.by_uid.get(name).copied().map(Node::Version),
            Node::Name(number) if name == LATEST => {
                self.names.get(&number)?.latest.map(|_| Node::Latest(number))
            }
            Node::Name(number) => self.names.get(&number)?.versions.get(name).copied().map(Node::Link),
            Node::Version(number) => {
                let version = self.version(number)?;
                Field::of(version).find(|field| field.name() == name).map(|field| Node::File(number, field))
            }
            Node::File(..) | Node::Link(_) | Node::Latest(_) => None,
        }
    }

    /// All entries of a folder, with their names; `None` if it is no folder.
    pub(super) fn children(&self, folder: Node) -> Option<Vec<(Node, String)>> {
        let own = |names: &BTreeMap<String, u64>, node: fn(u64) -> Node| {
            names.iter().map(|(name, number)| (node(*number), name.clone())).collect::<Vec<_>>()
        };
        match folder {
            Node::Root => {
                Some([Node::Names, Node::Uids].map(|node| (node, top_name(node).to_owned())).to_vec())
            }
            Node::Names => Some(own(&self.by_name, Node::Name)),
            Node::Uids => Some(own(&self.by_uid, Node::Version)),
            Node::Name(number) => {
                let name = self.names.get(&number)?;
                let mut found = own(&name.versions, Node::Link);
                found.extend(name.latest.map(|_| (Node::Latest(number), LATEST.to_owned())));
                Some(found)
            }
            Node::Version(number) => {
                let version = self.version(number)?;
                let file = |field: Field| (Node::File(number, field), field.name().to_owned());
                Some(Field::of(version).map(file).collect())
            }
            Node::File(..) | Node::Link(_) | Node::Latest(_) => None,
        }
    }

    /// The target of a symbolic link.
    pub(super) fn target(&self, link: Node) -> Option<String> {
        let number = match link {
            Node::Link(number) => number,
            Node::Latest(name) => self.names.get(&name)?.latest?,
            _ => return None,
        };
        Some(format!("../../{}/{}", top_name(Node::Uids), uid_name(&self.version(number)?.uid)))
    }

    /// Size and date; `None` if the file has gone.
    pub(super) fn facts(&self, node: Node) -> Option<Facts> {
        let newest = || self.versions.values().map(date).max().unwrap_or(SystemTime::UNIX_EPOCH);
        match node {
            Node::Root | Node::Names | Node::Uids => Some(Facts { size: 0, date: newest() }),
            Node::Name(number) => {
                let name = self.names.get(&number)?;
                Some(Facts { size: 0, date: name.date.unwrap_or(SystemTime::UNIX_EPOCH) })
            }
            Node::Version(number) => Some(Facts { size: 0, date: date(self.version(number)?) }),
            Node::File(number, field) => {
                let version = self.version(number)?;
                let text = || field.text(version).map(|text| text.len() as u64);
                let size = if field == Field::Data { version.size_bytes } else { text()? };
                Some(Facts { size, date: date(version) })
            }
            Node::Link(number) => {
                let size = self.target(node)?.len() as u64;
                Some(Facts { size, date: date(self.version(number)?) })
            }
            Node::Latest(name) => {
                let version = self.version(self.names.get(&name)?.latest?)?;
                Some(Facts { size: self.target(node)?.len() as u64, date: date(version) })
            }
        }
    }
}

fn top_name(node: Node) -> &'static str {
    if node == Node::Names { "by_name" } else { "by_version_uid" }
}

/// The time at which the backup began.
fn date(version: &Version) -> SystemTime {
    version.date.system()
}

#[cfg(test)]
mod tests;
