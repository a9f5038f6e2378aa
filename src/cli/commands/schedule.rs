//! `add-tag`, `remove-tag`, `expire`, `due` and `sla`.

use crate::cli::args::{ExpireArgs, ScheduleArgs, SlaArgs, TagArgs};
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::{self, Outcome, State};
use crate::cli::listing;
use crate::cli::sheet::{Head, Sheet, minute};
use crate::cli::table::Align;
use crate::cli::{Context, dates};
use crate::engine::schedule::{self, Asked, Breach, Due, Severity, Sla};
use crate::engine::{Access, Site, catalogue};
use crate::types::error::Result;
use crate::types::text::plural;
use crate::types::time::Timestamp;
use serde_json::{Value, json};

pub(super) fn add_tag(context: &Context, args: &TagArgs) -> Result<Outcome> {
    let tags = csv_list::items(&args.tags)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    schedule::add_tags(&mut site, &args.version_uid, &tags)?;
    Ok(Outcome::Done)
}

pub(super) fn remove_tag(context: &Context, args: &TagArgs) -> Result<Outcome> {
    let tags = csv_list::items(&args.tags)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    schedule::remove_tags(&mut site, &args.version_uid, &tags)?;
    Ok(Outcome::Done)
}

pub(super) fn expire(context: &Context, args: &ExpireArgs) -> Result<Outcome> {
    let date = dates::expire(&args.expire)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    schedule::expire(&mut site, &args.version_uid, date)?;
    Ok(Outcome::Done)
}

pub(super) fn due(context: &Context, args: &ScheduleArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<DueField>(args.fields.as_deref())?;
    let schedulers = schedulers(args)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    if let Some(name) = &args.name {
        catalogue::tell_unknown(&mut site, name)?;
    }
    let due = schedule::due(&mut site, args.name.as_deref(), asked(args, &schedulers), Timestamp::now())?;
    match context.screen_for(false, args.fields.as_deref()) {
        Some(width) => context.terminal.print(&sheet(&due).render(context.look(width)))?,
        None => listing::show(context, "due", &due, &fields, listing::complete)?,
    }
    Ok(Outcome::Done)
}

/// The listing of `due` for people.
fn sheet(due: &[Due]) -> Sheet {
    let columns = vec![
        Head::new("due since (UTC)", Align::Left),
        Head::name("name"),
        Head::text("schedulers"),
        Head::new("will expire", Align::Left),
    ];
    let row = |due: &Due| {
        let is_first = due.due_since == Timestamp::beginning();
        vec![
            if is_first { "no version yet".to_owned() } else { minute(due.due_since) },
            due.name.clone(),
            due.schedulers.join(","),
            minute(due.expire_date),
        ]
    };
    Sheet { columns, rows: due.iter().map(row).collect(), colours: None }
}

pub(super) fn sla(context: &Context, SlaArgs { check, schedule: args }: &SlaArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<SlaField>(args.fields.as_deref())?;
    let schedulers = schedulers(args)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    let sla =
        schedule::breaches(&mut site, args.name.as_deref(), asked(args, &schedulers), Timestamp::now())?;
    if *check {
        let named = args.schedulers.is_some() || context.config.run.jobs.is_empty();
        return report(context, &sla, if named { &schedulers } else { &[] });
    }
    listing::show(context, "breaches", &sla.breaches, &fields, listing::complete)?;
    Ok(Outcome::Done)
}

/// The schedulers of 2.13, without which it looks at these.
const USUAL: [&str; 3] = ["daily", "weekly", "monthly"];

/// The schedulers that are given, or the usual ones.
fn schedulers(args: &ScheduleArgs) -> Result<Vec<String>> {
    args.schedulers.as_deref().map_or_else(|| Ok(USUAL.map(str::to_owned).to_vec()), csv_list::items)
}

fn asked<'a>(args: &ScheduleArgs, schedulers: &'a [String]) -> Asked<'a> {
    if args.schedulers.is_some() { Asked::For(schedulers) } else { Asked::OfJobsOr(schedulers) }
}

/// Prints the line for a monitoring system: the state, and the worst breach. `schedulers` are those that were named, if
/// all names were judged by them.
fn report(context: &Context, sla: &Sla, schedulers: &[String]) -> Result<Outcome> {
    let worst = sla.breaches.iter().rev().max_by_key(|(_, breach)| breach.severity);
    let (state, text) = match worst {
        None if sla.names == 0 => (State::Unknown, "There is no version.".to_owned()),
        None if schedulers.is_empty() => {
            (State::Ok, format!("The backups of {} names match their jobs.", sla.names))
        }
        None => {
            let schedulers = schedulers.join(", ");
            (
                State::Ok,
                format!(
                    "The backups of {} match the schedulers ({schedulers}).",
                    plural(sla.names as u64, "name", "names")
                ),
            )
        }
        Some((name, breach)) => {
            let state = match breach.severity {
                Severity::Warning => State::Warning,
                Severity::Critical => State::Critical,
            };
            let more = match sla.breaches.len() - 1 {
                0 => String::new(),
                more => format!(" And {}.", plural(more as u64, "more breach", "more breaches")),
            };
            (state, format!("{name}: {}{more}", breach.text))
        }
    };
    if context.json {
        context.print_json(&json!({"state": state.word(), "text": text}))?;
    } else {
        context.terminal.print(&format!("{}: {}\n", state.word(), exit::one_line(&text)))?;
    }
    Ok(Outcome::Monitored(state))
}

/// The columns of `due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DueField {
    Name,
    Schedulers,
    ExpireDate,
    DueSince,
}

impl Choice for DueField {
    const ALL: &'static [Self] =
        &[DueField::Name, DueField::Schedulers, DueField::ExpireDate, DueField::DueSince];

    fn title(self) -> &'static str {
        match self {
            DueField::Name => "name",
            DueField::Schedulers => "schedulers",
            DueField::ExpireDate => "expire_date",
            DueField::DueSince => "due_since",
        }
    }
}

impl listing::Field<Due> for DueField {
    fn align(self) -> Align {
        match self {
            DueField::Name | DueField::Schedulers => Align::Left,
            DueField::ExpireDate | DueField::DueSince => Align::Centre,
        }
    }

    fn cell(self, due: &Due, _human: bool) -> String {
        match self {
            DueField::Name => due.name.clone(),
            DueField::Schedulers => due.schedulers.join(","),
            DueField::ExpireDate => due.expire_date.to_string(),
            DueField::DueSince => due.due_since.to_string(),
        }
    }

    fn value(self, due: &Due) -> Value {
        match self {
            DueField::Name => due.name.clone().into(),
            DueField::Schedulers => due.schedulers.clone().into(),
            DueField::ExpireDate => listing::date(due.expire_date),
            DueField::DueSince => listing::date(due.due_since),
        }
    }
}

/// The columns of `sla`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlaField {
    Name,
    Breach,
}

impl Choice for SlaField {
    const ALL: &'static [Self] = &[SlaField::Name, SlaField::Breach];

    fn title(self) -> &'static str {
        match self {
            SlaField::Name => "name",
            SlaField::Breach => "breach",
        }
    }
}

impl listing::Field<(String, Breach)> for SlaField {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, (name, breach): &(String, Breach), _human: bool) -> String {
        match self {
            SlaField::Name => name.clone(),
            SlaField::Breach => breach.text.clone(),
        }
    }

    fn value(self, row: &(String, Breach)) -> Value {
        self.cell(row, false).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sheet::Look;

    #[test]
    fn people_see_what_is_due_in_eighty_columns() {
        let at = |text| Timestamp::parse(text).expect("a date");
        let due = |name: &str, since| Due {
            name: name.to_owned(),
            schedulers: ["daily", "weekly", "monthly"].map(str::to_owned).to_vec(),
            expire_date: at("2026-12-01 02:00:00"),
            due_since: since,
        };
        let rows = [due("vm1", Timestamp::beginning()), due(&"long".repeat(20), at("2026-11-01 02:00:00"))];
        let text = sheet(&rows).render(Look { width: Some(80), ..Look::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("no version yet    vm1  "), "{text}");
        assert!(lines[2].starts_with("2026-11-01 02:00  longlon"), "{text}");
        assert!(lines[2].ends_with("2026-12-01 02:00") && lines[2].chars().count() < 80, "{text}");
    }
}
