//! Views on the received bytes: where the parts of a message are, without judging or copying them.

/// Methods that we count apart or treat apart. Case matters (RFC 3261 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// Any method without an entry of its own.
    #[default]
    Other,
}
