//! The program `hikyaku`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(client::cli::run(std::env::args_os()) as u8)
}
