//! `report`.

use crate::cli::Context;
use crate::cli::args::ReportArgs;
use crate::cli::exit::Outcome;
use crate::cli::report::{Content, page};
use crate::engine::report::{self, Report};
use crate::engine::{Access, Site};
use crate::monitor::Monitor;
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use crate::types::text::plural;
use crate::types::time::Timestamp;
use chrono::Local;
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub(super) fn run(context: &Context, args: &ReportArgs) -> Result<Outcome> {
    let file = (args.file != "-").then(|| Path::new(&args.file));
    file.map_or(Ok(()), check)?;
    let mut site = Site::open(&context.config, &context.terminal, Access::Glance)?;
    let now = Timestamp::now();
    let report = report::run(&mut site, args.store, now, &Local)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let content = Content {
        report: &report,
        host: &host,
        offset: &now.local().format("%:z").to_string(),
        local: &|time| time.local().naive_local(),
    };
    let page = page(&content)?;
    context.terminal.check()?;
    match file {
        None => context.terminal.print_whole(&page)?,
        Some(path) => {
            write(path, &page)
                .map_err(|e| Error::refused(because(format!("cannot write {}", path.display()), e)))?;
            tell(context, path, &report)?;
        }
    }
    Ok(Outcome::Done)
}

/// Refuses to write over anything but a regular file.
fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let kind = if found.is_dir() { "a folder" } else { "a device or a pipe" };
            Err(Error::refused(format!(
                "{} is {kind}. Give the name of a file, such as backups.html, or - for stdout.",
                path.display()
            )))
        }
        // Other errors show when the file is written.
        _ => Ok(()),
    }
}

/// Writes the file as a whole. The page has names, but no secrets, and is meant for a web server.
fn write(path: &Path, page: &str) -> std::io::Result<()> {
    let mut file = Whole::begin(path, FileMode::PUBLIC)?;
    file.write_all(page.as_bytes())?;
    file.finish()
}

fn tell(context: &Context, path: &Path, report: &Report) -> Result<()> {
    let names = report.status.names.len();
    let versions = report.status.totals.as_ref().map_or(0, |totals| totals.versions);
    let shown = path.display();
    let counts = [plural(names as u64, "name", "names"), plural(versions, "version", "versions")].join(", ");
    context.terminal.info(&format!("The report is in {shown}: {counts}."));
    context.report(|| json!({"file": shown.to_string(), "names": names, "versions": versions}))
}
