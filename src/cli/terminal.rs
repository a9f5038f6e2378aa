//! The engine's monitor: shows messages and progress on the console, in the logfile and in the process title.

use super::live;
use super::log::{Log, clean};
use super::progress::{self, Meter};
use super::remedy;
use crate::monitor::{Handle, Level, Monitor, Progress};
use crate::types::error::{Error, Result, Signal};
use crate::types::reason::because;
use crate::types::remedy::{Continuation, Remedy};
use crate::types::text;
use crate::types::uid::VersionUid;
use signal_hook::flag;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Sets the title that `ps` shows.
pub(crate) type SetTitle = Box<dyn Fn(&str) + Send + Sync>;

/// The reader of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A script that has called `-m`: it gets the uid of a version as soon as the version exists.
    Script,
    /// Somebody who reads lines, now or later.
    Lines,
    /// Somebody in front of a terminal, who sees progress as a line that is redrawn in place. Stdout must be a terminal.
    Screen,
}

/// All output of the program passes through this type.
pub struct Terminal {
    state: Arc<Mutex<State>>,
    reader: Reader,
    title: Arc<Title>,
    begun: AtomicBool,
    /// The number of the last signal; 0 before one arrives.
    signal: Arc<AtomicUsize>,
    /// For each kind of signal that is minded, whether the next one ends the process.
    armed: Mutex<Vec<Arc<AtomicBool>>>,
}

/// Sets the title of the process.
struct Title {
    process_name: String,
    set: SetTitle,
}

struct State {
    log: Log,
    meter: Meter,
    live: Live,
    way_on: Option<Vec<String>>,
    last_error: Option<String>,
}

/// Whether progress is shown as a live line.
enum Live {
    /// No live line; progress is shown as lines of the log.
    Off,
    /// A live line; `drawn` says whether it is on the screen now.
    On { drawn: bool },
}

impl State {
    /// Erases the live line before other output.
    fn clear(&mut self) {
        if let Live::On { drawn } = &mut self.live
            && std::mem::take(drawn)
        {
            let _ = self.log.print(live::CLEAR);
        }
    }

    fn advise(&mut self, level: Level, text: &str, remedies: &[Remedy]) {
        if self.log.shows(level) {
            self.clear();
        }
        let text = remedy::advised(text, remedies);
        self.log.say(level, &text);
        if level == Level::Error {
            self.last_error = Some(text);
        }
    }

    fn draw(&mut self, line: &str) {
        if let Live::On { drawn } = &mut self.live {
            *drawn = true;
            let _ = self.log.print(&format!("{}{line}", live::CLEAR));
        }
    }
}

impl Terminal {
    /// Makes a terminal that writes to `log`. Titles have the form `PROCESS_NAME [text]`.
    pub fn new(log: Log, reader: Reader, process_name: &str, set_title: SetTitle) -> Self {
        let live = if reader == Reader::Screen { Live::On { drawn: false } } else { Live::Off };
        Terminal {
            state: Arc::new(Mutex::new(State {
                log,
                meter: Meter::default(),
                live,
                way_on: None,
                last_error: None,
            })),
            reader,
            title: Arc::new(Title { process_name: process_name.to_owned(), set: set_title }),
            begun: AtomicBool::new(false),
            signal: Arc::default(),
            armed: Mutex::default(),
        }
    }

    /// Locks the state. A thread that panicked with the lock leaves no half-finished state that matters here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes data to stdout. Once the reader has closed stdout, it writes nothing, without an error.
    ///
    /// # Errors
    /// [`Error::Refused`] if stdout cannot be written, for example to a full disk.
    pub fn print(&self, text: &str) -> Result<()> {
        let mut state = self.state();
        state.clear();
        state.log.print(text).map_err(|error| Error::refused(because("Cannot write to stdout", error)))
    }

    /// Writes data to stdout that is useless unless it is complete.
    ///
    /// # Errors
    /// [`Error::Refused`] if stdout cannot be written, also because the reader has closed it.
    pub fn print_whole(&self, text: &str) -> Result<()> {
        let written = self.state().log.print_whole(text);
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                Error::refused("The reader of stdout closed it before everything was written.")
            }
            _ => Error::refused(because("Cannot write to stdout", error)),
        })
    }

    /// Whether this command has begun a version.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Takes the words of a command that continues the work, which has failed, without the program's name and
    /// configuration.
    pub fn can_continue_with(&self, words: &[&str]) {
        self.state().way_on = Some(words.iter().map(|&word| word.to_owned()).collect());
    }

    /// Prints the command that continues the work, if there is one, after all other output. It is on a line of its own,
    /// ready to be copied. `before` are the words before the command.
    pub fn show_way_on(&self, before: &[String]) {
        let mut state = self.state();
        let Some(words) = state.way_on.take() else { return };
        state.clear();
        let words: Vec<_> = before.iter().chain(&words).map(|word| text::quoted(word)).collect();
        state.log.hint(&format!("{}\n{}\n", remedy::WAY_ON, words.join(" ")));
    }

    /// Writes a message to the logfile only.
    pub fn record(&self, level: Level, text: &str) {
        self.state().log.record(level, text);
    }

    /// Passes a line of a step's stderr on to stderr. The step itself has written it to the logfile.
    pub fn pass_on(&self, line: &str) {
        let mut state = self.state();
        state.clear();
        state.log.hint(&format!("{}\n", super::log::clean(line)));
    }

    /// Whether somebody watches the output.
    pub fn is_read_by_people(&self) -> bool {
        self.reader == Reader::Screen || self.state().log.shows(Level::Info)
    }

    /// Reports an error of several lines.
    pub fn error_lines(&self, lines: &[String]) {
        let mut state = self.state();
        state.clear();
        state.log.say_lines(Level::Error, lines);
    }

    /// Reports the error that ends a command with `closing`, the last line of 2.13. Somebody in front of a terminal sees
    /// the reason last, without that line.
    pub fn fail(&self, lines: &[String], closing: &str) {
        let mut state = self.state();
        state.clear();
        state.last_error = lines.last().cloned();
        state.log.fail(lines, closing, self.reader != Reader::Screen || !live::shows_errors());
    }

    /// The last message of [`Level::Error`], but for those of [`error_lines`](Self::error_lines).
    pub(crate) fn last_error(&self) -> Option<String> {
        self.state().last_error.clone()
    }

    /// Forgets the signals that have arrived: the next one of each kind is noted again. For work that has to be done after
    /// an interrupt, and can be interrupted itself.
    pub(crate) fn forgive_signals(&self) {
        for armed in self.armed.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            armed.store(false, Ordering::SeqCst);
        }
        self.signal.store(0, Ordering::SeqCst);
    }

    /// Handles SIGHUP, SIGINT and SIGTERM from now on. With `mind` the first signal is only noted, for
    /// [`Monitor::interrupted`] and in `waits`, and a second one of the same kind ends the process at once; without
    /// `mind` the first one does. SIGHUP stays ignored if the process was started so, as by `nohup`.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn watch_signals(&self, mind: bool, waits: Option<&Arc<AtomicUsize>>) -> std::io::Result<()> {
        for signal in Signal::ALL {
            let number = i32::from(signal.number());
            if signal == Signal::Hangup && is_ignored(signal) {
                continue;
            }
            let armed = Arc::new(AtomicBool::new(!mind));
            // When a terminal is lost, the shell and the kernel send SIGHUP. So a second one must not end the process.
            if signal != Signal::Hangup || !mind {
                // Actions run in the order of registration: this one must run before the flag is set.
                flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&armed))?;
            }
            flag::register(number, Arc::clone(&armed))?;
            if mind {
                self.armed.lock().unwrap_or_else(PoisonError::into_inner).push(armed);
            }
            for cell in [Some(&self.signal), waits].into_iter().flatten() {
                flag::register_usize(number, Arc::clone(cell), usize::from(signal.number()))?;
            }
        }
        Ok(())
    }

    /// Erases the live line at the end.
    pub fn finish(&self) {
        self.state().clear();
    }
}

impl Monitor for Terminal {
    /// Warns on stderr.
    fn notice(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        state.log.notice(text);
    }

    fn notice_lines(&self, lines: &[String]) {
        let mut state = self.state();
        state.clear();
        state.log.notice_lines(lines);
    }

    fn progress(&self, report: &Progress<'_>) {
        show(&self.state, &self.title, report);
    }

    fn announce(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        state.log.announce(text);
    }

    fn advise(&self, level: Level, text: &str, remedies: &[Remedy]) {
        self.state().advise(level, text, remedies);
    }

    fn can_continue(&self, how: &Continuation) {
        self.state().way_on = Some(remedy::words(how));
    }

    fn version_created(&self, uid: &VersionUid) {
        self.begun.store(true, Ordering::Relaxed);
        if self.reader == Reader::Script {
            // An error is ignored here: the command prints the uid again at its end, and that reports a stdout that
            // cannot be written.
            let _ = self.print(&format!("{uid}\n"));
        }
    }

    fn interrupted(&self) -> Option<Signal> {
        noted(&self.signal)
    }

    fn handle(&self) -> Handle {
        let state = Arc::clone(&self.state);
        let signal = Arc::clone(&self.signal);
        let say = move |level: Level, text: &str, remedies: &[Remedy]| {
            state.lock().unwrap_or_else(PoisonError::into_inner).advise(level, text, remedies);
        };
        let (shown, title) = (Arc::clone(&self.state), Arc::clone(&self.title));
        Handle::new(say, move || noted(&signal)).showing(move |report| show(&shown, &title, report))
    }
}

/// Shows the progress where it is due.
fn show(state: &Mutex<State>, title: &Title, report: &Progress<'_>) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let due = state.meter.take(report, now);
    if !due.any() {
        return;
    }
    let pace = state.meter.pace(report, now);
    let line = progress::log_line(report, pace);
    let live = matches!(state.live, Live::On { .. });
    match (due.line, live) {
        (true, true) => state.log.record(Level::Info, &line),
        (true, false) => state.log.say(Level::Info, &line),
        (false, _) => {}
    }
    if due.live && live {
        let line = live::line(report, pace, live::width());
        state.draw(&line);
    }
    drop(state);
    if due.title {
        (title.set)(&clean(&format!("{} [{}]", title.process_name, line.trim_end())));
    }
}

/// The signal that has arrived.
fn noted(signal: &AtomicUsize) -> Option<Signal> {
    Signal::from_number(signal.load(Ordering::Relaxed))
}

/// Whether the process was started with this signal ignored.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.number() - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::log::Loudness;
    use crate::cli::tape::Tape;
    use crate::monitor::Activity;
    use crate::types::settings::FileMode;
    use std::sync::LazyLock;

    struct Bench {
        out: Tape,
        err: Tape,
        titles: Arc<Mutex<Vec<String>>>,
        logfile: std::path::PathBuf,
        terminal: Terminal,
        _folder: tempfile::TempDir,
    }

    fn bench(reader: Reader) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let logfile = folder.path().join("log");
        let (out, err) = (Tape::default(), Tape::default());
        let loudness = Loudness { quiet: reader == Reader::Script, ..Loudness::default() };
        let log = Log::with_streams(loudness, Some((&logfile, FileMode::PRIVATE)), out.sink(), err.sink())
            .expect("a log");
        let titles: Arc<Mutex<Vec<String>>> = Arc::default();
        let keep = Arc::clone(&titles);
        let set = Box::new(move |title: &str| keep.lock().expect("fine").push(title.to_owned()));
        let terminal = Terminal::new(log, reader, "backy2fx", set);
        Bench { out, err, titles, logfile, terminal, _folder: folder }
    }

    fn report(done: u64) -> Progress<'static> {
        static UID: LazyLock<VersionUid> = LazyLock::new(|| "432d".into());
        let activity = Activity::Scrub { name: "rnd", uid: &UID };
        Progress { activity, done, total: 100, bytes: 0, read_queue: 0.0, write_queue: 0.0 }
    }

    const LINE: &str = "Scrubbing rnd (432d) Read Queue [          ] Write Queue [          ] \
                        (1.0% 0.0MB/sØ ETA 0s)";

    #[test]
    fn progress_is_logged_and_becomes_the_title() {
        let bench = bench(Reader::Lines);
        bench.terminal.progress(&report(1));
        bench.terminal.progress(&report(2));
        assert_eq!(bench.out.text(), format!("    INFO: {LINE} \n"));
        assert_eq!(*bench.titles.lock().expect("fine"), [format!("backy2fx [{LINE}]")]);
    }

    #[test]
    fn scripts_see_only_data_and_the_logfile_has_everything() {
        let bench = bench(Reader::Script);
        bench.terminal.version_created(&VersionUid::from("uid"));
        bench.terminal.progress(&report(1));
        bench.terminal.warning("w");
        bench.terminal.notice("n");
        bench.terminal.error("e");
        bench.terminal.print("uid\n").expect("written");
        assert_eq!(bench.out.text(), "uid\nuid\n");
        assert_eq!(bench.err.text(), "   ERROR: e\n");
        let file = std::fs::read_to_string(&bench.logfile).expect("the logfile");
        assert_eq!(file.lines().count(), 4, "{file}");
    }

    #[test]
    fn people_see_no_uid_of_a_version_that_begins() {
        let bench = bench(Reader::Lines);
        bench.terminal.version_created(&VersionUid::from("uid"));
        assert_eq!(bench.out.text(), "");
    }

    #[test]
    fn the_live_line_makes_way_for_messages() {
        let bench = bench(Reader::Screen);
        bench.terminal.info("a");
        bench.terminal.progress(&report(1));
        bench.terminal.debug("not shown");
        bench.terminal.info("b");
        bench.terminal.finish();
        let writes = bench.out.writes();
        assert_eq!(writes.len(), 4, "{writes:?}");
        assert_eq!(writes[0], "    INFO: a\n");
        assert!(writes[1].starts_with("\r\x1b[K") && writes[1].contains("1.0%"), "{writes:?}");
        assert_eq!(writes[2..], ["\r\x1b[K", "    INFO: b\n"]);
        let file = std::fs::read_to_string(&bench.logfile).expect("the logfile");
        assert!(file.contains(LINE), "{file}");
        bench.terminal.notice("n");
        bench.terminal.notice_lines(&["first".to_owned(), "  second\r".to_owned()]);
        assert_eq!(bench.err.text(), " WARNING: n\n WARNING: first\n  second\\r\n");
    }

    #[test]
    fn signals_are_noted() {
        let bench = bench(Reader::Lines);
        assert!(bench.terminal.check().is_ok());
        bench.terminal.watch_signals(true, None).expect("registered");
        let raise = |signal: Signal| signal_hook::low_level::raise(signal.number().into()).expect("raised");
        // Under `nohup cargo test` SIGHUP is ignored.
        let heard = |signal: &Signal| *signal != Signal::Hangup || !is_ignored(*signal);
        let sequence = [Signal::Terminate, Signal::Hangup, Signal::Hangup, Signal::Interrupt];
        for signal in sequence.into_iter().filter(heard) {
            raise(signal);
            assert_eq!(bench.terminal.interrupted(), Some(signal));
        }
        assert!(matches!(bench.terminal.check(), Err(Error::Interrupted(Signal::Interrupt))));
    }
}
