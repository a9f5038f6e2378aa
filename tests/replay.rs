//! Runs the commands of `tests/transcripts`, which were recorded with backy2 2.13, again. Their output must be the
//! same, but for the differences that `docs/differences-recorded.md` lists.
//!
//! The steps depend on each other, so they run in one folder in the order of their numbers. With
//! `BACKY2_REPLAY_WRITE=1` the new texts are written into that document; the reasons must be written by people.

#[path = "common/program.rs"]
mod program;

mod replay {
    pub mod clock;
    pub mod damage;
    pub mod dump;
    pub mod images;
    pub mod normal;
    pub mod setup;
    pub mod stage;
    pub mod tokens;
    pub mod transcript;
    pub mod wanted;

    /// The project's folder.
    pub fn project() -> &'static std::path::Path {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
    }
}

use replay::clock::Clock;
use replay::normal::{cut_like, elide_like, normal, sorted, uncounted};
use replay::setup::Setup;
use replay::stage::Stage;
use replay::transcript::{self, Answer, Step};
use replay::wanted::{Difference, NO_REASON, Wanted};
use std::collections::BTreeMap;

/// Steps whose lines 2.13 printed in random order, and why.
const UNORDERED: &[(&str, &str)] = &[
    ("118-stats", "within a second"),
    ("121-stats-limit", "within a second"),
    ("123-stats-limit-neg", "within a second"),
    ("126-stats-m-r", "within a second"),
    ("149-scrub-source-changed", "blocks are compared side by side"),
    ("189-stats-after-rm", "within a second"),
    ("310-due", "the names of a set"),
];

/// The number of recorded steps.
const STEPS: usize = 295;

#[test]
fn recorded_commands_answer_as_recorded() {
    let wanted = Wanted::read();
    let steps = transcript::all();
    assert_eq!(steps.len(), STEPS, "a recorded step is lost");
    let mut problems = bad_entries(&wanted, &steps);
    let found = run(&steps, &wanted);
    if std::env::var_os("BACKY2_REPLAY_WRITE").is_some_and(|value| value == "1") {
        wanted.write(&found);
        return;
    }
    for step in &steps {
        problems.extend(problem(step, found.get(&step.name), wanted.differences.get(&step.name)));
    }
    let differing = found.len();
    println!("{} steps replayed, {differing} of them differ", steps.len() - wanted.left_out.len());
    assert!(
        problems.is_empty(),
        "\n{}\n\n{} steps. Wanted differences belong into docs/differences-recorded.md.\n",
        problems.join("\n"),
        problems.len()
    );
}

/// Errors in the document itself.
fn bad_entries(wanted: &Wanted, steps: &[Step]) -> Vec<String> {
    let reasons = wanted.differences.iter().map(|(name, difference)| (name, &difference.reason));
    let mut problems = Vec::new();
    for (name, reason) in reasons.chain(&wanted.left_out) {
        if !steps.iter().any(|step| step.name == *name) {
            problems.push(format!("{name} is listed, and there is no such step"));
        }
        if reason.is_empty() || reason.contains(NO_REASON) {
            problems.push(format!("{name} is listed without a reason"));
        }
    }
    for name in wanted.left_out.keys().filter(|name| wanted.differences.contains_key(*name)) {
        problems.push(format!("{name} is listed as differing and as left out"));
    }
    problems
}

/// Runs the steps and returns the differences.
fn run(steps: &[Step], wanted: &Wanted) -> BTreeMap<String, Difference> {
    let recorded: String =
        steps.iter().map(|step| format!("{}\n{}\n", step.command, step.answer.stdout)).collect();
    let clock = Clock::new(&recorded);
    let mut stage = Stage::new();
    let mut setup = Setup::new(&stage);
    let mut found = BTreeMap::new();
    for step in steps.iter().filter(|step| !wanted.left_out.contains_key(&step.name)) {
        setup.before(step.number(), &mut stage);
        let answer = stage.run(&step.command);
        let uids = setup.uids(step.number()).unwrap_or_else(|| stage.unknown(&step.answer));
        stage.learn(&uids, &step.name);
        let own = stage.as_recorded(&answer);
        if let Some(difference) = compare(step, &own, &clock) {
            found.insert(step.name.clone(), difference);
        }
        setup.after(step.number(), &mut stage);
    }
    found
}

fn compare(step: &Step, own: &Answer, clock: &Clock) -> Option<Difference> {
    let is_unordered = UNORDERED.iter().any(|(name, _)| *name == step.name);
    let finish = |text: &str, clock: &Clock| {
        let text = normal(text, clock);
        if is_unordered { sorted(&uncounted(&text)) } else { text }
    };
    let like = |own: &str, recorded: &str| elide_like(&cut_like(own, recorded), recorded);
    let recorded = step.answer.map(|text| finish(&replay::dump::decoded(text), clock));
    let of_own = clock.of_own();
    let own = Answer {
        stdout: finish(&like(&own.stdout, &step.answer.stdout), &of_own),
        stderr: finish(&like(&own.stderr, &step.answer.stderr), &of_own),
        exit: own.exit.clone(),
    };
    Difference::between(&recorded, &own)
}

fn problem(step: &Step, found: Option<&Difference>, listed: Option<&Difference>) -> Option<String> {
    let name = format!("{} ({})", step.name, step.scenario);
    match (found, listed) {
        (None, None) => None,
        (Some(found), Some(listed)) if found.parts == listed.parts => None,
        (None, Some(_)) => Some(format!("{name} is listed as differing, and does not differ")),
        (Some(found), Some(listed)) => Some(format!(
            "{name} differs otherwise than listed:\n{}instead of:\n{}",
            shown(found),
            shown(listed)
        )),
        (Some(found), None) => Some(format!("{name} differs:\n$ {}\n{}", step.command, shown(found))),
    }
}

fn shown(difference: &Difference) -> String {
    difference.parts.iter().map(|(name, text)| format!("--- {name}\n{text}")).collect()
}

/// Not a test: the `sqlite3` of the recorded commands calls this.
#[test]
fn sqlite3_for_the_shell() {
    let of = |name: &str| std::env::var(name);
    let (Ok(database), Ok(text), Ok(output)) = (of("SQL_DATABASE"), of("SQL_TEXT"), of("SQL_OUTPUT")) else {
        return;
    };
    let sql = rusqlite::Connection::open(database).expect("opens");
    let mut statement = sql.prepare(&text).expect("prepared");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("asked");
    let mut answer = String::new();
    while let Some(row) = rows.next().expect("a row") {
        let cells: Vec<String> = (0..columns)
            .map(|at| match row.get_ref(at).expect("a column") {
                rusqlite::types::ValueRef::Null => String::new(),
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().expect("text").to_owned(),
            })
            .collect();
        answer += &format!("{}\n", cells.join("|"));
    }
    std::fs::write(output, answer).expect("write");
}
