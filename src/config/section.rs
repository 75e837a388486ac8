//! One TOML table, read key by key: wrong types and unknown keys are reported with their place.
//!
//! Owns: the questions that may be asked of a table. What was never asked for is unknown, and
//! [`Section::finish`] says so. A value of the wrong type reads as an empty one, so that it is not missed, too.
//! Knows no key of ours.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{At, Count, Word};
use super::problem::{Problems, did_you_mean};
use crate::secret::Secret;

/// A table under its name, with the keys that were asked for.
pub(super) struct Section<'a> {
    title: String,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(title: impl Into<String>, table: &'a DeTable<'a>) -> Self {
        Self { title: title.into(), table, asked: Vec::new() }
    }

    /// The value of a key, whatever its type.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<String>> {
        let value = self.value(key)?;
        string(value, &format!("`{key}`"), problems)
    }

    /// A text that nobody is shown.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Secret>> {
        let At { value, span } = self.string(key, problems)?;
        Some(At { value: Secret::new(value), span })
    }

    pub(super) fn integer(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<i64>> {
        let value = self.value(key)?;
        integer(value, &format!("`{key}`"), problems)
    }

    pub(super) fn boolean(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<bool>> {
        let value = self.value(key)?;
        let span = value.span();
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(At { value: *boolean, span }),
            other => {
                wrong_type(&span, &format!("`{key}`"), "true or false", other, problems);
                Some(At { value: false, span })
            }
        }
    }

    /// A text, or true or false.
    pub(super) fn word(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<Word>> {
        let value = self.value(key)?;
        let span = value.span();
        let word = match value.get_ref() {
            DeValue::Boolean(boolean) => Word::Boolean(*boolean),
            DeValue::String(text) => Word::Text(text.clone().into_owned()),
            other => {
                wrong_type(
                    &span,
                    &format!("`{key}`"),
                    "a word in quotes, or false",
                    other,
                    problems,
                );
                return None;
            }
        };
        Some(At { value: word, span })
    }

    /// A number, with a fraction or without.
    pub(super) fn number(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<f64>> {
        let value = self.value(key)?;
        let span = value.span();
        let text = match value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => {
                let what = format!("`{key}`");
                wrong_type(&span, &what, "a number without quotes, like 1.25", other, problems);
                return Some(At { value: 0.0, span });
            }
        };
        Some(At { value: text.parse().unwrap_or(0.0), span })
    }

    /// A word or a number.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Count>> {
        count(self.value(key)?, &format!("`{key}`"), problems)
    }

    /// A list of words and numbers; one of them alone is a list of one.
    pub(super) fn counts(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<Count>>>> {
        let value = self.value(key)?;
        if matches!(value.get_ref(), DeValue::String(_) | DeValue::Integer(_)) {
            let one = count(value, &format!("`{key}`"), problems)?;
            return Some(At { value: vec![one], span: value.span() });
        }
        self.list(key, value, problems, |value, problems| {
            count(value, &format!("an entry of `{key}`"), problems)
        })
    }

    /// A list of strings; one string alone is a list of one.
    pub(super) fn strings(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<String>>>> {
        let value = self.value(key)?;
        if let DeValue::String(one) = value.get_ref() {
            let span = value.span();
            let one = At { value: one.to_string(), span: span.clone() };
            return Some(At { value: vec![one], span });
        }
        self.list(key, value, problems, |value, problems| {
            string(value, &format!("an entry of `{key}`"), problems)
        })
    }

    pub(super) fn integers(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<i64>>>> {
        let value = self.value(key)?;
        self.list(key, value, problems, |value, problems| {
            integer(value, &format!("an entry of `{key}`"), problems)
        })
    }

    /// A list of inline tables, each read by `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        mut read: impl FnMut(Self, Range<usize>, &mut Problems) -> T,
    ) -> Option<At<Vec<T>>> {
        let value = self.value(key)?;
        self.list(key, value, problems, |value, problems| {
            let span = value.span();
            match value.get_ref() {
                DeValue::Table(table) => {
                    Some(read(Self::new(format!("an entry of `{key}`"), table), span, problems))
                }
                other => {
                    let entry = format!("an entry of `{key}`");
                    wrong_type(&span, &entry, "a table like { .. = .. }", other, problems);
                    None
                }
            }
        })
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, problems: &mut Problems) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let help = match did_you_mean(name, &self.asked) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} knows: {}", self.title, self.asked.join(", ")),
            };
            problems.error(&key.span(), format!("unknown key `{name}` in {}", self.title), help);
        }
    }

    fn list<T>(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
        problems: &mut Problems,
        mut read: impl FnMut(&'a Spanned<DeValue<'a>>, &mut Problems) -> Option<T>,
    ) -> Option<At<Vec<T>>> {
        let span = value.span();
        match value.get_ref() {
            DeValue::Array(array) => {
                let entries = array.iter().filter_map(|entry| read(entry, problems)).collect();
                Some(At { value: entries, span })
            }
            other => {
                wrong_type(&span, &format!("`{key}`"), "a list like [..]", other, problems);
                Some(At { value: Vec::new(), span })
            }
        }
    }
}

fn count(value: &Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) -> Option<At<Count>> {
    let span = value.span();
    if let DeValue::String(word) = value.get_ref() {
        return Some(At { value: Count::Word(word.to_string()), span });
    }
    let number = integer(value, what, problems)?;
    Some(At { value: Count::Number(number.value), span })
}

fn string(value: &Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) -> Option<At<String>> {
    match value.get_ref() {
        DeValue::String(text) => Some(At { value: text.to_string(), span: value.span() }),
        other => {
            wrong_type(&value.span(), what, "a string in double quotes", other, problems);
            Some(At { value: String::new(), span: value.span() })
        }
    }
}

fn integer(value: &Spanned<DeValue<'_>>, what: &str, problems: &mut Problems) -> Option<At<i64>> {
    let span = value.span();
    match value.get_ref() {
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(value) => Some(At { value, span }),
            Err(_) => {
                problems.unreadable(
                    &span,
                    format!("{what} is too large a number"),
                    "write a smaller one",
                );
                Some(At { value: 0, span })
            }
        },
        other => {
            wrong_type(&span, what, "a whole number without quotes", other, problems);
            Some(At { value: 0, span })
        }
    }
}

pub(super) fn wrong_type(
    span: &Range<usize>,
    what: &str,
    wanted: &str,
    found: &DeValue<'_>,
    problems: &mut Problems,
) {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    problems.unreadable(span, format!("{what} is {found}"), format!("write {wanted}"));
}
