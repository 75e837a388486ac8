//! Route fields: which of them are ours, what their tokens say, and the edits that take them off (RFC 3261 16.4, 16.6
//! step 6, 16.12; RFC 5658).
//!
//! Owns: popping, strict routers before and behind us. Knows nothing of pools or rules.

use std::net::SocketAddr;

use super::table::Table;
use crate::sip::admit::Refusal;
use crate::sip::edit::Edits;
use crate::sip::message::lex::Cursor;
use crate::sip::message::{FieldName, Message, NameAddr, Scheme, Span, Uri};
use crate::sip::token::{FlowToken, TokenKind};
use crate::sip::{ListenerId, Peer};

/// Most values of ours on top of a Route list. A spiral through one pool leaves four, and Asterisk repeats a pair behind them.
const OWN_VALUES_MAX: usize = 16;

/// Where our tokens lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// To the backend that has the dialog.
    Backend(SocketAddr),
    /// To a client: from this local address to that remote one.
    Flow {
        /// Ours.
        local: SocketAddr,
        /// The client's.
        remote: SocketAddr,
    },
}

/// Why a Route list cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteError {
    /// Answered with this.
    Refused(Refusal),
    /// A token that does not open, or that the sender may not use.
    BadToken,
}

/// What is left of a request's Route list, and what was on top of it.
#[derive(Debug, Clone, Copy)]
pub struct RouteSet {
    /// Where our tokens lead, if there were any.
    pub along: Option<Along>,
    /// The first Route that is not ours.
    pub next: Option<Uri>,
    /// Our last value on top, as host and port: the side that the request leaves by (RFC 5658).
    pub last_own: Option<Uri>,
    /// The Request-URI after a strict router before us is undone (RFC 3261 16.4).
    pub uri: Uri,
    /// How many values there are.
    count: usize,
    /// How many on top are ours.
    popped: usize,
    /// The last value became the Request-URI.
    is_unstrict: bool,
    /// The next hop is a strict router (RFC 3261 16.6 step 6).
    is_strict_ahead: bool,
}

impl Along {
    /// Where it leads.
    fn address(self) -> SocketAddr {
        match self {
            Self::Backend(address) | Self::Flow { remote: address, .. } => address,
        }
    }
}

impl RouteSet {
    /// Reads the Route fields of what this peer sent.
    ///
    /// # Errors
    /// When a Route breaks the grammar, or a token is bad.
    pub fn read(
        table: &Table,
        message: &Message<'_>,
        uri: Uri,
        peer: &Peer,
    ) -> Result<Self, RouteError> {
        let mut set = Self {
            along: None,
            next: None,
            last_own: None,
            uri,
            count: 0,
            popped: 0,
            is_unstrict: false,
            is_strict_ahead: false,
        };
        let bytes = message.bytes;
        if !message.index.present().has(FieldName::Route)
            && !FlowToken::is_token(uri.user.of(bytes))
        {
            return Ok(set);
        }
        let mut crossing = Crossing { peer, along: None, before: b"" };
        let mut last = None;
        let has_own_uri = FlowToken::is_token(uri.user.of(bytes)) && is_own(table, &uri, bytes);
        if has_own_uri {
            crossing.pass(table, uri.user.of(bytes))?;
        }
        for value in message.name_addrs(FieldName::Route) {
            let read = |value: NameAddr| Some((value, Uri::parse(bytes, value.uri).ok()?));
            let read = value.ok().and_then(read);
            let (value, uri) = read.ok_or(RouteError::Refused(Refusal::bad(FieldName::Route)))?;
            set.count += 1;
            last = Some(uri);
            if set.next.is_some() {
                continue;
            }
            if !is_own(table, &uri, bytes) {
                set.next = Some(uri);
                set.is_strict_ahead = !is_loose(&value, &uri, bytes);
                continue;
            }
            set.popped += 1;
            set.last_own = Some(uri);
            if set.popped > OWN_VALUES_MAX {
                return Err(RouteError::Refused(Refusal::new(400, "Too Many Own Routes")));
            }
            if FlowToken::is_token(uri.user.of(bytes)) {
                crossing.pass(table, uri.user.of(bytes))?;
            }
        }
        set.along = crossing.along;
        if let (true, Some(last)) = (has_own_uri, last) {
            set.undo_strict(last);
        }
        Ok(set)
    }

    /// RFC 3261 16.4: a strict router put our Record-Route URI into the Request-URI; the real one is the last Route.
    fn undo_strict(&mut self, last: Uri) {
        self.uri = last;
        self.is_unstrict = true;
        if self.next.is_some_and(|next| next.whole == last.whole) {
            self.next = None;
        }
        self.popped = self.popped.min(self.count - 1);
    }

    /// Our last value on top, where it says more than that the sender goes through us: it is not the only one, or names another
    /// listener than `came_in` (RFC 5658).
    #[must_use]
    pub fn named_side(
        &self,
        table: &Table,
        bytes: &[u8],
        came_in: ListenerId,
    ) -> Option<ListenerId> {
        let uri = self.last_own?;
        let named = table.listener_written(uri.host.of(bytes), uri.port)?;
        (self.popped > 1 || named != came_in).then_some(named)
    }

    /// Records the edits: takes off what is ours, and turns the list for a strict router ahead if `minds_strict`.
    pub fn edit(
        &self,
        message: &Message<'_>,
        received_uri: Uri,
        minds_strict: bool,
        edits: &mut Edits,
    ) {
        let strict = self.next.filter(|_| minds_strict && self.is_strict_ahead);
        let first_kept = self.popped + usize::from(strict.is_some());
        let behind_kept = self.count - usize::from(self.is_unstrict);
        if first_kept > 0 || behind_kept < self.count {
            keep_values(message, first_kept, behind_kept, edits);
        }
        if let Some(strict) = strict {
            // RFC 3261 16.6 step 6: the Request-URI goes to the end, the first Route into its place.
            let behind = message.index.all(FieldName::Route).last().map(|field| field.line.end);
            let at = usize::from(behind.unwrap_or_default());
            edits.put(b"Route: <").insert(at);
            edits.copy(Span::new(at, at), self.uri.whole);
            edits.put(b">\r\n").insert(at);
            edits.copy(received_uri.whole, strict.whole);
        } else if self.is_unstrict {
            edits.copy(received_uri.whole, self.uri.whole);
        }
    }
}

fn is_own(table: &Table, uri: &Uri, bytes: &[u8]) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && table.is_own(uri.host.of(bytes), uri.port)
}

/// Follows our tokens from one end to the other.
struct Crossing<'a> {
    peer: &'a Peer,
    /// Where the walk stands; `None` while it stands at its source.
    along: Option<Along>,
    /// The token of the value before.
    before: &'a [u8],
}

impl<'a> Crossing<'a> {
    /// Both values of a pair carry one token (RFC 5658), whatever became of their parameters on the way: some user agents write
    /// these behind the brackets.
    fn pass(&mut self, table: &Table, user: &'a [u8]) -> Result<(), RouteError> {
        if user == self.before {
            return Ok(());
        }
        self.before = user;
        let token = FlowToken::open(user, &table.ring).map_err(|_| RouteError::BadToken)?;
        let to_client = Along::Flow { local: token.local, remote: token.remote };
        // Asterisk repeats the Path of a contact behind the route set.
        if self.along == Some(to_client) {
            return Ok(());
        }
        let far = match self.along {
            None => self.first_end(table, &token, to_client),
            Some(stand) => self.next_end(table, stand, &token, to_client),
        };
        let far = far.ok_or(RouteError::BadToken)?;
        if far.address() != self.peer.address {
            self.along = Some(far);
            return Ok(());
        }
        // Nothing returns to its sender: the walk stays where it is.
        self.along.map(|_| ()).ok_or(RouteError::BadToken)
    }

    fn is_from_backend(&self) -> bool {
        self.peer.backend.is_some()
    }

    /// The other end of the token, seen from the source of the request.
    fn first_end(&self, table: &Table, token: &FlowToken, to_client: Along) -> Option<Along> {
        let source = self.peer.address;
        // One that has left all pools is believed where others are.
        let has_left = || token.backend == Some(source) && table.has_backends_on(self.peer.side);
        let stands_at_pool = source != token.remote && (self.is_from_backend() || has_left());
        match token.kind {
            // The registrar's way to a phone; phones see it too (RFC 3327 5.3) and may not use it.
            TokenKind::Path => self.is_from_backend().then_some(to_client),
            TokenKind::Dialog if stands_at_pool => Some(to_client),
            TokenKind::Dialog => token.backend.map(Along::Backend),
        }
    }

    /// The other end of a further token, seen from where the walk stands. From a client's flow only a token of its pool leads on.
    fn next_end(
        &self,
        table: &Table,
        stand: Along,
        token: &FlowToken,
        to_client: Along,
    ) -> Option<Along> {
        let stands_at_pool = match stand {
            Along::Backend(_) => true,
            Along::Flow { remote, .. } => {
                token.backend == Some(remote) || table.backend_reached_at(remote).is_some()
            }
        };
        match token.kind {
            // What came from outside has only crossed to the pool in thought: a Path does not lead it out again.
            TokenKind::Path => (stands_at_pool && self.is_from_backend()).then_some(to_client),
            TokenKind::Dialog if stand == Along::Backend(token.remote) => {
                token.backend.map(Along::Backend)
            }
            TokenKind::Dialog => stands_at_pool.then_some(to_client),
        }
    }
}

/// The router is loose (RFC 3261 16.12): `lr` is in the URI or, where that had no brackets or lost them, behind it.
fn is_loose(value: &NameAddr, uri: &Uri, bytes: &[u8]) -> bool {
    if uri.is_loose(bytes) {
        return true;
    }
    let mut behind = Cursor::new(bytes, Span { start: value.uri.end, end: value.value.end });
    behind.eat_separator(b'>');
    while behind.eat_separator(b';')
        && let Ok(parameter) = behind.parameter()
    {
        if parameter.name.of(bytes).eq_ignore_ascii_case(b"lr") {
            return true;
        }
    }
    false
}

/// Deletes all values but those with a place in `first..behind`, counted over all Route fields.
fn keep_values(message: &Message<'_>, first: usize, behind: usize, edits: &mut Edits) {
    let bytes = message.bytes;
    let mut place = 0;
    for field in message.index.all(FieldName::Route) {
        let mut cursor = Cursor::new(bytes, field.value);
        let mut kept: Option<Span> = None;
        // They were read before, so they parse.
        while let Ok(value) = NameAddr::parse(bytes, &mut cursor) {
            if (first..behind).contains(&place) {
                let start = kept.map_or(value.value.start, |k| k.start);
                kept = Some(Span { start, end: value.value.end });
            }
            place += 1;
            if !cursor.eat_separator(b',') {
                break;
            }
        }
        match kept {
            None => edits.delete(field.line),
            Some(kept) => {
                let front = Span { start: field.value.start, end: kept.start };
                let back = Span { start: kept.end, end: field.value.end };
                for span in [front, back].into_iter().filter(|span| !span.is_empty()) {
                    edits.delete(span);
                }
            }
        }
    }
}
