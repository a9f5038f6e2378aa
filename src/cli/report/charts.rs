//! The charts, as SVG inside of the page.
//!
//! Their colours are placeholders, which the style of the page replaces, so that they follow the light and the dark mode.
//! Each chart is drawn twice: for a wide screen and for a phone, because text in a picture shrinks with it.

use super::html::Html;
use super::{Content, words};
use crate::cli::human::{UNITS, size};
use crate::engine::report::Night;
use crate::types::error::{Error, Result};
use crate::types::text::plural;
use chrono::{Datelike, Days, NaiveDate};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

/// Units of the picture for each pixel on the screen. Coordinates are whole numbers, so that one would be too coarse.
const SCALE: u32 = 4;
/// Heights and widths of charts in pixels.
const HEIGHT: u32 = 200;
const WIDE: u32 = 940;
const NARROW: u32 = 340;
/// Height of a letter in pixels. The crate draws letters smaller than it is asked to, by this factor.
const LETTERS: f64 = 12.0 * 1.24;
/// Number of bars on a wide screen and on a phone.
const BARS: [i64; 2] = [60, 30];
/// With fewer days than this the axis has days.
const FEW: i64 = 15;
/// With fewer days than this the axis has weeks, with more it has months.
const WEEKS: i64 = 70;

/// Placeholders for colours. The style has a rule for each of them.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);
const BAR: RGBColor = RGBColor(1, 1, 3);
const AREA: RGBColor = RGBColor(1, 1, 4);
const ALL: RGBColor = RGBColor(1, 1, 5);
const KEPT: RGBColor = RGBColor(1, 1, 6);

/// The result of the crate's functions.
type Drawn<T> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;
type Canvas<'c> = ChartContext<'c, SVGBackend<'c>, Cartesian2d<Axis, Axis>>;

/// An axis from zero to `end`, with labels at `ticks`.
struct Axis {
    end: f64,
    ticks: Vec<f64>,
}

impl From<Range<f64>> for Axis {
    fn from(range: Range<f64>) -> Self {
        Axis { end: range.end, ticks: Vec::new() }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (value / self.end * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Between the labels there are no thin lines.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        0.0..self.end
    }
}

/// A chart. It consists of numbers, dates and texts of this module only.
pub(super) struct Drawing(String);

impl Drawing {
    /// The SVG element.
    pub(super) fn svg(&self) -> &str {
        &self.0
    }
}

/// A chart of bytes over days.
struct Chart {
    /// The text for those who do not see the chart.
    title: String,
    /// Width in pixels.
    width: u32,
    /// The first day.
    first: NaiveDate,
    /// Number of days.
    days: i64,
    /// The most bytes.
    most: u64,
}

impl Chart {
    /// Draws axes and, by `draw`, the data. `draw` returns texts for parts of the chart, which are given as the left and the
    /// right end in days.
    fn draw(&self, draw: impl FnOnce(&mut Canvas<'_>) -> Drawn<Vec<(f64, f64, String)>>) -> Drawn<Drawing> {
        let size = (self.width * SCALE, HEIGHT * SCALE);
        let (step, top) = scale(self.most);
        let mut inner = String::new();
        let mut labels = Html::default();
        {
            let root = SVGBackend::with_string(&mut inner, size).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .margin(8 * SCALE)
                .margin_right(24 * SCALE)
                .x_label_area_size(22 * SCALE)
                .y_label_area_size(62 * SCALE)
                .build_cartesian_2d(
                    Axis { end: self.days as f64, ticks: self.ticks() },
                    Axis {
                        end: top,
                        ticks: (0..=(top / step) as u32).map(|n| f64::from(n) * step).collect(),
                    },
                )?;
            let letters = ("sans-serif", LETTERS * f64::from(SCALE)).into_font().color(&TEXT);
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(GRID.stroke_width(SCALE))
                .axis_style(GRID.stroke_width(SCALE))
                .label_style(letters)
                .x_label_formatter(&|day| self.label(*day as i64))
                .y_label_formatter(&|bytes| of_axis(*bytes))
                .draw()?;
            for (left, right, text) in draw(&mut chart)? {
                let ((left, above), (right, below)) =
                    (chart.backend_coord(&(left, top)), chart.backend_coord(&(right, 0.0)));
                labels.raw("<rect fill=\"transparent\" x=\"").number(left).raw("\" y=\"").number(above);
                labels.raw("\" width=\"").number(right - left).raw("\" height=\"").number(below - above);
                labels.raw("\"><title>").text(&text).raw("</title></rect>\n");
            }
            root.present()?;
        }
        let mut title = Html::default();
        title.text(&self.title);
        let class = if self.width == WIDE { "wide" } else { "narrow" };
        Ok(Drawing(format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\"><title>{}</title>\n{inner}{}</svg>\n",
            size.0,
            size.1,
            title.into_string(),
            labels.into_string()
        )))
    }

    fn day(&self, number: i64) -> NaiveDate {
        let days = Days::new(u64::try_from(number).unwrap_or_default());
        self.first.checked_add_days(days).unwrap_or(self.first)
    }

    /// The days with a label: Mondays or first days of months, or all days if these are few.
    fn ticks(&self) -> Vec<f64> {
        let fits = |day: NaiveDate| match self.days {
            ..FEW => true,
            FEW..WEEKS => day.weekday().num_days_from_monday() == 0,
            _ => day.day() == 1,
        };
        let all: Vec<i64> = (0..self.days).filter(|number| fits(self.day(*number))).collect();
        let most = if self.width == WIDE { 9 } else { 4 };
        let step = all.len().div_ceil(most).max(1);
        // The last label counts most. Its middle is that of the day.
        all.into_iter().rev().step_by(step).map(|number| number as f64 + 0.5).collect()
    }

    fn label(&self, number: i64) -> String {
        self.day(number).format(if self.days < WEEKS { "%-d %b" } else { "%b %Y" }).to_string()
    }
}

/// The distance between lines, and the highest of them, for at most four lines above zero. A line has a round number of a
/// unit.
fn scale(most: u64) -> (f64, f64) {
    let quarter = (most as f64 / 4.0).max(1.0);
    let unit = 1024_f64.powi((quarter.log2() / 10.0).floor() as i32);
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1024.0];
    let step = steps.iter().map(|step| step * unit).find(|step| *step >= quarter).unwrap_or(quarter);
    (step, step * (most as f64 / step).ceil().max(1.0))
}

/// The label of a number of bytes on the axis. 1000 MiB are no GiB, but a round number.
fn of_axis(bytes: f64) -> String {
    let mut number = bytes;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() && (number % 1024.0 == 0.0 || number >= 4096.0) {
        number /= 1024.0;
        unit += 1;
    }
    if bytes == 0.0 { "0".to_owned() } else { format!("{number:.0} {}", UNITS[unit]) }
}

/// The chart for both widths.
fn both(page: &mut Html, mut draw: impl FnMut(u32, i64) -> Drawn<Drawing>) -> Result<()> {
    let [wide, narrow] = BARS;
    for (width, bars) in [(WIDE, wide), (NARROW, narrow)] {
        let drawing = draw(width, bars).map_err(|e| Error::internal(format!("cannot draw a chart: {e}")))?;
        page.drawing(&drawing);
    }
    Ok(())
}

/// The section with the bytes that each night has stored.
///
/// # Errors
/// The chart cannot be drawn.
pub(super) fn nights(page: &mut Html, content: &Content<'_>) -> Result<()> {
    let report = content.report;
    let by_day: HashMap<NaiveDate, &Night> = report.nights.iter().map(|night| (night.day, night)).collect();
    if by_day.is_empty() {
        return Ok(());
    }
    page.raw("<section>\n<h2>New data a night</h2>\n<p>Bytes that the backups of each day have stored, before compression, \
              also for versions that were removed since.</p>\n<figure>\n");
    both(page, |width, bars| {
        let first = report.today.checked_sub_days(Days::new(bars as u64 - 1)).unwrap_or(report.today);
        let mut chart = Chart { title: String::new(), width, first, days: bars, most: 0 };
        let nights: Vec<Option<&Night>> =
            (0..bars).map(|number| by_day.get(&chart.day(number)).copied()).collect();
        chart.most = nights.iter().flatten().map(|night| night.new).max().unwrap_or_default();
        chart.title = format!(
            "New data of the {bars} nights until {}: at most {}",
            words::day(report.today),
            size(chart.most)
        );
        chart.draw(|canvas| {
            let bars = nights.iter().enumerate().filter_map(|(at, night)| Some((at as f64, (*night)?)));
            canvas.draw_series(bars.clone().filter(|(_, night)| night.new > 0).map(|(at, night)| {
                Rectangle::new([(at + 0.12, night.new as f64), (at + 0.88, 0.0)], BAR.filled())
            }))?;
            Ok(bars.map(|(at, night)| (at, at + 1.0, text(night))).collect())
        })
    })?;
    page.raw("</figure>\n</section>\n");
    Ok(())
}

/// The text of a night.
fn text(night: &Night) -> String {
    let runs = plural(night.runs, "backup", "backups");
    format!("{}: {} new of {} read, {runs}", words::day(night.day), size(night.new), size(night.read))
}

/// The section with the growth of the store.
///
/// # Errors
/// The chart cannot be drawn.
pub(super) fn growth(page: &mut Html, content: &Content<'_>) -> Result<()> {
    let nights = &content.report.nights;
    let Some(first) = nights.first().map(|night| night.day) else { return Ok(()) };
    let number = |day: NaiveDate| day.signed_duration_since(first).num_days();
    let days = number(content.report.today).max(number(nights.last().map_or(first, |night| night.day)));
    if days == 0 {
        return Ok(());
    }
    let (mut all, mut kept) = (vec![(0.0, 0.0)], vec![(0.0, 0.0)]);
    let mut sums = (0_u64, 0_u64);
    for night in nights {
        sums = (sums.0.saturating_add(night.new), sums.1.saturating_add(night.kept));
        let at = number(night.day) as f64;
        all.push((at, sums.0 as f64));
        kept.push((at, sums.1 as f64));
    }
    all.push((days as f64, sums.0 as f64));
    kept.push((days as f64, sums.1 as f64));
    page.raw("<section>\n<h2>Growth of the store</h2>\n<p>All data that backups have ever stored, added up, before \
              compression. Cleanups are not subtracted, so the store is smaller where versions were removed. The dashed \
              line counts only the backups whose versions still exist; they also share older data.</p>\n")
        .raw("<p class=\"legend\"><span><i class=\"all\"></i> all: ").text(&size(sums.0))
        .raw("</span> <span><i class=\"kept\"></i> of existing versions: ").text(&size(sums.1)).raw("</span></p>\n<figure>\n");
    both(page, |width, _| {
        let title = format!(
            "From {} on, backups have stored {}, {} of it for versions that exist",
            words::day(first),
            size(sums.0),
            size(sums.1)
        );
        let chart = Chart { title, width, first, days, most: sums.0 };
        chart.draw(|canvas| {
            let line = |colour: RGBColor| colour.stroke_width(2 * SCALE);
            canvas.draw_series(AreaSeries::new(all.iter().copied(), 0.0, AREA).border_style(line(ALL)))?;
            canvas.draw_series(LineSeries::new(kept.iter().copied(), line(KEPT)))?;
            Ok(Vec::new())
        })
    })?;
    page.raw("</figure>\n</section>\n");
    Ok(())
}
