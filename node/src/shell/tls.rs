//! Links: TLS 1.3 with both sides authenticated by Ed25519 keys that the operator has named.
//!
//! There are no certificates: each side shows its raw public key (RFC 7250), the verifier compares
//! it with those it knows, byte for byte, and the handshake's signature is checked under it. The
//! application protocol names role and chain, so a link of another chain does not come about.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ed25519_dalek::Signer as _;
use quorate_verifier::primitives::ChainId;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureAlgorithm, SignatureScheme,
};

/// A machine's public network key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey(pub [u8; 32]);

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKey({self})")
    }
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Messages of the protocol, from the side that dialled.
    Peer,
    /// Requests and questions.
    Client,
    /// The certificate stream.
    Observer,
}

impl Role {
    const ALL: [Self; 3] = [Self::Peer, Self::Client, Self::Observer];

    /// The protocol's name in the handshake (ALPN), at most 66 bytes.
    fn protocol(self, chain: &ChainId) -> Vec<u8> {
        let role = match self {
            Self::Peer => "peer/2",
            Self::Client => "client/1",
            Self::Observer => "stream/1",
        };
        format!("quorate-{role}/{}", chain.as_str()).into_bytes()
    }

    fn of_protocol(name: &[u8], chain: &ChainId) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.protocol(chain) == name)
    }
}

/// The start of every Ed25519 `SubjectPublicKeyInfo` (RFC 8410); the key's 32 bytes follow.
const SPKI_START: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

fn spki_of(key: &NetworkKey) -> Vec<u8> {
    [SPKI_START.as_slice(), &key.0].concat()
}

fn key_of(spki: &[u8]) -> Option<NetworkKey> {
    let key = spki.strip_prefix(&SPKI_START)?;
    key.try_into().ok().map(NetworkKey)
}

/// One machine's own side of every link.
#[derive(Clone)]
pub struct Identity {
    key: NetworkKey,
    certified: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    chain: ChainId,
}

impl Identity {
    /// With the machine's secret network key, on one chain.
    pub fn new(secret: ed25519_dalek::SigningKey, chain: ChainId) -> Self {
        let key = NetworkKey(secret.verifying_key().to_bytes());
        let shown = vec![CertificateDer::from(spki_of(&key))];
        let signing = Arc::new(LinkKey {
            secret,
            spki: spki_of(&key),
        });
        Self {
            key,
            certified: Arc::new(CertifiedKey::new(shown, signing)),
            provider: Arc::new(provider()),
            chain,
        }
    }

    /// The public half.
    pub fn key(&self) -> NetworkKey {
        self.key
    }

    /// For dialling the machine with this very key.
    ///
    /// # Errors
    /// When the library refuses its own suites.
    pub fn client_config(&self, server: NetworkKey, role: Role) -> Result<ClientConfig, Error> {
        let pinned = Pinned {
            keys: BTreeMap::from([(server, ())]),
            provider: self.provider.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // the library's word for a verifier of one's own
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.certified.clone(),
            )));
        config.alpn_protocols = vec![role.protocol(&self.chain)];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }

    /// For machines with one of these keys.
    ///
    /// # Errors
    /// When the library refuses its own suites.
    pub fn server_config(
        &self,
        known: impl IntoIterator<Item = NetworkKey>,
    ) -> Result<ServerConfig, Error> {
        let pinned = Pinned {
            keys: known.into_iter().map(|key| (key, ())).collect(),
            provider: self.provider.clone(),
        };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(pinned))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                self.certified.clone(),
            )));
        config.alpn_protocols = Role::ALL.map(|role| role.protocol(&self.chain)).to_vec();
        // Every link has a handshake of its own: no tickets, nothing resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Who is on the other side of an accepted link, and what for; `None` if the handshake left
    /// either open.
    pub fn accepted(&self, link: &rustls::ServerConnection) -> Option<(NetworkKey, Role)> {
        let shown = link.peer_certificates()?.first()?;
        let role = Role::of_protocol(link.alpn_protocol()?, &self.chain)?;
        Some((key_of(shown)?, role))
    }

    /// Whether a dialled link speaks the protocol that was asked for.
    pub fn agreed(&self, link: &rustls::ClientConnection, role: Role) -> bool {
        link.alpn_protocol() == Some(&role.protocol(&self.chain))
    }
}

/// X25519 and AES-GCM or ChaCha20-Poly1305, Ed25519 signatures.
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    }
}

/// The name that a dialling library wants; keys are what is checked.
///
/// # Panics
/// Never: the name is one.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("quorate").expect("a name of letters")
}

/// Signs handshakes with the network key.
struct LinkKey {
    secret: ed25519_dalek::SigningKey,
    spki: Vec<u8>,
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey")
    }
}

impl rustls::sign::SigningKey for LinkKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| {
            let signer = LinkSigner(self.secret.clone());
            Box::new(signer) as Box<dyn rustls::sign::Signer>
        })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

struct LinkSigner(ed25519_dalek::SigningKey);

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSigner")
    }
}

impl rustls::sign::Signer for LinkSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Accepts the keys that it was told, and no others.
#[derive(Debug)]
struct Pinned {
    keys: BTreeMap<NetworkKey, ()>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check_key(&self, shown: &[u8], chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let known = key_of(shown).is_some_and(|key| self.keys.contains_key(&key));
        if known && chain.is_empty() {
            Ok(())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme != SignatureScheme::ED25519 {
            return Err(CertificateError::BadSignature.into());
        }
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(shown.as_ref()),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn no_tls12() -> Error {
    Error::General("only TLS 1.3 is spoken".into())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(shown, chain)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(shown, chain)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn chain(name: &str) -> ChainId {
        ChainId::new(&format!("{name}-0123456789abcdef")).expect("a chain id")
    }

    fn identity(seed: u8) -> Identity {
        Identity::new(SigningKey::from_bytes(&[seed; 32]), chain("one"))
    }

    /// Both sides of a handshake in memory; answers what the server saw, or who refused.
    fn shake(
        client: ClientConfig,
        server: ServerConfig,
    ) -> Result<rustls::ServerConnection, String> {
        let mut dials = rustls::ClientConnection::new(Arc::new(client), server_name())
            .map_err(|e| e.to_string())?;
        let mut accepts =
            rustls::ServerConnection::new(Arc::new(server)).map_err(|e| e.to_string())?;
        for _ in 0..8 {
            let mut bytes = Vec::new();
            while dials.wants_write() {
                dials.write_tls(&mut bytes).map_err(|e| e.to_string())?;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                accepts.read_tls(&mut rest).map_err(|e| e.to_string())?;
            }
            accepts
                .process_new_packets()
                .map_err(|e| format!("server: {e}"))?;
            let mut bytes = Vec::new();
            while accepts.wants_write() {
                accepts.write_tls(&mut bytes).map_err(|e| e.to_string())?;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                dials.read_tls(&mut rest).map_err(|e| e.to_string())?;
            }
            dials
                .process_new_packets()
                .map_err(|e| format!("client: {e}"))?;
        }
        if dials.is_handshaking() || accepts.is_handshaking() {
            return Err("unfinished".into());
        }
        Ok(accepts)
    }

    #[test]
    fn the_server_learns_key_and_role() {
        let (dials, accepts) = (identity(1), identity(2));
        let client = dials
            .client_config(accepts.key(), Role::Observer)
            .expect("suites");
        let server = accepts.server_config([dials.key()]).expect("suites");
        let link = shake(client, server).expect("both know each other");
        assert_eq!(accepts.accepted(&link), Some((dials.key(), Role::Observer)));
        assert_eq!(
            link.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }

    #[test]
    fn strangers_are_refused_on_either_side() {
        let (dials, accepts, other) = (identity(1), identity(2), identity(3));
        let client = dials
            .client_config(accepts.key(), Role::Peer)
            .expect("suites");
        let server = accepts.server_config([other.key()]).expect("suites");
        let error = shake(client, server).expect_err("an unknown client");
        assert!(error.starts_with("server:"), "{error}");
        let client = dials
            .client_config(other.key(), Role::Peer)
            .expect("suites");
        let server = accepts.server_config([dials.key()]).expect("suites");
        let error = shake(client, server).expect_err("another server");
        assert!(error.starts_with("client:"), "{error}");
    }

    /// A machine that shows a key which it does not have.
    fn impostor(shown: &Identity, has: u8) -> Identity {
        let signing = Arc::new(LinkKey {
            secret: SigningKey::from_bytes(&[has; 32]),
            spki: spki_of(&shown.key),
        });
        let cert = vec![CertificateDer::from(spki_of(&shown.key))];
        Identity {
            certified: Arc::new(CertifiedKey::new(cert, signing)),
            ..shown.clone()
        }
    }

    #[test]
    fn the_key_that_is_shown_has_to_sign() {
        let (dials, accepts) = (identity(1), identity(2));
        let client = impostor(&dials, 9);
        let client = client
            .client_config(accepts.key(), Role::Peer)
            .expect("suites");
        let server = accepts.server_config([dials.key()]).expect("suites");
        let error = shake(client, server).expect_err("a stolen client name");
        assert!(error.contains("BadSignature"), "{error}");
        let server = impostor(&accepts, 9)
            .server_config([dials.key()])
            .expect("suites");
        let client = dials
            .client_config(accepts.key(), Role::Peer)
            .expect("suites");
        let error = shake(client, server).expect_err("a stolen server name");
        assert!(error.contains("BadSignature"), "{error}");
    }

    #[test]
    fn a_link_of_another_chain_does_not_come_about() {
        let dials = Identity::new(SigningKey::from_bytes(&[1; 32]), chain("two"));
        let accepts = identity(2);
        let client = dials
            .client_config(accepts.key(), Role::Peer)
            .expect("suites");
        let server = accepts.server_config([dials.key()]).expect("suites");
        let error = shake(client, server).expect_err("another chain");
        assert!(error.contains("known protocol"), "{error}");
    }

    #[test]
    fn a_client_without_a_key_is_refused() {
        let accepts = identity(2);
        let pinned = Pinned {
            keys: BTreeMap::from([(accepts.key(), ())]),
            provider: Arc::new(provider()),
        };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("suites")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        client.alpn_protocols = vec![Role::Client.protocol(&chain("one"))];
        let server = accepts.server_config([identity(1).key()]).expect("suites");
        let error = shake(client, server).expect_err("no key");
        assert!(error.starts_with("server:"), "{error}");
    }
}
