//! `fuse`.

use crate::cli::Context;
use crate::cli::args::FuseArgs;
use crate::cli::exit::Outcome;
use crate::engine::image::{self, Options};
use crate::engine::{Access, Site};
use crate::fuse::{self, Writing};
use crate::monitor::Monitor;
use crate::types::error::Result;
use serde_json::json;

pub(super) fn run(context: &Context, args: &FuseArgs) -> Result<Outcome> {
    let (terminal, path) = (&context.terminal, &args.mount);
    fuse::check(path)?;
    let site = Site::open(&context.config, terminal, Access::Read)?;
    let overlays = (!args.read_only).then(|| context.config.cachedir.clone());
    image::serve(site, &Options { overlays }, |depot| {
        let writing = if args.read_only { Writing::Refused } else { Writing::Allowed };
        fuse::run(depot, path, writing, terminal, |versions| {
            terminal.info(&format!(
                "Mounted on {}: {versions} {}. Ctrl-C or `umount {}` ends it.",
                path.display(),
                if versions == 1 { "version" } else { "versions" },
                path.display()
            ));
            context.report(|| json!({"mountpoint": path, "versions": versions}))
        })
    })?;
    Ok(Outcome::Done)
}
