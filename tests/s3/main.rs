//! Blobs in a bucket, through the binary, on real servers: rclone and Ceph's radosgw, and a network that fails by plan.

#[path = "../common/mod.rs"]
mod common;

mod basics;
mod deletion;
mod faults;
mod hostile;
mod outage;
mod setup;
mod speed;
mod wrong;
