//! The order of the verbs in the script of a backup, for comparison with a backup of the engine.

use super::actors::{Backup, Next, Script, Shop};
use super::ground::{Ground, InMemory};
use super::model::Model;
use crate::meta::tests::recorder;
use crate::types::block::Blob;
use std::sync::Mutex;

/// Backups whose verbs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Of an image with data and a hole, in an empty database.
    First,
    /// Of two blocks, of which the first comes from a base version.
    OnBase,
    /// Of a block that another version has.
    Reusing,
    /// As [`Case::OnBase`]; the blob that comes from the base is marked as bad before the end.
    BadAtItsEnd,
}

/// The verbs that decide in which order data and rows get into a version. The engine also calls others, which look up
/// versions and tags or record holes. They do not affect that order.
const VERBS: [&str; 6] = [
    "making a version",
    "carrying unchanged blocks",
    "looking for missing blocks",
    "looking up checksums",
    "committing blocks",
    "finishing the version",
];

/// The verbs from a list of [`recorder::record`] that are compared. A repeated pair of look-up and commit counts once,
/// because an engine on a slow machine commits every second.
pub fn compared(recorded: Vec<String>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for verb in recorded.into_iter().filter(|verb| VERBS.contains(&&verb[..])) {
        let tail: Vec<&str> = order.iter().rev().take(2).map(|verb| &verb[..]).collect();
        let repeats = tail.first() == Some(&&verb[..]) || verb == VERBS[3] && tail == [VERBS[4], VERBS[3]];
        if !repeats {
            order.push(verb);
        }
    }
    order
}

impl Case {
    /// All cases.
    pub const ALL: [Case; 4] = [Case::First, Case::OnBase, Case::Reusing, Case::BadAtItsEnd];

    /// The verbs of the script, in order.
    pub fn scripted(self) -> Vec<String> {
        let (before, backup) = match self {
            Case::First => (None, Backup::of("v2", &[1, 0])),
            Case::Reusing => (Some(Backup::of("v1", &[1])), Backup::of("v2", &[1])),
            Case::OnBase | Case::BadAtItsEnd => {
                (Some(Backup::of("v1", &[1, 2])), Backup::of("v2", &[1, 3]).on("v1"))
            }
        };
        let mut ground = InMemory::new();
        let model = Mutex::new(Model::default());
        if let Some(before) = before {
            run(&mut ground, &model, Script::Backup(before), false);
        }
        compared(recorder::record(|| {
            run(&mut ground, &model, Script::Backup(backup), self == Case::BadAtItsEnd)
        }))
    }
}

fn run(ground: &mut InMemory, model: &Mutex<Model>, mut script: Script, mut spoil: bool) {
    loop {
        let mut shop = Shop { ground: &mut *ground, model, me: 0, broken: None, strict: true };
        if script.step(&mut shop).expect("a step") == Next::End {
            model.lock().expect("nobody has panicked").end(0);
            return;
        }
        if spoil && script.label().contains(": Finish,") {
            spoil = false;
            let base = ground.meta().version(&"v1".into()).expect("the base");
            let rows = ground.meta().rows(&base, 0, 1, crate::meta::Rows::All).expect("its first block");
            let blobs: Vec<Blob> = rows.into_iter().filter_map(|row| row.blob).collect();
            ground.meta().mark_blobs_invalid(&blobs).expect("marks");
        }
    }
}
