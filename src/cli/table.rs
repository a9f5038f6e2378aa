//! Tables: with borders for people, with `|` between the cells for scripts.

use crate::types::text::{escape, is_unruly, line};
use unicode_width::UnicodeWidthStr;

/// The alignment of a column and its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Left.
    Left,
    /// Right, for numbers.
    Right,
    /// Centred.
    Centre,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The header.
    pub title: &'static str,
    /// The alignment.
    pub align: Align,
}

/// How tables are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// For scripts (`-m`).
    pub machine: bool,
    /// Without a header (`-s`).
    pub skip_header: bool,
    /// Sizes with units (`-r`). Applied by the code that fills the cells.
    pub human: bool,
}

/// Columns and rows. Each row has as many cells as there are columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text; every line ends with a newline.
    pub(crate) fn render(&self, style: Style) -> String {
        if style.machine { self.for_scripts(style.skip_header) } else { self.for_people(style.skip_header) }
    }

    fn titles(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.title).collect()
    }

    fn for_scripts(&self, skip_header: bool) -> String {
        let mut text = String::new();
        if !skip_header {
            text += &self.titles().join("|");
            text.push('\n');
        }
        for row in &self.rows {
            // Escape characters that would break a row into more lines or cells, as names may contain them.
            let spoils = |c| c == '|' || is_unruly(c);
            let cells: Vec<_> = row.iter().map(|cell| escape(cell, spoils)).collect();
            text += &cells.join("|");
            text.push('\n');
        }
        text
    }

    fn for_people(&self, skip_header: bool) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| line(cell).into_owned()).collect()).collect();
        let width = |(index, column): (usize, &Column)| {
            let header = if skip_header { 0 } else { column.title.width() };
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
            cells.fold(header, usize::max)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let rule = rule(&widths);
        let mut text = rule.clone();
        if !skip_header {
            self.line(&mut text, &self.titles(), &widths);
            text += &rule;
        }
        for row in &rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.line(&mut text, &cells, &widths);
        }
        text + &rule
    }

    fn line(&self, text: &mut String, cells: &[&str], widths: &[usize]) {
        for ((column, cell), width) in self.columns.iter().zip(cells).zip(widths) {
            *text += "| ";
            pad(text, cell, *width, column.align);
            text.push(' ');
        }
        *text += "|\n";
    }
}

/// A border like `+-----+--+`, with one blank of padding on each side of a cell.
fn rule(widths: &[usize]) -> String {
    let mut text: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
    text += "+\n";
    text
}

/// Appends `cell`, padded with blanks to `width` display columns.
pub(super) fn pad(text: &mut String, cell: &str, width: usize, align: Align) {
    let used = cell.width();
    let blanks = width.saturating_sub(used);
    let left = match align {
        Align::Left => 0,
        Align::Right => blanks,
        // If the blanks cannot be halved, the odd one goes left of a text of even width, and right of one of odd width.
        Align::Centre => (blanks + (used + 1) % 2) / 2,
    };
    text.extend(std::iter::repeat_n(' ', left));
    *text += cell;
    text.extend(std::iter::repeat_n(' ', blanks - left));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: Style = Style { machine: false, skip_header: false, human: false };

    fn table(columns: &[(&'static str, Align)], rows: &[&[&str]]) -> Table {
        Table {
            columns: columns.iter().map(|&(title, align)| Column { title, align }).collect(),
            rows: rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect(),
        }
    }

    #[test]
    fn headers_and_cells_stand_as_2_13_set_them() {
        let due = table(
            &[
                ("name", Align::Left),
                ("schedulers", Align::Left),
                ("expire_date", Align::Centre),
                ("due_since", Align::Centre),
            ],
            &[
                &["nulldisk", "daily,monthly,weekly", "2027-03-20 17:14:59", "1970-01-01 00:00:00"],
                &["empty", "daily,monthly,weekly", "2027-03-20 17:14:59", "1970-01-01 00:00:00"],
            ],
        );
        assert_eq!(
            due.render(PEOPLE),
            "\
+----------+----------------------+---------------------+---------------------+
| name     | schedulers           |     expire_date     |      due_since      |
+----------+----------------------+---------------------+---------------------+
| nulldisk | daily,monthly,weekly | 2027-03-20 17:14:59 | 1970-01-01 00:00:00 |
| empty    | daily,monthly,weekly | 2027-03-20 17:14:59 | 1970-01-01 00:00:00 |
+----------+----------------------+---------------------+---------------------+
"
        );
        let du = table(
            &[("Real", Align::Right), ("Null", Align::Right), ("Dedup Own", Align::Right)],
            &[&["266340", "40960", "0"], &["0", "0", "0"]],
        );
        assert_eq!(
            du.render(PEOPLE),
            "\
+--------+-------+-----------+
|   Real |  Null | Dedup Own |
+--------+-------+-----------+
| 266340 | 40960 |         0 |
|      0 |     0 |         0 |
+--------+-------+-----------+
"
        );
    }

    #[test]
    fn odd_blanks_go_left_of_even_texts_and_right_of_odd_ones() {
        for (cell, width, expected) in
            [("date", 19, 8), ("uid", 36, 16), ("expire", 19, 7), ("0", 5, 2), ("", 3, 2), ("ab", 4, 1)]
        {
            let mut text = String::new();
            pad(&mut text, cell, width, Align::Centre);
            assert_eq!(text.width(), width, "{cell}");
            assert_eq!(text.len() - text.trim_start().len(), if cell.is_empty() { width } else { expected });
        }
    }

    #[test]
    fn widths_are_display_columns() {
        let names = table(&[("n", Align::Left), ("x", Align::Right)], &[&["nämé|p", "1"], &["日本", "22"]]);
        assert_eq!(
            names.render(PEOPLE),
            "\
+--------+----+
| n      |  x |
+--------+----+
| nämé|p |  1 |
| 日本   | 22 |
+--------+----+
"
        );
        let nasty = table(&[("n", Align::Left)], &[&["a\nb\u{1b}[2J"]]);
        assert!(nasty.render(PEOPLE).contains("| a\\nb\\u{1b}[2J |"));
        assert_eq!(nasty.render(Style { machine: true, ..PEOPLE }), "n\na\\nb\\u{1b}[2J\n");
        let bars = table(&[("n", Align::Left), ("x", Align::Left)], &[&["a|b\u{202e}", "1"]]);
        assert_eq!(bars.render(Style { machine: true, ..PEOPLE }), "n|x\na\\u{7c}b\\u{202e}|1\n");
        assert!(bars.render(PEOPLE).contains("| a|b\\u{202e} |"));
    }

    #[test]
    fn without_a_header() {
        let style = Style { skip_header: true, ..PEOPLE };
        let rows = table(&[("name", Align::Left), ("expire", Align::Centre)], &[&["rnd", ""]]);
        assert_eq!(rows.render(style), "+-----+--+\n| rnd |  |\n+-----+--+\n");
        let machine = Style { machine: true, ..style };
        assert_eq!(rows.render(machine), "rnd|\n");
        assert_eq!(rows.render(Style { skip_header: false, ..machine }), "name|expire\nrnd|\n");
        let empty = table(&[("name", Align::Left)], &[]);
        assert_eq!(empty.render(machine), "");
        assert_eq!(empty.render(style), "+--+\n+--+\n");
        assert_eq!(empty.render(PEOPLE), "+------+\n| name |\n+------+\n+------+\n");
    }
}
