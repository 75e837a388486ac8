//! The program `sipedge-load`: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sipedge_load::cli::main()
}
