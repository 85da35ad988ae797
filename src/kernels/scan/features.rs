//! The finite features of a kernel and what their gradients give the vectors. CPU twin of
//! `shaders/shared/{features,feature_rows,feature_memory,feature_tile}.wgsl`.

use crate::kernels::shader::shared;
use crate::kernels::shader::shared::MatrixTile;
use crate::kernels::tiles::row_tile::{FEW_GRADIENTS, GRADIENTS, rows};
use crate::kernels::{DeviceTraits, Real};

/// The finite features of a kernel: products of `order` elements of a vector of `source` elements,
/// with 1 appended where `extended` (SPEC §1: packed symmetric square, packed monomials).
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Elements of the vector.
    pub source: usize,
    /// Factors in a feature, 1 to 4.
    pub order: usize,
    /// Whether 1 is appended to the vector, so that all lower degrees are features too.
    pub extended: bool,
    /// Number of features, padded with ones of scale 0 to a multiple of 4.
    pub count: usize,
    /// `[2 * count]`: four 8-bit indices a feature, then the bits of the key-side f32 scales.
    pub table: std::sync::Arc<Vec<u32>>,
}

impl Features {
    /// Features whose inner product is `Σ_m coefficients[m] ⟨u, v⟩^m`; non-zero coefficients below
    /// `order = coefficients.len() - 1` need the extended vector.
    pub fn polynomial(source: usize, coefficients: &[f64]) -> Self {
        let order = coefficients.len() - 1;
        let extended = coefficients[..order].iter().any(|c| *c != 0.0);
        let letters = source + usize::from(extended);
        assert!((1..=4).contains(&order) && letters <= 256);
        let mut indices = Vec::new();
        let mut scales = Vec::new();
        let mut word = vec![0usize; order];
        loop {
            let degree = word.iter().filter(|&&i| i < source).count();
            if coefficients[degree] != 0.0 {
                // Multinomial: in how many orders the elements of the monomial can be written.
                let mut count = (1..=degree).product::<usize>() as f64;
                let mut run = 1;
                for k in 1..order {
                    run = if word[k] == word[k - 1] && word[k] < source { run + 1 } else { 1 };
                    count /= run as f64;
                }
                indices.push(
                    word.iter().enumerate().fold(0u32, |packed, (k, &i)| packed | (i as u32) << (8 * k)),
                );
                scales.push((coefficients[degree] * count) as f32);
            }
            // The next non-decreasing word.
            let Some(k) = (0..order).rev().find(|&k| word[k] + 1 < letters) else { break };
            let next = word[k] + 1;
            word[k..].fill(next);
        }
        let count = indices.len().next_multiple_of(4);
        indices.resize(count, 0);
        scales.resize(count, 0.0);
        indices.extend(scales.into_iter().map(f32::to_bits));
        Self { source, order, extended, count, table: std::sync::Arc::new(indices) }
    }

    /// The state of one head: `count` features times (v and the normaliser).
    pub fn state(&self, head: usize) -> usize {
        self.count * (head + 1)
    }

    /// The values of `shared/features.wgsl`, for vectors from column `offset` of a row on.
    pub(in crate::kernels) fn overrides(&self, offset: usize) -> shared::Features {
        let Self { source, count, order, extended, .. } = *self;
        shared::Features { source, source_offset: offset, features: count, order, extended }
    }

    /// The values of `shared/feature_tile.wgsl` for a cut.
    pub(in crate::kernels) fn tile(&self, tile: &MatrixTile) -> shared::FeatureTile {
        /// Gradients of vectors that a workgroup keeps in several copies take so many bytes at most.
        const SLOPES: usize = 4 << 10;
        let row_tile = rows(tile);
        let once = self.source * row_tile;
        let busy = tile.group_x * tile.group_y / row_tile;
        let copies = (1..=busy).rev().find(|copies| 4 * copies * once <= SLOPES).unwrap_or(1);
        shared::FeatureTile {
            row_tile,
            copies,
            factors_size: (self.source + usize::from(self.extended)) * row_tile / 4,
            slopes_size: copies * once,
        }
    }
}

/// The cut of a gradient of features with so many `columns`, in parts where they are many. `workgroups` says
/// how many there are of so many rows, `bytes` what a workgroup of a cut takes.
pub(in crate::kernels) fn gradient_tile(
    device: &DeviceTraits,
    columns: usize,
    workgroups: impl Fn(usize) -> usize,
    bytes: impl Fn(MatrixTile) -> usize,
) -> MatrixTile {
    /// Of a part: with fewer, eight rows would have fewer invocations than rows.
    const COLUMNS: [usize; 2] = [32, 64];
    /// Of a device that does not tell.
    const PROCESSORS: usize = 128;
    let few = workgroups(64) < device.processors.unwrap_or(PROCESSORS);
    let columns = columns.next_power_of_two().clamp(COLUMNS[0], COLUMNS[1]);
    if few { FEW_GRADIENTS } else { GRADIENTS }.row_tile(device, columns, workgroups, bytes)
}

/// A view of a feature table for the twins: builds tiles of features in cache, never all of them.
pub(in crate::kernels) struct FeatureTable<'a> {
    features: &'a Features,
    table: &'a [u32],
}

impl<'a> FeatureTable<'a> {
    pub fn new(features: &'a Features, table: &'a [u32]) -> Self {
        Self { features, table }
    }

    /// Key-side scale of a feature.
    pub fn key_scale(&self, f: usize) -> f32 {
        f32::from_bits(self.table[self.features.count + f])
    }

    /// φ's vectors of rows `stride` apart as `columns [source, rows]`; `data` starts at the first one's.
    pub fn columns<R: Real>(&self, data: &[R], stride: usize, rows: usize, columns: &mut [R]) {
        for (j, row) in data.chunks(stride).take(rows).enumerate() {
            for (c, x) in row[..self.features.source].iter().enumerate() {
                columns[c * rows + j] = *x;
            }
        }
    }

    /// `out[f, j] = φ_{first + f}(row j) * scale[j]`, from the transposed vectors `columns [source, rows]`: a
    /// feature is an elementwise product of columns, which vectorises over the rows.
    #[inline(always)]
    pub fn tile<R: Real>(
        &self,
        columns: &[R],
        rows: usize,
        first: usize,
        count: usize,
        scale: Option<&[R]>,
        out: &mut [R],
    ) {
        for f in 0..count {
            let packed = self.table[first + f];
            let out = &mut out[f * rows..(f + 1) * rows];
            match scale {
                Some(scale) => out.copy_from_slice(&scale[..rows]),
                None => out.fill(R::ONE),
            }
            for k in 0..self.features.order {
                let index = (packed >> (8 * k) & 255) as usize;
                if index < self.features.source {
                    for (o, c) in out.iter_mut().zip(&columns[index * rows..(index + 1) * rows]) {
                        *o *= *c;
                    }
                }
            }
        }
    }

    /// `grads[c, j] += Σ_f dphi[f, j] · ∂φ_{first + f} / ∂u_c (row j)` with `grads` and `columns [source,
    /// rows]`: the product rule, a column times the other columns of a feature for each of its factors.
    /// (Order 2: `ds = 2 sym(dφ) s`.)
    #[inline(always)]
    pub fn pull_back<R: Real>(&self, columns: &[R], rows: usize, first: usize, dphi: &[R], grads: &mut [R]) {
        let source = self.features.source;
        let column = |c: usize| &columns[c * rows..(c + 1) * rows];
        for (f, dphi) in dphi.chunks_exact(rows).enumerate() {
            // Factors that are elements of the vector, not the 1 appended to it.
            let (mut factors, mut count) = ([0; 4], 0);
            for k in 0..self.features.order {
                let index = (self.table[first + f] >> (8 * k) & 255) as usize;
                if index < source {
                    (factors[count], count) = (index, count + 1);
                }
            }
            for k in 0..count {
                let grad = &mut grads[factors[k] * rows..(factors[k] + 1) * rows];
                let other = |m: usize| column(factors[m + usize::from(m >= k)]);
                match count {
                    1 => grad.iter_mut().zip(dphi).for_each(|(g, d)| *g += *d),
                    2 => grad.iter_mut().zip(dphi).zip(other(0)).for_each(|((g, d), a)| *g += *d * *a),
                    3 => grad
                        .iter_mut()
                        .zip(dphi)
                        .zip(other(0))
                        .zip(other(1))
                        .for_each(|(((g, d), a), b)| *g += *d * *a * *b),
                    _ => {
                        let others = other(0).iter().zip(other(1)).zip(other(2));
                        grad.iter_mut()
                            .zip(dphi)
                            .zip(others)
                            .for_each(|((g, d), ((a, b), c))| *g += *d * (*a * *b) * *c);
                    }
                }
            }
        }
    }
}
