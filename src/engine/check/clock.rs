//! The clock of this machine, compared with the dates of versions and with the clocks of servers.

use super::Check;
use super::finding::Finding;
use crate::engine::future;
use crate::meta::VersionFilter;
use crate::types::error::Result;
use crate::types::time::{Timestamp, check_clock};

/// Seconds by which clocks may differ. An answer of a server may be a few seconds under way.
const DIFFERENCE: i64 = 60;

/// Compares the clocks.
pub(super) fn clock(check: &mut Check<'_, '_>) -> Result<Finding> {
    check_clock()?;
    let mut details = Vec::new();
    let mut agree = vec!["its time is plausible".to_owned()];
    if let Some(site) = &mut check.site {
        let listed = site.meta.versions(&VersionFilter::default())?;
        let lines = future::warning(&listed.versions, "").unwrap_or_default();
        details.extend(lines.iter().map(|line| line.trim().to_owned()));
        compare("the database server", site.meta.server_clock()?, &mut details, &mut agree);
    }
    if let Some(store) = &check.store {
        compare("the data store", store.clock()?, &mut details, &mut agree);
    }
    if details.is_empty() {
        return Ok(Finding::good(agree.join(", and ")));
    }
    Ok(Finding::warning("the clocks or the dates of versions are wrong")
        .details(details)
        .advise("Set the clocks, with NTP for example: the order and the expiry of versions depend on them"))
}

/// Compares the clock of a server with that of this machine.
fn compare(whose: &str, theirs: Option<Timestamp>, details: &mut Vec<String>, agree: &mut Vec<String>) {
    let Some(theirs) = theirs else { return };
    let ahead = theirs.since(Timestamp::now()).num_seconds();
    if ahead.abs() <= DIFFERENCE {
        agree.push(format!("{whose} has the same time"));
        return;
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    details.push(format!("the clock of {whose} is {} seconds {side} that of this machine", ahead.abs()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn clocks_that_differ_are_told_with_their_difference() {
        let told = |seconds: Option<i64>| {
            let (mut details, mut agree) = (Vec::new(), Vec::new());
            let theirs = seconds.map(|seconds| Timestamp::now().after(TimeDelta::seconds(seconds)));
            compare("the server", theirs, &mut details, &mut agree);
            (details, agree)
        };
        assert_eq!(told(None), (vec![], vec![]));
        assert_eq!(told(Some(-50)), (vec![], vec!["the server has the same time".to_owned()]));
        for (seconds, side) in [(3600, "ahead of"), (-3600, "behind")] {
            let (details, agree) = told(Some(seconds));
            assert!(
                details[0].contains(side) && details[0].contains(" 3") && agree.is_empty(),
                "{details:?}"
            );
        }
    }
}
