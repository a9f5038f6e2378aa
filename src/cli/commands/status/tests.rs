use super::*;
use crate::config::Scheduler;
use crate::engine::status::{State, Work};
use crate::meta::Deletions;
use crate::sys::space::Space;
use crate::types::keys::VersionKey;
use crate::types::version::{Count, Statistics, Version};
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn name(name: &str, state: State, severity: Severity) -> NameStatus {
    let version = Version {
        key: VersionKey(1),
        uid: "e4b70cec-e505-11f1-90ca-02fc00000001".into(),
        date: at("2026-11-20 02:15:00"),
        expire: None,
        name: name.to_owned(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 40 << 30,
        valid: true,
        protected: false,
        tags: vec!["daily".to_owned()],
    };
    let day = Duration::from_secs(86_400);
    NameStatus {
        name: name.to_owned(),
        state,
        severity,
        newest: Some(version),
        age: Some(day / 2),
        scheduler: Some(Scheduler { name: "daily".to_owned(), interval: day, keep: 7, sla: day / 4 }),
        attempts: Vec::new(),
        running: false,
        valid: 30,
        all: 30,
        verified: Some(at("2026-11-17 12:00:00")),
        work: Some(Work {
            statistics: Statistics { written: Count { blocks: 4, bytes: 16 << 20 }, ..Statistics::default() },
            seconds: 63,
        }),
    }
}

fn failed(of: &str) -> NameStatus {
    let uid = "0a1b2c3d-e505-11f1-90ca-02fc00000001".into();
    let attempts = vec![Attempt { uid, date: at("2026-11-20 14:15:00"), flaw: Flaw::Incomplete }];
    NameStatus { attempts, all: 31, ..name(of, State::Failed, Severity::Warning) }
}

fn never(of: &str) -> NameStatus {
    let none = name(of, State::None, Severity::Critical);
    NameStatus {
        newest: None,
        age: None,
        scheduler: None,
        verified: None,
        work: None,
        valid: 0,
        all: 0,
        ..none
    }
}

fn totals() -> Totals {
    Totals {
        valid: 60,
        versions: 61,
        logical: 60 * (40 << 30),
        data: Some(Count { blocks: 61_440, bytes: 240 << 30 }),
        stored: Some(Count { blocks: 61_440, bytes: 120 << 30 }),
        space: Some(Space { free: 1 << 40, total: 4 << 40, device: 0 }),
        deletions: Deletions {
            ready: Count { blocks: 2, bytes: 8 << 20 },
            waiting: Count { blocks: 1, bytes: 4 << 20 },
            newest: Some(at("2026-11-20 14:00:00")),
        },
        deletable: Some(at("2026-11-20 15:00:01")),
    }
}

fn status(names: Vec<NameStatus>) -> Status {
    Status { at: at("2026-11-20 14:15:00"), names, bad_blobs: 0, totals: Some(totals()) }
}

const EIGHTY: Look = Look { width: Some(80), colours: false, skip_header: false };

#[test]
fn people_see_a_table_notes_and_sums() {
    let names = vec![name("vm1", State::Ok, Severity::Ok), failed("vm2"), never("vm3")];
    assert_eq!(
        people::text(&status(names), EIGHTY),
        "\
name  state    age    size     new  valid  verified  schedule
vm1   ok      12 h  40 GiB  16 MiB     30       3 d  daily
vm2   failed  12 h  40 GiB  16 MiB  30/31       3 d  daily
vm3   none       -       -       -      0     never  no schedule

vm2: version 0a1b2c3d of 2026-11-20 14:15:00 is incomplete

versions  61 of 3 names, 60 valid: images of 2 TiB
data      240 GiB in 61440 blobs after deduplication, ratio 10.0
stored    120 GiB in 61440 blobs after compression, ratio 2.0
free      1 TiB of 4 TiB (25 %)
cleanup   the next one deletes up to 8 MiB; 4 MiB wait until 2026-11-20 15:00:01 UTC
"
    );
}

#[test]
fn the_table_fits_eighty_columns_and_only_the_state_has_a_colour() {
    let long = format!("{}-vda", "web01.example.com".repeat(20));
    let names = vec![
        name(&long, State::Ok, Severity::Ok),
        never("日本語日本語日本語日本語日本語日本語日本語"),
        failed("a\u{1b}[2J\nb|c"),
    ];
    let text = people::text(&status(names.clone()), EIGHTY);
    let table: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(table.len(), 4);
    assert!(table.iter().all(|line| line.width() < 80), "{text}");
    assert!(table[1].starts_with("web01") && table[1].contains("…") && table[1].contains("-vda "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let coloured = people::text(&status(names.clone()), Look { colours: true, ..EIGHTY });
    assert!(coloured.contains("\x1b[32mok") && coloured.contains("\x1b[31mnone"), "{coloured:?}");
    let piped = people::text(&status(names), Look::default());
    assert!(piped.contains(&long) && !piped.contains('…') && !piped.contains('\u{1b}'), "{piped}");
}

#[test]
fn a_long_scheduler_does_not_squeeze_the_names() {
    let mut long = name("database-12", State::Ok, Severity::Ok);
    long.scheduler.as_mut().expect("one").name = "every-night-of-the-week-but-sundays".to_owned();
    let text = people::text(&status(vec![long]), EIGHTY);
    let row = text.lines().nth(1).expect("a row");
    assert!(row.starts_with("database-12 ") && row.contains("every-") && row.ends_with('…'), "{text}");
    assert!(row.width() < 80, "{text}");
}

#[test]
fn a_plugin_prints_one_line_with_a_state_a_text_and_numbers() {
    let good = || name("vm1", State::Ok, Severity::Ok);
    assert_eq!(
        plugin::line(&status(vec![good(), good()])),
        "OK: 2 names, the oldest is vm1, 12 h old | names=2 late=0;0 failed=0;0 invalid=0;0 none=0;;0 \
         bad_blobs=0;;0 oldest=43200s versions=61 logical=2576980377600B data=257698037760B \
         stored=128849018880B free=1099511627776B;;;0;4398046511104\n"
    );
    let line = |names, bad_blobs| {
        let line = plugin::line(&Status { totals: None, bad_blobs, ..status(names) });
        let (text, numbers) = line.split_once(" | ").expect("numbers");
        assert!(numbers.ends_with("s\n") && !numbers.contains('|'), "{line}");
        text.to_owned()
    };
    assert_eq!(line(vec![good()], 0), "OK: vm1 is 12 h old");
    let late = name("a|b\n", State::Late, Severity::Warning);
    let named = "a\\u{7c}b\\n is late (12 h old, daily)";
    assert_eq!(line(vec![good(), late.clone()], 0), format!("WARNING: {named}"));
    assert_eq!(line(vec![late, never("vm3")], 0), format!("CRITICAL: vm3 has no version, {named}"));
    assert_eq!(line(vec![good()], 2), "CRITICAL: 2 bad blobs");
    assert_eq!(line(Vec::new(), 0), "CRITICAL: there are no versions");
    let many = (0..9).map(|n| failed(&format!("vm{n}"))).collect();
    assert!(line(many, 0).ends_with("(12 h old without it), 4 more"), "the rest is counted");
}

#[test]
fn json_has_numbers_and_nulls() {
    let document = document(&status(vec![failed("vm2"), never("vm3")]));
    assert_eq!(document["severity"], "critical");
    let names = &document["names"];
    assert_eq!(names[0]["age_seconds"], 43_200);
    assert_eq!(names[0]["newer_invalid"][0]["flaw"], "incomplete");
    assert!(names[1]["uid"].is_null() && names[1]["scheduler"].is_null(), "{names}");
    assert_eq!(document["totals"]["deduplication"], 10.0);
    let chosen = Status { totals: None, ..status(Vec::new()) };
    assert!(super::document(&chosen).get("totals").is_none());
}
