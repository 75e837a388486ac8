//! Edits to a received message, recorded as offsets into its buffer and applied only when it is sent.
//!
//! Owns: order and overlap rules, the size after editing. Knows nothing of what a field means.
//! Limits: [`EDITS_MAX`] per message; a proxy needs about eight (RFC 3261 16.6). Offsets are bytes from the start.

use arrayvec::ArrayVec;

use super::message::lex::offset;
use super::message::{Field, Span};

/// Most edits of one message. A request that pops two Route fields, turns a strict route and gets received and
/// rport needs 13.
pub const EDITS_MAX: usize = 24;
/// Most bytes of text that the edits of one message insert. A Via and two Record-Routes with IPv6 tokens and
/// host names of 255 bytes take about 1,400.
pub const TEXT_BYTES_MAX: usize = 2048;

/// No room is left for a further edit or its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What takes the place of the deleted bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Insert {
    /// A piece of [`Edits::text`].
    Text(Span),
    /// A piece of the received message itself.
    Copy(Span),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    at: u16,
    delete: u16,
    insert: Insert,
}

/// The edits of one message, sorted by offset; those at one offset keep the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    list: ArrayVec<Edit, EDITS_MAX>,
    text: ArrayVec<u8, TEXT_BYTES_MAX>,
    /// Where the text of the edit in the making starts.
    pending: usize,
    overflowed: bool,
}

impl Edits {
    /// Forgets all edits.
    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
        self.pending = 0;
        self.overflowed = false;
    }

    /// Adds to the text of the edit in the making; [`Edits::replace`] ends it.
    pub fn put(&mut self, text: &[u8]) -> &mut Self {
        self.overflowed |= self.text.try_extend_from_slice(text).is_err();
        self
    }

    /// Adds `template` to the text of the edit in the making, and hands out its last bytes to be filled in.
    pub fn put_template<const TAIL: usize>(&mut self, template: &[u8]) -> Option<&mut [u8; TAIL]> {
        self.put(template);
        self.text.last_chunk_mut()
    }

    /// Adds a decimal number to the text of the edit in the making.
    pub fn put_number(&mut self, number: u32) -> &mut Self {
        let mut digits = [0; 10];
        self.put(decimal(number, &mut digits))
    }

    /// Ends an edit: its text takes the place of `delete`.
    pub fn replace(&mut self, delete: Span) {
        let insert = Insert::Text(Span::new(self.pending, self.text.len()));
        self.pending = self.text.len();
        self.push(Edit { at: delete.start, delete: delete.end - delete.start, insert });
    }

    /// Ends an edit: its text goes in front of the byte at `at`.
    pub fn insert(&mut self, at: usize) {
        self.replace(Span::new(at, at));
    }

    /// Deletes.
    pub fn delete(&mut self, span: Span) {
        debug_assert_eq!(self.pending, self.text.len(), "text of another edit is in the making");
        self.replace(span);
    }

    /// Deletes these fields with their line ends, in their order; neighbours are one edit. For all of a name: `index.all(name)`.
    pub fn delete_all<'f>(&mut self, fields: impl Iterator<Item = &'f Field>) {
        let mut gathered: Option<Span> = None;
        for Field { line, .. } in fields {
            match &mut gathered {
                Some(before) if before.end == line.start => before.end = line.end,
                before => {
                    if let Some(before) = before.replace(*line) {
                        self.delete(before);
                    }
                }
            }
        }
        if let Some(last) = gathered {
            self.delete(last);
        }
    }

    /// A piece of the message takes the place of `delete`.
    pub fn copy(&mut self, delete: Span, piece: Span) {
        self.push(Edit {
            at: delete.start,
            delete: delete.end - delete.start,
            insert: Insert::Copy(piece),
        });
    }

    /// The size after editing a message of `received_bytes`.
    ///
    /// # Errors
    /// When an edit or its text found no room.
    pub fn size(&self, received_bytes: usize) -> Result<usize, Full> {
        if self.overflowed {
            return Err(Full);
        }
        Ok(self.list.iter().fold(received_bytes, |size, edit| {
            size + usize::from(edit.insert.span().end - edit.insert.span().start)
                - usize::from(edit.delete)
        }))
    }

    /// Writes the edited message; `None` when `out` is too small or an edit found no room.
    #[must_use]
    pub fn apply(&self, received: &[u8], out: &mut [u8]) -> Option<usize> {
        let size = self.size(received.len()).ok()?;
        let mut rest = out.get_mut(..size)?;
        let mut at = 0;
        for (start, deleted, insert) in self.iter(received) {
            rest = append(rest, &received[at..start])?;
            rest = append(rest, insert)?;
            at = start + deleted;
        }
        append(rest, &received[at..])?;
        Some(size)
    }

    /// All edits in order: offset, bytes deleted, bytes inserted.
    pub fn iter<'a>(
        &'a self,
        received: &'a [u8],
    ) -> impl Iterator<Item = (usize, usize, &'a [u8])> {
        self.list.iter().map(move |edit| {
            let insert = match edit.insert {
                Insert::Text(span) => span.of(&self.text),
                Insert::Copy(span) => span.of(received),
            };
            (usize::from(edit.at), usize::from(edit.delete), insert)
        })
    }

    #[inline]
    fn push(&mut self, edit: Edit) {
        // Nearly all edits are made in the order of their places.
        if self.list.last().is_none_or(|last| last.end() <= edit.at && last.at < edit.at) {
            self.overflowed |= self.list.try_push(edit).is_err();
        } else {
            self.insert_in_order(edit);
        }
    }

    #[cold]
    fn insert_in_order(&mut self, edit: Edit) {
        // Equal offsets keep their order, but what is only inserted goes in front of what is deleted there.
        let goes_before =
            |e: &Edit| e.at < edit.at || (e.at == edit.at && (e.delete == 0 || edit.delete > 0));
        let place = self.list.iter().rposition(goes_before).map_or(0, |n| n + 1);
        debug_assert!(
            place.checked_sub(1).is_none_or(|n| self.list[n].end() <= edit.at),
            "edits overlap: {edit:?} in {:?}",
            self.list
        );
        debug_assert!(
            self.list.get(place).is_none_or(|next| edit.end() <= next.at),
            "edits overlap"
        );
        self.overflowed |= self.list.try_insert(place, edit).is_err();
    }
}

impl Edit {
    fn end(self) -> u16 {
        self.at.saturating_add(self.delete)
    }
}

impl Insert {
    fn span(self) -> Span {
        match self {
            Self::Text(span) | Self::Copy(span) => span,
        }
    }
}

fn append<'a>(out: &'a mut [u8], bytes: &[u8]) -> Option<&'a mut [u8]> {
    let (head, rest) = out.split_at_mut_checked(bytes.len())?;
    head.copy_from_slice(bytes);
    Some(rest)
}

/// A number in decimal digits.
pub fn decimal(number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

/// The span from `start` to the end of a buffer of `size` bytes.
#[must_use]
pub fn tail(start: usize, size: usize) -> Span {
    Span { start: offset(start), end: offset(size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{FieldName, Index, Watched};

    fn check(received: &str, make: impl Fn(&mut Edits), expected: &str) {
        let mut edits = Edits::default();
        make(&mut edits);
        let mut out = [0; 256];
        let size = edits.apply(received.as_bytes(), &mut out).expect("fits");
        assert_eq!(std::str::from_utf8(&out[..size]), Ok(expected));
        assert_eq!(edits.size(received.len()), Ok(size));
        assert_eq!(edits.apply(received.as_bytes(), &mut out[..size - 1]), None, "one byte short");
    }

    #[test]
    fn edits_in_any_order() {
        check("0123456789", |_| {}, "0123456789");
        check(
            "0123456789",
            |edits| {
                edits.put(b"end").insert(10);
                edits.delete(Span::new(4, 6));
                edits.put(b"a").put_number(70).insert(2);
                edits.put(b"b").insert(2);
                edits.copy(Span::new(0, 1), Span::new(8, 10));
            },
            "891a70b236789end",
        );
    }

    #[test]
    fn touching_edits() {
        check(
            "0123456789",
            |edits| {
                edits.delete(Span::new(2, 5));
                edits.put(b"x").replace(Span::new(5, 6));
                edits.put(b"y").insert(2);
            },
            "01yx6789",
        );
    }

    #[test]
    fn fields_of_a_name_leave_in_all_spellings() {
        let text = "OPTIONS sip:a SIP/2.0\r\nX-Key: 1\r\nx-key\t :\r\n 2\r\nVia: x\r\ns: 3\r\nX-Keys: kept\r\nX-KEY:\r\n\
                    subject: 4\n\r\nX-Key: body";
        let mut watched = Watched::default();
        let names = [watched.add("X-KEY"), watched.add("s")].map(|name| name.expect("room"));
        let mut index = Index::default();
        index.watch(watched.into());
        index.fill(text.as_bytes()).expect("well-formed");
        let left = "OPTIONS sip:a SIP/2.0\r\nVia: x\r\nX-Keys: kept\r\n\r\nX-Key: body";
        let delete = |edits: &mut Edits| {
            for name in names {
                edits.delete_all(index.all(name));
            }
        };
        check(text, delete, left);
        check(text, |edits| edits.delete_all(index.all(FieldName::Route)), text);
    }

    #[test]
    fn too_much_is_refused() {
        let mut edits = Edits::default();
        edits.put(&[b'x'; TEXT_BYTES_MAX + 1]).insert(0);
        assert_eq!(edits.size(10), Err(Full));
        edits.clear();
        for _ in 0..=EDITS_MAX {
            edits.put(b"x").insert(3);
        }
        assert_eq!(edits.apply(b"12345", &mut [0; 100]), None);
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 70, 65_535, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }
}
