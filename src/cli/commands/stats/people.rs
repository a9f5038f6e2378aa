//! The listing for people: the newest backup last, in the width of the terminal.

use crate::cli::sheet::{Head, Sheet, minute};
use crate::cli::table::Align;
use crate::cli::{human, progress};
use crate::engine::catalogue::Details;
use crate::meta::PastRun;

const COLUMNS: [Head; 7] = [
    Head::new("date (UTC)", Align::Left),
    Head::name("name"),
    Head::new("uid", Align::Left),
    Head::new("size", Align::Right),
    Head::new("read", Align::Right),
    Head::new("new", Align::Right),
    Head::new("time", Align::Right),
];

/// The sheet of these backups, the oldest first.
pub(super) fn sheet(runs: &[PastRun], details: &Details) -> Sheet {
    let row = |run: &PastRun| {
        vec![
            minute(run.date),
            run.name.clone(),
            details.short(&run.version_uid).to_owned(),
            human::size(run.size.bytes),
            human::size(run.statistics.read.bytes),
            human::size(run.statistics.written.bytes),
            progress::eta(run.duration),
        ]
    };
    Sheet { columns: COLUMNS.to_vec(), rows: runs.iter().map(row).collect(), colours: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sheet::Look;
    use crate::types::time::Timestamp;
    use crate::types::version::{Count, Statistics};

    #[test]
    fn a_backup_takes_one_line() {
        let run = PastRun {
            date: Timestamp::parse("2026-11-03 17:14:37").expect("a date"),
            version_uid: "dd3de703-e505-11f1-90ca-02fc00000001".into(),
            name: "vm1".to_owned(),
            size: Count { blocks: 100, bytes: 400 << 20 },
            statistics: Statistics {
                read: Count { blocks: 100, bytes: 400 << 20 },
                written: Count { blocks: 4, bytes: 16 << 20 },
                ..Statistics::default()
            },
            duration: 63,
        };
        assert_eq!(
            sheet(&[run], &Details::of(&[], &[])).render(Look { width: Some(80), ..Look::default() }),
            "\
date (UTC)        name  uid          size     read     new  time
2026-11-03 17:14  vm1   dd3de703  400 MiB  400 MiB  16 MiB   63s
"
        );
    }
}
