//! Tokens: what is sealed opens, what was changed by a bit does not, and what opens was sealed.
//!
//! Owns: what holds for `FlowToken` and for the two values of our Via. An input that begins with the mark is the text of
//! a token; of any other the bytes are what is sealed, and which bit is turned.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use sipedge::sip::ListenerId;
use sipedge::sip::digit::{digit, digit_value};
use sipedge::sip::route::table::Key;
use sipedge::sip::token::via::{
    BRANCH_BYTES, BranchHash, EDGE_BYTES, EdgeParameter, VIA_TAIL, VIA_TAIL_BYTES, is_marked,
    read_branch, write_via_tail,
};
use sipedge::sip::token::{FlowToken, KeyRing, SealKey, TOKEN_BYTES_MAX, TokenError, TokenKind};

use super::naive::is_token;

/// Where the shard digit stands: the only character that is not covered.
const SHARD_PLACE: usize = 3;

fn ring(first: u8) -> KeyRing {
    let key = |id: u8| Key { id, secret: [id ^ 0x55; 32] };
    KeyRing::new(&[key(first), key(62), key(63)])
}

fn node_ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| ring(1))
}

pub(crate) fn check(bytes: &[u8]) {
    if FlowToken::is_token(bytes) {
        what_opens_was_sealed(bytes);
    } else {
        let mut taken = Bytes(bytes);
        sealed_is_opened(&mut taken);
        our_via(&mut taken, bytes);
    }
    any_via(bytes);
}

/// The bytes of the input one after the other, then zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut taken = [0; N];
        taken[..head.len()].copy_from_slice(head);
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn address(&mut self, is_ipv6: bool) -> SocketAddr {
        let port = u16::from_be_bytes(self.take());
        let ip = match is_ipv6 {
            true => IpAddr::V6(Ipv6Addr::from(self.take::<16>())),
            false => IpAddr::from(self.take::<4>()),
        };
        SocketAddr::new(ip, port)
    }
}

fn what_opens_was_sealed(text: &[u8]) {
    let Ok(token) = FlowToken::open(text, node_ring()) else { return };
    assert!(text.len() <= TOKEN_BYTES_MAX);
    let key = digit_value(text[4]).expect("it named a key");
    // Sealed again with the key that it names it is the same text, but for the shard digit.
    let mut again = token.seal(&ring(key), 0).as_bytes().to_vec();
    again[SHARD_PLACE] = text[SHARD_PLACE];
    assert_eq!(&again[..], text, "{token:?}");
}

fn sealed_is_opened(taken: &mut Bytes<'_>) {
    let head = taken.byte();
    let is_ipv6 = head & 2 != 0;
    let token = FlowToken {
        kind: if head & 1 == 0 { TokenKind::Dialog } else { TokenKind::Path },
        local: taken.address(is_ipv6),
        remote: taken.address(is_ipv6),
        backend: (head & 4 != 0).then(|| taken.address(head & 8 != 0)),
    };
    let shard = taken.byte() & 63;
    let text = token.seal(node_ring(), shard).as_bytes().to_vec();
    assert_eq!(FlowToken::open(&text, node_ring()), Ok(token), "{}", text.escape_ascii());
    assert!(text.iter().all(|&b| is_token(b)) && FlowToken::is_token(&text));
    assert_eq!(text[SHARD_PLACE], digit(shard));
    assert_eq!(FlowToken::open(&text, &ring(2)), Err(TokenError::UnknownKey));

    let mut changed = text.clone();
    let bit = usize::from(u16::from_le_bytes(taken.take())) % (text.len() * 8);
    let place = bit / 8;
    changed[place] ^= 1 << (bit % 8);
    if place != SHARD_PLACE {
        let opened = FlowToken::open(&changed, node_ring());
        assert!(opened.is_err(), "{} opened {opened:?}", changed.escape_ascii());
    }
    let cut = usize::from(taken.byte()) % text.len();
    assert!(FlowToken::open(&text[..cut], node_ring()).is_err());
    let longer = [&text[..], &[taken.byte()]].concat();
    assert!(FlowToken::open(&longer, node_ring()).is_err(), "{}", longer.escape_ascii());
}

fn our_via(taken: &mut Bytes<'_>, bytes: &[u8]) {
    let transaction = u64::from_le_bytes(taken.take());
    let shard = taken.byte() & 63;
    let key = node_ring().newest();
    let listener = ListenerId(taken.byte() & 63);
    let target = taken.address(bytes.len() & 1 == 0);
    let loop_value = u64::from_le_bytes(taken.take());
    let branch = BranchHash { transaction, attempt: taken.byte() & 3 };
    let edge = EdgeParameter::new(key, branch, listener, target, loop_value);
    let tail = via_tail(branch, key, shard, &edge);
    let (text, parameter) = (&tail[..BRANCH_BYTES], &tail[EDGE_PLACE..][..EDGE_BYTES]);
    let (found, read) = read_branch(text, node_ring()).expect("a branch of ours");
    assert_eq!((found.id, read), (key.id, branch));
    assert!(is_marked(text) && text.iter().all(|&b| is_token(b)));
    assert_eq!(EdgeParameter::read(parameter), Some(edge));
    assert!(&tail[BRANCH_BYTES..EDGE_PLACE] == b";e=" && tail.ends_with(b"\r\n"));
    // 48 bits: another address has the same value once in 2^48, which no run of a fuzzer meets.
    let elsewhere = SocketAddr::new(target.ip(), target.port() ^ 1);
    let other = EdgeParameter::new(key, branch, listener, elsewhere, loop_value);
    assert_ne!(other.target, edge.target);
}

/// Where the value of our parameter begins.
const EDGE_PLACE: usize = BRANCH_BYTES + b";e=".len();

fn via_tail(
    branch: BranchHash,
    key: &SealKey,
    shard: u8,
    edge: &EdgeParameter,
) -> [u8; VIA_TAIL_BYTES] {
    let mut tail = VIA_TAIL;
    write_via_tail(&mut tail, branch, key, shard, edge);
    tail
}

/// Whatever text is read as one of ours is written back as the same text.
fn any_via(bytes: &[u8]) {
    let none = EdgeParameter { listener: ListenerId(0), target: 0, loop_value: 0 };
    if let Some((key, branch)) = read_branch(bytes, node_ring()) {
        let shard = digit_value(bytes[10]);
        let again = via_tail(branch, key, shard.unwrap_or(0), &none);
        assert_eq!(again[11..BRANCH_BYTES], bytes[11..], "{}", bytes.escape_ascii());
        assert!(shard.is_none() || again[..BRANCH_BYTES] == *bytes);
    }
    if let Some(edge) = EdgeParameter::read(bytes) {
        let again = via_tail(BranchHash::from(0), node_ring().newest(), 0, &edge);
        assert_eq!(&again[EDGE_PLACE..][..EDGE_BYTES], bytes, "{}", bytes.escape_ascii());
    }
}
