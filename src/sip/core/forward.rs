//! The edits of a request that is sent on (RFC 3261 16.6, 18.2.1; RFC 3327; RFC 3581; RFC 5658).
//!
//! Owns: which bytes change and what is written. The next hop is known already.

use std::net::SocketAddr;

use super::{
    BranchHash, EdgeParameter, FieldName, Hop, Method, Pass, Refusal, SealKey, Target, Turn,
    Verdict, loop_value, request, target,
};
use crate::sip::edit::tail;
use crate::sip::message::Scheme;
use crate::sip::response::source_edits;
use crate::sip::route::table::PathPolicy;
use crate::sip::token::via::write_via_tail;
use crate::sip::token::{FlowToken, TOKEN_BYTES_MAX, TokenKind};
use crate::sip::{Cause, ListenerId};

/// RFC 3261 16.6 step 3: for a request without Max-Forwards.
const MAX_FORWARDS: u32 = 70;

const _: () = assert!(TOKEN_BYTES_MAX * 2 < crate::sip::edit::TEXT_BYTES_MAX / 2);

impl<'a> Turn<'a> {
    /// Records all edits and the next hop. `branch` is the hash under `key`, and which attempt it is.
    pub(super) fn forward(
        &mut self,
        pass: &Pass<'a, '_>,
        hop: Hop,
        key: &SealKey,
        branch: impl Into<BranchHash>,
    ) -> Verdict {
        let branch = branch.into();
        let head = pass.head;
        let decision = &mut self.outbox.decision;
        decision.backend = hop.backend;
        decision.cause = hop.cause;
        let came_in = self.peer.listener;
        let Some(transmit) = request::sender(self.table, &hop, came_in) else {
            return self.refuse(Refusal::new(503, "No Listener Towards Next Hop"));
        };
        let is_named = matches!(hop.cause, Cause::RouteField | Cause::RequestUri);
        if is_named
            && hop.backend.is_none()
            && self.table.is_special(hop.destination.ip(), transmit.listener())
        {
            return self.refuse(Refusal::new(403, "Next Hop Is Special"));
        }
        let is_from_backend = pass.origin.is_some();
        let loops = loop_value(key, &self.message, head.uri.whole, is_from_backend);
        let reply_to = target(&head.via, self.peer.address);
        let edge = EdgeParameter::new(key, branch, came_in, reply_to, loops);
        match self.has_looped(head, edge.loop_value) {
            Ok(false) => {}
            Ok(true) => return self.refuse(Refusal::new(482, "Loop Detected")),
            Err(refusal) => return self.refuse(refusal),
        }

        // In the order of their places, as far as it is known: what is pushed last goes last without a search.
        // One edit holds all new fields: they stand in front of the first field, the Via on top.
        self.put_via(transmit.listener(), branch, key, &edge);
        self.put_own_routes(pass, &hop, transmit);
        self.outbox.edits.insert(self.message.fields_start());
        self.edit_received_via(pass);
        self.edit_max_forwards(head.max_forwards);
        let minds_strict = is_from_backend || hop.cause == Cause::Token;
        pass.routes.edit(&self.message, head.uri, minds_strict, &mut self.outbox.edits);
        if head.content_end < self.message.bytes.len() {
            self.outbox.edits.delete(tail(head.content_end, self.message.bytes.len()));
        }
        match self.send(transmit) {
            Verdict::Drop(_) => self.refuse(Refusal::new(513, "Message Too Large")),
            verdict => verdict,
        }
    }

    /// RFC 3261 16.6 step 3. A missing one is written with the new fields.
    fn edit_max_forwards(&mut self, hops: Option<u32>) {
        let field = self.message.field(FieldName::MaxForwards);
        if let (Some(hops), Some(field)) = (hops, field) {
            self.outbox.edits.put_number(hops.saturating_sub(1)).replace(field.value);
        }
    }

    /// RFC 3261 18.2.1, RFC 3581 4.
    fn edit_received_via(&mut self, pass: &Pass<'_, '_>) {
        let edits = &mut self.outbox.edits;
        for edit in source_edits(&pass.head.via, self.peer.address, self.message.bytes)
            .into_iter()
            .flatten()
        {
            edit.write(|text| {
                edits.put(text);
            });
            edits.replace(edit.place);
        }
    }

    /// RFC 3261 16.6 step 8.
    fn put_via(
        &mut self,
        listener: ListenerId,
        branch: BranchHash,
        key: &SealKey,
        edge: &EdgeParameter,
    ) {
        let Some(template) = self.table.via_template(listener) else { return };
        let edits = &mut self.outbox.edits;
        if let Some(tail) = edits.put_template(template) {
            write_via_tail(tail, branch, key, self.shard, edge);
        }
        if !self.message.index.present().has(FieldName::MaxForwards) {
            edits.put(b"Max-Forwards: ").put_number(MAX_FORWARDS).put(b"\r\n");
        }
    }

    /// Record-Route (RFC 3261 16.6 step 4) or Path (RFC 3327), twice when it leaves by another listener (RFC 5658).
    fn put_own_routes(&mut self, pass: &Pass<'_, '_>, hop: &Hop, transmit: Target) {
        let Some(kind) = self.own_route_kind(pass) else { return };
        let is_sips = pass.head.uri.scheme == Scheme::Sips;
        let head: &[u8] = match (kind, is_sips) {
            (TokenKind::Path, false) => b"Path: <sip:",
            (TokenKind::Path, true) => b"Path: <sips:",
            (TokenKind::Dialog, false) => b"Record-Route: <sip:",
            (TokenKind::Dialog, true) => b"Record-Route: <sips:",
        };
        let Some(token) = self.flow_token(kind, pass, hop, transmit) else { return };
        if kind == TokenKind::Path && !self.lists_path() {
            // Only where the operator says so: a registrar takes a Path of those alone that say this (RFC 3327 5.3).
            self.outbox.edits.put(b"Supported: path\r\n");
        }
        let user = token.seal(&self.table.ring, self.shard);
        let came_in = self.peer.listener;
        let is_pair = came_in != transmit.listener();
        let sides = [Some(transmit.listener()), is_pair.then_some(came_in)];
        for written in sides.into_iter().flatten().filter_map(|id| self.table.written(id)) {
            let edits = &mut self.outbox.edits;
            edits.put(head).put(user.as_bytes()).put(written.as_bytes());
            edits.put(if is_pair { b";lr;r2=on>\r\n" } else { b";lr>\r\n" });
        }
    }

    fn own_route_kind(&self, pass: &Pass<'_, '_>) -> Option<TokenKind> {
        let rule = pass.rule.and_then(|rule| self.table.rules.get(usize::from(rule)));
        let method = pass.head.method;
        if method == Method::Register {
            // Only towards a pool: what a backend registers elsewhere is its own affair.
            return rule.filter(|rule| self.wants_path(rule.path)).map(|_| TokenKind::Path);
        }
        let starts_dialog = method.forms_dialog() && pass.head.to.tag.is_empty();
        (starts_dialog && rule.is_none_or(|rule| rule.record_route)).then_some(TokenKind::Dialog)
    }

    /// RFC 3327 5.2.
    fn wants_path(&self, policy: PathPolicy) -> bool {
        match policy {
            PathPolicy::Never => false,
            PathPolicy::Always => true,
            PathPolicy::Supported => self.lists_path(),
        }
    }

    fn lists_path(&self) -> bool {
        self.message.lists(FieldName::Supported, b"path")
    }

    /// The client's side is where the request came from, or, from a backend, where it goes.
    fn flow_token(
        &self,
        kind: TokenKind,
        pass: &Pass<'_, '_>,
        hop: &Hop,
        transmit: Target,
    ) -> Option<FlowToken> {
        let bound = |id: ListenerId| self.table.listener(id).map(|l| l.address);
        let came_in = bound(self.peer.listener)?;
        let (local, remote, backend): (_, _, SocketAddr) = if pass.origin.is_some() {
            (bound(transmit.listener())?, hop.destination, self.peer.address)
        } else {
            (came_in, self.peer.address, hop.destination)
        };
        let backend = (kind == TokenKind::Dialog).then_some(backend);
        Some(FlowToken { kind, local, remote, backend })
    }
}
