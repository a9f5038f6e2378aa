//! The account of this process, and libpq's password file, `~/.pgpass`.

use crate::sys::trust::{self, Accept};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The account of a user.
pub(super) struct Account {
    /// Name of the user.
    pub name: String,
    /// Home folder.
    pub home: PathBuf,
}

/// The account that the process runs as, if `/etc/passwd` has it.
pub(super) fn account() -> Option<Account> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [name, _, id, _, _, home, ..] if id == uid => {
                Some(Account { name: name.to_owned(), home: home.into() })
            }
            _ => None,
        }
    })
}

/// The password for a user of a database. `None`: there is no such file, or it has no matching line.
///
/// # Errors
/// Others can read or write the file. As libpq does, it is then not used; the text says why.
pub(super) fn password(
    file: &Path,
    host: &str,
    port: u16,
    database: &str,
    user: &str,
) -> Result<Option<String>, String> {
    let Ok(mut opened) = trust::open(file, Accept::Regular) else { return Ok(None) };
    if opened.metadata.mode() & 0o077 != 0 {
        return Err(format!("others can read {}. Run: chmod 600 {0}", file.display()));
    }
    let mut text = String::new();
    if opened.file.read_to_string(&mut text).is_err() {
        return Ok(None);
    }
    let wanted = [host, &port.to_string(), database, user];
    Ok(text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let (password, keys) = fields.split_last()?;
        let fits = keys.len() == 4 && keys.iter().zip(wanted).all(|(key, want)| key == "*" || key == want);
        fits.then(|| password.clone())
    }))
}

/// The five fields of a line, separated by colons; a backslash makes the next character an ordinary one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|f| f.extend(characters.next())),
            _ => fields.last_mut().into_iter().for_each(|f| f.push(c)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("pgpass");
        let find = |host, user| password(&file, host, 5432, "d", user);
        assert_eq!(find("h", "u"), Ok(None));
        fs::write(&file, "# comment\nh:5432:other:u:a\nh:*:d:u:p\\:w\\\\:x\n*:*:*:*:any\n").expect("write");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(find("h", "u"), Ok(Some("p:w\\:x".into())));
        assert_eq!(find("g", "u"), Ok(Some("any".into())));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(find("h", "u").expect_err("open to all").contains("chmod 600"));
    }

    #[test]
    fn the_process_has_an_account() {
        let account = account().expect("an account");
        assert!(!account.name.is_empty() && account.home.is_absolute());
    }
}
