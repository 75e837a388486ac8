//! What is sealed into our Record-Route and Path URIs: a flow and the backend of a dialog.
//!
//! Owns: layout and cryptography of flow tokens. Knows nothing of messages or pools.
//!
//! A token is the user part of a URI: `~e~` shard-digit key-digit base64url(tag ciphertext). It seals addresses, not
//! indices, so it opens after any pool edit, after a restart and on every node that has the key.
//!
//! Construction: SIV (RFC 5297's idea) from SipHash. The tag is 96 bits of the 128-bit SipHash-2-4 of the plaintext; the
//! keystream is the 128-bit SipHash-1-3 of tag and block number under another key. There is no nonce to reuse:
//! equal plaintexts give equal tokens. The shard digit is a hint in clear and not covered: changing it costs a hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::digit::{digit, digit_value};
use super::steer::MARK;
pub use keys::{KeyRing, SealKey};

mod keys;
pub mod via;

/// Longest token: mark, two digits and the base64 of tag, head and three IPv6 addresses with ports.
pub const TOKEN_BYTES_MAX: usize = MARK.len() + 2 + (SEALED_BYTES_MAX * 4).div_ceil(3);

const TAG_BYTES: usize = 12;
const PLAIN_BYTES_MAX: usize = 1 + 3 * 18;
const SEALED_BYTES_MAX: usize = TAG_BYTES + PLAIN_BYTES_MAX;
/// The content with room for whole blocks of the keystream.
type Plain = [u8; PLAIN_BYTES_MAX.next_multiple_of(keys::BLOCK_BYTES)];

/// A sealed token: the user part of a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText {
    bytes: [u8; TOKEN_BYTES_MAX],
    size: usize,
}

impl TokenText {
    /// Its characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// In a Record-Route: requests of the dialog, from either side.
    Dialog,
    /// In a Path (RFC 3327): requests from a registrar to the flow. Only backends may use it.
    Path,
}

/// The sealed content: who is on the client's side and who is on the pool's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowToken {
    /// What it is for.
    pub kind: TokenKind,
    /// Our own address on the client's flow.
    pub local: SocketAddr,
    /// The client's address on that flow.
    pub remote: SocketAddr,
    /// The backend that has the dialog.
    pub backend: Option<SocketAddr>,
}

/// Why a token does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Not laid out like a token of ours.
    Shape,
    /// Sealed with a key that is not (or no longer) in the ring.
    UnknownKey,
    /// It was changed, or sealed with another secret.
    Forged,
}

impl FlowToken {
    /// Seals with the newest key.
    #[must_use]
    pub fn seal(&self, ring: &KeyRing, shard: u8) -> TokenText {
        let key = ring.newest();
        let mut plain: Plain = [0; _];
        let size = self.write(&mut plain);
        let tag = key.tag(&plain[..size]);
        key.apply_keystream(&tag, &mut plain, size);
        let mut sealed = [0; TAG_BYTES + size_of::<Plain>()];
        sealed[..TAG_BYTES].copy_from_slice(&tag);
        sealed[TAG_BYTES..].copy_from_slice(&plain);

        let mut text = TokenText { bytes: [0; TOKEN_BYTES_MAX], size: 0 };
        text.bytes[..3].copy_from_slice(MARK);
        text.bytes[3] = digit(shard);
        text.bytes[4] = digit(key.id);
        let encoded = URL_SAFE_NO_PAD
            .encode_slice(&sealed[..TAG_BYTES + size], &mut text.bytes[5..])
            .expect("TOKEN_BYTES_MAX is derived from SEALED_BYTES_MAX");
        text.size = 5 + encoded;
        text
    }

    /// The text could be a token of ours: it starts with the mark.
    #[must_use]
    pub fn is_token(user: &[u8]) -> bool {
        user.starts_with(MARK)
    }

    /// Opens the user part of a URI.
    ///
    /// # Errors
    /// When it is not a token that a key of the ring has sealed.
    pub fn open(user: &[u8], ring: &KeyRing) -> Result<Self, TokenError> {
        let text = user.strip_prefix(MARK).ok_or(TokenError::Shape)?;
        let [_shard, key, encoded @ ..] = text else { return Err(TokenError::Shape) };
        let key_id = digit_value(*key).ok_or(TokenError::Shape)?;
        let key = ring.by_id(key_id).ok_or(TokenError::UnknownKey)?;

        let mut sealed = [0; SEALED_BYTES_MAX + 2];
        let size =
            URL_SAFE_NO_PAD.decode_slice(encoded, &mut sealed).map_err(|_| TokenError::Shape)?;
        let (tag, content) = sealed[..size].split_first_chunk().ok_or(TokenError::Shape)?;
        let mut plain: Plain = [0; _];
        let size = content.len();
        if size > PLAIN_BYTES_MAX {
            return Err(TokenError::Shape);
        }
        plain[..size].copy_from_slice(content);
        key.apply_keystream(tag, &mut plain, size);
        if !bool::from(key.tag(&plain[..size]).ct_eq(tag)) {
            return Err(TokenError::Forged);
        }
        Self::read(&plain[..size]).ok_or(TokenError::Shape)
    }

    /// Layout: head (bit 0 Path, bit 1 client is IPv6, bit 2 there is a backend, bit 3 it is IPv6), local, remote, backend;
    /// an address is its octets and the port, big-endian.
    fn write(&self, plain: &mut Plain) -> usize {
        plain[0] = u8::from(self.kind == TokenKind::Path)
            | u8::from(self.remote.is_ipv6()) << 1
            | u8::from(self.backend.is_some()) << 2
            | u8::from(self.backend.is_some_and(|b| b.is_ipv6())) << 3;
        let mut at = 1;
        let mut put = |address: SocketAddr| {
            let octets_end = match address.ip() {
                IpAddr::V4(ip) => {
                    plain[at..at + 4].copy_from_slice(&ip.octets());
                    at + 4
                }
                IpAddr::V6(ip) => {
                    plain[at..at + 16].copy_from_slice(&ip.octets());
                    at + 16
                }
            };
            plain[octets_end..octets_end + 2].copy_from_slice(&address.port().to_be_bytes());
            at = octets_end + 2;
        };
        put(self.local);
        put(self.remote);
        if let Some(backend) = self.backend {
            put(backend);
        }
        at
    }

    fn read(plain: &[u8]) -> Option<Self> {
        let (&head, mut rest) = plain.split_first()?;
        let kind = if head & 1 == 0 { TokenKind::Dialog } else { TokenKind::Path };
        let local = read_address(&mut rest, head & 2 != 0)?;
        let remote = read_address(&mut rest, head & 2 != 0)?;
        let backend = match head & 4 {
            0 => None,
            _ => Some(read_address(&mut rest, head & 8 != 0)?),
        };
        rest.is_empty().then_some(Self { kind, local, remote, backend })
    }
}

fn read_address(rest: &mut &[u8], is_ipv6: bool) -> Option<SocketAddr> {
    let ip: IpAddr = if is_ipv6 {
        Ipv6Addr::from(*rest.split_off(..16)?.as_array::<16>()?).into()
    } else {
        Ipv4Addr::from(*rest.split_off(..4)?.as_array::<4>()?).into()
    };
    let port = u16::from_be_bytes(*rest.split_off(..2)?.as_array::<2>()?);
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::route::table::Key;

    fn ring(ids: &[u8]) -> KeyRing {
        let keys: Vec<Key> = ids.iter().map(|&id| Key { id, secret: [id; 32] }).collect();
        KeyRing::new(&keys)
    }

    fn tokens() -> Vec<FlowToken> {
        let v4 = |text: &str| text.parse().expect("an address");
        vec![
            FlowToken {
                kind: TokenKind::Path,
                local: v4("192.0.2.1:5060"),
                remote: v4("203.0.113.7:40001"),
                backend: None,
            },
            FlowToken {
                kind: TokenKind::Dialog,
                local: v4("192.0.2.1:5060"),
                remote: v4("203.0.113.7:40001"),
                backend: Some(v4("10.0.0.1:5062")),
            },
            FlowToken {
                kind: TokenKind::Dialog,
                local: v4("[2001:db8::1]:5060"),
                remote: v4("[2001:db8::9:1]:65535"),
                backend: Some(v4("[2001:db8::ffff]:1")),
            },
        ]
    }

    #[test]
    fn what_is_sealed_opens() {
        for token in tokens() {
            let text = token.seal(&ring(&[1]), 5).as_bytes().to_vec();
            assert!(FlowToken::is_token(&text));
            assert_eq!(FlowToken::open(&text, &ring(&[1])), Ok(token));
            assert_eq!(text, token.seal(&ring(&[1]), 5).as_bytes(), "deterministic");
            assert!(text.iter().all(|&b| super::super::message::class::TOKEN.has(b)));
        }
    }

    #[test]
    fn rotated_keys_still_open() {
        let token = tokens()[1];
        let text = token.seal(&ring(&[1]), 0).as_bytes().to_vec();
        assert_eq!(FlowToken::open(&text, &ring(&[2, 1])), Ok(token));
        assert_eq!(FlowToken::open(&text, &ring(&[2])), Err(TokenError::UnknownKey));
        let mut other = ring(&[2]);
        other = KeyRing::new(&[
            Key { id: 1, secret: [9; 32] },
            Key { id: other.newest().id, secret: [2; 32] },
        ]);
        assert_eq!(FlowToken::open(&text, &other), Err(TokenError::Forged));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let ring = ring(&[1, 2]);
        // Under miri, some thousand times slower, a few places.
        let step = if cfg!(miri) { 11 } else { 1 };
        for token in tokens() {
            let text = token.seal(&ring, 7).as_bytes().to_vec();
            for place in (4..text.len()).step_by(step) {
                for wrong in [b'A', b'B', b'-', b'!', 0xff] {
                    let mut changed = text.clone();
                    if changed[place] == wrong {
                        continue;
                    }
                    changed[place] = wrong;
                    assert!(FlowToken::open(&changed, &ring).is_err(), "place {place}");
                }
            }
            for size in (0..text.len()).step_by(step) {
                assert!(FlowToken::open(&text[..size], &ring).is_err(), "cut at {size}");
            }
            let mut longer = text.to_vec();
            longer.extend([b'A'; 400]);
            assert!(FlowToken::open(&longer, &ring).is_err());
        }
    }
}
