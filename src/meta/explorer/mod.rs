//! Explores how commands that run at the same time come between each other: all interleavings of a few of them, step
//! by step, on a few blobs, with the verbs as they are shipped. Nothing that a version needs may be deleted or mixed
//! up on the way, and nothing may be left behind. [`mutants`] takes the rules of the metadata out, one by one, and
//! sees that this is noticed.
//!
//! A step is one verb of [`super::MetaStore`] (one transaction) or one action on the data store. Commands may be
//! killed between steps.

mod actors;
mod ground;
mod invariants;
mod model;
mod scenarios;
mod search;

use ground::InMemory;
use search::{Scenario, explore};

/// Explores everything and expects nothing wrong.
fn nothing_is_wrong(scenarios: &[Scenario]) {
    let mut ground = InMemory::new();
    for scenario in scenarios {
        let started = std::time::Instant::now();
        let (extent, result) = explore(&mut ground, scenario, None);
        println!("{}: {extent:?} {:?}", scenario.name, started.elapsed());
        if let Err(found) = result {
            panic!("{}:\n{found}", scenario.name);
        }
    }
}

#[test]
fn no_order_of_commands_loses_data() {
    nothing_is_wrong(&scenarios::short());
}
