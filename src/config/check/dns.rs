//! `[node]`, the keys that start with `dns`: who is asked for the names of backends, and how long answers hold.

use std::time::Duration;

use super::super::address;
use super::super::dns::Settings;
use super::super::file::{At, Node};
use super::super::problem::Problems;
use super::{accept, within};

/// Most DNS servers that are named.
const SERVERS_MAX: usize = 8;
const TTL_MIN_SECONDS: std::ops::Range<i64> = 1..3_601;
const TTL_MAX_SECONDS: std::ops::Range<i64> = 1..604_801;
const STALE_MAX_SECONDS: std::ops::Range<i64> = 0..604_801;

pub(super) fn check(file: &Node, problems: &mut Problems) -> Settings {
    let mut settings = Settings::default();
    if let Some(list) = &file.dns {
        if list.value.is_empty() {
            let help = "write [\"udp:192.0.2.53:53\"], or leave `dns` out to ask those of /etc/resolv.conf";
            problems.missing(&list.span, "no DNS server is named", help);
        }
        if let Some(extra) = list.value.get(SERVERS_MAX) {
            problems.error(
                &extra.span,
                format!("more than {SERVERS_MAX} DNS servers"),
                "name fewer",
            );
        }
        for at in &list.value {
            settings.servers.extend(accept(at, address::dns_server(&at.value), problems));
        }
    }
    let mut seconds = |at: &Option<At<i64>>, what, bounds, out: &mut Duration| {
        let Some(at) = at else { return };
        if let Some(value) = within(at, what, bounds, problems) {
            *out = Duration::from_secs(value.unsigned_abs());
        }
    };
    let (min, max) = (&file.dns_ttl_min_seconds, &file.dns_ttl_max_seconds);
    seconds(min, "dns_ttl_min_seconds", TTL_MIN_SECONDS, &mut settings.ttl_min);
    seconds(max, "dns_ttl_max_seconds", TTL_MAX_SECONDS, &mut settings.ttl_max);
    let stale = &file.dns_stale_max_seconds;
    seconds(stale, "dns_stale_max_seconds", STALE_MAX_SECONDS, &mut settings.stale_max);
    if settings.ttl_min > settings.ttl_max
        && let Some(at) = max.as_ref().or(min.as_ref())
    {
        let (min, max) = (settings.ttl_min.as_secs(), settings.ttl_max.as_secs());
        let message = format!("dns_ttl_min_seconds is {min}, more than dns_ttl_max_seconds, {max}");
        problems.error(&at.span, message, "make the first the smaller one");
    }
    settings
}
