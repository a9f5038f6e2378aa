//! A server for network block devices: each version is an export.
//!
//! One thread accepts clients; each client is served by [`THREADS`] threads of its own. [`protocol`] defines the
//! messages, `handshake` and `transmission` are the two phases of a connection, `export` opens the versions, and `peer`
//! and `tls` decide which clients may connect.

mod export;
mod handshake;
mod peer;
mod protocol;
mod socket;
mod tls;
mod transmission;

pub(crate) use socket::{Address, Users};
pub(crate) use tls::ClientCertificate;

use crate::config::Config;
use crate::engine::copy_on_write::CopyNaming;
use crate::engine::image::Depot;
use crate::monitor::{Level, Monitor, Steadfast};
use crate::pool::{Permits, threads};
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::uid::VersionUid;
use export::Exports;
use rustls::ServerConfig;
use socket::{Listener, Socket};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tls::{Stream, Tls};
use transmission::Client;

/// Threads per client, and so the number of its requests that are answered at the same time.
const THREADS: usize = 4;
/// The most clients at the same time. Each may take [`THREADS`] MiB of memory, and its threads.
const CLIENTS: usize = 128;
/// The most large reads that are assembled in memory at the same time. Each takes up to 32 MiB.
const LARGE_READS: usize = 4;
/// How long a client may take to choose an export.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the server checks for a signal and for slow clients.
const PAUSE: Duration = Duration::from_millis(200);

/// The versions to serve, and the address.
pub(crate) struct Options<'o> {
    /// The address to listen on.
    pub address: Address,
    /// Uid of the only version to serve. `None` serves all versions.
    pub only: Option<VersionUid>,
    /// Settings for the versions that store what clients write.
    pub config: &'o Config,
    /// The names of those versions.
    pub copies: CopyNaming,
    /// The clients that may connect.
    pub admission: Admission,
}

/// The clients that may connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    /// The users of this host that may connect, over the loopback address and unix sockets.
    pub users: Users,
    /// Allow an address that other hosts can reach without TLS, although they can then connect and read along.
    pub insecure: bool,
    /// The folder with the certificates. If it is set, every connection must use TLS.
    pub certificates: Option<PathBuf>,
    /// Whether clients need a certificate, too.
    pub client_certificate: ClientCertificate,
}

/// The address that the server listens on.
#[derive(Clone, Debug)]
pub(crate) enum Listening {
    /// This address and port.
    Tcp(SocketAddr),
    /// The unix socket that the options name.
    Unix,
}

/// Serves until a signal arrives. Calls `listening` as soon as clients can connect. Stores everything that clients have
/// written before it returns.
///
/// # Errors
/// It cannot listen on the address; the address can be reached from other hosts without TLS; the certificates cannot be
/// used; the errors of `listening`.
pub(crate) fn run(
    depot: Arc<Depot>,
    options: Options<'_>,
    monitor: &dyn Monitor,
    listening: impl FnOnce(Listening) -> Result<()>,
) -> Result<()> {
    let admission = &options.admission;
    let settings = match &admission.certificates {
        Some(folder) => Some(tls::settings(folder, admission.client_certificate)?),
        None => None,
    };
    let listener = Listener::new(&options.address, admission.users)?;
    let reached = listener.address().filter(|address| !is_local(address.ip()));
    if let Some(address) = reached {
        admission.check(address, monitor)?;
    }
    listening(listener.address().map_or(Listening::Unix, Listening::Tcp))?;
    // The progress bars of several copies would overwrite each other.
    let steadfast = Steadfast(monitor);
    let (config, copies) = (options.config, options.copies);
    let exports = Exports { depot, config, copies, monitor: &steadfast, only: options.only };
    let server = Server {
        exports,
        tls: settings,
        // Clients with a certificate and clients on other hosts were admitted on purpose.
        own_only: admission.users == Users::Own
            && admission.client_certificate == ClientCertificate::NotAsked
            && reached.is_none(),
        large: Permits::new(LARGE_READS),
        clients: Mutex::default(),
        next: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        while monitor.interrupted().is_none() {
            server.drop_undecided();
            match listener.accept(PAUSE) {
                Ok(Some(socket)) => {
                    if let Some((number, socket)) = server.admit(socket) {
                        server.start(scope, number, socket);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    monitor.warning(&format!("A client could not connect: {error}"));
                    std::thread::sleep(PAUSE);
                }
            }
        }
        server.end_all();
    });
    Ok(())
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

impl Admission {
    /// Refuses an address that other hosts can reach without TLS, or warns of what they can do.
    fn check(&self, address: SocketAddr, monitor: &dyn Monitor) -> Result<()> {
        let (what, remedies) = match (&self.certificates, self.client_certificate) {
            (Some(_), ClientCertificate::Required) => return Ok(()),
            (Some(_), ClientCertificate::NotAsked) => {
                ("without a certificate of its own", &[Remedy::AskForCertificates][..])
            }
            (None, _) if self.insecure => ("without a password and unencrypted", &[][..]),
            (None, _) => {
                let text = format!(
                    "Other hosts can reach {address}. Every client could read all served versions, without a \
                     password and unencrypted."
                );
                return Err(Error::refused(Reason::from(text).remedy(Remedy::SecureServer)));
            }
        };
        let text = format!(
            "Listening on {address}, which other hosts can reach: every client can read all served versions, {what}."
        );
        monitor.advise(Level::Warning, &text, remedies);
        Ok(())
    }
}

struct Server<'a> {
    exports: Exports<'a>,
    tls: Option<Arc<ServerConfig>>,
    /// Only root and the user that this process runs as may connect.
    own_only: bool,
    large: Permits,
    clients: Mutex<HashMap<u64, Guest>>,
    next: AtomicU64,
}

/// A client that was admitted.
struct Guest {
    socket: Arc<Socket>,
    since: Instant,
    /// It has an export open. Until then it may be dropped to make room.
    settled: bool,
    /// The server has ended its connection, and its threads will notice soon.
    ended: bool,
}

impl Guest {
    /// Ends the connection of a client that has no export open yet.
    fn end(&mut self) {
        self.ended = true;
        self.socket.end();
    }
}

impl Server<'_> {
    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Guest>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a client. If there are too many, it drops the client that has waited longest without an export, or else
    /// refuses the new one.
    fn admit(&self, socket: Socket) -> Option<(u64, Arc<Socket>)> {
        let mut clients = self.clients();
        if clients.values().filter(|guest| !guest.ended).count() >= CLIENTS {
            let waiting = clients.iter_mut().filter(|(_, guest)| !guest.settled && !guest.ended);
            let Some((_, oldest)) = waiting.min_by_key(|(number, _)| **number) else {
                self.say(
                    Level::Warning,
                    &format!("{} was refused: there are already {CLIENTS} clients.", socket.peer()),
                );
                return None;
            };
            oldest.end();
        }
        let (number, socket) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(socket));
        let (guest, since) = (Arc::clone(&socket), Instant::now());
        clients.insert(number, Guest { socket: guest, since, settled: false, ended: false });
        Some((number, socket))
    }

    /// Drops the clients that have not chosen an export in time, even if they keep sending.
    fn drop_undecided(&self) {
        for guest in self.clients().values_mut() {
            if !guest.settled && !guest.ended && guest.since.elapsed() >= PATIENCE {
                guest.end();
                let (peer, patience) = (guest.socket.peer(), PATIENCE.as_secs());
                self.say(
                    Level::Warning,
                    &format!("{peer} was disconnected: it did not choose an export within {patience} s."),
                );
            }
        }
    }

    /// Notes that the client has an export open.
    fn settle(&self, number: u64) {
        if let Some(guest) = self.clients().get_mut(&number) {
            guest.settled = true;
        }
    }

    /// Serves a client in a thread of its own. If the thread cannot be started, only this client is turned away.
    fn start<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        number: u64,
        socket: Arc<Socket>,
    ) {
        let client = Arc::clone(&socket);
        if let Err(error) = threads::start_scoped(scope, move || self.serve(number, &client)) {
            let text = format!("{} was refused: {}", socket.peer(), error.line());
            self.exports.monitor.advise(Level::Error, &text, error.remedies());
            self.forget(number, &socket);
        }
    }

    fn forget(&self, number: u64, socket: &Socket) {
        socket.end();
        self.clients().remove(&number);
    }

    fn serve(&self, number: u64, socket: &Socket) {
        if let Err(error) = self.talk(number, socket) {
            let peer = socket.peer();
            match error.kind() {
                // Most clients leave this way, and port scanners do.
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    self.say(Level::Debug, &format!("{peer} closed the connection unexpectedly: {error}"));
                }
                _ => self.say(Level::Warning, &format!("{peer} was disconnected: {error}.")),
            }
        }
        self.forget(number, socket);
    }

    fn talk(&self, number: u64, socket: &Socket) -> io::Result<()> {
        if self.own_only
            && let Err(why) = peer::check(socket)
        {
            // Only once per user, so that other users cannot fill the log.
            let text = format!("A client was refused: {why}.");
            self.exports.depot.warn_once(text, &[Remedy::AdmitAllUsers]);
            return Ok(());
        }
        let greeting = handshake::greet(&mut &*socket)?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(_) if !handshake::until_tls(&mut &*socket)? => return Ok(()),
            Some(settings) => Stream::Tls(Box::new(Tls::accept(socket, settings)?)),
        };
        let hello = (greeting, stream.is_encrypted());
        let Some(agreed) = handshake::negotiate(&mut &stream, hello, &self.exports)? else { return Ok(()) };
        let (export, how) = (agreed.export, (agreed.structured, agreed.allocation));
        let uid = export.version().uid.clone();
        self.say(Level::Info, &format!("{} has opened version {uid}.", socket.peer()));
        self.settle(number);
        let client = Client::new(&export, how, &self.large, (&stream, &stream));
        let done = std::thread::scope(|scope| {
            let work = || {
                let done = client.work();
                // The other threads wait for requests that cannot be answered any more.
                if done.is_err() {
                    socket.end();
                }
                done
            };
            // This thread is one of them. If the system refuses more threads, the client is served more slowly.
            let others: Vec<_> =
                (1..THREADS).map_while(|_| threads::start_scoped(scope, work).ok()).collect();
            let done = work();
            let ends = others.into_iter().map(|thread| thread.join().unwrap_or(Ok(())));
            // `collect` waits for all threads before the first error counts.
            ends.collect::<Vec<io::Result<()>>>().into_iter().fold(done, io::Result::and)
        });
        if let Stream::Tls(tls) = &stream {
            // A client that reads nothing must not delay the storing of what it has written.
            let _ = socket.set_write_patience(PAUSE);
            tls.close();
        }
        self.say(Level::Info, &format!("{} has closed version {uid}.", socket.peer()));
        export.finish();
        done
    }

    fn end_all(&self) {
        for guest in self.clients().values() {
            guest.socket.end();
        }
    }

    fn say(&self, level: Level, text: &str) {
        self.exports.monitor.say(level, text);
    }
}
