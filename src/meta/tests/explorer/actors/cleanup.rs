//! `cleanup`, fast and full.

use super::copies::Following;
use super::{Break, Next, Shop, Stepped, failed, more_if};
use crate::types::keys::EntryId;
use crate::types::lock::Hold;
use crate::types::uid::BlobUid;
use std::collections::VecDeque;

/// Name of the lock of the fast cleanup.
pub const LOCK: &str = "backy-cleanup-fast";
const GRACE: i64 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Start,
    Lock,
    Alone,
    /// Brings copies up to date. The other step follows.
    Follow(Following, Box<At>),
    /// Takes entries after this one.
    Take(EntryId),
    /// Lists doomed uids after this one.
    Page(Option<BlobUid>),
    Delete(Vec<BlobUid>),
    Forget(Vec<BlobUid>),
    Drop,
    List,
    Ask(VecDeque<BlobUid>),
    Remove(VecDeque<BlobUid>, Vec<BlobUid>),
}

/// Starts a cleanup.
fn start(at: &mut At, shop: &mut Shop<'_>) -> Stepped {
    *at = At::Lock;
    shop.start()
}

/// Keeps other cleanups out. `next` follows.
fn lock(at: &mut At, next: At, shop: &mut Shop<'_>) -> Stepped {
    *at = next;
    Ok(more_if(shop.lock("locking the cleanup", LOCK, Hold::Exclusive)))
}

/// The fast cleanup, with batches and pages of `limit`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cleanup {
    grace: bool,
    limit: usize,
    /// Entries from before this moment are taken.
    before: i64,
    at: At,
    /// Whether it brings copies up to date.
    copying: bool,
}

impl Cleanup {
    /// Without the hour of grace.
    pub fn at_once(limit: usize) -> Self {
        Cleanup { grace: false, limit, before: i64::MAX, at: At::Start, copying: false }
    }

    /// With the hour of grace.
    pub fn after_an_hour(limit: usize) -> Self {
        Cleanup { grace: true, limit, before: i64::MAX, at: At::Start, copying: false }
    }

    /// Brings copies up to date, too.
    pub fn copying(self) -> Self {
        Cleanup { copying: true, ..self }
    }

    /// Whether it waits for the lock on copies.
    pub fn waits(&self) -> bool {
        matches!(&self.at, At::Follow(following, _) if following.waits())
    }

    /// `next`, after copies are up to date.
    fn followed(&self, shop: &Shop<'_>, next: At) -> At {
        if self.copying && !shop.is(Break::DataBeforeCopy) {
            At::Follow(Following::new(), Box::new(next))
        } else {
            next
        }
    }

    pub fn label(&self) -> String {
        format!("cleanup: {:?}", self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match std::mem::replace(&mut self.at, At::Start) {
            At::Start => start(&mut self.at, shop),
            At::Lock => {
                let first = if shop.is(Break::DataBeforeDoom) {
                    At::Delete(self.candidates(shop))
                } else {
                    At::Take(EntryId::START)
                };
                if self.grace {
                    self.before = shop.model().clock - GRACE;
                    if !shop.is(Break::BesideOld) && !shop.model().old.is_empty() {
                        return Ok(Next::End);
                    }
                }
                let first = self.followed(shop, first);
                lock(&mut self.at, first, shop)
            }
            At::Follow(mut following, next) => {
                self.at = match following.step(shop)? {
                    Next::More => At::Follow(following, next),
                    Next::End => *next,
                };
                Ok(Next::More)
            }
            At::Take(after) => self.take(shop, after),
            At::Page(after) => {
                let page = shop
                    .ground
                    .meta()
                    .doomed(after.as_ref(), self.limit)
                    .map_err(|e| failed("listing", e))?;
                if page.is_empty() {
                    return Ok(Next::End);
                }
                self.at = if shop.is(Break::ForgetBeforeData) { At::Forget(page) } else { At::Delete(page) };
                Ok(Next::More)
            }
            At::Delete(page) => {
                page.iter().for_each(|uid| _ = shop.model().store.remove(uid));
                self.at = match shop.broken {
                    Some(Break::DataBeforeDoom) => At::Take(EntryId::START),
                    Some(Break::ForgetBeforeData) => behind(&page),
                    _ => At::Forget(page),
                };
                Ok(Next::More)
            }
            At::Forget(page) => {
                shop.ground.meta().forget_deleted(&page).map_err(|e| failed("forgetting", e))?;
                self.at = if shop.is(Break::ForgetBeforeData) { At::Delete(page) } else { behind(&page) };
                Ok(Next::More)
            }
            at @ (At::Alone | At::Drop | At::List | At::Ask(_) | At::Remove(..)) => {
                Err(format!("{at:?} is no step of the fast cleanup"))
            }
        }
    }

    fn take(&mut self, shop: &mut Shop<'_>, after: EntryId) -> Stepped {
        let taken = shop.ground.meta().take_delete_candidates(after, self.before, self.limit);
        let taken = taken.map_err(|e| failed("taking candidates", e))?;
        self.at = taken.next.map_or_else(|| self.followed(shop, At::Page(None)), At::Take);
        Ok(Next::More)
    }

    /// The blobs that a cleanup would delete if it did not doom them first.
    fn candidates(&self, shop: &mut Shop<'_>) -> Vec<BlobUid> {
        let content = shop.ground.content();
        let listed = content.entries.iter().map(|entry| entry.uid.clone());
        listed.filter(|uid| !content.names(uid)).map(BlobUid::from).collect()
    }
}

fn behind(page: &[BlobUid]) -> At {
    At::Page(page.last().cloned())
}

/// The full cleanup, which looks at one blob of the store at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Full {
    at: At,
}

impl Full {
    pub fn new() -> Self {
        Full { at: At::Start }
    }

    pub fn label(&self) -> String {
        format!("cleanup --full: {:?}", self.at)
    }

    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match std::mem::replace(&mut self.at, At::Start) {
            At::Start => start(&mut self.at, shop),
            At::Lock => lock(&mut self.at, At::Alone, shop),
            At::Alone => {
                self.at = At::Drop;
                Ok(more_if(shop.alone()))
            }
            At::Drop => {
                shop.ground.meta().drop_unnamed_blobs().map_err(|e| failed("dropping rows", e))?;
                self.at = At::List;
                Ok(Next::More)
            }
            At::List => self.ask(shop.model().store.keys().cloned().collect()),
            At::Ask(mut listed) => {
                let uid: Vec<BlobUid> = listed.pop_front().into_iter().collect();
                let unused = shop.ground.meta().without_row(&uid).map_err(|e| failed("looking up", e))?;
                if unused.is_empty() {
                    return self.ask(listed);
                }
                self.at = At::Remove(listed, unused);
                Ok(Next::More)
            }
            At::Remove(listed, unused) => {
                unused.iter().for_each(|uid| _ = shop.model().store.remove(uid));
                self.ask(listed)
            }
            at @ (At::Follow(..) | At::Take(_) | At::Page(_) | At::Delete(_) | At::Forget(_)) => {
                Err(format!("{at:?} is no step of the full cleanup"))
            }
        }
    }

    fn ask(&mut self, listed: VecDeque<BlobUid>) -> Stepped {
        let more = more_if(!listed.is_empty());
        self.at = At::Ask(listed);
        Ok(more)
    }
}
