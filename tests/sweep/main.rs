//! Every system call that matters fails once: what a command makes of a full disk, a bad sector, too many open
//! files or a thread that cannot be started, at each place where that can happen.
//!
//! A command is run once to see which calls it makes (`calls`), and then once for each of them, with that call failing
//! (`tracer`). `cases` says what must hold afterwards. Without `BACKY2_TESTS=all` a part of the calls is tried.

#[path = "../common/mod.rs"]
mod common;

mod calls;
#[path = "cases.rs"]
mod cases;
mod tracer;
