//! Reply classes: what the status of an answer to a probe says about the backend.
//!
//! Owns: the profiles and the lists of codes that stand in their place. Knows nothing of states or times.

use std::fmt;

/// Which answers say that a backend is alive.
///
/// Kamailio takes 2xx alone for alive, unless `ds_ping_reply_codes` lists more, so a registrar that answers 404 or 405 to
/// an OPTIONS is taken out. Whoever answers such a status is well: the default takes all but 408 and 5xx.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Alive {
    /// Every final answer but 408 and 5xx.
    #[default]
    Default,
    /// The same, and 503 means full: FreeSWITCH answers it at `max-sessions`, to an OPTIONS too.
    FreeSwitch,
    /// Exactly these.
    Listed(Vec<Codes>),
}

/// One code, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// All that begin with this digit: 2 to 6.
    Class(u8),
    /// This one: 200 to 699.
    One(u16),
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Not final (1xx): it says nothing yet.
    Provisional,
    /// Alive.
    Good,
    /// Alive, and takes no new keys.
    Full,
    /// As bad as no answer.
    Bad,
}

impl Codes {
    const fn has(self, status: u16) -> bool {
        match self {
            Self::Class(digit) => status / 100 == digit as u16,
            Self::One(code) => status == code,
        }
    }
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(digit) => write!(f, "{digit}xx"),
            Self::One(code) => write!(f, "{code}"),
        }
    }
}

impl Alive {
    /// Judges the status of an answer.
    #[must_use]
    pub fn judge(&self, status: u16) -> Judgement {
        let alive = match self {
            _ if status < 200 => return Judgement::Provisional,
            Self::FreeSwitch if status == 503 => return Judgement::Full,
            Self::Default | Self::FreeSwitch => status != 408 && status / 100 != 5,
            Self::Listed(codes) => codes.iter().any(|codes| codes.has(status)),
        };
        if alive { Judgement::Good } else { Judgement::Bad }
    }
}

impl fmt::Display for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("any final answer but 408 and 5xx"),
            Self::FreeSwitch => f.write_str("any final answer but 408 and 5xx; 503 means full"),
            Self::Listed(codes) => {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                f.write_str(&codes.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_judges_as_it_says() {
        use Judgement::{Bad, Full, Good, Provisional};
        let listed = Alive::Listed(vec![Codes::Class(2), Codes::Class(3), Codes::One(404)]);
        let rows = [
            (100, Provisional, Provisional, Provisional),
            (183, Provisional, Provisional, Provisional),
            (200, Good, Good, Good),
            (302, Good, Good, Good),
            (404, Good, Good, Good),
            (405, Good, Good, Bad),
            (408, Bad, Bad, Bad),
            (500, Bad, Bad, Bad),
            (503, Bad, Full, Bad),
            (599, Bad, Bad, Bad),
            (603, Good, Good, Bad),
        ];
        for (status, default, freeswitch, list) in rows {
            assert_eq!(Alive::Default.judge(status), default, "{status}");
            assert_eq!(Alive::FreeSwitch.judge(status), freeswitch, "{status}");
            assert_eq!(listed.judge(status), list, "{status}");
        }
        assert_eq!(listed.to_string(), "2xx, 3xx, 404");
    }
}
