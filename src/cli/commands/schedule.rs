//! `add-tag`, `remove-tag`, `expire`, `due` and `sla`.

use crate::cli::args::{ExpireArgs, ScheduleArgs, TagArgs};
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::listing;
use crate::cli::table::Align;
use crate::cli::{Context, dates};
use crate::engine::schedule::{self, Due};
use crate::engine::{Access, Site};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use serde_json::Value;

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
    let schedulers = csv_list::items(&args.schedulers)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    let due = schedule::due(&mut site, args.name.as_deref(), &schedulers, Timestamp::now())?;
    listing::show(context, "due", &due, &fields, listing::complete)?;
    Ok(Outcome::Done)
}

pub(super) fn sla(context: &Context, args: &ScheduleArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<SlaField>(args.fields.as_deref())?;
    let schedulers = csv_list::items(&args.schedulers)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    let breaches = schedule::breaches(&mut site, args.name.as_deref(), &schedulers, Timestamp::now())?;
    listing::show(context, "breaches", &breaches, &fields, listing::complete)?;
    Ok(Outcome::Done)
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

impl listing::Field<(String, String)> for SlaField {
    fn align(self) -> Align {
        Align::Left
    }

    fn cell(self, (name, breach): &(String, String), _human: bool) -> String {
        match self {
            SlaField::Name => name.clone(),
            SlaField::Breach => breach.clone(),
        }
    }

    fn value(self, row: &(String, String)) -> Value {
        self.cell(row, false).into()
    }
}
