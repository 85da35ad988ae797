//! Gradient of the pairs of attention by their queries; shared with [`crate::kernels::pairs::attention_grad_keys`].

use super::pairs::{Pairs, TILE};
use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::tiles::row_tile::row_tile;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

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

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        self.0.dispatches(variant, call, |first| shader::attention_grad_queries::Params {
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
        cpu::parallel_for(call.lanes.len() * l.heads * spans * tiles, |task| {
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
            cpu::with_scratch(2 * rows * TILE, |scratch: &mut [R]| {
                let (weights, dt) = scratch.split_at_mut(rows * TILE);
                for start in (base..end).step_by(TILE) {
                    let count = TILE.min(end - start);
                    let keys = &keys[(lane_head * stride + start) * k..][..count * k];
                    let (weights, dt) = (&mut weights[..rows * count], &mut dt[..rows * count]);
                    pairs.tile([queries, keys, drows], [first, rows], [start, count], weights, dt);
                    let x = Mat::strided(&keys[pairs.offset..], count, pairs.width, k);
                    cpu::matmul(
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
