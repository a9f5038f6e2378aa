//! The command line's grammar, built by clap from the definitions of the arguments.

use super::args::{Cli, Command, ExportArgs, Global, ImportArgs};
use super::{environment, help, overview, trailing};
use crate::io;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// Commands about the program itself.
const HELP: &str = "help";
const VERSION: &str = "version";
/// The argument of `help`.
const TOPIC: &str = "topic";

/// Parses a command line; its first word is the program's name.
///
/// # Errors
/// Wrong usage. A request for help or for the version is also returned as an error, of its own kind.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut grammar = grammar();
    let mut cli = match grammar.try_get_matches_from_mut(&words) {
        Ok(matches) => {
            about_the_program(&mut grammar, &matches)?;
            Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))?
        }
        Err(error) if trailing::may_help(&error) => {
            trailing::parse(self::grammar(), &words).map_err(|error| help::with_tip(error, &grammar))?
        }
        Err(error) => return Err(help::with_tip(error, &grammar)),
    };
    environment::complete(&mut cli.global, |name| std::env::var_os(name))
        .map_err(|text| grammar.error(ErrorKind::ArgumentConflict, text))?;
    let no_folder = cli.global.backupdir.as_ref().is_none_or(|dir| dir.is_empty());
    if no_folder && matches!(cli.command, Some(Command::Init)) {
        return Err(
            grammar.error(ErrorKind::MissingRequiredArgument, "init needs a folder: backy2 -b DIR init")
        );
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
    if let Some(Command::Prune(args)) = &cli.command
        && args.rules().is_some_and(|rules| rules.is_empty())
    {
        let text = "the rules keep nothing: one of the numbers must not be 0";
        return Err(grammar.error(ErrorKind::ValueValidation, text));
    }
    if let Some(argument) = cli.command.as_ref().and_then(empty_argument) {
        let text = format!("the argument '<{argument}>' is empty, and needs a value");
        return Err(grammar.error(ErrorKind::InvalidValue, text));
    }
    Ok(cli)
}

/// Answers `help` and `version` as clap answers `--help` and `--version`, which is with an error of its own kind.
fn about_the_program(grammar: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let program = env!("CARGO_PKG_NAME");
    let words = match matches.subcommand() {
        Some((HELP, help)) => match help.get_one::<String>(TOPIC) {
            Some(command) => vec![program, command, "--help"],
            None => vec![program, "--help"],
        },
        Some((VERSION, _)) => vec![program, "--version"],
        _ => return Ok(()),
    };
    grammar.try_get_matches_from_mut(words).map(|_| ())
}

/// The commands `help` and `version`.
fn with_commands_about_the_program(grammar: clap::Command) -> clap::Command {
    let topic = Arg::new(TOPIC).value_name("COMMAND").help("The command to explain [default: all, briefly]");
    let help = clap::Command::new(HELP).about("Show the help, or explain one command").arg(topic);
    grammar.subcommands([help, clap::Command::new(VERSION).about("Print the version")])
}

/// The help, as somebody on a terminal sees it who names no command.
pub(crate) fn overview() -> String {
    let usage = "backy2 [OPTIONS] COMMAND [ARGUMENTS]";
    grammar().override_usage(usage).render_help().to_string()
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
        Command::Report(args) if args.file.is_empty() => Some("FILE"),
        _ => None,
    }
}

/// The output of `backy2` without arguments. The shipped bash completion reads the commands between the braces.
pub(crate) fn usage() -> String {
    format!("usage: {}\n", usage_after(&commands(), "              "))
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
    let all = commands();
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
    let mut grammar = negative_numbers(commands());
    let names: Vec<String> = grammar.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        grammar = grammar.mut_subcommand(name, negative_numbers);
    }
    let usage = usage_after(&grammar, "       ");
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        overview::commands(&grammar)
    );
    grammar.override_usage(usage).help_template(template)
}

/// The derived grammar with all commands.
fn commands() -> clap::Command {
    with_commands_about_the_program(Cli::command())
}

/// Accepts `-5` as the value of every argument that takes one.
fn negative_numbers(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| {
        let takes_value = arg.is_positional() || arg.get_action().takes_values();
        if takes_value { arg.allow_negative_numbers(true) } else { arg }
    })
}
