//! Transmission: several threads answer the requests of one client.
//!
//! The threads take turns at reading requests: while one thread answers, the next one reads. They write replies one at
//! a time, in the order in which they are ready, as the protocol allows.

use super::export::Export;
use super::protocol::{
    BASE_ALLOCATION_ID, Errno, MAX_PAYLOAD, REPLY_FLAG_DONE, REQUEST_SIZE, Request, STATE_HOLE, STATE_ZERO,
    chunk, chunk_head, command, command_flag, error_chunk, simple_reply,
};
use crate::engine::image::Extent;
use crate::pool::Permits;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of the pieces in which a client's write is received.
const PIECE: usize = 256 << 10;
/// Reads of more bytes take a permit if their data must be assembled in memory.
const LARGE: usize = 1 << 20;
/// The most extents in a reply to `BLOCK_STATUS`; the client asks again for the rest.
const EXTENTS: usize = 4096;
/// The most bytes of data in one chunk of a reply.
const CHUNK: u64 = 1 << 20;

/// How long a client that has asked for a large read may take no data: all clients share few permits.
const STALL: Duration = Duration::from_secs(30);

/// The sending side of a connection.
pub(super) trait Outlet: Write {
    /// Makes a write fail if the client takes no data for `most`.
    ///
    /// # Errors
    /// Those of the system.
    fn limit_stalls(&self, most: Duration) -> io::Result<()>;
}

/// A client that has an export open. `R` and `W` are the two directions of its connection.
pub(super) struct Client<'c, 'a, R, W> {
    export: &'c Export<'a>,
    structured: bool,
    allocation: bool,
    large: &'c Permits,
    input: Mutex<Input<R>>,
    output: Mutex<W>,
}

struct Input<R> {
    from: R,
    ended: bool,
}

/// The reason why a request failed: the number for the client, and a text for structured replies.
type Refusal = (Errno, String);

/// A request that was read.
enum Order {
    Do(Request),
    /// A write that is already done, since its data came with it.
    Written(Request, Result<(), Errno>),
}

impl<'c, 'a, R: Read, W: Outlet> Client<'c, 'a, R, W> {
    /// Serves `export`, as agreed. `large` limits the large reads of all clients together.
    pub(super) fn new(
        export: &'c Export<'a>,
        (structured, allocation): (bool, bool),
        large: &'c Permits,
        (from, to): (R, W),
    ) -> Self {
        let input = Mutex::new(Input { from, ended: false });
        Client { export, structured, allocation, large, input, output: Mutex::new(to) }
    }

    /// Reads and answers requests until the client leaves. Several threads run this.
    ///
    /// # Errors
    /// The connection fails, or the client sends something that is no request.
    pub(super) fn work(&self) -> io::Result<()> {
        let mut scratch = Vec::new();
        while let Some(order) = self.next(&mut scratch)? {
            match order {
                Order::Written(request, done) => self.send(&simple_reply(request.cookie, done.err()), &[])?,
                Order::Do(request) => self.answer(&request, &mut scratch)?,
            }
        }
        Ok(())
    }

    /// Reads the next request. `None`: the client has left.
    fn next(&self, scratch: &mut Vec<u8>) -> io::Result<Option<Order>> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if input.ended {
            return Ok(None);
        }
        // Holds until it is certain that another request can follow.
        input.ended = true;
        let Some(request) = read_request(&mut input.from)? else { return Ok(None) };
        if request.command == command::DISC {
            return Ok(None);
        }
        if request.command != command::WRITE {
            input.ended = false;
            return Ok(Some(Order::Do(request)));
        }
        let checked = self.check_write(&request);
        let length = request.length as usize;
        if length <= PIECE && checked.is_ok() {
            scratch.resize(length, 0);
            input.from.read_exact(scratch)?;
            input.ended = false;
            // Other threads may read requests while this one writes.
            drop(input);
            return Ok(Some(Order::Written(request, self.export.write(request.offset, scratch))));
        }
        let written = self.write_in_pieces(request, checked, &mut input.from, scratch)?;
        input.ended = false;
        Ok(Some(written))
    }

    /// Receives the data of a write in pieces, and writes them, unless `done` is already an error: then drops them.
    fn write_in_pieces(
        &self,
        request: Request,
        mut done: Result<(), Errno>,
        from: &mut R,
        scratch: &mut Vec<u8>,
    ) -> io::Result<Order> {
        let (mut offset, mut left) = (request.offset, request.length as usize);
        while left > 0 {
            scratch.resize(left.min(PIECE), 0);
            from.read_exact(scratch)?;
            if done.is_ok() {
                done = self.export.write(offset, scratch);
            }
            // The request was refused if its end overflows, so wrapping does no harm.
            offset = offset.wrapping_add(scratch.len() as u64);
            left -= scratch.len();
        }
        Ok(Order::Written(request, done))
    }

    fn check_write(&self, request: &Request) -> Result<(), Errno> {
        check_flags(request, command_flag::FUA)?;
        match self.range(request) {
            _ if self.export.is_read_only() => Err(Errno::Perm),
            None => Err(Errno::NoSpc),
            Some(_) if request.length > MAX_PAYLOAD => Err(Errno::Inval),
            Some(_) => Ok(()),
        }
    }

    /// The range of a request, if it lies within the export.
    fn range(&self, request: &Request) -> Option<Range<u64>> {
        let end = request.offset.checked_add(u64::from(request.length))?;
        (end <= self.export.size()).then_some(request.offset..end)
    }

    fn answer(&self, request: &Request, scratch: &mut Vec<u8>) -> io::Result<()> {
        match request.command {
            command::READ => self.read(request, scratch),
            command::BLOCK_STATUS => self.block_status(request),
            _ => self.send(&simple_reply(request.cookie, self.change(request).err()), &[]),
        }
    }

    fn change(&self, request: &Request) -> Result<(), Errno> {
        match request.command {
            command::FLUSH => check_flags(request, 0).and_then(|()| self.export.flush()),
            command::TRIM | command::WRITE_ZEROES => {
                let known = match request.command {
                    command::TRIM => command_flag::FUA,
                    // Writes go to a temporary file, where holes save space; so `NO_HOLE` may be ignored.
                    _ => command_flag::FUA | command_flag::NO_HOLE,
                };
                check_flags(request, known)?;
                self.export.zero(self.range(request).ok_or(Errno::NoSpc)?)
            }
            _ => Err(Errno::Inval),
        }
    }

    fn read(&self, request: &Request, scratch: &mut Vec<u8>) -> io::Result<()> {
        let known = if self.structured { command_flag::DF | command_flag::FUA } else { command_flag::FUA };
        let range = match (check_flags(request, known), self.range(request)) {
            (Ok(()), Some(range)) if request.length <= MAX_PAYLOAD => range,
            (Ok(()), Some(_)) => {
                return self.fail(request, (Errno::Overflow, "more than 32 MiB at once".into()), None);
            }
            _ => return self.fail(request, (Errno::Inval, "no such range or flags".into()), None),
        };
        if self.structured && request.flags & command_flag::DF == 0 {
            return self.read_in_chunks(request, range, scratch);
        }
        if range.end - range.start > LARGE as u64 {
            self.output.lock().unwrap_or_else(PoisonError::into_inner).limit_stalls(STALL)?;
            let done = self.large.with(|| self.read_whole(request, range, scratch));
            scratch.truncate(LARGE);
            scratch.shrink_to(LARGE);
            done
        } else {
            self.read_whole(request, range, scratch)
        }
    }

    /// Sends the data in one piece: an error in the middle could not be reported.
    fn read_whole(&self, request: &Request, range: Range<u64>, scratch: &mut Vec<u8>) -> io::Result<()> {
        let length = (range.end - range.start) as usize;
        let sent = self.export.read(range.start, length, scratch, |data| {
            if !self.structured {
                self.send(&simple_reply(request.cookie, None), data)
            } else if data.is_empty() {
                self.send(&chunk_head(request.cookie, REPLY_FLAG_DONE, chunk::NONE, 0).0, &[])
            } else {
                let length = data.len() as u32 + 8;
                let head = chunk_head(request.cookie, REPLY_FLAG_DONE, chunk::OFFSET_DATA, length);
                self.send(&head.u64(range.start).0, data)
            }
        });
        sent.unwrap_or_else(|refusal| self.fail(request, refusal, None))
    }

    /// Sends holes as holes, and data without copying it from the cache.
    fn read_in_chunks(&self, request: &Request, range: Range<u64>, scratch: &mut Vec<u8>) -> io::Result<()> {
        if range.is_empty() {
            return self.send(&chunk_head(request.cookie, REPLY_FLAG_DONE, chunk::NONE, 0).0, &[]);
        }
        let mut at = range.start;
        while at < range.end {
            let extent = match self.export.extents(at..range.end, 1) {
                Ok(extents) => extents.into_iter().next(),
                Err(refusal) => return self.fail(request, refusal, Some(at)),
            };
            let (part, kind) = extent.unwrap_or((at..range.end, Extent::Data));
            if kind != Extent::Data {
                let head = chunk_head(request.cookie, done_if(part.end == range.end), chunk::OFFSET_HOLE, 12);
                self.send(&head.u64(at).u32((part.end - at) as u32).0, &[])?;
                at = part.end;
                continue;
            }
            // A chunk ends where a block may end, since data within one block is not copied.
            let end = part.end.min((at / CHUNK + 1) * CHUNK);
            let sent = self.export.read(at, (end - at) as usize, scratch, |data| {
                let (done, length) = (done_if(end == range.end), data.len() as u32 + 8);
                self.send(&chunk_head(request.cookie, done, chunk::OFFSET_DATA, length).u64(at).0, data)
            });
            match sent {
                Ok(sent) => sent?,
                Err(refusal) => return self.fail(request, refusal, Some(at)),
            }
            at = end;
        }
        Ok(())
    }

    fn block_status(&self, request: &Request) -> io::Result<()> {
        let refused = |text: &str| self.fail(request, (Errno::Inval, text.to_owned()), None);
        if !self.allocation {
            return refused("base:allocation was not agreed on");
        }
        let (Ok(()), Some(range)) = (check_flags(request, command_flag::REQ_ONE), self.range(request)) else {
            return refused("no such range or flags");
        };
        if range.is_empty() {
            return refused("an empty range");
        }
        let most = if request.flags & command_flag::REQ_ONE != 0 { 1 } else { EXTENTS };
        let extents = match self.export.extents(range, most) {
            Ok(extents) => extents,
            Err(refusal) => return self.fail(request, refusal, None),
        };
        let length = 4 + 8 * extents.len() as u32;
        let mut reply = chunk_head(request.cookie, REPLY_FLAG_DONE, chunk::BLOCK_STATUS, length);
        reply = reply.u32(BASE_ALLOCATION_ID);
        for (range, extent) in extents {
            let state = match extent {
                Extent::Data => 0,
                Extent::Hole => STATE_HOLE | STATE_ZERO,
                Extent::Zero => STATE_ZERO,
            };
            reply = reply.u32((range.end - range.start) as u32).u32(state);
        }
        self.send(&reply.0, &[])
    }

    fn fail(&self, request: &Request, (errno, text): Refusal, offset: Option<u64>) -> io::Result<()> {
        if self.structured {
            self.send(&error_chunk(request.cookie, errno, &text, offset), &[])
        } else {
            self.send(&simple_reply(request.cookie, Some(errno)), &[])
        }
    }

    fn send(&self, head: &[u8], data: &[u8]) -> io::Result<()> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // One call for both, so that a small reply is one packet.
        let (mut head, mut data) = (head, data);
        while !head.is_empty() {
            match output.write_vectored(&[IoSlice::new(head), IoSlice::new(data)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let of_head = written.min(head.len());
                    head = &head[of_head..];
                    data = &data[written - of_head..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(stalled(error)),
            }
        }
        output.write_all(data).map_err(stalled)
    }
}

/// Words the error of a client that takes no data.
fn stalled(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::other(format!("it has not read anything of a reply for {} s", STALL.as_secs()))
        }
        _ => error,
    }
}

fn done_if(last: bool) -> u16 {
    if last { REPLY_FLAG_DONE } else { 0 }
}

fn check_flags(request: &Request, known: u16) -> Result<(), Errno> {
    if request.flags & !known == 0 { Ok(()) } else { Err(Errno::Inval) }
}

/// Reads a request. `None`: the connection has ended between two requests.
fn read_request(from: &mut impl Read) -> io::Result<Option<Request>> {
    let mut wire = [0; REQUEST_SIZE];
    let mut filled = 0;
    while filled < REQUEST_SIZE {
        match from.read(&mut wire[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    match Request::parse(&wire) {
        Some(request) => Ok(Some(request)),
        None => Err(io::Error::new(ErrorKind::InvalidData, "this is not a request of the NBD protocol")),
    }
}
