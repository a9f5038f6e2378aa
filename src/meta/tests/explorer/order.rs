//! The order of steps in the scripts, for comparison with the commands of the engine.

use super::actors::{Backup, Cleanup, Full, Import, Next, Remove, Restore, Rot, Script, Scrub, Shop};
use super::ground::{Ground, InMemory};
use super::model::Model;
use crate::failpoint::recorder;
use crate::types::block::Blob;
use std::sync::Mutex;

/// Commands whose steps are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A backup of an image with data and a hole, in an empty database.
    FirstBackup,
    /// A backup of two blocks, of which the first comes from a base version.
    BackupOnBase,
    /// A backup of a block that another version has.
    ReusingBackup,
    /// As [`Case::BackupOnBase`]; the blob that comes from the base is marked as bad before the end.
    BackupBadAtItsEnd,
    /// `rm`.
    Remove,
    /// A fast cleanup after `rm`.
    Cleanup,
    /// A full cleanup after `rm`.
    FullCleanup,
    /// An import of a version that was removed.
    Import,
    /// A scrub of good data.
    Scrub,
    /// A scrub of damaged data.
    ScrubOfDamage,
    /// A restore.
    Restore,
}

/// Steps that take locks. The engine may look up versions before, because users may give their names.
const LOCKS: [&str; 4] = ["pinning a version", "owning a version", "locking the cleanup", "being alone"];
const LOOK_UP: &str = "looking up checksums";
const COMMIT: &str = "committing blocks";

impl Case {
    /// All of them.
    pub const ALL: [Case; 11] = [
        Case::FirstBackup,
        Case::BackupOnBase,
        Case::ReusingBackup,
        Case::BackupBadAtItsEnd,
        Case::Remove,
        Case::Cleanup,
        Case::FullCleanup,
        Case::Import,
        Case::Scrub,
        Case::ScrubOfDamage,
        Case::Restore,
    ];

    /// The steps that decide whether the command is safe. The engine takes others between them, which change nothing of
    /// that: it looks up tags, records holes, or shows how much there is to do.
    fn steps(self) -> &'static [&'static str] {
        match self {
            Case::FirstBackup | Case::BackupOnBase | Case::ReusingBackup | Case::BackupBadAtItsEnd => &[
                "making a version",
                "carrying unchanged blocks",
                "looking for missing blocks",
                LOOK_UP,
                COMMIT,
                "locking the copies",
                "listing a due copy",
                "reading a version",
                "finishing the version",
            ],
            Case::Remove => &[
                "looking up a version",
                "removing a version",
                "locking the copies",
                "reading a version",
                "settling a due copy",
            ],
            Case::Cleanup => &[
                "looking for deletable blobs",
                "looking for unfinished deletions",
                "forgetting deleted blobs",
            ],
            Case::FullCleanup => &["dropping rows of unused blobs", "looking up blobs"],
            Case::Import => &["importing a version"],
            Case::Scrub | Case::ScrubOfDamage => {
                &["reading blocks", "marking blocks invalid", "marking a version valid"]
            }
            Case::Restore => &["reading blocks"],
        }
    }

    /// The steps of [`recorder::record`] that decide, from the first lock on. Repeated steps count once, because the
    /// engine works in batches. So does a look-up with a commit, because on a slow machine a backup commits every second.
    pub fn compared(self, recorded: Vec<String>) -> Vec<String> {
        let is_lock = |step: &String| LOCKS.contains(&&step[..]);
        let mut order: Vec<String> = Vec::new();
        for step in recorded.into_iter().skip_while(|step| !is_lock(step)) {
            let tail: Vec<&str> = order.iter().rev().take(2).map(|step| &step[..]).collect();
            let repeats = tail.first() == Some(&&step[..]) || step == LOOK_UP && tail == [COMMIT, LOOK_UP];
            if !repeats && (is_lock(&step) || self.steps().contains(&&step[..])) {
                order.push(step);
            }
        }
        order
    }

    /// The commands that come before, and the command.
    fn scripts(self) -> (Vec<Script>, Script) {
        let v1 = |image| Script::Backup(Backup::of("v1", image).copying());
        let removed = || vec![v1(&[1]), Script::Remove(Remove::of("v1").copying())];
        match self {
            Case::FirstBackup => (vec![], Script::Backup(Backup::of("v2", &[1, 0]).copying())),
            Case::ReusingBackup => (vec![v1(&[1])], Script::Backup(Backup::of("v2", &[1]).copying())),
            Case::BackupOnBase | Case::BackupBadAtItsEnd => {
                (vec![v1(&[1, 2])], Script::Backup(Backup::of("v2", &[1, 3]).on("v1").copying()))
            }
            Case::Remove => (vec![v1(&[1])], Script::Remove(Remove::of("v1").copying())),
            Case::Cleanup => (removed(), Script::Cleanup(Cleanup::at_once(100))),
            Case::FullCleanup => (removed(), Script::Full(Full::new())),
            Case::Import => (removed(), Script::Import(Import::of("v1", "v1.1", 1))),
            Case::Scrub => (vec![v1(&[1])], Script::Scrub(Scrub::of("v1"))),
            Case::ScrubOfDamage => {
                (vec![v1(&[1]), Script::Rot(Rot::of("v1.1"))], Script::Scrub(Scrub::of("v1")))
            }
            Case::Restore => (vec![v1(&[1])], Script::Restore(Restore::of("v1"))),
        }
    }

    /// The steps of the script that decide, in order.
    pub fn scripted(self) -> Vec<String> {
        let (before, script) = self.scripts();
        let mut ground = InMemory::with_copies();
        let model = Mutex::new(Model::default());
        for script in before {
            run(&mut ground, &model, script, None);
        }
        let spoiled = (self == Case::BackupBadAtItsEnd).then_some("v1");
        self.compared(recorder::record(|| run(&mut ground, &model, script, spoiled)))
    }
}

/// Runs a script. Marks the first block of the version `spoiled` as bad before a backup finishes.
fn run(ground: &mut InMemory, model: &Mutex<Model>, mut script: Script, mut spoiled: Option<&str>) {
    loop {
        let mut shop = Shop { ground: &mut *ground, model, me: 0, broken: None, strict: true };
        if script.step(&mut shop).expect("a step") == Next::End {
            model.lock().expect("nobody has panicked").end(0);
            return;
        }
        if script.label().contains(": Finish,")
            && let Some(uid) = spoiled.take()
        {
            let base = ground.meta().version(&uid.into()).expect("the base");
            let rows = ground.meta().rows(&base, 0, 1, crate::meta::Rows::All).expect("its first block");
            let blobs: Vec<Blob> = rows.into_iter().filter_map(|row| row.blob).collect();
            ground.meta().mark_blobs_invalid(&blobs).expect("marks");
        }
    }
}
