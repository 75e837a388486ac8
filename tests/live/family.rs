//! IPv6 phones and IPv4 backends: every dialog crosses the families, along a double Record-Route (RFC 5658).
//!
//! Owns: the two listeners, and what the route set looks like on each side.

use std::net::{IpAddr, Ipv6Addr};

use crate::flows::Stage;
use crate::harness::edge::Setup;
use crate::harness::ledger::{Side, Way};
use crate::harness::need::Need;
use crate::harness::sipp::{Load, Station};
use crate::harness::{free_address, loopback};
use crate::registrar::registered_phones;
use crate::runner::{Case, Place};

const CALLS: u32 = 40;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("family/ipv6-to-ipv4", [Need::Sipp, Need::Ipv6], ipv6_to_ipv4),
        Case::new(
            "family/ipv6-phones-kamailio",
            [Need::Sipp, Need::Kamailio, Need::Ipv6],
            ipv6_phones_at_kamailio,
        ),
    ]
}

fn ipv6_to_ipv4(place: &Place) {
    let backends = [3, 4, 5].map(|host| free_address(loopback(host)));
    let setup = two_families(&backends);
    let stage = Stage::start(place, &setup, free_address(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    for flow in ["bye_by_caller", "bye_by_callee", "cancel", "busy", "message"] {
        let ledger = stage.run_and_check(&place.part(flow), flow, &Load::calls(CALLS));
        if flow != "bye_by_caller" {
            continue;
        }
        for invite in ledger.of(Side::Backend, Way::Received) {
            if invite.name.method == "INVITE" && invite.name.cseq == 1 && invite.name.status == 0 {
                let routes: Vec<&str> =
                    invite.text.lines().filter(|line| line.starts_with("Record-Route:")).collect();
                let routes = routes.join(",");
                let (outer, inner) =
                    (setup.listeners[0].1.to_string(), setup.listeners[1].1.to_string());
                // RFC 5658: the address that the backend can reach stands first.
                let places = (routes.find(&inner), routes.find(&outer));
                assert!(
                    matches!(places, (Some(first), Some(second)) if first < second),
                    "the route set crosses the families:\n{}",
                    invite.text
                );
            }
        }
    }
    stage.edge.stop();
}

/// Caller and callee are IPv6; the registrar between them is IPv4, so the stored Path has two values.
fn ipv6_phones_at_kamailio(place: &Place) {
    let backends = [6, 7].map(|host| free_address(loopback(host)));
    let setup = Setup { key: "aor", ..two_families(&backends) };
    let station =
        |name| Station::new(name, Side::Phone, free_address(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    registered_phones(place, &setup, station("phone-b"), station("phone-a"));
}

fn two_families(backends: &[std::net::SocketAddr]) -> Setup {
    let outer = free_address(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let inner = free_address(loopback(2));
    Setup {
        listeners: vec![("public", outer), ("private", inner)],
        send_from: Some("private"),
        ..Setup::new(outer, backends)
    }
}
