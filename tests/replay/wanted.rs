//! Reads and writes `docs/differences-recorded.md`, which lists the intended differences step by step.

use super::transcript::Answer;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The heading of the list of differing steps.
const DIFFERENCES: &str = "\n## Differences in the recorded runs\n";
/// The heading of the list of steps that cannot be replayed.
const LEFT_OUT: &str = "\n## Recorded steps that are not replayed\n";
/// Stands for a reason that is not written yet.
pub const NO_REASON: &str = concat!("TO", "DO-REASON");

/// The differences of a step, and the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The reason, for readers.
    pub reason: String,
    /// The new texts of the parts that differ: stdout, stderr, exit.
    pub parts: BTreeMap<String, String>,
}

impl Difference {
    /// The differences between two answers; `None` if there are none.
    pub fn between(recorded: &Answer, own: &Answer) -> Option<Self> {
        let pairs = recorded.parts().into_iter().zip(own.parts());
        let differing = pairs.filter(|((_, old), (_, new))| old != new);
        let line_end = |text: &str| if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let parts: BTreeMap<String, String> =
            differing.map(|(_, (name, new))| (name.to_owned(), format!("{new}{}", line_end(new)))).collect();
        (!parts.is_empty()).then(|| Difference { reason: NO_REASON.to_owned(), parts })
    }
}

/// The content of the document.
pub struct Wanted {
    introduction: String,
    /// Differences by the names of the steps.
    pub differences: BTreeMap<String, Difference>,
    /// Steps that are not replayed, and why.
    pub left_out: BTreeMap<String, String>,
}

fn path() -> PathBuf {
    super::project().join("docs/differences-recorded.md")
}

impl Wanted {
    /// Reads the document.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(path()).expect("docs/differences-recorded.md");
        let (introduction, rest) = text.split_once(DIFFERENCES).expect("the section of differences");
        let (differences, left_out) = rest.split_once(LEFT_OUT).expect("the section of steps left out");
        let left_out = entries(left_out).into_iter().map(|(name, text)| (name, text.trim().to_owned()));
        Wanted {
            introduction: introduction.to_owned(),
            differences: entries(differences)
                .into_iter()
                .map(|(name, text)| (name, difference(&text)))
                .collect(),
            left_out: left_out.collect(),
        }
    }

    /// Writes the document with the differences `found`; the reasons are kept.
    pub fn write(&self, found: &BTreeMap<String, Difference>) {
        let mut text = format!("{}{DIFFERENCES}", self.introduction);
        for (name, difference) in found {
            let reason = self.differences.get(name).map_or(NO_REASON, |old| &old.reason);
            text += &format!("\n### {name}\n{reason}\n");
            for part in ["stdout", "stderr", "exit"] {
                if let Some(new) = difference.parts.get(part) {
                    text += &format!("\n```{part}\n{new}```\n");
                }
            }
        }
        text += LEFT_OUT;
        for (name, reason) in &self.left_out {
            text += &format!("\n### {name}\n{reason}\n");
        }
        std::fs::write(path(), text).expect("write");
    }
}

/// The texts under the headings. Lines in a block never begin like a heading.
fn entries(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in text.split("\n### ").skip(1) {
        let (name, rest) = entry.split_once('\n').expect("a name");
        let twice = found.insert(name.to_owned(), rest.to_owned());
        assert!(twice.is_none(), "{name} is listed twice");
    }
    found
}

fn difference(text: &str) -> Difference {
    let mut found = Difference::default();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (open.as_mut(), line.strip_prefix("```")) {
            (None, Some(name)) => open = Some((name.to_owned(), String::new())),
            (None, None) => found.reason += &format!("{line}\n"),
            (Some(_), Some("")) => found.parts.extend(open.take()),
            (Some((_, block)), _) => *block += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a block does not end: {text}");
    found.reason = found.reason.trim().to_owned();
    found
}

#[test]
fn entries_of_the_document_are_parsed() {
    let text =
        "\n### 001-a\nWhy.\n\n```stdout\nx\n\n```\n\n```exit\n1\n```\n\n### 002-b\nSo.\n\n```stderr\n```\n";
    let found = entries(text);
    let first = difference(&found["001-a"]);
    assert_eq!(first.reason, "Why.");
    assert_eq!(first.parts["stdout"], "x\n\n");
    assert_eq!(first.parts["exit"], "1\n");
    assert_eq!(difference(&found["002-b"]).parts["stderr"], "");
}
