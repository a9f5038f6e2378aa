//! The help as a whole: the commands by their purpose.

use clap::Command;
use unicode_width::UnicodeWidthStr;

/// Groups of commands, in the order of the help. Commands in none of them form a group of their own at the end.
const GROUPS: &[(&str, &[&str])] = &[
    ("Back up and restore", &["backup", "run", "ls", "restore", "protect", "unprotect", "rm"]),
    ("Schedules", &["due", "sla", "prune", "add-tag", "remove-tag", "expire"]),
    ("Verify and tidy up", &["status", "report", "check", "scrub", "cleanup", "du", "stats", "diff-meta"]),
    ("Use versions without a restore", &["fuse", "nbd"]),
    ("Installation and keys", &["init", "initdb", "rekey", "migrate-encryption"]),
    ("Metadata", &["export", "import", "rebuild", "upgrade", "downgrade-check", "migrate-db", "locks"]),
    ("This program", &["help", "version", "completion"]),
];
/// Heading of the commands that no group has.
const OTHERS: &str = "More commands";
/// Width of the text in columns.
const WIDTH: usize = 80;

/// The part of the help that lists the commands.
pub(super) fn commands(grammar: &Command) -> String {
    let visible = || grammar.get_subcommands().filter(|command| !command.is_hide_set());
    let indent = visible().map(|command| command.get_name().width()).max().unwrap_or(0) + 4;
    let entry = |command: &Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:<width$}{}\n", command.get_name(), wrapped(&about, indent), width = indent - 2)
    };
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let found = names.iter().filter_map(|name| visible().find(|command| command.get_name() == *name));
        let entries: String = found.map(entry).collect();
        if !entries.is_empty() {
            text += &format!("{heading}:\n{entries}\n");
        }
    }
    let is_other = |command: &&Command| !GROUPS.iter().any(|(_, names)| names.contains(&command.get_name()));
    let entries: String = visible().filter(is_other).map(entry).collect();
    if !entries.is_empty() {
        text += &format!("{OTHERS}:\n{entries}\n");
    }
    text
}

/// The text with line breaks, so that it fits between `indent` and [`WIDTH`].
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut used = indent;
    for word in text.split_whitespace() {
        if used > indent && used + 1 + word.width() > WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        }
        if used > indent {
            lines.push(' ');
            used += 1;
        }
        lines += word;
        used += word.width();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::grammar;

    #[test]
    fn every_visible_command_is_listed_once_in_eighty_columns() {
        let grammar = grammar();
        let text = commands(&grammar);
        for command in grammar.get_subcommands() {
            let entries =
                text.lines().filter(|line| line.split_whitespace().next() == Some(command.get_name()));
            let entries = entries.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).count();
            assert_eq!(entries, usize::from(!command.is_hide_set()), "{}: {text}", command.get_name());
        }
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert!(text.starts_with("Back up and restore:\n  backup "), "{text}");
    }

    #[test]
    fn a_command_without_a_group_is_listed_too() {
        let grammar =
            Command::new("x").subcommand(Command::new("backup")).subcommand(Command::new("frob").about("F"));
        assert_eq!(commands(&grammar), "Back up and restore:\n  backup  \n\nMore commands:\n  frob    F\n\n");
    }

    #[test]
    fn long_texts_are_wrapped() {
        let words = "word ".repeat(20);
        let text = wrapped(&words, 10);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("          word")), "{text}");
    }
}
