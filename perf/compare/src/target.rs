//! A target: which program is put under load, and how it is started. Read from `perf/targets/NAME.toml`.
//!
//! Owns: the file's keys and what the placeholders in it stand for. Knows nothing of load.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::template::Values;
use crate::write;

/// Where every target listens, and the backends behind it: in a network of its own, so always the same.
pub(crate) const LISTEN: &str = "127.0.0.1:5060";
/// Where the generator answers.
pub(crate) const BACKENDS: [&str; 4] =
    ["127.0.0.1:5071", "127.0.0.1:5072", "127.0.0.1:5073", "127.0.0.1:5074"];

/// The file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// As the plan and the tables call it; also the file's name.
    pub(crate) name: String,
    /// What it is, in a line.
    pub(crate) what: String,
    /// What it does to each message, so that a reader can judge what is compared.
    pub(crate) job: String,
    /// Program and arguments; empty: no target, the generator sends to its own first backend.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Files in `perf/targets/templates` that are filled in and put into the folder of the run.
    #[serde(default)]
    pub(crate) templates: Vec<String>,
    /// Further placeholders for command and templates.
    #[serde(default)]
    pub(crate) values: BTreeMap<String, String>,
    /// How to build it, from the root of the repository.
    #[serde(default)]
    pub(crate) build: Vec<String>,
    /// Prints its version.
    #[serde(default)]
    pub(crate) version: Vec<String>,
    /// Cores it may use; with the second it shares that of the generator.
    #[serde(default = "one")]
    pub(crate) cores: usize,
    /// The signal that ends it.
    #[serde(default)]
    pub(crate) stop: Stop,
    /// Left out, with a note, where it cannot be built.
    #[serde(default)]
    pub(crate) optional: bool,
    /// Checks of the generator that do not apply, because the target's job is a smaller one.
    #[serde(default)]
    pub(crate) unchecked: Vec<Check>,
}

/// What the generator counts as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    Duplicated,
    WrongBackend,
    WrongBytes,
    WrongCaller,
    Bypassed,
    Unexpected,
}

/// A signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Stop {
    #[default]
    Term,
    Quit,
}

fn one() -> usize {
    1
}

/// A target that is ready to be started in `folder`.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) command: Vec<String>,
    pub(crate) folder: PathBuf,
}

impl Target {
    /// Reads `perf/targets/NAME.toml`.
    pub(crate) fn read(root: &Path, name: &str) -> Result<Self, String> {
        let path = root.join(format!("perf/targets/{name}.toml"));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let target = Self::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if target.name != name {
            return Err(format!("{}: its name is {:?}", path.display(), target.name));
        }
        Ok(target)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let target: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !(1..=2).contains(&target.cores) {
            return Err("cores: 1 or 2".into());
        }
        Ok(target)
    }

    /// Whether there is a program at all.
    pub(crate) fn is_direct(&self) -> bool {
        self.command.is_empty()
    }

    /// Where the generator sends to.
    pub(crate) fn address(&self) -> &'static str {
        if self.is_direct() { BACKENDS[0] } else { LISTEN }
    }

    /// Fills in command and templates; the templates are written into `folder`.
    pub(crate) fn prepare(&self, root: &Path, folder: &Path) -> Result<Prepared, String> {
        let values = self.values(root, folder);
        for name in &self.templates {
            let path = root.join("perf/targets/templates").join(name);
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let text = values.expand(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            write(&folder.join(name), &text)?;
        }
        let expand = |word: &String| values.expand(word);
        let command = self.command.iter().map(expand).collect::<Result<_, _>>();
        let command = command.map_err(|error| format!("target {}: {error}", self.name))?;
        Ok(Prepared { command, folder: folder.to_owned() })
    }

    /// Fills in one word of a command.
    pub(crate) fn expand(&self, word: &str, root: &Path) -> Result<String, String> {
        self.values(root, root).expand(word)
    }

    fn values(&self, root: &Path, folder: &Path) -> Values {
        let mut values = Values::default();
        let mut address = |name: String, text: &str| {
            let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
            values.set(format!("{name}_HOST"), host);
            values.set(format!("{name}_PORT"), port);
            values.set(name, text);
        };
        address("LISTEN".into(), LISTEN);
        for (index, backend) in BACKENDS.iter().enumerate() {
            address(format!("BACKEND_{}", index + 1), backend);
        }
        values.set("BACKENDS", BACKENDS.join(","));
        values.set("FOLDER", folder.to_string_lossy());
        values.set("ROOT", root.to_string_lossy());
        values.set("BUILT", root.join("target").to_string_lossy());
        values.set("CORES", self.cores.to_string());
        for (name, value) in &self.values {
            values.set(name, value);
        }
        values
    }
}

/// The backends as addresses.
pub(crate) fn backends() -> [SocketAddr; 4] {
    BACKENDS.map(|text| text.parse().expect("our own addresses are valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: &str = "name = \"floor\"\nwhat = \"a floor\"\njob = \"none\"\n\
                         command = [\"@BUILT@/floor\", \"@LISTEN@\", \"@BACKENDS@\", \"@MODE@\"]\n\
                         values = { MODE = \"fast\" }\n";

    #[test]
    fn the_command_is_filled_in() {
        let target = Target::parse(FLOOR).expect("valid");
        let prepared = target.prepare(Path::new("/r"), Path::new("/f")).expect("all is known");
        assert_eq!(prepared.command[..2], ["/r/target/floor", LISTEN]);
        assert_eq!(prepared.command[2].split(',').count(), 4);
        assert_eq!(prepared.command[3], "fast");
        assert!(!target.is_direct());
    }

    #[test]
    fn unknown_keys_and_placeholders_are_refused() {
        let error = Target::parse(&format!("{FLOOR}colour = 1\n")).expect_err("no such key");
        assert!(error.contains("colour"), "{error}");
        assert!(Target::parse(&format!("{FLOOR}cores = 3\n")).is_err());
        let target = Target::parse(&FLOOR.replace("MODE =", "OTHER =")).expect("valid");
        assert!(target.prepare(Path::new("/r"), Path::new("/f")).is_err());
    }

    #[test]
    fn the_targets_of_the_tree_are_complete() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = std::env::temp_dir().join(format!("sipedge-targets-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for what is filled in");
        let mut seen = 0;
        for entry in fs::read_dir(root.join("perf/targets")).expect("there are targets") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|end| end == "toml") {
                let name = path.file_stem().expect("a name").to_string_lossy();
                let target = Target::read(&root, &name).unwrap_or_else(|error| panic!("{error}"));
                target.prepare(&root, &folder).unwrap_or_else(|error| panic!("{error}"));
                seen += 1;
            }
        }
        fs::remove_dir_all(&folder).expect("ours");
        assert!(seen >= 10, "only {seen}");
    }
}
