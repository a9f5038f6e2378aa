//! Longer help texts, and tips for wrong usage.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// The end of `backy2 --help`.
pub(super) const EXIT_CODES: &str = "Exit codes:
  0    done
  1    the command could not begin: configuration, database, or a refused restore target
  2    wrong usage
  5    backup: the source does not match the base version and the hints
  6    backup, restore: the data store failed; restore: the key is wrong
  20   scrub, restore: some of the data is bad; check, downgrade-check: there is something to do
  22   import: the version already exists
  23   import: the file is not a dump, or the dump is damaged
  100  any other error
  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM
  0, 1, 2, 3     sla --check: OK, WARNING, CRITICAL, UNKNOWN

status --check, sla --check: exit codes of monitoring plugins (see their help)
`backy2 help COMMAND` explains one command. Global options may also follow the command, if it has no option of the same name.";

/// The help of arguments that name a version.
pub(super) const VERSION: &str = "The version: its uid, the first 6 or more characters of it, NAME or NAME:latest for \
                           the newest valid version of that name, or NAME:N (0 is the newest, 1 the one before it)";

/// The end of the help of `du`.
pub(super) const SPACE: &str = "Bytes before compression:
  Real              blocks with data
  Null              sparse blocks, which consist of zeros
  Dedup Own         repeated blocks within the version
  Dedup Others      blocks that other versions have as well
  Individual        blocks that occur only once, in this version
  Est. Space        the version's share, if shared blocks are divided among the versions that share them
  Est. Space freed  the data that a cleanup could delete if only this version were removed";

/// The end of the help of `diff-meta`.
pub(super) const DIFFERENCES: &str = "Each line has a result and the number of a block. SAME: both versions use the same stored \
                               data. DIFF: they use different data. NEW LEFT: only the first version has the block. NEW \
                               RIGHT: only the second version has it.";

/// The end of the help of `status`.
pub(super) const STATES: &str = "States:
  ok       the newest version is valid, and young enough
  late     the newest valid version is too old
  failed   the newest version is incomplete, and no process writes it
  invalid  the newest version has bad blobs, or no version is valid
  none     there is no version

Exit codes with --check:
  0  OK: every name is ok
  1  WARNING: a name is late, or its newest version is incomplete
  2  CRITICAL: a name has no valid version, or its newest one is older than two intervals; blobs are bad; there is no version at all
  3  UNKNOWN: the configuration or the database cannot be used";

/// The end of the help of `due` and `sla`.
pub(super) const SCHEDULERS: &str = "A scheduler is a section of the configuration with the keys interval, keep and sla. The \
                              valid versions that are tagged with its name belong to it.";

/// The end of the help of `prune`.
pub(super) const RULES: &str = "A version stays if any rule keeps it. Hours, days, weeks (from Monday), months and years are \
                         those of the local time zone. N can be unlimited. If there are fewer than N periods, the oldest \
                         version stays, too. A version with an expiry date stays until then and goes afterwards, whatever \
                         the rules are.\n\nExample:\n  backy2 prune --dry-run --keep-daily 8 --keep-weekly 5 --keep-monthly 12";

/// The end of the help of `nbd`.
pub(super) const NBD: &str = "Examples:\n  \
    backy2 nbd vm1:latest &\n  \
    qemu-img convert -p nbd://localhost vm1.qcow2\n  \
    nbd-client -N '' localhost /dev/nbd0";

/// Replaces the tip in an error of clap if clap's own tip would mislead.
pub(super) fn with_tip(mut error: Error, grammar: &Command) -> Error {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::UnknownArgument => Some(word.as_str()),
        _ => None,
    };
    let tip = word
        .filter(|word| is_option_of(grammar, word))
        .map(|word| format!("'{word}' must stand before the command: backy2 {word} ... COMMAND"));
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Whether `word` is an option of `grammar` itself, not of one of its commands. Long options may be shortened.
fn is_option_of(grammar: &Command, word: &str) -> bool {
    grammar.get_arguments().any(|arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long().is_some_and(|name| name.starts_with(long)),
        None => arg.get_short().is_some_and(|short| word == format!("-{short}")),
    })
}
