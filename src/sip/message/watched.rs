//! Names of fields that a table asks for beside those of `field_name`: from the configuration, found in the pass of the index.
//!
//! Owns: which name has which place, any case, and the compact forms of names that we do not know otherwise. Judges no
//! value. Limit: [`WATCHED_MAX`] names.

use arrayvec::ArrayVec;

use super::field_name::FieldName;

/// Most watched names of a table.
pub const WATCHED_MAX: usize = FieldName::WATCHED.len();

/// More than [`WATCHED_MAX`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyNames;

/// The watched names of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// Long names, by place in [`FieldName::WATCHED`].
    names: ArrayVec<Box<[u8]>, WATCHED_MAX>,
    /// A bit for each size of a name, 63 for all larger ones: most fields are told apart here.
    sizes: u64,
}

impl Watched {
    /// Asks for the fields of this name, long or compact, any case.
    ///
    /// # Errors
    /// When there is no place for a further name.
    pub fn add(&mut self, name: &str) -> Result<FieldName, TooManyNames> {
        if let Some(found) = self.field(name) {
            return Ok(found);
        }
        let place = self.names.len();
        let long = long_name(name.as_bytes());
        self.names.try_push(long.into()).map_err(|_| TooManyNames)?;
        self.sizes |= size_bit(long);
        if long.len() > 1 && COMPACT.iter().any(|(_, known)| known.eq_ignore_ascii_case(long)) {
            self.sizes |= size_bit(b"x");
        }
        Ok(FieldName::WATCHED[place])
    }

    /// What the index calls fields of this name: one that everybody looks at, or a watched one.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldName> {
        let name = name.as_bytes();
        FieldName::from_bytes(name).or_else(|| self.place(long_name(name)))
    }

    /// No name is watched.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.sizes == 0
    }

    /// The watched name that `name`, of a message, is.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<FieldName> {
        if self.sizes & size_bit(name) == 0 {
            return None;
        }
        self.place(long_name(name))
    }

    fn place(&self, long: &[u8]) -> Option<FieldName> {
        let place = self.names.iter().position(|name| name.eq_ignore_ascii_case(long))?;
        FieldName::WATCHED.get(place).copied()
    }
}

fn size_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// The compact forms that `FieldName` does not have (RFC 3261 7.3.3 and the registry of header fields).
const COMPACT: [(u8, &[u8]); 13] = [
    (b'a', b"Accept-Contact"),
    (b'b', b"Referred-By"),
    (b'c', b"Content-Type"),
    (b'd', b"Request-Disposition"),
    (b'e', b"Content-Encoding"),
    (b'j', b"Reject-Contact"),
    (b'n', b"Identity-Info"),
    (b'o', b"Event"),
    (b'r', b"Refer-To"),
    (b's', b"Subject"),
    (b'u', b"Allow-Events"),
    (b'x', b"Session-Expires"),
    (b'y', b"Identity"),
];

/// The long form of a compact name; any other name as it is.
fn long_name(name: &[u8]) -> &[u8] {
    let [letter] = name else { return name };
    let found = COMPACT.iter().find(|(compact, _)| *compact == letter.to_ascii_lowercase());
    found.map_or(name, |(_, long)| long)
}
