//! Blobs in a bucket, with real servers, rclone and Ceph's radosgw, and with a network that fails by plan.

#[path = "../common/mod.rs"]
mod common;

mod basics;
mod check;
mod copies;
mod deletion;
mod faults;
mod hostile;
mod identity;
mod moved;
mod outage;
mod rebuild;
mod setup;
mod speed;
mod wrong;
