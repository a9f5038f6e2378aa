//! Dumps of a version's metadata: out and in.

use super::{Site, names};
use crate::meta::DumpRow;
use crate::types::error::{Error, Result};
use crate::types::version::Version;
use std::io::{BufRead, Read, Write};

mod format;

use format::Dialect;

/// Rows read at once.
const BATCH: usize = 1000;

/// Writes the dump of a version. `open` makes the output, and is called only once the version is found.
///
/// # Errors
/// There is no such version; it cannot be written.
pub fn export<W: Write>(site: &mut Site<'_>, version: &str, open: impl FnOnce() -> Result<W>) -> Result<()> {
    let uid = names::find(site, version)?.uid;
    let (version, _pin) = site.pin(&uid)?;
    let mut output = open()?;
    let failed = |e: std::io::Error| Error::Refused(format!("The dump cannot be written: {e}"));
    output.write_all(format::SIGNATURE.as_bytes()).map_err(failed)?;
    let mut writer = format::writer(output);
    let written = |e: csv::Error| Error::Refused(format!("The dump cannot be written: {e}"));
    writer.write_record(format::version_record(&version)).map_err(written)?;
    let mut from = 0;
    loop {
        site.monitor.check()?;
        let rows = site.meta.dump_rows(&version, from, BATCH)?;
        for row in &rows {
            writer.write_record(format::block_record(&version, row)).map_err(written)?;
        }
        match rows.last() {
            Some(last) if rows.len() == BATCH => from = last.id + 1,
            _ => break,
        }
    }
    writer.flush().map_err(failed)
}

/// Reads a dump and makes its version with all blocks, or nothing. `what` names the file for the error texts.
/// Returns the uid.
///
/// # Errors
/// [`Error::DumpFormat`] naming the line; [`Error::VersionExists`].
pub fn import(site: &mut Site<'_>, mut input: impl BufRead, what: &str) -> Result<String> {
    let dialect = Dialect::from_signature(&mut input, what)?;
    let mut lines = Lines { records: format::reader(input), what };
    let first = lines.next()?.ok_or_else(|| lines.bad(2, "the line of the version is missing"))?;
    let version = dialect.version(&first).map_err(|text| lines.bad(2, &text))?;
    let _lock = site.locks.own(&version.uid)?;
    let mut rows = Blocks { dialect, version: &version, lines, found: 0, bytes: 0, ended: false };
    site.meta.import(&version, &mut rows)?;
    Ok(version.uid)
}

/// The lines behind the signature.
struct Lines<'w, R> {
    records: csv::Reader<R>,
    what: &'w str,
}

impl<R: Read> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<csv::StringRecord>> {
        let mut record = csv::StringRecord::new();
        let line = self.line();
        match self.records.read_record(&mut record) {
            Ok(true) => Ok(Some(record)),
            Ok(false) => Ok(None),
            Err(e) => Err(self.bad(line, &e.to_string())),
        }
    }

    /// The line that is read next; the signature was the first.
    fn line(&self) -> u64 {
        self.records.position().line() + 1
    }

    fn bad(&self, line: u64, text: &str) -> Error {
        Error::DumpFormat(format!("{} line {line}: {text}. Nothing was imported.", self.what))
    }
}

/// The blocks of a dump, checked one by one and as a whole at the end.
struct Blocks<'v, 'w, R> {
    dialect: Dialect,
    version: &'v Version,
    lines: Lines<'w, R>,
    found: u64,
    bytes: u64,
    ended: bool,
}

impl<R: Read> Blocks<'_, '_, R> {
    fn read(&mut self) -> Result<Option<DumpRow>> {
        let line = self.lines.line();
        let Some(record) = self.lines.next()? else {
            return self.check_whole().map(|()| None);
        };
        let row = self.dialect.block(&record, self.version).map_err(|text| self.lines.bad(line, &text))?;
        self.found += 1;
        self.bytes = self.bytes.saturating_add(row.size);
        Ok(Some(row))
    }

    /// A version that is marked valid must be whole.
    fn check_whole(&self) -> Result<()> {
        let Version { size, size_bytes, valid, .. } = self.version;
        let whole = self.found == *size && self.bytes == *size_bytes;
        if whole || (!valid && self.found <= *size) {
            return Ok(());
        }
        let text = format!(
            "the dump ends after {} blocks with {} bytes, its version has {size} with {size_bytes}",
            self.found, self.bytes
        );
        Err(self.lines.bad(self.lines.line(), &text))
    }
}

impl<R: Read> Iterator for Blocks<'_, '_, R> {
    type Item = Result<DumpRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read();
        self.ended = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}
