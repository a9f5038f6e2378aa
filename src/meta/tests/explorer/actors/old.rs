//! Release 2.13 at work on the view `blocks`: its statements, and its order of steps.

use super::{Next, Shop, Stepped, cleanup, more_if};
use crate::meta::tests::explorer::model::{Data, digest};
use crate::types::lock::Hold;
use crate::types::uid::BlobUid;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    Lock,
    Begin,
    LookUp,
    Put,
    Insert(String),
    Finish,
    Remove,
    Take,
    Delete(Vec<String>),
    Forget(Vec<String>),
}

/// The `backup` of 2.13, of one block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OldBackup {
    version: &'static str,
    data: Data,
    base: Option<&'static str>,
    at: At,
}

impl OldBackup {
    pub fn of(version: &'static str, data: Data) -> Self {
        OldBackup { version, data, base: None, at: At::Start }
    }

    /// Takes its block from `base`, which it does not lock.
    pub fn on(self, base: &'static str) -> Self {
        OldBackup { base: Some(base), ..self }
    }

    pub fn label(&self) -> String {
        format!("2.13's backup {} of {}: {:?}", self.version, self.data, self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let OldBackup { version, data, .. } = *self;
        let checksum = digest(data);
        self.at = match &self.at {
            At::Start => {
                self.at = At::Lock;
                return shop.start();
            }
            At::Lock => {
                self.at = At::Begin;
                let locked = shop.own(version);
                if locked {
                    shop.model().old.insert(shop.me);
                }
                return Ok(more_if(locked));
            }
            At::Begin => {
                shop.ground.old_change(&format!(
                    "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
                     VALUES ('{version}', '2026-01-02', 'vm', '', 1, 4096, 0, 0)"
                ))?;
                shop.model().versions.insert(version.into(), vec![data]);
                match self.base {
                    None => At::LookUp,
                    // 2.13 reads the rows with one statement, and keeps them for hours.
                    Some(base) => {
                        let sql = format!("SELECT uid FROM blocks WHERE version_uid = '{base}'");
                        match shop.ground.old_read(&sql)?.pop() {
                            Some(uid) => At::Insert(uid),
                            None => return Ok(Next::End),
                        }
                    }
                }
            }
            At::LookUp => {
                let sql =
                    format!("SELECT uid FROM blocks WHERE checksum = '{checksum}' AND valid = 1 LIMIT 1");
                match shop.ground.old_read(&sql)?.pop() {
                    Some(uid) => {
                        shop.model().hits.insert(shop.me);
                        At::Insert(uid)
                    }
                    None => At::Put,
                }
            }
            At::Put => {
                let uid = format!("{version}.1");
                shop.model().store.insert(uid.clone().into(), data);
                At::Insert(uid)
            }
            At::Insert(uid) => {
                shop.model().hits.remove(&shop.me);
                shop.ground.old_change(&format!(
                    "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_envkey, enc_version, enc_nonce)
                     VALUES ('{uid}', '{version}', 0, '2026-01-02', '{checksum}', 4096, 1, '', 0, '')"
                ))?;
                At::Finish
            }
            _ => {
                shop.ground.old_change(&format!("UPDATE versions SET valid = 1 WHERE uid = '{version}'"))?;
                return Ok(Next::End);
            }
        };
        Ok(Next::More)
    }
}

/// The `rm` of 2.13, which lists every blob of the version, in use or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OldRemove {
    version: &'static str,
    at: At,
}

impl OldRemove {
    pub fn of(version: &'static str) -> Self {
        OldRemove { version, at: At::Start }
    }

    pub fn label(&self) -> String {
        format!("2.13's rm {}: {:?}", self.version, self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        let version = self.version;
        match self.at {
            At::Start => {
                self.at = At::Lock;
                shop.start()
            }
            At::Lock => {
                self.at = At::Remove;
                Ok(more_if(shop.own(version)))
            }
            _ => {
                let sql = format!("SELECT uid FROM blocks WHERE version_uid = '{version}' AND uid <> ''");
                let listed = shop.ground.old_read(&sql)?;
                let clock = shop.model().clock;
                let entry = |uid: &String| {
                    format!(
                        "INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES ('{uid}', 4096, 0, {clock});"
                    )
                };
                let entries: String = listed.iter().map(entry).collect();
                shop.ground.old_change(&format!(
                    "{entries} DELETE FROM blocks WHERE version_uid = '{version}';
                     DELETE FROM tags WHERE version_uid = '{version}'; DELETE FROM versions WHERE uid = '{version}'"
                ))?;
                Ok(Next::End)
            }
        }
    }
}

/// The fast cleanup of 2.13. It looks only at the view `blocks`, does not know `blobs`, and dooms nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OldCleanup {
    at: At,
}

impl OldCleanup {
    pub fn new() -> Self {
        OldCleanup { at: At::Start }
    }

    pub fn label(&self) -> String {
        format!("2.13's cleanup: {:?}", self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        self.at = match &self.at {
            At::Start => {
                self.at = At::Lock;
                return shop.start();
            }
            At::Lock => {
                self.at = At::Take;
                return Ok(more_if(shop.model().lock(shop.me, cleanup::LOCK, Hold::Exclusive)));
            }
            At::Take => {
                let old = format!("FROM deleted_blocks WHERE time < {}", shop.model().clock - 3600);
                let named = "(SELECT uid FROM blocks WHERE uid <> '')";
                let unused = format!("SELECT DISTINCT uid {old} AND uid NOT IN {named}");
                let unused = shop.ground.old_read(&unused)?;
                shop.ground.old_change(&format!("DELETE {old} AND uid IN {named}"))?;
                At::Delete(unused)
            }
            At::Delete(unused) => {
                unused.iter().for_each(|uid| _ = shop.model().store.remove(&BlobUid::from(&uid[..])));
                At::Forget(unused.clone())
            }
            At::Forget(unused) => {
                for uid in unused {
                    shop.ground.old_change(&format!("DELETE FROM deleted_blocks WHERE uid = '{uid}'"))?;
                }
                return Ok(Next::End);
            }
            at => return Err(format!("{at:?} is no step of the cleanup")),
        };
        Ok(Next::More)
    }
}
