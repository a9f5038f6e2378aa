//! Sources and targets that are given as bare paths: `vm1.img` for `./vm1.img`.

use std::borrow::Cow;
use std::path::Path;

/// The source that `text` means: a bare path of something that exists is that file.
pub(super) fn source(text: &str) -> Cow<'_, str> {
    if is_bare(text) && Path::new(text).exists() { local(text) } else { Cow::Borrowed(text) }
}

/// The target that `text` means: a bare path is a file, unless it could be the name of a version (`vm1:latest`).
pub(super) fn target(text: &str) -> Cow<'_, str> {
    if is_bare(text) && !text.contains(':') { local(text) } else { Cow::Borrowed(text) }
}

/// Whether the text is neither a URL nor a path that the engine takes for one.
fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("://")
        && !["/", "./", "../"].iter().any(|start| text.starts_with(start))
}

fn local(text: &str) -> Cow<'_, str> {
    Cow::Owned(format!("./{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_paths_are_files_here() {
        // Tests run in the folder of the project.
        assert_eq!(source("Cargo.toml"), "./Cargo.toml");
        assert_eq!(source("src/cli.rs"), "./src/cli.rs");
        assert_eq!(target("new.img"), "./new.img");
        assert_eq!(target("new folder/a?b.img"), "./new folder/a?b.img");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in
            ["", "nosuch.img", "/etc/passwd", "./Cargo.toml", "../x", "file://Cargo.toml", "null://5M"]
        {
            assert_eq!(source(text), text);
        }
        for text in ["", "/x", "./x", "../x", "rbd://pool/image", "vm1:latest", "vm1:1"] {
            assert_eq!(target(text), text);
        }
    }
}
