//! Gradient of the pairs of attention by their queries; shared with [`super::attention_grad_keys`].

use super::attention_dense::DenseWeight;
use super::attention_grad_keys::AttentionGradKeys;
use super::attention_grad_rows::AttentionGradRows;
use super::gate_sum::gate_decays;
use super::heads::HeadLayout;
use super::local_weight::whole_vectors;
use super::real::{Mat, MatMut, SharedMut};
use super::scan_output::row_tile;
use super::{
    Args, Backward, BackwardExt, DeviceTraits, Dispatch, Kernel, Real, Variant, real, shader, shape_error,
    subgroup,
};
use crate::error::Result;
use crate::tensor::{Call, Capacity, TensorId, TensorType, Unit};
use crate::{shape, twins};

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
pub(super) const TILE: usize = 64;

impl Pairs {
    /// Tokens among which there are pairs.
    pub(super) fn span(&self, call: &Call) -> usize {
        if self.in_block { self.layout.block.min(call.tokens) } else { call.tokens }
    }

    pub(super) fn check(&self, stem: &str, inputs: &[&TensorType]) -> Result<()> {
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

    /// The variant of one of the two shaders, for workgroups of so many rows where subgroups do not decide.
    pub(super) fn variant(&self, stem: &str, device: &DeviceTraits, rows: usize) -> Variant {
        let l = &self.layout;
        // Sums of both widths, weights and dt of 32, gates.
        let bytes = subgroup::ROWS * (self.width + l.head + 64 + 12) * 4;
        let variant = match subgroup::lanes_backward(device, bytes) {
            Some(lanes) => {
                let tile = |variant, names| subgroup::vectors(variant, names, 32);
                let variant =
                    tile(subgroup::variant(stem, lanes, &self.weight.flags()), ["dt_columns", "dt_vectors"]);
                subgroup::vectors(
                    tile(variant, ["dw_columns", "dw_vectors"]),
                    ["dx_columns", "dx_vectors"],
                    self.width,
                )
            }
            // 128 invocations, 32 keys at a time.
            None => Variant::new(stem, &self.weight.flags())
                .size("ROW_TILE", rows)
                .size("ITEMS", (rows * self.width / 4).div_ceil(128))
                .size("WEIGHTS", rows * 32 / 128)
                .size("TILE_WEIGHTS", rows * 32)
                .size("STAGED", rows * self.width / 4)
                .size("STAGED_VALUES", rows * l.head / 4),
        };
        let variant = variant
            .size("HEAD", l.head)
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("V_OFFSET", l.value_offset())
            .size("LOCAL", self.width)
            .size("LOCAL_OFFSET", self.offset)
            .size("GATED", usize::from(l.gated));
        // Loops of 32 keys or queries: what is written out in the shader counts nothing, what drivers unroll
        // may count.
        let each = match subgroup::lanes_of(&variant) {
            Some(lanes) => {
                (self.width + l.head) / 4
                    + (self.width + l.head).div_ceil(4 * lanes) * 10
                    + 16 * (32 / lanes + 1)
                    + 16
            }
            None => 10 * (self.width + l.head) / 4 + 32 * 10 + 100,
        };
        self.weight.constants(variant, l.head).size("AT_ONCE", 32 * device.rounds(4096, 2 * each))
    }

    /// The dispatches of one of the two shaders; `params` of the first key or query of each.
    pub(super) fn dispatches<P: bytemuck::Pod>(
        &self,
        variant: &Variant,
        call: &Call,
        params: impl Fn(u32) -> P,
    ) -> Vec<Dispatch> {
        let span = self.span(call);
        let workgroups = [
            span.div_ceil(subgroup::rows_of(variant)),
            call.tokens.div_ceil(span),
            call.lanes.len() * self.layout.heads,
        ];
        (0..span)
            .step_by(variant.get("AT_ONCE"))
            .map(|first| Dispatch::new(&params(first as u32), workgroups))
            .collect()
    }

    /// f32 operations of one of the two gradients: `products` of rows by columns of every pair.
    pub(super) fn flops(&self, call: &Call) -> u64 {
        let pairs = call.unit(Unit::Rows) * self.span(call) / 2;
        (pairs * self.layout.heads * (2 * self.layout.head + 4 * self.width)) as u64
    }

    /// The gradients of a node that computes attention, apart from what goes through a state: appends the
    /// gradient rows, and dqueries and dkeys where they are wanted. Inputs 0 and 1 are queries and keys,
    /// outputs o and the normaliser.
    pub(super) fn backward(
        &self,
        pass: &mut dyn Backward,
        bias: f64,
    ) -> Result<(TensorId, Option<TensorId>, Option<TensorId>)> {
        let (queries, keys) = (pass.input(0), pass.input(1));
        let rows = AttentionGradRows { layout: self.layout.clone(), weight: self.weight, bias };
        let arguments = [pass.gradient(0)?, pass.output(0), pass.output(1), keys];
        let drows = pass.apply1("drows", rows, &arguments)?;
        let inputs = [queries, keys, drows];
        let dqueries = pass
            .wants(0)
            .then(|| pass.apply1("dqueries", AttentionGradQueries(self.clone()), &inputs))
            .transpose()?;
        let dkeys = pass
            .wants(1)
            .then(|| pass.apply1("dkeys", AttentionGradKeys(self.clone()), &inputs))
            .transpose()?;
        Ok((drows, dqueries, dkeys))
    }

    /// A tile of pairs: decayed weights `w [rows, keys]`, and `dt = ∂L/∂⟨x_i, x_j⟩ = dw_ij e^{g_i - g_j}
    /// w'(t_ij)` with `dw_ij = ⟨dN_i, v̂_j⟩`. The slices begin at the rows of query `first` and key `start`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn tile<R: Real>(
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
        real::matmul(MatMut::new(weights, rows, count), x_q, x_k.t(), false);
        real::matmul(MatMut::new(dt, rows, count), Mat::strided(drows, rows, l.head, d), values.t(), false);
        let gates = if l.gated { count } else { 0 };
        real::with_scratch(2 * count + 2 * gates, |scratch: &mut [R]| {
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
                real::exp_slice(w);
                dt.iter_mut().zip(w).for_each(|(dt, w)| *dt = (*dt + row[0]) * (scale * *w));
            }
            DenseWeight::Kernel(weight) => real::vectorized(
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

/// `dx_i = Σ_j dt_ij x_j` over the pairs of query i.
///
/// Arguments: queries `[lanes, H, tokens, query_width]`, keys `[lanes, H, window, key_width]`, gradient rows
/// ([`AttentionGradRows`]) → dqueries `[lanes, H, tokens, query_width]`, zero in the columns that the weights
/// do not read.
#[derive(Debug)]
pub struct AttentionGradQueries(pub Pairs);

impl Kernel for AttentionGradQueries {
    fn stem(&self) -> &'static str {
        "attention_grad_queries"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(self.stem(), inputs)?;
        let l = &self.0.layout;
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let p = &self.0;
        let rows = row_tile(p.width + p.layout.head + 36, 14);
        p.variant("attention_grad_queries", device, rows)
    }

    fn dispatch(&self, variant: &Variant, call: &Call) -> Dispatch {
        self.dispatches(variant, call).swap_remove(0)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        self.0.dispatches(variant, call, |first| shader::params::AttentionGradQueries {
            tokens: call.tokens as u32,
            stride: call.unit(Unit::Window(self.0.layout.block)) as u32,
            span: self.0.span(call) as u32,
            first,
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        self.0.flops(call)
    }

    twins!();
}

impl AttentionGradQueries {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (pairs, l) = (&self.0, &self.0.layout);
        let (queries, keys, drows) = (args.real(0), args.real(1), args.real(2));
        let dqueries = SharedMut::new(args.real_mut(3));
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let (tokens, stride, span) = (call.tokens, call.unit(Unit::Window(l.block)), pairs.span(call));
        let (tiles, spans) = (span.div_ceil(TILE), tokens.div_ceil(span));
        real::parallel_for(call.lanes.len() * l.heads * spans * tiles, |task| {
            // The longest rows first, so that no thread is left with them at the end.
            let (tile, rest) = (
                tiles - 1 - task / (call.lanes.len() * l.heads * spans),
                task % (call.lanes.len() * l.heads * spans),
            );
            let (lane_head, base) = (rest / spans, rest % spans * span);
            let (first, end) = (base + tile * TILE, (base + span.min((tile + 1) * TILE)).min(tokens));
            if first >= end {
                return;
            }
            let rows = end - first;
            let at = lane_head * tokens + first;
            let (queries, drows) = (&queries[at * q..(at + rows) * q], &drows[at * d..(at + rows) * d]);
            // SAFETY: every (lane, head, token) belongs to one task.
            let out = unsafe { dqueries.slice(at * q, rows * q) };
            out.fill(R::ZERO);
            real::with_scratch(2 * rows * TILE, |scratch: &mut [R]| {
                let (weights, dt) = scratch.split_at_mut(rows * TILE);
                for start in (base..end).step_by(TILE) {
                    let count = TILE.min(end - start);
                    let keys = &keys[(lane_head * stride + start) * k..][..count * k];
                    let (weights, dt) = (&mut weights[..rows * count], &mut dt[..rows * count]);
                    pairs.tile([queries, keys, drows], [first, rows], [start, count], weights, dt);
                    let x = Mat::strided(&keys[pairs.offset..], count, pairs.width, k);
                    real::matmul(
                        MatMut::strided(&mut out[pairs.offset..], rows, pairs.width, q),
                        Mat::new(dt, rows, count),
                        x,
                        true,
                    );
                }
            });
        });
    }
}
