//! `systemd-analyze` on the units: no mistakes, and no more open than said.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{has, root};

/// Tenths of the points of `systemd-analyze security` (0 is closed, 100 open); what it says stands in `systemd/README.md`.
const EXPOSURE_MAX: &str = "20";
/// The capabilities of the service.
pub(crate) const RIGHTS: &str = "CAP_BPF CAP_PERFMON";

/// A folder of the test with the units, which name a program that is there.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sipedge-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        for unit in ["sipedge.service", "sipedge.socket"] {
            let text = fs::read_to_string(root().join("systemd").join(unit)).expect("a unit");
            let there = text.replace("/usr/bin/sipedge", env!("CARGO_BIN_EXE_sipedge"));
            fs::write(folder.join(unit), there).expect("a file");
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn units_are_sound() {
    if !has("systemd-analyze") {
        return;
    }
    let folder = Folder::new("verify");
    let units = ["sipedge.service", "sipedge.socket"].map(|unit| folder.0.join(unit));
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .output()
        .expect("it is there");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    // What a systemd before 253 says of the second `Type=`; it keeps the first.
    let is_known =
        |line: &str| line.ends_with("Failed to parse service type, ignoring: notify-reload");
    let ours = told.lines().filter(|line| line.contains("sipedge"));
    let unknown: Vec<&str> = ours.filter(|line| !is_known(line)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn the_service_is_closed() {
    if !has("systemd-analyze") {
        return;
    }
    let folder = Folder::new("security");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX])
        .arg(folder.0.join("sipedge.service"))
        .output()
        .expect("it is there");
    let told = String::from_utf8_lossy(&output.stdout);
    let overall = told.lines().find(|line| line.contains("Overall exposure level"));
    assert!(output.status.success() && overall.is_some(), "{overall:?}");
}

#[test]
fn the_service_may_do_what_the_readme_says_and_no_more() {
    let unit = fs::read_to_string(root().join("systemd/sipedge.service")).expect("a unit");
    let values = |key: &str| -> Vec<String> {
        let lines = unit.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
    };
    assert_eq!(values("CapabilityBoundingSet"), [RIGHTS]);
    assert_eq!(values("AmbientCapabilities"), [RIGHTS]);
    assert_eq!(values("User"), ["sipedge"]);
    assert_eq!(values("Type"), ["notify", "notify-reload"]);
    assert_eq!(values("WatchdogSec"), ["20"]);
}
