//! `prune`.

use crate::cli::args::PruneArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::sheet::{Head, Sheet, minute};
use crate::cli::table::Align;
use crate::cli::{Context, listing};
use crate::engine::catalogue::{self, Details};
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
    // The versions that go are among those whose uids are shortened.
    let screen = context.screen_for(false, args.fields.as_deref());
    let screen = screen.map(|width| Ok((width, catalogue::details(&mut site)?))).transpose()?;
    let judged = prune::run(&mut site, &options)?;
    match screen {
        Some((width, details)) => {
            context.terminal.print(&sheet(&judged, &details).render(context.look(width)))?;
        }
        None => listing::show(context, "versions", &judged, &fields, listing::complete)?,
    }
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

/// The listing for people.
fn sheet(judged: &[Judged], details: &Details) -> Sheet {
    let columns = vec![
        Head::new("date (UTC)", Align::Left),
        Head::name("name"),
        Head::new("uid", Align::Left),
        Head::new("action", Align::Left),
        Head::text("reasons"),
    ];
    let row = |judged: &Judged| {
        vec![
            minute(judged.version.date),
            judged.version.name.clone(),
            details.short(&judged.version.uid).to_owned(),
            Action::of(judged).name().to_owned(),
            Field::reasons(judged).join(", "),
        ]
    };
    Sheet { columns, rows: judged.iter().map(row).collect(), colours: None }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sheet::Look;
    use crate::engine::prune::policy::{Cause, Decision};
    use crate::types::keys::VersionKey;
    use crate::types::version::Version;

    #[test]
    fn eighty_columns_are_enough_for_people() {
        let version = Version {
            key: VersionKey(1),
            uid: "dd3de701-e505-11f1-90ca-02fc00000001".into(),
            date: Timestamp::parse("2026-11-03 17:14:37").expect("a date"),
            expire: None,
            name: "a-virtual-machine-with-a-long-name".to_owned(),
            snapshot_name: String::new(),
            size: 8,
            size_bytes: 1023 << 20,
            valid: true,
            protected: true,
            tags: Vec::new(),
        };
        let causes = vec![Cause::Protected, Cause::LastValid, Cause::Young];
        let details = Details::of(std::slice::from_ref(&version), &[]);
        let judged = Judged { version, decision: Decision { stays: true, causes }, failure: None };
        let text = sheet(&[judged], &details).render(Look { width: Some(80), ..Look::default() });
        let row = text.lines().nth(1).expect("a row");
        assert!(
            row.starts_with("2026-11-03 17:14  a-virtu") && row.contains("-name  dd3de701  keep    "),
            "{text}"
        );
        assert!(row.ends_with('…') && row.chars().count() < 80, "{text}");
    }
}
