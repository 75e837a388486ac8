//! Lines of a configuration as they may be shown: a problem on the line of a password shows the line, not the password.
//!
//! Owns: which values are masked. What has nearly the name of a secret is masked, too: a mistyped key is a problem that shows its
//! line. Each character becomes one `*`, so that columns stay.

use std::borrow::Cow;

use super::problem::did_you_mean;

/// Keys whose values are shown to nobody.
const SECRETS: [&str; 3] = ["secret", "password", "token"];

/// `line` with `*` for the characters of secrets, unless these only name where the secret is.
pub(super) fn masked(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in line.match_indices('=') {
        if at < done || !is_secret(key_before(&line[..at])) {
            continue;
        }
        let start = at + 1 + (line[at + 1..].len() - line[at + 1..].trim_start().len());
        let end = start + value_bytes(&line[start..]);
        let value = &line[start..end];
        let inner = value.trim_matches(['"', '\'']);
        if inner.starts_with("env:") || inner.starts_with("file:") {
            continue;
        }
        out.push_str(&line[done..start]);
        let mask = |c: char| if matches!(c, '"' | '\'') { c } else { '*' };
        out.extend(value.chars().map(mask));
        done = end;
    }
    if done == 0 {
        return Cow::Borrowed(line);
    }
    out.push_str(&line[done..]);
    Cow::Owned(out)
}

/// The key that an `=` belongs to.
fn key_before(text: &str) -> &str {
    let text = text.trim_end().trim_end_matches(['"', '\'']);
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let start = text.char_indices().rev().take_while(|&(_, c)| is_part(c)).last();
    start.map_or("", |(start, _)| &text[start..])
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !key.is_empty()
        && (["secret", "passw", "token", "pwd"].iter().any(|part| key.contains(part))
            || did_you_mean(&key, &SECRETS).is_some())
}

/// How long the value is that `text` begins with: to its closing quote; without one to the end.
fn value_bytes(text: &str) -> usize {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return text.find([',', '}', '#']).map_or(text, |end| &text[..end]).trim_end().len();
    };
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_secrets_are_masked_and_nothing_else() {
        let rows = [
            ("name = \"a\"", "name = \"a\""),
            ("token = \"hunter2\"  # mine", "token = \"*******\"  # mine"),
            ("token = 'hunter2'", "token = '*******'"),
            ("token=hunter2 # x", "token=******* # x"),
            ("\"password\" = \"a\\\"b\", node_id = 7", "\"password\" = \"**\"*\", node_id = 7"),
            (
                "keys = [{ id = 1, secret = \"x,}\" }, { id = 2, secret = \"ü\" }]",
                "keys = [{ id = 1, secret = \"***\" }, { id = 2, secret = \"*\" }]",
            ),
            ("pasword = \"hunter2\"", "pasword = \"*******\""),
            ("admin_token = \"hunter2", "admin_token = \"*******"),
            ("token = \"env:SIPEDGE_TOKEN\"", "token = \"env:SIPEDGE_TOKEN\""),
            ("secret = \"file:a.key\"", "secret = \"file:a.key\""),
            ("password =", "password ="),
            ("= \"x\"", "= \"x\""),
        ];
        for (line, expected) in rows {
            assert_eq!(masked(line), expected);
            assert_eq!(masked(line).chars().count(), line.chars().count());
        }
    }
}
