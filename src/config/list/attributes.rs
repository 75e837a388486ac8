//! The attributes of a destination: `name=value` pairs between semicolons.
//!
//! Owns: the names that mean something here. All others are kept as they are: other software reads the same file.

use super::super::address::is_sip_uri;
use super::fields::{Field, Problems, digits};

/// What a line says of a destination besides its state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The whole text, without one semicolon at its end.
    pub text: String,
    /// A name of the destination that is unique in the list.
    pub duid: Option<String>,
    /// 1 to 100; 0 without one.
    pub weight: u32,
    /// The relative weight: 1 to 100; 0 without one.
    pub rweight: u32,
    /// Most calls at a time, for `kamailio:10`; 0 for any number.
    pub max_load: u32,
    /// How long it takes to answer before that was measured, for `kamailio:13`. Milliseconds.
    pub latency_ms: Option<u32>,
    /// The listener to send from, as `protocol:address:port`.
    pub socket: Option<String>,
    /// The URI in the From of its probes.
    pub ping_from: Option<String>,
    /// All the others in order, names as written; the value is empty where there is no `=`.
    pub others: Vec<(String, String)>,
}

/// What a list does not know as quotes.
const QUOTES: [char; 2] = ['"', '\''];

impl Attributes {
    pub(super) fn parse(field: Field<'_>, problems: &mut Problems<'_>) -> Self {
        let text = field.text.strip_suffix(';').unwrap_or(field.text);
        let mut attributes = Self { text: text.to_owned(), ..Self::default() };
        let mut column = field.column;
        for pair in text.split(';') {
            attributes.add(pair, column, problems);
            column += pair.len() + 1;
        }
        attributes
    }

    fn add(&mut self, pair: &str, column: usize, problems: &mut Problems<'_>) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Without a value: right behind the name, which may be the end of the line.
        let value_column = column + name.len() + usize::from(pair.contains('='));
        match name.to_ascii_lowercase().as_str() {
            "" => {}
            "duid" => self.duid = Some(value.to_owned()),
            "ping_from" => self.ping_from = ping_from(value, value_column, problems),
            "socket" => self.socket = Some(value.to_owned()),
            "maxload" => self.max_load = whole(name, value, value_column, problems).unwrap_or(0),
            "latency" => self.latency_ms = whole(name, value, value_column, problems),
            "weight" => self.weight = weight(name, value, value_column, problems),
            "rweight" => self.rweight = weight(name, value, value_column, problems),
            _ => {
                if let Some(quote) = name.chars().next().filter(|c| QUOTES.contains(c)) {
                    let message =
                        format!("{quote} is part of the name {name}, which means nothing");
                    problems.warning(column, message, "write attributes without quotes: weight=50");
                }
                self.others.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

fn ping_from(value: &str, column: usize, problems: &mut Problems<'_>) -> Option<String> {
    if is_sip_uri(value) {
        return Some(value.to_owned());
    }
    let message = format!("ping_from \"{value}\" is no SIP URI and is left out");
    problems.warning(column, message, "write ping_from=sip:probe@example.com");
    None
}

/// What is no number is left out, and the destination stays.
fn whole(name: &str, value: &str, column: usize, problems: &mut Problems<'_>) -> Option<u32> {
    let number = digits(value).and_then(|digits| digits.parse().ok());
    if number.is_none() {
        let message = if value.starts_with(QUOTES) {
            format!("{name}={value} stands in quotes and is left out")
        } else {
            format!("{name} \"{value}\" is no number and is left out")
        };
        problems.warning(column, message, "write digits alone");
    }
    number
}

/// Out of range counts as no weight, as in Kamailio, and the destination stays.
fn weight(name: &str, value: &str, column: usize, problems: &mut Problems<'_>) -> u32 {
    let weight = digits(value).and_then(|digits| digits.parse().ok());
    weight.filter(|weight| (1..=100).contains(weight)).unwrap_or_else(|| {
        let (message, help) = if value.starts_with(QUOTES) {
            (
                format!("{name}={value} stands in quotes and counts as 0"),
                "write digits without quotes",
            )
        } else {
            (format!("{name} \"{value}\" is out of range and counts as 0"), "write 1 to 100")
        };
        problems.warning(column, message, help);
        0
    })
}
