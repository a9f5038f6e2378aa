//! These tests wait for some hundred milliseconds each.

use super::*;
use crate::monitor::{Level, Progress};
use crate::types::error::Signal;
use crate::types::remedy::Remedy;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

/// Reports a signal once it has been asked `patience` times.
struct Watcher {
    asked: AtomicU32,
    patience: u32,
    said: Mutex<Vec<String>>,
}

impl Watcher {
    fn new(patience: u32) -> Self {
        Watcher { asked: AtomicU32::new(0), patience, said: Mutex::default() }
    }
}

impl Monitor for Watcher {
    fn progress(&self, _: &Progress<'_>) {}
    fn advise(&self, _: Level, text: &str, _: &[Remedy]) {
        self.said.lock().expect("lock").push(text.to_owned());
    }
    fn interrupted(&self) -> Option<Signal> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        (asked >= self.patience).then_some(Signal::Terminate)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn passing() -> Failure {
    Failure::new(FailureKind::Network, "the cable is cut")
}

fn answered(kind: FailureKind) -> Failure {
    Failure { kind, reason: "no".into(), status: Some(503) }
}

#[test]
fn temporary_failures_are_repeated_until_success() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(SECOND, 60 * SECOND, &watcher);
    let mut tries = 0;
    let result = patience.run("x", |_| {
        tries += 1;
        if tries < 4 { Err(answered(FailureKind::Busy)) } else { Ok(tries) }
    });
    assert_eq!(result.expect("in the end"), 4);
    let said = watcher.said.lock().expect("lock");
    assert_eq!(*said, ["x: no. Trying again."; 3]);
}

#[test]
fn lasting_failures_are_tried_once() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(SECOND, 60 * SECOND, &watcher);
    for kind in [FailureKind::Lasting, FailureKind::Missing, FailureKind::Unknown] {
        let mut tries = 0;
        let failure = patience.run("x", |_| {
            tries += 1;
            Err::<(), _>(answered(kind))
        });
        assert_eq!((failure.expect_err("failed").kind, tries), (kind, 1));
    }
}

#[test]
fn the_end_comes_in_time_and_is_reported() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(60 * SECOND, SECOND, &watcher);
    let started = Instant::now();
    let mut limits = Vec::new();
    let failure = patience.run("x", |limit| {
        limits.push(limit);
        Err::<(), _>(answered(FailureKind::Busy))
    });
    let took = started.elapsed();
    assert!((SECOND.mul_f64(0.9)..SECOND.mul_f64(1.9)).contains(&took), "{took:?}");
    let text = failure.expect_err("failed").reason.line();
    assert!(text.starts_with("given up after ") && text.ends_with(" s: no"), "{text}");
    assert!(limits[1..].iter().all(|limit| *limit == SHORTEST_TRY), "{limits:?}");
}

#[test]
fn without_time_nothing_is_repeated() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(SECOND, Duration::ZERO, &watcher);
    assert_eq!(
        patience.run("x", |_| Err::<(), _>(passing())).expect_err("failed").reason.line(),
        "the cable is cut"
    );
}

#[test]
fn a_server_that_never_answered_is_not_waited_for_as_long() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(60 * SECOND, 300 * SECOND, &watcher);
    assert_eq!((patience.patience(), patience.limit(0, Duration::ZERO)), (FIRST_CONTACT, FIRST_CONTACT));
    patience.run("x", |_| Ok(())).expect("answered");
    assert_eq!((patience.patience(), patience.limit(0, Duration::ZERO)), (300 * SECOND, 60 * SECOND));
    assert_eq!(patience.limit(3, 290 * SECOND), 10 * SECOND);
}

#[test]
fn nobody_waits_again_for_a_server_that_is_gone_until_it_is_back() {
    let watcher = Watcher::new(u32::MAX);
    let patience = Patience::new(SECOND, SECOND / 4, &watcher);
    let tries = || {
        let mut tries = 0;
        patience
            .run("x", |_| {
                tries += 1;
                Err::<(), _>(passing())
            })
            .expect_err("failed");
        tries
    };
    assert!(tries() > 1);
    assert_eq!(tries(), 1);
    patience.run("x", |_| Ok(())).expect("back");
    assert!(tries() > 1);
}

#[test]
fn a_signal_ends_the_wait() {
    let watcher = Watcher::new(3);
    let patience = Patience::new(SECOND, 300 * SECOND, &watcher);
    let started = Instant::now();
    let failure = patience.run("x", |_| Err::<(), _>(answered(FailureKind::Busy))).expect_err("failed");
    assert_eq!(failure.kind, FailureKind::Interrupted(Signal::Terminate));
    assert!(started.elapsed() < 2 * SECOND);
}

#[test]
fn pauses_grow_up_to_a_bound() {
    for (tries, least, most) in
        [(1, 50, 100), (2, 100, 200), (5, 800, 1600), (9, 2500, 5000), (99, 2500, 5000)]
    {
        let pause = pause(tries).as_millis();
        assert!((least..=most).contains(&pause), "{tries}: {pause}");
    }
}
