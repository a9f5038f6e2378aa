//! Connections without endless waits: each wait has a limit, transfers must make progress ([`Pace`]), and a signal ends
//! every wait. They are below the TLS and proxy layers of `ureq`.

use super::pace::Pace;
use super::waiter::Waiter;
use rustix::event::PollFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Dialer(pub Waiter);

impl<In: Transport> Connector<In> for Dialer {
    type Out = Either<In, Wire>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // The connection to a proxy exists already. It is also a [`Wire`].
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let stream = self.0.connect(&details.addrs, details.timeout)?;
        if details.config.no_delay() {
            stream.set_nodelay(true)?;
        }
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Wire { stream, buffers: LazyBuffers::new(input, output), waiter: self.0.clone() })))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    buffers: LazyBuffers,
    waiter: Waiter,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (end, limit) = (self.waiter.end(timeout), timeout.for_write());
        let mut pace = Pace::new(*limit.after);
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(std::io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => {
                    pace.moved(written);
                    rest = &rest[written..];
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let stretch = self.waiter.end_of(pace.left().ok_or(Error::Timeout(limit.reason))?);
                    match self.waiter.wait(&self.stream, PollFlags::OUT, end.min(stretch), timeout.reason) {
                        // The next round checks the pace.
                        Err(Error::Timeout(_)) if stretch < end => {}
                        waited => waited?,
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let end = self.waiter.end(timeout);
        loop {
            // Wait even if data is always available, because the whole time is limited.
            self.waiter.wait(&self.stream, PollFlags::IN, end, timeout.reason)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(e) if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&e.kind()) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Whether the connection can be used for another request: the server has not closed it, and has sent nothing
    /// unasked.
    fn is_open(&mut self) -> bool {
        self.waiter.forget();
        matches!(self.stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}
