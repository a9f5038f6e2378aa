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
use crate::types::retention::{KeepRules, Rule, parse_count};
use crate::types::time::Timestamp;
use serde_json::Value;

pub(super) fn run(context: &Context, args: &PruneArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let options =
        Options { names: &args.names, rules: rules(args)?, dry_run: args.dry_run, now: Timestamp::now() };
    let access = if args.dry_run { Access::Catalogue } else { Access::Remove };
    let mut site = Site::open(&context.config, &context.terminal, access)?;
    let judged = prune::run(&mut site, &options)?;
    listing::show(context, "versions", &judged, &fields, listing::complete)?;
    let count = |action| judged.iter().filter(|judged| Action::of(judged) == action).count();
    let (removed, failed) = (count(Action::Remove), count(Action::Failed));
    let would = if args.dry_run { "would be removed" } else { "removed" };
    let stay = judged.len() - removed;
    context.terminal.info(&format!("{removed} versions {would}, {stay} stay."));
    if failed > 0 {
        return Err(Error::refused(format!(
            "{failed} versions could not be removed (the reasons are above). The next prune tries again."
        )));
    }
    Ok(Outcome::Done)
}

/// The rules on the command line, or `None` if there are none.
///
/// # Errors
/// [`Error::Refused`]: a number or time is bad, or the rules keep nothing.
fn rules(args: &PruneArgs) -> Result<Option<KeepRules>> {
    let counts = [
        (Rule::Last, &args.keep_last),
        (Rule::Hourly, &args.keep_hourly),
        (Rule::Daily, &args.keep_daily),
        (Rule::Weekly, &args.keep_weekly),
        (Rule::Monthly, &args.keep_monthly),
        (Rule::Yearly, &args.keep_yearly),
    ];
    let mut rules = KeepRules::default();
    for (rule, text) in counts {
        let Some(text) = text else { continue };
        let count = parse_count(text).ok_or_else(|| {
            Error::refused(format!(
                "--keep-{}: '{text}' is not a whole number (0 or more), or unlimited.",
                rule.name()
            ))
        })?;
        rules = rules.with(rule, count);
    }
    if let Some(text) = &args.keep_within {
        let bad = |()| {
            Error::refused(format!(
                "--keep-within: '{text}' is not a time such as 2y5m7d3h: numbers of years, months, days and hours."
            ))
        };
        rules.within = Some(text.parse().map_err(bad)?);
    }
    let given = args.keep_within.is_some() || counts.iter().any(|(_, text)| text.is_some());
    if given && rules.is_empty() {
        return Err(Error::refused("The rules keep nothing: nothing was done. One of them must not be 0."));
    }
    Ok(given.then_some(rules))
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
