//! `quorate`: arguments in, a result on stdout, an exit code out. The rules live in the crates
//! below; nothing here decides what is final.

mod args;
mod commands;
mod failure;
mod files;
mod keys;
mod output;
mod progress;
mod seal;
mod spoken;
mod value;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(std::env::args_os())
}
