//! Follows the messages of a server: their kinds and lengths, and how it asks for the password.

use super::guard::Refusal;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The most bytes of a message before the session is ready: until then the server may be anybody.
const MOST_EARLY: usize = 64 << 10;
/// The most bytes of a later message. Our rows take a few kilobytes.
const MOST_LATE: usize = 64 << 20;

/// Bytes that are kept of a message: its kind, its length, and the number that follows.
const HEAD: usize = 9;

const AUTHENTICATION: u8 = b'R';
const KEY: u8 = b'K';
const READY: u8 = b'Z';

/// Ways of authentication, by their numbers in `AUTHENTICATION` messages.
mod method {
    pub(super) const DONE: i32 = 0;
    pub(super) const CLEAR: i32 = 3;
    pub(super) const MD5: i32 = 5;
    pub(super) const SCRAM_DONE: i32 = 12;
}

/// The facts about a connection that other parts of the program need.
#[derive(Default)]
pub(super) struct Seen {
    /// The process that serves this connection, as the server says; 0 until then.
    pub process: AtomicI32,
    /// Set by the caller when the session is set up.
    pub settled: AtomicBool,
}

/// Follows the messages of a connection.
pub(super) struct Reader {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the current message that are still to come.
    skip: usize,
    /// The password must be protected: the connection is not encrypted and leaves this host.
    careful: bool,
    scram: bool,
    ready: bool,
    seen: Arc<Seen>,
}

impl Reader {
    /// Starts before the first message.
    pub(super) fn new(careful: bool, seen: Arc<Seen>) -> Self {
        Reader { head: [0; HEAD], have: 0, skip: 0, careful, scram: false, ready: false, seen }
    }

    /// The facts about the connection that other parts of the program need.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Checks the next bytes.
    ///
    /// # Errors
    /// A [`Refusal`]: the connection must not be used.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = self.wanted();
            let taken = wanted.saturating_sub(self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have >= 5 && self.have == self.wanted() {
                self.message()?;
            }
        }
        Ok(())
    }

    /// Bytes of the current message that are needed to judge it. Its length is known from the fifth byte on.
    fn wanted(&self) -> usize {
        if self.have >= 5 && [AUTHENTICATION, KEY].contains(&self.head[0]) && self.body() >= 4 {
            HEAD
        } else {
            5
        }
    }

    /// Length of the body in bytes, as the message claims.
    fn body(&self) -> usize {
        let length = u32::from_be_bytes([self.head[1], self.head[2], self.head[3], self.head[4]]);
        (length as usize).saturating_sub(4)
    }

    fn message(&mut self) -> io::Result<()> {
        let (kind, body) = (self.head[0], self.body());
        let most = if self.ready { MOST_LATE } else { MOST_EARLY };
        if body > most {
            return Err(Refusal::error(format!(
                "the server sent a message of {body} bytes, which a PostgreSQL server never does at this \
                 point"
            )));
        }
        let number = i32::from_be_bytes([self.head[5], self.head[6], self.head[7], self.head[8]]);
        match kind {
            AUTHENTICATION if self.have == HEAD => self.authentication(number)?,
            KEY if self.have == HEAD => self.seen.process.store(number, Ordering::Relaxed),
            READY => self.ready = true,
            _ => {}
        }
        self.skip = body - (self.have - 5);
        self.have = 0;
        Ok(())
    }

    fn authentication(&mut self, number: i32) -> io::Result<()> {
        let what = match number {
            method::SCRAM_DONE => {
                self.scram = true;
                return Ok(());
            }
            _ if !self.careful => return Ok(()),
            method::CLEAR => "it asks for the password in clear text",
            method::MD5 => "it asks for the password as MD5",
            method::DONE if !self.scram => "it does not use SCRAM for the password",
            _ => return Ok(()),
        };
        Err(Refusal::error(format!(
            "the server has no TLS, and {what}: somebody who listens on the network could learn the \
             password. No password was sent. Enable TLS on the server, or let it use scram-sha-256, or \
             write sslmode=disable in the URL if the network can be trusted"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn good(kind: u8, body: &[u8]) -> Vec<u8> {
        message(kind, body.len() as u32 + 4, body)
    }

    /// Reads `bytes` in pieces of every length; the results must all be the same.
    fn look(careful: bool, bytes: &[u8]) -> Result<i32, String> {
        let mut results = (1..=bytes.len()).map(|piece| {
            let seen = Arc::new(Seen::default());
            let mut reader = Reader::new(careful, Arc::clone(&seen));
            let looked = bytes.chunks(piece).try_for_each(|piece| reader.look(piece));
            looked.map(|()| seen.process.load(Ordering::Relaxed)).map_err(|e| e.to_string())
        });
        let first = results.next().expect("one");
        assert!(results.all(|result| result == first));
        first
    }

    fn auth(number: i32) -> Vec<u8> {
        good(b'R', &[&number.to_be_bytes()[..], b"salt"].concat())
    }

    #[test]
    fn long_messages_are_refused_as_soon_as_their_length_is_known() {
        let error = look(false, &message(b'R', 0x7fff_ffff, &[0; 4])).expect_err("too long");
        assert!(error.contains("2147483643 bytes"), "{error}");
        assert!(look(false, &message(b'E', 1 << 20, b"")).is_err());
        let ready = [auth(0), good(b'S', b"a\0b\0"), good(b'Z', b"I")].concat();
        assert!(look(false, &[ready.clone(), good(b'D', &[7; 100 << 10])].concat()).is_ok());
        assert!(look(false, &[ready, message(b'D', 0x7fff_ffff, b"")].concat()).is_err());
        // Too short for an authentication message; the library reports that.
        assert!(look(false, &message(b'R', 0, b"")).is_ok());
    }

    #[test]
    fn the_process_is_found() {
        let bytes = [auth(0), good(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]), good(b'Z', b"I")].concat();
        assert_eq!(look(false, &bytes), Ok(258));
    }

    #[test]
    fn no_password_is_given_away() {
        for (numbers, word) in
            [(&[3][..], "clear text"), (&[5], "MD5"), (&[0], "SCRAM"), (&[10, 11, 0], "SCRAM")]
        {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| auth(*number)).collect();
            let error = look(true, &bytes).expect_err(word);
            assert!(error.contains(word) && error.contains("sslmode=disable"), "{error}");
            assert!(look(false, &bytes).is_ok());
        }
        let scram: Vec<u8> = [10, 11, 12, 0].iter().flat_map(|number| auth(*number)).collect();
        assert!(look(true, &scram).is_ok());
    }
}
