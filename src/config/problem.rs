//! What is wrong with a configuration, and how it is shown: all at once, each with its place and its cure.
//!
//! Owns: the list of problems and the printed form. Knows nothing of what a key means.
//! Spans are byte offsets into the text of one file; lines and columns count from 1, columns in characters.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use super::mask;
use super::source::Source;

/// So much of a line is shown, in characters: some write all on one line.
const SHOWN_MAX: usize = 160;

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

/// All problems found in a configuration and the files that it names.
#[derive(Debug)]
pub struct Problems {
    files: Vec<Source>,
    found: Vec<Problem>,
    incomplete: bool,
    unreadable: HashSet<Range<usize>>,
}

impl Problems {
    /// An empty list for the configuration `text` that was read from `path`.
    #[must_use]
    pub fn new(path: &Path, text: &str) -> Self {
        Self {
            files: vec![Source::new(path, text)],
            found: Vec::new(),
            incomplete: false,
            unreadable: HashSet::new(),
        }
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
        self.unreadable.insert(span.clone());
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
        self.files.push(Source::new(path, text));
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
        let source = &self.files[file];
        let (text, start) = (&source.text, source.start_of(line));
        let start = start.saturating_add(column.saturating_sub(1));
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
                let (line, column) = source.place(span.start);
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
            let source = &self.files[problem.file];
            let (line, column) = source.place(span.start);
            let number = line.to_string();
            margin = number.len();
            let blank = " ".repeat(margin);
            let line_shown = mask::masked(source.line(line));
            let (shown, lead) = cut(&line_shown, column - 1);
            let rest = shown.chars().count().saturating_sub(lead.chars().count());
            let marked = source.text.get(span.clone()).unwrap_or("").lines().next().unwrap_or("");
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

/// As much of a line as is shown, and the blanks under what stands before its character `mark`.
fn cut(line: &str, mark: usize) -> (String, String) {
    let size = line.chars().count();
    let first = if size > SHOWN_MAX { mark.saturating_sub(SHOWN_MAX / 2) } else { 0 };
    let before = if first > 0 { "... " } else { "" };
    let after = if size - first.min(size) > SHOWN_MAX { " ..." } else { "" };
    let shown = line.chars().skip(first).take(SHOWN_MAX);
    // A tab stays a tab, so that the mark stands under its character.
    let blank = |c| if c == '\t' { '\t' } else { ' ' };
    let lead = before.chars().chain(shown.clone().take(mark - first)).map(blank).collect();
    (format!("{before}{}{after}", shown.collect::<String>()), lead)
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
    fn of_a_long_line_the_marked_part_is_shown() {
        let text = format!("a = [{}]\n", "1234, ".repeat(1_000));
        let mut problems = Problems::new(Path::new("a.toml"), &text);
        problems.error(&(3_005..3_009), "no such number", "leave it out");
        problems.error(&(5..9), "no such number", "leave it out");
        problems.error(&(text.len() - 2..text.len() - 1), "not here", "leave it out");
        let shown = problems.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= SHOWN_MAX + 12), "{shown}");
        for (place, marked) in [(3, "1234"), (10, "1234"), (17, "]")] {
            let at = lines[place + 1].find('^').expect("a mark");
            assert_eq!(lines[place].get(at..at + marked.len()), Some(marked), "{shown}");
        }
        assert!(lines[3].ends_with(" ...") && !lines[3].contains("| ..."), "{shown}");
        assert!(lines[10].contains("| ... ") && lines[10].ends_with(" ..."), "{shown}");
        assert!(lines[17].contains("| ... ") && lines[17].ends_with(']'), "{shown}");
    }

    #[test]
    fn a_problem_beside_a_secret_does_not_show_it() {
        let text = "hep = { sink = \"x\", password = \"hunter2\" }\n";
        let mut problems = Problems::new(Path::new("a.toml"), text);
        problems.error(&(15..18), "no sink", "write one");
        problems.error(
            &(text.find("hunter").unwrap() - 1..text.len() - 3),
            "too short",
            "write more",
        );
        let shown = problems.to_string();
        assert!(!shown.contains("hunter2") && shown.contains("^^^^^^^^^"), "{shown}");
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
