//! The tree of folders and small files, as it follows from the list of versions. Pure: no kernel, no database.

use super::names::{LATEST, file_name, uid_name};
use super::node::{Field, Node};
use crate::types::version::Version;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

/// Numbers of versions and names, which stay the same as long as the mount lives, whatever comes and goes: the
/// kernel knows files by them.
#[derive(Default)]
pub(super) struct Numbers {
    versions: HashMap<String, u64>,
    names: HashMap<String, u64>,
}

impl Numbers {
    fn of_version(&mut self, uid: &str) -> u64 {
        number(&mut self.versions, uid)
    }

    fn of_name(&mut self, name: &str) -> u64 {
        number(&mut self.names, name)
    }
}

/// From 1 on, in the order of their appearance.
fn number(numbers: &mut HashMap<String, u64>, key: &str) -> u64 {
    if let Some(number) = numbers.get(key) {
        return *number;
    }
    let number = numbers.len() as u64 + 1;
    numbers.insert(key.to_owned(), number);
    number
}

/// The tree at one moment.
#[derive(Default)]
pub(super) struct Tree {
    versions: HashMap<u64, Version>,
    by_uid: BTreeMap<String, u64>,
    names: HashMap<u64, Name>,
    by_name: BTreeMap<String, u64>,
    /// Uids that are no names of files.
    odd: Vec<String>,
}

/// The versions of one name.
#[derive(Default)]
struct Name {
    /// By uid, as it is a file name.
    versions: BTreeMap<String, u64>,
    /// The newest valid one.
    latest: Option<u64>,
    date: Option<SystemTime>,
}

/// What there is to say of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Bytes.
    pub size: u64,
    /// When it was made, as far as there is a date.
    pub date: SystemTime,
}

impl Tree {
    /// The tree of `versions`, which come in the order of their making, within a name.
    pub fn new(versions: Vec<Version>, numbers: &mut Numbers) -> Self {
        let mut tree = Tree::default();
        for version in versions {
            let number = numbers.of_version(&version.uid);
            let folder = file_name(&version.name);
            let name_number = numbers.of_name(&folder);
            let name = tree.names.entry(name_number).or_default();
            let uid_folder = uid_name(&version.uid);
            if uid_folder != version.uid {
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

    /// The version of that number.
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.get(&number)
    }

    /// Uids that are no names of files, and are shown escaped.
    pub fn odd_uids(&self) -> &[String] {
        &self.odd
    }

    /// How many versions there are.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// What is called `name` in the folder.
    pub fn child(&self, folder: Node, name: &str) -> Option<Node> {
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

    /// Everything in the folder, with names.
    pub fn children(&self, folder: Node) -> Option<Vec<(Node, String)>> {
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

    /// Where a symbolic link leads.
    pub fn target(&self, link: Node) -> Option<String> {
        let number = match link {
            Node::Link(number) => number,
            Node::Latest(name) => self.names.get(&name)?.latest?,
            _ => return None,
        };
        Some(format!("../../{}/{}", top_name(Node::Uids), uid_name(&self.version(number)?.uid)))
    }

    /// Its size and date; `None` if it is not there any more.
    pub fn facts(&self, node: Node) -> Option<Facts> {
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

/// When the backup began.
fn date(version: &Version) -> SystemTime {
    version.date.system()
}

#[cfg(test)]
mod tests;
