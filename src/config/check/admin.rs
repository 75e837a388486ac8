//! `[admin]`: where the node is looked at, and who may change it.
//!
//! Owns: the bounds of a socket's path. What a right allows is decided in `admin`.

use std::path::{Path, PathBuf};

use super::super::address::Complaint;
use super::super::file::{self, At};
use super::super::problem::Problems;
use super::super::{ADMIN_DEFAULT, Admin, ReadyNeeds, address, secret};
use super::{accept, word};

/// What the kernel can name a unix socket by (`sun_path`, with its closing zero). Bytes.
const SOCKET_BYTES_MAX: usize = 107;

/// Judges `[admin]`; relative paths start at `folder`.
pub(super) fn check(file: &file::Admin, folder: &Path, problems: &mut Problems) -> Option<Admin> {
    let listen = match &file.listen {
        None => address::admin(ADMIN_DEFAULT).ok(),
        Some(text) => accept(text, address::admin(&text.value), problems),
    };
    let socket = written(file.socket.as_ref(), |text| socket(text, problems));
    let token = written(file.token.as_ref(), |text| {
        let is_written_here = !secret::names_a_place(text.value.expose());
        if is_written_here {
            problems.warning(
                &text.span,
                "the token stands in the configuration: who can read the file can change the node",
                "write token = \"file:/etc/sipedge/token\" or \"env:SIPEDGE_TOKEN\"",
            );
        }
        accept(text, secret::token(text.value.expose(), folder), problems)
    });
    let hosts = file.hosts.iter().flat_map(|hosts| &hosts.value);
    let hosts = hosts.filter_map(|at| accept(at, host(&at.value), problems)).collect();
    let needs = [
        ("a-pool", ReadyNeeds::APool),
        ("every-pool", ReadyNeeds::EveryPool),
        ("nothing", ReadyNeeds::Nothing),
    ];
    let ready_needs = file.ready_needs.as_ref();
    let ready_needs = ready_needs.and_then(|at| word(at, "ready_needs", &needs, problems));
    Some(Admin {
        listen: listen?,
        socket: socket.ok()?,
        token: token.ok()?,
        hosts,
        ready_needs: ready_needs.unwrap_or_default(),
    })
}

/// A name that requests may ask for, without a port.
fn host(text: &str) -> Result<String, Complaint> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("\"{text}\" is no host name"),
        "write a name alone, like \"edge1.example.com\": no port, no scheme; addresses need no entry",
    ))
}

/// It was wrong, and that was said.
struct Wrong;

/// What a key that may be left out says.
fn written<T, U>(
    text: Option<&At<U>>,
    judge: impl FnOnce(&At<U>) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    text.map(|text| judge(text).ok_or(Wrong)).transpose()
}

fn socket(text: &At<String>, problems: &mut Problems) -> Option<PathBuf> {
    const FORM: &str = "write \"/run/sipedge/sipedge.sock\", or leave the key out";
    let path = Path::new(&text.value);
    if !path.is_absolute() {
        problems.error(&text.span, format!("\"{}\" is no absolute path", text.value), FORM);
        return None;
    }
    if text.value.len() > SOCKET_BYTES_MAX {
        let message = format!(
            "the path has {} bytes; a socket's may have {SOCKET_BYTES_MAX}",
            text.value.len()
        );
        problems.error(&text.span, message, FORM);
        return None;
    }
    Some(path.to_owned())
}
