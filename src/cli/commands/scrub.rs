//! `scrub`.

use crate::cli::args::ScrubArgs;
use crate::cli::exit::Outcome;
use crate::cli::facts::Facts;
use crate::cli::{Context, dates, paths};
use crate::engine::scrub::{self, Options, Verdict};
use crate::engine::{Access, Site, names};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::json;

pub(super) fn run(context: &Context, args: &ScrubArgs, facts: &mut Facts) -> Result<Outcome> {
    let percentile = dates::number("-p/--percentile", &args.percentile, 100)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    let version = names::find(&mut site, &args.version_uid)?;
    facts.take(&version);
    let source = args.source.as_deref().filter(|url| !url.is_empty()).map(paths::source);
    let verdict = scrub::run(
        &mut site,
        &Options {
            version: version.uid.as_str(),
            source: source.as_deref(),
            percentile: u8::try_from(percentile).unwrap_or(100),
        },
    )?;
    let word = match verdict {
        Verdict::Good { .. } => "good",
        Verdict::Bad { version_is_bad: true } => "bad",
        Verdict::Bad { version_is_bad: false } => "source differs",
        Verdict::Incomplete => "incomplete",
    };
    context.report(|| json!({"verdict": word}))?;
    match verdict {
        Verdict::Good { .. } => {
            if context.screen.is_some() {
                context.terminal.info(match percentile {
                    100 => "Every block was verified.",
                    _ => "All blocks that were read are good.",
                });
            }
            Ok(Outcome::Done)
        }
        Verdict::Bad { .. } | Verdict::Incomplete => Ok(Outcome::Errors),
    }
}
