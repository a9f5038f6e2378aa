//! TLS for the modes of `sslmode`.

use super::address::{Address, Verify};
use crate::pem;
use crate::types::reason::{Reason, because};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Makes the TLS connector for `address`.
///
/// # Errors
/// The reason names the setting and the file that cannot be used.
pub(super) fn connector(address: &Address) -> Result<MakeRustlsConnect, Reason> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| because("TLS cannot be used", e))?;
    let verifier: Arc<dyn ServerCertVerifier> = match address.verify {
        Verify::NoTls | Verify::Optional | Verify::Careful | Verify::Encrypted => {
            Arc::new(Lenient { provider, chain: None })
        }
        Verify::Authority | Verify::Full => {
            let roots = Arc::new(roots(address.root_certificates.as_deref())?);
            let full = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let full = full.build().map_err(|e| because("sslrootcert", e))?;
            match address.verify {
                Verify::Full => full,
                _ => Arc::new(Lenient { provider, chain: Some(full) }),
            }
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match &address.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = pem::private_key(key).map_err(|e| e.during("sslkey"))?;
            let chain = pem::certificates(certificate).map_err(|e| e.during("sslcert"))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| because("sslcert", e))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// The authorities in a file, or the system's.
fn roots(file: Option<&Path>) -> Result<RootCertStore, Reason> {
    let found = match file {
        Some(path) => pem::certificates(path).map_err(|e| e.during("sslrootcert"))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    pem::authorities(found).map_err(|e| e.advise("Name a file by sslrootcert=PATH"))
}

/// Verifies less than everything, as libpq does with the modes below `verify-full`: either the chain up to an authority
/// without the host name, or only that the server has the key of its certificate.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The host name is checked last, so the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
