//! What the two passes over pairs have in common: which pairs there are, how they are cut, and a tile of them.

use super::dense_weight::DenseWeight;
use super::local_weight::whole_vectors;
use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decays;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::{DeviceTraits, Dispatch, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, TensorType, Unit};

/// The pairs of a query and a key up to it whose weight is a function of their inner product: those of one
/// block in the scan, all of them in the dense kinds. They are computed again, tile by tile; nothing of size
/// n x n is in memory.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Weight of a pair.
    pub weight: DenseWeight,
    /// Column of the vector the weight reads.
    pub offset: usize,
    /// Elements of the vector the weight reads.
    pub width: usize,
    /// Only pairs inside a block.
    pub in_block: bool,
}

/// Queries, or keys, of one task of the twins.
pub(in crate::kernels) const TILE: usize = 64;

impl Pairs {
    /// Tokens among which there are pairs.
    pub(in crate::kernels) fn span(&self, call: &Call) -> usize {
        if self.in_block { self.layout.block.min(call.tokens) } else { call.tokens }
    }

    pub(in crate::kernels) fn check(&self, stem: &str, inputs: &[&TensorType]) -> Result<()> {
        let l = &self.layout;
        let widths = [l.query_width(), l.key_width(), l.gradient_width()];
        if !inputs.iter().map(|t| t.shape.last()).eq(widths.map(Some)) {
            return Err(shape_error(
                stem,
                inputs,
                format_args!("needs queries, keys and gradient rows of {widths:?}"),
            ));
        }
        Ok(())
    }

    /// The variant of one of the two shaders, for workgroups of so many rows.
    pub(in crate::kernels) fn variant(
        &self,
        stem: &'static str,
        device: &DeviceTraits,
        rows: usize,
    ) -> Variant {
        let l = &self.layout;
        // 128 invocations, 32 keys at a time.
        let variant = Variant::new(stem, &self.weight.flags())
            .size("ROW_TILE", rows)
            .size("ITEMS", (rows * self.width / 4).div_ceil(128))
            .size("WEIGHTS", rows * 32 / 128)
            .size("TILE_WEIGHTS", rows * 32)
            .size("STAGED", rows * self.width / 4)
            .size("STAGED_VALUES", rows * l.head / 4)
            .size("HEAD", l.head)
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("V_OFFSET", l.value_offset())
            .size("LOCAL", self.width)
            .size("LOCAL_OFFSET", self.offset)
            .size("GATED", usize::from(l.gated));
        // Loops of 32 keys or queries: what is written out in the shader counts nothing, what drivers unroll
        // may count.
        let each = 10 * (self.width + l.head) / 4 + 32 * 10 + 100;
        self.weight.constants(variant, l.head).size("AT_ONCE", 32 * device.rounds(4096, 2 * each))
    }

    /// The dispatches of one of the two shaders; `params` of the first key or query of each.
    pub(in crate::kernels) fn dispatches<P: bytemuck::Pod>(
        &self,
        variant: &Variant,
        call: &Call,
        params: impl Fn(u32) -> P,
    ) -> Vec<Dispatch> {
        let span = self.span(call);
        let workgroups = [
            span.div_ceil(variant.get("ROW_TILE")),
            call.tokens.div_ceil(span),
            call.lanes.len() * self.layout.heads,
        ];
        (0..span)
            .step_by(variant.get("AT_ONCE"))
            .map(|first| Dispatch::new(&params(first as u32), workgroups))
            .collect()
    }

    /// f32 operations of one of the two gradients: `products` of rows by columns of every pair.
    pub(in crate::kernels) fn flops(&self, call: &Call) -> u64 {
        let pairs = call.unit(Unit::Rows) * self.span(call) / 2;
        (pairs * self.layout.heads * (2 * self.layout.head + 4 * self.width)) as u64
    }

    /// A tile of pairs: decayed weights `w [rows, keys]`, and `dt = ∂L/∂⟨x_i, x_j⟩ = dw_ij e^{g_i - g_j}
    /// w'(t_ij)` with `dw_ij = ⟨dN_i, v̂_j⟩`. The slices begin at the rows of query `first` and key `start`.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::kernels) fn tile<R: Real>(
        &self,
        [queries, keys, drows]: [&[R]; 3],
        [first, rows]: [usize; 2],
        [start, count]: [usize; 2],
        weights: &mut [R],
        dt: &mut [R],
    ) {
        let l = &self.layout;
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let x_q = Mat::strided(&queries[self.offset..], rows, self.width, q);
        let x_k = Mat::strided(&keys[self.offset..], count, self.width, k);
        let values = Mat::strided(&keys[l.value_offset()..], count, l.head, k);
        cpu::matmul(MatMut::new(weights, rows, count), x_q, x_k.t(), false);
        cpu::matmul(MatMut::new(dt, rows, count), Mat::strided(drows, rows, l.head, d), values.t(), false);
        let gates = if l.gated { count } else { 0 };
        cpu::with_scratch(2 * count + 2 * gates, |scratch: &mut [R]| {
            let (slope, rest) = scratch.split_at_mut(count);
            let (decay, sums) = rest.split_at_mut(count);
            let (whole, fraction) = sums.split_at_mut(gates);
            for j in 0..gates {
                [whole[j], fraction[j]] = l.gate_sum(&keys[j * k..]);
            }
            for (i, (w, dt)) in weights.chunks_exact_mut(count).zip(dt.chunks_exact_mut(count)).enumerate() {
                let own = (first + i + 1).saturating_sub(start).min(count);
                let seen = whole_vectors(own, count);
                self.weigh(
                    [&mut w[..seen], &mut dt[..seen]],
                    &drows[i * d + l.head..(i + 1) * d],
                    [&*whole, &*fraction],
                    slope,
                    decay,
                );
                w[own..].fill(R::ZERO);
                dt[own..].fill(R::ZERO);
            }
        });
    }

    /// A row of [`Pairs::tile`]: inner products of a query with keys into weights, of its gradient with
    /// values into dt. `row` is what [`AttentionGradRows`] leaves of the query behind its gradient; the gates
    /// are those of the keys.
    fn weigh<R: Real>(
        &self,
        [w, dt]: [&mut [R]; 2],
        row: &[R],
        [whole, fraction]: [&[R]; 2],
        slope: &mut [R],
        decay: &mut [R],
    ) {
        let (l, n) = (&self.layout, w.len());
        let (slope, decay) = (&mut slope[..n], &mut decay[..n]);
        match self.weight {
            DenseWeight::Softmax => {
                let scale = R::of(1.0 / (l.head as f64).sqrt());
                w.iter_mut().for_each(|w| *w = scale * *w - row[2]);
                cpu::exp_slice(w);
                dt.iter_mut().zip(w).for_each(|(dt, w)| *dt = (*dt + row[0]) * (scale * *w));
            }
            DenseWeight::Kernel(weight) => cpu::vectorized(
                #[inline(always)]
                || {
                    weight.apply_with_slope(w, slope);
                    dt.iter_mut().zip(&*slope).for_each(|(dt, slope)| *dt = (*dt + row[0]) * *slope);
                    if l.gated {
                        gate_decays([row[2], row[3]], whole, fraction, decay);
                        for ((w, dt), decay) in w.iter_mut().zip(dt).zip(&*decay) {
                            (*w, *dt) = (*w * *decay, *dt * *decay);
                        }
                    }
                },
            ),
        }
    }
}
