//! The lines of dumps, in the format that backy2 has used since 2.1.

use crate::meta::DumpRow;
use crate::types::block::Encryption;
use crate::types::checksum::Checksum;
use crate::types::error::{Error, Result};
use crate::types::hex::from_hex;
use crate::types::keys::VersionKey;
use crate::types::reason::because;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::Version;
use csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};
use std::io::{BufRead, Read, Write};

/// The first line of the dumps that this program writes.
pub(super) const SIGNATURE: &str = "backy2 Version 2.12 metadata dump\r\n";

/// The columns of a dump, by the release that introduced them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Without snapshot name, protection and expiry.
    V2_1,
    /// Without expiry.
    V2_2,
    /// Without encryption.
    V2_10,
    /// The current format.
    V2_12,
}

pub(super) fn writer<W: Write>(output: W) -> csv::Writer<W> {
    WriterBuilder::new().terminator(Terminator::CRLF).flexible(true).from_writer(output)
}

pub(super) fn reader<R: Read>(input: R) -> csv::Reader<R> {
    // With CRLF as terminator the reader would count the LF to the next line and give wrong line numbers.
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n')).from_reader(input)
}

/// Removes the CR of the line end from the last field of a record.
pub(super) fn without_cr(record: StringRecord) -> StringRecord {
    match record.iter().next_back().and_then(|last| last.strip_suffix('\r')) {
        Some(last) => record.iter().take(record.len() - 1).chain([last]).collect(),
        None => record,
    }
}

fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

pub(super) fn version_record(version: &Version) -> [String; 9] {
    [
        version.uid.to_string(),
        version.date.to_string(),
        version.name.clone(),
        version.snapshot_name.clone(),
        version.size.to_string(),
        version.size_bytes.to_string(),
        flag(version.valid).into(),
        flag(version.protected).into(),
        version.expire.map(|t| t.naive().format("%Y-%m-%d").to_string()).unwrap_or_default(),
    ]
}

pub(super) fn block_record(version: &Version, row: &DumpRow) -> [String; 10] {
    [
        row.uid.as_ref().map(BlobUid::to_string).unwrap_or_default(),
        version.uid.to_string(),
        row.id.to_string(),
        row.date.to_string(),
        row.checksum.as_ref().map(Checksum::to_string).unwrap_or_default(),
        row.size.to_string(),
        flag(row.valid).into(),
        row.encryption.version.to_string(),
        row.encryption.envkey.clone().unwrap_or_default(),
        row.encryption.nonce.clone().unwrap_or_default(),
    ]
}

/// A description of what is wrong with a line.
type Wrong = String;

impl Dialect {
    /// Reads the first line, which names the release.
    pub(super) fn from_signature(input: &mut impl BufRead, what: &str) -> Result<Self> {
        // The limit is longer than any signature. It keeps a file without line ends from being read into memory as a
        // whole.
        let mut line = Vec::new();
        let read = input.take(100).read_until(b'\n', &mut line);
        read.map_err(|e| Error::refused(because(format!("{what} cannot be read"), e)))?;
        let text = String::from_utf8_lossy(&line);
        let release = text.trim_end().strip_prefix("backy2 Version ");
        match release.and_then(|rest| rest.strip_suffix(" metadata dump")) {
            Some("2.1") => Ok(Dialect::V2_1),
            Some("2.2") => Ok(Dialect::V2_2),
            Some("2.10") => Ok(Dialect::V2_10),
            Some("2.12") => Ok(Dialect::V2_12),
            _ => Err(Error::DumpFormat(format!(
                "Wrong import format: line 1 of {what} is not \"backy2 Version N metadata dump\" with N = 2.1, 2.2, 2.10 \
                 or 2.12. Nothing was imported."
            ))),
        }
    }

    /// Parses the line of the version.
    pub(super) fn version(self, record: &StringRecord) -> std::result::Result<Version, Wrong> {
        let columns = match self {
            Dialect::V2_1 => 6,
            Dialect::V2_2 => 8,
            Dialect::V2_10 | Dialect::V2_12 => 9,
        };
        check_columns(record, columns)?;
        // The oldest dialect does not have the fourth column.
        let shift = if self == Dialect::V2_1 { 1 } else { 0 };
        let uid = &record[0];
        if uid.is_empty() || uid.len() > 36 || !uid.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err(format!("{uid:?} is not the uid of a version"));
        }
        let expire = match record.get(8) {
            None | Some("") => None,
            Some(text) => Some(date(text)?),
        };
        Ok(Version {
            key: VersionKey(0),
            uid: uid.into(),
            date: date(&record[1])?,
            expire,
            name: record[2].to_owned(),
            snapshot_name: if shift == 0 { record[3].to_owned() } else { String::new() },
            size: number(&record[4 - shift], "size")?,
            size_bytes: number(&record[5 - shift], "size_bytes")?,
            valid: boolean(&record[6 - shift], "valid")?,
            protected: match record.get(7) {
                Some(text) if shift == 0 => boolean(text, "protected")?,
                _ => false,
            },
            tags: Vec::new(),
        })
    }

    /// Parses the line of a block.
    pub(super) fn block(
        self,
        record: &StringRecord,
        version: &Version,
    ) -> std::result::Result<DumpRow, Wrong> {
        check_columns(record, if self == Dialect::V2_12 { 10 } else { 7 })?;
        let id: u64 = number(&record[2], "id")?;
        if version.uid != record[1] {
            return Err(format!("the block belongs to version {:?}, not to {}", &record[1], version.uid));
        }
        if id >= version.size {
            return Err(format!("block {id} is beyond the end: the version has {} blocks", version.size));
        }
        let uid = Some(&record[0]).filter(|uid| !uid.is_empty());
        let plain = |uid: &str| uid.len() <= 32 && uid.bytes().all(|c| c.is_ascii_alphanumeric());
        if let Some(uid) = uid.filter(|uid| !plain(uid)) {
            return Err(format!("{uid:?} is not the name of a blob"));
        }
        let size = number(&record[5], "size")?;
        if size == 0 {
            return Err("size is 0: no block is empty".into());
        }
        Ok(DumpRow {
            id,
            uid: uid.map(BlobUid::from),
            date: date(&record[3])?,
            checksum: hex(&record[4], 128, "checksum")?.map(Checksum::from),
            size,
            valid: boolean(&record[6], "valid")?,
            encryption: match self {
                Dialect::V2_12 => encryption(record)?,
                _ => Encryption::default(),
            },
        })
    }
}

fn encryption(record: &StringRecord) -> std::result::Result<Encryption, Wrong> {
    let version = if record[7].is_empty() { 0 } else { number(&record[7], "enc_version")? };
    // Old dumps contain this for a NULL in a bytea column of PostgreSQL.
    let nonce = if &record[9] == r"\x" { "" } else { &record[9] };
    Ok(Encryption {
        version: match version {
            0 => 0,
            1 => 1,
            other => {
                return Err(format!(
                    "enc_version is {other}: this release does not know that encryption \
                                         version"
                ));
            }
        },
        envkey: hex(&record[8], 80, "enc_envkey")?,
        nonce: hex(nonce, 32, "enc_nonce")?,
    })
}

fn check_columns(record: &StringRecord, columns: usize) -> std::result::Result<(), Wrong> {
    if record.len() == columns {
        Ok(())
    } else {
        Err(format!("it has {} fields, should have {columns}", record.len()))
    }
}

fn number(text: &str, field: &str) -> std::result::Result<u64, Wrong> {
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| format!("{field} is {text:?}, not a number"))
}

fn boolean(text: &str, field: &str) -> std::result::Result<bool, Wrong> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("{field} is {text:?}, not 0 or 1")),
    }
}

fn date(text: &str) -> std::result::Result<Timestamp, Wrong> {
    Timestamp::parse(text).ok_or_else(|| format!("{text:?} is no date"))
}

fn hex(text: &str, digits: usize, field: &str) -> std::result::Result<Option<String>, Wrong> {
    if text.len() <= digits && from_hex(text).is_some() {
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    } else {
        Err(format!("{field} is not hex, or too long"))
    }
}
