//! Methods: the ones that are counted or treated apart.

/// A method. Case matters (RFC 3261 7.1): `invite` is an extension method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// RFC 3261.
    Invite,
    /// RFC 3261.
    Ack,
    /// RFC 3261.
    Bye,
    /// RFC 3261.
    Cancel,
    /// RFC 3261.
    Options,
    /// RFC 3261.
    Register,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3428.
    Message,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// Any other: passed on untouched.
    #[default]
    Other,
}

impl Method {
    /// All methods, in the order of [`Method::index`].
    pub const ALL: [Self; 15] = [
        Self::Invite,
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Options,
        Self::Register,
        Self::Subscribe,
        Self::Notify,
        Self::Publish,
        Self::Message,
        Self::Info,
        Self::Prack,
        Self::Update,
        Self::Refer,
        Self::Other,
    ];

    /// From the bytes of a request line or CSeq.
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"PUBLISH" => Self::Publish,
            b"MESSAGE" => Self::Message,
            b"INFO" => Self::Info,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"REFER" => Self::Refer,
            _ => Self::Other,
        }
    }

    /// Its name; `other` for extension methods.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Publish => "PUBLISH",
            Self::Message => "MESSAGE",
            Self::Info => "INFO",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Other => "other",
        }
    }

    /// The place of this method in [`Method::ALL`] and in counter arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A request with this method may start a dialog, so a proxy that wants to stay in its path
    /// record-routes it (RFC 3261 12.1, RFC 6665 4.1, RFC 3515).
    #[must_use]
    pub const fn forms_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }

    /// INVITE, its CANCEL and the ACK of its non-2xx share one branch (RFC 3261 9.1, 17.1.1.3).
    #[must_use]
    pub const fn shares_branch(self) -> bool {
        matches!(self, Self::Invite | Self::Ack | Self::Cancel)
    }
}
