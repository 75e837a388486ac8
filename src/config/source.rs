//! A text with its path, and where its lines are.
//!
//! Owns: offsets, lines and columns. Offsets are bytes; lines and columns count from 1, columns in characters. Line starts are
//! found once: a file may have as many problems as lines.

use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// The offset of each line.
    starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let after = text.match_indices('\n').map(|(end, _)| end + 1);
        let starts = std::iter::once(0).chain(after).collect();
        Self { path: path.to_owned(), text: text.to_owned(), starts }
    }

    /// Where a line begins; the end of the text for lines behind the last.
    pub(super) fn start_of(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// A line without its end.
    pub(super) fn line(&self, line: usize) -> &str {
        self.text[self.start_of(line)..].lines().next().unwrap_or("")
    }

    /// The line and the column of a byte; behind the last there is the end.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= offset);
        (line, self.text[self.start_of(line)..offset].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_from_one() {
        let text = "a = 1\nnäme = \"x\"\r\n";
        let source = Source::new(Path::new("a.toml"), text);
        assert_eq!(source.place(0), (1, 1));
        assert_eq!(source.place(text.find('=').unwrap()), (1, 3));
        assert_eq!(source.place(text.find('\n').unwrap()), (1, 6), "an end is of its line");
        assert_eq!(source.place(text.rfind('=').unwrap()), (2, 6));
        assert_eq!(source.place(text.find('ä').unwrap() + 1), (2, 2), "within a character");
        assert_eq!(source.place(999), (3, 1));
        assert_eq!([1, 2, 3, 9].map(|line| source.line(line)), ["a = 1", "näme = \"x\"", "", ""]);
        assert_eq!([0, 1, 2, 3, 9].map(|line| source.start_of(line)), [0, 0, 6, 19, 19]);
    }

    #[test]
    fn an_empty_text_has_one_line() {
        let source = Source::new(Path::new("a.toml"), "");
        assert_eq!((source.place(0), source.line(1)), ((1, 1), ""));
    }
}
