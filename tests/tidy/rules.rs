//! The rules: from the text of one file to findings (`line: what is wrong`).
//!
//! Owns: what is forbidden where, and why. Knows no files: paths and text come in.

use crate::text::{code_only, has_word};

/// Longest line of code, in characters. rustfmt keeps code at 100; comments and literals may need more.
const LINE_CHARACTERS_MAX: usize = 130;
/// Longest file under `src`, in lines; think again near 400.
const FILE_LINES_MAX: usize = 450;

/// What the pure core must not name.
pub(crate) const IMPURE: [&str; 16] = [
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "thread",
    "Mutex",
    "RwLock",
    "Condvar",
    "RefCell",
    "RandomState",
    "rand",
    "tokio",
    "fs",
    "env",
    "println",
];

fn find(source: &str, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let lines = source.lines().enumerate();
    lines.filter_map(|(at, line)| wrong(line).map(|what| format!("{}: {what}", at + 1))).collect()
}

/// The first line is a `//!`.
pub(crate) fn head(source: &str) -> Vec<String> {
    if source.starts_with("//! ") { vec![] } else { vec!["1: no `//!` head".to_owned()] }
}

/// Marks of unfinished work; tests and lints switched off without a reason.
pub(crate) fn leftovers(source: &str) -> Vec<String> {
    const WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    const CALLS: [&str; 6] =
        ["dbg!(", "todo!(", "unimplemented!(", "#[ignore]", "#[allow(", "#![allow("];
    find(source, |line| {
        let word = WORDS.iter().find(|word| has_word(line, word));
        let call = CALLS.iter().find(|call| line.contains(**call));
        word.or(call).map(|what| format!("left over: {what}"))
    })
}

/// Paths that exist on one machine only.
pub(crate) fn machine_paths(source: &str) -> Vec<String> {
    const PATHS: [&str; 4] = ["/work/", "/root/", "/home/", "../shared"];
    find(source, |line| {
        PATHS.iter().find(|path| line.contains(**path)).map(|path| format!("machine path {path}"))
    })
}

/// Lines beyond the bound. A line without blanks inside (one literal) cannot be broken.
pub(crate) fn long_lines(source: &str) -> Vec<String> {
    find(source, |line| {
        let count = line.chars().count();
        let breakable = line.split_whitespace().count() > 1;
        (count > LINE_CHARACTERS_MAX && breakable).then(|| format!("{count} characters"))
    })
}

/// A file that grew too long.
pub(crate) fn long_file(source: &str) -> Vec<String> {
    let count = source.lines().count();
    if count > FILE_LINES_MAX { vec![format!("{count}: lines in one file")] } else { vec![] }
}

/// Words that code must not use here.
pub(crate) fn words(source: &str, forbidden: &[&str]) -> Vec<String> {
    find(&code_only(source), |line| {
        let word = forbidden.iter().find(|word| has_word(line, word));
        word.map(|word| format!("`{word}` does not belong here"))
    })
}

/// Fields that hold a secret as a text that a log, a diff or an answer could print.
pub(crate) fn plain_secrets(source: &str) -> Vec<String> {
    const NAMES: [&str; 3] = ["password", "secret", "token"];
    const TEXTS: [&str; 5] = ["String", "str", "OsString", "Box<[u8]>", "Vec<u8>"];
    find(&code_only(source), |line| {
        let line = line.trim().trim_end_matches(',');
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            rest.split_once(')').filter(|_| rest.starts_with('(')).map_or(rest, |(_, rest)| rest)
        });
        let (name, kind) = line.trim().split_once(": ")?;
        let is_secret = NAMES.iter().any(|secret| name.ends_with(secret));
        let is_field = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        // `&str` without a lifetime is an argument: it ends with its call.
        let is_text = (kind.contains("String") || !kind.contains("&str"))
            && !kind.contains("Secret")
            && TEXTS.iter().any(|text| has_word(kind, text) || kind.contains(text));
        let is_whole = !kind.contains(['(', ')', '=', ';', '{', '"']);
        (is_secret && is_field && is_text && is_whole)
            .then(|| format!("`{name}` is a Secret, not {kind}"))
    })
}

/// Calls that end the process; `expect` with a proof is read by a human.
pub(crate) fn panics(source: &str) -> Vec<String> {
    const CALLS: [&str; 4] = [".unwrap()", "panic!(", "unreachable!(", ".expect(\"\")"];
    find(&code_only(source), |line| {
        CALLS.iter().find(|call| line.contains(**call)).map(|call| format!("may panic: {call}"))
    })
}

/// A folder (or file) of `src` and the parts of the crate that it may name.
pub(crate) struct Layer {
    prefix: &'static str,
    /// First segments after `crate::`.
    pub(crate) may_name: &'static [&'static str],
}

/// Knowledge points down only: what moves bytes knows decisions, decisions know nothing else.
/// `bpf` and `datapath` stand side by side: system calls that need `unsafe` are in `datapath::sys`.
const LAYERS: [Layer; 7] = [
    Layer { prefix: "src/sip/", may_name: &["sip"] },
    Layer { prefix: "src/bpf", may_name: &["bpf", "datapath", "sip"] },
    Layer { prefix: "src/datapath/", may_name: &["datapath", "bpf", "sip"] },
    Layer { prefix: "src/config/", may_name: &["config", "datapath", "secret", "sip"] },
    Layer { prefix: "src/trace/", may_name: &["trace", "config", "datapath", "secret", "sip"] },
    Layer {
        prefix: "src/control/",
        may_name: &["control", "trace", "config", "datapath", "bpf", "sip"],
    },
    Layer {
        prefix: "src/admin/",
        may_name: &["admin", "control", "trace", "config", "datapath", "sip"],
    },
];

/// The layer that a path belongs to, if it has rules.
pub(crate) fn layer(path: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| path.starts_with(layer.prefix))
}

/// Parts of the crate that are named and may not be.
pub(crate) fn arrows(source: &str, may_name: &[&str]) -> Vec<String> {
    find(&code_only(source), |line| {
        let mut rest = line;
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            let group = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap_or(rest));
            let names = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
            for name in names {
                let name = name.trim();
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = &name[..end.unwrap_or(name.len())];
                if !name.is_empty() && !may_name.contains(&name) {
                    return Some(format!("must not know crate::{name}"));
                }
            }
        }
        None
    })
}

/// Where the `mod name;` lines of a file may lead: both places that Rust looks at, or what `#[path]` says.
pub(crate) fn modules(path: &str, is_root: bool, source: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let below =
        if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    let mut named = None;
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            named = rest.split('"').next();
        }
        let is_mod = |word: &str| word == "mod";
        let Some(name) = line.strip_suffix(';').and_then(|line| {
            let mut words = line.split_whitespace().rev();
            let name = words.next()?;
            words.next().is_some_and(is_mod).then_some(name)
        }) else {
            continue;
        };
        match named.take() {
            Some(named) => found.push(format!("{folder}/{named}")),
            None => found.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]),
        }
    }
    found
}

/// The targets of `make` that a document names, in code spans and blocks.
pub(crate) fn make_commands(document: &str) -> Vec<String> {
    let starts = document.match_indices("make ").filter(|(at, _)| {
        *at == 0
            || matches!(document.as_bytes()[at - 1], b'`' | b'\n' | b' ' if in_code(document, *at))
    });
    let word =
        |at: usize| document[at..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next();
    starts.filter_map(|(at, _)| word(at + "make ".len())).map(str::to_owned).collect()
}

/// Whether a place is inside a code span or block: an odd number of back quotes stands before it. A fence
/// has three, so it counts as one span.
fn in_code(document: &str, at: usize) -> bool {
    document[..at].matches('`').count() % 2 == 1
}

/// Whether the Makefile can make it.
pub(crate) fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':')))
}

/// Where the links of a document lead, those into the tree.
pub(crate) fn links(document: &str) -> Vec<String> {
    let targets = document.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|link| !link.contains(':') && !link.is_empty()).map(str::to_owned).collect()
}

/// The labels in the first column of the table under the heading "Drop reasons".
pub(crate) fn drop_reasons(document: &str) -> impl Iterator<Item = String> {
    let section = document.split("\n## Drop reasons\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned)
}

/// What stands between single back quotes on one line.
pub(crate) fn code_spans(document: &str) -> impl Iterator<Item = &str> {
    let lines = document.lines().filter(|line| !line.starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The metric families that a document names.
pub(crate) fn metrics(document: &str) -> Vec<&str> {
    code_spans(document).filter(|span| span.starts_with("sipedge_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_finds(findings: &[String], expected: &str) {
        assert!(findings.iter().any(|f| f.contains(expected)), "{expected:?} not in {findings:?}");
    }

    #[test]
    fn each_text_rule_can_fail() {
        assert_finds(&head("use std::fs;\n//! late"), "no `//!` head");
        assert_finds(&leftovers("ok\n// TODO: later"), "2: left over: TODO");
        assert_finds(&leftovers("    dbg!(x);"), "dbg!(");
        assert_finds(&leftovers("#[ignore]"), "#[ignore]");
        assert_finds(&leftovers("#![allow(dead_code)]"), "#![allow(");
        assert_finds(&machine_paths("cd /home/me"), "/home/");
        assert_finds(&long_lines(&"word ".repeat(30)), "1: 150 characters");
        assert_finds(&long_file(&"\n".repeat(451)), "451: lines");
        assert_finds(&words("fn f() { unsafe { g() } }", &["unsafe"]), "1: `unsafe`");
        assert_finds(&words("use std::time::Instant;", &IMPURE), "`Instant`");
        assert_finds(&plain_secrets("    pub password: Option<String>,"), "`password`");
        assert_finds(&plain_secrets("    pub(crate) admin_token: At<String>,"), "`admin_token`");
        assert_finds(&plain_secrets("struct A {\n    secret: &'a str,\n}"), "2: `secret`");
        assert_finds(&plain_secrets("    token: Vec<u8>,"), "`token`");
        assert_finds(&panics("let x = y.unwrap();"), ".unwrap()");
        assert_finds(&panics("_ => unreachable!(\"no\"),"), "unreachable!(");
    }

    #[test]
    fn each_text_rule_can_pass() {
        let fine =
            "//! Owns: nothing.\n\n// unsafe, Instant and unwrap() in words\nlet a = \"Mutex\";\n";
        assert!(head(fine).is_empty() && leftovers(fine).is_empty() && long_lines(fine).is_empty());
        assert!(words(fine, &IMPURE).is_empty() && words(fine, &["unsafe"]).is_empty());
        for fine in [
            "    pub password: Option<Secret>,",
            "    token: Option<At<Secret>>,",
            "    token: FlowToken,",
            "    token: Option<&str>,",
            "    token_from: Option<String>,",
            "    // password: String",
        ] {
            assert!(plain_secrets(fine).is_empty(), "{fine}");
        }
        assert!(panics(fine).is_empty() && machine_paths(fine).is_empty());
        assert!(leftovers("#[expect(dead_code, reason = \"why\")]").is_empty());
    }

    #[test]
    fn arrows_point_down() {
        let may = layer("src/sip/core.rs").expect("a layer").may_name;
        assert_finds(&arrows("use crate::datapath::Clock;", may), "crate::datapath");
        assert_finds(&arrows("use crate::{sip::Now, control::view};", may), "crate::control");
        assert!(arrows("use crate::sip::{Now, control};\n// crate::bpf", may).is_empty());
        let may = layer("src/datapath/shard.rs").expect("a layer").may_name;
        assert_finds(&arrows("x(crate::sip::A, crate::control::B)", may), "crate::control");
        assert!(arrows("use crate::bpf::Steering;", may).is_empty());
        assert!(layer("src/run.rs").is_none());
    }

    #[test]
    fn mod_lines_lead_to_files() {
        let lib = modules("src/lib.rs", true, "pub mod sip;\n#[cfg(x)]\nmod y;\nmod z {}\n");
        assert_eq!(lib, ["src/sip.rs", "src/sip/mod.rs", "src/y.rs", "src/y/mod.rs"]);
        assert_eq!(modules("src/a/b.rs", false, "mod c;")[0], "src/a/b/c.rs");
        assert_eq!(modules("src/a/mod.rs", false, "pub(crate) mod c;")[1], "src/a/c/mod.rs");
        let named = modules("tests/t.rs", true, "#[path = \"t/x.rs\"]\nmod x;\n");
        assert_eq!(named, ["tests/t/x.rs"]);
    }

    #[test]
    fn commands_links_and_reasons_are_read_from_documents() {
        let text = "Run `make demo`, or\n```sh\nmake test  # all\n```\nThey make sense. [a](b.md#c) [d](https://e)\n";
        assert_eq!(make_commands(text), ["demo", "test"]);
        assert_eq!(links(text), ["b.md"]);
        assert!(has_target("all: x\ndemo: y\n", "demo") && !has_target("demos: y\n", "demo"));
        assert_eq!(metrics("see `sipedge_a` and `b`\n```\nsipedge_c\n```\n"), ["sipedge_a"]);
        let table = "\n## Drop reasons\n\n| label | why |\n|---|---|\n| `not_sip` | x |\n\n## Next\n| `no` |\n";
        assert_eq!(drop_reasons(table).collect::<Vec<_>>(), ["not_sip"]);
    }
}
