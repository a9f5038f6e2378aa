//! Checks the data of a connection before the library reads it: the lengths of messages, how the server asks for the
//! password, and whether it answers in time.
//!
//! The library lets a connector wrap a socket in TLS. With `SslNegotiation::Direct` it calls the connector at once, and
//! this one negotiates TLS itself. So all connections that leave this host pass through here, with or without TLS.

use super::address::{Address, Verify};
use super::messages::{Reader, Seen};
use super::tls;
use crate::types::reason::Reason;
use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_postgres_rustls::MakeRustlsConnect;

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The request for TLS: a length of 8 and a number that is no protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The reason why we do not use a connection that the server would accept.
#[derive(Debug)]
pub(super) struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// An error that waiting does not cure.
    pub(super) fn error(text: impl Into<String>) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Refusal(text.into()))
    }
}

/// Makes guarded connections to one address.
pub(super) struct Connector {
    tls: Option<MakeRustlsConnect>,
    verify: Verify,
    limit: Duration,
    seen: Arc<Seen>,
}

impl Connector {
    /// `seen` receives the facts about the connection that others need.
    ///
    /// # Errors
    /// The reason names the setting and the file that cannot be used.
    pub(super) fn new(address: &Address, seen: Arc<Seen>) -> Result<Self, Reason> {
        let tls = match address.verify {
            Verify::NoTls => None,
            _ => Some(tls::connector(address)?),
        };
        Ok(Connector { tls, verify: address.verify, limit: address.connect_timeout, seen })
    }
}

/// A connection that is being made.
pub(super) struct Connecting {
    tls: Option<<MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect>,
    verify: Verify,
    limit: Duration,
    seen: Arc<Seen>,
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Guarded;
    type TlsConnect = Connecting;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connecting> {
        let make = |tls: &mut MakeRustlsConnect| {
            <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(tls, domain)
        };
        let tls = self.tls.as_mut().map(make).transpose().map_err(io::Error::other)?;
        Ok(Connecting { tls, verify: self.verify, limit: self.limit, seen: Arc::clone(&self.seen) })
    }
}

impl TlsConnect<Socket> for Connecting {
    type Stream = Guarded;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Guarded>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let (limit, seen) = (self.limit, Arc::clone(&self.seen));
            let careful = self.verify == Verify::Careful;
            let wire = timeout(limit, self.negotiate(socket)).await.unwrap_or_else(|_| Err(silent(limit)))?;
            let is_clear = matches!(wire, Wire::Clear(_));
            let reader = Reader::new(careful && is_clear, seen);
            Ok(Guarded { wire, reader, limit, deadline: Some(Box::pin(sleep(limit))) })
        })
    }
}

impl Connecting {
    async fn negotiate(self, mut socket: Socket) -> io::Result<Wire> {
        let Some(tls) = self.tls else { return Ok(Wire::Clear(socket)) };
        socket.write_all(&SSL_REQUEST).await?;
        match (socket.read_u8().await?, self.verify) {
            (b'S', _) => Ok(Wire::Encrypted(Box::new(tls.connect(socket).await?))),
            (b'N', Verify::Optional | Verify::Careful) => Ok(Wire::Clear(socket)),
            (b'N', _) => Err(Refusal::error("the server has no TLS, and sslmode requires it")),
            (b'E', _) => Err(Refusal::error(
                "the server accepts no connections at present, or does not know \
                                             TLS",
            )),
            _ => Err(Refusal::error("this is not a PostgreSQL server")),
        }
    }
}

fn silent(limit: Duration) -> io::Error {
    let text = format!("no answer within {} seconds (connect_timeout)", limit.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

enum Wire {
    Clear(Socket),
    Encrypted(Box<Encrypted>),
}

/// A connection, with or without TLS.
pub(super) struct Guarded {
    wire: Wire,
    reader: Reader,
    limit: Duration,
    /// Time by which the session must be ready for its first query; `None` once it is.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.reader.seen().settled.load(Ordering::Relaxed) {
            this.deadline = None;
        }
        let before = buffer.filled().len();
        let polled = match &mut this.wire {
            Wire::Clear(wire) => Pin::new(wire).poll_read(context, buffer),
            Wire::Encrypted(wire) => Pin::new(wire).poll_read(context, buffer),
        };
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(this.reader.look(&buffer.filled()[before..])),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => match &mut this.deadline {
                Some(deadline) => deadline.as_mut().poll(context).map(|()| Err(silent(this.limit))),
                None => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Clear(wire) => Pin::new(wire).poll_write(context, data),
            Wire::Encrypted(wire) => Pin::new(wire).poll_write(context, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Clear(wire) => Pin::new(wire).poll_flush(context),
            Wire::Encrypted(wire) => Pin::new(wire).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Clear(wire) => Pin::new(wire).poll_shutdown(context),
            Wire::Encrypted(wire) => Pin::new(wire).poll_shutdown(context),
        }
    }
}

impl TlsStream for Guarded {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.wire {
            Wire::Clear(_) => ChannelBinding::none(),
            Wire::Encrypted(wire) => wire.channel_binding(),
        }
    }
}
