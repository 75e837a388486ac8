//! `sipedge check` and `sipedge explain` with names in the configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::server::Server;

fn config(server: &Server, address: SocketAddr, backends: &str) -> PathBuf {
    let path = server.folder().join("sipedge.toml");
    let text = format!(
        "[node]\ndns = [\"udp:{address}\"]\n\
         [[listen]]\nname = \"public\"\naddress = \"udp:127.0.0.1:5060\"\n\
         [[pool]]\nname = \"servers\"\nbackends = [{backends}]\n[[route]]\npool = \"servers\"\n"
    );
    fs::write(&path, text).expect("a file of our own");
    path
}

/// Exit code, standard output and standard error.
fn sipedge(arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_sipedge");
    let done = Command::new(program).args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

const ZONE: &str = "_sip._udp.pool SRV 10 3 5070 a\n _sip._udp.pool SRV 10 1 5070 b\n a A 127.0.0.2\n b A 127.0.0.3";

#[test]
fn check_shows_what_names_stand_for_and_warns_of_those_that_do_not_resolve() {
    let Some(server) = Server::start(&format!("{ZONE}\n self A 127.0.0.1")) else { return };
    let path = config(
        &server,
        server.address(),
        "{ uri = \"sip:pool.sip.test\" }, { uri = \"sip:gone.sip.test\" }, { uri = \"sip:self.sip.test\" }",
    );
    let (code, out, err) = sipedge(&["check", "-c", path.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{err}");
    let shown = "name pool.sip.test: 2 addresses now\n  \
                 127.0.0.2:5070  priority 10, share 1.50  (SRV _sip._udp.pool.sip.test, A a.sip.test)\n  \
                 127.0.0.3:5070  priority 10, share 0.50  (SRV _sip._udp.pool.sip.test, A b.sip.test)\n";
    assert!(out.contains(shown), "{out}");
    assert!(
        err.contains("gone.sip.test does not resolve now: gone.sip.test has no IPv4 address"),
        "{err}"
    );
    // It points at the second of the three.
    let text = fs::read_to_string(&path).expect("a file of our own");
    let line = 1 + text.lines().position(|line| line.contains("gone.sip.test")).expect("there");
    assert!(err.contains(&format!(":{line}:")), "{err}");
    assert!(err.contains("^".repeat("sip:gone.sip.test".len()).as_str()), "{err}");
    assert!(
        err.contains("pool servers: self.sip.test: 127.0.0.1:5060 is our own listener"),
        "{err}"
    );
    assert!(out.contains("can run: 0 errors, 2 warnings"), "{out}");
}

#[test]
fn check_says_when_no_dns_server_answers() {
    let Some(mut server) = Server::start(ZONE) else { return };
    server.kill();
    let path = config(&server, server.address(), "{ uri = \"sip:pool.sip.test\" }");
    let (code, out, err) = sipedge(&["check", "-c", path.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("warning: pool.sip.test does not resolve now: "), "{err}");
    assert!(out.contains("can run: 0 errors, 1 warnings"), "{out}");
}

#[test]
fn explain_routes_to_the_addresses_of_a_name() {
    let Some(server) = Server::start(ZONE) else { return };
    let path = config(&server, server.address(), "{ uri = \"sip:pool.sip.test\" }");
    let message = server.folder().join("options.sip");
    let text = "OPTIONS sip:x@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
                From: <sip:a@example.com>;tag=1\r\nTo: <sip:x@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
                Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    fs::write(&message, text).expect("a file of our own");
    let (config, message) = (path.to_str().expect("UTF-8"), message.to_str().expect("UTF-8"));
    let (code, out, err) = sipedge(&["explain", "-c", config, "--from", "192.0.2.7", message]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("sip:127.0.0.2:5070") && out.contains("sip:127.0.0.3:5070"), "{out}");
}
