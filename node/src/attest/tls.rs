//! TLS of the service's listeners, and what its clients trust: TLS 1.3 only, no client keys.
//!
//! Who a client is, its bearer token says; TLS keeps token and answers from others on the way. A
//! certificate is believed because a file says so: one that signed it, or itself. There is no list
//! of authorities built in; the system's own is a file too.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

pub use rustls::ServerConfig;

/// Longest file of certificates or of a key, in bytes: a system's list of authorities fits.
pub const PEM_MAX_BYTES: usize = 1 << 20;
/// The one protocol that is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why certificates or a key are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or damaged.
    #[error("{what}: {error}")]
    Pem {
        /// What was read.
        what: &'static str,
        /// What is wrong.
        error: String,
    },
    /// No certificate in the file.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Key and certificate do not belong together, or the key is of a kind that is not spoken.
    #[error("the key is not the certificate's, or of a kind that TLS 1.3 does not take: {0}")]
    Key(Error),
    /// The library refuses.
    #[error("TLS: {0}")]
    Library(Error),
    /// A name that no certificate can bear.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
    /// A certificate could not be made.
    #[error("the certificate was not made: {0}")]
    Made(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| TlsError::Pem {
        what: "certificates",
        error: error.to_string(),
    })?;
    if all.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(all)
}

/// The server's side: its certificate, those that lead to an authority after it, and its key.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Pem {
        what: "key",
        error: error.to_string(),
    })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Library)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Key)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// Whom a client believes to be the service.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// Servers whose certificate is in this PEM text, or signed by one in it, and bears the name
    /// or address that is dialled.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn authorities(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(certificates(pem)?);
        if taken == 0 {
            return Err(TlsError::NoCertificate);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::Pem {
                what: "certificates",
                error: error.to_string(),
            })?;
        Self::of(verifier)
    }

    /// The server that shows this very certificate, whatever names it bears: for a process that
    /// was started by the server.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn pinned(pem: &[u8]) -> Result<Self, TlsError> {
        let certificate = certificates(pem)?.swap_remove(0);
        Self::of(Arc::new(Pinned {
            certificate,
            provider: provider(),
        }))
    }

    fn of(verifier: Arc<dyn ServerCertVerifier>) -> Result<Self, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Library)?
            .dangerous() // the library's word for naming the verifier
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

/// Believes one certificate, byte for byte, from whoever has its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if shown.as_ref() == self.certificate.as_ref() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A key with a certificate that it signed itself.
pub struct SelfSigned {
    /// The certificate, PEM: for the server, and for whoever is to trust it.
    pub certificate: String,
    /// The secret key, PKCS#8 PEM.
    pub key: String,
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelfSigned")
    }
}

/// Makes a P-256 key, which every browser takes, and a certificate for these host names and
/// addresses. `from` and `until` are days as `(year, month, day)`.
///
/// # Errors
/// [`TlsError::Name`], [`TlsError::Made`].
pub fn self_signed(
    names: &[String],
    from: (i32, u8, u8),
    until: (i32, u8, u8),
) -> Result<SelfSigned, TlsError> {
    for name in names {
        ServerName::try_from(name.as_str()).map_err(|_| TlsError::Name(name.clone()))?;
    }
    let made = |error: rcgen::Error| TlsError::Made(error.to_string());
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(made)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "quorate");
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    Ok(SelfSigned {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
