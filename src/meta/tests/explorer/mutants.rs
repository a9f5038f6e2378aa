//! Removes the rules of the metadata one by one. Some order of commands must show that each rule is needed.

use super::actors::Break;
use super::ground::InMemory;
use super::scenarios;
use super::search::{Found, Scenario, explore};
use crate::meta::sql::rules::tests::{replace, restore};

/// A part of an SQL statement, and its replacement.
type Change = (&'static str, &'static str);

/// The way to remove a rule.
#[derive(Clone, Copy)]
enum How {
    Sql(&'static [Change]),
    Order(Break),
}

/// A rule that is removed.
struct Mutant {
    rule: u32,
    what: &'static str,
    how: How,
    /// The scenario that shows it.
    scenario: &'static str,
    /// The fault that is found.
    fault: &'static str,
}

const fn sql(
    rule: u32,
    what: &'static str,
    changes: &'static [Change],
    scenario: &'static str,
    fault: &'static str,
) -> Mutant {
    Mutant { rule, what, how: How::Sql(changes), scenario, fault }
}

const fn order(
    rule: u32,
    what: &'static str,
    how: Break,
    scenario: &'static str,
    fault: &'static str,
) -> Mutant {
    Mutant { rule, what, how: How::Order(how), scenario, fault }
}

const REUSED_IDS: Change = (
    "id          INTEGER PRIMARY KEY AUTOINCREMENT,\n    uid         VARCHAR(32)",
    "id INTEGER PRIMARY KEY, uid VARCHAR(32)",
);
const ANY_UID: Change = ("id = ?3 AND uid = ?4 AND valid = 1", "id = ?3 AND ?4 <> '' AND valid = 1");
const IN_USE: Change = ("SELECT EXISTS (SELECT 1 FROM blobs WHERE uid = ?1)", "SELECT 0 WHERE ?1 <> ''");

/// Without one of these rules, data is lost, mixed up or left behind, or a command fails or never ends.
const MISSED: &[Mutant] = &[
    sql(
        1,
        "an id means another blob",
        &[REUSED_IDS, ANY_UID],
        "an id could mean another blob",
        "v2 names v3.1, which holds Some(2); Some(1) was backed up",
    ),
    sql(
        1,
        "a hit is taken that nothing names",
        // The condition that follows belongs to the second half only.
        &[(
            "id = ?3 AND uid = ?4 AND valid = 1",
            "id = ?3 AND uid = ?4 AND valid = 1 OR id = ?3 AND uid = ?4 AND valid = 1",
        )],
        "2.13 cleans up what a backup has found",
        "v2 names v1.1, which holds None",
    ),
    sql(
        1,
        "a blob is found that nothing names",
        &[("AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id) LIMIT 1", "LIMIT 1")],
        "a hit whose only version goes",
        "does not come to an end",
    ),
    order(
        2,
        "rows come before their data",
        Break::RowsBeforeData,
        "a hit whose only version goes",
        "v1 names v1.1, which holds None",
    ),
    order(
        2,
        "a blob and its first row come apart",
        Break::BlobApart,
        "a version goes while it is written",
        "a cleanup has left v1.1",
    ),
    sql(
        3,
        "rows are not counted",
        &[(
            "SELECT count(*) FROM block_map WHERE version_id = ?1 AND block_id >= 0 AND block_id < ?2",
            "SELECT ?2 WHERE ?1 > 0",
        )],
        "a hit goes bad",
        "v2 is valid and has 1 of 2 rows",
    ),
    sql(
        3,
        "bad blobs are not looked for",
        &[("b.valid = 0 AND m.version_id = ?1", "b.valid = 7 AND m.version_id = ?1")],
        "a hit goes bad",
        "v2 is valid and names v1.1, which is bad",
    ),
    sql(
        4,
        "nothing is listed",
        &[("SELECT b.uid, b.size FROM gone", "SELECT b.uid, b.size FROM (SELECT 1 AS id WHERE 0) gone")],
        "two versions that share a blob go",
        "a cleanup has left v1.1",
    ),
    sql(
        4,
        "an entry keeps its time",
        &[("SET time = ?1 WHERE uid IN (SELECT uid FROM unnamed)", "SET time = time WHERE ?1 < 0")],
        "2.13 finds what we remove",
        "this blob is being deleted",
    ),
    sql(
        4,
        "the oldest entry counts",
        &[("SELECT max(time) FROM", "SELECT min(time) FROM")],
        "2.13 finds what 2.13 removes",
        "this blob is being deleted",
    ),
    sql(
        5,
        "what is in use is doomed",
        &[IN_USE],
        "two rows share their data",
        "v1.1 is doomed and has a row",
    ),
    sql(
        5,
        "rows in use are dropped",
        // The condition that follows belongs to the second half only.
        &[(
            "DELETE FROM blobs WHERE uid = ?1 AND id > 0",
            "DELETE FROM blobs WHERE uid = ?1 OR uid = ?1 AND id > 0",
        )],
        "a dump comes back while its blob goes",
        "FOREIGN KEY",
    ),
    sql(
        5,
        "rows stay",
        &[("DELETE FROM blobs WHERE uid = ?1 AND id > 0", "DELETE FROM blobs WHERE uid = ?1 AND 0")],
        "two versions that share a blob go",
        "a cleanup has left v1.1",
    ),
    sql(
        5,
        "entries go and nothing is doomed",
        &[(
            "UPDATE deleted_blocks SET delete_candidate = 1 WHERE uid = ?1",
            "DELETE FROM deleted_blocks WHERE uid = ?1",
        )],
        "two versions that share a blob go",
        "a cleanup has left v1.1",
    ),
    order(
        5,
        "data goes before it is doomed",
        Break::DataBeforeDoom,
        "a dump comes back while its blob goes",
        "v3 names v1.1, which holds None",
    ),
    order(
        5,
        "entries go before the data",
        Break::ForgetBeforeData,
        "two rows share their data",
        "v3 names v1.1, which holds None",
    ),
    order(
        5,
        "entries go before the data, and the cleanup is killed",
        Break::ForgetBeforeData,
        "two versions that share a blob go",
        "a cleanup has left v1.1",
    ),
    sql(
        6,
        "what is doomed comes back",
        &[("uid = NEW.uid AND delete_candidate = 1", "uid = NEW.uid AND 0")],
        "a dump comes back while its blob goes",
        "v1.1 is doomed and has a row",
    ),
    order(
        7,
        "nobody pins",
        Break::NoPin,
        "a version goes while it is restored",
        "the restore got None of v1.1",
    ),
    order(
        7,
        "nobody owns",
        Break::NoOwn,
        "a version goes while it is written",
        "was removed while it was being written",
    ),
    order(
        7,
        "a cleanup does not mind backups of 2.13",
        Break::BesideOld,
        "2.13 takes what we remove from its base",
        "this blob is being deleted",
    ),
    order(
        7,
        "a full cleanup is not alone",
        Break::NotAlone,
        "a full cleanup beside others",
        "names v1.1, which holds None",
    ),
    order(
        9,
        "a version is valid before its copy is written",
        Break::ValidBeforeCopy,
        "a copy is written while its version goes",
        "is valid and has no copy",
    ),
    order(
        9,
        "data goes before the copy of its version",
        Break::DataBeforeCopy,
        "a copy is written while its version goes",
        "is gone, and the copy of v1 names it",
    ),
    order(
        9,
        "copies are written without a lock",
        Break::CopiesUnlocked,
        "two commands change one version",
        "v1 was removed, and its copy is not due",
    ),
    sql(
        9,
        "a later change is taken for one that was copied",
        &[("WHERE version_uid = ?1 AND token = ?2", "WHERE version_uid = ?1 AND ?2 > 0")],
        "two commands change one version",
        "v1 was removed, and its copy is not due",
    ),
    sql(
        9,
        "the copy of a removed version is not due",
        &[(
            "CREATE TRIGGER copies_due_old_version AFTER DELETE ON versions BEGIN",
            "CREATE TRIGGER copies_due_old_version AFTER DELETE ON versions WHEN 0 BEGIN",
        )],
        "a copy is written while its version goes",
        "v1 was removed, and its copy is not due",
    ),
];

/// Without one of these rules nothing is lost, because another rule prevents that. A check of the rule itself shows
/// that it is missing.
const REDUNDANT: &[Mutant] = &[
    sql(1, "ids are used again", &[REUSED_IDS], "an id could mean another blob", "id 1 was v1.1 and is v"),
    sql(
        1,
        "a bad hit is taken",
        &[("id = ?3 AND uid = ?4 AND valid = 1", "id = ?3 AND uid = ?4")],
        "a hit goes bad",
        "block 0 took v1.1, which is gone, bad or named by nothing",
    ),
    sql(
        3,
        "bad blobs are carried",
        &[("AND blob_id NOT IN (SELECT id FROM blobs WHERE valid = 0)", "")],
        "the base goes bad",
        "v2 has carried v1.1, which is bad",
    ),
    sql(
        4,
        "what shares its data is listed",
        &[("DELETE FROM unnamed WHERE EXISTS", "DELETE FROM unnamed WHERE 0 AND EXISTS")],
        "two rows share their data",
        "v1.1 was listed, and rows name it",
    ),
];

impl Mutant {
    fn explore(&self, scenario: &Scenario) -> Result<(), Found> {
        let (changes, broken) = match self.how {
            How::Sql(changes) => (changes, None),
            How::Order(broken) => (&[][..], Some(broken)),
        };
        changes.iter().for_each(|(part, with)| replace(part, with));
        // The changes may also concern the tables, so create them now.
        let mut ground = InMemory::of(scenario);
        let result = explore(&mut ground, scenario, broken).1;
        let unused = restore();
        if scenario.name == self.scenario {
            assert_eq!(unused, [""; 0], "rule {}, {}: no statement has that any more", self.rule, self.what);
        }
        result
    }

    /// Explores the scenario and expects the fault.
    fn is_found(&self, adapt: fn(Scenario) -> Scenario) {
        let Mutant { rule, what, fault, .. } = self;
        let scenario = scenarios::short().into_iter().find(|s| s.name == self.scenario).expect(self.scenario);
        let found = self.explore(&adapt(scenario)).expect_err("the rule is needed");
        println!("rule {rule}, {what}: {}\n{found}\n", self.scenario);
        assert!(found.fault.contains(fault), "rule {rule}, {what}: {} is found, not {fault}", found.fault);
    }
}

#[test]
fn rules_that_are_removed_are_missed() {
    MISSED.iter().for_each(|mutant| mutant.is_found(Scenario::without_rules));
}

#[test]
fn redundant_rules_are_checked_by_themselves() {
    let all = std::env::var_os("BACKY2_TESTS").is_some_and(|value| value == "all");
    for mutant in REDUNDANT {
        mutant.is_found(|scenario| scenario);
        for scenario in scenarios::short().into_iter().filter(|other| all || other.name == mutant.scenario) {
            if let Err(found) = mutant.explore(&scenario.without_rules()) {
                panic!("rule {}, {}: data is lost after all:\n{found}", mutant.rule, mutant.what);
            }
        }
    }
}
