//! `du`.

use crate::cli::args::DuArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::listing;
use crate::cli::table::Align;
use crate::cli::{Context, human};
use crate::engine::{self, Access, Site};
use crate::meta::Usage;
use crate::types::error::Result;
use crate::types::version::Version;
use serde_json::{Map, Value};

mod people;

/// A line of the listing.
type Line = (Version, Usage);

pub(super) fn run(context: &Context, args: &DuArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Read)?;
    if let Some(width) = context.screen_for(args.wide, args.fields.as_deref()) {
        let versions = engine::usage::measured(&mut site, args.version_uid.as_deref())?;
        let details = engine::catalogue::details(&mut site)?;
        let on_disk = engine::usage::on_disk(&mut site)?;
        let sheet = people::sheet(versions, &details, &on_disk);
        context.terminal.print(&sheet.render(context.look(width)))?;
        return Ok(Outcome::Done);
    }
    let lines = engine::usage::space(&mut site, args.version_uid.as_deref())?;
    listing::show(context, "usage", &lines, &fields, identity)?;
    Ok(Outcome::Done)
}

/// The version's uid and name, for JSON. The table of 2.13 does not show them.
fn identity((version, _): &Line) -> Map<String, Value> {
    let uid = ("uid".to_owned(), version.uid.as_str().into());
    let name = ("name".to_owned(), version.name.clone().into());
    [uid, name].into_iter().collect()
}

/// The columns of `du`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Real,
    Null,
    DedupOwn,
    DedupOthers,
    Individual,
    Space,
    SpaceFreed,
}

use Field::*;

impl Field {
    fn bytes(self, (_, usage): &Line) -> u64 {
        match self {
            Real => usage.real,
            Null => usage.null,
            DedupOwn => usage.dedup_own,
            DedupOthers => usage.dedup_others,
            Individual => usage.individual,
            Space => usage.space,
            SpaceFreed => usage.space_freed,
        }
    }
}

impl Choice for Field {
    const ALL: &'static [Self] = &[Real, Null, DedupOwn, DedupOthers, Individual, Space, SpaceFreed];

    fn title(self) -> &'static str {
        match self {
            Real => "Real",
            Null => "Null",
            DedupOwn => "Dedup Own",
            DedupOthers => "Dedup Others",
            Individual => "Individual",
            Space => "Est. Space",
            SpaceFreed => "Est. Space freed",
        }
    }
}

impl listing::Field<Line> for Field {
    fn key(self) -> &'static str {
        match self {
            Real => "real",
            Null => "null",
            DedupOwn => "dedup_own",
            DedupOthers => "dedup_others",
            Individual => "individual",
            Space => "estimated_space",
            SpaceFreed => "estimated_space_freed",
        }
    }

    fn align(self) -> Align {
        Align::Right
    }

    fn cell(self, line: &Line, human: bool) -> String {
        let bytes = self.bytes(line);
        if human { human::size(bytes) } else { bytes.to_string() }
    }

    fn value(self, line: &Line) -> Value {
        self.bytes(line).into()
    }
}
