//! What the API answers: JSON, and errors that say what to do.
//!
//! Owns: the shape of an error, `{ "error": "..", "help": ".." }`. Knows no path.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A request that is not done; nothing has changed.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// What is wrong.
    error: String,
    /// What to do.
    help: String,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status, error: error.into(), help: help.into() }
    }

    /// The node did not answer.
    pub(super) fn silent(why: String) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            why,
            "the node is ending, or its shards are stuck: see its log",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

/// What a command did.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// What there is to say, a line each.
    pub(super) done: Vec<String>,
}
