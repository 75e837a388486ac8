//! The program: arguments and start, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    sipedge::cli::main()
}
