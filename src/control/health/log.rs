//! What happened since somebody last asked.
//!
//! Owns: the list of changes, with its bound, and the revision of all standings. Knows nothing of why.

use std::collections::VecDeque;

use super::reason::Change;

/// Changes that wait to be taken; further ones push out the oldest, counted.
pub const CHANGES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) changes: VecDeque<Change>,
    /// Changes that nobody took in time.
    pub(super) lost: u64,
    /// Grows whenever the standing of any backend may have changed.
    pub(super) revision: u64,
}

impl Log {
    pub(super) fn push(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
            self.lost += 1;
        }
        self.changes.push_back(change);
        self.revision += 1;
    }
}
