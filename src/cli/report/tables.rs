//! The age of verifications, the slowest backups, and the table of all names.

use super::html::Html;
use super::{Content, words};
use crate::cli::human;
use crate::engine::status::NameStatus;
use crate::types::text::plural;
use std::cmp::Reverse;
use std::time::Duration;

/// The most names in the list of verifications.
const VERIFIED: usize = 40;
/// The most names among the slowest.
const SLOWEST: usize = 10;
const DASH: &str = "–";
const WEEK: u64 = 7 * 86_400;

/// How long ago a version of each name was verified, the longest time first.
pub(super) fn verified(page: &mut Html, content: &Content<'_>) {
    let names = &content.report.status.names;
    if names.is_empty() {
        return;
    }
    let age = |name: &NameStatus| name.verified.map(|date| words::since(content, date));
    let mut sorted: Vec<(&str, Option<Duration>)> =
        names.iter().map(|name| (&*name.name, age(name))).collect();
    sorted.sort_by_key(|(_, age)| Reverse(age.unwrap_or(Duration::MAX)));
    let never = sorted.iter().filter(|(_, age)| age.is_none()).count();
    let recent = sorted.iter().filter(|(_, age)| age.is_some_and(|age| age.as_secs() <= WEEK)).count();
    page.raw(
        "<section>\n<h2>Last verified</h2>\n<p>A scrub or a restore read a whole version and found it good: ",
    );
    page.text(&format!("{recent} of {} in the last 7 days", plural(names.len() as u64, "name", "names")));
    page.text(&if never > 0 { format!(", {never} never.") } else { ".".to_owned() });
    page.raw("</p>\n<ol class=\"bars\">\n");
    let longest = sorted.iter().filter_map(|(_, age)| *age).max().unwrap_or_default().as_secs().max(1);
    for (name, age) in sorted.iter().take(VERIFIED) {
        page.raw("<li><span title=\"").text(name).raw("\">").name(name).raw("</span>");
        match age {
            Some(age) => {
                let width = (age.as_secs() as f64 * 100.0 / longest as f64).ceil() as i64;
                page.raw("<i><u style=\"width:")
                    .number(width.clamp(1, 100))
                    .raw("%\"></u></i><b>")
                    .text(&human::age(*age));
            }
            None => {
                page.raw("<i class=\"never\"></i><b>never");
            }
        }
        page.raw("</b></li>\n");
    }
    page.raw("</ol>\n");
    if sorted.len() > VERIFIED {
        page.raw("<p class=\"soft\">")
            .number((sorted.len() - VERIFIED) as i64)
            .raw(" more: see the last table.</p>\n");
    }
    page.raw("</section>\n");
}

/// A table that scrolls sideways if it is too wide. The first column has the names.
fn table(page: &mut Html, label: &'static str, heads: &[&'static str], rows: impl FnOnce(&mut Html)) {
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"").raw(label);
    page.raw("\">\n<table class=\"list\">\n<thead><tr>");
    for head in heads {
        page.raw("<th scope=\"col\">").raw(head).raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    rows(page);
    page.raw("</tbody>\n</table>\n</div>\n");
}

/// The cell with a name, which begins a row.
fn name_cell(page: &mut Html, name: &str) {
    page.raw("<tr><th scope=\"row\" title=\"").text(name).raw("\">").name(name).raw("</th>");
}

fn cell(page: &mut Html, text: &str) {
    page.raw("<td>").text(text).raw("</td>");
}

/// The names whose last backup took longest.
pub(super) fn slowest(page: &mut Html, content: &Content<'_>) {
    let jobs = &content.report.jobs;
    if jobs.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>Slowest backups</h2>\n<p>The last backup of each name, the longest first. The median is that of the last 30 backups.</p>\n");
    let heads = ["Name", "Took", "Median", "Read", "Rate", "New", "Ended"];
    table(page, "Slowest backups", &heads, |page| {
        for job in jobs.iter().take(SLOWEST) {
            name_cell(page, &job.name);
            for seconds in [job.last.seconds, job.median] {
                cell(page, &human::duration(Duration::from_secs(seconds)));
            }
            cell(page, &human::size(job.last.read));
            cell(page, &words::rate(job.last.read, job.last.seconds));
            cell(page, &human::size(job.last.new));
            cell(page, &words::moment(content, job.last.ended));
            page.raw("</tr>\n");
        }
    });
    page.raw("</section>\n");
}

/// All names, with the columns of `status`.
pub(super) fn names(page: &mut Html, content: &Content<'_>) {
    let names = &content.report.status.names;
    if names.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>All names</h2>\n");
    let heads = [
        "Name",
        "State",
        "Age",
        "Newest valid version",
        "Size",
        "New",
        "Took",
        "Valid",
        "Verified",
        "Schedule",
        "Tags",
    ];
    table(page, "All names", &heads, |page| names.iter().for_each(|name| row(page, content, name)));
    page.raw("</section>\n");
}

fn row(page: &mut Html, content: &Content<'_>, name: &NameStatus) {
    name_cell(page, &name.name);
    page.raw("<td><em class=\"")
        .raw(words::class(name.severity))
        .raw("\">")
        .raw(words::state(name.state))
        .raw("</em>");
    for remark in words::remarks(content, name) {
        page.raw("<small>").text(&remark).raw("</small>");
    }
    page.raw("</td>");
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| DASH.to_owned());
    let version = name.newest.as_ref();
    let took = |seconds| human::duration(Duration::from_secs(seconds));
    let valid =
        if name.valid == name.all { name.all.to_string() } else { format!("{}/{}", name.valid, name.all) };
    let verified =
        name.verified.map_or_else(|| "never".to_owned(), |date| human::age(words::since(content, date)));
    let mut tags = version.map(|version| version.tags.clone()).unwrap_or_default();
    if version.is_some_and(|version| version.protected) {
        tags.push("◆ protected".to_owned());
    }
    for text in [
        or_dash(name.age.map(human::age)),
        or_dash(version.map(|version| words::moment(content, version.date))),
        or_dash(version.map(|version| human::size(version.size_bytes))),
        or_dash(name.work.map(|work| human::size(work.statistics.written.bytes))),
        or_dash(name.work.map(|work| took(work.seconds))),
        valid,
        verified,
        name.scheduler.as_ref().map_or_else(|| "none".to_owned(), |scheduler| scheduler.name.clone()),
    ] {
        cell(page, &text);
    }
    page.raw("<td class=\"tags\">").text(&tags.join(", ")).raw("</td></tr>\n");
}
