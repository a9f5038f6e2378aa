//! The scenarios: few versions of few blocks, in which every rule matters.

use super::actors::{
    Backup, Cleanup, Full, Import, Mark, OldBackup, OldCleanup, OldRemove, Remove, Restore, Rot, Script,
    Scrub,
};
use super::invariants::Excused;
use super::search::Scenario;

fn backup(version: &'static str, image: &'static [u32]) -> Script {
    Script::Backup(Backup::of(version, image))
}

fn rm(version: &'static str) -> Script {
    Script::Remove(Remove::of(version))
}

fn cleanup() -> Script {
    Script::Cleanup(Cleanup::at_once(2))
}

fn scenario(name: &'static str, before: Vec<Script>, actors: Vec<Script>) -> Scenario {
    Scenario { name, before, actors, kills: 0, excused: Excused::default() }
}

impl Scenario {
    fn killing(self, kills: u32) -> Self {
        Scenario { kills, ..self }
    }

    /// The commands write copies of metadata, and these are checked.
    fn copying(mut self) -> Self {
        self.excused.copies = false;
        for script in self.before.iter_mut().chain(&mut self.actors) {
            *script = match script.clone() {
                Script::Backup(backup) => Script::Backup(backup.copying()),
                Script::Remove(remove) => Script::Remove(remove.copying()),
                Script::Cleanup(cleanup) => Script::Cleanup(cleanup.copying()),
                other => other,
            };
        }
        self
    }

    fn with_old_cleanup(mut self) -> Self {
        self.excused.unnamed_rows = true;
        self
    }

    /// Checks only the consequences of the rules, not each rule by itself.
    pub fn without_rules(mut self) -> Self {
        self.excused.rules = true;
        self
    }
}

/// The scenarios of every test run.
pub fn short() -> Vec<Scenario> {
    [own(), damaged(), foreign(), copied()].concat()
}

/// Scenarios of ordinary commands.
fn own() -> Vec<Scenario> {
    let import = |uid| Script::Import(Import::of("v3", uid, 1));
    vec![
        scenario(
            "a hit whose only version goes",
            vec![backup("v1", &[1])],
            vec![backup("v2", &[1, 2]), rm("v1"), cleanup()],
        )
        .killing(1),
        scenario(
            "two backups of the same new data, and what one of them leaves",
            vec![],
            vec![backup("v1", &[1]), backup("v2", &[1, 0]), rm("v1"), cleanup()],
        ),
        scenario(
            "the base goes",
            vec![backup("v1", &[1, 2])],
            vec![Script::Backup(Backup::of("v2", &[1, 3]).on("v1")), rm("v1"), cleanup()],
        )
        .killing(1),
        scenario(
            "a version goes while it is written",
            vec![],
            vec![backup("v1", &[1, 0]), rm("v1"), cleanup()],
        )
        .killing(1),
        scenario(
            "a version goes while it is restored",
            vec![backup("v1", &[1, 2]), backup("v2", &[2])],
            vec![Script::Restore(Restore::of("v1")), rm("v1"), cleanup()],
        ),
        scenario(
            "two versions that share a blob go",
            vec![backup("v1", &[1, 2]), backup("v2", &[1])],
            vec![rm("v1"), rm("v2"), cleanup()],
        )
        .killing(1),
        scenario(
            "two cleanups, one of them killed",
            vec![backup("v1", &[1, 2, 3]), backup("v2", &[2]), rm("v1")],
            vec![Script::Cleanup(Cleanup::at_once(1)), cleanup(), backup("v3", &[1, 2])],
        )
        .killing(1),
        scenario(
            "a dump comes back while its blob goes",
            vec![backup("v1", &[1]), rm("v1")],
            vec![import("v1.1"), cleanup(), cleanup()],
        )
        .killing(1),
        scenario(
            "a full cleanup beside others",
            vec![backup("v1", &[1]), rm("v1")],
            vec![Script::Full(Full::new()), backup("v2", &[1, 2]), import("v1.1")],
        )
        .killing(1),
        scenario(
            "an id could mean another blob",
            vec![backup("v1", &[1])],
            vec![backup("v2", &[1]), rm("v1"), cleanup(), backup("v3", &[2])],
        ),
        scenario(
            "two rows share their data",
            vec![backup("v1", &[1]), Script::Import(Import::of("v2", "v1.1", 1).with_key("k"))],
            vec![rm("v1"), rm("v2"), cleanup(), import("v1.1")],
        ),
    ]
}

/// Scenarios in which data goes bad.
fn damaged() -> Vec<Scenario> {
    let scrub = |version| Script::Scrub(Scrub::of(version));
    let rot = || Script::Rot(Rot::of("v1.1"));
    vec![
        scenario(
            "a hit goes bad",
            vec![backup("v1", &[1])],
            vec![backup("v2", &[1, 2]), rot(), scrub("v1"), rm("v1")],
        ),
        scenario(
            "a hit goes bad and away",
            vec![backup("v1", &[1, 2])],
            vec![backup("v2", &[1, 2]), rot(), scrub("v1"), cleanup()],
        )
        .killing(1),
        scenario(
            "a verdict comes late",
            vec![backup("v1", &[1]), backup("v2", &[1])],
            vec![scrub("v1"), rot(), scrub("v2"), backup("v3", &[1])],
        ),
        scenario(
            "the base goes bad",
            vec![backup("v1", &[1, 2])],
            vec![Script::Backup(Backup::of("v2", &[1, 3]).on("v1")), rot(), scrub("v1"), cleanup()],
        ),
    ]
}

/// Scenarios in which commands write copies of metadata.
fn copied() -> Vec<Scenario> {
    let mark = |version, valid| Script::Mark(Mark::of(version, valid));
    vec![
        scenario(
            "a copy is written while its version goes",
            vec![backup("v1", &[1])],
            vec![backup("v2", &[1]), rm("v1"), cleanup()],
        )
        .killing(1)
        .copying(),
        scenario(
            "two commands change one version",
            vec![backup("v1", &[1])],
            vec![mark("v1", false), mark("v1", true), rm("v1")],
        )
        .killing(1)
        .copying(),
        scenario(
            "a version is marked while it becomes valid",
            vec![],
            vec![backup("v1", &[1]), mark("v1", false), cleanup()],
        )
        .killing(1)
        .copying(),
    ]
}

/// Scenarios with release 2.13 on the same database.
fn foreign() -> Vec<Scenario> {
    let grace = || Script::Cleanup(Cleanup::after_an_hour(2));
    let old_rm = |version| Script::OldRemove(OldRemove::of(version));
    let old_backup = |version| Script::OldBackup(OldBackup::of(version, 1));
    vec![
        scenario(
            "2.13 cleans up what a backup has found",
            vec![backup("v1", &[1])],
            vec![backup("v2", &[1]), old_rm("v1"), Script::Hour, Script::OldCleanup(OldCleanup::new())],
        )
        .with_old_cleanup()
        .killing(1),
        scenario(
            "2.13 finds what we remove",
            // v2 names the blob beside an entry that is an hour old.
            vec![backup("v1", &[1]), backup("v2", &[1]), old_rm("v1"), Script::Hour],
            vec![old_backup("v3"), rm("v2"), grace()],
        )
        .killing(1),
        scenario(
            "2.13 finds what 2.13 removes",
            vec![backup("v1", &[1]), backup("v2", &[1]), old_rm("v1"), Script::Hour],
            vec![old_backup("v3"), old_rm("v2"), grace(), Script::Hour],
        ),
        scenario(
            "2.13 takes what we remove from its base",
            vec![backup("v1", &[1])],
            vec![Script::OldBackup(OldBackup::of("v2", 1).on("v1")), rm("v1"), Script::Hour, grace()],
        )
        .killing(1),
        scenario(
            "2.13 removes beside us",
            vec![backup("v1", &[1, 2]), backup("v2", &[2])],
            vec![old_rm("v1"), rm("v2"), cleanup(), backup("v3", &[2])],
        )
        .killing(1),
        scenario(
            "2.13 removes what is restored",
            vec![backup("v1", &[1])],
            vec![
                Script::Restore(Restore::of("v1")),
                old_rm("v1"),
                Script::Hour,
                Script::OldCleanup(OldCleanup::new()),
            ],
        )
        .with_old_cleanup(),
    ]
}

/// The scenarios of a long test run: the short ones with two killed commands, and more commands at once.
pub fn long() -> Vec<Scenario> {
    let twice = short().into_iter().map(|scenario| scenario.killing(2));
    twice.chain(crowds()).collect()
}

/// Many commands at once.
fn crowds() -> Vec<Scenario> {
    let import = |version| Script::Import(Import::of(version, "v1.1", 1));
    vec![
        scenario(
            "hits, a base and a cleanup",
            vec![backup("v1", &[1, 2])],
            vec![
                backup("v2", &[2, 1]),
                Script::Backup(Backup::of("v3", &[1, 2, 3]).on("v1")),
                rm("v1"),
                cleanup(),
            ],
        )
        .killing(1),
        scenario(
            "versions come and go",
            vec![backup("v1", &[1]), backup("v2", &[1, 2])],
            vec![rm("v1"), rm("v2"), backup("v3", &[2, 1]), cleanup(), import("v4")],
        )
        .killing(1),
        scenario(
            "every cleanup",
            vec![backup("v1", &[1]), rm("v1"), backup("v2", &[2])],
            vec![
                Script::Cleanup(Cleanup::at_once(1)),
                Script::Full(Full::new()),
                import("v3"),
                backup("v4", &[1, 2]),
                rm("v2"),
            ],
        )
        .killing(2),
        scenario(
            "2.13 and all",
            vec![backup("v1", &[1]), backup("v2", &[1, 2])],
            vec![
                Script::OldRemove(OldRemove::of("v1")),
                Script::OldBackup(OldBackup::of("v3", 1)),
                rm("v2"),
                Script::Cleanup(Cleanup::after_an_hour(2)),
                Script::Hour,
            ],
        )
        .killing(1),
        scenario(
            "bad data comes and goes",
            vec![backup("v1", &[1, 2]), backup("v2", &[1])],
            vec![
                Script::Rot(Rot::of("v1.1")),
                Script::Scrub(Scrub::of("v1")),
                rm("v2"),
                backup("v3", &[1, 2]),
                cleanup(),
            ],
        )
        .killing(1),
    ]
}
