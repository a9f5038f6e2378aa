//! Listings for people: columns without borders, as wide as their content, or as wide as a terminal.

use super::table::{Align, pad};
use crate::types::text;
use crate::types::time::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Blanks between two columns.
const GAP: usize = 2;
/// A column that may shrink keeps this width as long as others can give way.
const LEAST: usize = 12;

/// The head of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The title.
    pub title: &'static str,
    /// The alignment.
    pub align: Align,
    /// How texts in this column are cut, so that the others fit.
    pub cut: Cut,
}

/// How a text gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It does not.
    Never,
    /// An ellipsis replaces its middle.
    Middle,
    /// An ellipsis replaces its end.
    End,
}

impl Head {
    /// A column that keeps its width.
    pub(crate) const fn new(title: &'static str, align: Align) -> Self {
        Head { title, align, cut: Cut::Never }
    }

    /// A column of names. Names differ at their ends, so the middle is cut.
    pub(crate) const fn name(title: &'static str) -> Self {
        Head { title, align: Align::Left, cut: Cut::Middle }
    }

    /// A column of texts, whose ends may be cut.
    pub(crate) const fn text(title: &'static str) -> Self {
        Head { title, align: Align::Left, cut: Cut::End }
    }
}

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

/// Columns and rows. Each row has as many cells as there are columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    /// From left to right.
    pub columns: Vec<Head>,
    /// From top to bottom.
    pub rows: Vec<Vec<String>>,
    /// The column with colours, and the colour for each row. `None`: there are no colours.
    pub colours: Option<(usize, Vec<Colour>)>,
}

impl Sheet {
    /// The sheet as text. Every line ends with a newline and has no blanks before it. On a terminal, lines are narrower
    /// than the terminal, since some wrap when the last column is written.
    pub(crate) fn render(&self, look: Look) -> String {
        let titles = self.columns.iter().map(|head| head.title.to_owned()).collect();
        let rows: Vec<Vec<String>> = (!look.skip_header)
            .then_some(titles)
            .into_iter()
            .chain(self.rows.iter().map(|row| row.iter().map(|cell| text::line(cell).into_owned()).collect()))
            .collect();
        let needs =
            |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width()).max();
        let mut widths: Vec<usize> = (0..self.columns.len()).map(|n| needs(n).unwrap_or(0)).collect();
        if let Some(width) = look.width {
            self.shrink(&mut widths, width.saturating_sub(1));
        }
        let header = usize::from(!look.skip_header);
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            let colours = self.colours.as_ref().filter(|_| look.colours);
            let colour = number.checked_sub(header).zip(colours);
            let colour = colour.and_then(|(n, (column, colours))| Some((*column, *colours.get(n)?)));
            text += self.line(row, &widths, colour).trim_end();
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[String], widths: &[usize], colour: Option<(usize, Colour)>) -> String {
        let mut line = String::new();
        for (index, ((head, cell), width)) in self.columns.iter().zip(row).zip(widths).enumerate() {
            if index > 0 {
                line.extend(std::iter::repeat_n(' ', GAP));
            }
            let colour = colour.filter(|(column, _)| *column == index).map(|(_, colour)| colour.code());
            line += colour.unwrap_or_default();
            let cell = match head.cut {
                Cut::Never | Cut::End => cut(cell, *width),
                Cut::Middle => middle(cell, *width),
            };
            pad(&mut line, &cell, *width, head.align);
            line += colour.map_or("", |_| PLAIN);
        }
        line
    }

    /// Takes width from the columns that may shrink, always from the widest, until all columns fit into `room`.
    fn shrink(&self, widths: &mut [usize], room: usize) {
        let gaps = GAP * widths.len().saturating_sub(1);
        for least in [LEAST, 1] {
            let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
            while excess > 0 {
                let may_give = |n: &usize| self.columns[*n].cut != Cut::Never && widths[*n] > least;
                let Some(widest) = (0..widths.len()).filter(may_give).max_by_key(|&n| widths[n]) else {
                    break;
                };
                widths[widest] -= 1;
                excess -= 1;
            }
        }
    }
}

/// A date without seconds, in UTC.
pub(crate) fn minute(date: Timestamp) -> String {
    date.naive().format("%Y-%m-%d %H:%M").to_string()
}

/// Cuts `text` to `room` columns. An ellipsis replaces its middle.
fn middle(text: &str, room: usize) -> String {
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

/// Cuts `text` to `room` columns, with an ellipsis if it was longer. Escapes characters that move the cursor.
pub(super) fn cut(text: &str, room: usize) -> String {
    let text = text::line(text);
    if text.width() <= room {
        return text.into_owned();
    }
    let Some(left) = room.checked_sub(1) else { return String::new() };
    take(text.chars(), left) + "…"
}

/// As [`cut`], but keeps the end of the text.
pub(super) fn cut_before(text: &str, room: usize) -> String {
    let backward = |text: &str| text.chars().rev().collect::<String>();
    backward(&cut(&backward(&text::line(text)), room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(rows: &[[&str; 3]]) -> Sheet {
        let columns = vec![Head::name("name"), Head::new("size", Align::Right), Head::text("tags")];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        let colours = Some((1, vec![Colour::Green; rows.len()]));
        Sheet { columns, rows, colours }
    }

    fn at(width: usize) -> Look {
        Look { width: Some(width), ..Look::default() }
    }

    #[test]
    fn columns_have_no_borders_and_lines_no_blanks_at_the_end() {
        let sheet = sheet(&[["vm1", "5 MiB", "a,b"], ["日本", "10 GiB", ""]]);
        let text = "name    size  tags\nvm1    5 MiB  a,b\n日本  10 GiB\n";
        assert_eq!((&sheet.render(at(80))[..], &sheet.render(Look::default())[..]), (text, text));
        let bare = Look { skip_header: true, ..Look::default() };
        assert_eq!(sheet.render(bare), "vm1    5 MiB  a,b\n日本  10 GiB\n");
        let coloured = Look { colours: true, ..bare };
        assert!(sheet.render(coloured).starts_with("vm1   \x1b[32m 5 MiB\x1b[0m  a,b\n"));
        assert!(sheet.render(Look { skip_header: false, ..coloured }).starts_with("name    size  tags\n"));
    }

    #[test]
    fn long_texts_give_way_and_numbers_do_not() {
        let tags = "b_daily,b_monthly,b_weekly,manual";
        let (long, wide) = ("a".repeat(200), "日本".repeat(50));
        let sheet = sheet(&[
            ["a-name-of-thirty-characters-or-so", "1023 MiB", tags],
            ["x\u{1b}[2J\nb\u{202e}", "0", "t"],
            [&long, "1 MiB", &wide],
        ]);
        for width in 0..=120 {
            let text = sheet.render(at(width));
            let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
            // The sizes, the gaps, and one column for each of the others.
            assert!(widest < width.max(15), "{width}: {text}");
            assert!(text.lines().count() == 4 && !text.contains('\u{1b}'), "{text}");
            assert!(text.contains("1023 MiB"), "{text}");
        }
        let whole = sheet.render(Look::default());
        assert!(
            whole.contains(tags) && whole.contains(&long) && whole.contains(&wide),
            "nothing is cut in a pipe"
        );
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

    #[test]
    fn texts_are_cut_at_one_end() {
        assert_eq!((&cut("abcdef", 4)[..], &cut_before("abcdef", 4)[..]), ("abc…", "…def"));
        assert_eq!((&cut("abc", 3)[..], &cut("日本", 2)[..], &cut("abc", 0)[..]), ("abc", "…", ""));
    }
}
