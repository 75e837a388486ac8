//! Why a message goes where it goes: the core that forwards, asked offline.
//!
//! Owns: how a decision is told. Decides nothing itself: verdict, edits and next hop are those of `Core::handle`,
//! candidates those of the pool's balance before it was asked.

use std::fmt::{self, Write};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::compile;
use super::resolve::look::look;
use super::summary::{key_text, rule_text};
use crate::config::Config;
use crate::sip::balance::Rotation;
use crate::sip::core::Core;
use crate::sip::message::{Index, Message};
use crate::sip::outbox::Outbox;
use crate::sip::response::phrase;
use crate::sip::route::table::{Action, Pool, Table};
use crate::sip::{
    BackendRef, Cause, Decision, ListenerId, MESSAGE_BYTES_MAX, Now, Received, Verdict,
};

mod diff;
mod fields;

/// Candidates that are listed.
const CANDIDATES_SHOWN_MAX: usize = 10;
/// Any seed does: what chance decides is said to be chance.
const SEED: u64 = 1;

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who sends the message.
    pub source: SocketAddr,
    /// The listener that it comes in by; without one, the first of the right family.
    pub listener: Option<&'a str>,
    /// A file, or `-`.
    pub message: &'a Path,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refused {
    /// The question names something that the configuration has not.
    Usage(String),
    /// The message cannot be read, or the table not be made.
    Failed(String),
}

/// Answers `question` under `config`.
pub fn explain(config: &Config, question: &Question<'_>) -> Result<String, Refused> {
    let listener = listener(config, question)?;
    let raw = read(question.message).map_err(Refused::Failed)?;
    // A file may hold any number of bytes, a datagram not.
    let truncated = raw.len() > MESSAGE_BYTES_MAX;
    let raw = &raw[..raw.len().min(MESSAGE_BYTES_MAX)];
    let (bytes, note) = diff::with_crlf(raw);
    let bytes = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
    let names = look(&config.names(), &config.node.dns);
    let shards = config.node.shards.unwrap_or(1);
    let parts = compile::table_with_names(config, &names, shards).map_err(Refused::Failed)?;
    let received = Received::datagram(bytes, question.source, listener).cut(truncated);
    let mut out = String::new();
    tell(&mut out, config, &Arc::new(Table::new(parts)), &received, note)
        .expect("writing to a string cannot fail");
    Ok(out)
}

fn listener(config: &Config, question: &Question<'_>) -> Result<ListenerId, Refused> {
    let fits = |address: SocketAddr| address.is_ipv4() == question.source.is_ipv4();
    let listeners = &config.listeners;
    let names = || listeners.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ");
    let place = match question.listener {
        Some(name) => {
            let place = listeners.iter().position(|listener| listener.name == name);
            place.ok_or_else(|| format!("no listener is called \"{name}\"; known: {}", names()))
        }
        None => {
            let place = listeners.iter().position(|listener| fits(listener.address));
            place.ok_or_else(|| {
                let source = question.source;
                format!("no listener has the IP family of {source}; known: {}", names())
            })
        }
    };
    let place = place.map_err(Refused::Usage)?;
    let listener = &listeners[place];
    if !fits(listener.address) {
        let (name, address, source) = (&listener.name, listener.address, question.source);
        let message = format!("{source} cannot send to \"{name}\" on {address}: another IP family");
        return Err(Refused::Usage(message));
    }
    Ok(ListenerId(u8::try_from(place).expect("the configuration has at most 64 listeners")))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // One byte more than a message may have tells that it is too large, whatever the file holds.
    let limit = MESSAGE_BYTES_MAX as u64 + 1;
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|error| format!("the message {} cannot be read: {error}", path.display()))?;
    Ok(bytes)
}

fn tell(
    out: &mut String,
    config: &Config,
    table: &Arc<Table>,
    received: &Received<'_>,
    note: Option<&str>,
) -> fmt::Result {
    let name = |id: ListenerId| table.listener(id).map_or("?", |listener| listener.name.as_str());
    let (count, by) = (received.bytes.len(), name(received.flow.listener()));
    writeln!(out, "message: {count} bytes from {} by listener {by}", received.flow.remote())?;
    if let Some(note) = note {
        writeln!(out, "note: {note}")?;
    }
    if config.node.keys_by_chance {
        writeln!(
            out,
            "note: no keys are configured: branches and tokens are not those of a running node"
        )?;
    }
    let mut index = Index::default();
    index.watch(Arc::clone(&table.watched));
    let error = index.fill(received.bytes).err();
    let message = Message { bytes: received.bytes, index: &index };
    fields::tell(out, &message, error)?;

    let mut core = Core::new(Arc::clone(table), SEED, 0);
    // Asked before the core moves its rotations.
    let pools = (0_u16..).take(table.pools.len());
    let before: Vec<Rotation> = pools.filter_map(|pool| core.rotation(pool).cloned()).collect();
    let mut outbox = Outbox::new();
    let verdict = core.handle(Now(0), received, &mut outbox);
    let decision = *outbox.decision();

    writeln!(out, "\ndecision")?;
    match table.peer(received.flow).backend {
        Some(origin) => {
            writeln!(out, "  sender       backend {}", backend_text(table, origin))?;
        }
        None => writeln!(out, "  sender       not a backend")?,
    }
    let rule = decision.rule.and_then(|rule| Some((rule, config.rules.get(usize::from(rule))?)));
    if let Some((index, rule)) = rule {
        writeln!(out, "  rule         route {}: {}", index + 1, rule_text(config, rule))?;
        if let Action::Pool(pool) = rule.action
            && let Some(pool_parts) = table.pools.get(usize::from(pool))
        {
            let rotation = &before[usize::from(pool)];
            tell_pool(out, pool_parts, &message, &decision, rotation)?;
        }
    } else {
        writeln!(out, "  rule         none was asked or none matched")?;
    }
    writeln!(out, "  found by     {}", cause_text(decision.cause))?;
    if let Some(backend) = decision.backend
        && decision.cause != Cause::Via
    {
        writeln!(out, "  backend      {}", backend_text(table, backend))?;
    }
    match verdict {
        Verdict::Absorb => writeln!(out, "  verdict      absorb: it ends here, nothing is sent"),
        Verdict::Drop(reason) => writeln!(out, "  verdict      drop: {}", reason.label()),
        Verdict::Forward => writeln!(out, "  verdict      forward"),
        Verdict::Respond => {
            let status = decision.status;
            writeln!(out, "  verdict      respond: {status} {}", phrase(status))
        }
    }?;
    if let Some(transmit) = outbox.transmit() {
        writeln!(
            out,
            "  next hop     {} by listener {}",
            transmit.address(),
            name(transmit.listener())
        )?;
    }
    match verdict {
        Verdict::Forward => diff::tell(out, received.bytes, outbox.edits(received.bytes)),
        Verdict::Respond => diff::tell_answer(out, outbox.answer()),
        Verdict::Absorb | Verdict::Drop(_) => Ok(()),
    }
}

fn tell_pool(
    out: &mut String,
    pool: &Pool,
    message: &Message<'_>,
    decision: &Decision,
    rotation: &Rotation,
) -> fmt::Result {
    match decision.key {
        Some(key) => {
            let value = fields::key_value(message, pool);
            writeln!(out, "  key          {value} -> {key:#018x}")?;
        }
        None => writeln!(out, "  key          none")?,
    }
    if decision.cause != Cause::Balanced && decision.backend.is_some() {
        return Ok(());
    }
    let candidates = pool.candidates(decision.key, rotation);
    writeln!(out, "  candidates   {} of {} backends", candidates.len(), pool.backends.len())?;
    for (place, candidate) in (1..).zip(candidates.iter().take(CANDIDATES_SHOWN_MAX)) {
        let uri = pool.backends.get(usize::from(candidate.backend)).map_or("?", |b| b.uri.as_str());
        let taken = decision.backend.is_some_and(|taken| taken.backend == candidate.backend);
        let mark = if taken { "  <- taken" } else { "" };
        writeln!(out, "    {place:>2}. {uri}  score {:.3}{mark}", candidate.score)?;
    }
    if candidates.len() > CANDIDATES_SHOWN_MAX {
        writeln!(out, "    and {} more", candidates.len() - CANDIDATES_SHOWN_MAX)?;
    }
    if let Some(cap) = pool.load_cap {
        let rule = "a node that runs passes over who has that many times the mean load";
        writeln!(out, "  load cap     {cap}: {rule}")?;
    }
    Ok(())
}

fn backend_text(table: &Table, place: BackendRef) -> String {
    let pool = table.pools.get(usize::from(place.pool));
    let backend = pool.and_then(|pool| pool.backends.get(usize::from(place.backend)));
    match (pool, backend) {
        (Some(pool), Some(backend)) => format!("{} of pool {}", backend.uri, pool.name),
        _ => "none of this table".to_owned(),
    }
}

fn cause_text(cause: Cause) -> &'static str {
    match cause {
        Cause::None => "no next hop",
        Cause::Balanced => "the rule, and the balance of its pool",
        Cause::Transaction => "the rule, and the transaction that it belongs to",
        Cause::Token => "a token that the edge sealed",
        Cause::RouteField => "the Route field of a request from a backend",
        Cause::RequestUri => "the Request-URI",
        Cause::Via => "the next Via",
        Cause::Probe => "a probe of the edge",
        Cause::Own => "the edge itself",
        Cause::KeepAlive => "a keep-alive",
        Cause::Held => "the request that is held, so that another backend can have it",
    }
}
