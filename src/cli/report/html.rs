//! HTML that is safe by its type.

use super::charts::Drawing;
use crate::types::text::line;
use std::fmt::Write;

/// A piece of HTML. Markup comes from the program's source only, and all other text is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup. That of the source code is the only text that lives as long as the program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text, for an element or for an attribute in double quotes. Characters that could end either of them, and
    /// those that move the cursor or reverse the direction of writing, are escaped.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in line(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Appends the name of a machine. Letters that are written from right to left do not change the order of the texts
    /// beside it.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.raw("<bdi>").text(name).raw("</bdi>")
    }

    /// Appends a number.
    pub(super) fn number(&mut self, number: impl Into<i64>) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{}", number.into());
        self
    }

    /// Appends a chart.
    pub(super) fn drawing(&mut self, drawing: &Drawing) -> &mut Self {
        self.0.push_str(drawing.svg());
        self
    }

    /// The markup.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}
