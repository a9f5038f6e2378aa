//! Global options that follow the command, which 2.13 does not accept.
//!
//! A command line is read without them first, so that everything which 2.13 accepts keeps its meaning: `-s` of `ls` is
//! the name of a snapshot, and `--s` may stand for it.

use super::args::{Cli, Global};
use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::ffi::OsString;

/// Whether the error may be a global option that follows the command.
pub(super) fn may_help(error: &Error) -> bool {
    error.kind() == ErrorKind::UnknownArgument
}

/// Parses a command line of `grammar`, with global options anywhere.
///
/// # Errors
/// Wrong usage.
pub(super) fn parse(mut grammar: Command, words: &[OsString]) -> Result<Cli, Error> {
    let names: Vec<String> = grammar.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        grammar = grammar.mut_subcommand(name, with_globals);
    }
    let matches = grammar.try_get_matches_from_mut(words)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))?;
    if let Some((_, own)) = matches.subcommand() {
        add(&mut cli.global, own);
    }
    if cli.global.configfile.is_some() && cli.global.backupdir.is_some() {
        let text = "the argument '--configfile <FILE>' cannot be used with '--backupdir <DIR>'";
        return Err(grammar.error(ErrorKind::ArgumentConflict, text));
    }
    Ok(cli)
}

/// The command, with those global options whose names it does not use itself.
fn with_globals(command: Command) -> Command {
    let globals = Global::augment_args(Command::new("global"));
    globals.get_arguments().filter(|option| option.get_id() != "version").fold(command, |command, option| {
        let own = |named: &dyn Fn(&clap::Arg) -> bool| command.get_arguments().any(named);
        if own(&|arg| arg.get_long() == option.get_long() || arg.get_id() == option.get_id()) {
            return command;
        }
        let mut option = option.clone().hide(true);
        if own(&|arg| arg.get_short() == option.get_short()) {
            option = option.short(None);
        }
        command.arg(option)
    })
}

/// Adds the global options among the matches of a command.
fn add(global: &mut Global, own: &ArgMatches) {
    let flag = |name| own.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    let word = |name| own.try_get_one::<OsString>(name).ok().flatten().cloned();
    global.verbose |= flag("verbose");
    global.debug |= flag("debug");
    global.machine_output |= flag("machine_output");
    global.skip_header |= flag("skip_header");
    global.human_readable |= flag("human_readable");
    global.json |= flag("json");
    global.configfile = word("configfile").or_else(|| global.configfile.take());
    global.backupdir = word("backupdir").or_else(|| global.backupdir.take());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::{grammar, parse as read};

    fn global(line: &[&str]) -> Global {
        let words = std::iter::once("backy2").chain(line.iter().copied()).map(OsString::from);
        read(words).expect("right usage").global
    }

    #[test]
    fn every_global_option_may_follow_the_command() {
        let options = Global::augment_args(Command::new("x"));
        let mut line = vec!["locks".to_owned()];
        for option in options
            .get_arguments()
            .filter(|option| !["version", "backupdir"].contains(&option.get_id().as_str()))
        {
            line.push(format!("--{}", option.get_long().expect("a long name")));
            line.extend(option.get_action().takes_values().then(|| "x.cfg".to_owned()));
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let all = global(&line);
        assert!(
            all.verbose
                && all.debug
                && all.machine_output
                && all.skip_header
                && all.human_readable
                && all.json
        );
        assert_eq!(all.configfile, Some("x.cfg".into()));
        assert_eq!(global(&["ls", "-b", "dir"]).backupdir, Some("dir".into()));
        assert_eq!(global(&["init", "-b", "dir"]).backupdir, Some("dir".into()));
        assert!(global(&["-m", "ls", "-r"]).machine_output && global(&["ls", "vm1", "-mv"]).verbose);
        assert_eq!(global(&["-c", "a", "ls", "-c", "b"]).configfile, Some("b".into()));
    }

    #[test]
    fn the_options_of_the_command_come_first() {
        assert!(!global(&["ls", "-s", "snapshot"]).skip_header);
        assert!(!global(&["restore", "-s", "u", "t"]).skip_header, "-s is --sparse");
        assert!(!global(&["ls", "--s", "snapshot"]).skip_header, "as short as in 2.13");
        assert_eq!(global(&["backup", "-c", "uid", "/a", "n"]).configfile, None);
        assert_eq!(global(&["backup", "--configfile", "f", "/a", "n"]).configfile, Some("f".into()));
        assert!(!global(&["nbd", "-r"]).human_readable);
    }

    #[test]
    fn a_file_and_a_folder_exclude_each_other_wherever_they_stand() {
        for line in [&["-c", "f", "ls", "-b", "d"][..], &["ls", "-c", "f", "-b", "d"]] {
            let words = std::iter::once("backy2").chain(line.iter().copied()).map(OsString::from);
            let error = read(words).expect_err("a conflict");
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line:?}");
        }
    }

    #[test]
    fn the_extended_grammar_holds_together() {
        let names: Vec<String> =
            grammar().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let all = names.into_iter().fold(grammar(), |all, name| all.mut_subcommand(name, with_globals));
        all.debug_assert();
    }
}
