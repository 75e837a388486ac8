//! Scenarios: what traffic a run makes, as data (`perf/scenarios/*.toml`).
//!
//! Owns: the file format, its defaults and its limits. Unknown keys are errors. Sizes are bytes.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Flows that are remembered at once; older ones count as they stand.
pub const FLOWS_MAX: usize = 1 << 20;

/// What a flow is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// One request; backends keep silent.
    Requests,
    /// One request, and the backend's 200 back to the caller.
    Respond,
    /// INVITE, 180, 200, ACK, BYE, 200.
    Calls,
}

/// How starts are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Exponential gaps: independent callers.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// What the first request of a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// With an SDP offer.
    Invite,
    /// Of one contact.
    Register,
    /// Without body.
    Options,
}

/// One part of the mix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its requests.
    pub kind: Kind,
    /// Share against the other parts.
    #[serde(default = "one")]
    pub weight: u32,
    /// Mean size of the request.
    pub bytes: u32,
    /// Sizes are drawn within `bytes - spread ..= bytes + spread`.
    #[serde(default)]
    pub spread: u32,
}

/// A scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How reports call it.
    pub name: String,
    /// What a flow is made of.
    pub flow: Flow,
    /// How starts are spread over time.
    #[serde(default = "poisson")]
    pub arrivals: Arrivals,
    /// Callers' sockets.
    #[serde(default = "sixteen")]
    pub sources: u16,
    /// Requests in a row of one source, kind and size.
    #[serde(default = "sixteen_u32")]
    pub run_length: u32,
    /// Requests with the same Call-ID.
    #[serde(default = "one")]
    pub messages_per_call_id: u32,
    /// Different messages made beforehand, for each part of the mix.
    #[serde(default = "sixteen")]
    pub templates: u16,
    /// From ACK to BYE.
    #[serde(default)]
    pub hold_ms: u32,
    /// Callers' Via has `rport` (RFC 3581).
    #[serde(default = "yes")]
    pub rport: bool,
    /// What the first requests are.
    pub mix: Vec<Part>,
}

const fn one() -> u32 {
    1
}
const fn sixteen() -> u16 {
    16
}
const fn sixteen_u32() -> u32 {
    16
}
const fn yes() -> bool {
    true
}
const fn poisson() -> Arrivals {
    Arrivals::Poisson
}

/// Why a scenario cannot be run.
#[derive(Debug)]
pub enum ScenarioError {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It is no TOML, or has keys or values that are not known.
    Malformed(Box<toml::de::Error>),
    /// A value is out of its bounds: the key and the bounds.
    OutOfBounds(&'static str, &'static str),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Malformed(error) => write!(f, "{error}"),
            Self::OutOfBounds(key, bounds) => write!(f, "{key}: must be {bounds}"),
        }
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is no scenario.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::Unreadable(path.to_owned(), error))?;
        Self::parse(&text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is no scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Malformed(Box::new(error)))?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let rules = [
            ((1..=256).contains(&self.sources), "sources", "1 to 256"),
            ((1..=1_024).contains(&self.run_length), "run_length", "1 to 1024"),
            ((1..=9).contains(&self.messages_per_call_id), "messages_per_call_id", "1 to 9"),
            ((1..=1_024).contains(&self.templates), "templates", "1 to 1024"),
            (self.hold_ms <= 60_000, "hold_ms", "at most 60000"),
            (!self.mix.is_empty(), "mix", "at least one part"),
            (self.mix.iter().all(|p| (1..=1_000).contains(&p.weight)), "weight", "1 to 1000"),
            (self.mix.iter().all(|p| (300..=8_000).contains(&p.bytes)), "bytes", "300 to 8000"),
            (self.mix.iter().all(|p| p.spread <= p.bytes / 2), "spread", "at most half of bytes"),
        ];
        for (holds, key, bounds) in rules {
            if !holds {
                return Err(ScenarioError::OutOfBounds(key, bounds));
            }
        }
        if self.flow == Flow::Calls {
            if self.messages_per_call_id != 1 {
                return Err(ScenarioError::OutOfBounds("messages_per_call_id", "1 for calls"));
            }
            if self.mix.iter().any(|part| part.kind != Kind::Invite) {
                return Err(ScenarioError::OutOfBounds("kind", "\"invite\" for calls"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "name = \"x\"\nflow = \"requests\"\n[[mix]]\nkind = \"options\"\nbytes = 400\n";

    #[test]
    fn the_least_has_defaults() {
        let scenario = Scenario::parse(LEAST).expect("a scenario");
        assert_eq!((scenario.sources, scenario.run_length, scenario.mix[0].weight), (16, 16, 1));
        assert_eq!(scenario.arrivals, Arrivals::Poisson);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let says = |text: &str| Scenario::parse(text).expect_err("wrong").to_string();
        assert!(says(&LEAST.replace("bytes", "octets")).contains("octets"));
        assert!(says(&format!("colour = 1\n{LEAST}")).contains("colour"));
        assert!(says(&LEAST.replace("400", "40")).contains("bytes: must be 300 to 8000"));
        assert!(says(&LEAST.replace("requests", "calls")).contains("kind: must be"));
        assert!(says("name = \"x\"\nflow = \"requests\"\nmix = []\n").contains("mix"));
    }

    #[test]
    fn every_scenario_of_the_tree_is_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("the folder of scenarios") {
            let path = entry.expect("an entry").path();
            let scenario = Scenario::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            assert_eq!(path.file_stem().and_then(|s| s.to_str()), Some(&*scenario.name));
            seen += 1;
        }
        assert!(seen >= 6, "{seen} scenarios");
    }
}
