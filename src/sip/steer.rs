//! Whose message is it: the shard that owns a datagram, from its bytes alone.
//!
//! Owns: the definition that `ebpf/steer.h` computes too. Scanning from the start, the first of these decides: our own
//! mark (in a branch or a token: [`MARK`] and a shard digit), or a Call-ID field. Knows nothing else of SIP: a wrong
//! answer costs a hop to another core, never correctness. Offsets and sizes are bytes.
//!
//! The definition:
//! 1. Only what starts within the first [`SCAN_BYTES_MAX`] counts.
//! 2. A mark is [`MARK`] and a base64url digit below the number of shards: that shard.
//! 3. A Call-ID field starts at the datagram's start or after an LF: `Call-ID` or `i` in any case, blanks (space, tab),
//!    a colon, blanks, and the value, which starts within [`HEAD_BYTES_MAX`] of the field's start.
//! 4. The value ends before the first byte up to 0x20 or after [`VALUE_BYTES_MAX`]. Its hash chooses the shard.
//!    (A CR without LF starts no field here; the core answers such a message with 400, on whichever shard.)
//! 5. Neither: nobody in particular owns it, the shard that received it keeps it.

use super::digit::digit_value;
use super::places::Places;

/// What stands in front of the shard digit in every branch and token that we make.
pub const MARK: &[u8; 3] = b"~e~";
/// How far a mark or a field may be from the start of the datagram. The kernel's scan costs about 0.6 ns per byte when
/// it finds nothing: at this bound about 10 microseconds, as much as it costs to receive a datagram of 60 KB at all.
/// (`tests/ebpf/measure.rs` measures it; the verifier would allow any bound.)
pub const SCAN_BYTES_MAX: usize = 16_384;
/// How far the value may be from the start of its field.
pub const HEAD_BYTES_MAX: usize = 32;
/// How many bytes of the value are hashed.
pub const VALUE_BYTES_MAX: usize = 64;

/// FNV-1a, 64 bits.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_FACTOR: u64 = 0x0000_0100_0000_01b3;
/// Spreads the last bytes over the upper half, which chooses.
const HASH_SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The shard that owns the datagram; `None` when it does not say, and below `shards` otherwise.
#[must_use]
pub fn shard(datagram: &[u8], shards: u8) -> Option<u8> {
    if let Some(shard) = field_owner(datagram, shards) {
        return Some(shard);
    }
    let scanned = &datagram[..datagram.len().min(SCAN_BYTES_MAX)];
    Places::<b'\n', b'~'>::new(scanned).find_map(|offset| {
        let here = &datagram[offset..];
        if here[0] == b'~' { mark_owner(here, shards) } else { field_owner(&here[1..], shards) }
    })
}

/// The hash of the first Call-ID in reach, whoever owns the datagram; `None` when there is none. All messages of a call have
/// the same, on every node.
#[must_use]
pub fn call(datagram: &[u8]) -> Option<u64> {
    let scanned = &datagram[..datagram.len().min(SCAN_BYTES_MAX)];
    let starts = Places::<b'\n', b'\n'>::new(scanned).map(|offset| offset + 1);
    starts.filter_map(|start| field_value(&datagram[start..])).next().map(hash_of_value)
}

/// [`call`] of a message with this Call-ID.
#[must_use]
pub fn call_of_id(call_id: &[u8]) -> u64 {
    hash_of_value(call_id)
}

/// The shard of a mark at the start of `bytes`.
fn mark_owner(bytes: &[u8], shards: u8) -> Option<u8> {
    let digit = bytes.strip_prefix(MARK)?.first()?;
    digit_value(*digit).filter(|&shard| shard < shards)
}

/// The shard of a Call-ID field at the start of `line`.
fn field_owner(line: &[u8], shards: u8) -> Option<u8> {
    field_value(line).map(|value| shard_of_value(value, shards))
}

/// The value of a Call-ID field at the start of `line`, and all that follows it.
fn field_value(line: &[u8]) -> Option<&[u8]> {
    let after_name = match line.first()? | 0x20 {
        b'i' => 1,
        b'c' if line.get(..7)?.eq_ignore_ascii_case(b"call-id") => 7,
        _ => return None,
    };
    let head = &line[..line.len().min(HEAD_BYTES_MAX)];
    let colon = after_name + blanks(&head[after_name..]);
    if head.get(colon) != Some(&b':') {
        return None;
    }
    let value = colon + 1 + blanks(&head[colon + 1..]);
    (value < head.len()).then(|| &line[value..])
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count()
}

/// The shard of a Call-ID value; what follows it may follow here too.
fn shard_of_value(value: &[u8], shards: u8) -> u8 {
    let scaled = (hash_of_value(value) >> 32) * u64::from(shards);
    u8::try_from(scaled >> 32).expect("a 32-bit fraction of shards is below shards")
}

/// The hash of a Call-ID value; what follows it may follow here too.
fn hash_of_value(value: &[u8]) -> u64 {
    let value = value.iter().take(VALUE_BYTES_MAX).take_while(|&&byte| byte > b' ');
    let hash =
        value.fold(HASH_START, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(HASH_FACTOR));
    (hash ^ (hash >> 32)).wrapping_mul(HASH_SPREAD)
}

#[cfg(test)]
mod tests;
