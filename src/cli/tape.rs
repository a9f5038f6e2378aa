//! Output streams for the tests of this layer.

use std::io::{Error, ErrorKind, Result, Write};
use std::sync::{Arc, Mutex};

/// Records each write separately.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<String>>>);

impl Tape {
    /// The writes, one by one.
    pub fn writes(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
    /// Everything that was written.
    pub fn text(&self) -> String {
        self.writes().concat()
    }
    /// A sink that records into this tape.
    pub fn sink(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }
}

impl Write for Tape {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        let text = String::from_utf8(data.to_vec()).expect("text");
        self.0.lock().expect("not poisoned").push(text);
        Ok(data.len())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Fails every write.
pub struct Broken(pub ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> Result<usize> {
        Err(Error::from(self.0))
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
