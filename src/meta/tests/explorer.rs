//! Explores how commands that run at the same time interfere with each other: all interleavings of a few commands, step
//! by step, on a few blobs, with the verbs of the program. No data that a version needs may be deleted or mixed up on
//! the way, and nothing may be left behind. [`mutants`] removes the rules of the metadata one by one, and checks that
//! the exploration notices it.
//!
//! A step is one verb of [`crate::meta::Metadata`] (one transaction) or one action on the data store. Commands may be
//! killed between steps.

mod actors;
mod engines;
mod ground;
mod invariants;
mod model;
mod mutants;
pub mod order;
mod races;
mod scenarios;
mod search;
mod server;
mod turns;

use ground::InMemory;
use search::explore;

#[test]
fn no_order_of_commands_loses_data() {
    let all = std::env::var_os("BACKY2_TESTS").is_some_and(|value| value == "all");
    for scenario in if all { scenarios::long() } else { scenarios::short() } {
        let (extent, result) = explore(&mut InMemory::of(&scenario), &scenario, None);
        println!("{}: {extent:?}", scenario.name);
        if let Err(found) = result {
            panic!("{}:\n{found}", scenario.name);
        }
    }
}
