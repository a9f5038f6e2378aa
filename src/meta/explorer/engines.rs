//! The races on PostgreSQL, and what is taken out of its statements to see that it is missed.

use super::actors::{Backup, Cleanup, Import, Remove, Rot, Script, Scrub};
use super::races::{Changed, Race, run};
use crate::meta::lab::postgres::Server;

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
            before: vec![backup("v1", &[1])],
            threads: [vec![backup("v2", &[1])], vec![rm("v1"), cleanup()]],
        },
        Race {
            name: "two versions that share a blob go",
            before: vec![backup("v1", &[1]), backup("v2", &[1])],
            threads: [vec![rm("v1")], vec![rm("v2"), cleanup()]],
        },
        Race {
            name: "a dump comes back while its blob goes",
            before: vec![backup("v1", &[1]), rm("v1")],
            threads: [vec![import], vec![cleanup()]],
        },
        Race {
            name: "a hit goes bad",
            before: vec![backup("v1", &[1]), Script::Rot(Rot::of("v1.1"))],
            threads: [vec![backup("v2", &[1])], vec![scrub]],
        },
        Race {
            name: "two backups of the same data",
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
        let (orders, result) = run(&server, &race, Changed::default(), if all { 2 } else { 1 });
        println!("{}: {orders} orders {:?}", race.name, started.elapsed());
        if let Err(found) = result {
            panic!("{}:\n{found}", race.name);
        }
    }
}
