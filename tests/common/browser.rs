//! A browser without a window: Chromium.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The names of the program.
const NAMES: [&str; 2] = ["chromium", "chromium-browser"];
/// Options that keep it from the network, and from sandboxes that root cannot use.
const OPTIONS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
];
/// Seconds after which it must have ended.
const LIMIT: &str = "120";

/// A browser that is installed on this machine.
pub struct Browser(&'static str);

/// The colours that the user prefers.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// The browser, if there is one.
    pub fn find() -> Option<Self> {
        let runs =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        NAMES.into_iter().find(runs).map(Browser)
    }

    /// Opens a file in a window of this size, with further options.
    fn open(&self, page: &Path, (width, height): (u32, u32), scheme: Scheme, options: &[String]) -> Output {
        let profile = tempfile::tempdir().expect("a folder");
        let number = match scheme {
            Scheme::Dark => 0,
            Scheme::Light => 1,
        };
        let output = Command::new("timeout")
            .args(["-k", "5", LIMIT, self.0])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--blink-settings=preferredColorScheme={number}"))
            .args(options)
            .arg(format!("file://{}", page.display()))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .output()
            .expect("timeout of coreutils");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The document after it was loaded, as HTML. Fails if the console of the browser shows anything.
    pub fn document(&self, page: &Path, size: (u32, u32), scheme: Scheme) -> String {
        let output = self.open(
            page,
            size,
            scheme,
            &["--dump-dom".to_owned(), "--virtual-time-budget=5000".to_owned()],
        );
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(!messages.contains("CONSOLE"), "{messages}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The messages in the console of the browser.
    pub fn console(&self, page: &Path) -> String {
        let output = self.open(
            page,
            (800, 600),
            Scheme::Light,
            &["--dump-dom".to_owned(), "--virtual-time-budget=5000".to_owned()],
        );
        let messages = String::from_utf8_lossy(&output.stderr);
        messages.lines().filter(|line| line.contains("CONSOLE")).map(|line| format!("{line}\n")).collect()
    }

    /// A picture of the window, as PNG.
    pub fn picture(&self, page: &Path, size: (u32, u32), scheme: Scheme) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page.png");
        self.open(page, size, scheme, &[format!("--screenshot={}", file.display())]);
        std::fs::read(file).expect("a picture")
    }

    /// The printed page, as PDF.
    pub fn print(&self, page: &Path) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page.pdf");
        let options = [format!("--print-to-pdf={}", file.display()), "--no-pdf-header-footer".to_owned()];
        self.open(page, (1280, 900), Scheme::Light, &options);
        std::fs::read(file).expect("a document")
    }
}

/// Width and height of a PNG, as its first chunk has them.
pub fn dimensions(png: &[u8]) -> (u32, u32) {
    assert_eq!(png.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}
