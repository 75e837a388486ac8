//! Placeholders in command lines and configuration templates: `@NAME@`, capitals, digits and `_`.
//!
//! Owns: the replacing, and that an unknown name is an error. An `@` that is no placeholder stays.

use std::collections::BTreeMap;

/// What the placeholders stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(BTreeMap<String, String>);

impl Values {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Replaces all placeholders.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let name = rest.split('@').next().filter(|name| is_name(name, rest));
            let Some(name) = name else {
                out.push('@');
                continue;
            };
            let value = self.0.get(name).ok_or_else(|| self.unknown(name))?;
            out.push_str(value);
            rest = &rest[name.len() + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        format!("there is no placeholder @{name}@; known are {}", known.join(", "))
    }
}

/// Whether what stands before the next `@` (which must be there) can be a name.
fn is_name(name: &str, rest: &str) -> bool {
    let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() < rest.len() && name.chars().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let mut values = Values::default();
        values.set("LISTEN", "127.0.0.1:5060");
        values.set("B_1", "one");
        match (values.expand(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn placeholders_are_replaced() {
        check("udp:@LISTEN@;", Ok("udp:127.0.0.1:5060;"));
        check("@B_1@@B_1@", Ok("oneone"));
        check("nothing", Ok("nothing"));
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        check("sip:a@b", Ok("sip:a@b"));
        check("sip:a@LISTEN", Ok("sip:a@LISTEN"));
        check("a@b@B_1@", Ok("a@bone"));
        check("@@ @lower@", Ok("@@ @lower@"));
    }

    #[test]
    fn unknown_names_are_refused() {
        check("@PORT@", Err("no placeholder @PORT@; known are B_1, LISTEN"));
    }
}
