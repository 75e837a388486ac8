//! From what the operator wants traced to what a shard is asked for, and what is left to look at here.
//!
//! Owns: that split. A shard knows calls by the hash of their Call-ID and pools by meter; texts are compared here.

use crate::config::trace::Choice;
use crate::datapath::tap_filter::TapFilter;
use crate::sip::message::{FieldName, Index, Message};
use crate::sip::route::table::Table;
use crate::sip::steer;

/// No pool has it: for names that the table does not have, which then match nothing.
const NO_METER: u32 = u32::MAX - 1;

/// What the shards are asked for.
pub(super) fn filter(choice: &Choice, table: &Table) -> TapFilter {
    let meter = |name: &String| {
        table.pools.iter().find(|pool| pool.name == *name).map_or(NO_METER, |pool| pool.meter)
    };
    TapFilter {
        one_in: choice.sample,
        pools: choice.pools.iter().map(meter).collect(),
        call: choice.call_id.as_ref().map(|call_id| steer::call_of_id(call_id.as_bytes())),
        per_second_max: 0,
        is_both_ways: true,
    }
}

/// Whether a message that the shards copied is really meant.
pub(super) fn is_meant(choice: &Choice, bytes: &[u8], index: &mut Index) -> bool {
    if choice.call_id.is_none() && choice.aor.is_none() {
        return true;
    }
    let Ok(message) = Message::parse(bytes, index) else { return false };
    let has_call = |call_id: &String| message.value(FieldName::CallId) == call_id.as_bytes();
    let has_aor = |aor: &String| {
        let first_line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let places = [first_line, message.value(FieldName::From), message.value(FieldName::To)];
        places.into_iter().any(|place| memchr::memmem::find(place, aor.as_bytes()).is_some())
    };
    choice.call_id.as_ref().is_none_or(has_call) && choice.aor.as_ref().is_none_or(has_aor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(call_id: Option<&str>, aor: Option<&str>, expected: bool) {
        let choice = Choice {
            call_id: call_id.map(str::to_owned),
            aor: aor.map(str::to_owned),
            ..Choice::default()
        };
        let message = b"BYE sip:bob@pc.example.com SIP/2.0\r\nf: <sip:alice@example.com>;tag=1\r\n\
            To: <sip:bob@example.com>;tag=2\r\nContact: <sip:carol@example.com>\r\nCall-ID: abc\r\n\r\n";
        let found = is_meant(&choice, message, &mut Index::default());
        assert_eq!(found, expected, "{choice:?}");
    }

    #[test]
    fn texts_are_looked_for_where_they_mean_something() {
        check(None, None, true);
        check(Some("abc"), None, true);
        check(Some("ab"), None, false);
        check(None, Some("alice@example.com"), true);
        check(None, Some("bob@pc."), true);
        check(None, Some("bob@example.com"), true);
        check(None, Some("carol@example.com"), false);
        check(Some("abc"), Some("alice"), true);
        check(Some("abd"), Some("alice"), false);
        let choice = Choice { aor: Some("x".into()), ..Choice::default() };
        assert!(!is_meant(&choice, b"\xff", &mut Index::default()));
    }
}
