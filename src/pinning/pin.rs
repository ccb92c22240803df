//! A pin: the digest of a public key or of a certificate.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256, Sha512};

use super::error::Invalid;

/// What a pin is the digest of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The `SubjectPublicKeyInfo`: the key, whichever certificate carries it (RFC 7469, section
    /// 2.4).
    Spki,
    /// The whole certificate: a renewal changes it even if the key stays.
    Certificate,
}

/// The digest's algorithm. SHA-1 and MD5 are broken and have no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

/// The digest that a key or certificate must have.
///
/// Displays as its canonical text, which parses back to the same pin: `sha256/BASE64` for the
/// SHA-256 of a key, else `spki:sha512:HEX`, `cert:sha256:HEX` or `cert:sha512:HEX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pin {
    target: Target,
    digest: Digest,
}

/// Inline, so that a policy of many pins is one allocation a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Pin {
    /// The pin of a key, given as the DER of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn of_spki(algorithm: Algorithm, spki_der: &[u8]) -> Self {
        Self { target: Target::Spki, digest: Digest::of(algorithm, spki_der) }
    }

    /// The pin of a certificate, given as DER.
    #[must_use]
    pub fn of_certificate(algorithm: Algorithm, der: &[u8]) -> Self {
        Self { target: Target::Certificate, digest: Digest::of(algorithm, der) }
    }

    /// The pin with this digest, or `None` if its length is not the algorithm's.
    #[must_use]
    pub fn from_digest(target: Target, algorithm: Algorithm, digest: &[u8]) -> Option<Self> {
        let digest = match algorithm {
            Algorithm::Sha256 => Digest::Sha256(digest.try_into().ok()?),
            Algorithm::Sha512 => Digest::Sha512(digest.try_into().ok()?),
        };
        Some(Self { target, digest })
    }

    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.digest {
            Digest::Sha256(_) => Algorithm::Sha256,
            Digest::Sha512(_) => Algorithm::Sha512,
        }
    }

    #[must_use]
    pub fn digest(&self) -> &[u8] {
        match &self.digest {
            Digest::Sha256(bytes) => bytes,
            Digest::Sha512(bytes) => bytes,
        }
    }

    /// Whether this is the pin of that key or, where its DER is known, of that certificate.
    ///
    /// A trust anchor may be known as name and key alone: no certificate pin matches it then.
    #[must_use]
    pub fn matches(&self, spki: &[u8], der: Option<&[u8]>) -> bool {
        let pinned = match self.target {
            Target::Spki => Some(spki),
            Target::Certificate => der,
        };
        pinned.is_some_and(|bytes| Digest::of(self.algorithm(), bytes) == self.digest)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = || HEXLOWER.encode(self.digest());
        match (self.target, self.algorithm()) {
            (Target::Spki, Algorithm::Sha256) => {
                write!(f, "sha256/{}", BASE64.encode(self.digest()))
            }
            (target, algorithm) => write!(f, "{target}:{algorithm}:{}", hex()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spki => "spki",
            Self::Certificate => "cert",
        })
    }
}

impl Algorithm {
    /// The length of its digests in bytes.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        })
    }
}

impl Digest {
    fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::digest(bytes).into()),
            Algorithm::Sha512 => Self::Sha512(Sha512::digest(bytes).into()),
        }
    }
}

/// Which position on the verified path may satisfy a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Any certificate on the path: the default.
    Any,
    /// The end-entity certificate alone.
    Leaf,
    /// An issuer on the path, the trust anchor included.
    Ca,
}

/// A pin, and the position that may satisfy it.
///
/// Displays as text that parses back to the same rule: the pin's own, or for one bound to a
/// position a TLSA record's data (`3 1 1 HEX` a leaf, `2 1 1 HEX` an issuer).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub pin: Pin,
    pub role: Role,
}

impl Rule {
    /// The rule in the list of a role. A TLSA record has a role of its own, which must not contradict the list's.
    ///
    /// # Errors
    ///
    /// It does.
    pub fn within(self, list: Role) -> Result<Self, Invalid> {
        match (self.role, list) {
            (_, Role::Any) => Ok(self),
            (own, list) if own == Role::Any || own == list => Ok(Self { role: list, ..self }),
            _ => Err(Invalid::new(
                "the TLSA usage contradicts the list it stands in",
                "usage 1 and 3 belong into `leaf`, 0 and 2 into `ca`; `pins` takes any",
            )),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = match self.role {
            Role::Any => return self.pin.fmt(f),
            Role::Leaf => 3,
            Role::Ca => 2,
        };
        let selector = match self.pin.target() {
            Target::Certificate => 0,
            Target::Spki => 1,
        };
        let matching = match self.pin.algorithm() {
            Algorithm::Sha256 => 1,
            Algorithm::Sha512 => 2,
        };
        write!(f, "{usage} {selector} {matching} {}", HEXLOWER.encode(self.pin.digest()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_digest_of_the_bytes_it_is_for() {
        // RFC 4231-style known answers: SHA-256 and SHA-512 of "abc" (FIPS 180-4).
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let pin = Pin::of_certificate(Algorithm::Sha256, b"abc");
        assert_eq!(pin.to_string(), format!("cert:sha256:{sha256}"));
        let pin = Pin::of_spki(Algorithm::Sha256, b"abc");
        assert_eq!(pin.to_string(), "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        let pin = Pin::of_spki(Algorithm::Sha512, b"abc");
        assert!(pin.to_string().starts_with("spki:sha512:ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn a_pin_matches_only_its_target() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let key = Pin::of_spki(algorithm, b"key");
            assert!(key.matches(b"key", None));
            assert!(key.matches(b"key", Some(b"certificate")));
            assert!(!key.matches(b"other", Some(b"key")));
            let certificate = Pin::of_certificate(algorithm, b"certificate");
            assert!(certificate.matches(b"key", Some(b"certificate")));
            assert!(!certificate.matches(b"certificate", Some(b"other")));
            assert!(!certificate.matches(b"certificate", None));
        }
    }

    #[test]
    fn a_digest_has_the_length_of_its_algorithm() {
        for (algorithm, length) in [(Algorithm::Sha256, 32), (Algorithm::Sha512, 64)] {
            assert_eq!(algorithm.length(), length);
            for wrong in [0, 20, length - 1, length + 1] {
                assert_eq!(Pin::from_digest(Target::Spki, algorithm, &vec![1; wrong]), None);
            }
            let pin = Pin::from_digest(Target::Spki, algorithm, &vec![1; length]);
            assert_eq!(pin.map(|pin| pin.digest().to_vec()), Some(vec![1; length]));
        }
    }
}
