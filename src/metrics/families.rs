//! The names, labels and descriptions of the metrics.

use super::Metric::{self, *};
use super::Origin::{self, Commands, Database};

/// A metric, as the file describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub metric: Metric,
    /// Its name. That of a counter ends with `_total`, and that of a moment with `_timestamp_seconds`.
    pub name: &'static str,
    /// The name of its only label; `None` if there is one value without labels.
    pub label: Option<&'static str>,
    /// The source of its values.
    pub origin: Origin,
    /// A sentence about it.
    pub help: &'static str,
}

impl Family {
    /// Whether the value only grows.
    pub(super) fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }
}

const fn of_site(metric: Metric, name: &'static str, help: &'static str) -> Family {
    Family { metric, name, label: None, origin: Database, help }
}

const fn of_name(metric: Metric, name: &'static str, help: &'static str) -> Family {
    Family { metric, name, label: Some("name"), origin: Database, help }
}

const fn of_attempt(metric: Metric, name: &'static str, help: &'static str) -> Family {
    Family { metric, name, label: Some("name"), origin: Commands, help }
}

const fn of_command(metric: Metric, name: &'static str, help: &'static str) -> Family {
    Family { metric, name, label: Some("command"), origin: Commands, help }
}

const fn build_info(name: &'static str, help: &'static str) -> Family {
    Family { metric: BuildInfo, name, label: Some("version"), origin: Commands, help }
}

/// All metrics, in the order of [`Metric`] and of the file.
pub(super) const FAMILIES: [Family; 29] = [
    build_info("backy2_build_info", "The version of the program, with the constant value 1."),
    of_site(
        DatabaseRead,
        "backy2_database_read_timestamp_seconds",
        "When the values that come from the database were read.",
    ),
    of_site(Names, "backy2_names", "Number of names that have versions."),
    of_site(AllVersions, "backy2_all_versions", "Number of versions of all names, also incomplete ones."),
    of_site(LogicalBytes, "backy2_logical_bytes", "Size of the images of all valid versions."),
    of_site(Blobs, "backy2_blobs", "Number of blobs. Absent if counting them would take long."),
    of_site(
        DataBytes,
        "backy2_data_bytes",
        "Size of all blobs before compression. Absent as backy2_blobs is.",
    ),
    of_site(BadBlobs, "backy2_bad_blobs", "Number of blobs marked as bad that versions need, up to 1000."),
    of_site(CleanupBlobs, "backy2_cleanup_blobs", "Number of blobs that wait for a cleanup."),
    of_site(CleanupBytes, "backy2_cleanup_bytes", "Size of the blobs that wait for a cleanup, uncompressed."),
    of_site(StoreFree, "backy2_store_free_bytes", "Free space of the file system with the data store."),
    of_site(StoreSize, "backy2_store_size_bytes", "Size of the file system with the data store."),
    of_name(Versions, "backy2_versions", "Number of versions of a name, also incomplete ones."),
    of_name(ValidVersions, "backy2_valid_versions", "Number of valid versions of a name."),
    of_name(
        LastSuccess,
        "backy2_last_success_timestamp_seconds",
        "When the backup of the newest valid version began.",
    ),
    of_name(LastDuration, "backy2_last_success_duration_seconds", "Duration of that backup."),
    of_name(LastImage, "backy2_last_success_image_bytes", "Size of the image of that backup."),
    of_name(LastRead, "backy2_last_success_read_bytes", "Data that was read for that backup."),
    of_name(LastNew, "backy2_last_success_new_bytes", "Data that was stored for that backup, uncompressed."),
    of_name(LastDeduplicated, "backy2_last_success_deduplicated_bytes", "Data that was stored already."),
    of_name(
        LastHoles,
        "backy2_last_success_hole_bytes",
        "Size of the holes, which were neither read nor stored.",
    ),
    of_name(
        LastVerified,
        "backy2_last_verified_timestamp_seconds",
        "When a version was last read as a whole and found good.",
    ),
    of_attempt(LastAttempt, "backy2_last_attempt_timestamp_seconds", "When the last backup of a name began."),
    of_attempt(
        LastAttemptSuccess,
        "backy2_last_attempt_success",
        "1 if the last backup of a name was made, or 0.",
    ),
    of_command(Runs, "backy2_command_runs_total", "Number of commands that have ended."),
    of_command(Errors, "backy2_command_errors_total", "Number of those with an exit code other than 0."),
    of_command(LastRun, "backy2_command_last_run_timestamp_seconds", "When the last command began."),
    of_command(LastExitCode, "backy2_command_last_exit_code", "Exit code of the last command."),
    of_command(LastRunDuration, "backy2_command_last_duration_seconds", "Duration of the last command."),
];
