//! The file for Prometheus: the metrics, their text format, and the replacement of the file.
//!
//! The format is the text format of Prometheus 0.0.4, as node_exporter's textfile collector reads it. The file is also the
//! only memory of the counters, so it is read before it is replaced.

mod families;
mod file;
mod text;

use families::{FAMILIES, Family};
use std::collections::BTreeMap;

pub(crate) use file::update;

/// A metric. `families` describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    BuildInfo,
    DatabaseRead,
    Names,
    AllVersions,
    LogicalBytes,
    Blobs,
    DataBytes,
    BadBlobs,
    CleanupBlobs,
    CleanupBytes,
    StoreFree,
    StoreSize,
    Versions,
    ValidVersions,
    LastSuccess,
    LastDuration,
    LastImage,
    LastRead,
    LastNew,
    LastDeduplicated,
    LastHoles,
    LastVerified,
    LastAttempt,
    LastAttemptSuccess,
    Runs,
    Errors,
    LastRun,
    LastExitCode,
    LastRunDuration,
}

/// The source of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The database. All of its values are replaced together.
    Database,
    /// The commands that have ended. The values are kept in the file.
    Commands,
}

impl Metric {
    /// The description of the metric.
    fn family(self) -> &'static Family {
        // They have the same order.
        &FAMILIES[self as usize]
    }
}

/// The values of the metrics: one for each metric and value of its label. A metric without label has the value of the
/// empty text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    values: BTreeMap<Metric, BTreeMap<String, f64>>,
}

impl Metrics {
    /// The value of `metric` for the label value `of`.
    pub(crate) fn get(&self, metric: Metric, of: &str) -> Option<f64> {
        self.values.get(&metric)?.get(of).copied()
    }

    /// Sets the value of `metric` for the label value `of`. A value that is not finite is left out.
    pub(crate) fn set(&mut self, metric: Metric, of: &str, value: f64) {
        if value.is_finite() {
            self.values.entry(metric).or_default().insert(of.to_owned(), value);
        }
    }

    /// Adds to the value of `metric` for the label value `of`, which is 0 if there is none.
    pub(crate) fn add(&mut self, metric: Metric, of: &str, more: f64) {
        let sum = self.get(metric, of).unwrap_or_default() + more;
        self.set(metric, of, sum);
    }

    /// The label values of `metric`.
    pub(crate) fn labels(&self, metric: Metric) -> Vec<String> {
        self.values.get(&metric).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Removes the value of `metric` for the label value `of`.
    pub(crate) fn remove(&mut self, metric: Metric, of: &str) {
        if let Some(values) = self.values.get_mut(&metric) {
            values.remove(of);
        }
    }

    /// Removes all values that come from `origin`.
    pub(crate) fn forget(&mut self, origin: Origin) {
        self.values.retain(|metric, _| metric.family().origin != origin);
    }
}

#[cfg(test)]
mod tests;
