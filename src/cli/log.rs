//! The log on the console and in the logfile.

use crate::monitor::Level;
use crate::sys::append;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use crate::types::text;
use crate::types::time::Timestamp;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes messages to the console and the logfile, and data to stdout.
pub struct Log {
    out: Stream,
    err: Stream,
    file: Option<Logfile>,
    quiet: bool,
    only_problems: bool,
    debug: bool,
    to_stderr: bool,
}

/// Which messages the console shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loudness {
    /// Errors only (`-m`).
    pub quiet: bool,
    /// Warnings and errors only, because cron mails whatever is printed.
    pub only_problems: bool,
    /// Debug messages too (`-v`, `-d`), unless quiet.
    pub debug: bool,
    /// Send all messages to stderr, because stdout is for data.
    pub to_stderr: bool,
}

struct Logfile {
    path: PathBuf,
    file: File,
    failed: bool,
}

/// A stream whose reader may close it at any time; `| head -1` must not end a backup.
struct Stream {
    sink: Box<dyn Write + Send>,
    gone: bool,
}

impl Stream {
    fn new(sink: Box<dyn Write + Send>) -> Self {
        Stream { sink, gone: false }
    }

    /// Writes all of `text`. Fails if the reader has closed the stream.
    fn put_data(&mut self, text: &str) -> std::io::Result<()> {
        self.put(text)?;
        if self.gone { Err(ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Writes all of `text` at once. Writes nothing, without an error, once the reader has closed the stream.
    fn put(&mut self, text: &str) -> std::io::Result<()> {
        if self.gone {
            return Ok(());
        }
        match self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            other => other,
        }
    }
}

impl Log {
    /// Opens a log on stdout and stderr and, if one is given, in `logfile`, which is created with the given mode.
    ///
    /// # Errors
    /// [`Error::Config`] with the logfile's name, if it cannot be opened for appending.
    pub fn open(loudness: Loudness, logfile: Option<(&Path, FileMode)>) -> Result<Self> {
        let out = Box::new(std::io::stdout());
        let err = Box::new(std::io::stderr());
        Log::with_streams(loudness, logfile, out, err)
    }

    /// As [`Log::open`], but with other streams.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn with_streams(
        loudness: Loudness,
        logfile: Option<(&Path, FileMode)>,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
    ) -> Result<Self> {
        let file = logfile.map(Logfile::open).transpose()?;
        let Loudness { quiet, only_problems, debug, to_stderr } = loudness;
        Ok(Log { out: Stream::new(out), err: Stream::new(err), file, quiet, only_problems, debug, to_stderr })
    }

    /// Whether the console shows messages of this level.
    pub fn shows(&self, level: Level) -> bool {
        match level {
            Level::Debug => self.debug && !self.quiet,
            Level::Info => !self.quiet && !self.only_problems,
            Level::Warning => !self.quiet,
            Level::Error => true,
        }
    }

    /// Writes a message to the console (errors to stderr) and, from INFO up, to the logfile. It is written as one line,
    /// even if names in it have line breaks; only a line break at its end is kept, as an empty line.
    pub fn say(&mut self, level: Level, text: &str) {
        self.put(level, &clean(text));
    }

    /// Writes a message of several lines.
    pub fn say_lines(&mut self, level: Level, lines: &[String]) {
        self.put(level, &cleaned(lines));
    }

    /// Reports the error that ends the command, and the line that 2.13 writes after it. On the console `closing` is a
    /// message of its own, or left out. In the logfile it begins the record of the error, so that the last record
    /// gives the reason.
    pub fn fail(&mut self, lines: &[String], closing: &str, shows_closing: bool) {
        let text = cleaned(lines);
        self.show(Level::Error, &text);
        if shows_closing {
            self.show(Level::Error, &format!("{closing}\n"));
        }
        self.append(Level::Error, &format!("{closing} {text}\n"));
    }

    fn put(&mut self, level: Level, text: &str) {
        self.show(level, text);
        self.append(level, text);
    }

    /// Writes to the console, if it shows messages of this level.
    fn show(&mut self, level: Level, text: &str) {
        if self.shows(level) {
            let stream = if level == Level::Error || self.to_stderr { &mut self.err } else { &mut self.out };
            // There is no other place to report the failure.
            let _ = stream.put(&console_line(level, text));
        }
    }

    /// Writes a warning that 2.13 does not have. It goes to stderr: cron may mail stdout, which stays as in 2.13.
    pub fn notice(&mut self, text: &str) {
        self.put_notice(&clean(text));
    }

    /// Writes a warning of several lines, as [`Log::notice`] does.
    pub fn notice_lines(&mut self, lines: &[String]) {
        self.put_notice(&cleaned(lines));
    }

    fn put_notice(&mut self, text: &str) {
        if self.shows(Level::Warning) {
            let _ = self.err.put(&console_line(Level::Warning, text));
        }
        self.append(Level::Warning, text);
    }

    /// Writes lines without a level to stderr, for people and scripts alike. They do not go to the logfile.
    pub fn hint(&mut self, lines: &str) {
        let _ = self.err.put(lines);
    }

    /// Writes a message of [`Level::Info`] that scripts should see: to stderr if the console shows only errors.
    pub fn announce(&mut self, text: &str) {
        if self.shows(Level::Info) {
            return self.say(Level::Info, text);
        }
        let _ = self.err.put(&console_line(Level::Info, text));
        self.record(Level::Info, text);
    }

    /// Writes to the logfile only.
    pub fn record(&mut self, level: Level, text: &str) {
        self.append(level, &clean(text));
    }

    fn append(&mut self, level: Level, text: &str) {
        if level == Level::Debug {
            return;
        }
        let Some(file) = &mut self.file else { return };
        if let Some(complaint) = file.append(level, text) {
            let _ = self.err.put(&console_line(Level::Warning, &clean(&complaint)));
        }
    }

    /// Writes data to stdout that is useless unless it is complete.
    ///
    /// # Errors
    /// The data cannot be written, also because the reader has closed the stream.
    pub fn print_whole(&mut self, text: &str) -> std::io::Result<()> {
        self.out.put_data(text)
    }

    /// Writes data to stdout. It is no error if the reader has closed the stream.
    ///
    /// # Errors
    /// The data cannot be written, for example to a full disk.
    pub fn print(&mut self, text: &str) -> std::io::Result<()> {
        self.out.put(text)
    }
}

impl Logfile {
    fn open((path, mode): (&Path, FileMode)) -> Result<Self> {
        let file = append::open(path, mode).map_err(|error| {
            Error::config(because(format!("Cannot write to the logfile {}", path.display()), error))
        })?;
        Ok(Logfile { path: path.to_owned(), file, failed: false })
    }

    /// Appends one record in one write, as other processes append, too. Returns an error text at the first failure.
    /// Later failures are ignored: a full disk for logs does not stop a backup.
    ///
    /// A record begins as in 2.13, `2026-03-29 02:59:59,123 [4711] `. The offset of the time zone, without which the hour
    /// that a change of clocks repeats is ambiguous, and the level follow: `+01:00 INFO: text`.
    fn append(&mut self, level: Level, text: &str) -> Option<String> {
        let now = Timestamp::now().local();
        let (time, offset) = (now.format("%Y-%m-%d %H:%M:%S,%3f"), now.format("%:z"));
        let record = format!("{time} [{}] {offset} {}: {text}\n", std::process::id(), label(level));
        let error = self.file.write_all(record.as_bytes()).err()?;
        let first = !std::mem::replace(&mut self.failed, true);
        first.then(|| format!("Cannot write to the logfile {}: {error}", self.path.display()))
    }
}

/// A message that is safe to show: it cannot move the cursor or look like another message, and it has no error numbers
/// of the system. All messages pass through this function.
pub(crate) fn clean(text: &str) -> String {
    let (body, end) = text.strip_suffix('\n').map_or((text, ""), |body| (body, "\n"));
    text::line(&text::without_numbers(body)).into_owned() + end
}

/// The lines, each made safe by itself, as one text.
fn cleaned(lines: &[String]) -> String {
    lines.iter().map(|line| clean(line)).collect::<Vec<_>>().join("\n")
}

/// A line of the console: `    INFO: text`, with a newline.
pub(crate) fn console_line(level: Level, text: &str) -> String {
    format!("{:>8}: {text}\n", label(level))
}

/// The name of a level, as 2.13 wrote it.
fn label(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tape::{Broken, Tape};

    const ALL: [(Level, &str); 4] =
        [(Level::Debug, "d"), (Level::Info, "i"), (Level::Warning, "w"), (Level::Error, "e")];

    /// The contents of stdout, stderr and the logfile after one message of each level and a notice.
    fn sample(loudness: Loudness) -> (String, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let (out, err) = (Tape::default(), Tape::default());
        let mut log = Log::with_streams(loudness, Some((&path, FileMode::PRIVATE)), out.sink(), err.sink())
            .expect("a log");
        for (level, text) in ALL {
            log.say(level, text);
        }
        log.notice("n");
        log.say(Level::Info, "Backy complete.\n");
        (out.text(), err.text(), std::fs::read_to_string(path).expect("the logfile"))
    }

    #[test]
    fn levels_go_where_2_13_put_them() {
        let (out, err, _) = sample(Loudness::default());
        assert_eq!(out, "    INFO: i\n WARNING: w\n    INFO: Backy complete.\n\n");
        assert_eq!(err, "   ERROR: e\n WARNING: n\n");
        let (out, _, file) = sample(Loudness { debug: true, ..Loudness::default() });
        assert!(out.starts_with("   DEBUG: d\n    INFO: i\n"), "{out}");
        assert!(!file.contains("DEBUG"), "{file}");
        let (out, err, file) = sample(Loudness { quiet: true, debug: true, ..Loudness::default() });
        assert_eq!((out.as_str(), err.as_str()), ("", "   ERROR: e\n"));
        assert_eq!(file.lines().count(), 6, "{file}");
        let problems = Loudness { only_problems: true, to_stderr: true, ..Loudness::default() };
        let (out, err, file) = sample(problems);
        assert_eq!((out.as_str(), err.as_str()), ("", " WARNING: w\n   ERROR: e\n WARNING: n\n"));
        assert_eq!(file.lines().count(), 6, "{file}");
    }

    #[test]
    fn records_of_the_logfile_have_time_process_offset_and_level() {
        let (_, _, file) = sample(Loudness::default());
        let records: Vec<&str> = file.lines().filter(|line| !line.is_empty()).collect();
        let levels = ["INFO: i", "WARNING: w", "ERROR: e", "WARNING: n", "INFO: Backy complete."];
        assert_eq!(records.len(), levels.len(), "{file}");
        for (record, level) in records.into_iter().zip(levels) {
            let (time, rest) = record.split_at(23);
            let rest = rest.strip_prefix(&format!(" [{}] ", std::process::id())).expect("the process");
            let (offset, rest) = rest.split_at(6);
            let whole = format!("{time} {offset}");
            assert!(chrono::DateTime::parse_from_str(&whole, "%Y-%m-%d %H:%M:%S,%3f %:z").is_ok(), "{whole}");
            assert_eq!(rest, format!(" {level}"));
        }
        assert!(file.ends_with("INFO: Backy complete.\n\n"), "{file}");
    }

    #[test]
    fn the_last_record_of_a_failed_command_gives_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let lines = ["x: gone".to_owned(), "  caused by: y".to_owned()];
        for (shows_closing, console) in [
            (true, "   ERROR: x: gone\n  caused by: y\n   ERROR: Backy failed.\n\n"),
            (false, "   ERROR: x: gone\n  caused by: y\n"),
        ] {
            let (out, err) = (Tape::default(), Tape::default());
            let logfile = Some((&*path, FileMode::PRIVATE));
            let mut log =
                Log::with_streams(Loudness::default(), logfile, out.sink(), err.sink()).expect("a log");
            log.fail(&lines, "Backy failed.", shows_closing);
            assert_eq!((out.text().as_str(), err.text().as_str()), ("", console));
            let file = std::fs::read_to_string(&path).expect("the logfile");
            assert!(file.ends_with(" ERROR: Backy failed. x: gone\n  caused by: y\n\n"), "{file}");
        }
    }

    #[test]
    fn the_logfile_is_appended_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "old\n").expect("a file");
        let tape = Tape::default();
        let mut log = Log::with_streams(
            Loudness::default(),
            Some((&path, FileMode::PRIVATE)),
            tape.sink(),
            tape.sink(),
        )
        .expect("a log");
        log.say_lines(Level::Info, &["two".to_owned(), "lines".to_owned()]);
        let text = std::fs::read_to_string(&path).expect("the logfile");
        assert!(text.starts_with("old\n") && text.ends_with(" INFO: two\nlines\n"), "{text}");
        assert_eq!(tape.writes(), ["    INFO: two\nlines\n"]);
    }

    #[test]
    fn no_name_forges_a_line_or_moves_the_cursor() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let tape = Tape::default();
        let logfile = Some((&*path, FileMode::PRIVATE));
        let mut log =
            Log::with_streams(Loudness::default(), logfile, tape.sink(), tape.sink()).expect("a log");
        let name = "vm\n2030-01-01 00:00:00,000 [1] Backy complete.\r\u{1b}[2J\u{9b}1A\u{202e}";
        log.say(Level::Error, &format!("{name}: gone (os error 2)\n"));
        log.notice(name);
        log.record(Level::Info, name);
        log.say_lines(Level::Error, &[name.to_owned(), "  below".to_owned()]);
        log.notice_lines(&[name.to_owned(), "  below".to_owned()]);
        let file = std::fs::read_to_string(&path).expect("the logfile");
        assert_eq!((file.lines().count(), tape.text().lines().count()), (8, 7), "{file}{}", tape.text());
        for text in [file, tape.text()] {
            assert!(
                !text.contains("os error") && !text.contains(|c| c != '\n' && text::is_unruly(c)),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unwritable_logfile_is_named() {
        let Err(error) =
            Log::open(Loudness::default(), Some((Path::new("/nonexistent/x.log"), FileMode::PRIVATE)))
        else {
            panic!("opened")
        };
        assert!(
            matches!(&error, Error::Config(text) if text.line().contains("/nonexistent/x.log")),
            "{error}"
        );
    }

    #[test]
    fn a_full_disk_under_the_logfile_is_reported_once() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let (out, err) = (Tape::default(), Tape::default());
        let mut log =
            Log::with_streams(Loudness::default(), Some((full, FileMode::PRIVATE)), out.sink(), err.sink())
                .expect("a log");
        log.say(Level::Info, "a");
        log.say(Level::Info, "b");
        assert_eq!(out.text(), "    INFO: a\n    INFO: b\n");
        assert_eq!(err.text().matches("/dev/full").count(), 1);
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let err = Tape::default();
        let broken = |kind| Box::new(Broken(kind));
        let mut log = Log::with_streams(Loudness::default(), None, broken(ErrorKind::BrokenPipe), err.sink())
            .expect("a log");
        log.say(Level::Info, "lost");
        assert!(log.print("lost").is_ok());
        log.say(Level::Error, "seen");
        assert_eq!(err.text(), "   ERROR: seen\n");
        let mut log =
            Log::with_streams(Loudness::default(), None, broken(ErrorKind::StorageFull), err.sink())
                .expect("a log");
        assert!(log.print("lost").is_err());
    }
}
