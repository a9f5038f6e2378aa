//! Certificates and keys in PEM files. Errors name the file.

use crate::types::reason::{Reason, because};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;

/// The certificates in a file, in their order; at least one.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Reason> {
    all(path, "it contains no certificate")
}

/// The first private key in a file.
///
/// # Errors
/// The file cannot be read, or has no key.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Reason> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, error))
}

/// The lists of revoked certificates in a file; at least one.
///
/// # Errors
/// The file cannot be read, or has no list.
pub(crate) fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Reason> {
    all(path, "it contains no list of revoked certificates")
}

/// Trusted authorities, made from their certificates.
///
/// # Errors
/// None of the certificates can be used.
pub(crate) fn authorities(found: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Reason> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found) {
        (0, _) => Err("no certificate of an authority was found".into()),
        _ => Ok(roots),
    }
}

/// All sections of one kind. `none` is the text for a file that has none.
fn all<T: PemObject>(path: &Path, none: &str) -> Result<Vec<T>, Reason> {
    let read = T::pem_file_iter(path).and_then(|sections| sections.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: {none}", path.display()).into()),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: pem::Error) -> Reason {
    let path = path.display().to_string();
    match error {
        pem::Error::Io(error) => because(path, error),
        error => because(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn a_file_without_a_section_of_the_kind_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.pem");
        for text in ["", "no certificate", "-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n"] {
            std::fs::write(&path, text).expect("written");
            let errors = [
                certificates(&path).expect_err("no certificate"),
                private_key(&path).expect_err("no key"),
                revoked(&path).expect_err("no list"),
            ];
            for error in errors {
                assert!(error.line().contains("x.pem: "), "{}", error.line());
            }
        }
    }

    #[test]
    fn the_error_of_the_system_is_kept_as_the_cause() {
        let missing = Path::new("/nonexistent/x.pem");
        for error in [certificates(missing).err(), private_key(missing).err(), revoked(missing).err()] {
            let error = error.expect("there is no such file");
            let cause = error.cause().and_then(<dyn Error>::downcast_ref::<std::io::Error>);
            assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
            assert_eq!(error.line(), "/nonexistent/x.pem: No such file or directory");
        }
    }
}
