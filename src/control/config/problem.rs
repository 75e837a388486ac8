//! What is wrong with a configuration, and how it is shown: all at once, each with its place and its cure.
//!
//! Owns: the list of problems, lines and columns, the printed form. Knows nothing of what a key means.
//! Spans are byte offsets into the text of one file; lines and columns count from 1, columns in characters.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs before this is corrected.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// One problem.
#[derive(Debug, Clone)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a file of the list's, 0 for the configuration itself.
    file: usize,
    /// Which bytes of it; none for the file as a whole.
    span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

/// All problems found in a configuration and the files that it names.
#[derive(Debug)]
pub struct Problems {
    files: Vec<Source>,
    found: Vec<Problem>,
    incomplete: bool,
    unreadable: Vec<Range<usize>>,
}

impl Problems {
    /// An empty list for the configuration `text` that was read from `path`.
    #[must_use]
    pub fn new(path: &Path, text: &str) -> Self {
        let main = Source { path: path.to_owned(), text: text.to_owned() };
        Self { files: vec![main], found: Vec::new(), incomplete: false, unreadable: Vec::new() }
    }

    /// Says that the text could not be read whole, so that what seems to be missing may only be unread:
    /// [`Problems::missing`] keeps silent from here on.
    pub fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Records an error at `span`, unless what stands there could not be read at all.
    pub fn error(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.unreadable.contains(span) {
            return;
        }
        self.push(Severity::Error, 0, Some(span.clone()), message.into(), help.into());
    }

    /// Records that what stands at `span` is of the wrong type: whatever else seems wrong with it follows from that.
    pub fn unreadable(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.error(span, message, help);
        self.unreadable.push(span.clone());
    }

    /// Records a warning at `span`.
    pub fn warning(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, 0, Some(span.clone()), message.into(), help.into());
    }

    /// Records that something is not there, unless syntax errors may have hidden it.
    pub fn missing(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if !self.incomplete {
            self.error(span, message, help);
        }
    }

    /// Records an error of the file as a whole: it cannot be read, or lacks a section.
    pub fn missing_in_file(&mut self, message: impl Into<String>, help: impl Into<String>) {
        if !self.incomplete {
            self.push(Severity::Error, 0, None, message.into(), help.into());
        }
    }

    /// Records a warning about the file as a whole.
    pub fn warning_in_file(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, 0, None, message.into(), help.into());
    }

    /// Records a warning where this URI is written, in any of the files; about the first as a whole when it is written in
    /// another way.
    pub fn warning_at_uri(
        &mut self,
        uri: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let is_end = |byte: Option<u8>| {
            byte.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'".contains(&byte))
        };
        // A list may leave out the scheme.
        let forms = [uri, uri.strip_prefix("sip:").unwrap_or(uri)];
        let place = self.files.iter().enumerate().find_map(|(file, source)| {
            let bytes = source.text.as_bytes();
            let forms = forms.iter().filter(|form| !form.is_empty());
            let places = forms.flat_map(|form| source.text.match_indices(form));
            let mut spans = places.map(|(start, form)| start..start + form.len());
            let is_whole = |span: &Range<usize>| {
                let before = span.start.checked_sub(1).map(|at| bytes[at]);
                is_end(before) && is_end(bytes.get(span.end).copied())
            };
            Some((file, spans.find(is_whole)?))
        });
        let (file, span) = place.map_or((0, None), |(file, span)| (file, Some(span)));
        self.push(Severity::Warning, file, span, message.into(), help.into());
    }

    /// Takes in another file, so that problems can point into it.
    pub fn add_file(&mut self, path: &Path, text: &str) -> usize {
        self.files.push(Source { path: path.to_owned(), text: text.to_owned() });
        self.files.len() - 1
    }

    /// Records a problem on a line (from 1) and column (from 1, in bytes) of a file taken in by [`Problems::add_file`].
    pub fn in_file(
        &mut self,
        severity: Severity,
        file: usize,
        (line, column): (usize, usize),
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let text = &self.files[file].text;
        let start = line_start(text, line).saturating_add(column.saturating_sub(1));
        let mut start = start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |n| start + n);
        self.push(severity, file, Some(start..end), message.into(), help.into());
    }

    /// Whether anything forbids to run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|problem| problem.severity == severity).count()
    }

    /// The problems, in the order of files and lines.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut all: Vec<&Problem> = self.found.iter().collect();
        all.sort_by_key(|problem| (problem.file, problem.span.as_ref().map_or(0, |s| s.start)));
        all
    }

    /// File, line and column of a problem; a problem of the whole file has no line.
    #[must_use]
    pub fn place(&self, problem: &Problem) -> String {
        let source = &self.files[problem.file];
        match &problem.span {
            Some(span) => {
                let (line, column) = line_and_column(&source.text, span.start);
                format!("{}:{line}:{column}", source.path.display())
            }
            None => source.path.display().to_string(),
        }
    }

    fn push(
        &mut self,
        severity: Severity,
        file: usize,
        span: Option<Range<usize>>,
        message: String,
        help: String,
    ) {
        self.found.push(Problem { severity, file, span, message, help });
    }

    fn write_one(&self, out: &mut String, problem: &Problem) -> fmt::Result {
        let word = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{word}: {}", problem.message)?;
        writeln!(out, "  --> {}", self.place(problem))?;
        let mut margin = 1;
        if let Some(span) = &problem.span {
            let text = &self.files[problem.file].text;
            let (line, column) = line_and_column(text, span.start);
            let shown = text[line_start(text, line)..].lines().next().unwrap_or("");
            let number = line.to_string();
            margin = number.len();
            let blank = " ".repeat(margin);
            let lead: String = shown.chars().take(column - 1).map(blank_like).collect();
            let rest = shown.chars().count().saturating_sub(column - 1);
            let marked = text.get(span.clone()).unwrap_or("").lines().next().unwrap_or("");
            let carets = "^".repeat(marked.chars().count().min(rest).max(1));
            writeln!(out, "{blank} |\n{number} | {shown}\n{blank} | {lead}{carets}")?;
        }
        writeln!(out, "{} = help: {}\n", " ".repeat(margin), problem.help)
    }
}

impl fmt::Display for Problems {
    /// Every problem with its line, then a count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for problem in self.sorted() {
            self.write_one(&mut out, problem)?;
        }
        f.write_str(&out)?;
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        writeln!(f, "{}, {}", count(errors, "error"), count(warnings, "warning"))
    }
}

/// A tab stays a tab, so that the mark stands under its character.
fn blank_like(c: char) -> char {
    if c == '\t' { '\t' } else { ' ' }
}

fn line_start(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

/// Line and column of a byte offset, both from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The candidate most like `word`, when one is near enough to be what was meant.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let nearest = candidates.iter().map(|&c| (distance(word, c), c)).min_by_key(|&(d, _)| d)?;
    let near_enough = nearest.0 <= (word.len().max(nearest.1.len()) / 3).max(1);
    near_enough.then_some(nearest.1)
}

/// Levenshtein distance: one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replace = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_from_one() {
        let text = "a = 1\nnäme = \"x\"\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('=').unwrap()), (1, 3));
        assert_eq!(line_and_column(text, text.rfind('=').unwrap()), (2, 6));
        assert_eq!(line_and_column(text, 999), (3, 1));
    }

    #[test]
    fn names_that_are_near_are_offered_and_others_not() {
        assert_eq!(did_you_mean("adress", &["name", "address"]), Some("address"));
        assert_eq!(did_you_mean("zebra", &["name", "address"]), None);
    }

    #[test]
    fn a_problem_shows_its_line_its_mark_and_its_cure() {
        let mut problems = Problems::new(Path::new("a.toml"), "x = 1\n\ty = 22\n");
        problems.error(&(11..13), "no such y", "write 3");
        let shown = "error: no such y\n  --> a.toml:2:6\n  |\n2 | \ty = 22\n  | \t    ^^\n  = help: write 3\n\n\
                     1 error, 0 warnings\n";
        assert_eq!(problems.to_string(), shown);
    }
}
