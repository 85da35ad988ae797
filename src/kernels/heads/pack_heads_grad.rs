//! Gradient of the packed rows: back to the projections and the norms of queries and keys.

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::heads::vector_grad::Vector;
use crate::kernels::rows::sum_partials::{PARTIAL_ROWS, partials};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Gradient of the x and v columns of [`PackHeads`](crate::kernels::heads::pack_heads::PackHeads)' rows.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, dqueries `[lanes, H, tokens, query_width]`,
/// dkeys `[lanes, H, window, key_width]` → dqkv `[rows, qkv_width]` (gate columns 0), partial sums of dnorms
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
        let l = &self.layout;
        l.head_constants(Variant::new("pack_heads_grad", &[]))
            .size("HAS_X", usize::from(l.exact))
            .size("X_NORM", usize::from(l.normed))
            .size("SKETCH", l.sketch)
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("PARTIAL_ROWS", PARTIAL_ROWS)
            .size("NORMS", 4 * l.head)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::pack_heads_grad::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(Unit::Window(self.layout.block)) as u32,
        };
        Dispatch::once(&params, [call.unit(Unit::Blocks(PARTIAL_ROWS)), 1, call.lanes.len()])
    }

    twins!();
}

impl PackHeadsGrad {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (h, width) = (l.head, l.qkv_width());
        let (lanes, dqueries, dkeys) = (args.ids(1), args.real(4), args.real(5));
        let source =
            HeadSource { layout: l, qkv: args.real(0), norms: args.real(2), rotations: args.real(3) };
        let (dqkv, dnorms) = (SharedMut::new(args.real_mut(6)), SharedMut::new(args.real_mut(7)));
        let (tokens, stride) = (call.tokens, call.unit(Unit::Window(l.block)));
        let parts = call.unit(Unit::Blocks(PARTIAL_ROWS));
        cpu::parallel_for(call.lanes.len() * parts, |task| {
            let (at, part_at) = (task / parts, task % parts);
            let lane = lane(lanes, call.lane_base + at);
            // SAFETY: every task has its own part and its own rows.
            let dnorms = unsafe { dnorms.slice(task * 4 * h, 4 * h) };
            dnorms.fill(R::ZERO);
            cpu::with_scratch(2 * h, |scratch: &mut [R]| {
                let (turn, dy) = scratch.split_at_mut(h);
                for token in part_at * PARTIAL_ROWS..tokens.min((part_at + 1) * PARTIAL_ROWS) {
                    let row = at * tokens + token;
                    let out = unsafe { dqkv.slice(row * width, width) };
                    out.fill(R::ZERO);
                    if l.exact && l.rotation != Rotation::None {
                        source.turn_at(lane.position + token, turn);
                    }
                    for head in 0..l.heads {
                        let query = &dqueries[((at * l.heads + head) * tokens + token) * l.query_width()..];
                        let key =
                            &dkeys[((at * l.heads + head) * stride + lane.ring + token) * l.key_width()..];
                        if l.exact {
                            for (part, from) in [query, key].into_iter().enumerate() {
                                dy.copy_from_slice(&from[..h]);
                                let at = (part * l.heads + head) * h;
                                source.exact_backward(
                                    Vector { row, part, head },
                                    turn,
                                    dy,
                                    &mut out[at..at + h],
                                    dnorms,
                                );
                            }
                        }
                        let at = (2 * l.heads + head) * h;
                        out[at..at + h].copy_from_slice(&key[l.value_offset()..l.value_offset() + h]);
                    }
                }
            });
        });
    }
}
