//! Tables without borders, for people: as wide as their content, or as wide as a terminal.

use super::table::{Column, pad};
use crate::types::text::line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns between two cells.
const GAP: usize = 2;
/// The name of an entry is cut to this width at least, however narrow the terminal is.
const NARROWEST: usize = 8;

/// The colour of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// All is well.
    Green,
    /// Somebody should look at it.
    Yellow,
    /// Somebody has to act.
    Red,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::Green => "\x1b[32m",
            Colour::Yellow => "\x1b[33m",
            Colour::Red => "\x1b[31m",
        }
    }
}

/// Ends a colour.
const PLAIN: &str = "\x1b[0m";

/// How a sheet is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of the terminal; `None` if the text goes elsewhere, and nothing is cut.
    pub width: Option<usize>,
    /// Whether there are colours.
    pub colours: bool,
    /// Leave out the header.
    pub skip_header: bool,
}

/// A row. It has as many cells as the sheet has columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// From left to right.
    pub cells: Vec<String>,
    /// The column that has a colour.
    pub colour: Option<(usize, Colour)>,
}

/// A table whose first column is cut in the middle if the terminal is too narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Sheet {
    /// The sheet as text; every line ends with a newline.
    pub(crate) fn render(&self, look: Look) -> String {
        let mut rows = self.rows.clone();
        for cell in rows.iter_mut().flat_map(|row| &mut row.cells) {
            *cell = line(cell).into_owned();
        }
        let width = |(index, column): (usize, &Column)| {
            let header = if look.skip_header { 0 } else { column.title.width() };
            let cells = rows.iter().filter_map(|row| row.cells.get(index)).map(|cell| cell.width());
            cells.fold(header, usize::max)
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        if let (Some(room), Some((first, others))) = (look.width, widths.split_first_mut()) {
            let taken: usize = others.iter().map(|width| width + GAP).sum();
            // Some terminals wrap when the last column is written.
            let left = room.saturating_sub(1).saturating_sub(taken);
            *first = (*first).min(left.max(NARROWEST));
        }
        let mut text = String::new();
        if !look.skip_header {
            let cells = self.columns.iter().map(|column| column.title.to_owned()).collect();
            self.line(&mut text, &Row { cells, colour: None }, &widths, look);
        }
        for row in &rows {
            self.line(&mut text, row, &widths, look);
        }
        text
    }

    fn line(&self, text: &mut String, row: &Row, widths: &[usize], look: Look) {
        let start = text.len();
        for (index, ((column, cell), width)) in self.columns.iter().zip(&row.cells).zip(widths).enumerate() {
            if index > 0 {
                text.extend(std::iter::repeat_n(' ', GAP));
            }
            let cell = middle(cell, *width);
            match row.colour.filter(|(coloured, _)| look.colours && *coloured == index) {
                None => pad(text, &cell, *width, column.align),
                Some((_, colour)) => {
                    *text += colour.code();
                    pad(text, &cell, *width, column.align);
                    *text += PLAIN;
                }
            }
        }
        text.truncate(text.trim_end_matches(' ').len().max(start));
        text.push('\n');
    }
}

/// Cuts `text` to `room` columns. An ellipsis replaces its middle, because names differ at their ends.
pub(crate) fn middle(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let Some(left) = room.checked_sub(1) else { return String::new() };
    let head = take(text.chars(), left.div_ceil(2));
    let tail: String = take(text.chars().rev(), left - head.width()).chars().rev().collect();
    format!("{head}…{tail}")
}

/// The first characters that fit into `room` columns.
fn take(characters: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    characters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::Align;

    fn sheet(names: &[&str]) -> Sheet {
        let column = |title, align| Column { title, align };
        let row = |name: &&str| Row {
            cells: vec![(*name).to_owned(), "ok".to_owned(), "3 h".to_owned()],
            colour: Some((1, Colour::Green)),
        };
        Sheet {
            columns: vec![
                column("name", Align::Left),
                column("state", Align::Left),
                column("age", Align::Right),
            ],
            rows: names.iter().map(row).collect(),
        }
    }

    #[test]
    fn cells_are_aligned_and_lines_have_no_blanks_at_their_ends() {
        let sheet = sheet(&["vm1", "日本"]);
        let text = "name  state  age\nvm1   ok     3 h\n日本  ok     3 h\n";
        assert_eq!(sheet.render(Look::default()), text);
        let bare = Look { skip_header: true, ..Look::default() };
        assert_eq!(sheet.render(bare), "vm1   ok  3 h\n日本  ok  3 h\n");
        let coloured = Look { colours: true, skip_header: true, width: None };
        assert!(sheet.render(coloured).starts_with("vm1   \x1b[32mok\x1b[0m  3 h\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "a".repeat(200);
        let wide = "日本".repeat(50);
        let names = ["x", &long, &wide, "web01.example.com-vda", "a\u{1b}[2J\nb\u{202e}"];
        for width in 30..120 {
            let look = Look { width: Some(width), ..Look::default() };
            for line in sheet(&names).render(look).lines() {
                assert!(line.width() < width, "{width}: {line}");
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
        let whole = sheet(&names).render(Look::default());
        assert!(whole.contains(&long) && whole.contains(&wide), "nothing is cut in a pipe");
    }

    #[test]
    fn names_keep_both_of_their_ends() {
        for (text, room, shown) in [
            ("web01.example.com-vda", 21, "web01.example.com-vda"),
            ("web01.example.com-vda", 20, "web01.exam…e.com-vda"),
            ("web01.example.com-vda", 10, "web01…-vda"),
            ("web01", 1, "…"),
            ("web01", 0, ""),
            ("日本語日本語", 6, "日…語"),
        ] {
            assert_eq!(middle(text, room), shown);
        }
    }
}
