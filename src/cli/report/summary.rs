//! The headline, and the sums.

use super::html::Html;
use super::{Content, words};
use crate::cli::human::size;
use crate::engine::status::{MOST_BAD, NameStatus, Severity, Totals};
use crate::types::text::plural;

/// The most names that the headline explains.
const EXPLAINED: usize = 20;

/// The title, one sentence about all names, and a list of those that need attention.
pub(super) fn headline(page: &mut Html, content: &Content<'_>) {
    let status = &content.report.status;
    let mut ill: Vec<&NameStatus> = status.names.iter().filter(|name| name.severity > Severity::Ok).collect();
    // The worst come first.
    ill.sort_by_key(|name| std::cmp::Reverse(name.severity));
    page.raw("<header class=\"")
        .raw(words::class(status.severity()))
        .raw("\">\n<h1>")
        .text(&words::title(content));
    page.raw("</h1>\n<p class=\"lead\">");
    let (all, ill_count) = (status.names.len() as u64, ill.len() as u64);
    match (&ill[..], all) {
        (_, 0) => {
            page.raw("There are no versions.");
        }
        ([], _) if status.bad_blobs > 0 => {
            page.text(&plural(all, "name", "names"));
            page.raw(". The newest versions are valid, but others are not.");
        }
        ([], _) => {
            page.text(&plural(all, "name, and it is well.", "names, and all of them are well."));
        }
        ([name], _) => {
            page.text(&plural(all, "name", "names"))
                .raw(", ")
                .number(all as i64 - 1)
                .raw(" well, 1 needs attention: ");
            page.name(&name.name).raw(" ").text(&words::trouble(name)).raw(".");
        }
        _ => {
            page.text(&format!("{all} names, {} well, {ill_count} need attention.", all - ill_count));
        }
    }
    page.raw("</p>\n");
    if ill.len() > 1 {
        page.raw("<ul>\n");
        for name in ill.iter().take(EXPLAINED) {
            page.raw("<li>").name(&name.name).raw(" ").text(&words::trouble(name)).raw(".</li>\n");
        }
        if ill.len() > EXPLAINED {
            page.raw("<li>").number((ill.len() - EXPLAINED) as i64).raw(" more: see the last table.</li>\n");
        }
        page.raw("</ul>\n");
    }
    if status.bad_blobs > 0 {
        let least = if status.bad_blobs >= MOST_BAD as u64 { "At least " } else { "" };
        page.raw("<p>").raw(least);
        page.text(&plural(
            status.bad_blobs,
            "blob that versions need is bad.",
            "blobs that versions need are bad.",
        ));
        page.raw("</p>\n");
    }
    page.raw("<p class=\"soft\">As of ").text(&words::moment(content, status.at)).raw("</p>\n</header>\n");
}

/// A number with its meaning.
fn card(page: &mut Html, label: &'static str, value: &str, note: &str) {
    page.raw("<div><dt>")
        .raw(label)
        .raw("</dt><dd><b>")
        .text(value)
        .raw("</b><span>")
        .text(note)
        .raw("</span></dd></div>\n");
}

/// The sums over all versions.
pub(super) fn totals(page: &mut Html, content: &Content<'_>) {
    let Some(totals) = &content.report.status.totals else { return };
    page.raw("<section>\n<h2>Sums</h2>\n<dl class=\"cards\">\n");
    let names = plural(content.report.status.names.len() as u64, "name", "names");
    card(page, "Versions", &totals.versions.to_string(), &format!("of {names}, {} valid", totals.valid));
    card(page, "Images", &size(totals.logical), "all valid versions together");
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!(", ratio {ratio:.1}"));
    match totals.data {
        Some(data) => {
            card(
                page,
                "Data",
                &size(data.bytes),
                &format!("after deduplication{}", ratio(totals.deduplication())),
            );
        }
        None => card(page, "Data", "–", "not added up; --store does that"),
    }
    match totals.stored {
        Some(stored) => {
            card(
                page,
                "Stored",
                &size(stored.bytes),
                &format!("after compression{}", ratio(totals.compression())),
            );
        }
        None => card(page, "Stored", "–", "not added up; --store does that"),
    }
    match totals.space {
        Some(space) => {
            let note = format!("of {}, {}", size(space.total), words::percent(space.free, space.total));
            card(page, "Free space", &size(space.free), &note);
        }
        None => card(page, "Free space", "–", "the store is not a folder here"),
    }
    waiting(page, content, totals);
    page.raw("</dl>\n</section>\n");
}

/// The data that waits for a cleanup.
fn waiting(page: &mut Html, content: &Content<'_>, totals: &Totals) {
    let (ready, waiting) = (totals.deletions.ready.bytes, totals.deletions.waiting.bytes);
    let note = match totals.deletable {
        _ if ready == 0 && waiting == 0 => "nothing".to_owned(),
        Some(until) if ready == 0 => format!("from {} on", words::moment(content, until)),
        Some(until) => format!("{} of it now, all from {} on", size(ready), words::moment(content, until)),
        None => "the next cleanup deletes it".to_owned(),
    };
    card(page, "Waits for a cleanup", &size(ready.saturating_add(waiting)), &note);
}
