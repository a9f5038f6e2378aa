//! Dumps: what `export` writes is what backy2 2.13 wrote, what `import` takes is what any release wrote, and
//! nothing else.

#[path = "../common/mod.rs"]
mod common;

#[path = "cases.rs"]
mod cases;
