//! What a mount asks the database for: the tree, changes of the list of versions, and locks.

#[path = "../fuse/ends.rs"]
mod ends;
#[path = "../fuse/mount.rs"]
mod mount;
#[path = "../fuse/tree.rs"]
mod tree;
