//! The program as its users meet it: what it prints, what it writes, how it fails.

mod bench;
mod check;
mod eval;
mod failures;
mod foreign_files;
mod generation;
mod report;
mod run;
mod terminals;
mod tokens;
mod training;
