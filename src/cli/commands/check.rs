//! `check`.

use crate::cli::args::CheckArgs;
use crate::cli::csv_list::Choice;
use crate::cli::exit::Outcome;
use crate::cli::table::Align;
use crate::cli::{Context, dates, listing, live, remedy};
use crate::engine::check::{self, Finding, Options, Point, State, WriteMetadata};
use crate::monitor::{Level, Monitor};
use crate::types::error::Result;
use crate::types::reason::one_line;
use crate::types::text;
use serde_json::{Value, json};

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<Outcome> {
    let read = args.read.as_deref().unwrap_or("0");
    let read = dates::number("--read", read.trim_end_matches('%'), 100)?;
    let write_metadata = if args.write_metadata { WriteMetadata::Yes } else { WriteMetadata::No };
    let options = Options { read: u8::try_from(read).unwrap_or(100), write_metadata };
    let (terminal, scripted) = (&context.terminal, context.json || context.style.machine);
    let symbols = live::shows_symbols();
    let mut findings: Vec<Finding> = Vec::new();
    check::run(&context.config, terminal, options, &mut |finding| {
        record(context, &finding);
        if !scripted {
            terminal.print(&shown(&finding, symbols))?;
        }
        findings.push(finding);
        Ok(())
    })?;
    let number = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (wrong, warnings) = (number(State::Wrong), number(State::Warning));
    if context.json {
        let points: Vec<Value> = findings.iter().map(value).collect();
        context.print_json(&json!({"sound": wrong == 0, "points": points}))?;
    } else if scripted {
        listing::show(context, "points", &findings, Field::ALL, listing::complete)?;
    }
    terminal.info(&match (wrong, warnings) {
        (0, 0) => "Nothing is wrong.".to_owned(),
        (0, _) => "Nothing is wrong. The warnings above need no action.".to_owned(),
        (1, _) => "1 point is wrong.".to_owned(),
        (number, _) => format!("{number} points are wrong."),
    });
    Ok(if wrong == 0 { Outcome::Done } else { Outcome::Errors })
}

/// Writes a finding that is not good to the logfile.
fn record(context: &Context, finding: &Finding) {
    let level = match finding.state {
        State::Good | State::NotChecked => return,
        State::Warning => Level::Warning,
        State::Wrong => Level::Error,
    };
    let title = title(finding.point);
    context.terminal.record(level, &format!("{title}: {}", sentence(finding)));
    for detail in &finding.details {
        context.terminal.record(level, &format!("{title}: {detail}"));
    }
}

/// The name of the point.
fn title(point: Point) -> &'static str {
    match point {
        Point::Configuration => "configuration",
        Point::Folders => "folders",
        Point::Database => "database",
        Point::Structure => "structure",
        Point::BlockSize => "block size",
        Point::References => "references",
        Point::MasterKey => "master key",
        Point::Store => "data store",
        Point::HashFunction => "hash function",
        Point::Blobs => "blobs",
        Point::Data => "data",
        Point::Copies => "copies",
        Point::Space => "free space",
        Point::Clock => "clock",
        Point::Locks => "locks",
        Point::Leftovers => "leftovers",
        Point::Versions => "versions",
    }
}

/// The result in a word, as scripts see it.
fn word(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Warning => "warning",
        State::Wrong => "wrong",
        State::NotChecked => "not checked",
    }
}

/// The result in a symbol, all of the same width.
fn symbol(state: State) -> &'static str {
    match state {
        State::Good => "✓",
        State::Warning => "!",
        State::Wrong => "✗",
        State::NotChecked => "-",
    }
}

/// What to do, in one or more sentences; empty if there is nothing to do.
fn advice(finding: &Finding) -> String {
    remedy::advised(&finding.advice, &finding.remedies)
}

/// The text and the advice.
fn sentence(finding: &Finding) -> String {
    one_line(&finding.text, &[], &advice(finding))
}

/// The lines for people.
fn shown(finding: &Finding, symbols: bool) -> String {
    let mark = if symbols { symbol(finding.state).to_owned() } else { format!("{:11}", word(finding.state)) };
    let line = |words: &str| text::line(words).into_owned();
    let mut lines = format!("{mark} {}: {}\n", title(finding.point), line(&finding.text));
    for detail in &finding.details {
        lines += &format!("    {}\n", line(detail));
    }
    let advice = advice(finding);
    if !advice.is_empty() {
        let arrow = if symbols { "→ " } else { "" };
        lines += &format!("    {arrow}{}\n", line(&advice));
    }
    lines
}

fn value(finding: &Finding) -> Value {
    json!({
        "point": title(finding.point),
        "state": word(finding.state),
        "text": finding.text,
        "details": finding.details,
        "advice": advice(finding),
    })
}

/// The columns of `-m check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    State,
    Point,
    Text,
}

impl Choice for Field {
    const ALL: &'static [Self] = &[Field::State, Field::Point, Field::Text];

    fn title(self) -> &'static str {
        match self {
            Field::State => "state",
            Field::Point => "point",
            Field::Text => "text",
        }
    }
}

impl listing::Field<Finding> for Field {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, finding: &Finding, _human: bool) -> String {
        match self {
            Field::State => word(finding.state).to_owned(),
            Field::Point => title(finding.point).to_owned(),
            Field::Text => {
                let all = std::iter::once(&finding.text).chain(&finding.details);
                all.map(String::as_str).collect::<Vec<_>>().join("; ")
            }
        }
    }

    fn value(self, finding: &Finding) -> Value {
        self.cell(finding, false).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::remedy::Remedy;

    fn finding(state: State) -> Finding {
        Finding {
            point: Point::Blobs,
            state,
            text: "3 blobs in the store: 1 blob is named by nothing".into(),
            details: vec!["blob x\u{1b}[2J is named by nothing".into()],
            advice: String::new(),
            remedies: vec![Remedy::DeleteUnfinished],
        }
    }

    #[test]
    fn people_see_symbols_on_a_terminal_and_words_elsewhere() {
        let shown = |state, symbols| shown(&finding(state), symbols);
        let on_terminal = shown(State::Warning, true);
        assert!(on_terminal.starts_with("! blobs: 3 blobs"), "{on_terminal}");
        assert!(on_terminal.contains("    → `backy2 cleanup --full`"), "{on_terminal}");
        assert!(!on_terminal.contains('\u{1b}'), "text from outside moves no cursor");
        for (state, word) in
            [(State::Good, "ok          blobs: "), (State::NotChecked, "not checked blobs: ")]
        {
            let piped = shown(state, false);
            assert!(piped.starts_with(word) && piped.is_ascii(), "{piped}");
        }
    }

    #[test]
    fn scripts_get_one_line_for_each_point() {
        let table = listing::table(&[finding(State::Wrong)], Field::ALL, false);
        assert_eq!(table.rows.len(), 1);
        assert_eq!(table.rows[0][..2], ["wrong", "blobs"]);
        assert_eq!(
            value(&finding(State::Wrong))["advice"],
            "`backy2 cleanup --full` deletes those in the data store."
        );
    }
}
