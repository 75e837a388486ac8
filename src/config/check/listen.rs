//! `[[listen]]`: addresses, and what stands for them in messages.

use std::collections::HashMap;
use std::net::IpAddr;

use super::super::address;
use super::super::file::Listen;
use super::super::problem::Problems;
use super::{accept, unique_name};
use crate::sip::route::table::{LISTENERS_MAX, Listener};

/// One entry for each section, none where it has an error: the index stays the listener's id.
pub(super) fn check(sections: &[Listen], problems: &mut Problems) -> Vec<Option<Listener>> {
    if sections.is_empty() {
        let help = "add [[listen]] with name = \"public\" and address = \"udp:192.0.2.1:5060\"";
        problems.missing_in_file("there is no listener: nothing could come in", help);
    }
    if let Some(extra) = sections.get(LISTENERS_MAX) {
        let message = format!("more than {LISTENERS_MAX} listeners");
        problems.error(&extra.span, message, "spread them over several nodes");
    }
    let mut names = HashMap::new();
    let mut addresses = HashMap::new();
    let mut listeners = Vec::new();
    for section in sections {
        let name =
            unique_name(section.name.as_ref(), &section.span, "listener", &mut names, problems);
        let listener = one(section, name, problems);
        if let (Some(listener), Some(at)) = (&listener, &section.address)
            && let Some(other) = addresses.insert(listener.address, listener.name.clone())
        {
            let message = format!("{} is the address of \"{other}\" already", listener.address);
            problems.error(&at.span, message, "give each listener its own address or port");
        }
        listeners.push(listener);
    }
    listeners
}

fn one(section: &Listen, name: Option<String>, problems: &mut Problems) -> Option<Listener> {
    let Some(at) = &section.address else {
        let help = "write address = \"udp:192.0.2.1:5060\"";
        problems.missing(&section.span, "this listener has no address", help);
        return None;
    };
    let address = accept(at, address::listener(&at.value), problems);
    let advertise = match &section.advertise {
        Some(at) => Some(accept(at, address::advertised(&at.value), problems)?),
        None => None,
    };
    let address = address?;
    if address.ip().is_unspecified() && advertise.is_some() {
        let message = format!(
            "{} is every address: what we send leaves from the one that the kernel's route picks, and not \
             always from where a request came in",
            address.ip()
        );
        problems.warning(&at.span, message, "listen on one address, with one [[listen]] for each");
    }
    let (host, port) = match advertise {
        Some((host, port)) => (host, port.unwrap_or_else(|| address.port())),
        None if address.ip().is_unspecified() => {
            let message =
                format!("{} is every address, and none that others could answer to", address.ip());
            let help = "add advertise = \"192.0.2.1:5060\", or listen on one address";
            problems.missing(&at.span, message, help);
            return None;
        }
        None => match address.ip() {
            IpAddr::V4(ip) => (ip.to_string(), address.port()),
            IpAddr::V6(ip) => (format!("[{ip}]"), address.port()),
        },
    };
    // Without a name it still takes part in the checks of pools; no configuration comes out then.
    Some(Listener { name: name.unwrap_or_default(), address, host, port })
}
