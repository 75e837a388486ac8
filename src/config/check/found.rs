//! A backend as the checks hand it to each other: what it is, and where it was written.
//!
//! Owns: how a problem is told at that place. Judges nothing.

use std::ops::Range;

use super::super::Backend;
use super::super::problem::{Problems, Severity};

/// A backend and where it was written.
pub(super) struct Found {
    pub(super) backend: Backend,
    pub(super) place: Place,
}

/// Where a backend was written.
#[derive(Clone)]
pub(super) enum Place {
    /// In the configuration.
    Span(Range<usize>),
    /// In a list file: its number among the files, line and column.
    Line(usize, (usize, usize)),
}

impl Place {
    /// In a dispatcher list.
    pub(super) const fn is_in_list(&self) -> bool {
        matches!(self, Self::Line(..))
    }

    pub(super) fn warning(&self, problems: &mut Problems, message: String, help: &str) {
        match self {
            Self::Span(span) => problems.warning(span, message, help),
            Self::Line(file, line) => {
                let severity = Severity::Warning;
                problems.in_file(severity, *file, *line, message, help);
            }
        }
    }

    pub(super) fn error(&self, problems: &mut Problems, message: String, help: &str) {
        match self {
            Self::Span(span) => problems.error(span, message, help),
            Self::Line(file, line) => {
                let severity = Severity::Error;
                problems.in_file(severity, *file, *line, message, help);
            }
        }
    }
}
