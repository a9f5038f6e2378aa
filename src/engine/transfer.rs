//! Exports the metadata of a version as a dump, and imports dumps.

use super::{Site, copies, names};
use crate::meta::DumpRow;
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::io::{BufRead, BufWriter, Read, Take, Write};

mod format;

use format::Dialect;

/// Number of rows read at once.
const BATCH: usize = 1000;
/// Maximum length of a line in a dump, in bytes. This limits the memory for reading.
const LONGEST: u64 = 1 << 20;

/// The destination of a dump.
pub trait Output: Write {
    /// Makes sure that all written data has arrived.
    ///
    /// # Errors
    /// Some data could not be written.
    fn finish(self) -> std::io::Result<()>;
}

impl Output for Whole {
    fn finish(self) -> std::io::Result<()> {
        Whole::finish(self)
    }
}

impl Output for &mut Vec<u8> {
    fn finish(self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the dump of a version. Calls `open` to open the output only after the version was found.
///
/// # Errors
/// There is no such version, or the output cannot be written.
pub fn export<W: Output>(site: &mut Site<'_>, version: &str, open: impl FnOnce() -> Result<W>) -> Result<()> {
    let uid = names::find(site, version)?.uid;
    let (version, _pin) = site.pin(uid.as_str())?;
    let mut output = BufWriter::new(open()?);
    let failed = |e: std::io::Error| Error::refused(because("The dump cannot be written", e));
    output.write_all(format::SIGNATURE.as_bytes()).map_err(failed)?;
    let mut writer = format::writer(output);
    let written = |e: csv::Error| Error::refused(because("The dump cannot be written", e));
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
    let output = writer.into_inner().map_err(|e| failed(e.into_error()))?;
    let output = output.into_inner().map_err(|e| failed(e.into_error()))?;
    output.finish().map_err(failed)
}

/// Reads a dump and creates its version with all blocks, or nothing. `what` names the file in error texts. Returns
/// the uid.
///
/// # Errors
/// [`Error::DumpFormat`], with the number of the line; [`Error::VersionExists`].
pub fn import(site: &mut Site<'_>, mut input: impl BufRead, what: &str) -> Result<VersionUid> {
    let dialect = Dialect::from_signature(&mut input, what)?;
    let mut lines = Lines { records: format::reader(input.take(LONGEST)), what };
    let (line, first) = lines.next()?.ok_or_else(|| lines.bad(2, "the line of the version is missing"))?;
    let version = dialect.version(&first).map_err(|text| lines.bad(line, &text))?;
    let _lock = site.locks.own(&version.uid)?;
    let mut rows =
        Blocks { dialect, version: &version, lines, line: 0, found: 0, bytes: 0, plain: false, ended: false };
    match site.meta.import(&version, &mut rows) {
        // The database refused a row. It does not know the line, so add it here.
        Err(Error::DumpFormat(text)) if !rows.ended => Err(rows.lines.bad(rows.line, &text)),
        result => result,
    }?;
    copies::follow(site);
    if rows.plain {
        copies::admit_plain(site);
    }
    Ok(version.uid)
}

/// The lines after the signature.
struct Lines<'w, R> {
    records: csv::Reader<Take<R>>,
    what: &'w str,
}

impl<R: Read> Lines<'_, R> {
    /// The fields of the next line that is not blank, and its line number.
    fn next(&mut self) -> Result<Option<(u64, csv::StringRecord)>> {
        loop {
            let line = self.line();
            match self.read()? {
                Some(record) if record.len() == 1 && record[0].is_empty() => {}
                Some(record) => return Ok(Some((line, record))),
                None => return Ok(None),
            }
        }
    }

    fn read(&mut self) -> Result<Option<csv::StringRecord>> {
        let mut record = csv::StringRecord::new();
        self.records.get_mut().set_limit(LONGEST);
        let line = self.line();
        let read = self.records.read_record(&mut record);
        if self.records.get_ref().limit() == 0 {
            let text = format!("it has more than {LONGEST} bytes, perhaps because a quote is not closed");
            return Err(self.bad(line, &text));
        }
        let text = match read {
            Ok(false) => return Ok(None),
            Ok(true) if !record.as_slice().contains('\0') => return Ok(Some(format::without_cr(record))),
            Ok(true) => "it contains a NUL byte".to_owned(),
            Err(e) => {
                let text = e.to_string();
                match e.into_kind() {
                    csv::ErrorKind::Io(e) => {
                        let what = format!("{} cannot be read", self.what);
                        return Err(Error::refused(because(what, e).advise("Nothing was imported.")));
                    }
                    csv::ErrorKind::Utf8 { err, .. } => format!("it is not UTF-8: {err}"),
                    _ => text,
                }
            }
        };
        Err(self.bad(line, &text))
    }

    /// Number of the next line to read. The signature was line 1.
    fn line(&self) -> u64 {
        self.records.position().line() + 1
    }

    fn bad(&self, line: u64, text: &str) -> Error {
        Error::DumpFormat(format!("{} line {line}: {text}. Nothing was imported.", self.what))
    }
}

/// The blocks of a dump. Each is checked when it is read, and all together at the end.
struct Blocks<'v, 'w, R> {
    dialect: Dialect,
    version: &'v Version,
    lines: Lines<'w, R>,
    /// The line of the last row that was read.
    line: u64,
    found: u64,
    bytes: u64,
    /// Whether a blob has no encryption.
    plain: bool,
    ended: bool,
}

impl<R: Read> Blocks<'_, '_, R> {
    fn read(&mut self) -> Result<Option<DumpRow>> {
        let Some((line, record)) = self.lines.next()? else {
            return self.check_whole().map(|()| None);
        };
        self.line = line;
        let row =
            self.dialect.block(&record, self.version).map_err(|text| self.lines.bad(self.line, &text))?;
        self.found += 1;
        self.plain |= row.uid.is_some() && row.encryption.version == 0;
        self.bytes = self.bytes.saturating_add(row.size);
        Ok(Some(row))
    }

    /// Checks that a version marked valid has all of its blocks.
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
