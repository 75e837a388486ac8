//! `/api/v1`: what the node is asked, and what it is told.
//!
//! Owns: the paths, their answers and refusals; `openapi.json` describes them and a test compares. Who may do what is decided
//! in `auth`. A read changes nothing; what is refused changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;

use super::Page;
use super::answer::{Done, Refusal};
use super::auth;
use super::connections::Peer;
use super::history::{Drops, Shard};
use crate::control::event::{BackendAction, Command, Outcome};
use crate::control::view;

/// What a request may bring along; none of them needs any. Bytes.
const BODY_BYTES_MAX: usize = 4 << 10;

/// The document that describes all this.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

type Shared = State<Arc<Page>>;
type Answer<T> = Result<Json<T>, Refusal>;

/// Every path, as `openapi.json` writes it.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Page>>)> {
    vec![
        ("/api/v1/node", get(node)),
        ("/api/v1/pools", get(pools)),
        ("/api/v1/pools/{pool}", get(pool)),
        ("/api/v1/shards", get(shards)),
        ("/api/v1/drops", get(drops)),
        ("/api/v1/decisions", get(decisions)),
        ("/api/v1/rates", get(rates)),
        ("/api/v1/events", get(events)),
        ("/api/v1/openapi.json", get(openapi)),
        ("/api/v1/reload", post(reload)),
        ("/api/v1/drain", post(drain)),
        ("/api/v1/pools/{pool}/backends/{uri}/{action}", post(backend)),
    ]
}

/// All of it.
pub(super) fn router() -> Router<Arc<Page>> {
    let add = |router: Router<Arc<Page>>, (path, methods): (&str, MethodRouter<Arc<Page>>)| {
        router.route(path, methods)
    };
    routes()
        .into_iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(refuse_large_bodies))
}

/// What is said to be large is not waited for.
async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let is_large = length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: u64| length > BODY_BYTES_MAX as u64);
    if is_large {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Refusal::new(status, "the body is too large", "send no body: the path says it all")
            .into_response();
    }
    next.run(request).await
}

/// A path that is not there.
pub(super) async fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "there is nothing here",
        "GET /api/v1/openapi.json lists all paths",
    )
}

pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not know this method",
        "the answer's field Allow has those that it knows; GET /api/v1/openapi.json explains them",
    )
}

/// Runs what waits for the node where waiting holds nobody up.
async fn blocking<T: Send + 'static>(
    page: &Arc<Page>,
    ask: impl FnOnce(&Page) -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    let page = Arc::clone(page);
    let asked = tokio::task::spawn_blocking(move || ask(&page)).await;
    asked.map_err(|error| error.to_string()).and_then(|asked| asked).map_err(Refusal::silent)
}

async fn current(page: &Arc<Page>) -> Result<view::Node, Refusal> {
    let reading = page.sampled.read().await.map_err(Refusal::silent)?;
    Ok(reading.view.clone())
}

async fn node(State(page): Shared) -> Answer<view::Node> {
    Ok(Json(current(&page).await?))
}

#[derive(Serialize)]
struct Pools {
    pools: Vec<view::Pool>,
}

async fn pools(State(page): Shared) -> Answer<Pools> {
    Ok(Json(Pools { pools: current(&page).await?.pools }))
}

/// What stands in the path; RFC 3986 2.1.
fn named<T>(parts: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    parts.map(|Path(parts)| parts).map_err(|rejected| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            rejected.body_text(),
            "encode each part of the path as UTF-8 with %XX",
        )
    })
}

async fn pool(
    State(page): Shared,
    name: Result<Path<String>, PathRejection>,
) -> Answer<view::Pool> {
    let name = named(name)?;
    let pools = current(&page).await?.pools;
    let known = pools.iter().map(|pool| pool.name.clone()).collect::<Vec<_>>().join(", ");
    let found = pools.into_iter().find(|pool| pool.name == name);
    found.map(Json).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("no pool is called \"{name}\""),
            format!("known: {known}"),
        )
    })
}

#[derive(Serialize)]
struct Shards {
    at_ms: u64,
    shards: Vec<Shard>,
}

async fn shards(State(page): Shared) -> Json<Shards> {
    let latest = page.sampled.latest();
    Json(Shards { at_ms: latest.at_ms, shards: latest.totals.shards.clone() })
}

#[derive(Serialize)]
struct AllDrops {
    at_ms: u64,
    reasons: Vec<Drops>,
}

async fn drops(State(page): Shared) -> Json<AllDrops> {
    let latest = page.sampled.latest();
    Json(AllDrops { at_ms: latest.at_ms, reasons: latest.totals.drops.clone() })
}

#[derive(Serialize)]
struct Decisions {
    /// Whether any are kept at all: an empty list says nothing when not.
    kept: bool,
    note: &'static str,
    decisions: Vec<serde_json::Value>,
}

async fn decisions(State(page): Shared) -> Result<Json<Decisions>, Refusal> {
    let records = blocking(&page, |page| page.asker.decisions()).await?;
    let note = match &records {
        Some(_) => "the oldest first; `sipedge explain` decides one message again, and says why",
        None => {
            "none are kept: write decisions = {} into [trace]; `sipedge explain` decides one message again, and says why"
        }
    };
    let kept = records.is_some();
    let read = |record: &String| serde_json::from_str(record).ok();
    let decisions = records.unwrap_or_default().iter().filter_map(read).collect();
    Ok(Json(Decisions { kept, note, decisions }))
}

async fn rates(State(page): Shared) -> Result<Response, Refusal> {
    let reading = page.sampled.read().await.map_err(Refusal::silent)?;
    let json = blocking(&page, move |page| {
        let written =
            page.sampled.history(|history| serde_json::to_vec(&history.rates(&reading.view)));
        written.map_err(|error| error.to_string())
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], json.await?).into_response())
}

async fn events(
    State(page): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Response, Refusal> {
    if !peer.0.become_stream() {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many event streams are open",
            "ask /api/v1/node instead, or close some",
        ));
    }
    let stream = Body::new(page.sampled.listeners.join());
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response())
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn reload(
    State(page): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Done> {
    act(&page, &peer, &headers, body, Command::Reload).await
}

async fn drain(
    State(page): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Done> {
    act(&page, &peer, &headers, body, Command::DrainNode).await
}

async fn backend(
    State(page): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    parts: Result<Path<(String, String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Done> {
    let (pool, uri, action) = named(parts)?;
    let action = match action.as_str() {
        "drain" => BackendAction::Drain,
        "enable" => BackendAction::Enable,
        "disable" => BackendAction::Disable,
        other => {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!("a backend cannot be told to \"{other}\""),
                "known: drain, disable, enable",
            ));
        }
    };
    act(&page, &peer, &headers, body, Command::Backend { pool: Some(pool), uri, action }).await
}

/// The right first, then what was sent along, then the command.
async fn act(
    page: &Arc<Page>,
    peer: &Peer,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    command: Command,
) -> Answer<Done> {
    auth::allows(page.token.as_ref(), peer.0.is_local(), headers)?;
    let body = body.map_err(|rejected| {
        Refusal::new(rejected.status(), rejected.body_text(), "send no body: the path says it all")
    })?;
    if !matches!(body.trim_ascii(), b"" | b"{}") {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the request has a body, and none is known here",
            "send no body: the path says it all",
        ));
    }
    let shown = format!("{command:?}");
    let way = if peer.0.is_local() { "the unix socket" } else { "TCP" };
    let outcome = blocking(page, |page| {
        let outcome = page.asker.act(command)?;
        // Who looks next sees what was done. That it was done holds without a reading.
        if let Ok(mut scrape) = page.asker.scrape() {
            page.sampled.history(|history| history.fill(&mut scrape.view));
            page.sampled.put(Ok(Arc::new(scrape)));
        }
        Ok(outcome)
    })
    .await?;
    tracing::info!(
        "asked over {way}: {shown}: {}",
        if matches!(outcome, Outcome::Done(_)) { "done" } else { "refused" }
    );
    match outcome {
        Outcome::Done(done) => Ok(Json(Done { done })),
        Outcome::Refused { is_unknown, why } => {
            let (status, help) = match is_unknown {
                true => (
                    StatusCode::NOT_FOUND,
                    "GET /api/v1/pools has the names and URIs, as they are configured",
                ),
                false => (StatusCode::CONFLICT, "nothing has changed; mend it, then ask again"),
            };
            Err(Refusal::new(status, why.join("\n"), help))
        }
    }
}
