//! Numbers and rows of the reports' tables.

use crate::cli::output::{Align, NO_NUMBER};

/// Columns of explanations.
pub const WIDTH: usize = 100;

/// A name and numbers.
pub const fn named<const N: usize>() -> [Align; N] {
    let mut align = [Align::Right; N];
    align[0] = Align::Left;
    align
}

/// A row of words.
pub fn strings<const N: usize>(row: [&str; N]) -> Vec<String> {
    row.map(String::from).to_vec()
}

/// Two digits: `3.1e-4`, `0.017`, `0.84`, `75`, `1.1e4`.
pub fn figures(x: f64) -> String {
    if !x.is_finite() {
        return NO_NUMBER.into();
    }
    if (0.00995..1e4).contains(&x) {
        let decimals = (1 - x.log10().floor() as i32).max(0) as usize;
        format!("{x:.decimals$}")
    } else {
        format!("{x:.1e}")
    }
}

/// A dash for what is not known.
pub fn or_none<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or("–".into(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_tables() {
        assert_eq!(
            [3.14e-4, 0.0172, 0.84, 6.57, 75.4, 11_000.0].map(figures),
            ["3.1e-4", "0.017", "0.84", "6.6", "75", "1.1e4"]
        );
        assert_eq!([f64::NAN, f64::INFINITY].map(figures), [NO_NUMBER; 2]);
    }
}
