//! Certificates and keys in PEM files. Errors name the file.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;

/// The certificates in a file, in their order; at least one.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(|all| all.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: it contains no certificate", path.display())),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// The first private key in a file.
///
/// # Errors
/// The file cannot be read, or has no key.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The lists of revoked certificates in a file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let read = CertificateRevocationListDer::pem_file_iter(path).and_then(|all| all.collect());
    read.map_err(|e| format!("{}: {e}", path.display()))
}

/// Trusted authorities, made from their certificates.
///
/// # Errors
/// None of the certificates can be used.
pub(crate) fn authorities(found: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(found) {
        (0, _) => Err("no certificate of an authority was found".to_owned()),
        _ => Ok(roots),
    }
}
