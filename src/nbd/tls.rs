//! TLS as QEMU's server does it: the client asks for it in the handshake, and a folder holds the certificates.

use super::socket::Socket;
use super::transmission::Outlet;
use crate::pem;
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that one read takes from the connection.
const PIECE: usize = 64 << 10;

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    /// Clients are not asked for one.
    #[default]
    NotAsked,
    /// Only clients with a certificate of the authority may connect.
    Required,
}

/// Makes the TLS settings from the files in `folder`, named as QEMU names them: `server-cert.pem` and `server-key.pem`;
/// if clients need certificates, also `ca-cert.pem` and, if it exists, `ca-crl.pem`.
///
/// # Errors
/// Names the file that is missing or cannot be used.
pub(super) fn settings(folder: &Path, clients: ClientCertificate) -> Result<Arc<ServerConfig>> {
    let made = make(folder, clients);
    made.map(Arc::new)
        .map_err(|why| Error::refused(why.during("The certificates of the server cannot be used")))
}

fn make(folder: &Path, clients: ClientCertificate) -> std::result::Result<ServerConfig, Reason> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = pem::certificates(&folder.join("server-cert.pem"))?;
    let key_file = folder.join("server-key.pem");
    let key = pem::private_key(&key_file)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| because("", error))?;
    let builder = match clients {
        ClientCertificate::Required => builder.with_client_cert_verifier(verifier(folder, provider)?),
        ClientCertificate::NotAsked => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key).map_err(|error| because(key_file.display().to_string(), error))
}

/// Makes the check of the certificates of clients.
fn verifier(
    folder: &Path,
    provider: Arc<CryptoProvider>,
) -> std::result::Result<Arc<dyn ClientCertVerifier>, Reason> {
    let file = folder.join("ca-cert.pem");
    let name = file.display().to_string();
    let roots = pem::authorities(pem::certificates(&file)?).map_err(|why| why.during(&name))?;
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    // Without a list, no certificate of the authority is revoked.
    if let Some(lists) = revoked(&folder.join("ca-crl.pem"))? {
        verifier = verifier.with_crls(lists).allow_unknown_revocation_status();
    }
    verifier.build().map_err(|error| because(name, error))
}

/// The lists of revoked certificates; `None` if there is no such file. A link that leads nowhere, or a file that cannot
/// be read, is an error: it must not let revoked clients in.
fn revoked(path: &Path) -> std::result::Result<Option<Vec<CertificateRevocationListDer<'static>>>, Reason> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => pem::revoked(path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(because(path.display().to_string(), error)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_missing_list_of_revoked_certificates_means_that_none_is_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca-crl.pem");
        assert!(revoked(&path).expect("no list is needed").is_none());
        let refused = || revoked(&path).expect_err("not usable").line();

        symlink(folder.path().join("nothing"), &path).expect("linked");
        assert!(refused().contains("ca-crl.pem: No such file"), "{}", refused());
        std::fs::remove_file(&path).expect("removed");

        std::fs::write(&path, "").expect("written");
        assert!(refused().contains("ca-crl.pem: it contains no list"), "{}", refused());
        std::fs::remove_file(&path).expect("removed");

        std::fs::create_dir(&path).expect("made");
        assert!(refused().contains("ca-crl.pem: Is a directory"), "{}", refused());

        // A path that leads through a file cannot be looked up.
        std::fs::write(folder.path().join("file"), "").expect("written");
        let through = folder.path().join("file/ca-crl.pem");
        assert!(revoked(&through).expect_err("no folder").line().contains("Not a directory"));
    }
}
