//! The messages of a scenario, made beforehand with the lengths that the seed drew.
//!
//! Owns: what requests and responses say. Every message ends with its own identity (a last field `X-Load`, or a last
//! SDP line), which no proxy touches, so that it is found without parsing. What a proxy may change stands in front.

use std::net::IpAddr;

use crate::pattern::Pattern;
use crate::random::Random;
use crate::scenario::{Kind, Part, Scenario};

/// Fields that phones send, longest first, to bring a request to its size.
const FILLERS: [&str; 9] = [
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, MESSAGE, SUBSCRIBE, UPDATE, PRACK\r\n",
    "Accept: application/sdp, application/dtmf-relay, text/plain, application/pidf+xml\r\n",
    "Allow-Events: presence, message-summary, tuple-dialog, refer\r\n",
    "Supported: replaces, outbound, path, gruu, timer, 100rel\r\n",
    "Accept-Language: en, de;q=0.8, fr;q=0.6, tr;q=0.4\r\n",
    "Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n",
    "Session-Expires: 1800;refresher=uac\r\n",
    "Priority: normal\r\n",
    "Min-SE: 90\r\n",
];
const AGENT: &str =
    "Telephone/4.2.1 (model 2210; firmware 10.4.7-rc3; build 20261031; hardware b; line 1)";
const DOMAINS: [&str; 4] =
    ["example.com", "sip.example.net", "voice.emea.example.org", "pbx-17.customers.example.com"];

/// All messages of one kind of flow.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) kind: Kind,
    /// The first request, whole.
    pub(crate) request: Pattern,
    /// What follows the Contact of a 180.
    pub(crate) ringing: Pattern,
    /// What follows the Contact of the 200 to the first request.
    pub(crate) ok: Pattern,
    /// The caller's Via and Max-Forwards within a dialog.
    pub(crate) via: Pattern,
    /// What follows the Route fields of an ACK.
    pub(crate) ack: Pattern,
    /// What follows the Route fields of a BYE.
    pub(crate) bye: Pattern,
    /// What follows the Via fields of the 200 to a BYE.
    pub(crate) bye_ok: Pattern,
}

/// Makes the templates of a scenario, and for each how often it is drawn against the others.
pub(crate) fn make(scenario: &Scenario, callers: IpAddr, seed: u64) -> (Vec<Template>, Vec<u64>) {
    let mut random = Random::new(seed ^ 0x7465_6d70);
    let mut templates = Vec::new();
    let mut bounds = Vec::new();
    let mut sum = 0;
    for part in &scenario.mix {
        for _ in 0..scenario.templates {
            templates.push(template(scenario, part, callers, &mut random));
            sum += u64::from(part.weight);
            bounds.push(sum);
        }
    }
    (templates, bounds)
}

/// What identifies a flow, as all of its messages say it.
struct Words {
    /// `host:port` of the caller.
    caller: String,
    user: String,
    peer: String,
    domain: &'static str,
    branch: String,
    from: String,
    to: String,
    call_id: String,
    rport: &'static str,
}

fn words(scenario: &Scenario, callers: IpAddr, random: &mut Random) -> Words {
    let domain = DOMAINS[random.index(DOMAINS.len())];
    let host = match callers {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let mut word = |low: usize, high: usize| {
        let length = low + random.index(high - low + 1);
        random.word(length)
    };
    let (user, peer) = (word(3, 14), word(3, 14));
    let name = word(4, 14);
    Words {
        caller: format!("{host}:{{port}}"),
        branch: format!("z9hG4bK{{branch}}{}", word(0, 24)),
        from: format!("\"{name}\" <sip:{user}@{domain}>;tag={{tag}}{}", word(0, 12)),
        to: format!("<sip:{peer}@{domain}>"),
        call_id: format!("{{call}}-{}@{host}", word(0, 20)),
        rport: if scenario.rport { ";rport" } else { "" },
        user,
        peer,
        domain,
    }
}

/// Words of which a bare request is not longer than `size`, if chance has such.
fn fitting_words(
    scenario: &Scenario,
    kind: Kind,
    size: usize,
    callers: IpAddr,
    random: &mut Random,
) -> Words {
    const DRAWS_MAX: usize = 100;
    let mut drawn = words(scenario, callers, random);
    for _ in 1..DRAWS_MAX {
        let text = request_text(&drawn, kind, &via(&drawn), "", "", 0);
        if Pattern::new(&text).len() <= size {
            break;
        }
        drawn = words(scenario, callers, random);
    }
    drawn
}

/// The caller's Via and Max-Forwards.
fn via(words: &Words) -> String {
    let Words { caller, rport, branch, .. } = words;
    format!("Via: SIP/2.0/UDP {caller}{rport};branch={branch}\r\nMax-Forwards: 70\r\n")
}

fn template(scenario: &Scenario, part: &Part, callers: IpAddr, random: &mut Random) -> Template {
    let size = u64::from(part.bytes - part.spread) + random.below(u64::from(2 * part.spread) + 1);
    let size = usize::try_from(size).expect("a message is short");
    let words = fitting_words(scenario, part.kind, size, callers, random);
    let to_tag = format!("{};tag=b{{tag}}{}", words.to, random.word(4));
    let method = method(part.kind);
    let closing = "Content-Length: 0\r\nX-Load: {id}\r\n\r\n";
    let (from, call_id) = (&words.from, &words.call_id);
    let tail = |cseq: &str, rest: &str| {
        let text =
            format!("From: {from}\r\nTo: {to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{rest}");
        Pattern::new(&text)
    };
    let first = format!("{{cseq}} {method}");
    let answer = if part.kind == Kind::Invite {
        let body = sdp("answer", 0);
        let length = Pattern::new(&body).len();
        format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}")
    } else {
        closing.to_owned()
    };
    let via = via(&words);
    Template {
        kind: part.kind,
        request: request(&words, part.kind, &via, size),
        ringing: tail(&first, closing),
        ok: tail(&first, &answer),
        ack: tail("1 ACK", closing),
        bye: tail("2 BYE", closing),
        bye_ok: tail("2 BYE", closing),
        via: Pattern::new(&via),
    }
}

pub(crate) const fn method(kind: Kind) -> &'static str {
    match kind {
        Kind::Invite => "INVITE",
        Kind::Register => "REGISTER",
        Kind::Options => "OPTIONS",
    }
}

/// The first request, brought to `size` as near as whole fields allow, and then by User-Agent to the byte.
fn request(words: &Words, kind: Kind, via: &str, size: usize) -> Pattern {
    let mut fillers = String::new();
    let lay = |fillers: &str, agent: &str, sdp_bytes: usize| {
        Pattern::new(&request_text(words, kind, via, fillers, agent, sdp_bytes))
    };
    // A body takes what is larger than the fields of a usual INVITE.
    let bare = lay("", "", 0).len();
    let sdp_bytes = if kind == Kind::Invite { size.saturating_sub(bare + 230) } else { 0 };
    for filler in FILLERS {
        let with = format!("{fillers}{filler}");
        if lay(&with, "", sdp_bytes).len() <= size {
            fillers = with;
        }
    }
    let missing = size.saturating_sub(lay(&fillers, "x", sdp_bytes).len()) + 1;
    let agent = &AGENT[..missing.min(AGENT.len())];
    let agent = if missing > 1 { agent.trim_end() } else { "" };
    lay(&fillers, agent, sdp_bytes)
}

fn request_text(
    words: &Words,
    kind: Kind,
    via: &str,
    fillers: &str,
    agent: &str,
    sdp_bytes: usize,
) -> String {
    let Words { caller, user, peer, domain, from, to, call_id, .. } = words;
    let method = method(kind);
    let (uri, to) = match kind {
        Kind::Register => (format!("sip:{domain}"), format!("<sip:{user}@{domain}>")),
        Kind::Invite | Kind::Options => (format!("sip:{peer}@{domain}"), to.clone()),
    };
    let expires = if kind == Kind::Register { "Expires: 3600\r\n" } else { "" };
    let agent = if agent.is_empty() { String::new() } else { format!("User-Agent: {agent}\r\n") };
    // RFC 3261 11.1: OPTIONS may go without.
    let contact = match kind {
        Kind::Options => String::new(),
        Kind::Invite | Kind::Register => {
            format!("Contact: <sip:{user}@{caller};transport=udp>\r\n")
        }
    };
    let (content, end) = if kind == Kind::Invite {
        let body = sdp("offer", sdp_bytes);
        let length = Pattern::new(&body).len();
        (format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n"), body)
    } else {
        ("Content-Length: 0\r\nX-Load: {id}\r\n".to_owned(), String::new())
    };
    format!(
        "{method} {uri} SIP/2.0\r\n{via}{{tail}}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {{cseq}} {method}\r\n{contact}{expires}{fillers}{agent}{content}\r\n{end}"
    )
}

/// A session description with further lines of at most `extra_bytes`.
fn sdp(name: &str, extra_bytes: usize) -> String {
    const LINES: [&str; 12] = [
        "a=rtpmap:0 PCMU/8000\r\n",
        "a=rtpmap:8 PCMA/8000\r\n",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=fmtp:101 0-16\r\n",
        "a=ptime:20\r\n",
        "a=maxptime:150\r\n",
        "a=rtcp:40001 IN IP4 192.0.2.17\r\n",
        "a=rtpmap:9 G722/8000\r\n",
        "a=rtpmap:18 G729/8000\r\n",
        "a=fmtp:18 annexb=no\r\n",
        "a=rtcp-mux\r\n",
        "a=ssrc:2891436521 cname:u7Qm2xPzL4\r\n",
    ];
    let mut extra = String::new();
    for line in LINES {
        if extra.len() + line.len() <= extra_bytes {
            extra.push_str(line);
        }
    }
    format!(
        "v=0\r\no=- 2890844526 2890844526 IN IP4 192.0.2.17\r\ns={name}\r\nc=IN IP4 192.0.2.17\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0 8 101\r\n{extra}a=sendrecv\r\na=label:{{id}}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sipedge::sip::message::{FieldName, Index, Message};

    use super::*;
    use crate::pattern::{Values, hex16};

    fn rendered(scenario: &str) -> Vec<(Kind, Vec<u8>)> {
        let scenario = Scenario::parse(scenario).expect("a scenario");
        let (templates, _) = make(&scenario, IpAddr::from([127, 0, 0, 1]), 1);
        let values = Values {
            id: hex16(5),
            call: hex16(6),
            branch: hex16(7),
            tag: *b"01234567",
            cseq: b'1',
            port: *b"40000",
        };
        let render = |template: &Template| {
            let mut out = Vec::new();
            template.request.render(&values, &mut out);
            (template.kind, out)
        };
        templates.iter().map(render).collect()
    }

    #[test]
    fn requests_are_sip_of_the_size_asked_for_and_differ() {
        let text = "name = \"x\"\nflow = \"requests\"\ntemplates = 64\n\
                    [[mix]]\nkind = \"invite\"\nbytes = 800\nspread = 60\n\
                    [[mix]]\nkind = \"register\"\nbytes = 550\nspread = 40\n\
                    [[mix]]\nkind = \"options\"\nbytes = 420\nspread = 20\n";
        let requests = rendered(text);
        let mut index = Index::default();
        for (kind, bytes) in &requests {
            let message = Message::parse(bytes, &mut index).expect("SIP");
            let length = message.number(FieldName::ContentLength).expect("there").expect("good");
            assert_eq!(length as usize, message.body().len());
            assert_eq!(message.cseq().expect("good").method.of(bytes), method(*kind).as_bytes());
            assert_eq!(message.vias().filter(Result::is_ok).count(), 1);
        }
        for (kind, mean, spread) in
            [(Kind::Invite, 800, 60), (Kind::Register, 550, 40), (Kind::Options, 420, 20)]
        {
            let sizes: Vec<usize> =
                requests.iter().filter(|(k, _)| *k == kind).map(|(_, b)| b.len()).collect();
            let within = |size: &&usize| (mean - spread - 20..=mean + spread + 20).contains(*size);
            let share = sizes.iter().filter(within).count();
            assert!(share >= sizes.len() * 9 / 10, "{kind:?}: {sizes:?}");
            assert!(sizes.iter().collect::<BTreeSet<_>>().len() > 10, "{kind:?}: all alike");
        }
    }
}
