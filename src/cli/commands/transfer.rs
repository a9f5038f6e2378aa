//! `export`, `import` and `diff-meta`.

use crate::cli::Context;
use crate::cli::args::{DiffMetaArgs, ExportArgs, ImportArgs};
use crate::cli::exit::Outcome;
use crate::cli::terminal::Terminal;
use crate::engine::transfer::Output;
use crate::engine::usage::Difference;
use crate::engine::{self, Access, Site};
use crate::sys::close::close;
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Writes to stdout through the terminal.
struct Stdout<'t> {
    terminal: &'t Terminal,
    /// Whether incomplete output is useless. If not, output after the reader has closed stdout is dropped.
    whole: bool,
}

impl Write for Stdout<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        // A dump is text, but a buffer may end in the middle of a character.
        let whole = match std::str::from_utf8(data) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&data[..e.valid_up_to()]).unwrap_or_default(),
        };
        if whole.is_empty() && !data.is_empty() {
            return Err(std::io::Error::other("the dump is not UTF-8"));
        }
        let print = if self.whole { Terminal::print_whole } else { Terminal::print };
        print(self.terminal, whole).map_err(std::io::Error::other)?;
        Ok(whole.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The destination of a dump.
enum Destination<'t> {
    Stdout(Stdout<'t>),
    File(Whole),
}

impl Write for Destination<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        match self {
            Destination::Stdout(stdout) => stdout.write(data),
            Destination::File(file) => file.write(data),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output for Destination<'_> {
    fn finish(self) -> std::io::Result<()> {
        match self {
            // Some file systems report a lack of space only when a descriptor is closed, and closing a copy is enough.
            Destination::Stdout(_) => close(File::from(std::io::stdout().as_fd().try_clone_to_owned()?)),
            Destination::File(file) => file.finish(),
        }
    }
}

pub(super) fn export(context: &Context, args: &ExportArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Read)?;
    let shown = args.filename.to_string_lossy();
    let open = || {
        if args.filename == "-" {
            return Ok(Destination::Stdout(Stdout { terminal: &context.terminal, whole: true }));
        }
        let file = Whole::begin(Path::new(&args.filename), context.config.file_mode);
        file.map(Destination::File).map_err(|e| Error::refused(because(format!("{shown}"), e)))
    };
    engine::transfer::export(&mut site, &args.version_uid, open)?;
    Ok(Outcome::Done)
}

pub(super) fn import(context: &Context, args: &ImportArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Write)?;
    let shown = args.filename.to_string_lossy();
    let uid = if args.filename == "-" {
        engine::transfer::import(&mut site, BufReader::new(std::io::stdin()), "stdin")?
    } else {
        let file = File::open(&args.filename).map_err(|e| Error::refused(because(format!("{shown}"), e)))?;
        engine::transfer::import(&mut site, BufReader::new(file), &shown)?
    };
    context.report(|| json!({"uid": uid}))?;
    Ok(Outcome::Done)
}

pub(super) fn diff_meta(context: &Context, args: &DiffMetaArgs) -> Result<Outcome> {
    let mut site = Site::open(&context.config, &context.terminal, Access::Read)?;
    let mut output = BufWriter::new(Stdout { terminal: &context.terminal, whole: false });
    let failed = |e: std::io::Error| Error::refused(because("Cannot write to stdout", e));
    let mut first = true;
    engine::usage::differences(&mut site, &args.version_uid1, &args.version_uid2, &mut |id, difference| {
        let written = if context.json {
            let begin = if std::mem::take(&mut first) { "{\"blocks\":[" } else { "," };
            write!(output, "{begin}{}", json!({"id": id, "difference": word(difference)}))
        } else {
            writeln!(output, "{:<9} {id}", words(difference))
        };
        written.map_err(failed)
    })?;
    if context.json {
        let begin = if first { "{\"blocks\":[" } else { "" };
        writeln!(output, "{begin}]}}").map_err(failed)?;
    }
    output.flush().map_err(failed)?;
    Ok(Outcome::Done)
}

fn words(difference: Difference) -> &'static str {
    match difference {
        Difference::Same => "SAME",
        Difference::Differs => "DIFF",
        Difference::OnlyLeft => "NEW LEFT",
        Difference::OnlyRight => "NEW RIGHT",
    }
}

fn word(difference: Difference) -> &'static str {
    match difference {
        Difference::Same => "same",
        Difference::Differs => "differs",
        Difference::OnlyLeft => "only_left",
        Difference::OnlyRight => "only_right",
    }
}
