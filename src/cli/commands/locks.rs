//! `locks`.

use crate::cli::Context;
use crate::cli::args::LocksArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::listing;
use crate::cli::table::Align;
use crate::engine::{Access, Site};
use crate::locks::Holder;
use crate::types::error::Result;
use serde_json::Value;

pub(super) fn run(context: &Context, args: &LocksArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let site = Site::open(&context.config, &context.terminal, Access::Observe)?;
    let holders = site.locks.list()?;
    listing::show(context, "locks", &holders, &fields, listing::complete)?;
    Ok(Outcome::Done)
}

/// The columns of `locks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Since,
    Lock,
    Mode,
    Host,
    Pid,
    Heard,
    Process,
}

use Field::*;

impl Choice for Field {
    const ALL: &'static [Self] = &[Since, Lock, Mode, Host, Pid, Heard, Process];

    fn title(self) -> &'static str {
        match self {
            Since => "since",
            Lock => "lock",
            Mode => "mode",
            Host => "host",
            Pid => "pid",
            Heard => "heard (s)",
            Process => "process",
        }
    }
}

fn mode(holder: &Holder) -> &'static str {
    if holder.exclusive { "exclusive" } else { "shared" }
}

impl listing::Field<Holder> for Field {
    fn key(self) -> &'static str {
        match self {
            Heard => "heard_seconds_ago",
            other => other.title(),
        }
    }

    fn align(self) -> Align {
        match self {
            Pid | Heard => Align::Right,
            _ => Align::Left,
        }
    }

    fn cell(self, holder: &Holder, _: bool) -> String {
        match self {
            Since => holder.since.map(|since| since.to_string()).unwrap_or_default(),
            Lock => holder.name.clone(),
            Mode => mode(holder).to_owned(),
            Host => holder.host.clone(),
            Pid => holder.pid.to_string(),
            Heard => holder.heard.map(|seconds| seconds.to_string()).unwrap_or_default(),
            Process => holder.command.clone(),
        }
    }

    fn value(self, holder: &Holder) -> Value {
        match self {
            Since => holder.since.map_or(Value::Null, listing::date),
            Lock => holder.name.clone().into(),
            Mode => mode(holder).into(),
            Host => holder.host.clone().into(),
            Pid => holder.pid.into(),
            Heard => holder.heard.map_or(Value::Null, Value::from),
            Process => holder.command.clone().into(),
        }
    }
}
