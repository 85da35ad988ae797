//! What all drawings share: ink, letters and the file.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;
use polysketch::files::atomic_write;
use polysketch::{Error, ErrorKind, Result};

/// Of letters and axes.
pub const INK: RGBColor = RGBColor(0x2d, 0x37, 0x48);
/// Of lines behind.
pub const GRID: RGBColor = RGBColor(0xe2, 0xe8, 0xf0);

/// Writes a drawing to its file.
pub fn save(path: &Path, svg: &str, drawn: std::result::Result<(), impl Display>) -> Result<()> {
    drawn.map_err(|e| undrawn(&path.display().to_string(), e))?;
    atomic_write(path, |w| w.write_all(svg.as_bytes()))
}

/// What cannot happen: drawing into a string has nothing that could fail.
pub fn undrawn(what: &str, error: impl Display) -> Error {
    Error::new(ErrorKind::Io, format!("{what}: cannot be drawn: {error}"))
}

/// Letters of this size.
pub fn font(size: i32) -> TextStyle<'static> {
    ("Helvetica, Arial, sans-serif", size).into_font().color(&INK)
}
