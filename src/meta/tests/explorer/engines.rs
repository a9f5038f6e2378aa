//! The races on PostgreSQL, and the parts of its statements that are removed to show that they are needed.

use super::actors::{Backup, Cleanup, Import, Remove, Rot, Script, Scrub};
use super::races::{Changed, Race, run};
use crate::meta::tests::lab::postgres::Server;

/// A part of an SQL statement, and its replacement.
type Change = (&'static str, &'static str);

fn backup(version: &'static str, image: &'static [u32]) -> Script {
    Script::Backup(Backup::of(version, image))
}

fn rm(version: &'static str) -> Script {
    Script::Remove(Remove::of(version))
}

fn cleanup() -> Script {
    Script::Cleanup(Cleanup::at_once(100))
}

fn races() -> Vec<Race> {
    let import = Script::Import(Import::of("v3", "v1.1", 1));
    let scrub = Script::Scrub(Scrub::of("v1"));
    vec![
        Race {
            name: "a hit goes away",
            most: 1,
            before: vec![backup("v1", &[1])],
            threads: [vec![backup("v2", &[1])], vec![rm("v1"), cleanup()]],
        },
        Race {
            name: "two versions that share a blob go",
            most: 1,
            before: vec![backup("v1", &[1]), backup("v2", &[1])],
            threads: [vec![rm("v1")], vec![rm("v2"), cleanup()]],
        },
        Race {
            name: "a dump comes back while its blob goes",
            most: 2,
            before: vec![backup("v1", &[1]), rm("v1")],
            threads: [vec![import], vec![cleanup()]],
        },
        Race {
            name: "a hit goes bad",
            most: 1,
            before: vec![backup("v1", &[1]), Script::Rot(Rot::of("v1.1"))],
            threads: [vec![backup("v2", &[1])], vec![scrub]],
        },
        Race {
            name: "the base goes bad",
            most: 1,
            before: vec![backup("v1", &[1, 2]), Script::Rot(Rot::of("v1.1"))],
            threads: [
                vec![Script::Backup(Backup::of("v2", &[1, 3]).on("v1"))],
                vec![Script::Scrub(Scrub::of("v1"))],
            ],
        },
        Race {
            name: "two backups of the same data",
            most: 1,
            before: vec![],
            threads: [vec![backup("v1", &[1, 0])], vec![backup("v2", &[0, 1])]],
        },
    ]
}

#[test]
fn no_order_of_statements_loses_data() {
    let Some(server) = Server::get("no_order_of_statements_loses_data") else { return };
    let all = std::env::var_os("BACKY2_TESTS").is_some_and(|value| value == "all");
    for race in races() {
        let started = std::time::Instant::now();
        let (orders, result) = run(&server, &race, Changed::default(), if all { race.most } else { 1 });
        println!("{}: {orders} orders {:?}", race.name, started.elapsed());
        if let Err(found) = result {
            panic!("{}:\n{found}", race.name);
        }
    }
}

const NO_LOCKS: Change = ("SELECT pg_advisory_xact_lock(?1, ?2)", "SELECT ?1::int, ?2::int");
const NO_SHARED_LOCKS: Change = ("SELECT pg_advisory_xact_lock_shared(?1, ?2)", "SELECT ?1::int, ?2::int");
const UNLOCKED_ROWS: Change = ("FOR UPDATE SKIP LOCKED", "");

/// Each entry has a description, the change, the race that shows it, the number of preemptions, and the fault that is
/// found.
const MISSED: &[(&str, Changed, &str, usize, &str)] = &[
    (
        "a hit is not kept until it is committed",
        Changed { statements: &[("FOR KEY SHARE OF b", "")], schema: "" },
        "a hit goes away",
        1,
        "names what is not there",
    ),
    (
        "cleanup takes rows that others have locked, and nothing keeps named blobs",
        Changed { statements: &[UNLOCKED_ROWS], schema: "DROP TRIGGER keep_named_blobs ON blobs" },
        "a hit goes away",
        1,
        "names what is not there",
    ),
    (
        "removals do not wait for each other",
        Changed { statements: &[NO_LOCKS], schema: "" },
        "two versions that share a blob go",
        1,
        "nothing names the row of v1.1, and it is not listed",
    ),
    (
        "cleanups do not wait for imports",
        Changed { statements: &[NO_SHARED_LOCKS], schema: "" },
        "a dump comes back while its blob goes",
        2,
        "v1.1 is doomed and has a row",
    ),
    (
        "versions become valid while a blob is marked",
        Changed { statements: &[NO_SHARED_LOCKS], schema: "" },
        "a hit goes bad",
        1,
        "v2 is valid and names v1.1, which is bad",
    ),
];

#[test]
fn rule_8_locks_that_are_removed_are_missed() {
    let Some(server) = Server::get("rule_8_locks_that_are_removed_are_missed") else { return };
    for (what, changed, race, preemptions, fault) in MISSED {
        let race = races().into_iter().find(|other| other.name == *race).expect(race);
        let (orders, result) = run(&server, &race, *changed, *preemptions);
        let found = result.expect_err(what);
        println!("{what}: {}, order {orders}\n{found}\n", race.name);
        assert!(found.fault.contains(fault), "{what}: {} is found, not {fault}", found.fault);
    }
}
