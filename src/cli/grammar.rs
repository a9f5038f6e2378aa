//! The command line's grammar, built by clap from the definitions of the arguments.

use super::args::{Cli, Command, ExportArgs, Global, ImportArgs};
use super::help;
use crate::io;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// Parses a command line; its first word is the program's name.
///
/// # Errors
/// Wrong usage. A request for help or for the version is also returned as an error, of its own kind.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(words).map_err(|error| help::with_tip(error, &grammar))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))?;
    let no_folder = cli.global.backupdir.as_ref().is_none_or(|dir| dir.is_empty());
    if no_folder && matches!(cli.command, Some(Command::Init)) {
        return Err(grammar.error(
            ErrorKind::MissingRequiredArgument,
            "init needs a folder, given before the command: backy2 -b DIR init",
        ));
    }
    if let Some(Command::Backup(args)) = &cli.command
        && args.incremental
        && !args.snapshot_name.is_empty()
        && matches!(io::kind(&args.source), Ok(io::UrlKind::Rbd))
    {
        return Err(grammar.error(
            ErrorKind::ArgumentConflict,
            "the argument '--incremental' makes the snapshot of an RBD image itself, and records its name: \
             '--snapshot-name' cannot be used with it",
        ));
    }
    if let Some(argument) = cli.command.as_ref().and_then(empty_argument) {
        let text = format!("the argument '<{argument}>' is empty, and needs a value");
        return Err(grammar.error(ErrorKind::InvalidValue, text));
    }
    Ok(cli)
}

/// The name of an argument that is wrongly empty, like an unset variable in a script. 2.13 took it for a name.
fn empty_argument(command: &Command) -> Option<&'static str> {
    let blank = |text: &str| text.trim_matches(|c: char| c == ',' || c.is_whitespace()).is_empty();
    match command {
        Command::Backup(args) if blank(&args.name) => Some("NAME"),
        Command::AddTag(args) if blank(&args.tags) => Some("TAGS"),
        Command::MigrateDb(args) if blank(&args.target_engine) => Some("TARGET_ENGINE"),
        Command::Export(ExportArgs { filename, .. }) | Command::Import(ImportArgs { filename })
            if filename.is_empty() =>
        {
            Some("FILENAME")
        }
        _ => None,
    }
}

/// The output of `backy2` without arguments. The shipped bash completion reads the commands between the braces.
pub(crate) fn usage() -> String {
    format!("usage: {}\n", usage_after(&Cli::command(), "              "))
}

/// The usage with its second and third line indented by `indent`.
fn usage_after(grammar: &clap::Command, indent: &str) -> String {
    let names: Vec<_> = visible_commands(grammar).map(clap::Command::get_name).collect();
    format!(
        "backy2 [-h] [-v] [-d] [-m] [-s] [-r] [--json] [-V] [-c CONFIGFILE | -b BACKUPDIR]\n\
         {indent}{{{}}}\n{indent}...",
        names.join(",")
    )
}

/// The commands that the help lists.
fn visible_commands(grammar: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    grammar.get_subcommands().filter(|command| !command.is_hide_set())
}

/// The grammar for completions and manual pages: everything but the hidden commands.
pub(crate) fn documented() -> clap::Command {
    let all = Cli::command();
    let options = Global::augment_args(clap::Command::new(env!("CARGO_PKG_NAME")));
    options
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommands(visible_commands(&all).cloned())
}

/// The derived grammar, with additions that attributes cannot express.
pub(super) fn grammar() -> clap::Command {
    let mut grammar = negative_numbers(Cli::command());
    let names: Vec<String> = grammar.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        grammar = grammar.mut_subcommand(name, negative_numbers);
    }
    let usage = usage_after(&grammar, "       ");
    grammar.override_usage(usage)
}

/// Accepts `-5` as the value of every argument that takes one.
fn negative_numbers(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| {
        let takes_value = arg.is_positional() || arg.get_action().takes_values();
        if takes_value { arg.allow_negative_numbers(true) } else { arg }
    })
}
