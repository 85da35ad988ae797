//! The far part's weights before the first step (SPEC §10), computed from one text: with means q̄ and k̄,
//!
//! ```text
//! exp(c⟨q, k⟩) ~ exp(c⟨q, k̄⟩) exp(c⟨q̄, k⟩) exp(c⟨q - q̄, k - k̄⟩)      gains u = c k̄, u' = c q̄
//! exp(z) ~ (1 + z/2)²  with  z/2 ~ ⟨W(q - q̄), W'(k - k̄)⟩              W, W' of the singular vectors of Cq^½ Ck^½
//! ```
//!
//! and α from the mass that the teacher gives to far keys.

use crate::attention::{Attention, Kind};
use crate::kernels::heads::layout::{head_vector, rotation_table};
use crate::kernels::sketch::sketch_affine::{MOST_GAIN, SketchAffine, Weights};
use crate::train::random::Rng;

/// What is calibrated: a layer, and the projections of one text that begins at position 0.
pub(super) struct Given<'a> {
    /// The student's attention.
    pub attention: &'a Attention,
    /// `[tokens, qkv_width]`
    pub projections: &'a [f32],
    /// `[4, h]`; none where heads are not normed.
    pub norms: Option<Vec<f32>>,
    /// The logit of every gate.
    pub gate: f64,
    /// Of the hidden units.
    pub rng: Rng,
}

/// A vector a token, `[tokens, h]`.
type Vectors = Vec<Vec<f64>>;

impl Given<'_> {
    /// The packed weights of the layer's sketches.
    pub fn weights(mut self) -> Vec<f32> {
        let l = self.attention.layout.clone();
        let Kind::Linearized { hidden, .. } = self.attention.kind else { return Vec::new() };
        let net = SketchAffine { layout: l.clone(), hidden };
        let mut weights = vec![0.0f32; net.weight_count()];
        let exact = rotation_table(&self.attention.scaling.frequencies(l.rotated, self.attention.theta));
        let slow = rotation_table(&self.attention.sketch_frequencies());
        let c = 1.0 / (l.size as f64).sqrt();
        for head in 0..l.heads {
            let of_group = |table: &[f32]| -> Vec<Vectors> {
                (0..l.group).map(|i| self.vectors(0, head * l.group + i, table)).collect()
            };
            let (exact_q, q) = (of_group(&exact), of_group(&slow));
            let (exact_k, k) = (self.vectors(1, head, &exact), self.vectors(1, head, &slow));
            let (mean_q, mean_k) = (mean(q.iter().flatten()), mean(k.iter()));
            let (root_q, inverse_q) = roots(&covariance(q.iter().flatten(), &mean_q));
            let (root_k, inverse_k) = roots(&covariance(k.iter(), &mean_k));
            let product = multiply(&root_q, &root_k);
            let (values, right) = eigen(&multiply(&transpose(&product), &product));
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
            let mut linear = [vec![vec![0.0; l.head]; l.sketch], vec![vec![0.0; l.head]; l.sketch]];
            for (row, &at) in order.iter().take(l.sketch - 1).enumerate() {
                let singular = values[at].max(0.0).sqrt();
                let v: Vec<f64> = right.iter().map(|row| row[at]).collect();
                let u: Vec<f64> = apply(&product, &v).iter().map(|x| x / singular.max(1e-12)).collect();
                let size = (singular * c / 2.0).sqrt();
                for (side, (inverse, vector)) in [(&inverse_q, u), (&inverse_k, v)].into_iter().enumerate() {
                    linear[side][row + 1] = apply(inverse, &vector).iter().map(|x| x * size).collect();
                }
            }
            for (side, [own, other]) in [[&mean_q, &mean_k], [&mean_k, &mean_q]].into_iter().enumerate() {
                let of = net.weights(side);
                let [mean, base, w, up, _, tilt, _] = of.split_mut(&mut weights[net.place(side, head)]);
                put(mean, own.iter().copied());
                base[0] = 1.0;
                put(w, linear[side].iter().flatten().copied());
                let root = 1.0 / (l.head as f64).sqrt();
                up.iter_mut().for_each(|x| *x = (self.rng.normal() * root) as f32);
                for tilt in tilt.chunks_exact_mut(l.head) {
                    put(tilt, other.iter().map(|x| c * x));
                }
            }
            // α: what the teacher gives to far keys beside what the student does.
            for i in 0..l.group {
                let sides = [0, 1].map(|side| (net.weights(side), weights[net.place(side, head)].to_vec()));
                let level = self.level(c, [&exact_q[i], &exact_k], [&q[i], &k], &sides, i);
                let [.., levels] = net.weights(0).split_mut(&mut weights[net.place(0, head)]);
                levels[i] = level as f32;
            }
        }
        weights
    }

    /// The vectors of a head at every position, rotated by a table.
    fn vectors(&self, part: usize, head: usize, table: &[f32]) -> Vectors {
        let l = &self.attention.layout;
        let zeros = vec![0.0; 4 * l.head];
        let norms = self.norms.as_deref().unwrap_or(&zeros);
        let tokens = self.projections.len() / l.qkv_width();
        let vector = |token: usize| -> Vec<f64> {
            let row = &self.projections[token * l.qkv_width()..][..l.qkv_width()];
            let x = head_vector(l, row, norms, table, token, [part, head]);
            x.into_iter().map(f64::from).collect()
        };
        (0..tokens).map(vector).collect()
    }

    /// The mean, over some queries, of the log of the teacher's far mass over the student's.
    fn level(
        &self,
        c: f64,
        [exact_q, exact_k]: [&Vectors; 2],
        [q, k]: [&Vectors; 2],
        sides: &[(Weights, Vec<f32>); 2],
        own: usize,
    ) -> f64 {
        /// Of so many queries one is looked at.
        const EVERY: usize = 8;
        let l = &self.attention.layout;
        let decay = -(-self.gate).exp().ln_1p();
        let keys: Vec<(Vec<f64>, f64)> = k.iter().map(|k| sketched(&sides[1], k, 0)).collect();
        let (mut sum, mut count) = (0.0, 0);
        for i in (l.near * l.block + l.sinks..q.len()).step_by(EVERY) {
            // As many keys are far as lie before its near blocks, and are no sinks.
            let far = l.sinks..(i / l.block + 1 - l.near) * l.block;
            if far.is_empty() {
                continue;
            }
            let (sq, gain) = sketched(&sides[0], &q[i], own);
            let teacher = log_sum(far.clone().map(|j| c * inner(&exact_q[i], &exact_k[j])));
            let student = log_sum(far.map(|j| {
                let (sk, of_key) = &keys[j];
                gain + of_key + decay * (i - j) as f64 + 2.0 * inner(&sq, sk).abs().max(1e-12).ln()
            }));
            (sum, count) = (sum + teacher - student, count + 1);
        }
        if count == 0 { 0.0 } else { (sum / f64::from(count)).clamp(-MOST_GAIN, MOST_GAIN) }
    }
}

/// s without its gain, and that one's log, where the hidden layer gives nothing yet.
fn sketched((of, w): &(Weights, Vec<f32>), x: &[f64], own: usize) -> (Vec<f64>, f64) {
    let [mean, base, linear, _, _, tilt, _] = of.split(w);
    let d: Vec<f64> = x.iter().zip(mean).map(|(x, mean)| x - f64::from(*mean)).collect();
    let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    let rows = base.iter().zip(linear.chunks(of.head));
    let s = rows.map(|(base, row)| f64::from(*base) + dot(row, &d)).collect();
    let gain = dot(&tilt[own * of.head..(own + 1) * of.head], x);
    (s, gain.clamp(-MOST_GAIN, MOST_GAIN))
}

fn put(to: &mut [f32], from: impl Iterator<Item = f64>) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from as f32);
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let high = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    high + logs.map(|x| (x - high).exp()).sum::<f64>().ln()
}

fn mean<'a>(vectors: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0usize);
    for x in vectors {
        sum.resize(x.len(), 0.0);
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        count += 1;
    }
    sum.iter().map(|sum| sum / count as f64).collect()
}

/// A square matrix by rows.
type Matrix = Vec<Vec<f64>>;

fn covariance<'a>(vectors: impl Iterator<Item = &'a Vec<f64>>, mean: &[f64]) -> Matrix {
    let n = mean.len();
    let (mut sum, mut count) = (vec![vec![0.0; n]; n], 0usize);
    for x in vectors {
        let d: Vec<f64> = x.iter().zip(mean).map(|(x, mean)| x - mean).collect();
        for (row, a) in sum.iter_mut().zip(&d) {
            row.iter_mut().zip(&d).for_each(|(sum, b)| *sum += a * b);
        }
        count += 1;
    }
    sum.iter_mut().flatten().for_each(|x| *x /= count as f64);
    sum
}

fn transpose(a: &Matrix) -> Matrix {
    (0..a.len()).map(|i| a.iter().map(|row| row[i]).collect()).collect()
}

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    let b = transpose(b);
    a.iter().map(|row| b.iter().map(|column| inner(row, column)).collect()).collect()
}

fn apply(a: &Matrix, x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| inner(row, x)).collect()
}

/// The root of a covariance, and its inverse.
fn roots(a: &Matrix) -> (Matrix, Matrix) {
    /// Directions of less variance are taken for this.
    const LEAST: f64 = 1e-6;
    let (values, vectors) = eigen(a);
    let of = |f: &dyn Fn(f64) -> f64| -> Matrix {
        let scaled: Matrix = vectors
            .iter()
            .map(|row| row.iter().zip(&values).map(|(x, v)| x * f(v.max(LEAST))).collect())
            .collect();
        multiply(&scaled, &transpose(&vectors))
    };
    (of(&f64::sqrt), of(&|v| 1.0 / v.sqrt()))
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns (Jacobi's rotations).
fn eigen(a: &Matrix) -> (Vec<f64>, Matrix) {
    const SWEEPS: usize = 30;
    let n = a.len();
    let mut a = a.clone();
    let mut v: Matrix = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).map(|i| (0..i).map(|j| a[i][j] * a[i][j]).sum::<f64>()).sum();
        let all: f64 = a.iter().flatten().map(|x| x * x).sum();
        if off <= 1e-22 * all {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in a.iter_mut().chain(&mut v) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (upper, lower) = a.split_at_mut(q);
                for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_roots() {
        let mut rng = Rng::new(1, "test", 0);
        let n = 9;
        let b: Matrix = (0..n).map(|_| (0..n).map(|_| rng.normal()).collect()).collect();
        let a = multiply(&b, &transpose(&b));
        let (root, inverse) = roots(&a);
        let close = |a: &Matrix, b: &Matrix| {
            a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-8)
        };
        assert!(close(&multiply(&root, &root), &a));
        let one: Matrix = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        assert!(close(&multiply(&root, &inverse), &one));
    }
}
