use super::html::Html;
use super::*;
use crate::config::Scheduler;
use crate::engine::report::{Backup, Calendar, Cell, Job, Night};
use crate::engine::status::{Attempt, Flaw, NameStatus, Severity, State, Status, Totals, Work};
use crate::meta::Deletions;
use crate::sys::space::Space;
use crate::types::keys::VersionKey;
use crate::types::version::{Count, Statistics, Version};
use chrono::{Days, NaiveDate};
use std::time::Duration;

const NOW: &str = "2026-11-20 14:15:00";
const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 20).expect("a day");

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn version(name: &str, date: &str, valid: bool) -> Version {
    Version {
        key: VersionKey(1),
        uid: "e4b70cec-e505-11f1-90ca-02fc00000001".into(),
        date: at(date),
        expire: Some(at("2026-12-24 18:00:00")),
        name: name.to_owned(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 40 << 30,
        valid,
        protected: false,
        tags: vec!["daily".to_owned()],
    }
}

fn name(name: &str, state: State, severity: Severity) -> NameStatus {
    let day = Duration::from_secs(86_400);
    let written = Count { blocks: 4, bytes: 16 << 20 };
    let statistics = Statistics { written, ..Statistics::default() };
    NameStatus {
        name: name.to_owned(),
        state,
        severity,
        newest: Some(version(name, "2026-11-20 02:15:00", true)),
        age: Some(day / 2),
        scheduler: Some(Scheduler { name: "daily".to_owned(), interval: day, keep: 7, sla: day / 4 }),
        attempts: Vec::new(),
        running: false,
        valid: 30,
        all: 30,
        verified: Some(at("2026-11-17 12:00:00")),
        work: Some(Work { statistics, seconds: 63 }),
    }
}

fn late(of: &str) -> NameStatus {
    let age = Some(Duration::from_secs(3 * 86_400));
    NameStatus { age, ..name(of, State::Late, Severity::Critical) }
}

/// A name without a valid version.
fn invalid(of: &str) -> NameStatus {
    let uid = "0a1b2c3d-e505-11f1-90ca-02fc00000001".into();
    NameStatus {
        newest: None,
        age: None,
        scheduler: None,
        attempts: vec![Attempt { uid, date: at("2026-11-20 13:15:00"), flaw: Flaw::Incomplete }],
        verified: None,
        work: None,
        valid: 0,
        all: 1,
        ..name(of, State::Invalid, Severity::Critical)
    }
}

fn night(days_ago: u64, new: u64) -> Night {
    let day = TODAY.checked_sub_days(Days::new(days_ago)).expect("a day");
    Night { day, runs: 2, read: new * 3, new, kept: new / 2 }
}

/// A report about these names. Each has a version today and one yesterday.
fn report(names: Vec<NameStatus>, nights: Vec<Night>) -> Report {
    let days: Vec<NaiveDate> =
        (0..60).rev().map(|n| TODAY.checked_sub_days(Days::new(n)).expect("a day")).collect();
    let row = |name: &NameStatus| {
        let mut cells = vec![Cell::default(); days.len()];
        cells[59].versions.push(version(&name.name, "2026-11-20 02:15:00", name.valid > 0));
        cells[58]
            .versions
            .push(Version { protected: true, ..version(&name.name, "2026-11-19 02:00:00", true) });
        cells[57].removed = 1;
        cells
    };
    let rows = names.iter().map(row).collect();
    let last = Backup { ended: at(NOW), seconds: 125, read: 5 << 30, new: 1 << 30 };
    let job = |name: &NameStatus| Job { name: name.name.clone(), last, median: 7, backups: 30 };
    Report {
        jobs: names.iter().map(job).collect(),
        calendar: Calendar { days, rows },
        today: TODAY,
        nights,
        status: Status { at: at(NOW), names, bad_blobs: 0, totals: Some(totals()) },
    }
}

fn totals() -> Totals {
    Totals {
        valid: 60,
        versions: 61,
        logical: 60 * (40 << 30),
        data: Some(Count { blocks: 61_440, bytes: 240 << 30 }),
        stored: None,
        space: Some(Space { free: 1 << 40, total: 4 << 40, device: 0 }),
        deletions: Deletions {
            ready: Count { blocks: 2, bytes: 8 << 20 },
            waiting: Count { blocks: 1, bytes: 4 << 20 },
            newest: Some(at("2026-11-20 14:00:00")),
        },
        deletable: Some(at("2026-11-20 15:00:01")),
    }
}

/// The page, in a time zone one hour ahead of UTC.
fn made(report: &Report) -> String {
    let local = |time: Timestamp| time.naive() + chrono::TimeDelta::hours(1);
    page(&Content { report, host: "host<1>", offset: "+01:00", local: &local }).expect("a page")
}

/// The text of a page, without its head and its markup.
fn text(page: &str) -> String {
    let body = page.split("<body>").nth(1).expect("a body");
    let parts = body.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text));
    parts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of the page about these names.
fn said(names: Vec<NameStatus>) -> String {
    text(&made(&report(names, vec![night(3, 5 << 30), night(0, 1 << 30)])))
}

#[test]
fn the_headline_names_those_that_need_attention() {
    let good = || name("vm1", State::Ok, Severity::Ok);
    for (names, headline) in [
        (vec![good()], "1 name, and it is well. As of 20 Nov 2026, 15:15"),
        (vec![good(), good()], "2 names, and all of them are well. As of"),
        (
            vec![good(), late("vm7")],
            "2 names, 1 well, 1 needs attention: vm7 has had no backup for 3 days. As of",
        ),
        (
            vec![good(), late("vm7"), invalid("vm8")],
            "3 names, 1 well, 2 need attention. vm7 has had no backup for 3 days. vm8 has no valid version. As of",
        ),
        (Vec::new(), "There are no versions. As of"),
    ] {
        let text = said(names);
        assert!(text.starts_with(&format!("Backups on host&lt;1&gt; {headline}")), "{text}");
    }
    let many: Vec<NameStatus> = (0..25).map(|n| late(&format!("vm{n}"))).collect();
    assert!(said(many).contains("vm19 has had no backup for 3 days. 5 more: see the last table."));
    let mut bad = report(vec![good()], Vec::new());
    bad.status.bad_blobs = 2;
    let text = text(&made(&bad));
    assert!(text.contains("1 name. The newest versions are valid, but others are not."), "{text}");
    assert!(text.contains("2 blobs that versions need are bad."), "{text}");
}

#[test]
fn the_page_says_all_that_status_says() {
    let text = said(vec![name("vm1", State::Ok, Severity::Ok), invalid("vm2")]);
    for part in [
        "Versions 61 of 2 names, 60 valid",
        "Images 2 TiB all valid versions together",
        "Data 240 GiB after deduplication, ratio 10.0",
        "Stored – not added up; --store does that",
        "Free space 1 TiB of 4 TiB, 25 %",
        "Waits for a cleanup 12 MiB 8 MiB of it now, all from 20 Nov 2026, 16:00 on",
        "Last verified A scrub or a restore read a whole version and found it good: 1 of 2 names in the last 7 days, 1 never.",
        "vm1 ✓ ok 12 h 20 Nov 2026, 03:15 40 GiB 16 MiB 63 s 30 3 d daily daily",
        "vm2 ✕ invalid version 0a1b2c3d of 20 Nov 2026, 14:15 is incomplete – – – – – 0/1 never none",
        "vm1 2 min 7 s 5 GiB 41 MiB/s 1 GiB 20 Nov 2026, 15:15",
        "Days and times are those of UTC+01:00.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn cells_of_the_calendar_have_signs_and_titles() {
    let page = made(&report(vec![name("vm1", State::Ok, Severity::Ok), invalid("vm2")], Vec::new()));
    for cell in [
        "<td class=v title=\"20 Nov: valid, 03:15, daily, expires 24 Dec 2026\">✓",
        "<td class=p title=\"19 Nov: valid and protected, 03:00, daily, expires 24 Dec 2026\">◆",
        "<td class=g title=\"18 Nov: removed since\">○",
        "<td class=n title=\"17 Nov: no backup\">",
        "<td class=i title=\"20 Nov: invalid, 03:15, daily, expires 24 Dec 2026\">✕",
    ] {
        assert!(page.contains(cell), "{cell}");
    }
    assert_eq!(page.matches("<td class=").count(), 2 * 60 + 2, "and the cells with tags");
}

#[test]
fn names_and_tags_are_text_whatever_they_contain() {
    let hostile = "<script>alert(1)</script>\"'&\u{202e}\u{0}\u{1b}[2J\n--><img src=x onerror=alert(1)>";
    let mut all = vec![late(hostile), invalid(hostile), name(hostile, State::Ok, Severity::Ok)];
    for name in &mut all {
        if let Some(version) = &mut name.newest {
            version.tags = vec![hostile.to_owned()];
        }
        if let Some(scheduler) = &mut name.scheduler {
            scheduler.name = hostile.to_owned();
        }
    }
    let page = made(&report(all, vec![night(1, 1), night(0, 1)]));
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("-->"), "{page}");
    assert!(!page.contains(['\u{202e}', '\0', '\u{1b}']));
    let escaped =
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}\\u{0}\\u{1b}[2J\\n--&gt;&lt;img";
    assert!(page.matches(escaped).count() > 12, "{page}");
    let mut html = Html::default();
    html.raw("<p title=\"").text("\" onclick=\"x").raw("\">").name("a<b");
    assert_eq!(html.into_string(), "<p title=\"&quot; onclick=&quot;x\"><bdi>a&lt;b</bdi>");
}

#[test]
fn charts_have_titles_and_placeholders_for_colours() {
    let page =
        made(&report(vec![name("vm1", State::Ok, Severity::Ok)], vec![night(3, 5 << 30), night(0, 1 << 30)]));
    assert_eq!(page.matches("role=\"img\"><title>").count(), 4, "two charts in two widths");
    for part in [
        "New data of the 60 nights until 20 Nov 2026: at most 5 GiB",
        "17 Nov 2026: 5 GiB new of 15 GiB read, 2 backups",
        "From 17 Nov 2026 on, backups have stored 6 GiB, 3 GiB of it for versions that exist",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let colours = page.split("=\"#").skip(1).filter_map(|rest| rest.get(..6));
    for colour in colours {
        assert!(STYLE.contains(&format!("\"#{colour}\"]")), "the style has no rule for {colour}");
    }
}

#[test]
fn charts_of_extreme_numbers_and_dates_are_drawn() {
    let old = Night { day: NaiveDate::from_ymd_opt(1, 1, 1).expect("a day"), ..night(0, u64::MAX / 3) };
    for nights in [vec![night(0, 0)], vec![night(1, 0), night(0, 0)], vec![old, night(0, u64::MAX / 3)]] {
        let page = made(&report(Vec::new(), nights));
        assert!(page.contains("role=\"img\"") && !page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}

#[test]
fn nothing_is_loaded_and_nothing_is_run() {
    let page = made(&report(vec![late("vm1")], vec![night(1, 7), night(0, 7)]));
    for word in ["<script", "<link", "<img", "<iframe", "<object", "url(", "@import", " src=", " href="] {
        assert!(!page.contains(word), "{word}");
    }
    let tags = page.split('<').filter_map(|part| part.split_once('>'));
    assert!(tags.map(|(tag, _)| tag).all(|tag| !tag.contains(" on")), "a handler of events");
    let links = page.matches("http").count();
    assert_eq!(links, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count() + 1, "and http-equiv");
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
}
