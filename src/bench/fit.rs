//! Small statistics.

use serde::Serialize;

/// The exponent a of `y = c x^a`, by least squares between logarithms; none for fewer than two different x.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (mean_x, mean_y) =
        (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = logs.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let both: f64 = logs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    (logs.len() >= 2 && spread > 0.0).then(|| both / spread)
}

/// `‖got - want‖ / ‖want‖` (Frobenius).
pub fn relative<'a>(got: impl IntoIterator<Item = &'a f32>, want: impl IntoIterator<Item = &'a f32>) -> f64 {
    let (mut difference, mut size) = (0.0, 0.0);
    for (got, want) in got.into_iter().zip(want) {
        difference += (f64::from(*got) - f64::from(*want)).powi(2);
        size += f64::from(*want).powi(2);
    }
    (difference / size).sqrt()
}

/// A mean and how far single values are from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of a single value.
    pub deviation: f64,
}

impl Spread {
    /// Of some values, at least one.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (n - 1.0).max(1.0)).sqrt() }
    }
}

/// The largest; not a number if one is not.
pub fn worst(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |worst: f64, error| if worst.is_nan() || error <= worst { worst } else { error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_of_powers() {
        let curve =
            |a: f64| (1..8).map(|i| f64::from(1 << i)).map(|x| (x, 3.0 * x.powf(a))).collect::<Vec<_>>();
        for a in [0.0, 0.5, 1.0, 2.0, -1.0] {
            assert!((exponent(&curve(a)).expect("fits") - a).abs() < 1e-12);
        }
        // Noise that cancels, and points that have no logarithm.
        assert!(
            (exponent(&[(1.0, 2.0), (1.0, 0.5), (4.0, 8.0), (4.0, 2.0), (0.0, 7.0)]).expect("fits") - 1.0)
                .abs()
                < 1e-12
        );
        assert_eq!(
            (exponent(&[]), exponent(&[(2.0, 1.0)]), exponent(&[(2.0, 1.0), (2.0, 3.0)])),
            (None, None, None)
        );
    }

    #[test]
    fn spreads_and_errors() {
        assert_eq!(Spread::of(&[1.0, 3.0]), Spread { mean: 2.0, deviation: 2f64.sqrt() });
        assert_eq!(Spread::of(&[5.0]), Spread { mean: 5.0, deviation: 0.0 });
        assert!((relative(&[3.0, 4.5], &[3.0, 4.0]) - 0.1).abs() < 1e-12);
    }
}
