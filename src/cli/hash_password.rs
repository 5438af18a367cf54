//! `leveret hash-password`: a password's hash as definitions files and the API hold it.
//!
//! The password comes from standard input: a command line is seen by other users and remembered by
//! shells.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::auth;

/// More than any client sends; a stream without an end is not read to it.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// The hash of the first line of `input`, in base64, with a line's end.
pub(super) fn hash_line(input: impl Read) -> io::Result<String> {
    let password = read_password(input)?;
    Ok(STANDARD.encode(auth::hash(&password)) + "\n")
}

/// The password on the first line of `input`.
pub(super) fn read_password(input: impl Read) -> io::Result<String> {
    let mut line = String::new();
    io::BufReader::new(input.take(PASSWORD_BYTES_MAX)).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        let why = "no password on standard input; an empty one is never accepted";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use broker_core::access::HashAlgorithm;

    use super::*;

    #[test]
    fn the_hash_of_the_first_line_fits_the_password() {
        let shown = hash_line("s3cret ü \r\nmore\n".as_bytes()).unwrap();
        let hash = STANDARD.decode(shown.trim_end()).unwrap();
        assert!(auth::verify("s3cret ü ", &hash, HashAlgorithm::Sha256));
    }

    #[test]
    fn no_password_is_an_error() {
        for input in ["", "\n", "\r\n"] {
            assert!(hash_line(input.as_bytes()).is_err(), "{input:?}");
        }
    }
}
