//! The key ring: secrets of the configuration turned into the keys of each use.
//!
//! Owns: key derivation and the keyed hashes. Knows nothing of what is hashed or sealed.

use arrayvec::ArrayVec;
use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::{Hasher128 as _, SipHasher24 as SipHasher24Wide};
use std::hash::Hasher as _;
use zeroize::Zeroize as _;

use super::{PLAIN_BYTES_MAX, TAG_BYTES};
use crate::sip::route::table::Key;

/// 128 bits of key for SipHash.
type SipKey = [u8; 16];

/// The keys that are derived from one secret.
#[derive(Clone)]
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
                let mut hasher =
                    SipHasher24Wide::new_with_key(secret.as_array().expect("half of 32 bytes"));
                hasher.write(b"sipedge 1 ");
                hasher.write(label);
                hasher.finish128().as_u128()
            };
            (half(low) ^ half(high).rotate_left(64)).to_le_bytes()
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

    /// A hasher for branches and loop values, with the fast rounds: the branch is sealed once more, with the target and
    /// the full rounds, and whoever guesses a loop value only stops a request of his own.
    #[must_use]
    pub fn branch_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.branch)
    }

    /// A hasher for response targets.
    #[must_use]
    pub fn target_hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_key(&self.target)
    }

    /// A hasher for our own To tags.
    #[must_use]
    pub fn tag_hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_key(&self.tag)
    }

    pub(super) fn tag(&self, plain: &[u8]) -> [u8; TAG_BYTES] {
        let mut text = ArrayVec::<u8, { PLAIN_BYTES_MAX + 1 }>::new();
        text.push(self.id);
        text.try_extend_from_slice(plain).expect("both callers keep to PLAIN_BYTES_MAX");
        let wide = SipHasher24Wide::new_with_key(&self.mac).hash(&text).as_u128().to_le_bytes();
        *wide.first_chunk().expect("12 of 16 bytes")
    }

    pub(super) fn apply_keystream(&self, tag: &[u8; TAG_BYTES], text: &mut [u8]) {
        let mut input = [0; TAG_BYTES + 1];
        input[..TAG_BYTES].copy_from_slice(tag);
        for (block, bytes) in (0_u8..).zip(text.chunks_mut(16)) {
            input[TAG_BYTES] = block;
            let block = SipHasher24Wide::new_with_key(&self.stream).hash(&input);
            for (byte, key) in bytes.iter_mut().zip(block.as_u128().to_le_bytes()) {
                *byte ^= key;
            }
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
#[derive(Debug, Clone)]
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
