//! From a key (a number) to a backend of a pool.
//!
//! Owns: the ways to choose, compiled for the hot path. Knows nothing of messages, addresses or time: a member
//! is an index, a key is a number, and which members may be chosen is a [`BackendSet`].

/// A set of backend indices below 1,024.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSet([u64; 16]);

/// A compiled balance.
#[derive(Debug, Clone)]
pub enum Balance {
    /// Placeholder until the balance room is built.
    First,
}
