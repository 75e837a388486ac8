//! A text that nobody is shown: passwords, tokens, the secrets of keys as they are written.
//!
//! Owns: that no log, diff or answer can print it, and that it is wiped when it is dropped. Must not know where it comes from
//! and what it opens.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The text. There is no `Display`, and `Debug` says only that there is one.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for who sends it or makes a key of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_itself_and_shows_nothing() {
        let one = Secret::from("hunter2");
        assert_eq!(one, Secret::new("hunter2".to_owned()));
        assert_ne!(one, Secret::from("hunter3"));
        assert_ne!(one, Secret::from("hunter22"));
        assert_eq!(format!("{one:?} {:?}", Some(&one)), "a secret Some(a secret)");
        assert_eq!(one.expose(), "hunter2");
    }
}
