//! The installation that the environment names, for command lines that name none.

use super::args::Global;
use std::ffi::OsString;

/// The folder of a self-contained installation, as with `-b`.
const DIR: &str = "BACKY2_DIR";
/// A configuration file, as with `-c`.
const CONFIG: &str = "BACKY2_CONFIG";

/// Adds the installation that the environment names, unless the options name one. `variable` looks a variable up; an
/// empty one counts as not set.
///
/// # Errors
/// Both variables are set. The text says so.
pub(super) fn complete(
    global: &mut Global,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), String> {
    if global.backupdir.is_some() || global.configfile.is_some() {
        return Ok(());
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match (set(DIR), set(CONFIG)) {
        (Some(_), Some(_)) => {
            Err(format!("the environment has both {DIR} and {CONFIG}, and only one can be used"))
        }
        (dir, config) => {
            global.backupdir = dir;
            global.configfile = config;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(mut global: Global, dir: &str, config: &str) -> Result<(String, String), String> {
        let variable = |name: &str| Some(if name == DIR { dir } else { config }.into());
        complete(&mut global, variable)?;
        let text = |value: Option<OsString>| value.unwrap_or_default().to_string_lossy().into_owned();
        Ok((text(global.backupdir), text(global.configfile)))
    }

    #[test]
    fn options_come_before_the_environment() {
        let pair = |dir: &str, config: &str| Ok((dir.to_owned(), config.to_owned()));
        assert_eq!(completed(Global::default(), "d", ""), pair("d", ""));
        assert_eq!(completed(Global::default(), "", "c"), pair("", "c"));
        assert_eq!(completed(Global::default(), "", ""), pair("", ""));
        assert!(completed(Global::default(), "d", "c").is_err_and(|text| text.contains(DIR)));
        let global = || Global { configfile: Some("mine".into()), ..Global::default() };
        assert_eq!(completed(global(), "d", "c"), pair("", "mine"));
        let global = || Global { backupdir: Some("mine".into()), ..Global::default() };
        assert_eq!(completed(global(), "", "c"), pair("mine", ""));
    }
}
