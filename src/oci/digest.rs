//! Content digests as the OCI image specification defines them (descriptor.md, "Digests").

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A digest algorithm whose bytes this program can hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the one that every registry uses.
    Sha256,
    /// SHA-384, registered by distribution although not by the image specification.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// `algorithm:encoded`. Raw bytes are kept, not text: a walk holds every digest of a repository at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Sha256([u8; 32]),
    Sha384(Box<[u8; 48]>),
    Sha512(Box<[u8; 64]>),
    /// Well-formed, of an algorithm that this program cannot hash.
    Other(Box<str>),
}

/// The bytes alone, at once: a walk looks each digest up several times.
impl Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest (expected algorithm:encoded, such as sha256: and 64 hexadecimal digits)")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The algorithm, or `None` for one that cannot be hashed here.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self.0 {
            Form::Sha256(_) => Some(Algorithm::Sha256),
            Form::Sha384(_) => Some(Algorithm::Sha384),
            Form::Sha512(_) => Some(Algorithm::Sha512),
            Form::Other(_) => None,
        }
    }

    /// The SHA-256 digest of some bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Form::Sha256(sha2::Sha256::digest(bytes).into()))
    }

    /// The digest of some bytes in a given algorithm.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest's own bytes; for an algorithm that cannot be hashed, its text.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Sha256(raw) => raw,
            Form::Sha384(raw) => raw.as_slice(),
            Form::Sha512(raw) => raw.as_slice(),
            Form::Other(text) => text.as_bytes(),
        }
    }

    /// The digest that [`Digest::algorithm`] and [`Digest::as_bytes`] gave these of; `None` if no digest did.
    pub fn from_bytes(algorithm: Option<Algorithm>, bytes: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Some(Algorithm::Sha256) => Form::Sha256(bytes.try_into().ok()?),
            Some(Algorithm::Sha384) => Form::Sha384(Box::new(bytes.try_into().ok()?)),
            Some(Algorithm::Sha512) => Form::Sha512(Box::new(bytes.try_into().ok()?)),
            None => return std::str::from_utf8(bytes).ok().and_then(parse).filter(|it| it.algorithm().is_none()),
        }))
    }
}

/// Hashes bytes as they come.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(Box<sha2::Sha384>),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Box::default()),
            Algorithm::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha384(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything that was taken.
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Sha256(hasher) => Form::Sha256(hasher.finalize().into()),
            State::Sha384(hasher) => Form::Sha384(Box::new(hasher.finalize().into())),
            State::Sha512(hasher) => Form::Sha512(Box::new(hasher.finalize().into())),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, raw) = match (&self.0, self.algorithm()) {
            (Form::Other(text), _) => return f.write_str(text),
            (_, Some(algorithm)) => (algorithm, self.as_bytes()),
            (_, None) => return Ok(()),
        };
        // At once: every URL holds one, and the formatter takes longer for 33 pieces than for two.
        let mut hex = [0; 128];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(raw) {
            digits.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        let hex = std::str::from_utf8(&hex[..2 * raw.len()]).map_err(|_| fmt::Error)?;
        f.write_str(algorithm.as_str())?;
        f.write_str(":")?;
        f.write_str(hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        parse(text).ok_or_else(|| DigestError { text: text.chars().take(200).collect() })
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn parse(text: &str) -> Option<Digest> {
    let (name, encoded) = text.split_once(':')?;
    match name {
        "sha256" => return Some(Digest(Form::Sha256(lower_hex(encoded)?))),
        "sha384" => return Some(Digest(Form::Sha384(Box::new(lower_hex(encoded)?)))),
        "sha512" => return Some(Digest(Form::Sha512(Box::new(lower_hex(encoded)?)))),
        _ => {}
    }
    let algorithm_is_legal = name
        .split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    let encoded_is_legal =
        !encoded.is_empty() && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'));
    (algorithm_is_legal && encoded_is_legal && text.len() <= 512).then(|| Digest(Form::Other(text.into())))
}

/// Decodes in place: a storage scan reads some digests for each of a million links.
fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != N * 2 {
        return None;
    }
    let mut raw = [0; N];
    for (byte, pair) in raw.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(raw)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"{}");
            assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            assert_eq!(digest.algorithm(), Some(algorithm));
            assert_eq!(Digest::from_bytes(digest.algorithm(), digest.as_bytes()), Some(digest));
        }
        assert_eq!(
            Digest::sha256(b"{}").to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn an_unknown_algorithm_is_a_digest_that_cannot_be_hashed() {
        let digest: Digest = "blake3+b64:abc_DEF=-".parse().unwrap();
        assert_eq!(digest.algorithm(), None);
        assert_eq!(digest.to_string(), "blake3+b64:abc_DEF=-");
        assert_eq!(Digest::from_bytes(None, digest.as_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(None, b"sha256"), None);
    }

    #[test]
    fn refuses_what_is_no_digest() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let short = format!("sha256:{}", "a".repeat(63));
        for text in ["", "sha256", "sha256:", ":abc", "SHA256:abc", "a..b:c", "x:a/b", "../..:a", &upper, &short] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
