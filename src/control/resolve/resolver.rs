//! Asks the DNS: one question, one answer, through hickory-resolver.
//!
//! Owns: which servers are asked, how long, and how an answer of theirs becomes records of ours. It keeps no answer: `cache`
//! does. No hosts file and no search list are looked at, so that all nodes read a name alike.
//! Limits: [`QUERY_TIME_MAX`] for a question with all its attempts.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as DnsName, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::cache::Reply;
use super::plan::{Kind, Query, Record};

/// How long a question may take in all.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(4);
/// How long a server may take for one attempt.
const ATTEMPT_TIME_MAX: Duration = Duration::from_millis(1_200);
/// Attempts after the first.
const RETRIES: usize = 2;
/// "There is none" without a word on how long that holds.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl Resolver {
    /// Asks `servers`, or those of `/etc/resolv.conf` when there are none.
    ///
    /// # Errors
    /// When `/etc/resolv.conf` cannot be read or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let servers = match servers {
            [] => system_servers()?,
            written => written.iter().map(server).collect(),
        };
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = ATTEMPT_TIME_MAX;
        options.attempts = RETRIES;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        builder.build().map(Self).map_err(|error| error.to_string())
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none came that says something of the question.
    pub async fn ask(&self, query: &Query) -> Result<Reply, String> {
        let name = DnsName::from_ascii(format!("{}.", query.name))
            .map_err(|error| format!("is no name of the DNS: {error}"))?;
        let asked = self.0.lookup(name, record_type(query.kind));
        match tokio::time::timeout(QUERY_TIME_MAX, asked).await {
            Err(_) => Err("no answer".to_owned()),
            Ok(Err(error)) => refused(query.kind, error),
            Ok(Ok(lookup)) => {
                let answers = lookup.answers();
                let seconds = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
                Ok(Reply {
                    records: answers.iter().filter_map(|record| record_of(&record.data)).collect(),
                    ttl: Duration::from_secs(seconds.into()),
                })
            }
        }
    }
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

/// What an error says: that there are no records, or nothing.
fn refused(kind: Kind, error: NetError) -> Result<Reply, String> {
    let none = |ttl| Ok(Reply { records: Vec::new(), ttl });
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none_found)) => {
            let seconds = none_found.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
            none(seconds.unwrap_or(NEGATIVE_TTL))
        }
        // Some small resolvers know addresses and nothing else. Their name has no NAPTR and no SRV, then.
        NetError::Dns(DnsError::ResponseCode(
            ResponseCode::NotImp | ResponseCode::FormErr | ResponseCode::Refused,
        )) if matches!(kind, Kind::Naptr | Kind::Srv) => none(NEGATIVE_TTL),
        NetError::Dns(DnsError::ResponseCode(code)) => Err(format!("the DNS server says \"{code}\"")),
        NetError::Timeout => Err("no answer".to_owned()),
        NetError::NoConnections => Err("no DNS server can be reached".to_owned()),
        other => Err(other.to_string()),
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
