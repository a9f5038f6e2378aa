//! Reads the commands and answers of the real program from `tests/transcripts`.

use std::collections::BTreeMap;
use std::path::Path;

/// The result of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// Exit code.
    pub exit: String,
}

impl Answer {
    /// The parts and their names, in the order of the documents.
    pub fn parts(&self) -> [(&'static str, &str); 3] {
        [("stdout", &self.stdout), ("stderr", &self.stderr), ("exit", &self.exit)]
    }

    /// The answer with stdout and stderr changed.
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Answer { stdout: change(&self.stdout), stderr: change(&self.stderr), exit: self.exit.clone() }
    }
}

/// A recorded step.
#[derive(Clone, Debug)]
pub struct Step {
    /// `NNN-name`; steps run in the order of the numbers.
    pub name: String,
    /// The shell command.
    pub command: String,
    /// The recorded answer.
    pub answer: Answer,
    /// The name of the scenario, for messages.
    pub scenario: String,
}

impl Step {
    /// The number at the beginning of the name.
    pub fn number(&self) -> u32 {
        self.name[..3].parse().expect("a number")
    }
}

/// All steps by name. A step that is in two scenarios is the same in both.
pub fn all() -> Vec<Step> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut steps: BTreeMap<String, Step> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        let scenario = path.file_stem().expect("a name").to_string_lossy().into_owned();
        for step in parse(&std::fs::read_to_string(&path).expect("read"), &scenario) {
            if let Some(twice) = steps.get(&step.name) {
                assert_eq!(twice.answer, step.answer, "{} has two answers", step.name);
                continue;
            }
            steps.insert(step.name.clone(), step);
        }
    }
    steps.into_values().collect()
}

fn parse(text: &str, scenario: &str) -> Vec<Step> {
    // A step ends at the heading of the next one. No output has such a line.
    let steps = text.strip_prefix("### ").expect("a heading").split("\n### ");
    steps.map(|step| parse_step(step.strip_suffix('\n').unwrap_or(step), scenario)).collect()
}

fn parse_step(text: &str, scenario: &str) -> Step {
    let (name, rest) = text.split_once("\n$ ").expect("a command");
    let (command, rest) = rest.split_once("\n--- stdout\n").expect("stdout");
    let rest = format!("\n{rest}");
    let (stdout, rest) = rest.split_once("\n--- stderr\n").expect("stderr");
    let rest = format!("\n{rest}");
    let (stderr, exit) = rest.rsplit_once("\n--- exit ").expect("exit");
    let part = |text: &str| match text.strip_prefix('\n') {
        Some(text) => format!("{text}\n"),
        None => String::new(),
    };
    Step {
        name: name.to_owned(),
        command: command.to_owned(),
        answer: Answer { stdout: part(stdout), stderr: part(stderr), exit: exit.trim().to_owned() },
        scenario: scenario.to_owned(),
    }
}
