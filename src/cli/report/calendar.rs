//! The calendar: a row for each name, and a column for each day.

use super::html::Html;
use super::{Content, words};
use crate::engine::report::{Calendar, Cell, Mark};
use chrono::{Datelike, NaiveDate};

/// The signs of cells, their classes in the style, and their meanings, in the order of the legend.
const SIGNS: [(Mark, &str, &str, &str); 6] = [
    (Mark::Valid, "v", "✓", "valid"),
    (Mark::Protected, "p", "◆", "valid and protected"),
    (Mark::Running, "r", "…", "being written"),
    (Mark::Invalid, "i", "✕", "invalid"),
    (Mark::Removed, "g", "○", "removed since"),
    (Mark::None, "n", "", "no backup"),
];

fn sign(mark: Mark) -> (&'static str, &'static str, &'static str) {
    let found = SIGNS.iter().find(|(of, ..)| *of == mark);
    found.map_or(("n", "", ""), |(_, class, sign, meaning)| (class, sign, meaning))
}

/// The section with the calendar.
pub(super) fn section(page: &mut Html, content: &Content<'_>) {
    let calendar = &content.report.calendar;
    if calendar.rows.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>The last ")
        .number(calendar.days.len() as i64)
        .raw(" days</h2>\n<p class=\"legend\">");
    for (_, class, sign, meaning) in SIGNS {
        page.raw("<span><i class=\"")
            .raw(class)
            .raw("\">")
            .raw(sign)
            .raw("</i> ")
            .raw(meaning)
            .raw("</span> ");
    }
    page.raw("</p>\n<div class=\"scroll end\" tabindex=\"0\" role=\"region\" aria-label=\"Calendar of versions\">\n")
        .raw("<table class=\"days\">\n<thead>\n<tr><td>");
    for (month, days) in months(calendar) {
        page.raw("<th scope=\"colgroup\" colspan=\"")
            .number(days)
            .raw("\"><span>")
            .text(&month)
            .raw("</span>");
    }
    page.raw("\n<tr><td>");
    for day in &calendar.days {
        page.raw("<th scope=\"col\">").number(i64::from(day.day()));
    }
    page.raw("\n</thead>\n<tbody>\n");
    for (name, cells) in content.report.status.names.iter().zip(&calendar.rows) {
        page.raw("<tr><th scope=\"row\" title=\"").text(&name.name).raw("\">").name(&name.name);
        for (cell, day) in cells.iter().zip(&calendar.days) {
            let (class, sign, _) = sign(cell.mark());
            page.raw("<td class=")
                .raw(class)
                .raw(" title=\"")
                .text(&title(content, cell, *day))
                .raw("\">")
                .raw(sign);
        }
        page.raw("\n");
    }
    page.raw("</tbody>\n</table>\n</div>\n</section>\n");
}

/// The months of the calendar, each with its number of days.
fn months(calendar: &Calendar) -> Vec<(String, i64)> {
    let mut months: Vec<(String, i64)> = Vec::new();
    for day in &calendar.days {
        let month = day.format("%b %Y").to_string();
        match months.last_mut() {
            Some((last, days)) if *last == month => *days += 1,
            _ => months.push((month, 1)),
        }
    }
    // A few days are too narrow for the year, or for any text.
    for (month, days) in &mut months {
        match days {
            0..3 => month.clear(),
            3..6 => month.truncate("Jan".len()),
            _ => {}
        }
    }
    months
}

/// The text that a cell shows under the pointer.
fn title(content: &Content<'_>, cell: &Cell, day: NaiveDate) -> String {
    let (_, _, meaning) = sign(cell.mark());
    let mut title = format!("{}: {meaning}", day.format("%-d %b"));
    let shown = cell.versions.iter().rev().find(|version| version.valid).or(cell.versions.last());
    if let Some(version) = shown {
        title += &format!(", {}", words::clock(content, version.date));
        if !version.tags.is_empty() {
            title += &format!(", {}", version.tags.join(", "));
        }
        if let Some(expire) = version.expire {
            title += &format!(", expires {}", words::day((content.local)(expire).date()));
        }
    }
    let (all, valid) = (cell.versions.len(), cell.versions.iter().filter(|version| version.valid).count());
    if all > 1 {
        title += &format!("; {all} versions, {valid} valid");
    }
    if cell.removed > 0 && all > 0 {
        title += &format!("; {} removed", cell.removed);
    }
    title
}
