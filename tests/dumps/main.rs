//! Dumps: `export` writes what backy2 2.13 wrote, and `import` accepts the dumps of all releases, and nothing else.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;
