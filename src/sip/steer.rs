//! Whose message is it: the shard that owns a datagram, from its bytes alone.
//!
//! Owns: the definition that `ebpf/` computes too. The first of these in message order decides: our own mark
//! (in a branch or a token: [`MARK`] and a shard digit), or the Call-ID. Knows nothing else of SIP.

/// What stands in front of the shard digit in every branch and token that we make.
pub const MARK: &[u8; 3] = b"~e~";
