//! The terminal: reads arguments, prints text, and sets exit codes.
//!
//! Modules of lower layers never print, exit, or read the command line or the environment.

pub(crate) mod args;
pub(crate) mod commands;
pub(crate) mod csv_list;
pub(crate) mod dates;
mod environment;
pub(crate) mod exit;
pub(crate) mod facts;
pub(crate) mod grammar;
mod help;
mod hooks;
pub(crate) mod human;
mod input;
mod limits;
pub(crate) mod listing;
mod live;
pub(crate) mod log;
mod manual;
mod metrics;
mod overview;
mod panic;
mod paths;
mod progress;
mod remedy;
mod report;
mod secret;
pub(crate) mod sheet;
pub(crate) mod table;
#[cfg(test)]
mod tape;
pub(crate) mod terminal;
mod trailing;
mod wrong_usage;

use crate::config::{self, Config, Origin, Places, StoreConfig};
use crate::monitor::{self, Monitor};
use crate::sys::{private, title};
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use crate::types::text;
use args::{Cli, Command, CommandKind, Global};
use clap::error::ErrorKind;
use exit::Outcome;
use facts::{Facts, Start};
use hooks::Around;
use log::{Log, Loudness};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use table::Style;
use terminal::{Reader, Terminal};

/// Exit code for wrong usage.
const WRONG_USAGE: u8 = 2;

/// Everything that a command needs besides its arguments.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Shows all output, and is the engine's monitor.
    pub terminal: Terminal,
    /// How tables are shown.
    pub style: Style,
    /// Whether results are printed as JSON instead of tables.
    pub json: bool,
    /// The options that select the configuration, for further processes.
    pub options: Vec<OsString>,
    /// The width of the terminal in columns, if people read the results there; `None` for scripts, pipes and JSON.
    pub screen: Option<usize>,
}

impl Context {
    /// The width for a listing for people, unless `wide` or a choice of `fields` asks for the table.
    pub fn screen_for(&self, wide: bool, fields: Option<&str>) -> Option<usize> {
        self.screen.filter(|_| !wide && fields.is_none())
    }

    /// How a sheet is shown on a terminal of `width` columns.
    pub(crate) fn look(&self, width: usize) -> sheet::Look {
        sheet::Look { width: Some(width), colours: false, skip_header: self.style.skip_header }
    }

    /// Prints one JSON document on a line of its own.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn print_json(&self, value: &serde_json::Value) -> Result<()> {
        self.terminal.print(&format!("{value}\n"))
    }

    /// Prints the document that `value` makes, if JSON output was requested.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn report(&self, value: impl FnOnce() -> serde_json::Value) -> Result<()> {
        if self.json { self.print_json(&value()) } else { Ok(()) }
    }
}

/// The program.
pub fn main() -> ExitCode {
    // The title is written over the memory of the arguments, so this comes before anything keeps a pointer to it.
    title::init();
    panic::install();
    limits::prepare();
    let words: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(panic::guarded(|| run(words)).unwrap_or(exit::FAILED))
}

fn run(words: Vec<OsString>) -> u8 {
    if let Ok(spec) = std::env::var("BACKY2_FAILPOINT") {
        crate::failpoint::arm(&spec);
    }
    // Like any long option, it may be shortened.
    let is_json = |word: &str| word.len() > 2 && "--json".starts_with(word);
    let wants_json = words.iter().filter_map(|word| word.to_str()).any(is_json);
    if wants_json {
        limits::answer_in_json();
    }
    let parsed = grammar::parse(words.clone());
    match parsed {
        Err(answer) => print_clap_answer(&answer, &words, wants_json),
        Ok(Cli { command: None, global }) => {
            let error = || format!("{}\n", exit::json("No command was given.", exit::CANNOT_BEGIN));
            to_stdout(&match global {
                Global { json: true, .. } => error(),
                Global { machine_output: false, .. } if live::is_watched() => grammar::overview(),
                // The shipped bash completion of 2.13 reads this.
                _ => grammar::usage(),
            });
            exit::CANNOT_BEGIN
        }
        Ok(Cli { global, command: Some(command) }) => {
            let kind = command.kind();
            let first_line = first_line(&words, &command);
            session(&global, &command, &first_line).unwrap_or_else(|error| {
                // There is no log yet.
                let lines = exit::describe(&error, global.debug);
                let _ = lines.iter().try_for_each(|line| writeln!(std::io::stderr(), "{}", log::clean(line)));
                let code = exit::code(&error, kind);
                to_stdout(&exit::answer(&lines.join("\n"), code, kind, global.json));
                code
            })
        }
    }
}

/// Runs a command, and logs its first and last line.
///
/// # Errors
/// The configuration or the logfile cannot be used, so there is no log yet.
fn session(global: &Global, command: &Command, first_line: &str) -> Result<u8> {
    // Cron mails whatever is printed.
    let only_problems = matches!(command, Command::Run(_)) && !live::possible() && !global.verbose;
    let quiet = global.machine_output || global.json || command.kind() == CommandKind::Monitoring;
    let debug = global.verbose || global.debug;
    let to_stderr = command.prints_data() || only_problems;
    let loudness = Loudness { quiet, only_problems, debug, to_stderr };
    let origin = origin(global);
    if let Command::GenerateDocs { dir } = command {
        return commands::generate(dir).map(Outcome::code);
    }
    if let Command::Completion { shell } = command {
        to_stdout(&commands::completion(*shell)?);
        return Ok(exit::DONE);
    }
    if let (Command::Init, Origin::Folder(dir)) = (command, &origin) {
        // The installation and its logfile do not exist yet.
        let log = Log::open(loudness, None)?;
        let terminal = terminal(log, global, env!("CARGO_PKG_NAME"));
        begin(&terminal, first_line, &[], command, false)?;
        let result = panic::guarded(|| commands::init(&terminal, dir));
        return Ok(end(&terminal, result, command.kind(), global, |_, _| ()));
    }
    let root = rustix::process::geteuid().is_root();
    let places = Places::new(root, std::env::home_dir(), |name| std::env::var_os(name));
    let mut config = config::load(&origin, &places)?;
    for folder in &config.own_folders {
        // An error shows when the folder is used.
        let _ = private::make_folders(folder, FileMode::PRIVATE);
    }
    if let StoreConfig::S3(store) = &mut config.data.store {
        store.complete(|name| std::env::var(name).ok());
    }
    // Other processes look for this name before they take exclusive locks.
    title::set(&log::clean(&config.process_name));
    let log = Log::open(loudness, Some((&config.logfile, config.file_mode)))?;
    let terminal = terminal(log, global, &config.process_name);
    let mut facts = Facts::of(command);
    let has_more_to_do = facts.command.is_some() && (config.metrics_file.is_some() || config.hooks.any());
    begin(&terminal, first_line, &config.warnings, command, has_more_to_do)?;
    let style = Style {
        machine: global.machine_output,
        skip_header: global.skip_header,
        human: global.human_readable,
    };
    let screen = (!quiet && live::is_watched()).then(live::width);
    let context = Context { config, terminal, style, json: global.json, options: options(global), screen };
    let start = Start::now();
    let hooks = Around::new(&context.config.hooks, &context.terminal, global);
    let result = panic::guarded(|| {
        hooks.before(&facts)?;
        commands::run(&context, command, &mut facts)
    });
    Ok(end(&context.terminal, result, command.kind(), global, |code, error| {
        let ended = start.end(code, error);
        metrics::write(&context, &facts, &ended);
        hooks.after(&facts, &ended);
    }))
}

/// The configuration to read.
fn origin(global: &Global) -> Origin {
    match (&global.backupdir, &global.configfile) {
        (Some(dir), _) => Origin::Folder(PathBuf::from(dir)),
        (None, Some(file)) => Origin::File(PathBuf::from(file)),
        (None, None) => Origin::Search,
    }
}

fn terminal(log: Log, global: &Global, process_name: &str) -> Terminal {
    // With `--json` the uid of a version is printed only in the document.
    let reader = match global {
        Global { json: true, .. } => Reader::Lines,
        Global { machine_output: true, .. } => Reader::Script,
        _ if live::possible() => Reader::Screen,
        _ => Reader::Lines,
    };
    Terminal::new(log, reader, process_name, Box::new(title::set))
}

/// Logs the first line and warnings about the configuration, and watches for signals from now on. `has_more_to_do` says that
/// the program has work to do even after a signal has ended the command.
fn begin(
    terminal: &Terminal,
    first_line: &str,
    warnings: &[String],
    command: &Command,
    has_more_to_do: bool,
) -> Result<()> {
    terminal.info(first_line);
    for warning in warnings {
        terminal.notice(warning);
    }
    let waits = command.gives_up_waiting().then(monitor::signal_cell);
    let watched = terminal.watch_signals(command.minds_signals() || has_more_to_do, waits);
    watched.map_err(|error| Error::internal(because("cannot install signal handlers", error)))
}

/// Reports the error, if there is one, calls `afterwards` with the exit code and the last error, and logs the last line.
/// Without a result the command has panicked, and the hook of the standard library has reported that.
fn end(
    terminal: &Terminal,
    result: Option<Result<Outcome>>,
    kind: CommandKind,
    global: &Global,
    afterwards: impl FnOnce(u8, Option<String>),
) -> u8 {
    terminal.finish();
    let mut last_error = terminal.last_error();
    let code = match result {
        Some(Ok(outcome)) => outcome.code(),
        Some(Err(error)) => {
            let lines = exit::describe(&error, global.debug);
            last_error = Some(log::clean(&exit::describe(&error, false).join(" ")));
            let code = exit::code(&error, kind);
            match code {
                exit::FAILED => terminal.fail(&lines, exit::CLOSING),
                _ => terminal.error_lines(&lines),
            }
            print_answer(terminal, &exit::answer(&lines.join("\n"), code, kind, global.json));
            code
        }
        None => {
            let code = exit::code_of_panic(kind);
            if code == exit::FAILED {
                terminal.error(&format!("{}\n", exit::CLOSING));
            }
            print_answer(terminal, &exit::answer("internal error", code, kind, global.json));
            last_error = Some("internal error".to_owned());
            code
        }
    };
    afterwards(code, last_error);
    match code {
        exit::DONE => terminal.info("Backy complete.\n"),
        exit::BAD_DATA => {}
        _ => terminal.show_way_on(&words_before(global)),
    }
    code
}

/// Prints the answer to a failed command, if there is one.
fn print_answer(terminal: &Terminal, answer: &str) {
    if !answer.is_empty() {
        // If stdout cannot be written, nothing can be done about it.
        let _ = terminal.print(answer);
    }
}

/// The program and the options that select the configuration, for a command line that the user can repeat.
fn words_before(global: &Global) -> Vec<String> {
    let options = options(global).into_iter().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(env!("CARGO_PKG_NAME").to_owned()).chain(options).collect()
}

/// The options that select the configuration.
fn options(global: &Global) -> Vec<OsString> {
    let mut words = Vec::new();
    for (option, value) in [("-c", &global.configfile), ("-b", &global.backupdir)] {
        if let Some(value) = value {
            words.extend([OsString::from(option), value.clone()]);
        }
    }
    words
}

/// `$ ` and the command line, with a key in it masked.
fn first_line(words: &[OsString], command: &Command) -> String {
    let secret = command.secret();
    let mut line = "$".to_owned();
    for word in words {
        line.push(' ');
        match secret {
            Some(secret) if word == secret => line += secret::MASK,
            _ => line += &word.to_string_lossy(),
        }
    }
    secret::without_keys(&line, words)
}

/// What `version` and `--version` say about the build, so that reports of problems tell the builds apart. Scripts use
/// `-V`, which prints the number alone.
fn build(words: &[OsString]) -> &'static str {
    let in_full = words.iter().any(|word| word == "version" || word == "--version");
    if in_full && cfg!(target_feature = "crt-static") { " (static, without rbd://)" } else { "" }
}

/// Prints clap's answer if no command is run: help, the version, or a usage error in one line. Masks words of the command
/// line that could be a key, and escapes words that would move the cursor.
fn print_clap_answer(answer: &clap::Error, words: &[OsString], wants_json: bool) -> u8 {
    if answer.kind() == ErrorKind::DisplayVersion {
        let version = env!("CARGO_PKG_VERSION");
        let document = || serde_json::json!({ "version": version }).to_string();
        to_stdout(&format!("{}\n", if wants_json { document() } else { version.to_owned() + build(words) }));
        return exit::DONE;
    }
    if !answer.use_stderr() {
        // If the stream is closed, nothing can be done about it.
        let _ = answer.print();
        return exit::DONE;
    }
    let grammar = grammar::grammar();
    // The escaped words are just as wrong, so parsing them gives the same error with a safe text.
    let is_unruly = |word: &OsString| word.to_string_lossy().contains(text::is_unruly);
    let line = if words.iter().any(is_unruly) {
        let tame = words.iter().map(|word| OsString::from(text::line(&word.to_string_lossy()).into_owned()));
        let tame: Vec<OsString> = tame.collect();
        let error = grammar::parse(tame.clone()).err();
        error.map_or_else(
            || "error: wrong usage".to_owned(),
            |error| wrong_usage::line(&error, &grammar, &tame),
        )
    } else {
        wrong_usage::line(answer, &grammar, words)
    };
    let line = secret::without_keys(&text::without_numbers(&line), words);
    if wants_json {
        to_stdout(&format!("{}\n", exit::json(&line, WRONG_USAGE)));
    }
    let _ = writeln!(std::io::stderr(), "{line}");
    WRONG_USAGE
}

/// Writes to stdout, and ignores errors.
fn to_stdout(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::tape::Tape;
    use super::*;

    fn ended(result: Option<Result<Outcome>>) -> (u8, String, String) {
        let (out, err) = (Tape::default(), Tape::default());
        let log = Log::with_streams(Loudness::default(), None, out.sink(), err.sink()).expect("a log");
        let terminal = Terminal::new(log, Reader::Lines, "backy2", Box::new(|_| ()));
        let code = end(&terminal, result, CommandKind::Other, &Global::default(), |_, _| ());
        (code, out.text(), err.text())
    }

    #[test]
    fn the_last_line_depends_on_the_exit_code() {
        let complete = "    INFO: Backy complete.\n\n";
        let failed = "   ERROR: x\n   ERROR: Backy failed.\n\n";
        let owned = |code, out: &str, err: &str| (code, out.to_owned(), err.to_owned());
        assert_eq!(ended(Some(Ok(Outcome::Done))), owned(0, complete, ""));
        assert_eq!(ended(Some(Ok(Outcome::Errors))), owned(20, "", ""));
        assert_eq!(ended(Some(Err(Error::refused("x")))), owned(100, "", failed));
        assert_eq!(ended(Some(Err(Error::config("x")))), owned(1, "", "   ERROR: x\n"));
        assert_eq!(ended(None), owned(100, "", "   ERROR: Backy failed.\n\n"));
    }

    #[test]
    fn the_first_line_is_the_command_line() {
        let words = ["backy2", "backup", "-t", "", "file:///a", "x"].map(OsString::from);
        assert_eq!(first_line(&words, &Command::Initdb), "$ backy2 backup -t  file:///a x");
        let words = ["backy2", "rekey", "c0ffee"].map(OsString::from);
        let Ok(Cli { command: Some(command), .. }) = grammar::parse(words.clone()) else {
            panic!("a command")
        };
        assert_eq!(first_line(&words, &command), "$ backy2 rekey ********", "a key never shows");
    }

    #[test]
    fn the_folder_stands_for_its_configuration() {
        let global = |file: Option<&str>, dir: Option<&str>| Global {
            configfile: file.map(OsString::from),
            backupdir: dir.map(OsString::from),
            ..Global::default()
        };
        let is = |origin: Origin, path: &str| match origin {
            Origin::Search => path.is_empty(),
            Origin::File(file) => path == format!("file {}", file.display()),
            Origin::Folder(dir) => path == format!("folder {}", dir.display()),
        };
        assert!(is(origin(&global(None, None)), ""));
        assert!(is(origin(&global(Some("a.cfg"), None)), "file a.cfg"));
        assert!(is(origin(&global(None, Some("d"))), "folder d"));
    }
}
