//! `[io_rbd]`.

use super::settings::parallel;
use super::values::Keys;
use super::{Parallel, RbdConfig};
use crate::types::Result;
use std::time::Duration;

/// The features that a new image can have: the name as in librbd's headers and in the configuration of 2.13, without
/// `RBD_FEATURE_`; its bit; the bit of the feature that it needs.
const FEATURES: [(&str, u64, u64); 8] = [
    ("LAYERING", 1, 0),
    // librbd leaves out these two unless striping or a data pool is requested.
    ("STRIPINGV2", 2, 0),
    ("EXCLUSIVE_LOCK", 4, 0),
    ("OBJECT_MAP", 8, 4),
    ("FAST_DIFF", 16, 8),
    ("DEEP_FLATTEN", 32, 0),
    ("JOURNALING", 64, 4),
    ("DATA_POOL", 128, 0),
];

impl Default for RbdConfig {
    /// The defaults of 2.13, which are also those of Ceph.
    fn default() -> Self {
        RbdConfig {
            conffile: "/etc/ceph/ceph.conf".into(),
            user: "client.admin".to_owned(),
            cluster: "ceph".to_owned(),
            parallel: Parallel { reads: 10, writes: 1 },
            // Layering and exclusive lock.
            new_image_features: 1 | 4,
            // A cluster in recovery may be slow. After this time without an answer, the request fails.
            timeout: Duration::from_secs(60),
        }
    }
}

pub(super) fn settings(keys: Keys) -> Result<RbdConfig> {
    let default = RbdConfig::default();
    Ok(RbdConfig {
        conffile: keys.path("ceph_conffile")?.unwrap_or(default.conffile),
        user: user(keys)?.unwrap_or(default.user),
        cluster: cluster(keys)?.unwrap_or(default.cluster),
        parallel: parallel(keys, default.parallel)?,
        new_image_features: features(keys)?.unwrap_or(default.new_image_features),
        timeout: keys.time("timeout", Duration::from_secs(1))?.unwrap_or(default.timeout),
    })
}

fn user(keys: Keys) -> Result<Option<String>> {
    const KEY: &str = "rados_name";
    let Some((name, value)) = keys.text(KEY)? else { return Ok(None) };
    let id = name.strip_prefix("client.");
    if id.is_none_or(|id| id.is_empty() || id.contains(char::is_whitespace)) {
        return Err(keys.bad(KEY, value, "is not the full name of a user, such as client.admin"));
    }
    Ok(Some(name))
}

fn cluster(keys: Keys) -> Result<Option<String>> {
    const KEY: &str = "cluster_name";
    let Some((name, value)) = keys.text(KEY)? else { return Ok(None) };
    if name.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(keys.bad(KEY, value, "is not one word without white space and /"));
    }
    Ok(Some(name))
}

fn features(keys: Keys) -> Result<Option<u64>> {
    const KEY: &str = "new_image_features";
    let Some((names, value)) = keys.words(KEY)? else { return Ok(None) };
    let mut features = 0;
    for name in &names {
        // Ceph's own commands use names such as exclusive-lock.
        let plain = name.to_ascii_uppercase().replace('-', "_");
        let plain = plain.strip_prefix("RBD_FEATURE_").unwrap_or(&plain);
        let Some((_, bit, _)) = FEATURES.iter().find(|(known, _, _)| *known == plain) else {
            let known = FEATURES.map(|(name, _, _)| format!("RBD_FEATURE_{name}")).join(", ");
            return Err(keys.bad(KEY, value, format!("has the word {name}, which is not one of {known}")));
        };
        features |= bit;
    }
    for (name, _, needs) in FEATURES.iter().filter(|(_, bit, _)| features & bit != 0) {
        if let Some((needed, _, _)) = FEATURES.iter().find(|(_, bit, _)| bit & needs & !features != 0) {
            let problem = format!("has RBD_FEATURE_{name}, which needs RBD_FEATURE_{needed} too");
            return Err(keys.bad(KEY, value, problem));
        }
    }
    Ok(Some(features))
}
