//! Gradient of the packed rows: back to the projections and the norms of queries and keys.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::heads::vector_grad::Vector;
use crate::kernels::rows::column_sums::Parts;
use crate::kernels::rows::sum_partials::{PARTIAL_ROWS, partials};
use crate::kernels::shader::pack_heads_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Gradient of the x and v columns of [`PackHeads`](crate::kernels::heads::pack_heads::PackHeads)' rows.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, dqueries `[lanes, G, tokens, M,
/// query_width]`, dkeys `[lanes, G, window, key_width]` → dqkv `[rows, qkv_width]` (gate columns 0), partial sums of dnorms
/// ([`partials`] of 4 h).
#[derive(Debug)]
pub struct PackHeadsGrad {
    /// Row layouts.
    pub layout: HeadLayout,
}

impl Kernel for PackHeadsGrad {
    fn stem(&self) -> &'static str {
        "pack_heads_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != 6
            || inputs[4].shape.last() != Some(l.query_width())
            || inputs[5].shape.last() != Some(l.key_width())
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs rows of {} and {}", l.query_width(), l.key_width()),
            ));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, l.qkv_width()]), partials(4 * l.head)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        /// A workgroup takes the tokens of one partial sum.
        const _: () = assert!(shader::PARTIAL_ROWS == PARTIAL_ROWS);
        let l = &self.layout;
        shader::Overrides {
            x_normed: l.exact && l.normed,
            norms: 4 * l.head,
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
        .variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(self.layout.window()) as u32,
        };
        Dispatch::once(&params, [call.unit(Unit::Blocks(PARTIAL_ROWS)), 1, call.lanes.len()])
    }

    twins!(shader);
}

impl PackHeadsGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { qkv, lanes, norms, rotations, dqueries, dkeys, dqkv, dnorms, .. } = args;
        let l = &self.layout;
        let (h, width) = (l.head, l.qkv_width());
        let source = HeadSource { layout: l, qkv, norms, rotations };
        let (tokens, stride) = (call.tokens, call.unit(l.window()));
        let parts = Parts::of(Unit::Rows, call);
        let elements = |part: usize| {
            let rows = parts.rows(part);
            rows.start * width..rows.end * width
        };
        let dqkv = cpu::ranges(dqkv, (0..parts.total).map(elements));
        let sums = dnorms[..parts.total * 4 * h].chunks_mut(4 * h);
        cpu::parallel_each(dqkv.zip(sums), |part, (dqkv, sums)| {
            sums.fill(R::ZERO);
            cpu::with_scratch(2 * h, |scratch: &mut [R]| {
                let (turn, dy) = scratch.split_at_mut(h);
                for (row, out) in parts.rows(part).zip(dqkv.chunks_exact_mut(width)) {
                    let (at, token) = (row / tokens, row % tokens);
                    let lane = lane(lanes, call.lane_base + at);
                    out.fill(R::ZERO);
                    if l.exact && l.rotation != Rotation::None {
                        source.turn_at(lane.position + token, turn);
                    }
                    for head in 0..l.heads {
                        let lane_head = at * l.heads + head;
                        let queries = &dqueries[(lane_head * tokens + token) * l.group * l.query_width()..];
                        let key = &dkeys[(lane_head * stride + lane.ring + token) * l.key_width()..];
                        if l.exact {
                            let of_group = queries.chunks(l.query_width()).take(l.group).enumerate();
                            let of_group = of_group.map(|(i, query)| (0, head * l.group + i, query));
                            for (part, head, from) in of_group.chain([(1, head, key)]) {
                                dy.copy_from_slice(&from[..h]);
                                let at = l.column(part, head);
                                let vector = Vector { row, part, head };
                                source.exact_backward(vector, turn, dy, &mut out[at..at + h], sums);
                            }
                        }
                        let at = l.column(2, head);
                        out[at..at + h].copy_from_slice(&key[l.value_offset()..l.value_offset() + h]);
                    }
                }
            });
        });
    }
}
