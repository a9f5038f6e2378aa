//! A strict reader of the text format of Prometheus, for files that the program writes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The samples: the name with its label as in the file, and the value.
pub type Samples = BTreeMap<String, f64>;

/// Reads the file, and checks that it follows the format and the conventions: each family has HELP and TYPE, stands
/// together and once; no sample is there twice; names, labels, escapes and values are correct. If `promtool` is
/// installed, it must find nothing either.
pub fn read(path: &Path) -> Samples {
    let text = std::fs::read_to_string(path).expect("the metrics");
    let samples = parse(&text).unwrap_or_else(|problem| panic!("{problem}:\n{text}"));
    lint(&text);
    samples
}

/// Reads `text`, or says what is wrong with it.
pub fn parse(text: &str) -> Result<Samples, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    // The name and the kind of the current family.
    let (mut family, mut kind) = (String::new(), String::new());
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').ok_or(format!("no description: {line}"))?;
            if !is_name(name) || words.is_empty() || !families.insert(name.to_owned()) {
                return Err(format!("a bad or second family: {line}"));
            }
            (family, kind) = (name.to_owned(), String::new());
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, word) = described.split_once(' ').ok_or(format!("no type: {line}"))?;
            let is_counter = word == "counter";
            if name != family || !kind.is_empty() || !["counter", "gauge"].contains(&word) {
                return Err(format!("a type in the wrong place: {line}"));
            }
            if is_counter != name.ends_with("_total") {
                return Err(format!("a name that does not tell the type: {line}"));
            }
            kind = word.to_owned();
        } else if !line.starts_with('#') {
            let (name, key, value) = sample(line).ok_or(format!("a bad sample: {line}"))?;
            if name != family || kind.is_empty() {
                return Err(format!("a sample outside of its family: {line}"));
            }
            if samples.insert(key, value).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
    }
    Ok(samples)
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    first && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The name of the metric, the name with its labels, and the value.
fn sample(line: &str) -> Option<(String, String, f64)> {
    let end = line.find(['{', ' '])?;
    let name = &line[..end];
    let labels = if line[end..].starts_with('{') { end_of_label(line, end)? } else { end };
    let (key, value) = match &line[labels..] {
        rest if labels > end => (&line[..labels + 1], rest.strip_prefix("} ")?),
        rest => (name, rest.strip_prefix(' ')?),
    };
    let is_number = |c: char| c.is_ascii_digit() || "+-.e".contains(c);
    let value = Some(value).filter(|value| value.chars().all(is_number))?.parse().ok()?;
    is_name(name).then(|| (name.to_owned(), key.to_owned(), value))
}

/// The place of the brace that ends the label which begins with a brace at `start`.
fn end_of_label(line: &str, start: usize) -> Option<usize> {
    let (label, rest) = line[start + 1..].split_once("=\"")?;
    let mut length = 0;
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => {
                chars.next().filter(|c| "\\\"n".contains(*c))?;
                length += 2;
            }
            c if c.is_control() => return None,
            c => length += c.len_utf8(),
        }
    }
    is_name(label).then_some(start + 1 + label.len() + 2 + length + 1)
}

/// Lets Prometheus' own tool check the text, if it is there.
fn lint(text: &str) {
    let mut tool = Command::new("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = tool.stderr(Stdio::piped()).spawn() else { return };
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}
