//! The key ring: secrets of the configuration turned into the keys of each use.
//!
//! Owns: key derivation and the keyed hashes. Knows nothing of what is hashed or sealed.

use zeroize::Zeroize as _;

use super::TAG_BYTES;
use crate::sip::route::table::Key;
use crate::sip::siphash::{SipHash13, SipHash24, SipKey};

/// Bytes of one block of the keystream.
pub(super) const BLOCK_BYTES: usize = 16;

/// The keys that are derived from one secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    /// Its name in clear: 0 to 63.
    pub id: u8,
    mac: SipKey,
    stream: SipKey,
    branch: SipKey,
    target: SipKey,
    tag: SipKey,
}

impl SealKey {
    fn derive(key: &Key) -> Self {
        // Two halves of the secret key two hashes, so that all 256 bits count.
        let (low, high) = key.secret.split_at(16);
        let derived = |label: &[u8]| {
            let half = |secret: &[u8]| {
                let secret = secret.as_array().expect("half of 32 bytes");
                let mut hash = SipHash24::new_wide(&SipKey::new(secret));
                hash.text(b"sipedge 2 ");
                hash.text(label);
                hash.finish_wide().map(u64::to_le_bytes).concat()
            };
            let mixed: Vec<u8> =
                half(low).iter().zip(half(high).iter().rev()).map(|(a, b)| a ^ b).collect();
            SipKey::new(mixed.as_array().expect("two words"))
        };
        Self {
            id: key.id,
            mac: derived(b"mac"),
            stream: derived(b"stream"),
            branch: derived(b"branch"),
            target: derived(b"target"),
            tag: derived(b"tag"),
        }
    }

    /// A hash for branches and loop values, with the fast rounds: the branch is sealed once more, with the target and
    /// the full rounds, and whoever guesses a loop value only stops a request of his own.
    #[must_use]
    #[inline]
    pub fn branch_hash(&self) -> SipHash13 {
        SipHash13::new(&self.branch)
    }

    /// A hash for response targets.
    #[must_use]
    #[inline]
    pub fn target_hash(&self) -> SipHash24 {
        SipHash24::new(&self.target)
    }

    /// A hash for our own To tags.
    #[must_use]
    pub fn tag_hash(&self) -> SipHash24 {
        SipHash24::new(&self.tag)
    }

    /// The tag of a plaintext.
    #[inline]
    pub(super) fn tag(&self, plain: &[u8]) -> [u8; TAG_BYTES] {
        let mut hash = SipHash24::new_wide(&self.mac);
        hash.word(plain.len() as u64);
        hash.text(plain);
        let [low, high] = hash.finish_wide().map(u64::to_le_bytes);
        let mut tag = [0; TAG_BYTES];
        tag[..8].copy_from_slice(&low);
        tag[8..].copy_from_slice(&high[..TAG_BYTES - 8]);
        tag
    }

    /// Encrypts or decrypts the first `size` bytes; what stands behind them, up to the next block, is lost. The fast
    /// rounds do: a guess at the keystream shows an address, it forges nothing.
    #[inline]
    pub(super) fn apply_keystream(&self, tag: &[u8; TAG_BYTES], text: &mut [u8], size: usize) {
        let mut start = SipHash13::new_wide(&self.stream);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *tag;
        start.word(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let rest = u64::from(u32::from_le_bytes([i, j, k, l]));
        let blocks = text.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut();
        for (block, bytes) in (0_u64..).zip(blocks.take(size.div_ceil(BLOCK_BYTES))) {
            let mut hash = start;
            hash.word(rest | block << 32);
            let [low, high] = hash.finish_wide();
            let stream = u128::from(high) << 64 | u128::from(low);
            *bytes = (u128::from_le_bytes(*bytes) ^ stream).to_le_bytes();
        }
    }
}

impl Drop for SealKey {
    fn drop(&mut self) {
        for key in
            [&mut self.mac, &mut self.stream, &mut self.branch, &mut self.target, &mut self.tag]
        {
            key.zeroize();
        }
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All keys: the first seals, all open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<SealKey>,
}

impl KeyRing {
    /// From the secrets of the configuration.
    ///
    /// # Panics
    /// Without any key; the configuration check makes sure that there is one.
    #[must_use]
    pub fn new(keys: &[Key]) -> Self {
        assert!(!keys.is_empty(), "a key ring has at least one key");
        Self { keys: keys.iter().map(SealKey::derive).collect() }
    }

    /// The key that seals.
    #[must_use]
    pub fn newest(&self) -> &SealKey {
        &self.keys[0]
    }

    /// The key with this id.
    #[must_use]
    pub fn by_id(&self, id: u8) -> Option<&SealKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// All keys, the sealing one first.
    pub fn iter(&self) -> std::slice::Iter<'_, SealKey> {
        self.keys.iter()
    }
}
