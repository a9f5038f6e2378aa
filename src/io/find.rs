//! Finds the files, devices and images that match a pattern.

use super::rbd;
use crate::config::IoConfig;
use crate::types::error::{Error, Result};
use crate::types::pattern;
use crate::types::reason::because;
use std::path::Path;

/// A source that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name of the file or image.
    pub name: String,
    /// The path or URL.
    pub url: String,
    /// Why the name cannot be used, as a sentence.
    pub problem: Option<String>,
}

/// The files or devices in a folder, or the RBD images in a pool, whose names match the last part of `pattern`, in the
/// order of their names. Names that begin with a dot, and folders, are left out. Names that would need quotes in a shell
/// cannot be used.
///
/// # Errors
/// [`Error::Source`]: the folder or the pool cannot be listed, or there is a `*` in another part.
pub(crate) fn find(pattern: &str, config: &IoConfig) -> Result<Vec<Entry>> {
    let bad = |problem: &str| Error::Source { url: pattern.to_owned(), reason: problem.into() };
    let path = pattern.strip_prefix("file://").unwrap_or(pattern);
    let Some((folder, last)) = path.rsplit_once('/') else {
        return Err(bad("it is not a path or an rbd:// URL with a pattern as its last part"));
    };
    if folder.contains(['*', '?']) {
        return Err(bad("only the last part of the path may have * or ?"));
    }
    let (names, prefix) = match folder.strip_prefix("rbd://") {
        Some(pool) => (rbd::images(pattern, pool, &config.rbd)?, format!("{folder}/")),
        None => (files(pattern, folder)?, format!("{folder}/")),
    };
    let mut found: Vec<Entry> = names
        .into_iter()
        .filter(|name| !name.starts_with('.') && pattern::matches(last, name))
        .map(|name| Entry { url: format!("{prefix}{name}"), problem: problem(&name), name })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Why a name cannot be used.
fn problem(name: &str) -> Option<String> {
    (!is_plain(name)).then(|| {
        format!(
            "The name {name:?} cannot be used: a name that a pattern finds may have only letters, digits and the \
             characters . _ + - : @, and does not begin with -. Rename it, or choose another pattern."
        )
    })
}

/// Whether a name can stand in a shell command as it is.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || "._+-:@".contains(c)) && !name.starts_with('-')
}

/// The names of the files and devices in `folder`, without its folders.
fn files(pattern: &str, folder: &str) -> Result<Vec<String>> {
    let failed = |error| Error::Source {
        url: pattern.to_owned(),
        reason: because("the folder cannot be read", error),
    };
    let folder = if folder.is_empty() { Path::new("/") } else { Path::new(folder) };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A link to a device is a device. What cannot be looked at may be one.
        let is_folder = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
        // A name that is no text matches no pattern.
        if let (false, Ok(name)) = (is_folder, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(pattern: &str) -> Result<Vec<String>> {
        find(pattern, &IoConfig::default()).map(|found| found.into_iter().map(|entry| entry.name).collect())
    }

    #[test]
    fn the_files_that_match_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display();
        for name in ["vm-2.img", "vm-1.img", "other", ".vm-3.img"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        fs::create_dir(folder.path().join("vm-4.img")).expect("made");
        assert_eq!(names(&format!("{path}/vm-*.img")).expect("found"), ["vm-1.img", "vm-2.img"]);
        assert_eq!(names(&format!("file://{path}/*")).expect("found").len(), 3);
        assert_eq!(names(&format!("{path}/nothing*")).expect("found"), [""; 0]);
        let found = find(&format!("{path}/oth?r"), &IoConfig::default()).expect("found");
        assert_eq!(found, [Entry { name: "other".into(), url: format!("{path}/other"), problem: None }]);
        for (pattern, why) in [
            ("*.img".to_owned(), "not a path"),
            (format!("{path}/*/x"), "only the last part"),
            (format!("{path}/none/*"), "cannot be read"),
        ] {
            let error = names(&pattern).expect_err("refused").line();
            assert!(error.contains(why) && error.contains(&pattern), "{error}");
        }
        fs::write(folder.path().join("vm-$(reboot).img"), "x").expect("written");
        let found = find(&format!("{path}/vm-*"), &IoConfig::default()).expect("found");
        let problems: Vec<_> = found.iter().filter_map(|entry| entry.problem.as_deref()).collect();
        assert!(found.len() == 3 && problems.len() == 1 && problems[0].contains("reboot"), "{found:?}");
    }
}
