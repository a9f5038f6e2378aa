//! The versions of each name, day by day.

use super::{day, nights};
use crate::meta::PastRun;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use chrono::{Days, NaiveDate, TimeZone};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Number of days, unless there are too many names.
const DAYS: u64 = 60;
/// The fewest days.
const FEWEST: u64 = 14;
/// The most cells, if that leaves enough days.
const CELLS: u64 = 30_000;

/// The versions of the last days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    /// The days without a gap, oldest first.
    pub days: Vec<NaiveDate>,
    /// The cells of each name, one for each day. The names have the order of the status.
    pub rows: Vec<Vec<Cell>>,
}

/// The versions of one name that began on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The versions, oldest first.
    pub versions: Vec<Version>,
    /// Number of backups whose versions have been removed.
    pub removed: u64,
    /// Whether a process is writing one of the versions.
    pub running: bool,
}

/// A cell in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// No backup began.
    None,
    /// The versions have been removed.
    Removed,
    /// No version is valid.
    Invalid,
    /// A version is being written, and none is valid yet.
    Running,
    /// A version is valid.
    Valid,
    /// A version is valid and protected.
    Protected,
}

impl Cell {
    /// The cell in a word.
    pub(crate) fn mark(&self) -> Mark {
        let mut valid = self.versions.iter().filter(|version| version.valid).peekable();
        match (valid.peek().is_some(), self.running) {
            (true, _) if valid.any(|version| version.protected) => Mark::Protected,
            (true, _) => Mark::Valid,
            (false, true) => Mark::Running,
            (false, false) if !self.versions.is_empty() => Mark::Invalid,
            (false, false) if self.removed > 0 => Mark::Removed,
            (false, false) => Mark::None,
        }
    }
}

/// Makes the calendar that ends with `today`. The versions in `held` are being written, unless they are valid.
pub(super) fn of(
    names: &[&str],
    versions: &[Version],
    runs: &[PastRun],
    held: &BTreeSet<VersionUid>,
    today: NaiveDate,
    zone: &impl TimeZone,
) -> Calendar {
    let number = (CELLS / (names.len() as u64).max(1)).clamp(FEWEST, DAYS);
    let days: Vec<NaiveDate> =
        (0..number).rev().filter_map(|n| today.checked_sub_days(Days::new(n))).collect();
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    let first = days.first().copied().unwrap_or(today);
    let mut grid = Grid { places, first, rows: vec![vec![Cell::default(); days.len()]; names.len()] };
    for version in versions {
        if let Some(cell) = grid.cell(&version.name, day(version.date, zone)) {
            cell.running |= !version.valid && held.contains(&version.uid);
            cell.versions.push(version.clone());
        }
    }
    let existing: HashSet<&VersionUid> = versions.iter().map(|version| &version.uid).collect();
    for run in runs.iter().filter(|run| !existing.contains(&run.version_uid)) {
        let day = day(nights::beginning(run), zone);
        if let Some(cell) = grid.cell(&run.name, day) {
            cell.removed += 1;
        }
    }
    grid.rows.iter_mut().flatten().for_each(|cell| cell.versions.sort_by_key(|version| version.date));
    Calendar { days, rows: grid.rows }
}

/// The cells while they are filled.
struct Grid<'n> {
    /// The row of each name.
    places: HashMap<&'n str, usize>,
    /// The day of the first column.
    first: NaiveDate,
    rows: Vec<Vec<Cell>>,
}

impl Grid<'_> {
    /// The cell of a name and a day; `None` if the calendar does not have it.
    fn cell(&mut self, name: &str, day: NaiveDate) -> Option<&mut Cell> {
        let column = usize::try_from(day.signed_duration_since(self.first).num_days()).ok()?;
        self.rows.get_mut(*self.places.get(name)?)?.get_mut(column)
    }
}
