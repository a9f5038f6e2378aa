//! The handshake: the client asks about the exports and chooses one.

use super::export::{Export, Exports};
use super::protocol::{
    BASE_ALLOCATION, BASE_ALLOCATION_ID, FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES, Fields, IHAVEOPT, MAX_OPTION,
    MAX_PAYLOAD, MAX_STRING, Message, NBDMAGIC, cut, info, option, option_reply, reply,
};
use crate::types::error::{Error, Result};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::io::{self, ErrorKind, Read, Write};

/// The preferred block size in bytes, for clients that ask.
const PREFERRED: u32 = 4096;

/// The result of the handshake.
pub(super) struct Agreement<'a> {
    /// The export that the client has chosen.
    pub export: Box<Export<'a>>,
    /// Replies to reads are structured.
    pub structured: bool,
    /// The client may ask which ranges are allocated.
    pub allocation: bool,
}

/// The client's answer to the greeting.
#[derive(Clone, Copy)]
pub(super) struct Greeting {
    no_zeroes: bool,
}

/// Exchanges the first messages of both sides.
///
/// # Errors
/// The connection fails; [`ErrorKind::InvalidData`] with a text if the client does not speak the protocol.
pub(super) fn greet(stream: &mut (impl Read + Write)) -> io::Result<Greeting> {
    let flags = FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES;
    stream.write_all(&Message::default().u64(NBDMAGIC).u64(IHAVEOPT).u16(flags).0)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    let client = u32::from_be_bytes(answer);
    if client & !u32::from(flags) != 0 {
        return nonsense("handshake flags");
    }
    Ok(Greeting { no_zeroes: client & u32::from(FLAG_NO_ZEROES) != 0 })
}

/// Refuses every option until the client asks for TLS; encrypted bytes come next. `false`: the client has left.
///
/// # Errors
/// As [`greet`]. `EXPORT_NAME` ends the connection, since the protocol has no error reply to it.
pub(super) fn until_tls(stream: &mut (impl Read + Write)) -> io::Result<bool> {
    loop {
        let (option, data) = next_option(stream)?;
        match (option, data.as_deref()) {
            (option::STARTTLS, Some([])) => {
                stream.write_all(&option_reply(option, reply::ACK, b""))?;
                return Ok(true);
            }
            (option::STARTTLS, _) => {
                stream.write_all(&option_reply(option, reply::ERR_INVALID, b"the option has no data"))?;
            }
            (option::ABORT, _) => {
                let _ = stream.write_all(&option_reply(option, reply::ACK, b""));
                return Ok(false);
            }
            (option::EXPORT_NAME, _) => {
                return Err(io::Error::new(ErrorKind::PermissionDenied, "it has not asked for TLS"));
            }
            _ => stream.write_all(&option_reply(option, reply::ERR_TLS_REQD, b"TLS is required"))?,
        }
    }
}

/// Reads an option and its data. The data is `None` if it is too long.
fn next_option(stream: &mut impl Read) -> io::Result<(u32, Option<Vec<u8>>)> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let mut fields = Fields(&head);
    let (Some(IHAVEOPT), Some(option), Some(length)) = (fields.u64(), fields.u32(), fields.u32()) else {
        return nonsense("options");
    };
    if length > MAX_OPTION {
        io::copy(&mut stream.take(u64::from(length)), &mut io::sink())?;
        return Ok((option, None));
    }
    let mut data = vec![0; length as usize];
    stream.read_exact(&mut data)?;
    Ok((option, Some(data)))
}

/// Agrees on an export. `None`: the client has left. `encrypted`: the connection already uses TLS.
///
/// # Errors
/// As [`greet`].
pub(super) fn negotiate<'a>(
    stream: &mut (impl Read + Write),
    (greeting, encrypted): (Greeting, bool),
    exports: &Exports<'a>,
) -> io::Result<Option<Agreement<'a>>> {
    let no_zeroes = greeting.no_zeroes;
    let mut talk =
        Talk { stream, exports, no_zeroes, encrypted, structured: false, allocation: None, meant: None };
    loop {
        match talk.option()? {
            Next::More => {}
            Next::Leave => return Ok(None),
            Next::Serve(export) => {
                let allocation = talk.structured && talk.allocation.as_ref() == Some(&export.version().uid);
                return Ok(Some(Agreement { export, structured: talk.structured, allocation }));
            }
        }
    }
}

fn nonsense<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::InvalidData, format!("these are not {what} of the NBD protocol")))
}

struct Talk<'t, 'a, S> {
    stream: &'t mut S,
    exports: &'t Exports<'a>,
    no_zeroes: bool,
    encrypted: bool,
    structured: bool,
    /// The version for which the client has chosen the context `base:allocation`.
    allocation: Option<VersionUid>,
    /// The client's last export name and the uid it means, so that a name keeps its meaning during a handshake.
    meant: Option<(String, VersionUid)>,
}

enum Next<'a> {
    More,
    Leave,
    Serve(Box<Export<'a>>),
}

impl<'a, S: Read + Write> Talk<'_, 'a, S> {
    fn option(&mut self) -> io::Result<Next<'a>> {
        let (option, data) = next_option(self.stream)?;
        let Some(data) = data else { return self.say(option, reply::ERR_TOO_BIG, b"the option is too long") };
        match option {
            option::EXPORT_NAME => self.export_name(&data),
            option::ABORT => {
                // The client may have left before it reads the answer.
                let _ = self.say(option, reply::ACK, b"");
                Ok(Next::Leave)
            }
            option::LIST => self.list(&data),
            option::INFO | option::GO => self.info(option, &data),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                self.say(option, reply::ACK, b"")
            }
            option::STRUCTURED_REPLY => self.say(option, reply::ERR_INVALID, b"the option has no data"),
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.contexts(option, &data),
            option::STARTTLS if self.encrypted => {
                self.say(option, reply::ERR_INVALID, b"the connection is encrypted already")
            }
            _ => self.say(option, reply::ERR_UNSUP, b"not supported"),
        }
    }

    /// The version that a name means.
    fn find(&mut self, name: &str) -> Result<Version> {
        match &self.meant {
            Some((known, uid)) if known == name => self.exports.find(uid.as_str()),
            _ => {
                let version = self.exports.find(name)?;
                self.meant = Some((name.to_owned(), version.uid.clone()));
                Ok(version)
            }
        }
    }

    fn say(&mut self, option: u32, reply: u32, data: &[u8]) -> io::Result<Next<'a>> {
        self.stream.write_all(&option_reply(option, reply, data)).map(|()| Next::More)
    }

    fn unknown(&mut self, option: u32, error: &Error) -> io::Result<Next<'a>> {
        self.say(option, reply::ERR_UNKNOWN, cut(&error.line(), MAX_STRING).as_bytes())
    }

    /// Opens the export by `EXPORT_NAME`, to which the protocol has no error reply.
    fn export_name(&mut self, data: &[u8]) -> io::Result<Next<'a>> {
        let name = String::from_utf8_lossy(data);
        let exports = self.exports;
        let found = self.find(&name).and_then(|version| Ok((exports.open(&version)?, version)));
        let Ok((export, version)) = found else {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!("it asked for '{name}', and there is no such version"),
            ));
        };
        let (size, flags) = self.exports.facts(&version, &name, self.structured);
        let mut answer = Message::default().u64(size).u16(flags);
        if !self.no_zeroes {
            answer = answer.bytes(&[0; 124]);
        }
        self.stream.write_all(&answer.0)?;
        Ok(Next::Serve(Box::new(export)))
    }

    fn list(&mut self, data: &[u8]) -> io::Result<Next<'a>> {
        let option = option::LIST;
        if !data.is_empty() {
            return self.say(option, reply::ERR_INVALID, b"the option has no data");
        }
        let versions = match self.exports.list() {
            Ok(versions) => versions,
            Err(error) => return self.unknown(option, &error),
        };
        let mut all = Vec::new();
        for version in versions {
            let uid = version.uid.as_str();
            let about = description(&version);
            let entry = Message::default().u32(uid.len() as u32).bytes(uid.as_bytes());
            all.extend(option_reply(option, reply::SERVER, &entry.bytes(about.as_bytes()).0));
        }
        self.stream.write_all(&all)?;
        self.say(option, reply::ACK, b"")
    }

    fn info(&mut self, option: u32, data: &[u8]) -> io::Result<Next<'a>> {
        let Some((name, wanted)) = info_request(data) else {
            return self.say(option, reply::ERR_INVALID, b"not a name with a list of requests");
        };
        let exports = self.exports;
        let open = |version: Version| match option {
            option::GO => exports.open(&version).map(|export| (version, Some(export))),
            _ => Ok((version, None)),
        };
        let (version, export) = match self.find(name).and_then(open) {
            Ok(found) => found,
            Err(error) => return self.unknown(option, &error),
        };
        let (size, flags) = self.exports.facts(&version, name, self.structured);
        let mut replies = vec![Message::default().u16(info::EXPORT).u64(size).u16(flags)];
        for kind in wanted {
            replies.push(match kind {
                info::NAME => Message::default().u16(kind).bytes(version.uid.as_str().as_bytes()),
                info::DESCRIPTION => Message::default().u16(kind).bytes(description(&version).as_bytes()),
                info::BLOCK_SIZE => Message::default().u16(kind).u32(1).u32(PREFERRED).u32(MAX_PAYLOAD),
                _ => continue,
            });
        }
        for one in replies {
            self.say(option, reply::INFO, &one.0)?;
        }
        self.say(option, reply::ACK, b"")?;
        Ok(export.map_or(Next::More, |export| Next::Serve(Box::new(export))))
    }

    fn contexts(&mut self, option: u32, data: &[u8]) -> io::Result<Next<'a>> {
        if option == option::SET_META_CONTEXT {
            self.allocation = None;
        }
        let Some((name, queries)) = context_request(data).filter(|_| self.structured) else {
            return self.say(
                option,
                reply::ERR_INVALID,
                b"not a name with a list of queries, after structured replies",
            );
        };
        let version = match self.find(name) {
            Ok(version) => version,
            Err(error) => return self.unknown(option, &error),
        };
        let lists = option == option::LIST_META_CONTEXT;
        let meant = |query: &&str| *query == BASE_ALLOCATION || lists && *query == "base:";
        if lists && queries.is_empty() || queries.iter().any(meant) {
            let id = if lists { 0 } else { BASE_ALLOCATION_ID };
            let context = Message::default().u32(id).bytes(BASE_ALLOCATION.as_bytes());
            self.say(option, reply::META_CONTEXT, &context.0)?;
            if !lists {
                self.allocation = Some(version.uid);
            }
        }
        self.say(option, reply::ACK, b"")
    }
}

/// Parses the data of `INFO` and `GO`: an export name, and kinds of information.
fn info_request(data: &[u8]) -> Option<(&str, Vec<u16>)> {
    let mut fields = Fields(data);
    let name = fields.string()?;
    let count = fields.u16()?;
    let wanted: Option<Vec<u16>> = (0..count).map(|_| fields.u16()).collect();
    fields.is_empty().then_some((name, wanted?))
}

/// Parses the data of the context options: an export name, and queries.
fn context_request(data: &[u8]) -> Option<(&str, Vec<&str>)> {
    let mut fields = Fields(data);
    let name = fields.string()?;
    let count = fields.u32()?;
    let mut queries = Vec::new();
    for _ in 0..count {
        queries.push(fields.string()?);
    }
    fields.is_empty().then_some((name, queries))
}

/// A text about the version for people, shown beside the uid.
fn description(version: &Version) -> String {
    let mut text = format!("{} {}", version.name, version.date);
    if !version.snapshot_name.is_empty() {
        text += &format!(" ({})", version.snapshot_name);
    }
    if !version.valid {
        text += ", invalid";
    }
    cut(&text, MAX_STRING).to_owned()
}
