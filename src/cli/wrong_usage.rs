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
    ("purge", "cleanup"),
    ("diff", "diff-meta"),
    ("tag", "add-tag"),
    ("untag", "remove-tag"),
    ("repair", "rebuild"),
    ("unlock", "locks"),
    ("setup", "init"),
    ("man", "help"),
];

/// The error as one line, without a line break at its end. The command line is `words`.
pub(super) fn line(error: &Error, grammar: &Command, words: &[OsString]) -> String {
    if let (ErrorKind::InvalidSubcommand, Some(word)) =
        (error.kind(), text_of(error, ContextKind::InvalidSubcommand))
    {
        let meant =
            synonym(&word).map(str::to_owned).or_else(|| text_of(error, ContextKind::SuggestedSubcommand));
        let tip = meant.map(|meant| format!(" Did you mean '{meant}'?")).unwrap_or_default();
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

/// The command that `word` stands for in other programs.
fn synonym(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    SYNONYMS.iter().find(|(synonym, _)| *synonym == word).map(|(_, command)| *command)
}

/// A text in the context of the error, or the best of several, which clap puts last.
fn text_of(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.last().cloned(),
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
            (&["ls", "--feilds", "x"], "A similar argument exists: '--fields'"),
        ] {
            let line = said(words);
            assert!(line.contains(wanted) && !line.contains('\n') && !line.contains("Usage"), "{line}");
        }
    }

    #[test]
    fn the_nearest_command_is_named() {
        for (word, command) in [
            ("scrubb", "scrub"),
            ("restor", "restore"),
            ("verify", "scrub"),
            ("mount", "fuse"),
            ("delete", "rm"),
            ("DELETE", "rm"),
            ("list", "ls"),
            ("gc", "cleanup"),
            ("forget", "prune"),
        ] {
            let wanted = format!(
                "error: there is no command '{word}'. Did you mean '{command}'? `backy2 help` lists the commands."
            );
            assert_eq!(said(&[word]), wanted);
        }
        let far = "error: there is no command 'xylophone'. `backy2 help` lists the commands.";
        assert_eq!(said(&["xylophone"]), far);
    }

    #[test]
    fn every_synonym_stands_for_a_command() {
        let is_command = |word: &str| grammar().find_subcommand(word).is_some();
        for (word, command) in SYNONYMS {
            assert!(is_command(command) && !is_command(word), "{word}");
        }
    }
}
