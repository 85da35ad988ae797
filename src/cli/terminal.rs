//! What the terminal on stderr can: colours, and a line that is written over. One rule for errors, clap's,
//! the log's and the progress: none without a terminal, on a dumb one, or where `NO_COLOR` says so.

use std::env::var_os;
use std::io::{IsTerminal as _, stderr};

use anstream::{AutoStream, ColorChoice};
use console::Term;

/// Columns that a moving line needs at least.
const LEAST: u16 = 20;

/// Settles the rule before anything is written: a dumb terminal has no colours, whatever else the environment
/// holds, unless they are asked for by name (`CLICOLOR_FORCE`).
pub fn settle() {
    let forced = var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    if is_dumb() && !forced {
        ColorChoice::Never.write_global();
    }
}

/// Whether stderr shows colours.
pub fn has_colors() -> bool {
    AutoStream::choice(&stderr()) != ColorChoice::Never
}

/// Columns of the terminal on stderr, if a line there can be written over; otherwise progress is lines below
/// each other.
pub fn columns() -> Option<u16> {
    if !stderr().is_terminal() || is_dumb() {
        return None;
    }
    // A terminal that does not tell its size is of the usual one.
    let columns = Term::stderr().size_checked().map_or(80, |(_, columns)| columns);
    (columns >= LEAST).then_some(columns)
}

/// A terminal that obeys no escape sequences (Emacs, some editors and logs). Windows has no `TERM`.
fn is_dumb() -> bool {
    var_os("TERM").map_or(cfg!(unix), |term| term == "dumb" || term.is_empty())
}
