//! Random sequences of commands on small images, compared with a model in memory. The commands are calls of the engine
//! in this process.
//!
//! `BACKY2_SEED` repeats a run. `BACKY2_MODEL` sets the number of sequences; the default is 60, or 400 with
//! `BACKY2_TESTS=all`, and fewer with PostgreSQL.

mod backups;
mod image;
mod invariants;
mod steps;
mod world;

use crate::common;
use crate::common::database::Engine;
use world::{Seen, World};

#[test]
fn versions_always_equal_their_sources() {
    let seed = common::checks::seed("model");
    let runs = match std::env::var("BACKY2_MODEL").ok().and_then(|text| text.parse().ok()) {
        Some(runs) => runs,
        // Each sequence takes many transactions, which cost more on a server.
        None => match (Engine::usual(), common::all()) {
            (Engine::Sqlite, true) => 400,
            (Engine::Sqlite, false) | (Engine::Postgres, true) => 60,
            (Engine::Postgres, false) => 12,
        },
    };
    let half = |first: u64| {
        let mut seen = Seen::default();
        for sequence in (first..runs).step_by(2) {
            println!("sequence {sequence}: BACKY2_SEED={} BACKY2_MODEL=1", seed + sequence);
            let mut world = World::new(seed + sequence);
            let steps = world.random.usize(10..30);
            for _ in 0..steps {
                steps::step(&mut world, &mut seen);
                invariants::check(&world);
            }
            steps::end(&mut world, &mut seen);
        }
        seen
    };
    let seen = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut seen = half(0);
        match other.join() {
            Ok(more) => seen += more,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        seen
    });
    println!("{seen:?}");
    // In fewer sequences, rare events may be missing.
    if runs >= 200 {
        seen.assert_all();
    }
}
