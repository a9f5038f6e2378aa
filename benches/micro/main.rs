//! Measures single parts: `cargo bench --bench micro`. A word such as `hash` or `metadata::carry` selects the benches
//! that have it in their names.

#[path = "../support/large.rs"]
mod large;

mod codec;
mod data;
mod hash;
mod metadata;
mod plan;

fn main() {
    divan::main();
    metadata::remove();
}
