//! The database: whether it can be opened and written, and whether its file is intact.

use super::finding::{Finding, Kind};
use super::{Check, NAMED};
use crate::engine::{Access, Site};
use crate::meta::{SchemaState, url::DatabaseUrl};
use crate::types::error::Result;
use crate::types::text::plural;

/// Opens the database without a change to it.
pub(super) fn opens(check: &mut Check<'_, '_>) -> Result<Finding> {
    let mut site = Site::open(check.config, check.monitor, Access::Observe)?;
    let location = site.meta.location().to_owned();
    let state = site.meta.state()?;
    if let SchemaState::Old { .. } = state {
        return Ok(Finding::wrong(format!(
            "{location} was made by an older release, and can be checked only after it is upgraded"
        ))
        .advise("`backy2 upgrade` does that, and so does the next backup"));
    }
    let writable = site.meta.check_writable();
    check.site = Some(site);
    Ok(match (writable, state) {
        (Err(error), _) => Finding::of_error(&error),
        (Ok(()), SchemaState::Behind { revision }) => Finding::warning(format!(
            "{location} can be read and written. Its schema has revision {revision}: the next backup adds the \
             tables that it lacks"
        )),
        (Ok(()), _) => {
            Finding::good(format!("{location} can be read and written, and its schema is current"))
        }
    })
}

/// Checks the structure of the file.
pub(super) fn structure(check: &mut Check<'_, '_>) -> Result<Finding> {
    if DatabaseUrl::parse(&check.config.meta.engine)?.file().is_none() {
        return Ok(Finding::good("the server checks its files itself"));
    }
    check.begin("the structure of the database");
    let complaints = check.site()?.meta.integrity(NAMED + 1)?;
    if complaints.is_empty() {
        return Ok(Finding::good("the file of the database is intact"));
    }
    let mut kind = Kind::default();
    complaints.iter().flat_map(|text| text.lines()).for_each(|line| kind.add(|| line.to_owned()));
    let number =
        plural(kind.count, "place in the file is damaged", "places in the file are damaged, or more");
    Ok(Finding::wrong(number).details(kind.lines("complaints")).advise(
        "Stop backups and cleanups, and restore the database from a copy, or rebuild the file with `sqlite3 FILE \
         .recover`; see docs/recovery.md",
    ))
}
