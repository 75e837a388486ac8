//! The rights of the unit are enough for the steering program, and each of them is needed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::units::RIGHTS;
use crate::{has, skip};

/// The program and a configuration where a user without rights can read them.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("sipedge-rights-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::copy(env!("CARGO_BIN_EXE_sipedge"), folder.join("sipedge")).expect("a copy");
        // Free again once this socket is gone; the program binds it right after.
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let free = free.expect("a free port");
        let text = format!(
            "[node]\nshards = 2\nsteering = \"ebpf\"\n[[listen]]\nname = \"a\"\naddress = \"udp:{free}\"\n\
             [[pool]]\nname = \"p\"\nbackends = [{{ uri = \"sip:127.0.0.1:9\" }}]\n[[route]]\npool = \"p\"\n\
             [admin]\nlisten = \"off\"\n"
        );
        fs::write(folder.join("sipedge.toml"), text).expect("a file");
        Self(folder)
    }

    /// How a start with these capabilities ends: the line that says ready, or why not.
    fn start_with(&self, rights: &[&str]) -> String {
        let named: Vec<String> =
            rights.iter().map(|right| right.replace("CAP_", "+").to_lowercase()).collect();
        let set = format!("-all,{}", named.join(","));
        let mut child = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
            .args(["--inh-caps", "--ambient-caps", "--bounding-set"].map(|o| format!("{o}={set}")))
            .arg(self.0.join("sipedge"))
            .args(["run", "-c"])
            .arg(self.0.join("sipedge.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv is there");
        let lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
        let is_last = |line: &String| line.ends_with(" ready") || line.contains("cannot start");
        let last = lines.map_while(Result::ok).find(is_last);
        let _ = child.kill();
        let _ = child.wait();
        last.expect("it starts or says why not")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    // CAP_SETUID, CAP_SETPCAP, CAP_PERFMON and CAP_BPF: to become nobody with these rights. A container may lack others.
    const NEEDED: u64 = 1 << 7 | 1 << 8 | 1 << 38 | 1 << 39;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|held| u64::from_str_radix(held.trim(), 16).ok());
    held.is_some_and(|held| held & NEEDED == NEEDED)
}

#[test]
fn the_rights_of_the_unit_load_the_program_and_none_is_too_many() {
    if !has("setpriv") {
        return;
    }
    if !is_root() {
        return skip("needs root, to take rights away");
    }
    let place = Place::new();
    let rights: Vec<&str> = RIGHTS.split(' ').collect();
    let all = place.start_with(&rights);
    if all.contains("built without eBPF") {
        return skip("needs an edge with eBPF (apt install clang)");
    }
    assert!(all.ends_with(" ready"), "{all}");
    for left_out in &rights {
        let others: Vec<&str> = rights.iter().copied().filter(|right| right != left_out).collect();
        let refused = place.start_with(&others);
        assert!(refused.contains(left_out), "without {left_out}: {refused}");
    }
}
