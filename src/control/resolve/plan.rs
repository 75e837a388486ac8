//! RFC 3263 as a function: from the answers that there are to the next questions, or to addresses.
//!
//! Owns: which records are asked for in which order, how SRV priority and weight become tier and share, the bounds of a
//! name. It asks nobody and knows no time: [`evaluate`] is called again whenever an answer has come, and starts over.
//! Limits: [`TARGETS_MAX`] hosts and [`ADDRESSES_MAX`] addresses of a name; what is beyond is left out and told.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use super::{ADDRESSES_MAX, Name, Resolved, SHARE_ONE};

#[cfg(test)]
mod tests;

/// Most hosts that the SRV records of a name may point to.
pub const TARGETS_MAX: usize = 64;
/// Most NAPTR records that are followed.
pub const SERVICES_MAX: usize = 8;
/// Most notes of an outcome; the last one says how many more there were.
pub const NOTES_MAX: usize = 8;
/// The port of a host without an SRV record (RFC 3263 4.2).
const SIP_PORT: u16 = 5060;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Which transports a domain has.
    Naptr,
    /// Which hosts serve it.
    Srv,
    /// IPv4 addresses of a host.
    A,
    /// IPv6 addresses of a host.
    Aaaa,
}

impl Kind {
    /// As the DNS calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Query {
    /// Lower case, no dot at the end.
    pub name: String,
    /// What is asked of it.
    pub kind: Kind,
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.label(), self.name)
    }
}

/// One record of an answer. Names are in lower case, without a dot at the end; the root is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// RFC 3403.
    Naptr {
        /// Lowest first.
        order: u16,
        /// Lowest first, among those of an order.
        preference: u16,
        /// What the replacement is: `s` for the name of SRV records.
        flags: String,
        /// `SIP+D2U` for UDP.
        service: String,
        /// The name to ask next.
        replacement: String,
    },
    /// RFC 2782.
    Srv {
        /// Lowest first.
        priority: u16,
        /// Share among those of a priority.
        weight: u16,
        /// The port of the service.
        port: u16,
        /// The host; empty: the service is decidedly not there.
        target: String,
    },
    /// A or AAAA.
    Address(IpAddr),
}

/// What is known of a question.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    /// Its records; none when the DNS says that there are none.
    Records(&'a [Record]),
    /// No answer came; why.
    Failed(&'a str),
    /// It was not answered yet.
    Pending,
}

/// How far it went.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Some questions have no answer yet.
    Wait,
    /// Addresses, at least one, and notes.
    Found(Vec<Resolved>, Vec<String>),
    /// The DNS has answered, and there is nothing to send to.
    Nothing(String),
    /// The DNS did not answer.
    Failed(String),
}

/// Follows `name` through what `look` knows. Each question that counts is asked of `look`.
pub fn evaluate<'a>(name: &Name, look: &mut dyn FnMut(&Query) -> Look<'a>) -> Step {
    let mut walk = Walk { name, look, notes: Vec::new() };
    match walk.targets().and_then(|targets| walk.addresses(targets)) {
        Ok(found) => Step::Found(found, bounded(walk.notes)),
        Err(step) => step,
    }
}

/// A host to ask addresses of.
struct Target {
    host: String,
    port: u16,
    priority: u16,
    share: u32,
    /// The name of its SRV record.
    service: Option<String>,
}

/// Which SRV names to ask, and whether the host itself will do when they have no records.
struct Services {
    names: Vec<String>,
    host_does: bool,
}

struct Walk<'n, 'l, 'a> {
    name: &'n Name,
    look: &'l mut dyn FnMut(&Query) -> Look<'a>,
    notes: Vec<String>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn ask(&mut self, name: &str, kind: Kind) -> Result<&'a [Record], Step> {
        let query = Query { name: name.to_owned(), kind };
        match (self.look)(&query) {
            Look::Records(records) => Ok(records),
            Look::Failed(why) => Err(Step::Failed(format!("{query}: {why}"))),
            Look::Pending => Err(Step::Wait),
        }
    }

    /// The hosts that serve the name.
    fn targets(&mut self) -> Result<Vec<Target>, Step> {
        let host = |port| {
            let host = self.name.host.clone();
            vec![Target { host, port, priority: 0, share: SHARE_ONE, service: None }]
        };
        // RFC 3263 4.2: with a port, the host is asked for addresses alone.
        if let Some(port) = self.name.port {
            return Ok(host(port));
        }
        let itself = host(SIP_PORT);
        let services = self.services()?;
        for service in &services.names {
            let records = self.ask(service, Kind::Srv)?;
            if records.iter().any(|record| matches!(record, Record::Srv { .. })) {
                return self.served(service, records);
            }
        }
        if services.host_does {
            return Ok(itself);
        }
        let names = services.names.join(", ");
        Err(Step::Nothing(format!("its NAPTR records lead to no SRV record for UDP ({names})")))
    }

    /// RFC 3263 4.1: NAPTR says which SRV names there are, unless the URI says the transport.
    fn services(&mut self) -> Result<Services, Step> {
        let usual = format!("_sip._udp.{}", self.name.host);
        if self.name.transport_written {
            return Ok(Services { names: vec![usual], host_does: true });
        }
        let host = self.name.host.clone();
        let mut udp = Vec::new();
        let mut others = Vec::new();
        for record in self.ask(&host, Kind::Naptr)? {
            let Record::Naptr { order, preference, flags, service, replacement } = record else {
                continue;
            };
            let service = service.to_ascii_uppercase();
            if service == "SIP+D2U" && flags.eq_ignore_ascii_case("s") && !replacement.is_empty() {
                udp.push((*order, *preference, replacement.clone()));
            } else if service.starts_with("SIP+") || service.starts_with("SIPS+") {
                others.push(service);
            }
        }
        if !others.is_empty() {
            others.sort_unstable();
            others.dedup();
            self.notes
                .push(format!("NAPTR records ignored: {} (only UDP is sent)", others.join(", ")));
        }
        if udp.is_empty() {
            // A domain that names transports, and not UDP, is not sent UDP unless its SRV records invite it.
            return Ok(Services { names: vec![usual], host_does: others.is_empty() });
        }
        udp.sort_unstable();
        udp.truncate(SERVICES_MAX);
        Ok(Services { names: udp.into_iter().map(|(_, _, name)| name).collect(), host_does: false })
    }

    /// The hosts of SRV records, each with its share among those of its priority.
    fn served(&mut self, service: &str, records: &[Record]) -> Result<Vec<Target>, Step> {
        let mut rows: Vec<(u16, &str, u16, u16)> = records
            .iter()
            .filter_map(|record| match record {
                Record::Srv { priority, weight, port, target } => {
                    Some((*priority, target.as_str(), *port, *weight))
                }
                _ => None,
            })
            // RFC 2782: the target "." says that the service is decidedly not there. Port 0 is no port.
            .filter(|(_, target, port, _)| !target.is_empty() && *port != 0)
            .collect();
        if rows.is_empty() {
            return Err(Step::Nothing(format!("SRV {service} says that there is no such service")));
        }
        rows.sort_unstable_by_key(|&(priority, target, port, weight)| {
            (priority, target, port, Reverse(weight))
        });
        rows.dedup_by_key(|&mut (priority, target, port, _)| (priority, target, port));
        if rows.len() > TARGETS_MAX {
            let more = rows.len() - TARGETS_MAX;
            self.notes.push(format!("SRV {service}: {more} records beyond {TARGETS_MAX} left out"));
            rows.truncate(TARGETS_MAX);
        }
        let target = |&(priority, target, port, weight): &(u16, &str, u16, u16)| Target {
            host: target.to_owned(),
            port,
            priority,
            share: share(weight, rows.iter().filter(|row| row.0 == priority).map(|row| row.3)),
            service: Some(service.to_owned()),
        };
        Ok(rows.iter().map(target).collect())
    }

    /// The addresses of all hosts. A host whose question fails costs its own addresses and no others.
    fn addresses(&mut self, targets: Vec<Target>) -> Result<Vec<Resolved>, Step> {
        let mut found: Vec<Resolved> = Vec::new();
        let mut wait = false;
        let mut failures = Vec::new();
        for target in targets {
            match self.host(&target.host) {
                Ok((kind, addresses)) => found.extend(resolved(&target, kind, &addresses)),
                Err(Step::Wait) => wait = true,
                Err(Step::Failed(why)) => failures.push(why),
                Err(Step::Nothing(why)) => self.notes.push(why),
                Err(other) => return Err(other),
            }
        }
        if wait {
            return Err(Step::Wait);
        }
        if found.is_empty() {
            return Err(match failures.pop() {
                Some(why) => Step::Failed(why),
                None => Step::Nothing(std::mem::take(&mut self.notes).join("; ")),
            });
        }
        self.notes.append(&mut failures);
        // Two records with one address are one member: the better record counts.
        found.sort_by_key(|one| (one.address, one.priority, Reverse(one.share)));
        found.dedup_by_key(|one| one.address);
        found.sort_by_key(|one| (one.priority, one.address));
        if found.len() > ADDRESSES_MAX {
            let more = found.len() - ADDRESSES_MAX;
            self.notes.push(format!("{more} addresses beyond {ADDRESSES_MAX} left out"));
            found.truncate(ADDRESSES_MAX);
        }
        Ok(found)
    }

    /// The addresses of one host: IPv4 when it has some that we can send to, else IPv6.
    fn host(&mut self, host: &str) -> Result<(Kind, Vec<IpAddr>), Step> {
        let families = self.name.families;
        for (wanted, kind) in [(families.ipv4, Kind::A), (families.ipv6, Kind::Aaaa)] {
            if !wanted {
                continue;
            }
            let mut addresses: Vec<IpAddr> = self
                .ask(host, kind)?
                .iter()
                .filter_map(|record| match record {
                    Record::Address(ip) if can_be_sent_to(*ip) => Some(*ip),
                    _ => None,
                })
                .collect();
            addresses.sort_unstable();
            addresses.dedup();
            if !addresses.is_empty() {
                return Ok((kind, addresses));
            }
        }
        let family = match (families.ipv4, families.ipv6) {
            (true, false) => "IPv4 address",
            (false, true) => "IPv6 address",
            _ => "address",
        };
        Err(Step::Nothing(format!("{host} has no {family}")))
    }
}

/// The addresses of one host share what its record gives it: RFC 2782 weighs hosts. Without a record each address is a
/// backend of its own.
fn resolved(target: &Target, kind: Kind, addresses: &[IpAddr]) -> Vec<Resolved> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let own = Query { name: target.host.clone(), kind };
    let (via, share) = match &target.service {
        None => (own.to_string(), target.share),
        Some(service) => (format!("SRV {service}, {own}"), (target.share / count).max(1)),
    };
    let one = |ip: &IpAddr| Resolved {
        address: SocketAddr::new(*ip, target.port),
        priority: target.priority,
        share,
        via: via.clone(),
    };
    addresses.iter().map(one).collect()
}

/// The share of an SRV weight among those of its priority: the average one has [`SHARE_ONE`].
fn share(weight: u16, of_priority: impl Iterator<Item = u16>) -> u32 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for weight in of_priority.filter(|weight| *weight > 0) {
        sum += u64::from(weight);
        count += 1;
    }
    if sum == 0 {
        // RFC 2782: weight 0 everywhere says that there is nothing to weigh.
        return SHARE_ONE;
    }
    // RFC 2782: beside others, weight 0 has a very small chance; picking there gives it 1 / (sum + 1), too.
    let parts = if weight == 0 { 1 } else { u64::from(weight) };
    let share = parts * count * u64::from(SHARE_ONE) / sum;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

/// What the DNS says may be nonsense; a member must be one host.
fn can_be_sent_to(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

fn bounded(mut notes: Vec<String>) -> Vec<String> {
    if notes.len() > NOTES_MAX {
        let more = notes.len() - NOTES_MAX + 1;
        notes.truncate(NOTES_MAX - 1);
        notes.push(format!("and {more} more"));
    }
    notes
}
