//! A proxy between a client and an HTTP/1.1 server without TLS, which makes requests fail by plan.

use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    None,
    /// The connection is reset before the server gets the request.
    Reset,
    /// The server carries out the request, and the connection is reset before the client gets the answer.
    Unheard,
    /// The answer ends in the middle of its body.
    Truncate,
    /// One bit of the request's body is changed.
    Flip,
    /// The proxy answers instead, with this status and body.
    Answer(u16, &'static str),
    /// No answer comes for this many milliseconds; then the connection ends.
    Silence(u64),
}

/// Chooses the fault by the number of the request, from 0 on, and its first line.
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
    /// Starts a proxy in front of `server`.
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
                // An error of the connection is for the client to notice.
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Proxy { address, shared }
    }

    /// The URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().expect("lock").clone()
    }

    /// The number of requests with that method.
    pub fn count(&self, method: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(&format!("{method} "))).count()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request or an answer, without its body.
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

/// The body with its encoding.
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
        // The chunk and its line end.
        from.take(size + 2).read_to_end(&mut body)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Serves one client, with a separate connection to the server.
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

/// Makes the close of the connection a reset instead of an orderly end.
fn reset(client: &TcpStream) -> Result<()> {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}
