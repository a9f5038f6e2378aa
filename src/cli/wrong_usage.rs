//! Errors of usage in one line, with the command that the user may have meant.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::ffi::OsString;

/// Words that other programs use for commands of this one.
const SYNONYMS: &[(&str, &str)] = &[
    ("forget", "prune"),
    ("expunge", "prune"),
    ("verify", "scrub"),
    ("fsck", "check"),
    ("doctor", "check"),
    ("mount", "fuse"),
    ("serve", "nbd"),
    ("delete", "rm"),
    ("del", "rm"),
    ("remove", "rm"),
    ("create", "backup"),
    ("save", "backup"),
    ("extract", "restore"),
    ("recover", "restore"),
    ("list", "ls"),
    ("dir", "ls"),
    ("versions", "ls"),
    ("snapshots", "ls"),
    ("archives", "ls"),
    ("log", "stats"),
    ("history", "stats"),
    ("size", "du"),
    ("df", "du"),
    ("gc", "cleanup"),
    ("compact", "cleanup"),
    ("purge", "prune"),
    ("dump", "export"),
    ("load", "import"),
    ("diff", "diff-meta"),
    ("tag", "add-tag"),
    ("untag", "remove-tag"),
    ("repair", "rebuild"),
    ("unlock", "locks"),
    ("setup", "init"),
    ("man", "help"),
];

/// Commands that delete, which are not named for a word that is as near to another command.
const REMOVING: &[&str] = &["cleanup", "prune", "rm"];
/// Number of commands that an error names at most.
const NAMED: usize = 3;

/// The error as one line, without a line break at its end. The command line is `words`.
pub(super) fn line(error: &Error, grammar: &Command, words: &[OsString]) -> String {
    if let (ErrorKind::InvalidSubcommand, Some(word)) =
        (error.kind(), text_of(error, ContextKind::InvalidSubcommand))
    {
        let tip = match meant(&word, grammar).as_slice() {
            [] => String::new(),
            [one] => format!(" Did you mean '{one}'?"),
            [others @ .., last] => format!(" Did you mean '{}' or '{last}'?", others.join("', '")),
        };
        return format!("error: there is no command '{word}'.{tip} `backy2 help` lists the commands.");
    }
    let rendered = error.to_string();
    let is_end = |part: &&str| part.starts_with("Usage:") || part.starts_with("For more information");
    let parts = rendered.trim_end().split("\n\n").take_while(|part| !is_end(part));
    let mut line = parts.map(joined).collect::<Vec<_>>().join(". ");
    if !line.ends_with(['.', '?']) {
        line.push('.');
    }
    let command = words.iter().skip(1).filter_map(|word| word.to_str());
    let command = command.filter_map(|word| grammar.find_subcommand(word)).map(Command::get_name).next();
    match command {
        Some(command) => format!("{line} See `backy2 help {command}`."),
        None => format!("{line} See `backy2 help`."),
    }
}

/// A paragraph of clap's as one line. A list behind a colon gets commas.
fn joined(part: &str) -> String {
    let mut lines = part.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let first = match first.strip_prefix("tip: ") {
        Some(tip) => capitalized(tip),
        None => first.to_owned(),
    };
    let rest = lines.collect::<Vec<_>>().join(", ");
    if rest.is_empty() { first } else { format!("{first} {rest}") }
}

/// The text with its first letter in upper case.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The commands that `word` may stand for: the one that other programs call so, or else those that begin with it, or
/// else those nearest to it. None if there are many or all are far.
fn meant<'g>(word: &str, grammar: &'g Command) -> Vec<&'g str> {
    let word = word.to_lowercase();
    let commands = grammar.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<&str> = commands.map(Command::get_name).collect();
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == word).map(|(_, command)| *command);
    if let Some(command) = synonym {
        return vec![command];
    }
    let begun: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(&word)).collect();
    let found = if begun.is_empty() { nearest(&word, &names) } else { begun };
    if found.len() > NAMED { Vec::new() } else { found }
}

/// The names with the smallest number of typing errors, which is at most a third of the letters.
fn nearest<'g>(word: &str, names: &[&'g str]) -> Vec<&'g str> {
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let limit = word.chars().count() / 3;
    let Some(least) = names.iter().map(|name| distance(name)).min().filter(|least| *least <= limit) else {
        return Vec::new();
    };
    let (removing, harmless): (Vec<&str>, Vec<&str>) = names
        .iter()
        .copied()
        .filter(|name| distance(name) == least)
        .partition(|name| REMOVING.contains(name));
    if harmless.is_empty() { removing } else { harmless }
}

/// A text in the context of the error.
fn text_of(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::{grammar, parse};

    fn said(words: &[&str]) -> String {
        let words: Vec<OsString> =
            std::iter::once("backy2").chain(words.iter().copied()).map(Into::into).collect();
        line(&parse(words.clone()).expect_err("wrong usage"), &grammar(), &words)
    }

    #[test]
    fn an_error_is_one_line_and_names_the_help() {
        for (words, wanted) in [
            (
                &["backup"][..],
                "error: the following required arguments were not provided: <SOURCE>, <NAME>. See `backy2 help backup`.",
            ),
            (&["-m", "rm", "--nope", "x"], "error: unexpected argument '--nope' found"),
            (&["init"], "error: init needs a folder: backy2 -b DIR init. See `backy2 help init`."),
            (&["--nope"], "See `backy2 help`."),
            (
                &["prune", "--keep-daily", "x"],
                "error: invalid value 'x' for '--keep-daily <N>': it must be a whole number, 0 or more, or unlimited. \
                 See `backy2 help prune`.",
            ),
            (
                &["prune", "--keep-last=-1"],
                "invalid value '-1' for '--keep-last <N>': it must be a whole number",
            ),
            (&["prune", "--keep-within", "1w"], "it must be a time such as 2y5m7d3h"),
            (
                &["prune", "--keep-daily", "0"],
                "the rules keep nothing: one of the numbers must not be 0. See",
            ),
            (&["ls", "--feilds", "x"], "A similar argument exists: '--fields'"),
        ] {
            let line = said(words);
            assert!(line.contains(wanted) && !line.contains('\n') && !line.contains("Usage"), "{line}");
        }
    }

    #[test]
    fn the_nearest_command_is_named() {
        for (word, commands) in [
            ("scrubb", "'scrub'"),
            ("restor", "'restore'"),
            ("bakcup", "'backup'"),
            ("runn", "'run'"),
            ("ru", "'run'"),
            ("prun", "'prune'"),
            ("stat", "'status' or 'stats'"),
            ("initdbb", "'initdb'"),
            ("verify", "'scrub'"),
            ("mount", "'fuse'"),
            ("delete", "'rm'"),
            ("DELETE", "'rm'"),
            ("list", "'ls'"),
            ("gc", "'cleanup'"),
            ("forget", "'prune'"),
            ("purge", "'prune'"),
            ("dump", "'export'"),
        ] {
            let wanted = format!(
                "error: there is no command '{word}'. Did you mean {commands}? `backy2 help` lists the commands."
            );
            assert_eq!(said(&[word]), wanted);
        }
        for far in ["xylophone", "rn", "r", "x"] {
            let wanted = format!("error: there is no command '{far}'. `backy2 help` lists the commands.");
            assert_eq!(said(&[far]), wanted);
        }
    }

    #[test]
    fn a_removing_command_is_not_named_beside_one_that_is_as_near() {
        assert_eq!(nearest("pruns", &["prune", "prunt"]), ["prunt"]);
        assert_eq!(nearest("pruns", &["prune", "backup"]), ["prune"]);
    }

    #[test]
    fn every_synonym_stands_for_a_command() {
        let is_command = |word: &str| grammar().find_subcommand(word).is_some();
        for (word, command) in SYNONYMS {
            assert!(is_command(command) && !is_command(word), "{word}");
        }
    }
}
