//! INI files, in the dialect of Python's `configparser` with its default settings.
//!
//! Sections are `[name]`. Options are `key: value` or `key = value`, and the first delimiter counts. Comments are whole
//! lines that begin with `#` or `;`. A line that is indented deeper than the option above it continues that option's
//! value, as do blank lines in between. Option names are converted to lower case. A section or an option that occurs
//! twice is an error. References with `%` are expanded later, when all files are merged (see [`super::interpolate`]).
//!
//! Errors name the file and the line, but never quote the line: it may hold a key or a password.

use super::raw::{INHERITED, Place, Raw, Section, Value, ValueKind};
use crate::types::{Error, Result};
use std::sync::Arc;

/// Parses `text`, the contents of the file named `file`.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Raw> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The line endings of all systems count, as when Python opens a text file.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader =
        Reader { file, line: 0, raw: Raw::default(), section: None, in_option: false, indent: 0 };
    for line in text.split('\n') {
        reader.line += 1;
        reader.take(line)?;
    }
    for section in &mut reader.raw.sections {
        for (_, value) in &mut section.keys {
            value.text.truncate(value.text.trim_end_matches(is_space).len());
        }
    }
    Ok(reader.raw)
}

/// The same as Python's `str.isspace`: Unicode white space and four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

struct Reader<'a> {
    file: &'a Arc<str>,
    /// The current line, counted from 1.
    line: usize,
    raw: Raw,
    /// Index of the current section.
    section: Option<usize>,
    /// Whether the last option of the current section may be continued.
    in_option: bool,
    /// Indentation of the last header or option, in characters.
    indent: usize,
}

impl Reader<'_> {
    fn take(&mut self, line: &str) -> Result<()> {
        let content = line.trim_matches(is_space);
        if content.starts_with(['#', ';']) {
            return Ok(());
        }
        if content.is_empty() {
            self.continue_value("");
            return Ok(());
        }
        let indent = line.chars().take_while(|c| is_space(*c)).count();
        if indent > self.indent && self.continue_value(content) {
            return Ok(());
        }
        self.indent = indent;
        match header(content) {
            Some(name) => self.begin_section(name),
            None => self.begin_option(content),
        }
    }

    /// Appends a line to the value of the current option. Returns false if there is none.
    fn continue_value(&mut self, content: &str) -> bool {
        let section = self.section.and_then(|index| self.raw.sections.get_mut(index));
        match section.and_then(|section| section.keys.last_mut()) {
            Some((_, value)) if self.in_option => {
                value.text.push('\n');
                value.text.push_str(content);
                true
            }
            _ => false,
        }
    }

    fn begin_section(&mut self, name: &str) -> Result<()> {
        self.in_option = false;
        if let Some(index) = self.raw.sections.iter().position(|section| section.name == name) {
            if name != INHERITED {
                let first = self.raw.sections[index].place.line;
                return self.error(&format!("section [{name}] is there already, in line {first}: join them"));
            }
            self.section = Some(index);
        } else {
            self.section = Some(self.raw.sections.len());
            self.raw.sections.push(Section::new(name, self.place()));
        }
        Ok(())
    }

    fn begin_option(&mut self, content: &str) -> Result<()> {
        let place = self.place();
        let Some(section) = self.section.and_then(|index| self.raw.sections.get_mut(index)) else {
            return self.error("this line stands before the first [section]");
        };
        let Some((key, value)) = content.split_once(['=', ':']) else {
            let name = section.name.clone();
            return self.error(&format!(
                "[{name}] this line is neither `key: value` nor a section nor a comment (lines that \
                 continue a value are indented)"
            ));
        };
        let key = key.trim_end_matches(is_space).to_lowercase();
        let (name, first) = (section.name.clone(), section.get(&key).map(|value| value.place.line));
        if key.is_empty() {
            return self.error(&format!("[{name}] there is no key before the delimiter"));
        }
        if let Some(first) = first {
            return self.error(&format!("[{name}] {key} is there already, in line {first}: remove one"));
        }
        let text = value.trim_matches(is_space).to_owned();
        section.keys.push((key, Value { text, kind: ValueKind::Ini, place }));
        self.in_option = true;
        Ok(())
    }

    fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.line }
    }

    fn error(&self, problem: &str) -> Result<()> {
        Err(Error::config(format!("{}: {problem}.", self.place())))
    }
}

/// The name in a section header. As in Python, it reaches to the last `]` and is not trimmed, and any text after it is
/// ignored.
fn header(content: &str) -> Option<&str> {
    let inner = content.strip_prefix('[')?;
    let name = &inner[..inner.rfind(']')?];
    if name.is_empty() { None } else { Some(name) }
}

#[cfg(test)]
mod tests;
