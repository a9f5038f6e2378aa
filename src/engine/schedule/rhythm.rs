//! How often backups are made that follow retention rules.

use crate::config::Scheduler;
use crate::types::retention::{KeepRules, Rule};
use std::time::Duration;

/// The rule with the shortest period. There is a backup in each period.
pub(crate) fn shortest(keep: &KeepRules) -> Option<Rule> {
    Rule::ALL.into_iter().filter(|rule| *rule != Rule::Last).find(|rule| keep.count(*rule) > 0)
}

/// A schedule that retention rules imply: a backup in each period, up to half a period late. `None` if they have no
/// period.
pub(crate) fn rhythm(keep: &KeepRules) -> Option<Scheduler> {
    const HOUR: u64 = 3600;
    let rule = shortest(keep)?;
    let hours = match rule {
        Rule::Last | Rule::Hourly => 1,
        Rule::Daily => 24,
        Rule::Weekly => 7 * 24,
        Rule::Monthly => 31 * 24,
        Rule::Yearly => 366 * 24,
    };
    let interval = Duration::from_secs(hours * HOUR);
    Some(Scheduler { name: rule.name().to_owned(), interval, keep: keep.count(rule), sla: interval / 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_with_the_shortest_period_says_how_often_a_backup_is_made() {
        let keep = KeepRules::default().with(Rule::Last, 3);
        assert_eq!((shortest(&keep), rhythm(&keep)), (None, None), "the newest versions have no period");
        let daily = keep.with(Rule::Yearly, 1).with(Rule::Daily, 7);
        assert_eq!(shortest(&daily), Some(Rule::Daily));
        let rhythm = rhythm(&daily).expect("a schedule");
        assert_eq!((&rhythm.name[..], rhythm.interval.as_secs(), rhythm.keep), ("daily", 86_400, 7));
        assert_eq!(shortest(&keep.with(Rule::Weekly, u64::MAX)), Some(Rule::Weekly));
    }
}
