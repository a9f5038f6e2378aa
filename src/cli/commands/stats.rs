//! `stats`.

use crate::cli::args::StatsArgs;
use crate::cli::csv_list::{self, Choice};
use crate::cli::exit::Outcome;
use crate::cli::listing::{self, Field as _};
use crate::cli::table::Align;
use crate::cli::{Context, dates, human};
use crate::engine::{self, Access, Site};
use crate::meta::PastRun;
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::Value;

mod people;

pub(super) fn run(context: &Context, args: &StatsArgs) -> Result<Outcome> {
    let fields = csv_list::fields::<Field>(args.fields.as_deref())?;
    let limit = match args.limit.as_deref() {
        // As in 2.13, -1 means no limit.
        None | Some("-1") => None,
        Some(text) => Some(dates::number("-l/--limit", text, u64::MAX)?),
    };
    let mut site = Site::open(&context.config, &context.terminal, Access::Catalogue)?;
    let runs = engine::usage::past_runs(&mut site, args.version_uid.as_deref(), limit)?;
    if let (true, Some(version)) = (runs.is_empty() && limit != Some(0), &args.version_uid) {
        context.terminal.notice(&format!("There are no statistics of '{version}'."));
    }
    if let Some(width) = context.screen_for(args.wide, args.fields.as_deref()) {
        let sheet = people::sheet(&runs, &engine::catalogue::details(&mut site)?);
        context.terminal.print(&sheet.render(context.look(width)))?;
        return Ok(Outcome::Done);
    }
    listing::show(context, "stats", &runs, &fields, listing::complete)?;
    Ok(Outcome::Done)
}

/// Statistics of a run in the format of `stats --json`.
pub(crate) fn json(run: &PastRun) -> Value {
    let pair = |field: &Field| (field.key().to_owned(), field.value(run));
    Value::Object(Field::ALL.iter().map(pair).collect())
}

/// The columns of `stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Date,
    Uid,
    Name,
    SizeBytes,
    SizeBlocks,
    BytesRead,
    BlocksRead,
    BytesWritten,
    BlocksWritten,
    BytesDedup,
    BlocksDedup,
    BytesSparse,
    BlocksSparse,
    Duration,
}

use Field::*;

impl Choice for Field {
    const ALL: &'static [Self] = &[
        Date,
        Uid,
        Name,
        SizeBytes,
        SizeBlocks,
        BytesRead,
        BlocksRead,
        BytesWritten,
        BlocksWritten,
        BytesDedup,
        BlocksDedup,
        BytesSparse,
        BlocksSparse,
        Duration,
    ];

    fn title(self) -> &'static str {
        match self {
            Date => "date",
            Uid => "uid",
            Name => "name",
            SizeBytes => "size bytes",
            SizeBlocks => "size blocks",
            BytesRead => "bytes read",
            BlocksRead => "blocks read",
            BytesWritten => "bytes written",
            BlocksWritten => "blocks written",
            BytesDedup => "bytes dedup",
            BlocksDedup => "blocks dedup",
            BytesSparse => "bytes sparse",
            BlocksSparse => "blocks sparse",
            Duration => "duration (s)",
        }
    }
}

impl Field {
    /// The number in this column, and whether it is a number of bytes; `None` for columns of text.
    fn number(self, run: &PastRun) -> Option<(u64, bool)> {
        let s = &run.statistics;
        Some(match self {
            Date | Uid | Name => return None,
            SizeBytes => (run.size.bytes, true),
            SizeBlocks => (run.size.blocks, false),
            BytesRead => (s.read.bytes, true),
            BlocksRead => (s.read.blocks, false),
            BytesWritten => (s.written.bytes, true),
            BlocksWritten => (s.written.blocks, false),
            BytesDedup => (s.dedup.bytes, true),
            BlocksDedup => (s.dedup.blocks, false),
            BytesSparse => (s.sparse.bytes, true),
            BlocksSparse => (s.sparse.blocks, false),
            Duration => (run.duration, false),
        })
    }
}

impl listing::Field<PastRun> for Field {
    fn key(self) -> &'static str {
        match self {
            Date => "date",
            Uid => "uid",
            Name => "name",
            SizeBytes => "size_bytes",
            SizeBlocks => "size_blocks",
            BytesRead => "bytes_read",
            BlocksRead => "blocks_read",
            BytesWritten => "bytes_written",
            BlocksWritten => "blocks_written",
            BytesDedup => "bytes_dedup",
            BlocksDedup => "blocks_dedup",
            BytesSparse => "bytes_sparse",
            BlocksSparse => "blocks_sparse",
            Duration => "duration_seconds",
        }
    }

    fn align(self) -> Align {
        match self {
            Date | Uid => Align::Centre,
            Name => Align::Left,
            _ => Align::Right,
        }
    }

    fn cell(self, run: &PastRun, human: bool) -> String {
        match (self.number(run), self) {
            (Some((bytes, true)), _) if human => human::size(bytes),
            (Some((number, _)), _) => number.to_string(),
            (None, Date) => run.date.to_string(),
            (None, Uid) => run.version_uid.to_string(),
            (None, _) => run.name.clone(),
        }
    }

    fn value(self, run: &PastRun) -> Value {
        match (self.number(run), self) {
            (Some((number, _)), _) => number.into(),
            (None, Date) => listing::date(run.date),
            (None, Uid) => run.version_uid.as_str().into(),
            (None, _) => run.name.clone().into(),
        }
    }
}
