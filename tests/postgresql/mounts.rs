//! The parts of a mount that use the database: the tree, changes of the list of versions, and locks.

#[path = "../fuse/ends.rs"]
mod ends;
#[path = "../fuse/mount.rs"]
mod mount;
#[path = "../fuse/tree.rs"]
mod tree;
