//! TLS as QEMU's server does it: the client asks for it in the handshake, and a folder holds the certificates.

use super::socket::Socket;
use super::transmission::Outlet;
use crate::pg::pem;
use crate::types::error::{Error, Result};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that one read takes from the connection.
const PIECE: usize = 64 << 10;

/// Makes the TLS settings from the files in `folder`, named as QEMU names them: `server-cert.pem` and `server-key.pem`;
/// with `verify`, which asks clients for certificates, also `ca-cert.pem` and, if it exists, `ca-crl.pem`.
///
/// # Errors
/// Names the file that is missing or cannot be used.
pub(super) fn settings(folder: &Path, verify: bool) -> Result<Arc<ServerConfig>> {
    let made = make(folder, verify);
    made.map(Arc::new)
        .map_err(|why| Error::refused(format!("The certificates of the server cannot be used: {why}")))
}

fn make(folder: &Path, verify: bool) -> std::result::Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = pem::certificates(&folder.join("server-cert.pem"))?;
    let key_file = folder.join("server-key.pem");
    let key = pem::private_key(&key_file)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = if verify {
        let (file, revoked) = (folder.join("ca-cert.pem"), folder.join("ca-crl.pem"));
        let named = |why: String| format!("{}: {why}", file.display());
        let roots = Arc::new(pem::authorities(pem::certificates(&file)?).map_err(named)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        if revoked.exists() {
            // Without a list, no certificate of the authority is revoked.
            verifier = verifier.with_crls(pem::revoked(&revoked)?).allow_unknown_revocation_status();
        }
        builder.with_client_cert_verifier(verifier.build().map_err(|e| named(e.to_string()))?)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).map_err(|e| format!("{}: {e}", key_file.display()))
}

/// A client's connection, encrypted or not. Both directions may be used at the same time, each by one thread.
pub(super) enum Stream<'s> {
    Plain(&'s Socket),
    Tls(Box<Tls<'s>>),
}

/// An encrypted connection.
///
/// No thread holds `session`, which encrypts and decrypts, while it waits for the connection: so a thread that reads
/// and one that writes do not wait for each other. A writer holds `output` from encryption until the data is sent, so
/// that records leave in the order in which they were made.
pub(super) struct Tls<'s> {
    socket: &'s Socket,
    session: Mutex<ServerConnection>,
    input: Mutex<Input>,
    output: Mutex<Vec<u8>>,
}

/// Bytes that have arrived and are not decrypted yet.
struct Input {
    raw: Vec<u8>,
    from: usize,
    to: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(why: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("TLS: {why}"))
}

impl<'s> Tls<'s> {
    /// Performs the TLS handshake as the server.
    ///
    /// # Errors
    /// The connection fails; [`ErrorKind::InvalidData`] if the client speaks no TLS or its certificate is refused.
    pub(super) fn accept(socket: &'s Socket, settings: &Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(Arc::clone(settings)).map_err(broken)?;
        let tls = Tls {
            socket,
            session: Mutex::new(session),
            input: Mutex::new(Input { raw: vec![0; PIECE], from: 0, to: 0 }),
            output: Mutex::default(),
        };
        while lock(&tls.session).is_handshaking() {
            let took = tls.take(&mut lock(&tls.input));
            // Send even if the handshake has failed: an alert tells the client why.
            let sent = tls.send(&mut lock(&tls.output));
            if !took? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            sent?;
        }
        tls.send(&mut lock(&tls.output))?;
        Ok(tls)
    }

    /// Decrypts what has arrived, or waits for more. `false`: the client has closed.
    fn take(&self, input: &mut Input) -> io::Result<bool> {
        if input.from == input.to {
            let count = loop {
                match (&mut &*self.socket).read(&mut input.raw) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    done => break done?,
                }
            };
            (input.from, input.to) = (0, count);
            if count == 0 {
                return Ok(false);
            }
        }
        let mut session = lock(&self.session);
        input.from += session.read_tls(&mut &input.raw[input.from..input.to])?;
        session.process_new_packets().map_err(broken)?;
        Ok(true)
    }

    /// Sends everything that is encrypted.
    fn send(&self, output: &mut Vec<u8>) -> io::Result<()> {
        loop {
            output.clear();
            {
                let mut session = lock(&self.session);
                while session.wants_write() {
                    session.write_tls(output)?;
                }
            }
            if output.is_empty() {
                return Ok(());
            }
            (&mut &*self.socket).write_all(output)?;
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut input = lock(&self.input);
        loop {
            let read = lock(&self.session).reader().read(buffer);
            match read {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The client has closed without a close notification, as many do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            let took = self.take(&mut input);
            // Send a reply to a key update, or an alert. If another thread is just sending, it sends this, too.
            let sent = self.output.try_lock().map_or(Ok(()), |mut output| self.send(&mut output));
            if !took? {
                return Ok(0);
            }
            sent?;
        }
    }

    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        // Send what is in the session's buffer first, to make room.
        self.send(&mut output)?;
        let written = lock(&self.session).writer().write_vectored(parts)?;
        self.send(&mut output)?;
        Ok(written)
    }

    /// Tells the client that no more data follows.
    pub(super) fn close(&self) {
        lock(&self.session).send_close_notify();
        // The client may have left.
        let _ = self.send(&mut lock(&self.output));
    }
}

impl Stream<'_> {
    /// Whether it is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

impl Outlet for &Stream<'_> {
    fn limit_stalls(&self, most: Duration) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.set_write_patience(most),
            Stream::Tls(tls) => tls.socket.set_write_patience(most),
        }
    }
}

impl Read for &Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => (&mut &**socket).read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for &Stream<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => (&mut &**socket).write_vectored(parts),
            Stream::Tls(tls) => tls.write(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
