//! Ed25519 keys in files: PKCS#8 for secret ones, SPKI for public ones, as OpenSSL reads them.
//!
//! `docs/decisions/0006-key-files.md` says why version 1, and why these scrypt parameters.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::pkcs8::{KeypairBytes, PublicKeyBytes};
use pkcs8::der::{Decode, pem::LineEnding};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Salt, ScryptParams};
use pkcs8::{EncodePrivateKey, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use quorate_verifier::json;
use quorate_verifier::signature::VoteKey;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files::{self, Source};

/// No key file is longer, whatever its encryption and comments.
pub(crate) const KEY_FILE_MAX_BYTES: usize = 1 << 16;
/// Longest passphrase.
const PASSPHRASE_MAX_BYTES: usize = 1024;

/// scrypt with N = 2^14, r = 8, p = 5: 16 MiB, and the work of OWASP's table.
const SCRYPT_N: u64 = 1 << 14;
const SCRYPT_R: u16 = 8;
const SCRYPT_P: u16 = 5;
/// Most memory that a file may make us take for its passphrase: a limit on hostile files.
const SCRYPT_MAX_BYTES: u128 = 256 << 20;
/// Most work, as N·r·p, 64 times ours.
const SCRYPT_MAX_WORK: u128 = 64 * (1 << 14) * 8 * 5;
/// Most rounds of PBKDF2 that a file may ask for.
const PBKDF2_MAX_ROUNDS: u32 = 10_000_000;

/// What a key file holds, as far as it can be told without a passphrase.
pub(crate) enum KeyFile {
    /// A secret key in the clear.
    Secret(SigningKey),
    /// A secret key under a passphrase.
    Encrypted(Encrypted),
    /// A public key.
    Public(VoteKey),
}

/// A PKCS#8 key whose encryption is one that we take.
pub(crate) struct Encrypted {
    der: SecretDocument,
    /// Key derivation and cipher, in words.
    pub(crate) scheme: String,
}

impl KeyFile {
    /// Reads PEM or DER.
    ///
    /// The error is a rule in words: whose file it is, the caller knows.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((label, der)) = pem(bytes)? else {
            return Self::from_der(bytes);
        };
        match label.as_str() {
            "PRIVATE KEY" => secret_from_der(der.as_bytes()).map(Self::Secret),
            "ENCRYPTED PRIVATE KEY" => encrypted_from_der(der.as_bytes()).map(Self::Encrypted),
            "PUBLIC KEY" => public_from_der(der.as_bytes()).map(Self::Public),
            other => Err(format!(
                "a PEM file of {other:?}; a PKCS#8 or public key is needed"
            )),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        if PrivateKeyInfoRef::from_der(der).is_ok() {
            return secret_from_der(der).map(Self::Secret);
        }
        if EncryptedPrivateKeyInfoRef::from_der(der).is_ok() {
            return encrypted_from_der(der).map(Self::Encrypted);
        }
        if let Ok(key) = public_from_der(der) {
            return Ok(Self::Public(key));
        }
        Err("not a key: neither PEM nor DER of a PKCS#8 or public key".into())
    }
}

impl Encrypted {
    fn open(&self, passphrase: &[u8]) -> Result<SigningKey, String> {
        let wrong = "the passphrase does not open this key";
        let info = EncryptedPrivateKeyInfoRef::from_der(self.der.as_bytes())
            .map_err(|error| error.to_string())?;
        let der = info.decrypt(passphrase).map_err(|_| wrong.to_string())?;
        // A wrong passphrase leaves good padding once in 256 times, and then no key.
        PrivateKeyInfoRef::from_der(der.as_bytes()).map_err(|_| wrong.to_string())?;
        secret_from_der(der.as_bytes())
    }
}

/// The label and content of a PEM file; `None` for what does not look like one.
fn pem(bytes: &[u8]) -> Result<Option<(String, SecretDocument)>, String> {
    const BEGIN: &str = "-----BEGIN ";
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(None);
    };
    // OpenSSL and others write attributes before the key.
    let Some(start) = text.find(BEGIN) else {
        return Ok(None);
    };
    let text = &text[start..];
    let (label, document) =
        SecretDocument::from_pem(text).map_err(|error| format!("damaged PEM: {error}"))?;
    Ok(Some((label.to_string(), document)))
}

fn secret_from_der(der: &[u8]) -> Result<SigningKey, String> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|e| format!("damaged PKCS#8: {e}"))?;
    let pair =
        KeypairBytes::try_from(info).map_err(|error| format!("not an Ed25519 key: {error}"))?;
    // Refuses a version 2 file whose public key is another one's.
    SigningKey::try_from(pair).map_err(|_| "the file's public key is not its secret key's".into())
}

fn encrypted_from_der(der: &[u8]) -> Result<Encrypted, String> {
    let info =
        EncryptedPrivateKeyInfoRef::from_der(der).map_err(|e| format!("damaged PKCS#8: {e}"))?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err("encrypted by PBES1, which is broken; use PBES2".into());
    };
    let scheme = check_cost(parameters)?;
    let der = SecretDocument::try_from(der).map_err(|error| error.to_string())?;
    Ok(Encrypted { der, scheme })
}

/// Refuses a file that would take hours or gigabytes before its passphrase can be judged.
fn check_cost(parameters: &pbes2::Parameters) -> Result<String, String> {
    let kdf = match &parameters.kdf {
        Kdf::Scrypt(scrypt) => {
            let (n, r, p) = (
                scrypt.cost_parameter,
                scrypt.block_size,
                scrypt.parallelization,
            );
            let work = u128::from(n) * u128::from(r);
            if 128 * work > SCRYPT_MAX_BYTES || work * u128::from(p) > SCRYPT_MAX_WORK {
                return Err(format!(
                    "scrypt with N = {n}, r = {r}, p = {p} costs too much to try"
                ));
            }
            format!("scrypt N = {n}, r = {r}, p = {p}")
        }
        Kdf::Pbkdf2(pbkdf2) => {
            let rounds = pbkdf2.iteration_count;
            if rounds > PBKDF2_MAX_ROUNDS {
                return Err(format!("PBKDF2 with {rounds} rounds costs too much to try"));
            }
            format!("PBKDF2, {rounds} rounds")
        }
        _ => return Err("a key derivation that is neither scrypt nor PBKDF2".into()),
    };
    let cipher = match parameters.encryption {
        pbes2::EncryptionScheme::Aes128Cbc { .. } => "AES-128-CBC",
        pbes2::EncryptionScheme::Aes192Cbc { .. } => "AES-192-CBC",
        pbes2::EncryptionScheme::Aes256Cbc { .. } => "AES-256-CBC",
        pbes2::EncryptionScheme::Aes128Gcm { .. } => "AES-128-GCM",
        pbes2::EncryptionScheme::Aes256Gcm { .. } => "AES-256-GCM",
        _ => return Err("a cipher that is not AES".into()),
    };
    Ok(format!("{kdf}; {cipher}"))
}

fn public_from_der(der: &[u8]) -> Result<VoteKey, String> {
    let key = PublicKeyBytes::from_public_key_der(der)
        .map_err(|error| format!("not an Ed25519 public key: {error}"))?;
    VoteKey::from_bytes(&key.to_bytes()).map_err(|error| error.to_string())
}

/// A fresh key from the operating system's randomness.
pub(crate) fn generate() -> Result<SigningKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(Failure::Randomness)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Failure::Randomness)?;
    Ok(bytes)
}

/// The public half, which is of prime order as every honestly made key is.
pub(crate) fn public(key: &SigningKey) -> VoteKey {
    VoteKey::from_bytes(key.verifying_key().as_bytes())
        .expect("a clamped multiple of the base point has prime order")
}

/// `-----BEGIN PRIVATE KEY-----`, or `ENCRYPTED` when there is a passphrase.
pub(crate) fn secret_pem(
    key: &SigningKey,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<String>, Failure> {
    let broken = "an Ed25519 key always has this encoding";
    // Version 1, without the public key: OpenSSL 3.0 does not read version 2.
    let pair = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let Some(passphrase) = passphrase else {
        return Ok(pair.to_pkcs8_pem(LineEnding::LF).expect(broken));
    };
    let parameters = pbes2::Parameters {
        kdf: Kdf::Scrypt(ScryptParams {
            salt: Salt::new(random::<16>()?).expect("16 bytes are a salt"),
            cost_parameter: SCRYPT_N,
            block_size: SCRYPT_R,
            parallelization: SCRYPT_P,
            key_length: None,
        }),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: random()? },
    };
    let der = pair.to_pkcs8_der().expect(broken);
    let info = PrivateKeyInfoRef::from_der(der.as_bytes()).expect(broken);
    let encrypted = info
        .encrypt_with_params(parameters, &passphrase.0)
        .expect(broken);
    Ok(encrypted
        .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        .expect(broken))
}

/// `-----BEGIN PUBLIC KEY-----`.
pub(crate) fn public_pem(key: &VoteKey) -> String {
    PublicKeyBytes(*key.as_bytes())
        .to_public_key_pem(LineEnding::LF)
        .expect("an Ed25519 key always has this encoding")
}

/// A passphrase, from a file or stdin and never from the command line.
pub(crate) struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The first line of a file that has one line.
    pub(crate) fn read(source: &Source) -> Result<Self, Failure> {
        let mut bytes = source.read(PASSPHRASE_MAX_BYTES + 2)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let wrong = |rule: &str| Failure::Key {
            name: source.name(),
            rule: rule.into(),
        };
        if bytes.is_empty() {
            return Err(wrong("the passphrase is empty"));
        }
        if bytes.len() > PASSPHRASE_MAX_BYTES {
            return Err(wrong("the passphrase is longer than 1024 bytes"));
        }
        if bytes.contains(&b'\n') {
            return Err(wrong("a passphrase is one line"));
        }
        Ok(Self(bytes))
    }
}

/// A secret key from a file, and what is worth a warning about that file.
pub(crate) fn load_secret(
    source: &Source,
    passphrase: Option<&Source>,
) -> Result<(SigningKey, Option<String>), Failure> {
    let wrong = |rule: String| Failure::Key {
        name: source.name(),
        rule,
    };
    let bytes = source.read(KEY_FILE_MAX_BYTES)?;
    let key = match (KeyFile::parse(&bytes).map_err(wrong)?, passphrase) {
        (KeyFile::Secret(key), None) => key,
        (KeyFile::Secret(_), Some(_)) => {
            return Err(wrong(
                "the key is not encrypted, but a passphrase was given".into(),
            ));
        }
        (KeyFile::Encrypted(key), Some(passphrase)) => {
            key.open(&Passphrase::read(passphrase)?.0).map_err(wrong)?
        }
        (KeyFile::Encrypted(_), None) => {
            return Err(wrong(
                "the key is encrypted: its passphrase file is needed".into(),
            ));
        }
        (KeyFile::Public(_), _) => return Err(wrong("this is a public key".into())),
    };
    Ok((key, warning_about(source)))
}

fn warning_about(source: &Source) -> Option<String> {
    let Source::File(path) = source else {
        return None;
    };
    files::is_open_to_others(path)
        .then(|| format!("{} can be read by other users: chmod 600", path.display()))
}

/// A public key: 64 hex digits, or a file with a public key or a secret key in the clear.
pub(crate) fn load_public(text: &std::ffi::OsStr) -> Result<VoteKey, Failure> {
    if let Some(bytes) = text
        .to_str()
        .and_then(|text| json::parse_hex::<32>(text).ok())
    {
        return VoteKey::from_bytes(&bytes)
            .map_err(|error| Failure::usage(format!("the key that was given: {error}")));
    }
    let source = Source::from(text.to_os_string());
    let wrong = |rule: String| Failure::Key {
        name: source.name(),
        rule,
    };
    match KeyFile::parse(&source.read(KEY_FILE_MAX_BYTES)?).map_err(wrong)? {
        KeyFile::Public(key) => Ok(key),
        KeyFile::Secret(key) => Ok(public(&key)),
        KeyFile::Encrypted(_) => Err(wrong(
            "the key is encrypted: give its public key, in the .pub file beside it".into(),
        )),
    }
}

/// Where a key's public half is written: `FILE.pub`.
pub(crate) fn public_path(secret: &std::path::Path) -> PathBuf {
    let mut name = secret.as_os_str().to_os_string();
    name.push(".pub");
    name.into()
}

/// 64 hex digits.
pub(crate) fn hex(key: &VoteKey) -> String {
    hex::encode(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3: the same key as version 1 and as version 2 with its public key.
    const RFC8410_V1: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
    const RFC8410_V2: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
    const RFC8410_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    fn secret(bytes: &[u8]) -> SigningKey {
        match KeyFile::parse(bytes) {
            Ok(KeyFile::Secret(key)) => key,
            Ok(_) => panic!("not a secret key in the clear"),
            Err(rule) => panic!("{rule}"),
        }
    }

    #[test]
    fn rfc_8410_keys_are_read_in_both_versions() {
        for text in [RFC8410_V1, RFC8410_V2] {
            assert_eq!(hex(&public(&secret(text.as_bytes()))), RFC8410_PUBLIC);
            let (_, der) = SecretDocument::from_pem(text).expect("good PEM");
            assert_eq!(hex(&public(&secret(der.as_bytes()))), RFC8410_PUBLIC);
        }
        let ours = secret_pem(&secret(RFC8410_V1.as_bytes()), None).expect("no passphrase");
        assert_eq!(*ours, RFC8410_V1);
    }

    #[test]
    fn a_version_2_file_with_another_public_key_is_refused() {
        let (_, der) = SecretDocument::from_pem(RFC8410_V2).expect("good PEM");
        let mut der = der.as_bytes().to_vec();
        let last = der.len() - 20;
        der[last] ^= 1;
        let Err(rule) = KeyFile::parse(&der) else {
            panic!("accepted")
        };
        assert!(rule.contains("public key"), "{rule}");
    }

    #[test]
    fn passphrases_open_what_they_closed() {
        let key = generate().expect("randomness");
        let passphrase = Passphrase(Zeroizing::new(b"correct horse".to_vec()));
        let pem = secret_pem(&key, Some(&passphrase)).expect("randomness");
        let Ok(KeyFile::Encrypted(encrypted)) = KeyFile::parse(pem.as_bytes()) else {
            panic!("not encrypted")
        };
        assert_eq!(
            encrypted.scheme,
            "scrypt N = 16384, r = 8, p = 5; AES-256-CBC"
        );
        let opened = encrypted
            .open(b"correct horse")
            .expect("the right passphrase");
        assert_eq!(opened.to_bytes(), key.to_bytes());
        for wrong in [&b""[..], b"correct", b"correct horse "] {
            assert!(encrypted.open(wrong).is_err());
        }
    }

    #[test]
    fn a_passphrase_that_costs_too_much_is_not_tried() {
        let costs = |cost_parameter, block_size, parallelization| {
            check_cost(&pbes2::Parameters {
                kdf: Kdf::Scrypt(ScryptParams {
                    salt: Salt::new([0; 16]).expect("16 bytes are a salt"),
                    cost_parameter,
                    block_size,
                    parallelization,
                    key_length: None,
                }),
                encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] },
            })
        };
        assert!(costs(SCRYPT_N, SCRYPT_R, SCRYPT_P).is_ok());
        assert!(
            costs(1 << 17, 8, 1).is_ok(),
            "OpenSSL's and OWASP's larger choice"
        );
        assert!(costs(1 << 40, 8, 1).is_err());
        assert!(costs(1 << 14, u16::MAX, 1).is_err());
        assert!(costs(1 << 14, 8, u16::MAX).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = RFC8410_V1.as_bytes();
        for end in 0..good.len() - 1 {
            assert!(KeyFile::parse(&good[..end]).is_err(), "cut at {end}");
        }
        let (_, der) = SecretDocument::from_pem(RFC8410_V1).expect("good PEM");
        for at in 0..16 {
            for value in 0..=255 {
                let mut bytes = der.as_bytes().to_vec();
                if bytes[at] == value {
                    continue;
                }
                bytes[at] = value;
                assert!(KeyFile::parse(&bytes).is_err(), "byte {at} = {value}");
            }
        }
    }
}
