//! The conditions that must hold after every step and at the end.

use super::actors::copies::Following;
use super::actors::{Next, Shop};
use super::ground::{Content, Ground};
use super::model::{Model, ROTTEN};
use crate::types::keys::EntryId;
use crate::types::uid::{BlobUid, VersionUid};
use std::collections::BTreeSet;

/// The conditions that a scenario does not promise.
#[derive(Clone, Copy, Debug)]
pub struct Excused {
    /// 2.13's cleanup leaves rows of blobs whose data and entry are gone.
    pub unnamed_rows: bool,
    /// The rules are not checked by themselves. Only their consequences are.
    pub rules: bool,
    /// Commands write no copies of metadata.
    pub copies: bool,
}

impl Default for Excused {
    fn default() -> Self {
        Excused { unnamed_rows: false, rules: false, copies: true }
    }
}

/// Checks the state after a step. Remembers facts for the comparison with later states.
pub fn check(content: &Content, model: &mut Model, excused: Excused) -> Result<(), String> {
    for (blob, uid) in content.stored() {
        let name = BlobUid::from(uid);
        model.had_row.insert(name.clone());
        let before = model.ids.entry(blob.id).or_insert_with(|| name.clone());
        if *before != name && !excused.rules {
            return Err(format!("rule 1: id {} was {before} and is {uid}", blob.id));
        }
        if content.entries.iter().any(|entry| entry.doomed && entry.uid == uid) {
            return Err(format!("{uid} is doomed and has a row"));
        }
        if blob.valid && model.found_bad.contains(&name) {
            return Err(format!("{uid} was found bad and counts as good"));
        }
        let kept = || content.names(uid) || content.entries.iter().any(|entry| entry.uid == uid);
        if !excused.unnamed_rows && !excused.rules && !kept() {
            return Err(format!("rule 2: nothing names the row of {uid}, and it is not listed"));
        }
    }
    if !excused.copies {
        copies(content, model)?;
    }
    rows(content, model)
}

/// Checks that the database could be made anew from the copies in the store at any moment.
fn copies(content: &Content, model: &Model) -> Result<(), String> {
    for (version, object) in &model.objects {
        if let Some(uid) = object.blobs.iter().find(|uid| !model.store.contains_key(uid)) {
            return Err(format!("rule 9: the data of {uid} is gone, and the copy of {version} names it"));
        }
    }
    for version in &content.versions {
        let is_due = content.due.iter().any(|(_, uid)| *uid == version.uid);
        let rows: Vec<_> = content.map.iter().filter(|row| row.version == version.id).collect();
        let name =
            |id: i64| content.stored().find(|(blob, _)| blob.id == id).map(|(_, uid)| BlobUid::from(uid));
        let blobs: BTreeSet<BlobUid> = rows.iter().filter_map(|row| name(row.blob)).collect();
        if let Some(uid) = blobs.iter().find(|uid| version.valid && !model.listed.contains(uid)) {
            return Err(format!("rule 9: {} is valid, and no list has {uid}", version.uid));
        }
        let object = model.objects.get(&version.uid);
        if version.valid && object.is_none() {
            return Err(format!("rule 9: {} is valid and has no copy", version.uid));
        }
        let is_complete = rows.len() as i64 == version.size;
        let agrees = match object {
            Some(object) => is_complete && object.valid == version.valid && object.blobs == blobs,
            // It was never valid.
            None => !version.valid,
        };
        if !is_due && !agrees {
            return Err(format!(
                "rule 9: the copy of {} is another one and not due: {object:?}",
                version.uid
            ));
        }
    }
    let known = |uid: &String| content.versions.iter().any(|version| version.uid == *uid);
    let is_due = |uid: &String| content.due.iter().any(|(_, due)| due == uid);
    match model.objects.keys().find(|uid| !known(uid) && !is_due(uid)) {
        Some(uid) => Err(format!("rule 9: {uid} was removed, and its copy is not due")),
        None => Ok(()),
    }
}

/// Checks that every row names the data that was backed up, and that valid versions are complete and good.
fn rows(content: &Content, model: &Model) -> Result<(), String> {
    for row in &content.map {
        let version = content.versions.iter().find(|version| version.id == row.version);
        let blob = content.blobs.iter().find(|blob| blob.id == row.blob);
        let (Some(version), Some(blob)) = (version, blob) else {
            return Err(format!("{row:?} names what is not there"));
        };
        let backed_up = model.versions[&VersionUid::from(&version.uid[..])].get(row.block as usize);
        let Some(uid) = &blob.uid else {
            if backed_up != Some(&0) {
                return Err(format!(
                    "block {} of {} is a hole, {backed_up:?} was backed up",
                    row.block, version.uid
                ));
            }
            continue;
        };
        if !blob.valid && version.valid {
            return Err(format!("{} is valid and names {uid}, which is bad", version.uid));
        }
        let name = BlobUid::from(&uid[..]);
        let found = model.store.get(&name);
        if blob.valid && found != backed_up && found != Some(&ROTTEN) && !model.lost.contains(&name) {
            return Err(format!(
                "block {} of {} names {uid}, which holds {found:?}; {backed_up:?} was backed up",
                row.block, version.uid
            ));
        }
    }
    for version in content.versions.iter().filter(|version| version.valid) {
        let rows = content.map.iter().filter(|row| row.version == version.id).count();
        if rows as i64 != version.size {
            return Err(format!("{} is valid and has {rows} of {} rows", version.uid, version.size));
        }
    }
    Ok(())
}

/// Brings all copies up to date, after all commands have ended.
fn last_copies(ground: &mut dyn Ground, model: &mut Model) -> Result<(), String> {
    let model_of = std::sync::Mutex::new(std::mem::take(model));
    let mut shop = Shop { ground, model: &model_of, me: usize::MAX, broken: None, strict: true };
    let mut following = Following::new();
    while following.step(&mut shop)? == Next::More {}
    *model = model_of.into_inner().map_err(|e| e.to_string())?;
    Ok(())
}

/// Runs the last cleanups, after all commands have ended. They must leave exactly the blobs that blocks name.
pub fn check_end(ground: &mut dyn Ground, model: &mut Model, excused: Excused) -> Result<(), String> {
    let failed = |e: crate::types::Error| format!("the last cleanup failed: {}", e.line());
    if !excused.copies {
        last_copies(ground, model)?;
    }
    let meta = ground.meta();
    let mut after = EntryId::START;
    while let Some(next) = meta.take_delete_candidates(after, i64::MAX, 2).map_err(failed)?.next {
        after = next;
    }
    let doomed = meta.doomed(None, 100).map_err(failed)?;
    doomed.iter().for_each(|uid| _ = model.store.remove(uid));
    meta.forget_deleted(&doomed).map_err(failed)?;
    let content = ground.content();
    check(&content, model, excused)?;
    let left = |model: &Model| -> BTreeSet<BlobUid> {
        model.store.keys().filter(|uid| !content.names(uid.as_str())).cloned().collect()
    };
    // Blobs that were stored and never committed remain for the full cleanup.
    if let Some(uid) = left(model).iter().find(|uid| model.had_row.contains(*uid) && !excused.unnamed_rows) {
        return Err(format!("a cleanup has left {uid}, which nothing names"));
    }
    if !content.entries.is_empty() {
        return Err(format!("a cleanup has left {:?}", content.entries));
    }
    let meta = ground.meta();
    meta.drop_unnamed_blobs().map_err(failed)?;
    let listed: Vec<BlobUid> = model.store.keys().cloned().collect();
    for uid in meta.without_row(&listed).map_err(failed)? {
        model.store.remove(&uid);
    }
    let content = ground.content();
    check(&content, model, excused)?;
    let promised = |uid: &BlobUid| !model.lost.contains(uid);
    let named: BTreeSet<BlobUid> =
        content.stored().map(|(_, uid)| BlobUid::from(uid)).filter(promised).collect();
    let stored: BTreeSet<BlobUid> = model.store.keys().filter(|uid| promised(uid)).cloned().collect();
    if named == stored {
        Ok(())
    } else {
        Err(format!("at the end the store has {stored:?}, and blocks name {named:?}"))
    }
}
