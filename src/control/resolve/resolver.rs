//! Asks the DNS: one question, one answer, with hickory-resolver's name servers.
//!
//! Owns: which servers are asked, in which order, how long, and how aliases are followed. It keeps no answer: `cache` does. The
//! servers are asked one after the other, until one says something of the question: records, or that there are none. No hosts
//! file and no search list are looked at, so that all nodes read a name alike.
//! Limits: [`QUERY_TIME_MAX`] for a question with all its attempts, [`ALIASES_MAX`] names on its way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query as DnsQuery, ResponseCode};
use hickory_resolver::proto::rr::{Name as DnsName, RData, Record as DnsRecord, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::cache::Reply;
use super::plan::{Kind, Query, Record};

/// How long a question may take in all.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(4);
/// Names that an answer may lead over (CNAME).
pub const ALIASES_MAX: usize = 8;
/// How long a server may take before the next one is asked.
const ATTEMPT_TIME_MAX: Duration = Duration::from_millis(1_000);
/// How often all servers are asked.
const ROUNDS: usize = 3;
/// "There is none" without a word on how long that holds.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Clone)]
pub struct Resolver {
    /// Each stands alone: a pool of several would take the first error for an answer.
    servers: Arc<[NameServerPool<TokioRuntimeProvider>]>,
}

impl Resolver {
    /// Asks `servers`, or those of `/etc/resolv.conf` when there are none.
    ///
    /// # Errors
    /// When `/etc/resolv.conf` cannot be read or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let configs = match servers {
            [] => system_servers()?,
            written => written.iter().map(server).collect(),
        };
        let mut options = ResolverOpts::default();
        options.timeout = ATTEMPT_TIME_MAX;
        let tls = TlsConfig::new().map_err(|error| error.to_string())?;
        let shared = Arc::new(PoolContext::new(options, tls));
        let alone = |config: NameServerConfig| {
            NameServerPool::from_config(
                [config],
                Arc::clone(&shared),
                TokioRuntimeProvider::default(),
            )
        };
        Ok(Self { servers: configs.into_iter().map(alone).collect() })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none came that says something of the question.
    pub async fn ask(&self, query: &Query) -> Result<Reply, String> {
        let name = DnsName::from_ascii(format!("{}.", query.name))
            .map_err(|error| format!("is no name of the DNS: {error}"))?;
        let asked = tokio::time::timeout(QUERY_TIME_MAX, self.follow(name, query.kind));
        asked.await.unwrap_or_else(|_| Err("no answer".to_owned()))
    }

    /// Follows aliases to the records, as far as an answer does not lead there by itself.
    async fn follow(&self, mut name: DnsName, kind: Kind) -> Result<Reply, String> {
        let mut ttl = Duration::MAX;
        for _ in 0..=ALIASES_MAX {
            match walk(&name, ttl, record_type(kind), &self.ask_all(&name, kind).await?) {
                Walked::Done(reply) => return Ok(reply),
                Walked::Alias(target, target_ttl) => (name, ttl) = (target, target_ttl),
            }
        }
        Err(format!("more than {ALIASES_MAX} aliases, or a circle of them"))
    }

    /// The answer of the first server that has one.
    async fn ask_all(&self, name: &DnsName, kind: Kind) -> Result<Answer, String> {
        let mut why = "no DNS server is known".to_owned();
        for server in std::iter::repeat_n(&*self.servers, ROUNDS).flatten() {
            let query = DnsQuery::query(name.clone(), record_type(kind));
            let answer = server.lookup(query, DnsRequestOptions::default()).first_answer();
            let answer = tokio::time::timeout(ATTEMPT_TIME_MAX, answer).await;
            let answer = answer.unwrap_or(Err(NetError::Timeout));
            match answer.and_then(|response| Ok(DnsError::from_response(response)?)) {
                Ok(response) => {
                    let negative_ttl = response.negative_ttl();
                    return Ok(Answer { records: response.into_message().answers, negative_ttl });
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                    return Ok(Answer { records: Vec::new(), negative_ttl: none.negative_ttl });
                }
                // Some small resolvers know addresses and nothing else. Their names have no NAPTR and no SRV, then.
                Err(NetError::Dns(DnsError::ResponseCode(
                    ResponseCode::NotImp | ResponseCode::FormErr | ResponseCode::Refused,
                ))) if matches!(kind, Kind::Naptr | Kind::Srv) => {
                    return Ok(Answer { records: Vec::new(), negative_ttl: None });
                }
                Err(NetError::Dns(DnsError::ResponseCode(code))) => {
                    why = format!("the DNS server says \"{code}\"");
                }
                Err(NetError::Timeout) => why = "no answer".to_owned(),
                Err(NetError::NoConnections) => why = "no DNS server can be reached".to_owned(),
                Err(other) => why = other.to_string(),
            }
        }
        Err(why)
    }
}

/// What a server says.
struct Answer {
    records: Vec<DnsRecord>,
    negative_ttl: Option<u32>,
}

/// Where an answer leads.
enum Walked {
    /// To records, or to their absence.
    Done(Reply),
    /// To a name that it says nothing more of, within this time.
    Alias(DnsName, Duration),
}

/// Goes from `name` over the aliases in an answer to the records of `kind`; they hold as long as all that led to them.
fn walk(asked: &DnsName, mut ttl: Duration, kind: RecordType, answer: &Answer) -> Walked {
    let mut name = asked.clone();
    for _ in 0..=ALIASES_MAX {
        let own = || answer.records.iter().filter(|record| record.name == name);
        let found: Vec<&DnsRecord> = own().filter(|record| record.record_type() == kind).collect();
        if !found.is_empty() {
            let shortest = found.iter().map(|record| seconds(record.ttl)).min();
            return Walked::Done(Reply {
                records: found.iter().filter_map(|record| record_of(&record.data)).collect(),
                ttl: shortest.map_or(ttl, |shortest| ttl.min(shortest)),
            });
        }
        let alias = own().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), seconds(record.ttl))),
            _ => None,
        });
        match alias {
            Some((target, target_ttl)) => (name, ttl) = (target, ttl.min(target_ttl)),
            None if name == *asked => break,
            None => return Walked::Alias(name, ttl),
        }
    }
    let negative = answer.negative_ttl.map_or(NEGATIVE_TTL, seconds);
    Walked::Done(Reply { records: Vec::new(), ttl: ttl.min(negative) })
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

fn server(address: &SocketAddr) -> NameServerConfig {
    // A truncated answer is asked for again over TCP.
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, connections.map(with_port).into())
}

fn system_servers() -> Result<Vec<NameServerConfig>, String> {
    let (config, _) =
        read_system_conf().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))?;
    Ok(config.name_servers().to_vec())
}

const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    }
}

fn record_of(data: &RData) -> Option<Record> {
    Some(match data {
        RData::A(ip) => Record::Address(ip.0.into()),
        RData::AAAA(ip) => Record::Address(ip.0.into()),
        RData::SRV(srv) => Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: plain(&srv.target),
        },
        RData::NAPTR(naptr) => Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
            service: String::from_utf8_lossy(&naptr.services).into_owned(),
            replacement: plain(&naptr.replacement),
        },
        _ => return None,
    })
}

/// Lower case, no dot at the end.
fn plain(name: &DnsName) -> String {
    let mut name = name.to_lowercase().to_ascii();
    if name.ends_with('.') {
        name.pop();
    }
    name
}
