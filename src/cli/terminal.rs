//! The engine's monitor: what it says and how far it is goes to the console, the logfile and the process title.

use super::live;
use super::log::{Log, clean};
use super::progress::{self, Meter};
use crate::monitor::{Handle, Level, Monitor, Progress};
use crate::types::error::{Error, Result, Signal};
use crate::types::text;
use signal_hook::flag;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Sets the title that `ps` shows.
pub type SetTitle = Box<dyn Fn(&str) + Send + Sync>;

/// Everything that the program shows passes through here.
pub struct Terminal {
    state: Arc<Mutex<State>>,
    machine: bool,
    title: Arc<Title>,
    begun: AtomicBool,
    /// The number of the signal that came.
    signal: Arc<AtomicUsize>,
}

/// The title of the process.
struct Title {
    process_name: String,
    set: SetTitle,
}

struct State {
    log: Log,
    meter: Meter,
    live: Live,
    way_on: Option<Vec<String>>,
}

/// Whether progress is shown as one line that moves.
enum Live {
    /// No: as lines of the log.
    Off,
    /// Yes, and whether it stands on the screen now.
    On { drawn: bool },
}

impl State {
    /// Takes the live line off the screen, so that other text has the line to itself.
    fn clear(&mut self) {
        if let Live::On { drawn } = &mut self.live
            && std::mem::take(drawn)
        {
            let _ = self.log.print(live::CLEAR);
        }
    }

    fn say(&mut self, level: Level, text: &str) {
        if self.log.shows(level) {
            self.clear();
        }
        self.log.say(level, text);
    }

    fn draw(&mut self, line: &str) {
        if let Live::On { drawn } = &mut self.live {
            *drawn = true;
            let _ = self.log.print(&format!("{}{line}", live::CLEAR));
        }
    }
}

impl Terminal {
    /// A terminal over `log`. `machine` is `-m`; `live` shows progress as one line that moves, and is for
    /// people at a terminal only; titles are set as `PROCESS_NAME [text]`.
    pub fn new(log: Log, machine: bool, live: bool, process_name: &str, set_title: SetTitle) -> Self {
        let live = if live { Live::On { drawn: false } } else { Live::Off };
        Terminal {
            state: Arc::new(Mutex::new(State { log, meter: Meter::default(), live, way_on: None })),
            machine,
            title: Arc::new(Title { process_name: process_name.to_owned(), set: set_title }),
            begun: AtomicBool::new(false),
            signal: Arc::default(),
        }
    }

    /// A thread that panicked while it held the lock leaves nothing half-done that matters here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes data to stdout, as it is. Once nobody reads stdout any more it goes nowhere, without an error.
    ///
    /// # Errors
    /// [`Error::Refused`] if stdout cannot be written, as on a full disk.
    pub fn print(&self, text: &str) -> Result<()> {
        let mut state = self.state();
        state.clear();
        state.log.print(text).map_err(|error| Error::Refused(format!("Cannot write to stdout: {error}")))
    }

    /// Writes data to stdout that is of no use in part.
    ///
    /// # Errors
    /// [`Error::Refused`] if stdout cannot be written, also because nobody reads it any more.
    pub fn print_whole(&self, text: &str) -> Result<()> {
        let written = self.state().log.print_whole(text);
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                Error::Refused("The reader of stdout has gone before all was written.".to_owned())
            }
            _ => Error::Refused(format!("Cannot write to stdout: {error}")),
        })
    }

    /// Whether this command has begun a version.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Prints the command that goes on with the work, if there is one, below all that was said: a line by itself, to be
    /// copied. `before` are the words before the command.
    pub fn show_way_on(&self, before: &[String]) {
        let mut state = self.state();
        let Some(words) = state.way_on.take() else { return };
        state.clear();
        let words: Vec<_> = before.iter().chain(&words).map(|word| text::quoted(word)).collect();
        state.log.hint(&format!("To go on:\n{}\n", words.join(" ")));
    }

    /// An error of several lines.
    pub fn error_lines(&self, lines: &[String]) {
        let mut state = self.state();
        state.clear();
        state.log.say_lines(Level::Error, lines);
    }

    /// Takes SIGHUP, SIGINT and SIGTERM from now on. With `mind` the first one is only noted for
    /// [`Monitor::interrupted`] and in `waits`, and a second one of the same kind ends the process at once; otherwise
    /// the first one does. SIGHUP stays ignored if it is, as by `nohup`.
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
            // Of a lost terminal both the shell and the kernel tell.
            if signal != Signal::Hangup || !mind {
                // The order matters: what is registered first runs first, and finds the flag not yet set.
                flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&armed))?;
            }
            flag::register(number, armed)?;
            for cell in [Some(&self.signal), waits].into_iter().flatten() {
                flag::register_usize(number, Arc::clone(cell), usize::from(signal.number()))?;
            }
        }
        Ok(())
    }

    /// Takes the live line off the screen: nothing more comes.
    pub fn finish(&self) {
        self.state().clear();
    }
}

impl Monitor for Terminal {
    /// To stderr.
    fn notice(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        state.log.notice(text);
    }

    fn progress(&self, report: &Progress<'_>) {
        show(&self.state, &self.title, report);
    }

    fn announce(&self, text: &str) {
        let mut state = self.state();
        state.clear();
        state.log.announce(text);
    }

    fn say(&self, level: Level, text: &str) {
        self.state().say(level, text);
    }

    fn can_continue_with(&self, words: &[&str]) {
        self.state().way_on = Some(words.iter().map(|&word| word.to_owned()).collect());
    }

    fn version_created(&self, uid: &str) {
        self.begun.store(true, Ordering::Relaxed);
        if self.machine {
            // The command prints the uid once more at its end, and that tells whether stdout can be written.
            let _ = self.print(&format!("{uid}\n"));
        }
    }

    fn interrupted(&self) -> Option<Signal> {
        noted(&self.signal)
    }

    fn handle(&self) -> Handle {
        let state = Arc::clone(&self.state);
        let signal = Arc::clone(&self.signal);
        let say = move |level: Level, text: &str| {
            state.lock().unwrap_or_else(PoisonError::into_inner).say(level, text);
        };
        let (shown, title) = (Arc::clone(&self.state), Arc::clone(&self.title));
        Handle::new(say, move || noted(&signal)).showing(move |report| show(&shown, &title, report))
    }
}

/// Shows how far the work has come, where it is due.
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

/// The signal that came.
fn noted(signal: &AtomicUsize) -> Option<Signal> {
    Signal::from_number(signal.load(Ordering::Relaxed))
}

/// Whether the process was started with the signal ignored.
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

    struct Bench {
        out: Tape,
        err: Tape,
        titles: Arc<Mutex<Vec<String>>>,
        logfile: std::path::PathBuf,
        terminal: Terminal,
        _folder: tempfile::TempDir,
    }

    fn bench(machine: bool, live: bool) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let logfile = folder.path().join("log");
        let (out, err) = (Tape::default(), Tape::default());
        let loudness = Loudness { quiet: machine, ..Loudness::default() };
        let log = Log::with_streams(loudness, Some((&logfile, FileMode::PRIVATE)), out.sink(), err.sink())
            .expect("a log");
        let titles: Arc<Mutex<Vec<String>>> = Arc::default();
        let keep = Arc::clone(&titles);
        let set = Box::new(move |title: &str| keep.lock().expect("fine").push(title.to_owned()));
        let terminal = Terminal::new(log, machine, live, "backy2fx", set);
        Bench { out, err, titles, logfile, terminal, _folder: folder }
    }

    fn report(done: u64) -> Progress<'static> {
        let activity = Activity::Scrub { name: "rnd", uid: "432d" };
        Progress { activity, done, total: 100, bytes: 0, read_queue: 0.0, write_queue: 0.0 }
    }

    const LINE: &str = "Scrubbing rnd (432d) Read Queue [          ] Write Queue [          ] \
                        (1.0% 0.0MB/sØ ETA 0s)";

    #[test]
    fn progress_is_logged_and_becomes_the_title() {
        let bench = bench(false, false);
        bench.terminal.progress(&report(1));
        bench.terminal.progress(&report(2));
        assert_eq!(bench.out.text(), format!("    INFO: {LINE} \n"));
        assert_eq!(*bench.titles.lock().expect("fine"), [format!("backy2fx [{LINE}]")]);
    }

    #[test]
    fn scripts_see_data_only_and_the_logfile_all() {
        let bench = bench(true, false);
        bench.terminal.version_created("uid");
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
        let bench = bench(false, false);
        bench.terminal.version_created("uid");
        assert_eq!(bench.out.text(), "");
    }

    #[test]
    fn the_live_line_makes_way_for_messages() {
        let bench = bench(false, true);
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
        assert_eq!(bench.err.text(), " WARNING: n\n");
    }

    #[test]
    fn signals_are_noted() {
        let bench = bench(false, false);
        assert!(bench.terminal.check().is_ok());
        bench.terminal.watch_signals(true, None).expect("registered");
        let raise = |signal: Signal| signal_hook::low_level::raise(signal.number().into()).expect("raised");
        // `nohup cargo test` must succeed as well.
        let heard = |signal: &Signal| *signal != Signal::Hangup || !is_ignored(*signal);
        let sequence = [Signal::Terminate, Signal::Hangup, Signal::Hangup, Signal::Interrupt];
        for signal in sequence.into_iter().filter(heard) {
            raise(signal);
            assert_eq!(bench.terminal.interrupted(), Some(signal));
        }
        assert!(matches!(bench.terminal.check(), Err(Error::Interrupted(Signal::Interrupt))));
    }
}
