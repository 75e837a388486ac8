//! Secrets of the key ring and of the admin API: where they are read from, and how any text becomes the 32 bytes of a key.
//!
//! Owns: the forms `env:NAME`, `file:PATH` and plain text. What was read is wiped as soon as the key is made of it.

use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::address::Complaint;
use crate::secret::Secret;

/// The shortest secret that is accepted, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

/// Keeps our keys apart from those that other programs make from the same secret.
const PURPOSE: &[u8] = b"sipedge node key 1\0";
/// The same for tokens.
const TOKEN_PURPOSE: &[u8] = b"sipedge admin token 1\0";

/// The key that `text` names; a relative `file:` starts at `folder`.
pub(super) fn key(text: &str, folder: &Path) -> Result<[u8; 32], Complaint> {
    let secret = read(text, folder)?;
    long_enough(&secret, "the secret")?;
    Ok(digest(PURPOSE, &secret))
}

/// The text that `text` names, for who must be sent it as it is; a relative `file:` starts at `folder`.
pub(super) fn text(text: &str, folder: &Path) -> Result<Secret, Complaint> {
    let bytes = read(text, folder)?;
    match std::str::from_utf8(&bytes) {
        Ok("") => Err(Complaint::new("it is empty", "write a text, or leave the key out")),
        Ok(text) => Ok(Secret::from(text)),
        Err(_) => Err(Complaint::new("it is no UTF-8", "write text into the file")),
    }
}

/// It is not the secret itself, but says where that is.
pub(super) fn names_a_place(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// Bytes from the kernel's random source.
pub fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What is shown to be allowed to change the node. Kept as a digest: it is compared, never sent.
#[derive(Clone)]
pub struct Token(Zeroizing<[u8; 32]>);

impl Token {
    /// Whether `shown` is the token, in a time that does not say how much of it is right.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_slice().ct_eq(&digest(TOKEN_PURPOSE, shown)).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Token {}

impl std::fmt::Debug for Token {
    /// Lines of a log may show a configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a token")
    }
}

/// The token that `text` names; a relative `file:` starts at `folder`.
pub(crate) fn token(text: &str, folder: &Path) -> Result<Token, Complaint> {
    let secret = read(text, folder)?;
    long_enough(&secret, "the token")?;
    Ok(Token(Zeroizing::new(digest(TOKEN_PURPOSE, &secret))))
}

fn long_enough(secret: &[u8], what: &str) -> Result<(), Complaint> {
    if secret.len() >= SECRET_BYTES_MIN {
        return Ok(());
    }
    Err(Complaint::new(
        format!("{what} has {} bytes; at least {SECRET_BYTES_MIN} are needed", secret.len()),
        "make one with `openssl rand -base64 32`",
    ))
}

fn digest(purpose: &[u8], secret: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update(secret).finalize().into()
}

fn read(text: &str, folder: &Path) -> Result<Zeroizing<Vec<u8>>, Complaint> {
    if let Some(name) = text.strip_prefix("env:") {
        return match std::env::var(name) {
            Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
            Err(_) => Err(Complaint::new(
                format!("the environment variable {name} is not set"),
                format!("set it where sipedge starts: {name}=\"$(openssl rand -base64 32)\""),
            )),
        };
    }
    let Some(path) = text.strip_prefix("file:") else {
        return Ok(Zeroizing::new(text.as_bytes().to_vec()));
    };
    let path = folder.join(path);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            Ok(Zeroizing::new(bytes.trim_ascii_end().to_vec()))
        }
        Err(error) => Err(Complaint::new(
            format!("the secret file {} cannot be read: {error}", path.display()),
            "make it with `openssl rand -base64 32`, readable for the user that sipedge runs as",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gives_the_same_key_and_others_differ() {
        let here = Path::new(".");
        let one = key("0123456789abcdef", here).unwrap();
        assert_eq!(one, key("0123456789abcdef", here).unwrap());
        assert_ne!(one, key("0123456789abcdeg", here).unwrap());
    }

    #[test]
    fn short_and_absent_secrets_are_refused() {
        let here = Path::new(".");
        let message = |text: &str| key(text, here).unwrap_err().message;
        assert!(message("short").contains("5 bytes"));
        assert!(message("env:SIPEDGE_NO_SUCH_VARIABLE").contains("is not set"));
        assert!(message("file:no/such/file").contains("cannot be read"));
    }

    #[test]
    fn a_token_is_itself_only_and_shows_nothing() {
        let here = Path::new(".");
        let one = token("0123456789abcdef", here).unwrap();
        assert!(one.is(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef "] {
            assert!(!one.is(other));
        }
        assert_eq!(format!("{one:?}"), "a token");
        assert!(token("short", here).unwrap_err().message.contains("the token has 5 bytes"));
    }

    #[test]
    fn a_password_is_read_from_where_it_says() {
        let here = Path::new(".");
        assert_eq!(text("hunter2", here).unwrap().expose(), "hunter2");
        let message = |named: &str| text(named, here).unwrap_err().message;
        assert!(message("").contains("empty"));
        assert!(message("env:SIPEDGE_NO_SUCH_VARIABLE").contains("is not set"));
        assert!(message("file:no/such/file").contains("cannot be read"));
    }

    #[test]
    fn keys_by_chance_differ() {
        assert_ne!(random_bytes::<32>().unwrap(), random_bytes().unwrap());
    }
}
