//! `upgrade` and `downgrade-check`.

use crate::cli::Context;
use crate::cli::args::DowngradeCheckArgs;
use crate::cli::csv_list::Choice;
use crate::cli::exit::Outcome;
use crate::cli::listing;
use crate::cli::table::Align;
use crate::engine;
use crate::engine::downgrade::{Measure, Step, When};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::{Value, json};

pub(super) fn upgrade(context: &Context) -> Result<Outcome> {
    let terminal = &context.terminal;
    let upgraded = engine::upgrade::run(&context.config, terminal)?;
    if !upgraded {
        terminal.info("The database has the current schema: there is nothing to do.");
    }
    context.report(|| json!({"upgraded": upgraded}))?;
    Ok(Outcome::Done)
}

pub(super) fn downgrade_check(context: &Context, args: &DowngradeCheckArgs) -> Result<Outcome> {
    let terminal = &context.terminal;
    let plan = engine::downgrade::check(&context.config, terminal, args.copy.as_deref())?;
    if let Some(copy) = &plan.copy {
        terminal.info(&format!("Compared with {}.", copy.display()));
    }
    if plan.steps.is_empty() {
        terminal.info("Going back would lose nothing.");
    }
    if !plan.steps.is_empty() || context.json || context.style.machine {
        listing::show(context, "steps", &plan.steps, Field::ALL, listing::complete)?;
    }
    Ok(if plan.steps.is_empty() { Outcome::Done } else { Outcome::Errors })
}

/// The columns of `downgrade-check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    When,
    Command,
    Reason,
}

impl Choice for Field {
    const ALL: &'static [Self] = &[Field::When, Field::Command, Field::Reason];

    fn title(self) -> &'static str {
        match self {
            Field::When => "when",
            Field::Command => "command",
            Field::Reason => "reason",
        }
    }
}

impl listing::Field<Step> for Field {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, step: &Step, _human: bool) -> String {
        match self {
            Field::When => when(step.when).to_owned(),
            Field::Command => step.command.as_ref().map(command).unwrap_or_default(),
            Field::Reason => step.reason.clone(),
        }
    }

    fn value(self, step: &Step) -> Value {
        self.cell(step, false).into()
    }
}

fn command(measure: &Measure) -> String {
    match measure {
        Measure::Rekey => "backy2 rekey PRESENT_KEY".to_owned(),
        Measure::Export(uid) => format!("backy2 export {uid} {uid}.dump"),
        Measure::Import(uid) => format!("backy2 import {uid}.dump"),
        Measure::Unprotect(uid) => format!("backy2 unprotect {uid}"),
        Measure::Remove(uid) => format!("backy2 rm -f {uid}"),
        Measure::Scrub(uid) => format!("backy2 scrub {uid}"),
    }
}

fn when(when: When) -> &'static str {
    match when {
        When::Before => "before",
        When::After => "after",
        When::Lost => "lost",
    }
}
