//! The program as its users meet it: what it prints, what it writes, how it fails.

mod bench;
mod chat;
mod check;
mod convert;
mod eval;
mod failures;
mod folders;
mod foreign_files;
#[cfg(all(feature = "gauge", target_os = "linux"))]
mod gauge;
mod generation;
mod hub;
mod hub_server;
mod linear_kind;
mod report;
mod run;
#[cfg(target_os = "linux")]
mod stopped;
mod terminals;
mod texts;
mod tokens;
mod training;
