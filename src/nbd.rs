//! A server for network block devices: each version is an export.
//!
//! A thread waits for clients; each of them has some threads of its own. [`protocol`] has what stands on the wire,
//! `handshake` and `transmission` are the two phases of a connection, `export` what they are about. `peer` and `tls` tell
//! who may connect.

mod export;
mod handshake;
mod peer;
mod protocol;
mod socket;
mod tls;
mod transmission;

pub use socket::Address;

use crate::config::Config;
use crate::engine::copy_on_write::Naming;
use crate::engine::image::Depot;
use crate::monitor::{Level, Monitor, Steadfast};
use crate::pool::{Permits, threads};
use crate::types::error::{Error, Result};
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

/// Threads that answer one client: so many of its requests are under way at the same time.
const THREADS: usize = 4;
/// Clients at the same time. Each may take [`THREADS`] MiB, and its threads.
const CLIENTS: usize = 128;
/// Large reads that are put together in memory at the same time: 32 MiB each.
const LARGE_READS: usize = 4;
/// How long a client has to choose an export.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the server is to end.
const PAUSE: Duration = Duration::from_millis(200);

/// What is served, and where.
pub struct Options<'o> {
    /// Where to listen.
    pub address: Address,
    /// Uid of the one version to be served; `None`: all.
    pub only: Option<String>,
    /// Settings of the copies that are made of what clients write.
    pub config: &'o Config,
    /// What those are called.
    pub copies: Naming,
    /// Who may connect.
    pub admission: Admission,
}

/// Who may connect.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Over the loopback address and unix sockets not only root and the user that the server runs as.
    pub any_user: bool,
    /// Others may read along, and connect, where the address can be reached from other hosts.
    pub insecure: bool,
    /// The folder with certificates: then there is TLS, and nothing without it.
    pub certificates: Option<PathBuf>,
    /// Clients need a certificate, too.
    pub verify: bool,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Listening {
    /// On this address and port.
    Tcp(SocketAddr),
    /// On the unix socket that was asked for.
    Unix,
}

/// Serves until a signal comes. `listening` is called as soon as clients may connect. What clients have written by the end
/// is stored before this returns.
///
/// # Errors
/// The address cannot be listened on, or others would reach it without TLS; certificates cannot be used; those of
/// `listening`.
pub fn run(
    depot: Arc<Depot>,
    options: Options<'_>,
    monitor: &dyn Monitor,
    listening: impl FnOnce(Listening) -> Result<()>,
) -> Result<()> {
    let admission = &options.admission;
    let settings = match &admission.certificates {
        Some(folder) => Some(tls::settings(folder, admission.verify)?),
        None => None,
    };
    let listener = Listener::new(&options.address)?;
    let reached = listener.address().filter(|address| !is_local(address.ip()));
    if let Some(address) = reached {
        admission.check(address, monitor)?;
    }
    listening(listener.address().map_or(Listening::Unix, Listening::Tcp))?;
    // Several copies at once would show the progress of each in turn.
    let steadfast = Steadfast(monitor);
    let (config, copies) = (options.config, options.copies);
    let exports = Exports { depot, config, copies, monitor: &steadfast, only: options.only };
    let server = Server {
        exports,
        tls: settings,
        // Whoever has a certificate, or comes from another host, was let in on purpose.
        own_only: !admission.any_user && !admission.verify && reached.is_none(),
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
    /// Refuses to listen on an address that other hosts reach without TLS, or warns of what they can do.
    fn check(&self, address: SocketAddr, monitor: &dyn Monitor) -> Result<()> {
        let what = match (&self.certificates, self.verify) {
            (Some(_), true) => return Ok(()),
            (Some(_), false) => "without a certificate of its own (--tls-verify asks for one)",
            (None, _) if self.insecure => "without a password and unencrypted",
            (None, _) => {
                return Err(Error::Refused(format!(
                    "Other hosts may reach {address}: whoever connects could read all versions that are served, without a \
                     password and unencrypted. Give certificates by --tls-certs, listen on 127.0.0.1 and use a tunnel \
                     (ssh -L), or give --insecure if all who reach the address may read."
                )));
            }
        };
        monitor.warning(&format!(
            "Listening on {address}, which other hosts may reach: whoever connects can read all versions that are served, \
             {what}."
        ));
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

/// A client that was taken in.
struct Guest {
    socket: Arc<Socket>,
    since: Instant,
    /// It has an export open. Until then it may be dropped to make room.
    settled: bool,
    /// Its connection was ended by the server, and its threads are about to see that.
    ended: bool,
}

impl Guest {
    /// Ends the connection of one that has no export open yet.
    fn end(&mut self) {
        self.ended = true;
        self.socket.end();
    }
}

impl Server<'_> {
    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Guest>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client in. Where there are too many, the one that has been without an export for the longest has to go, or
    /// this one.
    fn admit(&self, socket: Socket) -> Option<(u64, Arc<Socket>)> {
        let mut clients = self.clients();
        if clients.values().filter(|guest| !guest.ended).count() >= CLIENTS {
            let waiting = clients.iter_mut().filter(|(_, guest)| !guest.settled && !guest.ended);
            let Some((_, oldest)) = waiting.min_by_key(|(number, _)| **number) else {
                self.say(
                    Level::Warning,
                    &format!("{} was turned away: there are {CLIENTS} clients already.", socket.peer()),
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

    /// Drops those that have not chosen an export in time, however much they say.
    fn drop_undecided(&self) {
        for guest in self.clients().values_mut() {
            if !guest.settled && !guest.ended && guest.since.elapsed() >= PATIENCE {
                guest.end();
                let (peer, patience) = (guest.socket.peer(), PATIENCE.as_secs());
                self.say(
                    Level::Warning,
                    &format!("{peer} was dropped: it has chosen no export within {patience} s."),
                );
            }
        }
    }

    /// The client has an export open from now on.
    fn settle(&self, number: u64) {
        if let Some(guest) = self.clients().get_mut(&number) {
            guest.settled = true;
        }
    }

    /// Serves a client in a thread of its own. Without one it is turned away; the others are not concerned.
    fn start<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        number: u64,
        socket: Arc<Socket>,
    ) {
        let client = Arc::clone(&socket);
        if let Err(error) = threads::start_scoped(scope, move || self.serve(number, &client)) {
            self.say(Level::Error, &format!("{} was turned away: {error}", socket.peer()));
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
                // That is how most clients leave, and looking for open ports does.
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    self.say(Level::Debug, &format!("{peer} has left without a word: {error}"));
                }
                _ => self.say(Level::Warning, &format!("{peer} was dropped: {error}.")),
            }
        }
        self.forget(number, socket);
    }

    fn talk(&self, number: u64, socket: &Socket) -> io::Result<()> {
        if self.own_only
            && let Err(why) = peer::check(socket)
        {
            // Once for each user: others must not be able to fill the log.
            self.exports.depot.warn_once(format!("A client was turned away: {why}."));
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
                // The others wait for requests that nobody may read any more.
                if done.is_err() {
                    socket.end();
                }
                done
            };
            // This thread is one of them. Where the system gives fewer, the client is served more slowly.
            let others: Vec<_> =
                (1..THREADS).map_while(|_| threads::start_scoped(scope, work).ok()).collect();
            let done = work();
            let ends = others.into_iter().map(|thread| thread.join().unwrap_or(Ok(())));
            // All of them are waited for.
            ends.collect::<Vec<io::Result<()>>>().into_iter().fold(done, io::Result::and)
        });
        if let Stream::Tls(tls) = &stream {
            // Nothing may come between what was written and its end.
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
