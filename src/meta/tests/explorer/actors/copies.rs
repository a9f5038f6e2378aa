//! Copies of metadata in the store: how a command writes them.

use super::{Break, Next, Shop, Stepped, failed};
use crate::meta::DueCopy;
use crate::meta::tests::explorer::model::Object;
use crate::types::lock::Hold;
use crate::types::uid::BlobUid;

/// Name of the lock under which objects are written.
pub const LOCK: &str = "backy-copies";

impl Shop<'_> {
    /// Takes the lock. A command is only asked to when the lock is free.
    pub fn lock_copies(&mut self) {
        if !self.is(Break::CopiesUnlocked) {
            assert!(self.lock("locking the copies", LOCK, Hold::Exclusive), "it was free");
        }
    }

    pub fn unlock_copies(&mut self) {
        self.model().unlock(self.me, LOCK);
    }

    /// The object that a version should have. `None`: none.
    pub fn object_of(&mut self, uid: &str) -> Result<Option<Object>, String> {
        let content = self.ground.meta().version_content(&uid.into());
        let Some(version) = content.map_err(|e| failed("reading a version", e))? else { return Ok(None) };
        if !version.is_complete() {
            return Ok(None);
        }
        let rows = self.ground.content();
        let name = |id: i64| rows.stored().find(|(blob, _)| blob.id == id).map(|(_, uid)| BlobUid::from(uid));
        let blobs = version.blocks.blocks().filter_map(|(_, blob)| name(blob.0)).collect();
        Ok(Some(Object { valid: version.version.valid, is_whole: version.bad.is_empty(), blobs }))
    }

    /// Writes or deletes the object of a version.
    pub fn put_object(&mut self, uid: &str, object: Option<Object>) {
        let mut model = self.model();
        match object {
            Some(object) => _ = model.objects.insert(uid.to_owned(), object),
            None => _ = model.objects.remove(uid),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Lock,
    /// Reads the first due version with a token above this one.
    Read(i64),
    Write(DueCopy, Option<Object>),
    Settle(DueCopy),
}

/// Brings due copies up to date.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Following(At);

impl Following {
    pub fn new() -> Self {
        Following(At::Lock)
    }

    /// Whether it waits for the lock.
    pub fn waits(&self) -> bool {
        self.0 == At::Lock
    }

    /// Does a step. [`Next::End`]: all copies are up to date.
    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        self.0 = match self.0.clone() {
            At::Lock => {
                if shop.ground.meta().due_copies(0, 1).map_err(|e| failed("listing", e))?.is_empty() {
                    return Ok(Next::End);
                }
                shop.lock_copies();
                At::Read(0)
            }
            At::Read(after) => {
                let due = shop.ground.meta().due_copies(after, 1).map_err(|e| failed("listing", e))?.pop();
                let Some(due) = due else {
                    shop.unlock_copies();
                    return Ok(Next::End);
                };
                let object = shop.object_of(due.uid.as_str())?;
                At::Write(due, object)
            }
            At::Write(due, object) => {
                shop.put_object(due.uid.as_str(), object);
                At::Settle(due)
            }
            At::Settle(due) => {
                shop.ground.meta().settle_copy(&due).map_err(|e| failed("settling", e))?;
                At::Read(due.token)
            }
        };
        Ok(Next::More)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Marking {
    Start,
    Mark,
    Follow(Following),
}

/// Changes whether a version is valid, and brings its copy up to date.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    version: &'static str,
    valid: bool,
    at: Marking,
}

impl Mark {
    pub fn of(version: &'static str, valid: bool) -> Self {
        Mark { version, valid, at: Marking::Start }
    }

    pub fn label(&self) -> String {
        format!("mark {} as {}: {:?}", self.version, self.valid, self.at)
    }

    pub fn waits(&self) -> bool {
        matches!(&self.at, Marking::Follow(following) if following.waits())
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match &mut self.at {
            Marking::Start => {
                self.at = Marking::Mark;
                shop.start()
            }
            Marking::Mark => {
                let Some(version) = shop.version(self.version)? else { return Ok(Next::End) };
                let meta = shop.ground.meta();
                let marked = if self.valid {
                    meta.mark_version_valid(&version, &[]).map(drop)
                } else {
                    meta.mark_version_invalid(&version)
                };
                marked.map_err(|e| failed("marking", e))?;
                self.at = Marking::Follow(Following::new());
                Ok(Next::More)
            }
            Marking::Follow(following) => following.step(shop),
        }
    }
}
