//! What is left at a backend that is drained, and the wait until it is quiet.
//!
//! Owns: what quiet means (no request in the last ten seconds, as the node counts), and the pace of the look.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::encoded;
use super::{Failure, Node, OfPool, show};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a drained backend still gets.
pub(super) struct Left {
    recent: u64,
    per_second: f64,
    others: u64,
}

/// Asks for it.
pub(super) fn left(node: &Node, pool: &str, uri: &str) -> Result<Left, String> {
    let answer = node.read(&format!("pools/{}", encoded(pool)))?;
    let recent =
        |backend: &Value| backend["traffic"]["requests_recent"].as_u64().unwrap_or_default();
    let (mut found, mut others) = (None, 0);
    for backend in show::list(&answer["backends"]).iter().chain(show::list(&answer["leaving"])) {
        if backend["uri"] == uri {
            found = Some(backend);
        } else {
            others += recent(backend);
        }
    }
    let backend = found.ok_or_else(|| format!("{uri} is no longer in pool {pool}"))?;
    let per_second = backend["traffic"]["requests_per_second"].as_f64().unwrap_or_default();
    Ok(Left { recent: recent(backend), per_second, others })
}

pub(super) fn text(left: &Left) -> String {
    let Left { recent, per_second, others } = left;
    if *recent == 0 {
        return "quiet: no request went to it in the last ten seconds; calls that are silent may still stand\n".to_owned();
    }
    format!(
        "left: {recent} requests in the last ten seconds ({per_second:.1}/s); the others of the pool got {others}\n"
    )
}

pub(super) fn json(done: &Value, left: &Left) -> Value {
    json!({
        "done": done["done"],
        "left": { "requests_recent": left.recent, "requests_per_second": left.per_second },
    })
}

/// Looks once a second until it is quiet.
pub(super) fn watch(
    node: &Node,
    backend: &OfPool,
    timeout: u32,
    first: &Left,
) -> Result<String, Failure> {
    print!("{}", text(first));
    let mut is_quiet = first.recent == 0;
    // Nobody sends: it is a wait for time itself, which is what is waited for here.
    let (_sender, never) = channel::<()>();
    for _ in 0..timeout {
        if is_quiet {
            return Ok("drained\n".to_owned());
        }
        if never.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let left = left(node, &backend.pool, &backend.uri)?;
        is_quiet = left.recent == 0;
        print!("{}", text(&left));
    }
    Err(Failure::Failed(format!("not quiet after {timeout} s; it goes on draining")))
}
