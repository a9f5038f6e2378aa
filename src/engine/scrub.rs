//! Verifies the blobs of a version, and compares them with a source.

use super::damage::Casualties;
use super::row_check::{Completeness, RowCheck};
use super::site::Key;
use super::{Site, Use, copies, site, verified};
use crate::config::Config;
use crate::flow::fetch::Damage;
use crate::flow::walk::{Agreement, Observer, Report, Route, Sink, Walk};
use crate::hash::is_zero;
use crate::io::{self, Source};
use crate::meta::{Metadata, Rows, VerifiedBy};
use crate::monitor::{Activity, Monitor, Progress};
use crate::types::block::{BlockRow, Geometry};
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::version::Version;

/// Options of a scrub.
#[derive(Clone, Debug)]
pub struct Options<'o> {
    /// Uid of the version.
    pub version: &'o str,
    /// URL of a source to compare with.
    pub source: Option<&'o str>,
    /// Probability of each block to be checked, in percent.
    pub percentile: u8,
}

/// The result of a scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every checked block is good. The version is marked valid if all blocks were checked.
    Good {
        /// Whether the version is valid now.
        marked_valid: bool,
    },
    /// Blobs are bad or missing, or the source differs.
    Bad {
        /// True if the version is bad; false if only the source differs.
        version_is_bad: bool,
    },
    /// Some blocks were never stored.
    Incomplete,
}

/// Scrubs a version.
///
/// # Errors
/// Unknown or locked version; wrong settings; a source that is shorter or cannot be read; failure of the database or
/// of the store as a whole. Bad blobs are not errors: see [`Verdict`].
pub fn run(site: &mut Site<'_>, options: &Options<'_>) -> Result<Verdict> {
    let (version, _pin) = site.pin(options.version)?;
    let store = site.open_store(Use::Read)?;
    let rows = RowCheck::new(site, &*store, &version)?;
    if !site.meta.missing(&version)?.is_empty() {
        site.monitor.error("Version is incomplete.");
        site.meta.mark_version_invalid(&version)?;
        site.monitor.info(&format!("Marked version invalid (UID {})", version.uid));
        copies::follow(site);
        return Ok(Verdict::Incomplete);
    }
    store.check()?;
    site.probe(&*store, Some(&version), Key::Needed)?;
    let config = site.config;
    if rows.has_faults() {
        // Blobs that do not have the size that a wrong number demands are not bad.
        return reject(site, &version);
    }
    let geometry = Geometry::new(version.size_bytes, config.block_size);
    let source = match options.source {
        Some(url) => Some(open_source(url, geometry, config)?),
        None => None,
    };
    let mut fetch = site::fetch(config, &*store, &site.keys, site.hasher);
    fetch.plain = rows.plain();
    let deliveries = match options.source {
        Some(url) => site.parallel(url)?.reads,
        None => 1,
    };
    let walk = Walk { fetch: &fetch, geometry, monitor: site.monitor, deliveries };
    let sink = Compare { source: source.as_deref(), geometry };
    // Sparse blocks have no blob, so they matter only if there is a source to compare with.
    let which = if source.is_some() { Rows::All } else { Rows::Stored };
    let route = Route { from: 0, rows: which, percentile: options.percentile };
    let mut observer = ScrubObserver {
        monitor: site.monitor,
        geometry,
        version: &version,
        percentile: options.percentile,
        done: 0,
        bytes: 0,
        differs: false,
        mended: Vec::new(),
        rows,
        casualties: Casualties::new(site.monitor, site.meta.is_writable()),
    };
    if version.size > 0 {
        observer.progress();
    }
    walk.run(&mut site.meta, &version, route, &sink, &mut observer)?;
    let rows_are_right = observer.rows.conclude(site, Completeness::Complete);
    if !rows_are_right && observer.casualties.is_empty() {
        return reject(site, &version);
    }
    let findings = Findings {
        version_is_bad: !observer.casualties.is_empty(),
        source_differs: observer.differs,
        mended: observer.mended,
    };
    let verdict = conclude(site, &version, options.percentile, &findings)?;
    copies::follow(site);
    if verdict == (Verdict::Good { marked_valid: true }) {
        verified::record(site, &version, VerifiedBy::Scrub, options.percentile);
    }
    Ok(verdict)
}

/// Marks a version as invalid whose rows are wrong.
fn reject(site: &mut Site<'_>, version: &Version) -> Result<Verdict> {
    site.meta.mark_version_invalid(version)?;
    site.monitor.error(&format!("Marked version invalid because it has errors: {}", version.uid));
    copies::follow(site);
    Ok(Verdict::Bad { version_is_bad: true })
}

fn open_source(url: &str, geometry: Geometry, config: &Config) -> Result<Box<dyn Source>> {
    let source = io::open_source(url, &config.io, config.block_size)?;
    if source.size() < geometry.size_bytes() {
        Err(Error::Source {
            url: url.to_owned(),
            reason: format!(
                "it has {} bytes, but the version has {}: this is not its source, or it was shrunk",
                source.size(),
                geometry.size_bytes()
            )
            .into(),
        })
    } else {
        Ok(source)
    }
}

/// The findings of a scrub that has reached the end of the version.
struct Findings {
    version_is_bad: bool,
    source_differs: bool,
    /// Blobs that were marked as bad but are good.
    mended: Vec<BlobId>,
}

/// Only a full scrub without errors makes a version valid, because unchecked blocks may be bad.
fn conclude(site: &mut Site<'_>, version: &Version, percentile: u8, findings: &Findings) -> Result<Verdict> {
    let uid = &version.uid;
    if findings.version_is_bad {
        site.monitor.error(&format!("Marked version invalid because it has errors: {uid}"));
        return Ok(Verdict::Bad { version_is_bad: true });
    }
    if findings.source_differs {
        site.monitor.error(&format!(
            "The source differs from version {uid}. Its blobs are good: the version was not marked invalid."
        ));
        return Ok(Verdict::Bad { version_is_bad: false });
    }
    if percentile < 100 {
        if !version.valid {
            site.monitor
                .warning(&format!("Version {uid} stays invalid: only a full scrub can make it valid again."));
        }
        return Ok(Verdict::Good { marked_valid: version.valid });
    }
    let healed = site.meta.mark_version_valid(version, &findings.mended)?;
    for other in &healed.others {
        site.monitor.info(&format!("Marked version valid: {other} (its bad blobs are good again)"));
    }
    if !healed.valid {
        site.monitor.error(&format!(
            "All blocks of version {uid} were good when they were read, but another process has found a bad \
             one since then. The version stays invalid: scrub it again."
        ));
        return Ok(Verdict::Bad { version_is_bad: true });
    }
    site.monitor.info(&format!("Marked version valid: {uid}"));
    Ok(Verdict::Good { marked_valid: true })
}

/// Compares blocks with the source, if there is one.
struct Compare<'a> {
    source: Option<&'a dyn Source>,
    geometry: Geometry,
}

impl Sink for Compare<'_> {
    fn accept(
        &self,
        id: u64,
        data: Option<&[u8]>,
        damage: Option<&Damage>,
        scratch: &mut Vec<u8>,
    ) -> Result<Agreement> {
        let Some(source) = self.source.filter(|_| damage.is_none()) else { return Ok(Agreement::Same) };
        let (offset, length) = (self.geometry.offset(id), self.geometry.length(id));
        let hole = || source.next_data(offset).is_none_or(|data| data.start >= offset + length as u64);
        if data.is_none() && hole() {
            return Ok(Agreement::Same);
        }
        scratch.resize(length, 0);
        source.read_at(offset, scratch)?;
        let same = match data {
            Some(data) => data == &scratch[..],
            None => is_zero(scratch),
        };
        Ok(if same { Agreement::Same } else { Agreement::Differs })
    }
}

struct ScrubObserver<'a> {
    monitor: &'a dyn Monitor,
    geometry: Geometry,
    version: &'a Version,
    percentile: u8,
    done: u64,
    bytes: u64,
    differs: bool,
    /// Blobs that were marked as bad but are good.
    mended: Vec<BlobId>,
    rows: RowCheck,
    casualties: Casualties<'a>,
}

impl ScrubObserver<'_> {
    fn progress(&self) {
        let progress = Progress::new(
            Activity::Scrub { name: &self.version.name, uid: &self.version.uid },
            self.done,
            self.version.size,
            self.bytes,
        );
        self.monitor.progress(&progress);
    }
}

impl Observer for ScrubObserver<'_> {
    fn read(&mut self, row: &BlockRow) {
        self.rows.add(row);
    }

    fn skipped(&mut self, row: &BlockRow) {
        self.done += 1;
        let uid = row.blob.as_ref().map_or("sparse", |blob| blob.uid.as_str());
        self.monitor.debug(&format!(
            "Scrub of block {} (UID {uid}) skipped (percentile is {}).",
            row.id, self.percentile
        ));
    }

    fn done(&mut self, meta: &mut Metadata, report: Report) -> Result<()> {
        self.done += 1;
        self.bytes += self.geometry.length(report.id) as u64;
        let uid = report.blob.as_ref().map_or("sparse", |blob| blob.uid.as_str());
        match (&report.blob, &report.damage) {
            (Some(blob), Some(damage)) => self.casualties.blob(meta, report.id, blob, damage)?,
            _ if report.agreement == Agreement::Differs => {
                self.differs = true;
                self.monitor.error(&format!(
                    "Source data has changed for block {} (UID {uid}). NOT setting this block invalid.",
                    report.id
                ));
            }
            (blob, None) => {
                self.mended.extend(blob.as_ref().filter(|blob| !blob.valid).map(|blob| blob.id));
                self.monitor.debug(&format!("Scrub of block {} (UID {uid}) ok.", report.id));
            }
            (None, Some(_)) => {}
        }
        self.progress();
        Ok(())
    }
}
