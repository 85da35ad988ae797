//! Gradient of the pairs of attention by their keys and values.

use super::pairs::{Pairs, TILE};
use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::tiles::row_tile::row_tile;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `dx_j = Σ_i dt_ij x_i`, `dv̂_j = Σ_i e^{g_i - g_j} w_ij dN_i` over the pairs of key j.
///
/// The column of the gate sum gets the gradient by the *global* sum of log gates, the one that never
/// restarts: `dG_j = ⟨dN_j, N_j⟩ - ⟨dv̂_j, v̂_j⟩` (SPEC §1; here only the pairs' part of dv̂,
/// [`crate::kernels::scan::scan_grad_keys`] subtracts the state's). A pair depends on `G_i - G_j` only: in the sums that
/// restart at blocks, and in the decays of states from block to block, every block end is added once and
/// subtracted once. A log gate's own gradient is a suffix sum of dG over the whole text.
///
/// Arguments: queries `[lanes, H, tokens, query_width]`, keys `[lanes, H, window, key_width]`, gradient rows
/// (`AttentionGradRows`) → dkeys `[lanes, H, window, key_width]`, zero in the columns that nothing here
/// reads; rows after the call's tokens are not written.
#[derive(Debug)]
pub struct AttentionGradKeys(pub Pairs);

impl Kernel for AttentionGradKeys {
    fn stem(&self) -> &'static str {
        "attention_grad_keys"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(self.stem(), inputs)?;
        let l = &self.0.layout;
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Window(l.block), l.key_width()])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let p = &self.0;
        let rows = row_tile(p.width + p.layout.head + 66, 14);
        let variant = p.variant("attention_grad_keys", device, rows);
        variant.size("VALUE_ITEMS", (rows * p.layout.head / 4).div_ceil(128))
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        self.0.dispatches(variant, call, |first| shader::attention_grad_keys::Params {
            tokens: call.tokens as u32,
            stride: call.unit(Unit::Window(self.0.layout.block)) as u32,
            span: self.0.span(call) as u32,
            first,
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        self.0.flops(call)
            + (call.unit(Unit::Rows) * self.0.span(call) * self.0.layout.heads * self.0.layout.head) as u64
    }

    twins!();
}

impl AttentionGradKeys {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (pairs, l) = (&self.0, &self.0.layout);
        let (queries, keys, drows) = (args.real(0), args.real(1), args.real(2));
        let dkeys = SharedMut::new(args.real_mut(3));
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let (tokens, stride, span) = (call.tokens, call.unit(Unit::Window(l.block)), pairs.span(call));
        let (tiles, spans) = (span.div_ceil(TILE), tokens.div_ceil(span));
        cpu::parallel_for(call.lanes.len() * l.heads * spans * tiles, |task| {
            // The first keys are seen by the most queries.
            let (tile, rest) =
                (task / (call.lanes.len() * l.heads * spans), task % (call.lanes.len() * l.heads * spans));
            let (lane_head, base) = (rest / spans, rest % spans * span);
            let end = (base + span).min(tokens);
            let start = base + tile * TILE;
            if start >= end {
                return;
            }
            let count = TILE.min(end - start);
            let at = (lane_head * stride + start) * k;
            let keys = &keys[at..at + count * k];
            // SAFETY: every (lane, head, token) belongs to one task.
            let out = unsafe { dkeys.slice(at, count * k) };
            out.fill(R::ZERO);
            cpu::with_scratch(2 * TILE * count + count, |scratch: &mut [R]| {
                let (weights, rest) = scratch.split_at_mut(TILE * count);
                let (dt, totals) = rest.split_at_mut(TILE * count);
                totals.fill(R::ZERO);
                for first in (start..end).step_by(TILE) {
                    let rows = TILE.min(end - first);
                    let at = lane_head * tokens + first;
                    let (queries, drows) =
                        (&queries[at * q..(at + rows) * q], &drows[at * d..(at + rows) * d]);
                    let (weights, dt) = (&mut weights[..rows * count], &mut dt[..rows * count]);
                    pairs.tile([queries, keys, drows], [first, rows], [start, count], weights, dt);
                    let x = Mat::strided(&queries[pairs.offset..], rows, pairs.width, q);
                    cpu::matmul(
                        MatMut::strided(&mut out[pairs.offset..], count, pairs.width, k),
                        Mat::new(dt, rows, count).t(),
                        x,
                        true,
                    );
                    let values = MatMut::strided(&mut out[l.value_offset()..], count, l.head, k);
                    cpu::matmul(
                        values,
                        Mat::new(weights, rows, count).t(),
                        Mat::strided(drows, rows, l.head, d),
                        true,
                    );
                    if l.gated {
                        for (row, w) in drows.chunks_exact(d).zip(weights.chunks_exact(count)) {
                            cpu::axpy(row[l.head], w, totals);
                        }
                    }
                }
                if l.gated {
                    let own = &drows[(lane_head * tokens + start) * d..];
                    for (j, (out, key)) in out.chunks_exact_mut(k).zip(keys.chunks_exact(k)).enumerate() {
                        let values = l.value_offset()..l.sum_offset();
                        out[l.sum_offset()] = own[j * d + l.head + 1]
                            - cpu::dot(&out[values.clone()], &key[values])
                            - totals[j];
                    }
                }
            });
        });
    }
}
