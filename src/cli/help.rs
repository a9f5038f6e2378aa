//! What the help says in more than a line, and tips for wrong usage.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// The end of the help.
pub const EXIT_CODES: &str = "Exit codes:
  0    done
  1    could not begin: configuration, database, or a restore target that is refused
  2    wrong usage
  5    backup: the source does not match the base version and the hints
  6    backup, restore: the data store failed, or the key is wrong in a restore
  20   scrub, restore: some of the data is bad
  22   import: the version exists already
  23   import: the file is not a dump, or a damaged one
  100  any other error
  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM

`backy2 COMMAND --help` tells about one command.";

/// How a version may be named.
pub const VERSION: &str = "The version: its uid, 6 or more of its first characters, NAME or NAME:latest for the \
                           newest valid version of that name, or NAME:N for the N-th newest (0 = newest)";

/// The end of the help of `du`.
pub const SPACE: &str = "Bytes before compression:
  Real              blocks that are not sparse
  Null              sparse blocks
  Dedup Own         repetitions within the version
  Dedup Others      blocks that other versions have, too
  Individual        blocks that occur once, in this version
  Est. Space        the version's share, if what is shared is divided among those that share it
  Est. Space freed  what a cleanup could delete after this version alone was removed";

/// The end of the help of `diff-meta`.
pub const DIFFERENCES: &str = "One line a block: SAME (both name the same stored data), DIFF, NEW LEFT (only the first \
                               version has it) or NEW RIGHT (only the second one), and the number of the block.";

/// The end of the help of `due` and `sla`.
pub const SCHEDULERS: &str = "A scheduler is a section of the configuration with interval, keep and sla; its versions \
                              are the valid ones tagged with its name.";

/// Below `nbd --help`.
pub const NBD: &str = "Examples:\n  \
    backy2 nbd vm1:latest &\n  \
    qemu-img convert -p nbd://localhost vm1.qcow2\n  \
    nbd-client -N '' localhost /dev/nbd0";

/// Puts a better tip into an error of clap where clap's own would mislead.
pub fn with_tip(mut error: Error, grammar: &Command) -> Error {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let tip = match error.kind() {
        ErrorKind::UnknownArgument => word(ContextKind::InvalidArg)
            .filter(|word| is_option_of(grammar, word))
            .map(|word| format!("'{word}' stands before the command: backy2 {word} ... COMMAND")),
        ErrorKind::InvalidSubcommand => match word(ContextKind::InvalidSubcommand) {
            Some("help") => Some("'backy2 --help' and 'backy2 COMMAND --help' show the help".to_owned()),
            _ => None,
        },
        _ => None,
    };
    if let Some(tip) = tip {
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(kind);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Whether `word` is an option of `grammar` itself, and not of one of its commands. Long ones may be shortened.
fn is_option_of(grammar: &Command, word: &str) -> bool {
    grammar.get_arguments().any(|arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long().is_some_and(|name| name.starts_with(long)),
        None => arg.get_short().is_some_and(|short| word == format!("-{short}")),
    })
}
