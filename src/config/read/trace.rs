//! `[trace]`: its keys.

use std::ops::Range;

use toml::de::DeValue;

use crate::config::file::{Choice, Decisions, Hep, Pcap, Trace};
use crate::config::problem::Problems;
use crate::config::section::{Section, wrong_type};

pub(super) fn trace(mut section: Section<'_>, _: Range<usize>, problems: &mut Problems) -> Trace {
    let trace = Trace {
        hep: entry(&mut section, "hep", problems, |section, span, problems| Hep {
            span,
            sink: section.string("sink", problems),
            node_id: section.integer("node_id", problems),
            password: section.secret("password", problems),
            choice: choice(section, problems),
        }),
        pcap: entry(&mut section, "pcap", problems, |section, span, problems| Pcap {
            span,
            folder: section.string("folder", problems),
            file_bytes_max: section.integer("file_bytes_max", problems),
            files: section.integer("files", problems),
            choice: choice(section, problems),
        }),
        decisions: entry(&mut section, "decisions", problems, |section, _, problems| Decisions {
            file: section.string("file", problems),
            per_second_max: section.integer("per_second_max", problems),
        }),
    };
    section.finish(problems);
    trace
}

fn choice(section: &mut Section<'_>, problems: &mut Problems) -> Choice {
    Choice {
        sample: section.integer("sample", problems),
        pool: section.strings("pool", problems),
        call_id: section.string("call_id", problems),
        aor: section.string("aor", problems),
    }
}

/// An inline table under `key`.
fn entry<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Section<'a>, Range<usize>, &mut Problems) -> T,
) -> Option<T> {
    let value = section.value(key)?;
    let span = value.span();
    let DeValue::Table(table) = value.get_ref() else {
        let what = format!("`{key}`");
        wrong_type(&span, &what, "a table like { .. = .. }", value.get_ref(), problems);
        return None;
    };
    let mut section = Section::new(format!("`{key}`"), table);
    let entry = read(&mut section, span, problems);
    section.finish(problems);
    Some(entry)
}
