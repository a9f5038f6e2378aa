//! `generate-docs`: makes completions and manual pages from the definitions of the commands.

use crate::cli::exit::Outcome;
use crate::cli::{grammar, manual};
use crate::sys::private;
use crate::sys::whole::Whole;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::settings::FileMode;
use clap_complete::{Generator, Shell};
use std::io::{self, Write};
use std::path::Path;

/// Writes the completions for three shells into `dir/completions` and the manual pages into `dir/man`. It needs no
/// configuration and prints nothing.
///
/// # Errors
/// A folder or a file cannot be written.
pub(crate) fn generate(dir: &Path) -> Result<Outcome> {
    completions(&dir.join("completions"))?;
    pages(&dir.join("man"))
        .map_err(|e| Error::refused(because(format!("cannot write into {}", dir.display()), e)))?;
    Ok(Outcome::Done)
}

/// The completions for a shell, as a script for it.
///
/// # Errors
/// None in practice, since the text is written to memory.
pub(crate) fn completion(shell: Shell) -> Result<String> {
    let mut grammar = grammar::documented();
    let name = grammar.get_name().to_owned();
    grammar.set_bin_name(&name);
    grammar.build();
    let mut text = Vec::new();
    shell.try_generate(&grammar, &mut text).map_err(|e| Error::internal(because("no completions", e)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn completions(dir: &Path) -> Result<()> {
    let failed = |e| Error::refused(because(format!("cannot write into {}", dir.display()), e));
    private::make_folders(dir, FileMode::PUBLIC).map_err(failed)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let file = dir.join(shell.file_name(env!("CARGO_PKG_NAME")));
        put(&file, completion(shell)?.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

fn pages(dir: &Path) -> io::Result<()> {
    private::make_folders(dir, FileMode::PUBLIC)?;
    for (name, text) in manual::pages()? {
        put(&dir.join(format!("{name}.1")), &text)?;
    }
    Ok(())
}

fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = Whole::begin(path, FileMode::PUBLIC)?;
    file.write_all(text)?;
    file.finish()
}
