//! The ways to balance, by their names in the configuration.
//!
//! Owns: the names and what is said of those that cannot be used. Knows nothing of how any of them works.

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spec {
    /// `rendezvous`: by key, in proportion to the weights, and a pool edit moves only the keys that it must.
    #[default]
    Rendezvous,
    /// `round-robin`: each usable member in turn.
    RoundRobin,
    /// `random`: any usable member, all alike.
    Random,
    /// `first`: the first usable member.
    First,
    /// `weight`: in turn, each as often as its weight says.
    Weight,
    /// `least-load`: of two by chance, the one with fewer requests under way for its weight.
    LeastLoad,
    /// `latency`: by chance, in proportion to the weight and to how fast a member answers probes.
    Latency,
    /// `kamailio:N`, or `kamailio:N:use_default`: as algorithm N of Kamailio's dispatcher.
    Kamailio {
        /// 0 to 11, or 13.
        algorithm: u8,
        /// The last member is kept for when no other is usable.
        use_default: bool,
    },
}

/// Why a name is no [`Spec`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// Nobody knows it.
    Unknown(String),
    /// A known way that a later version brings; what to write until then.
    Later {
        /// As it was written.
        name: String,
        /// What comes nearest to it today.
        instead: &'static str,
    },
    /// A known way that is not an edge's work; who does it.
    NotHere {
        /// As it was written.
        name: String,
        /// Who does it instead.
        instead: &'static str,
    },
}

impl std::fmt::Display for SpecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "no balance is called \"{name}\"; write one of {}", Spec::NAMES)
            }
            Self::Later { name, instead } => write!(f, "\"{name}\" comes later; {instead}"),
            Self::NotHere { name, instead } => {
                write!(f, "\"{name}\" is not done by the edge; {instead}")
            }
        }
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// What may be written, for messages.
    pub const NAMES: &str = "rendezvous, round-robin, random, first, weight, least-load, latency, kamailio:N (N: 0 to 11, or 13)";

    /// Reads a name of the configuration.
    pub fn parse(name: &str) -> Result<Self, SpecError> {
        match name {
            "rendezvous" => Ok(Self::Rendezvous),
            "round-robin" => Ok(Self::RoundRobin),
            "random" => Ok(Self::Random),
            "first" => Ok(Self::First),
            "weight" => Ok(Self::Weight),
            "least-load" => Ok(Self::LeastLoad),
            "latency" => Ok(Self::Latency),
            "kamailio:12" => Err(SpecError::NotHere { name: name.to_owned(), instead: FORKS_NOT }),
            "kamailio:14" => {
                Err(later(name, "write kamailio:4 (round robin) or kamailio:8 (serial)"))
            }
            "kamailio:15" => Err(later(name, "write kamailio:8 (priority) or kamailio:9 (weight)")),
            "kamailio:64" => Err(later(name, "write kamailio:4")),
            _ => Self::parse_kamailio(name).ok_or_else(|| SpecError::Unknown(name.to_owned())),
        }
    }

    fn parse_kamailio(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("kamailio:")?;
        let (number, use_default) = match rest.strip_suffix(":use_default") {
            Some(number) => (number, true),
            None => (rest, false),
        };
        let algorithm: u8 = number.parse().ok()?;
        // One way to write each: no sign, no leading zero.
        let plain = algorithm.to_string() == number;
        (plain && Self::is_algorithm(algorithm))
            .then_some(Self::Kamailio { algorithm, use_default })
    }

    /// Whether this algorithm of Kamailio can be used.
    #[must_use]
    pub const fn is_algorithm(number: u8) -> bool {
        matches!(number, 0..=11 | 13)
    }
}

const FORKS_NOT: &str = "parallel forking needs a stateful proxy: send the call to one that forks";

fn later(name: &str, instead: &'static str) -> SpecError {
    SpecError::Later { name: name.to_owned(), instead }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rendezvous => f.write_str("rendezvous"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Random => f.write_str("random"),
            Self::First => f.write_str("first"),
            Self::Weight => f.write_str("weight"),
            Self::LeastLoad => f.write_str("least-load"),
            Self::Latency => f.write_str("latency"),
            Self::Kamailio { algorithm, use_default } => {
                write!(f, "kamailio:{algorithm}{}", if *use_default { ":use_default" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usable_name_reads_back() {
        let mut names: Vec<String> =
            ["rendezvous", "round-robin", "random", "first", "weight", "least-load", "latency"]
                .map(String::from)
                .into();
        for number in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13] {
            names.push(format!("kamailio:{number}"));
            names.push(format!("kamailio:{number}:use_default"));
        }
        for name in names {
            let spec = Spec::parse(&name).expect("a usable name");
            assert_eq!(spec.to_string(), name);
        }
    }

    #[test]
    fn known_but_absent_ways_say_what_to_write() {
        for name in ["kamailio:14", "kamailio:15", "kamailio:64"] {
            let error = Spec::parse(name).expect_err("comes later");
            assert!(matches!(&error, SpecError::Later { .. }), "{name}");
            assert!(error.to_string().contains("comes later"), "{error}");
        }
        let error = Spec::parse("kamailio:12").expect_err("not here");
        assert!(error.to_string().contains("stateful proxy"), "{error}");
    }

    #[test]
    fn anything_else_is_unknown() {
        for name in ["", "Rendezvous", "kamailio", "kamailio:", "kamailio:+4", "kamailio:04"] {
            assert_eq!(Spec::parse(name), Err(SpecError::Unknown(name.to_owned())));
        }
        for name in ["kamailio:16", "kamailio:99", "kamailio:256", "kamailio:4:default", "hash"] {
            assert_eq!(Spec::parse(name), Err(SpecError::Unknown(name.to_owned())));
        }
    }
}
