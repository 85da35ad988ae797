//! The command line program: parses, dispatches, and turns every failure into one line and an exit code.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Mesa's device-select layer prints a line of its own to stderr on machines without a display server.
    // SAFETY: no other thread exists yet.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    cli::terminal::settle();
    let args = cli::Cli::parse();
    // Off unless asked for (RUST_LOG=polysketch=debug,wgpu=warn): what matters is returned as an error.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    cli::failure::guard(|| cli::run(args))
}
