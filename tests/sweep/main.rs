//! Makes every important system call fail once. This shows how commands handle a full disk, a bad sector, too many open
//! files or a thread that cannot be started, at each place where that can happen.
//!
//! Each command is run once to record its calls (`calls`), and then once for each call, which fails (`tracer`). `cases`
//! has the conditions that must hold afterwards. Without `BACKY2_TESTS=all` only some of the calls are tried.

#[path = "../common/mod.rs"]
mod common;

mod calls;
#[path = "cases.rs"]
mod cases;
mod tracer;
