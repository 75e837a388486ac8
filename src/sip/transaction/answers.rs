//! Which INVITEs were answered while nobody asks: their ids, one after the other, until the look-up wants them.
//!
//! Owns: a ring of ids. Knows nothing of when they came: an id that is no longer remembered means nothing.

/// A call brings some three answers (100, 180, 200): as many ids as entries would hold a third of the calls. A log of
/// requests also has those that are no INVITE, so that twice as many ids do.
const IDS_OF_ENTRY: usize = 2;

/// A ring of ids; the oldest gives way.
#[derive(Debug)]
pub(super) struct Answers {
    ids: Vec<u64>,
    /// How many were noted since the ring was emptied.
    noted: usize,
}

impl Answers {
    /// For a log of `entries` requests, a power of two.
    pub(super) fn new(entries: usize) -> Self {
        Self { ids: vec![0; entries * IDS_OF_ENTRY], noted: 0 }
    }

    #[inline]
    pub(super) fn note(&mut self, id: u64) {
        let place = self.noted & (self.ids.len() - 1);
        if let Some(place) = self.ids.get_mut(place) {
            *place = id;
        }
        self.noted += 1;
    }

    /// How many gave way to others since the ring was emptied.
    pub(super) fn lost(&self) -> u64 {
        self.noted.saturating_sub(self.ids.len()) as u64
    }

    /// Empties the ring.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + '_ {
        let count = std::mem::take(&mut self.noted).min(self.ids.len());
        self.ids[..count].iter().copied()
    }
}
