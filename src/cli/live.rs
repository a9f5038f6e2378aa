//! The progress line that is redrawn in place on a terminal.

use super::progress::{self, Pace};
use super::sheet::{cut, cut_before};
use crate::monitor::Progress;
use crate::types::text;
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

/// Moves to the first column and erases the line.
pub(super) const CLEAR: &str = "\r\x1b[K";
/// Width of the bar in columns, if there is room for it.
const BAR: usize = 24;
/// A shorter bar says nothing.
const SHORTEST_BAR: usize = 10;
/// Columns around the bar: brackets and a blank.
const BORDER: usize = 3;

/// Whether stdout is a terminal that can erase a line.
pub(super) fn possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    is_watched() && !dumb
}

/// Whether stdout is a terminal.
pub(super) fn is_watched() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
}

/// Whether stderr is a terminal.
pub(super) fn shows_errors() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

/// Whether stdout is a terminal that shows all characters, as far as the environment tells.
pub(super) fn shows_symbols() -> bool {
    // The first one that is set decides.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(std::env::var_os);
    let locale = locale.into_iter().find(|value| !value.is_empty());
    let locale = locale.map(|value| value.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    is_watched() && (locale.contains("utf-8") || locale.contains("utf8"))
}

/// Whether stdout is a terminal that shows colours, and the user wants them (https://no-color.org).
pub(super) fn shows_colours() -> bool {
    possible() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Width of the terminal in columns.
pub(super) fn width() -> usize {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}

/// The progress line: bar, percentage, rate, time left, and activity. It is shorter than `width` columns, since some
/// terminals wrap when the last column is written. The bar gives way to the text. If that is still too long, the end of
/// a path counts more than its beginning.
pub(super) fn line(report: &Progress<'_>, pace: Pace, width: usize) -> String {
    let room = width.saturating_sub(1);
    let percent = progress::percent(report);
    let rate = if progress::has_steps(&report.activity) {
        String::new()
    } else {
        format!("{:.1} MiB/s  ", pace.rate)
    };
    let numbers = format!("{percent:5.1}%  {rate}ETA {}  ", progress::eta(pace.eta));
    let (verb, object) = progress::in_short(&report.activity);
    let (object, verb) = (text::line(object), format!("{verb} "));
    let taken = numbers.width() + verb.width();
    let bar = match room.saturating_sub(taken + object.width() + BORDER) {
        free if free >= SHORTEST_BAR => format!("[{}] ", progress::bar(percent / 100.0, free.min(BAR), '#')),
        _ => String::new(),
    };
    let object = cut_before(&object, room.saturating_sub(taken + bar.width()));
    cut(&format!("{bar}{numbers}{verb}{object}"), room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Activity;

    fn report(source: &str) -> Progress<'_> {
        let activity = Activity::BackupData { source };
        Progress { activity, done: 1, total: 4, bytes: 0, read_queue: 0.0, write_queue: 0.0 }
    }

    #[test]
    fn the_line_fits_the_terminal() {
        let pace = Pace { rate: 93.04, eta: 63 };
        let full = line(&report("file:///srv/vm1.img"), pace, 200);
        assert_eq!(
            full,
            "[######                  ]  25.0%  93.0 MiB/s  ETA 63s  Backing up file:///srv/vm1.img"
        );
        for width in 0..120 {
            for source in ["file:///srv/vm1.img", "file:///日本日本日本日本", "file:///a\u{1b}[2J\n"]
            {
                let line = line(&report(source), pace, width);
                assert!(line.width() <= width.saturating_sub(1), "{width}: {line}");
                assert!(!line.contains(char::is_control), "{width}: {line:?}");
            }
        }
        assert_eq!(line(&report("x"), pace, 38), " 25.0%  93.0 MiB/s  ETA 63s  Backing…");
        assert_eq!(line(&report("/a/b.img"), pace, 47), " 25.0%  93.0 MiB/s  ETA 63s  Backing up …b.img");
    }

    #[test]
    fn eighty_columns_show_the_whole_line() {
        let pace = Pace { rate: 1093.04, eta: 212_460 };
        let source = "file:///var/lib/images/vm1.img";
        let shown = line(&report(source), pace, 80);
        assert_eq!(shown, format!(" 25.0%  1093.0 MiB/s  ETA 59h1m  Backing up {source}"));
        let shown = line(&report("/dev/vg/vm1"), pace, 80);
        assert_eq!(shown, "[#####                ]  25.0%  1093.0 MiB/s  ETA 59h1m  Backing up /dev/vg/vm1");
        assert_eq!(shown.width(), 79);
    }
}
