//! TCP and unix sockets: listening, and the connections of clients.

use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use crate::types::remedy::Remedy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A umask that leaves only reading and writing, and only to the owner.
const PRIVATE: Mode = Mode::XUSR.union(Mode::RWXG).union(Mode::RWXO);

/// The address to listen on.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    /// A host name or address, and a port; port 0 takes any free one.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// The users of this host that may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Users {
    /// Root and the user that the server runs as.
    #[default]
    Own,
    /// Every user.
    All,
}

/// A listening socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Starts to listen. `users` decides the permissions of a unix socket.
    ///
    /// # Errors
    /// The address is unknown or in use.
    pub(super) fn new(address: &Address, users: Users) -> Result<Self> {
        let listener = match address {
            Address::Tcp(host, port) => {
                let refused = |why: io::Error| {
                    let what = format!("Cannot listen on {}", shown(host, *port));
                    Error::refused(because(what, why).remedy(Remedy::ListenElsewhere))
                };
                let found: Vec<SocketAddr> =
                    (host.as_str(), *port).to_socket_addrs().map_err(refused)?.collect();
                Listener::Tcp(TcpListener::bind(&found[..]).map_err(refused)?)
            }
            Address::Unix(path) => {
                let refused = |why: io::Error| {
                    Error::refused(because(format!("Cannot listen on {}", path.display()), why))
                };
                clear(path)?;
                // A client can read all versions: only the owner may connect, unless every user was admitted.
                let before = umask(match users {
                    Users::Own => PRIVATE,
                    Users::All => Mode::XUSR | Mode::XGRP | Mode::XOTH,
                });
                let bound = UnixListener::bind(path);
                umask(before);
                Listener::Unix(bound.map_err(refused)?, path.clone())
            }
        };
        let nonblocking = match &listener {
            Listener::Tcp(tcp) => tcp.set_nonblocking(true),
            Listener::Unix(unix, _) => unix.set_nonblocking(true),
        };
        nonblocking.map_err(|why| Error::refused(because("Cannot wait for clients", why)))?;
        Ok(listener)
    }

    /// The address and port of a TCP socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(tcp) => tcp.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    /// Waits for the next client; `None` if none has come within `patience`.
    ///
    /// # Errors
    /// Those of the system, such as too many open files.
    pub(super) fn accept(&self, patience: Duration) -> io::Result<Option<Socket>> {
        let fd: BorrowedFd<'_> = match self {
            Listener::Tcp(tcp) => tcp.as_fd(),
            Listener::Unix(unix, _) => unix.as_fd(),
        };
        let wait = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let accepted = match self {
            Listener::Tcp(tcp) => tcp.accept().map(|(stream, from)| Socket::Tcp(stream, from)),
            Listener::Unix(unix, _) => unix.accept().map(|(stream, _)| Socket::Unix(stream)),
        };
        match accepted {
            Ok(socket) => socket.prepare().map(|()| Some(socket)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes the socket that a killed server has left. Any other file stays and is an error.
fn clear(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let in_the_way = |why: &str| {
        let reason = Reason::from(format!("{} {why}", path.display()));
        Err(Error::refused(reason.remedy(Remedy::OtherSocket)))
    };
    if !metadata.file_type().is_socket() {
        return in_the_way("already exists and is not a socket");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            let _ = fs::remove_file(path);
            Ok(())
        }
        _ => in_the_way("is the socket of a running server"),
    }
}

/// Host and port as users write them.
pub(super) fn shown(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// A client's connection. Both directions may be used at the same time, each by one thread.
pub(super) enum Socket {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(tcp, _) => {
                tcp.set_nonblocking(false)?;
                tcp.set_nodelay(true)?;
                // If a client's machine has died, nothing arrives; keepalive ends the connection after some minutes.
                rustix::net::sockopt::set_socket_keepalive(tcp, true)?;
                rustix::net::sockopt::set_tcp_keepidle(tcp, Duration::from_secs(60))?;
                Ok(())
            }
            Socket::Unix(unix) => unix.set_nonblocking(false),
        }
    }

    /// The client's address, for messages.
    pub(super) fn peer(&self) -> String {
        match self {
            Socket::Tcp(_, from) => from.to_string(),
            Socket::Unix(_) => "the unix socket".to_owned(),
        }
    }

    /// Sets how long a write may wait for the client to read.
    pub(super) fn set_write_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(tcp, _) => tcp.set_write_timeout(Some(patience)),
            Socket::Unix(unix) => unix.set_write_timeout(Some(patience)),
        }
    }

    /// Ends the connection, so that threads that read from it or write to it return.
    pub(super) fn end(&self) {
        let _ = match self {
            Socket::Tcp(tcp, _) => tcp.shutdown(Shutdown::Both),
            Socket::Unix(unix) => unix.shutdown(Shutdown::Both),
        };
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp, _) => (&mut &*tcp).read(buffer),
            Socket::Unix(unix) => (&mut &*unix).read(buffer),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp, _) => (&mut &*tcp).write(data),
            Socket::Unix(unix) => (&mut &*unix).write(data),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp, _) => (&mut &*tcp).write_vectored(parts),
            Socket::Unix(unix) => (&mut &*unix).write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
