//! The results of `check`.

use super::install::{Install, Run};

/// What `check` says about each point: point, state and text.
pub struct Told {
    /// The run of the command.
    pub run: Run,
    /// The points, in their order.
    pub points: Vec<(String, String, String)>,
}

impl Told {
    /// The points with this state.
    pub fn states(&self, state: &str) -> Vec<&str> {
        let of = self.points.iter().filter(|(_, found, _)| found == state);
        of.map(|(point, _, _)| &point[..]).collect()
    }

    /// Nothing is wrong, and only these points have warnings, apart from that of little free space, which depends on the
    /// machine.
    #[track_caller]
    pub fn warns(&self, points: &[&str]) {
        let warnings: Vec<&str> =
            self.states("warning").into_iter().filter(|point| *point != "free space").collect();
        assert_eq!(
            (warnings, self.states("wrong"), self.run.code),
            (points.to_vec(), vec![], 0),
            "{:?}",
            self.run
        );
    }

    /// The text of a point.
    pub fn text(&self, point: &str) -> &str {
        let found = self.points.iter().find(|(name, _, _)| name == point);
        found.map_or_else(|| panic!("{point} is not in {:?}", self.run), |(_, _, text)| text)
    }

    /// Exactly these points are wrong, and the exit code says so. The text of the first has each of `words`.
    #[track_caller]
    pub fn wrong(&self, points: &[&str], words: &[&str]) {
        assert_eq!((self.states("wrong"), self.run.code), (points.to_vec(), 20), "{:?}", self.run);
        self.says(points[0], words);
    }

    /// The text of a point has each of `words`.
    #[track_caller]
    pub fn says(&self, point: &str, words: &[&str]) {
        let text = self.text(point);
        for word in words {
            assert!(text.contains(word), "{point} must say {word:?}: {text}");
        }
    }
}

/// Runs `check`, which must change nothing.
#[track_caller]
pub fn check(install: &Install, more: &[&str]) -> Told {
    let before = install.state();
    let told = check_only(install, more);
    assert!(install.state() == before, "the check has changed something: {:?}", told.run);
    told
}

/// Runs `check`.
pub fn check_only(install: &Install, more: &[&str]) -> Told {
    let run = install.run(&[&["-ms", "check"], more].concat());
    let point = |line: &str| {
        let mut cells = line.splitn(3, '|').map(str::to_owned);
        let mut next = || cells.next().unwrap_or_else(|| panic!("{line:?} has no three cells: {run:?}"));
        let (state, point, text) = (next(), next(), next());
        (point, state, text)
    };
    let points = run.stdout.lines().map(point).collect();
    Told { run, points }
}
