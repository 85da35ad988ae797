//! What the attention kernels share: the layout of query and key rows, the vectors in them, the
//! feature tables and the gate sums. CPU twin of `shaders/shared/{head_vector,features,local_weight,gate_sum}.wgsl`.

use super::{Real, Variant, real};
use crate::tensor::Lane;

/// Which vectors are rotated by position (SPEC §1, Position).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// None.
    None,
    /// The raw projections, before anything else.
    Raw,
    /// The normed vectors, only where the exact kernel reads them.
    Normed,
}

/// Layout of one attention layer's projections, query rows and key rows.
///
/// Projections `qkv [rows, 3 H h (+ H gate logits, padded to 4)]`; query row `[x | s]`; key row
/// `[x | s | v | gate sum (4)]`, where `x` is the vector of the exact kernel and `s` the sketch.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadLayout {
    /// Heads, H.
    pub heads: usize,
    /// Head size, h.
    pub head: usize,
    /// Rows carry `x`.
    pub exact: bool,
    /// `x` is LayerNormed (false: softmax, the raw projection).
    pub normed: bool,
    /// Keys use the queries' norm.
    pub shared_norm: bool,
    /// Size of `s`, 0 without a sketch.
    pub sketch: usize,
    /// The sketch sees the normed vector.
    pub sketch_normed: bool,
    /// A scalar gate per head.
    pub gated: bool,
    /// Rotary position.
    pub rotation: Rotation,
    /// Pairs (2i, 2i+1) in, first halves then second halves out.
    pub interleaved: bool,
    /// Block size b.
    pub block: usize,
}

impl HeadLayout {
    /// Columns of `qkv`.
    pub fn qkv_width(&self) -> usize {
        self.gate_offset() + if self.gated { self.heads.next_multiple_of(4) } else { 0 }
    }

    /// Column of the first gate logit in `qkv`.
    pub fn gate_offset(&self) -> usize {
        3 * self.heads * self.head
    }

    /// Column of `s` in query and key rows.
    pub fn sketch_offset(&self) -> usize {
        if self.exact { self.head } else { 0 }
    }

    /// Columns of a query row.
    pub fn query_width(&self) -> usize {
        self.sketch_offset() + self.sketch
    }

    /// Column of `v` in a key row.
    pub fn value_offset(&self) -> usize {
        self.query_width()
    }

    /// Column of the gate sum in a key row.
    pub fn sum_offset(&self) -> usize {
        self.value_offset() + self.head
    }

    /// Columns of a key row.
    pub fn key_width(&self) -> usize {
        self.sum_offset() + if self.gated { 4 } else { 0 }
    }

    /// Columns of a row of `AttentionGradRows`.
    pub(super) fn gradient_width(&self) -> usize {
        self.head + 4
    }

    /// The `override`s of `shared/head_vector.wgsl`.
    pub(super) fn head_constants(&self, variant: Variant) -> Variant {
        let rotation = match self.rotation {
            Rotation::None => 0,
            Rotation::Raw => 1,
            Rotation::Normed => 2,
        };
        variant
            .size("HEADS", self.heads)
            .size("HEAD", self.head)
            .size("QKV_WIDTH", self.qkv_width())
            .size("ROPE", rotation)
            .size("INTERLEAVED", usize::from(self.interleaved))
            .size("SHARED_NORM", usize::from(self.shared_norm))
    }

    /// The gate sum of a key row.
    pub(super) fn gate_sum<R: Real>(&self, key: &[R]) -> [R; 2] {
        if self.gated { [key[self.sum_offset()], key[self.sum_offset() + 1]] } else { [R::ZERO; 2] }
    }
}

/// Frequencies of the rotation table of [`rotation_table`]: (cos, sin) for four base-256 digits.
pub const DIGITS: usize = 4;

/// The table of `shared/rotation.wgsl` for frequencies `theta^(-2 i / width)`, i < width / 2:
/// `[DIGITS * 256, width / 2, 2]` floats, computed in f64 and rounded once.
pub fn rotation_table(width: usize, theta: f64) -> Vec<f32> {
    let half = width / 2;
    let mut table = Vec::with_capacity(DIGITS * 256 * half * 2);
    for digit in 0..DIGITS {
        for value in 0..256u64 {
            for i in 0..half {
                let angle = (value << (8 * digit)) as f64 * theta.powf(-2.0 * i as f64 / width as f64);
                table.push(angle.cos() as f32);
                table.push(angle.sin() as f32);
            }
        }
    }
    table
}

/// (cos, sin) of `position * frequency_i` from a rotation table.
pub(super) fn rotation<R: Real>(table: &[R], position: usize, i: usize, frequencies: usize) -> [R; 2] {
    let at = |digit: usize, value: usize| {
        let k = ((digit * 256 + value) * frequencies + i) * 2;
        [table[k], table[k + 1]]
    };
    let mut turn = at(0, position & 255);
    let (mut rest, mut digit) = (position >> 8, 1);
    while rest > 0 {
        let more = at(digit, rest & 255);
        turn = [turn[0] * more[0] - turn[1] * more[1], turn[1] * more[0] + turn[0] * more[1]];
        rest >>= 8;
        digit += 1;
    }
    turn
}

/// The tensors that the head vectors come from.
pub(super) struct HeadSource<'a, R> {
    pub layout: &'a HeadLayout,
    /// `[rows, qkv_width]`
    pub qkv: &'a [R],
    /// `[4, h]`: query weight, bias, key weight, bias
    pub norms: &'a [R],
    /// [`rotation_table`] of width h
    pub rotations: &'a [R],
}

impl<R: Real> HeadSource<'_, R> {
    /// The projection of `part` (0 query, 1 key, 2 value) of a head in a row.
    pub fn projection(&self, row: usize, part: usize, head: usize) -> &[R] {
        let h = self.layout.head;
        let at = row * self.layout.qkv_width() + (part * self.layout.heads + head) * h;
        &self.qkv[at..at + h]
    }

    /// The turn of a position: cosines `[h / 2]`, then sines `[h / 2]`. One serves all heads of a token.
    pub fn turn_at(&self, position: usize, turn: &mut [R]) {
        let half = self.layout.head / 2;
        let (cos, sin) = turn.split_at_mut(half);
        for i in 0..half {
            [cos[i], sin[i]] = rotation(self.rotations, position, i, half);
        }
    }

    fn turn(&self, x: &mut [R], turn: &[R]) {
        let half = self.layout.head / 2;
        let (cos, sin) = turn.split_at(half);
        if self.layout.interleaved {
            real::with_scratch(2 * half, |pairs: &mut [R]| {
                pairs.copy_from_slice(x);
                for i in 0..half {
                    let (a, b) = (pairs[2 * i], pairs[2 * i + 1]);
                    x[i] = a * cos[i] - b * sin[i];
                    x[i + half] = b * cos[i] + a * sin[i];
                }
            });
            return;
        }
        real::vectorized(
            #[inline(always)]
            || {
                let (first, second) = x.split_at_mut(half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = (*a * *cos - *b * *sin, *b * *cos + *a * *sin);
                }
            },
        );
    }

    /// The raw vector: the projection, rotated where raw vectors are.
    pub fn raw(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        out.copy_from_slice(self.projection(row, part, head));
        if self.layout.rotation == Rotation::Raw {
            self.turn(out, turn);
        }
    }

    /// The LayerNormed raw vector, not rotated again.
    pub fn normed(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        let h = self.layout.head;
        let at = if self.layout.shared_norm { 0 } else { part * 2 * h };
        let (weight, bias) = (&self.norms[at..at + h], &self.norms[at + h..at + 2 * h]);
        if self.layout.rotation == Rotation::Raw {
            real::with_scratch(h, |raw: &mut [R]| {
                self.raw(row, part, head, turn, raw);
                real::layer_norm(raw, weight, bias, out);
            });
        } else {
            real::layer_norm(self.projection(row, part, head), weight, bias, out);
        }
    }

    /// What the exact kernel reads.
    pub fn exact(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        if !self.layout.normed {
            return self.raw(row, part, head, turn, out);
        }
        self.normed(row, part, head, turn, out);
        if self.layout.rotation == Rotation::Normed {
            self.turn(out, turn);
        }
    }

    /// What the sketch sees.
    pub fn sketch_input(&self, row: usize, part: usize, head: usize, turn: &[R], out: &mut [R]) {
        if self.layout.sketch_normed { self.normed(row, part, head, turn, out) } else { self.raw(row, part, head, turn, out) }
    }
}

/// Numbers that a loop over a degree takes side by side: inside of loops over many numbers, it would keep the compiler from vectors.
const SIDE_BY_SIDE: usize = 16;

/// Of a row of `count` pairs, those to compute where the first `seen` are wanted: whole vectors.
pub(super) fn whole_vectors(seen: usize, count: usize) -> usize {
    seen.next_multiple_of(SIDE_BY_SIDE).min(count)
}

/// The non-negative weight of a pair inside a block, a function of the inner product `t` (SPEC §1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalWeight {
    /// `(scale t)^degree`, degree even.
    Power {
        /// c
        scale: f64,
        /// p
        degree: usize,
    },
    /// `Σ_{m <= degree} (scale t)^m / m!`
    Taylor {
        /// c
        scale: f64,
        /// g
        degree: usize,
    },
}

impl LocalWeight {
    /// The weight of each inner product, in place.
    #[inline(always)]
    pub(super) fn apply<R: Real>(&self, t: &mut [R]) {
        let (chunks, rest) = t.as_chunks_mut::<SIDE_BY_SIDE>();
        for t in chunks {
            self.apply_to(t);
        }
        for t in rest.as_chunks_mut::<1>().0 {
            self.apply_to(t);
        }
    }

    #[inline(always)]
    fn apply_to<R: Real, const N: usize>(&self, t: &mut [R; N]) {
        let (LocalWeight::Power { scale, degree } | LocalWeight::Taylor { scale, degree }) = *self;
        let scale = R::of(scale);
        for t in t.iter_mut() {
            *t = scale * *t;
        }
        let mut w = [R::ONE; N];
        if self.taylor() {
            for m in (1..=degree).rev() {
                let m = R::of(m as f64);
                for i in 0..N {
                    w[i] = R::ONE + w[i] * t[i] / m;
                }
            }
        } else {
            for _ in 0..degree / 2 {
                for i in 0..N {
                    w[i] *= t[i] * t[i];
                }
            }
        }
        *t = w;
    }

    /// [`LocalWeight::apply`], and the derivative of each weight by its inner product.
    #[inline(always)]
    pub(super) fn apply_with_slope<R: Real>(&self, t: &mut [R], slope: &mut [R]) {
        let ((chunks, rest), (slopes, slopes_rest)) = (t.as_chunks_mut::<SIDE_BY_SIDE>(), slope.as_chunks_mut::<SIDE_BY_SIDE>());
        for (t, slope) in chunks.iter_mut().zip(slopes) {
            self.apply_with_slope_to(t, slope);
        }
        for (t, slope) in rest.as_chunks_mut::<1>().0.iter_mut().zip(slopes_rest.as_chunks_mut::<1>().0) {
            self.apply_with_slope_to(t, slope);
        }
    }

    #[inline(always)]
    fn apply_with_slope_to<R: Real, const N: usize>(&self, t: &mut [R; N], slope: &mut [R; N]) {
        let (LocalWeight::Power { scale, degree } | LocalWeight::Taylor { scale, degree }) = *self;
        let (by_product, factor) = (R::of(scale), R::of(scale * degree as f64));
        for t in t.iter_mut() {
            *t = by_product * *t;
        }
        let mut w = [R::ONE; N];
        if self.taylor() {
            // The derivative of a partial sum of exp is the one before it.
            let mut term = [R::ONE; N];
            *slope = [R::ZERO; N];
            for m in 1..=degree {
                let share = R::of(1.0 / m as f64);
                for i in 0..N {
                    term[i] *= t[i] * share;
                    slope[i] = by_product * w[i];
                    w[i] += term[i];
                }
            }
        } else {
            for _ in 1..degree / 2 {
                for i in 0..N {
                    w[i] *= t[i] * t[i];
                }
            }
            for i in 0..N {
                slope[i] = factor * t[i] * w[i];
                w[i] *= t[i] * t[i];
            }
        }
        *t = w;
    }

    pub(super) fn constants(&self, variant: Variant) -> Variant {
        let (LocalWeight::Power { scale, degree } | LocalWeight::Taylor { scale, degree }) = *self;
        variant.with("SCALE", scale).size("DEGREE", degree)
    }

    pub(super) fn taylor(&self) -> bool {
        matches!(self, LocalWeight::Taylor { .. })
    }
}

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
    /// Number of features, padded with zero-weight ones to a multiple of 4.
    pub count: usize,
    /// `[2 * count]`: four 8-bit indices a feature, then the bits of the key-side f32 weights.
    pub table: std::sync::Arc<Vec<u32>>,
}

impl Features {
    /// Features whose inner product is `Σ_m coefficients[m] ⟨u, v⟩^m`; non-zero coefficients below
    /// `order = coefficients.len() - 1` need the extended vector.
    pub fn polynomial(source: usize, coefficients: &[f64]) -> Self {
        let order = coefficients.len() - 1;
        let extended = coefficients[..order].iter().any(|c| *c != 0.0);
        let letters = source + usize::from(extended);
        debug_assert!((1..=4).contains(&order) && letters <= 256);
        let mut indices = Vec::new();
        let mut weights = Vec::new();
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
                indices.push(word.iter().enumerate().fold(0u32, |packed, (k, &i)| packed | (i as u32) << (8 * k)));
                weights.push((coefficients[degree] * count) as f32);
            }
            // The next non-decreasing word.
            let Some(k) = (0..order).rev().find(|&k| word[k] + 1 < letters) else { break };
            let next = word[k] + 1;
            word[k..].fill(next);
        }
        let count = indices.len().next_multiple_of(4);
        indices.resize(count, 0);
        weights.resize(count, 0.0);
        indices.extend(weights.into_iter().map(f32::to_bits));
        Self { source, order, extended, count, table: std::sync::Arc::new(indices) }
    }

    /// The state of one head: `count` features times (v and the normaliser).
    pub fn state(&self, head: usize) -> usize {
        self.count * (head + 1)
    }

    /// What a feature's factors are taken from: the vector's elements and the 1 that may be appended.
    pub(super) fn factors(&self) -> usize {
        self.source + usize::from(self.extended)
    }

    pub(super) fn constants(&self, variant: Variant) -> Variant {
        variant.size("SOURCE", self.source).size("FEATURES", self.count).size("ORDER", self.order).size("EXTENDED", usize::from(self.extended))
    }
}

/// A view of a feature table for the twins: builds tiles of features in cache, never all of them.
pub(super) struct FeatureTable<'a> {
    features: &'a Features,
    table: &'a [u32],
}

impl<'a> FeatureTable<'a> {
    pub fn new(features: &'a Features, table: &'a [u32]) -> Self {
        Self { features, table }
    }

    /// Key-side weight of a feature.
    pub fn weight(&self, f: usize) -> f32 {
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
    pub fn tile<R: Real>(&self, columns: &[R], rows: usize, first: usize, count: usize, scale: Option<&[R]>, out: &mut [R]) {
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

    /// `grads[c, j] += Σ_f dphi[f, j] · ∂φ_{first + f} / ∂u_c (row j)` with `grads` and `columns [source, rows]`: the product rule, a
    /// column times the other columns of a feature for each of its factors. (Order 2: `ds = 2 sym(dφ) s`.)
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
                    3 => grad.iter_mut().zip(dphi).zip(other(0)).zip(other(1)).for_each(|(((g, d), a), b)| *g += *d * *a * *b),
                    _ => {
                        let others = other(0).iter().zip(other(1)).zip(other(2));
                        grad.iter_mut().zip(dphi).zip(others).for_each(|((g, d), ((a, b), c))| *g += *d * (*a * *b) * *c);
                    }
                }
            }
        }
    }
}

/// A sum of log gates as (integer, fraction in [0, 1)): the difference of two sums stays exact however
/// long the text is.
pub(super) fn gate_add<R: Real>(sum: [R; 2], logit: R) -> [R; 2] {
    let fraction = sum[1] + logit.log_sigmoid();
    let floor = R::of(fraction.f64().floor());
    [sum[0] + floor, fraction - floor]
}

/// `exp(a - b)` of two sums, `a` later than `b`; 0 where that is negligible.
pub(super) fn gate_decay<R: Real>(a: [R; 2], b: [R; 2]) -> R {
    ((a[0] - b[0]) + (a[1] - b[1])).min(R::ZERO).exp().flushed()
}

/// [`gate_decay`] from many sums, given in two parts, to one; for loops inside [`vectorized`](super::real::vectorized).
#[inline(always)]
pub(super) fn gate_decays<R: Real>(to: [R; 2], whole: &[R], fraction: &[R], decays: &mut [R]) {
    for ((decay, whole), fraction) in decays.iter_mut().zip(whole).zip(fraction) {
        *decay = ((to[0] - *whole) + (to[1] - *fraction)).min(R::ZERO).exp_fast().flushed();
    }
}

/// The lane table as the kernels bind it: `[lanes, 4]` of slot, position, ring, 0.
pub(super) fn lane(table: &[u32], at: usize) -> Lane {
    Lane { slot: table[at * 4] as usize, position: table[at * 4 + 1] as usize, ring: table[at * 4 + 2] as usize }
}
