//! Waits for a server. Each wait ends at a time limit or at a signal.

use crate::monitor::{Handle, Monitor};
use crate::pool::threads;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

/// How long it may take until a wait notices a signal.
const SLICE: Duration = Duration::from_millis(50);
/// How long a request may still run after a signal, because it may be nearly done.
const GRACE: Duration = Duration::from_millis(500);
/// The limit of waits that have no other.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Waits. Each connection has its own clone, which notices signals independently.
pub(super) struct Waiter {
    monitor: Handle,
    /// When a signal was noticed.
    noticed: Option<Instant>,
}

impl Clone for Waiter {
    fn clone(&self) -> Self {
        Waiter { monitor: self.monitor.clone(), noticed: None }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

impl Waiter {
    /// A signal that `monitor` reports ends the waits.
    pub(super) fn new(monitor: Handle) -> Self {
        Waiter { monitor, noticed: None }
    }

    /// Forgets a signal that was noticed during an earlier request.
    pub(super) fn forget(&mut self) {
        self.noticed = None;
    }

    /// When a wait with this limit ends.
    pub(super) fn end(&self, timeout: NextTimeout) -> Instant {
        self.end_of(*timeout.after)
    }

    /// The moment after `time` has passed.
    pub(super) fn end_of(&self, time: Duration) -> Instant {
        Instant::now() + time.min(LONGEST)
    }

    /// Waits until the connection is ready, until `end` at the latest.
    ///
    /// # Errors
    /// [`Error::Timeout`] with `reason`, or an error of the kind [`ErrorKind::Interrupted`] after a signal.
    pub(super) fn wait(
        &mut self,
        stream: &impl AsFd,
        flags: PollFlags,
        end: Instant,
        reason: Timeout,
    ) -> Result<(), Error> {
        loop {
            let left = self.left(end, reason)?;
            let time = left.min(SLICE).try_into().ok();
            match poll(&mut [PollFd::new(stream, flags)], time.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(IoError::from(e).into()),
            }
        }
    }

    /// The time until `end`.
    fn left(&mut self, end: Instant, reason: Timeout) -> Result<Duration, Error> {
        let now = Instant::now();
        if self.monitor.interrupted().is_some() && *self.noticed.get_or_insert(now) + GRACE <= now {
            return Err(IoError::from(ErrorKind::Interrupted).into());
        }
        match end.saturating_duration_since(now) {
            Duration::ZERO => Err(Error::Timeout(reason)),
            left => Ok(left),
        }
    }

    /// Connects to one of the addresses. Each gets its share of the time.
    pub(super) fn connect(&self, addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
        let end = self.end(timeout);
        let mut failure = Error::HostNotFound;
        for (at, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let part = left / u32::try_from(addresses.len() - at).unwrap_or(1);
            match self.clone().connect_to(*address, Instant::now() + part, timeout.reason) {
                Ok(stream) => return Ok(stream),
                Err(Error::Io(e)) if e.kind() == ErrorKind::Interrupted => return Err(e.into()),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    fn connect_to(&mut self, address: SocketAddr, end: Instant, reason: Timeout) -> Result<TcpStream, Error> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(IoError::from)?;
        match connect(&socket, &address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS | Errno::INTR) => {
                self.wait(&socket, PollFlags::OUT, end, reason)?;
                sockopt::socket_error(&socket).map_err(IoError::from)?.map_err(IoError::from)?;
            }
            Err(e) => return Err(IoError::from(e).into()),
        }
        Ok(TcpStream::from(socket))
    }
}

/// Looks up host names. After a signal it does not wait for a name server.
#[derive(Debug)]
pub(super) struct Lookup(pub Waiter);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let none = || Error::BadUri(uri.to_string());
        let (scheme, authority) = (uri.scheme().ok_or_else(none)?, uri.authority().ok_or_else(none)?);
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or_else(none)?;
        // A numeric address needs no lookup.
        let found = match name.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.ask(name, timeout)?,
        };
        let mut addresses = self.empty();
        config
            .ip_family()
            .keep_wanted(found.into_iter())
            .take(16)
            .for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

impl Lookup {
    /// The system's lookup cannot be interrupted, so a thread does it. The thread may be left behind.
    fn ask(&self, name: String, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        let answer: Arc<Mutex<Option<std::io::Result<Vec<SocketAddr>>>>> = Arc::default();
        let given = Arc::clone(&answer);
        let asking = threads::start_alone("lookup", move || {
            let found = name.to_socket_addrs().map(Iterator::collect);
            *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
        let asking = asking.map_err(IoError::other)?;
        let mut waiter = self.0.clone();
        let end = waiter.end(timeout);
        while !asking.is_finished() {
            let left = waiter.left(end, timeout.reason)?;
            std::thread::sleep(left.min(SLICE / 10));
        }
        let found = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        found.unwrap_or_else(|| Ok(Vec::new())).map_err(Error::from)
    }
}
