//! An HTTP server that can break every rule.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request: the lines up to the empty one, and the body.
pub struct Asked {
    /// The first line and the headers, without line ends.
    pub head: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Answers a request; an error ends the connection.
type Answer = dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A server that runs until it is dropped.
pub struct Hostile {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Hostile {
    /// Starts a server that calls `answer` for each request.
    pub fn start(
        answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        let over = Arc::new(AtomicBool::new(false));
        let (ended, answer): (_, Arc<Answer>) = (over.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let answer = answer.clone();
                // An error of the connection is for the client to notice.
                std::thread::spawn(move || drop(serve(&*answer, client)));
            }
        });
        Hostile { address, over }
    }

    /// The URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(answer: &Answer, mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    loop {
        let mut asked = Asked { head: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => asked.head.push(line.to_owned()),
            }
        }
        let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(&mut asked.body)?;
        answer(&asked, &mut client)?;
    }
}

/// Sends a correct answer.
pub fn reply(client: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}
