//! `prune`.

use crate::cli::args::PruneArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::table::Align;
use crate::cli::{Context, listing};
use crate::engine::prune::{self, Judged, Options};
use crate::engine::{Access, Site};
use crate::monitor::Monitor;
use crate::types::error::{Error, Result};
use crate::types::text::plural;
use crate::types::time::Timestamp;
use serde_json::Value;

pub(super) fn run(context: &Context, args: &PruneArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let options =
        Options { names: &args.names, rules: args.rules(), dry_run: args.dry_run, now: Timestamp::now() };
    let access = if args.dry_run { Access::Catalogue } else { Access::Remove };
    let mut site = Site::open(&context.config, &context.terminal, access)?;
    let judged = prune::run(&mut site, &options)?;
    listing::show(context, "versions", &judged, &fields, listing::complete)?;
    let count = |action| judged.iter().filter(|judged| Action::of(judged) == action).count();
    let (removed, failed) = (count(Action::Remove), count(Action::Failed));
    let would = if args.dry_run { "would be removed" } else { "removed" };
    let stay = judged.len() - removed;
    let versions = plural(removed as u64, "version", "versions");
    let stay = plural(stay as u64, "stays", "stay");
    context.terminal.info(&format!("{versions} {would}, {stay}."));
    if failed > 0 {
        return Err(Error::refused(format!(
            "{} could not be removed (the reasons are above). The next prune tries again.",
            plural(failed as u64, "version", "versions")
        )));
    }
    Ok(Outcome::Done)
}

/// What happens to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Keep,
    Remove,
    Failed,
}

impl Action {
    fn of(judged: &Judged) -> Self {
        match judged {
            Judged { failure: Some(_), .. } => Action::Failed,
            Judged { decision, .. } if decision.stays => Action::Keep,
            _ => Action::Remove,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Remove => "remove",
            Action::Failed => "failed",
        }
    }
}

/// The columns of `prune`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Date,
    Uid,
    Action,
    Reasons,
}

impl Field {
    fn reasons(judged: &Judged) -> Vec<String> {
        match &judged.failure {
            Some(failure) => vec![failure.clone()],
            None => judged.decision.causes.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Choice for Field {
    const ALL: &'static [Self] = &[Field::Name, Field::Date, Field::Uid, Field::Action, Field::Reasons];

    fn title(self) -> &'static str {
        match self {
            Field::Name => "name",
            Field::Date => "date",
            Field::Uid => "uid",
            Field::Action => "action",
            Field::Reasons => "reasons",
        }
    }
}

impl listing::Field<Judged> for Field {
    fn align(self) -> Align {
        match self {
            Field::Name | Field::Action | Field::Reasons => Align::Left,
            Field::Date | Field::Uid => Align::Centre,
        }
    }

    fn cell(self, judged: &Judged, _human: bool) -> String {
        match self {
            Field::Name => judged.version.name.clone(),
            Field::Date => judged.version.date.to_string(),
            Field::Uid => judged.version.uid.to_string(),
            Field::Action => Action::of(judged).name().to_owned(),
            Field::Reasons => Field::reasons(judged).join(", "),
        }
    }

    fn value(self, judged: &Judged) -> Value {
        match self {
            Field::Name => judged.version.name.clone().into(),
            Field::Date => listing::date(judged.version.date),
            Field::Uid => judged.version.uid.as_str().into(),
            Field::Action => Action::of(judged).name().into(),
            Field::Reasons => Field::reasons(judged).into(),
        }
    }
}
