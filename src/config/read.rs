//! From TOML text to the file structs: syntax, types, unknown keys.
//!
//! Owns: which keys stand where. Judges no value; that is `check`'s work.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::file::{
    Admin, At, Backend, Failover, File, Key, Limits, Listen, Node, Pool, Probe, ProbeTable, Route,
    When,
};
use super::problem::Problems;
use super::section::{Section, wrong_type};

mod trace;

/// Reads `text`; what can be read is returned even when there are problems.
pub(super) fn read(text: &str, problems: &mut Problems) -> File {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.set_incomplete();
        let span = error.span().unwrap_or(0..0);
        problems.error(
            &span,
            format!("not TOML: {}", error.message()),
            syntax_help(error.message()),
        );
    }
    let mut top = Section::new("the file", root.get_ref());
    let file = File {
        node: single(&mut top, "node", problems, node).unwrap_or_default(),
        listen: sections(&mut top, "listen", problems, listen),
        pool: sections(&mut top, "pool", problems, pool),
        route: sections(&mut top, "route", problems, route),
        limits: single(&mut top, "limits", problems, limits).unwrap_or_default(),
        admin: single(&mut top, "admin", problems, admin).unwrap_or_default(),
        trace: single(&mut top, "trace", problems, trace::trace).unwrap_or_default(),
    };
    top.finish(problems);
    file
}

fn admin(mut section: Section<'_>, _: Range<usize>, problems: &mut Problems) -> Admin {
    let admin = Admin {
        listen: section.string("listen", problems),
        socket: section.string("socket", problems),
        token: section.secret("token", problems),
        hosts: section.strings("hosts", problems),
        ready_needs: section.string("ready_needs", problems),
    };
    section.finish(problems);
    admin
}

fn syntax_help(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "each key stands once in its section; remove one, or begin a new [[section]]"
    } else {
        "write `key = \"text\"`, `key = 123`, `key = [..]`, or a section header like [node]"
    }
}

/// A section that stands once: `[name]`.
fn single<'a, T>(
    top: &mut Section<'a>,
    name: &'static str,
    problems: &mut Problems,
    read: impl FnOnce(Section<'a>, Range<usize>, &mut Problems) -> T,
) -> Option<T> {
    let value = top.value(name)?;
    match value.get_ref() {
        DeValue::Table(table) => {
            Some(read(Section::new(format!("[{name}]"), table), value.span(), problems))
        }
        DeValue::Array(_) => {
            let message = format!("[[{name}]] stands in two brackets");
            problems.error(
                &value.span(),
                message,
                format!("there is one such section: write [{name}]"),
            );
            None
        }
        other => {
            wrong_type(
                &value.span(),
                &format!("`{name}`"),
                &format!("a section [{name}]"),
                other,
                problems,
            );
            None
        }
    }
}

/// A section that may stand many times: `[[name]]`.
fn sections<'a, T>(
    top: &mut Section<'a>,
    name: &'static str,
    problems: &mut Problems,
    mut read: impl FnMut(Section<'a>, Range<usize>, &mut Problems) -> T,
) -> Vec<T> {
    let title = format!("[[{name}]]");
    let Some(value) = top.value(name) else { return Vec::new() };
    let mut one = |value: &'a toml::Spanned<DeValue<'a>>, problems: &mut Problems| {
        let span = value.span();
        match value.get_ref() {
            DeValue::Table(table) => Some(read(Section::new(&title, table), span, problems)),
            other => {
                let what = format!("`{name}`");
                wrong_type(&span, &what, &format!("a section {title}"), other, problems);
                None
            }
        }
    };
    match value.get_ref() {
        DeValue::Array(array) => array.iter().filter_map(|value| one(value, problems)).collect(),
        DeValue::Table(_) => {
            let message = format!("[{name}] stands in one bracket");
            problems.error(&value.span(), message, format!("there may be many: write {title}"));
            one(value, problems).into_iter().collect()
        }
        _ => one(value, problems).into_iter().collect(),
    }
}

fn node(mut section: Section<'_>, _: Range<usize>, problems: &mut Problems) -> Node {
    let node = Node {
        name: section.string("name", problems),
        shards: section.count("shards", problems),
        cores: section.integers("cores", problems),
        keys: section.tables("keys", problems, |mut section, span, problems| {
            let id = section.integer("id", problems);
            let secret = section.secret("secret", problems);
            section.finish(problems);
            Key { span, id, secret }
        }),
        io: section.string("io", problems),
        steering: section.string("steering", problems),
        aliases: section.strings("aliases", problems),
        drain_seconds: section.integer("drain_seconds", problems),
        drain_hook: section.strings("drain_hook", problems),
        watch_config: section.boolean("watch_config", problems),
        dns: section.strings("dns", problems),
        dns_ttl_min_seconds: section.integer("dns_ttl_min_seconds", problems),
        dns_ttl_max_seconds: section.integer("dns_ttl_max_seconds", problems),
        dns_stale_max_seconds: section.integer("dns_stale_max_seconds", problems),
    };
    section.finish(problems);
    node
}

fn listen(mut section: Section<'_>, span: Range<usize>, problems: &mut Problems) -> Listen {
    let listen = Listen {
        span,
        name: section.string("name", problems),
        address: section.string("address", problems),
        advertise: section.string("advertise", problems),
        anycast: section.boolean("anycast", problems),
        side: section.string("side", problems),
        networks: section.strings("networks", problems),
    };
    section.finish(problems);
    listen
}

fn pool(mut section: Section<'_>, span: Range<usize>, problems: &mut Problems) -> Pool {
    let pool = Pool {
        span,
        name: section.string("name", problems),
        key: section.string("key", problems),
        balance: section.string("balance", problems),
        send_from: section.string("send_from", problems),
        match_source: section.string("match_source", problems),
        backends: section.tables("backends", problems, |mut section, span, problems| {
            let uri = section.string("uri", problems);
            let weight = section.integer("weight", problems);
            let priority = section.integer("priority", problems);
            let max_load = section.integer("max_load", problems);
            section.finish(problems);
            Backend { span, uri, weight, priority, max_load }
        }),
        list: section.string("list", problems),
        set: section.integer("set", problems),
        probe: probe(&mut section, problems),
        slow_start_s: section.integer("slow_start_s", problems),
        eased_max_percent: section.integer("eased_max_percent", problems),
        failover: failover(&mut section, problems),
        load_cap: section.number("load_cap", problems),
    };
    section.finish(problems);
    pool
}

fn probe(pool: &mut Section<'_>, problems: &mut Problems) -> Option<Probe> {
    let value = pool.value("probe")?;
    let span = value.span();
    match value.get_ref() {
        DeValue::String(word) => Some(Probe::Word(At { value: word.to_string(), span })),
        DeValue::Table(table) => {
            let mut section = Section::new("`probe`", table);
            let table = ProbeTable {
                span,
                interval_ms: section.integer("interval_ms", problems),
                timeout_ms: section.integer("timeout_ms", problems),
                rise: section.integer("rise", problems),
                fall: section.integer("fall", problems),
                method: section.string("method", problems),
                from: section.string("from", problems),
                alive: section.counts("alive", problems),
                send_from: section.string("send_from", problems),
            };
            section.finish(problems);
            Some(Probe::Table(Box::new(table)))
        }
        other => {
            let wanted = "\"off\", or a table like { interval_ms = 10000 }";
            wrong_type(&span, "`probe`", wanted, other, problems);
            None
        }
    }
}

fn failover(section: &mut Section<'_>, problems: &mut Problems) -> Option<Failover> {
    let value = section.value("failover")?;
    let span = value.span();
    let DeValue::Table(table) = value.get_ref() else {
        let wanted = "a table like { on = [\"timeout\", 503] }";
        wrong_type(&span, "`failover`", wanted, value.get_ref(), problems);
        return None;
    };
    let mut section = Section::new("`failover`", table);
    let failover = Failover {
        span,
        on: section.counts("on", problems),
        tries: section.integer("tries", problems),
        timeout_ms: section.integer("timeout_ms", problems),
    };
    section.finish(problems);
    Some(failover)
}

fn route(mut section: Section<'_>, span: Range<usize>, problems: &mut Problems) -> Route {
    let when = match section.value("when").map(|value| (value.get_ref(), value.span())) {
        None => When::default(),
        Some((DeValue::Table(table), _)) => when(Section::new("`when`", table), problems),
        Some((other, span)) => {
            wrong_type(&span, "`when`", "a table like { method = [\"INVITE\"] }", other, problems);
            When::default()
        }
    };
    let route = Route {
        span,
        when,
        pool: section.string("pool", problems),
        reply: section.integer("reply", problems),
        drop: section.boolean("drop", problems),
        mode: section.string("mode", problems),
        in_dialog: section.string("in_dialog", problems),
        record_route: section.boolean("record_route", problems),
        path: section.word("path", problems),
    };
    section.finish(problems);
    route
}

fn when(mut section: Section<'_>, problems: &mut Problems) -> When {
    let when = When {
        method: section.strings("method", problems),
        listen: section.strings("listen", problems),
        domain: section.strings("domain", problems),
    };
    section.finish(problems);
    when
}

fn limits(mut section: Section<'_>, _: Range<usize>, problems: &mut Problems) -> Limits {
    let limits = Limits {
        message_bytes_max: section.integer("message_bytes_max", problems),
        transactions_max: section.integer("transactions_max", problems),
        send_queue_max: section.integer("send_queue_max", problems),
        receive_buffers: section.integer("receive_buffers", problems),
        socket_buffer_bytes: section.integer("socket_buffer_bytes", problems),
        retry_after_seconds: section.integer("retry_after_seconds", problems),
        held_max: section.integer("held_max", problems),
        held_bytes_max: section.integer("held_bytes_max", problems),
    };
    section.finish(problems);
    limits
}
