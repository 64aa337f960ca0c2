//! Jorb beside what one would use instead, in one run. See `benches/README.md`.
use std::process::ExitCode;

fn main() -> ExitCode {
    jorb_benches::compare::main()
}
