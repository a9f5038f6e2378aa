//! How fast single parts are: `cargo bench --bench micro`, or with a word behind it, such as `hash` or
//! `metadata::carry`, only what has that in its name.

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
