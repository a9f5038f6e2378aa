use super::*;
use crate::cli::grammar::{grammar, parse, usage};
use clap::error::ErrorKind;

fn read(line: &[&str]) -> Result<Cli, clap::Error> {
    parse(std::iter::once("backy2").chain(line.iter().copied()).map(OsString::from))
}

fn command(line: &[&str]) -> Command {
    read(line).expect("right usage").command.expect("a command")
}

fn backup(line: &[&str]) -> BackupArgs {
    match command(line) {
        Command::Backup(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grammar_holds_together() {
    grammar().debug_assert();
}

#[test]
fn global_options_may_be_bundled_repeated_and_shortened() {
    let cli = read(&["-msr", "-v", "-v", "--deb", "-cx.cfg", "ls"]).expect("right usage");
    let global = cli.global;
    assert!(global.machine_output && global.skip_header && global.human_readable);
    assert!(global.verbose && global.debug);
    assert_eq!(global.configfile, Some("x.cfg".into()));
    let cli = read(&["-c", "a", "--conf", "b", "--mach", "ls", "-f", "x", "-f", "y"]).expect("right usage");
    assert_eq!(cli.global.configfile, Some("b".into()));
    assert!(cli.global.machine_output);
}

#[test]
fn options_may_follow_positionals() {
    let args = backup(&["backup", "file:///a", "-s", "snap", "name", "--exp", "2030-01-02", "--from", "u"]);
    assert_eq!((args.source.as_str(), args.name.as_str()), ("file:///a", "name"));
    assert_eq!(args.snapshot_name, "snap");
    assert_eq!(args.expire.as_deref(), Some("2030-01-02"));
    assert_eq!(args.from_version.as_deref(), Some("u"));
}

#[test]
fn an_incremental_backup_finds_its_base_itself() {
    let args = backup(&["backup", "--incr", "rbd://p/i", "name", "-t", "a"]);
    assert!(args.incremental && args.rbd.is_none() && args.tag.is_some());
    for more in [&["-r", "h"][..], &["-f", "u"], &["-c", "u"], &["-s", "x"]] {
        let words = [&["backy2", "backup", "--incremental", "rbd://p/i", "n"], more].concat();
        assert!(parse(words.into_iter().map(Into::into)).is_err(), "{more:?}");
    }
    assert!(backup(&["backup", "--incremental", "-s", "x", "/a", "n"]).incremental);
}

#[test]
fn unusual_values_are_values() {
    let args = backup(&["backup", "-r", "-", "-t", "", "file:///a", "-5"]);
    assert_eq!(args.rbd, Some("-".into()));
    assert_eq!(args.tag.as_deref(), Some(""));
    assert_eq!(args.name, "-5");
    match command(&["restore", "-c", "-1", "u", "t"]) {
        Command::Restore(args) => assert_eq!(args.continue_from.as_deref(), Some("-1")),
        other => panic!("{other:?}"),
    }
    match command(&["scrub", "-p", "x", "u"]) {
        Command::Scrub(args) => assert_eq!(args.percentile, "x"),
        other => panic!("{other:?}"),
    }
    match command(&["scrub", "u"]) {
        Command::Scrub(args) => assert_eq!(args.percentile, "100"),
        other => panic!("{other:?}"),
    }
    match command(&["cleanup", "--dangerous", "-p", "", "--full"]) {
        Command::Cleanup(args) => {
            assert!(args.dangerous_force && args.full);
            assert_eq!(args.prefix.as_deref(), Some(""));
        }
        other => panic!("{other:?}"),
    }
    match command(&["ls", "-f", "", "-e", "-t", "x", "n"]) {
        Command::Ls(args) => {
            assert_eq!(args.fields.as_deref(), Some(""));
            assert!(args.expired);
            assert_eq!((args.tag.as_deref(), args.name.as_deref()), (Some("x"), Some("n")));
        }
        other => panic!("{other:?}"),
    }
    assert!(read(&["-c", "", "ls"]).expect("right usage").global.configfile.is_some());
}

#[test]
fn wrong_usage_is_reported_on_stderr_with_exit_code_2() {
    let wrong: &[&[&str]] = &[
        &["frobnicate"],
        &["help", "frobnicate"],
        &["completion"],
        &["completion", "tcsh"],
        &["back", "file:///a", "n"],
        &["init"],
        &["-b", "", "init"],
        &["-c", "f", "-b", "d", "ls"],
        &["backup"],
        &["backup", "file:///a"],
        &["backup", "file:///a", "n", "more"],
        &["backup", "-t", "-x", "file:///a", "n"],
        &["restore", "u"],
        &["rm"],
        &["ls", "--nope"],
        &["ls", "-V"],
        &["--ver", "ls"],
        &["-c"],
    ];
    for line in wrong {
        let error = read(line).expect_err("wrong usage");
        assert_eq!(error.exit_code(), 2, "{line:?}");
        assert!(error.use_stderr(), "{line:?}");
    }
    assert!(matches!(command(&["-b", "d", "init"]), Command::Init));
}

#[test]
fn tips_do_not_mislead() {
    let said = |line: &[&str]| read(line).expect_err("wrong usage").to_string();
    for (line, word) in [(&["ls", "-V"][..], "'-V'"), (&["due", "--version"], "'--version'")] {
        let text = said(line);
        assert!(text.contains(&format!("{word} must stand before the command")), "{text}");
        assert!(!text.contains("as a value"), "{text}");
    }
    for (line, tip) in [(&["statts"][..], "'stats'"), (&["ls", "--feilds", "x"], "--fields")] {
        assert!(said(line).contains(tip), "{}", said(line));
    }
    assert!(said(&["fuse"]).contains("<MOUNT>"));
}

#[test]
fn help_and_version_win_over_the_rest() {
    for line in [&["-V"][..], &["-V", "ls"], &["-mV"], &["--versi"]] {
        assert_eq!(read(line).expect_err("the version").kind(), ErrorKind::DisplayVersion, "{line:?}");
    }
    for line in [&["-h"][..], &["backup", "-h"], &["--help"]] {
        let error = read(line).expect_err("the help");
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0), "{line:?}");
    }
    let help = read(&["backup", "-h"]).expect_err("the help").to_string();
    assert!(help.contains("Example"), "{help}");
    assert_eq!(read(&["help", "backup"]).expect_err("the help").to_string(), help);
    let whole = read(&["help"]).expect_err("the help").to_string();
    assert_eq!(read(&["-m", "help"]).expect_err("the help").to_string(), whole);
    assert!(whole.contains("Back up and restore:\n  backup "), "{whole}");
    assert_eq!(read(&["version"]).expect_err("the version").kind(), ErrorKind::DisplayVersion);
    assert!(read(&[]).expect("no command is no wrong usage").command.is_none());
}

#[test]
fn the_usage_lists_the_commands_in_braces() {
    assert_eq!(
        usage(),
        "usage: backy2 [-h] [-v] [-d] [-m] [-s] [-r] [--json] [-V] [-c CONFIGFILE | -b BACKUPDIR]\n              \
         {initdb,init,backup,run,restore,protect,unprotect,rm,scrub,export,import,cleanup,status,report,ls,stats,diff-meta,du,\
         fuse,nbd,rekey,migrate-encryption,migrate-db,rebuild,upgrade,downgrade-check,check,locks,add-tag,remove-tag,expire,due,sla,prune,completion,help,version}\n              ...\n"
    );
    let help = read(&["-h"]).expect_err("the help").to_string();
    assert!(help.contains("{initdb,init,backup"), "{help}");
}

#[test]
fn commands_know_their_kind_and_whether_they_mind_signals() {
    assert_eq!(command(&["backup", "s", "n"]).kind(), CommandKind::Backup);
    assert_eq!(command(&["restore", "u", "t"]).kind(), CommandKind::Restore);
    assert_eq!(command(&["ls"]).kind(), CommandKind::Other);
    assert_eq!(command(&["sla", "--check"]).kind(), CommandKind::Monitoring);
    assert_eq!(command(&["sla"]).kind(), CommandKind::Other);
    assert!(command(&["prune"]).minds_signals());
    assert!(command(&["scrub", "u"]).minds_signals());
    assert!(!command(&["ls"]).minds_signals());
}
