//! What all drawings share: ink, letters, names of powers, and the file.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;
use polysketch::model::files::atomic_write;
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

/// `10⁻³`
pub fn power_of_ten(exponent: i32) -> String {
    let digit = |c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(c as usize - '0' as usize).unwrap_or('⁻');
    format!(
        "10{}",
        exponent.to_string().chars().map(|c| if c == '-' { '⁻' } else { digit(c) }).collect::<String>()
    )
}

/// `64k` for 2 to the 16th.
pub fn power_of_two(exponent: i32) -> String {
    match exponent {
        0..10 => (1u64 << exponent).to_string(),
        10..20 => format!("{}k", 1u64 << (exponent - 10)),
        20..30 => format!("{}M", 1u64 << (exponent - 20)),
        _ => format!("2^{exponent}"),
    }
}

/// `0.01`, `100`
pub fn plain_power(exponent: i32) -> String {
    10f64.powi(exponent).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        assert_eq!([-12, 0, 3].map(power_of_ten), ["10⁻¹²", "10⁰", "10³"]);
        assert_eq!([4, 10, 16, 20].map(power_of_two), ["16", "1k", "64k", "1M"]);
        assert_eq!([-2, 2].map(plain_power), ["0.01", "100"]);
    }
}
