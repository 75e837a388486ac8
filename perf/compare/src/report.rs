//! Writes what a comparison found: tables, plots, and the short table that the project's README shows.
//!
//! Owns: which files there are. `results.json` is written by the rounds; everything here is made from it.

mod markdown;
mod plots;
mod svg;

use std::path::Path;

pub(crate) use markdown::short_table;

use crate::record::Results;
use crate::summary;
use crate::write;

/// Writes README.md, cpu.svg and latency.svg into `folder`.
pub(crate) fn write_all(folder: &Path, results: &Results) -> Result<(), String> {
    let groups = summary::groups(results);
    write(&folder.join("README.md"), &markdown::tables(results, &groups))?;
    if let Some(svg) = plots::cpu(results, &groups) {
        write(&folder.join("cpu.svg"), &svg)?;
    }
    if let Some(svg) = plots::latency(results, &groups) {
        write(&folder.join("latency.svg"), &svg)?;
    }
    if let Some(svg) = plots::below_saturation(results, &groups) {
        write(&folder.join("load.svg"), &svg)?;
    }
    Ok(())
}
