//! The page of `report`: one HTML document with all that it needs.
//!
//! Texts from outside reach the page through [`Html::text`] only, which escapes them. The page has no scripts, and its
//! security policy would not run any.

mod calendar;
mod charts;
mod html;
mod summary;
mod tables;
mod words;

use crate::engine::report::Report;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use chrono::NaiveDateTime;
use html::Html;

/// The style of the page. Charts get their colours here, too.
const STYLE: &str = include_str!("report/style.css");

/// The content of the page.
pub(crate) struct Content<'f> {
    /// The data.
    pub report: &'f Report,
    /// The name of this host.
    pub host: &'f str,
    /// The difference between local time and UTC at the moment of the report, such as `+01:00`.
    pub offset: &'f str,
    /// Converts to local time.
    pub local: &'f dyn Fn(Timestamp) -> NaiveDateTime,
}

/// The whole page.
///
/// # Errors
/// A chart cannot be drawn.
pub(crate) fn page(content: &Content<'_>) -> Result<String> {
    let mut page = Html::default();
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">\n")
        .raw("<meta name=\"robots\" content=\"noindex\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>")
        .text(&words::title(content))
        .raw("</title>\n<style>\n")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<main>\n");
    summary::headline(&mut page, content);
    summary::totals(&mut page, content);
    calendar::section(&mut page, content);
    charts::nights(&mut page, content)?;
    charts::growth(&mut page, content)?;
    tables::verified(&mut page, content);
    tables::slowest(&mut page, content);
    tables::names(&mut page, content);
    page.raw("</main>\n<footer><p>Made by backy2 ")
        .text(env!("CARGO_PKG_VERSION"))
        .raw(". Days and times are those of UTC");
    page.text(content.offset)
        .raw(". The ages count from the moment at which the report was made.</p></footer>\n");
    page.raw("</body>\n</html>\n");
    Ok(page.into_string())
}

#[cfg(test)]
mod tests;
