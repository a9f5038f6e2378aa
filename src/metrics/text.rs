//! The text format.

use super::{FAMILIES, Family, Metrics};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The first line. A file without it is not one of ours.
const HEADER: &str = "# backy2 metrics. This file is replaced by backy2; counters continue from its values.";
/// The part of the first line that all releases write.
const MARK: &str = "# backy2 metrics.";

impl Metrics {
    /// Reads a file. Lines that are not understood are left out. Returns `None` if the file is not one of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with(MARK) {
            return None;
        }
        let known: BTreeMap<&str, &Family> = FAMILIES.iter().map(|family| (family.name, family)).collect();
        let mut metrics = Metrics::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, label, value)) = sample(line) else { continue };
            let Some(Family { metric, label: expected, .. }) = known.get(name) else { continue };
            match (expected, label) {
                (Some(expected), Some((label, of))) if label == *expected => metrics.set(*metric, &of, value),
                (None, None) => metrics.set(*metric, "", value),
                _ => {}
            }
        }
        Some(metrics)
    }

    /// The content of the file.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for family in &FAMILIES {
            let values = self.values.get(&family.metric).filter(|values| !values.is_empty());
            let Some(values) = values else { continue };
            let (name, kind) = (family.name, if family.is_counter() { "counter" } else { "gauge" });
            // Writing to a string never fails.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for (of, value) in values {
                let _ = match family.label {
                    Some(label) => writeln!(text, "{name}{{{label}=\"{}\"}} {value}", escaped(of)),
                    None => writeln!(text, "{name} {value}"),
                };
            }
        }
        text
    }
}

/// The value of a label, as it stands between the quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The name of a metric, its label if there is one, and its value.
type Sample<'t> = (&'t str, Option<(&'t str, String)>, f64);

/// Reads a line such as `name{label="value"} 1.5`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (label, rest) = match rest.strip_prefix('{') {
        Some(rest) => {
            let (label, rest) = rest.split_once("=\"")?;
            let (value, rest) = quoted(rest)?;
            (Some((label, value)), rest.strip_prefix('}')?)
        }
        None => (None, rest),
    };
    let value: f64 = rest.trim().parse().ok()?;
    value.is_finite().then_some((name, label, value))
}

/// The value of a label up to the quote that ends it, and the text behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}
