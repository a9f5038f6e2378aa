//! A network that fails by plan: it stands between a client and a server of HTTP/1.1 without TLS.

use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// The connection is reset before the server hears of it.
    Reset,
    /// The server does what was asked, and the connection is reset before the client hears of it.
    Unheard,
    /// The answer ends in the middle of its body.
    Truncate,
    /// One bit of the request's body is not what was sent.
    Flip,
    /// The proxy answers itself, with this status and body.
    Answer(u16, &'static str),
    /// Nothing comes back, for so many milliseconds; then the connection ends.
    Silence(u64),
}

/// Decides by the number of the request, from 0, and its first line.
pub type Plan = Box<dyn Fn(u64, &str) -> Fault + Send + Sync>;

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    plan: Plan,
    requests: AtomicU64,
    connections: AtomicU64,
    over: AtomicBool,
    /// The first lines of all requests.
    lines: Mutex<Vec<String>>,
}

impl Proxy {
    /// Starts one in front of `server`.
    pub fn start(server: SocketAddr, plan: impl Fn(u64, &str) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        let shared = Arc::new(Shared {
            server,
            plan: Box::new(plan),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            over: AtomicBool::new(false),
            lines: Mutex::default(),
        });
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.over.load(Ordering::SeqCst) {
                    return;
                }
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                let shared = of_thread.clone();
                // How a connection ends is the client's business.
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Proxy { address, shared }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().expect("lock").clone()
    }

    /// How many requests begin with that method.
    pub fn count(&self, method: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(&format!("{method} "))).count()
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for one.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request or an answer up to its body.
struct Head {
    first: String,
    bytes: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

fn read_head(from: &mut impl BufRead) -> Result<Option<Head>> {
    let mut head = Head { first: String::new(), bytes: Vec::new(), length: None, chunked: false };
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line)? == 0 {
            return if head.bytes.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        let text = String::from_utf8_lossy(&line).trim().to_ascii_lowercase();
        if head.first.is_empty() {
            head.first = String::from_utf8_lossy(&line).trim().to_owned();
        } else if let Some(length) = text.strip_prefix("content-length:") {
            head.length = length.trim().parse().ok();
        } else if text.starts_with("transfer-encoding:") {
            head.chunked = true;
        }
        head.bytes.extend(line);
        if text.is_empty() {
            return Ok(Some(head));
        }
    }
}

/// The body as it is on the wire.
fn read_body(head: &Head, from: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if !head.chunked {
        from.take(head.length.unwrap_or(0)).read_to_end(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        let size = u64::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap_or(0);
        body.extend(line);
        // The chunk and the end of its line.
        from.take(size + 2).read_to_end(&mut body)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A connection of a client, with one of its own to the server.
fn serve(shared: &Shared, client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let mut upstream: Option<BufReader<TcpStream>> = None;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    while let Some(head) = read_head(&mut reader)? {
        let number = shared.requests.fetch_add(1, Ordering::SeqCst);
        shared.lines.lock().expect("lock").push(head.first.clone());
        let fault = (shared.plan)(number, &head.first);
        let mut body = read_body(&head, &mut reader)?;
        match fault {
            Fault::Reset => return reset(&client),
            Fault::Silence(pause) => {
                std::thread::sleep(Duration::from_millis(pause));
                return Ok(());
            }
            Fault::Answer(status, text) => {
                let length = text.len();
                write!(client, "HTTP/1.1 {status} By Plan\r\ncontent-length: {length}\r\n\r\n{text}")?;
                continue;
            }
            Fault::Flip if !body.is_empty() => {
                let middle = body.len() / 2;
                body[middle] ^= 1;
            }
            _ => {}
        }
        let server = match &mut upstream {
            Some(server) => server,
            None => {
                let server = TcpStream::connect(shared.server)?;
                server.set_nodelay(true)?;
                upstream.insert(BufReader::new(server))
            }
        };
        server.get_mut().write_all(&head.bytes)?;
        server.get_mut().write_all(&body)?;
        let Some(answer) = read_head(server)? else { return Ok(()) };
        let body = read_body(&answer, server)?;
        match fault {
            Fault::Unheard => return reset(&client),
            Fault::Truncate => {
                client.write_all(&answer.bytes)?;
                client.write_all(&body[..body.len() / 2])?;
                return client.shutdown(Shutdown::Both);
            }
            _ => {
                client.write_all(&answer.bytes)?;
                client.write_all(&body)?;
            }
        }
    }
    Ok(())
}

/// Closes so that the other end sees a reset, and not an end.
fn reset(client: &TcpStream) -> Result<()> {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}
