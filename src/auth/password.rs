//! Salted hashes of passwords, in RabbitMQ's three formats.

use broker_core::access::HashAlgorithm;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

const SALT_BYTES: usize = 4;

/// A new hash of a password: salt, then SHA-256 of salt and password.
pub fn hash(password: &str) -> Vec<u8> {
    let random = super::random();
    let mut salted = random[..SALT_BYTES].to_vec();
    let digest = digest(&salted, password, HashAlgorithm::Sha256);
    salted.extend_from_slice(&digest);
    salted
}

/// Whether the password is the one that was hashed. An empty hash, or an empty password, never
/// fits (RabbitMQ's rule).
pub fn verify(password: &str, hash: &[u8], algorithm: HashAlgorithm) -> bool {
    if hash.len() <= SALT_BYTES || password.is_empty() {
        spend_time(password);
        return false;
    }
    let (salt, expected) = hash.split_at(SALT_BYTES);
    equal(&digest(salt, password, algorithm), expected)
}

/// Does the work of a check whose outcome is known.
pub(super) fn spend_time(password: &str) {
    let digest = digest(&[0; SALT_BYTES], password, HashAlgorithm::Sha256);
    std::hint::black_box(digest);
}

fn digest(salt: &[u8], password: &str, algorithm: HashAlgorithm) -> Vec<u8> {
    fn of<D: Digest>(salt: &[u8], password: &str) -> Vec<u8> {
        let mut digest = D::new();
        digest.update(salt);
        digest.update(password.as_bytes());
        digest.finalize().to_vec()
    }
    match algorithm {
        HashAlgorithm::Sha256 => of::<Sha256>(salt, password),
        HashAlgorithm::Sha512 => of::<Sha512>(salt, password),
        HashAlgorithm::Md5 => of::<Md5>(salt, password),
    }
}

/// Compares without stopping at the first difference.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_hash_fits_its_password_only() {
        let hashed = hash("s3cret");
        assert_eq!(hashed.len(), SALT_BYTES + 32);
        assert!(verify("s3cret", &hashed, HashAlgorithm::Sha256));
        assert!(!verify("s3cre", &hashed, HashAlgorithm::Sha256));
        assert!(!verify("", &hashed, HashAlgorithm::Sha256));
        assert!(!verify("s3cret", &hashed, HashAlgorithm::Sha512));
        assert_ne!(hash("s3cret"), hashed, "the salt differs");
    }

    #[test]
    fn an_empty_hash_fits_nothing() {
        assert!(!verify("", b"", HashAlgorithm::Sha256));
        assert!(!verify("x", &[1, 2, 3, 4], HashAlgorithm::Sha256));
    }

    /// The worked example of RabbitMQ's documentation on password hashes.
    #[test]
    fn rabbitmqs_documented_example_fits() {
        let hashed = STANDARD
            .decode("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
            .expect("valid base64");
        assert!(verify("test12", &hashed, HashAlgorithm::Sha256));
    }
}
