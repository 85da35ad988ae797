//! The program as its users meet it: what it prints, what it writes, how it fails.

mod bench;
mod check;
mod eval;
mod failures;
mod generation;
mod report;
mod run;
mod texts;
mod tokens;
mod training;
