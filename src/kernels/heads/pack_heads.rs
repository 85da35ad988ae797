//! Query and key rows of the attention kernels.

use crate::kernels::Gradient;

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::gate_sum::gate_add;
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where key rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// A fresh window `[lanes, H, window, key_width]`, the call's tokens after the ring's rows.
    Window,
    /// The ring `[slots, H, block, key_width]`, in place (one token a lane).
    Ring,
    /// The cache `[slots, H, context, key_width]` of so many tokens, in place.
    Cache(usize),
}

/// Gathers what the attention kernels read of a token: query row `[x | s]`, key row `[x | s | v | gate sum]`.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, (sketch `[2, lanes, H, tokens, r]`),
/// (gate sums `[lanes, H, tokens, 2]`; without them the sum goes on from the row before, one token a lane)
/// → queries `[lanes, H, tokens, query_width]`, keys (fresh window, or ring or cache in place).
#[derive(Debug)]
pub struct PackHeads {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Where keys go.
    pub keys: KeysAt,
    /// Gate sums come as an argument.
    pub sums: bool,
}

impl PackHeads {
    pub(in crate::kernels) fn input_count(&self) -> usize {
        4 + usize::from(self.layout.sketch > 0) + usize::from(self.sums)
    }

    fn stride(&self, call: &Call) -> usize {
        match self.keys {
            KeysAt::Window => call.unit(Unit::Window(self.layout.block)),
            KeysAt::Ring => self.layout.block,
            KeysAt::Cache(context) => context,
        }
    }
}

impl Kernel for PackHeads {
    fn stem(&self) -> &'static str {
        "pack_heads"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != self.input_count()
            || inputs[0].shape != shape![Unit::Rows, l.qkv_width()]
            || inputs[2].shape != shape![4, l.head]
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs qkv [rows, {}] and norms [4, {}]", l.qkv_width(), l.head),
            ));
        }
        let mut outputs = vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()])];
        if self.keys == KeysAt::Window {
            outputs.push(TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Window(l.block), l.key_width()]));
        }
        Ok(outputs)
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        let keys_at = match self.keys {
            KeysAt::Window => 0,
            KeysAt::Ring => 1,
            KeysAt::Cache(_) => 2,
        };
        l.head_constants(Variant::new("pack_heads", &[("S", l.sketch > 0), ("G", self.sums)]))
            .size("HAS_X", usize::from(l.exact))
            .size("X_NORM", usize::from(l.normed))
            .size("SKETCH", l.sketch)
            .size("GATED", usize::from(l.gated))
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("KEYS_AT", keys_at)
            .size("BLOCK", l.block)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::pack_heads::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
        };
        Dispatch::once(&params, [call.tokens.div_ceil(64), 3 * self.layout.heads, call.lanes.len()])
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl PackHeads {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (qkv, lanes, norms, rotations) = (args.real(0), args.ids(1), args.real(2), args.real(3));
        let sketch: &[R] = if l.sketch > 0 { args.real(4) } else { &[] };
        let sums: Option<&[R]> = self.sums.then(|| args.real(self.input_count() - 1));
        let queries = SharedMut::new(args.real_mut(self.input_count()));
        let keys = SharedMut::new(args.real_mut(self.input_count() + 1));
        let source = HeadSource { layout: l, qkv, norms, rotations };
        let (tokens, stride) = (call.tokens, self.stride(call));
        let (query_width, key_width) = (l.query_width(), l.key_width());
        // A task is a run of tokens with all their heads, which share the turn of a token.
        const RUN: usize = 16;
        let runs = tokens.div_ceil(RUN);
        cpu::parallel_for(call.lanes.len() * runs, |task| {
            let (at, run) = (task / runs, task % runs);
            let lane = lane(lanes, call.lane_base + at);
            cpu::with_scratch(l.head, |turn: &mut [R]| {
                for token in run * RUN..tokens.min((run + 1) * RUN) {
                    let (row, position) = (at * tokens + token, lane.position + token);
                    if l.exact && l.rotation != Rotation::None {
                        source.turn_at(position, turn);
                    }
                    for head in 0..l.heads {
                        let in_call = (at * l.heads + head) * tokens + token;
                        let (place, first) = match self.keys {
                            KeysAt::Window => ((at * l.heads + head) * stride + lane.ring + token, false),
                            KeysAt::Ring => (
                                (lane.slot * l.heads + head) * stride + lane.ring % l.block,
                                lane.ring.is_multiple_of(l.block),
                            ),
                            KeysAt::Cache(_) => {
                                ((lane.slot * l.heads + head) * stride + position, position == 0)
                            }
                        };
                        // SAFETY: every (lane, head, token) has its own query row and its own key row; slots
                        // of lanes differ.
                        let (query, key) = unsafe {
                            (
                                queries.slice(in_call * query_width, query_width),
                                keys.slice(place * key_width, key_width),
                            )
                        };
                        if l.exact {
                            source.exact(row, 0, head, turn, &mut query[..l.head]);
                            source.exact(row, 1, head, turn, &mut key[..l.head]);
                        }
                        let (s, r) = (l.sketch_offset(), l.sketch);
                        query[s..s + r].copy_from_slice(&sketch[in_call * r..(in_call + 1) * r]);
                        let key_sketch = (call.lanes.len() * l.heads * tokens + in_call) * r;
                        key[s..s + r].copy_from_slice(&sketch[key_sketch..key_sketch + r]);
                        key[l.value_offset()..l.sum_offset()]
                            .copy_from_slice(source.projection(row, 2, head));
                        if l.gated {
                            let sum = match sums {
                                Some(sums) => [sums[in_call * 2], sums[in_call * 2 + 1]],
                                None if first => {
                                    gate_add([R::ZERO; 2], qkv[row * l.qkv_width() + l.gate_offset() + head])
                                }
                                None => {
                                    // SAFETY: one token a lane: the row before is of an earlier call, nobody
                                    // writes it now.
                                    let before = unsafe { keys.slice((place - 1) * key_width, key_width) };
                                    gate_add(
                                        l.gate_sum(before),
                                        qkv[row * l.qkv_width() + l.gate_offset() + head],
                                    )
                                }
                            };
                            key[l.sum_offset()..l.sum_offset() + 2].copy_from_slice(&sum);
                        }
                    }
                }
            });
        });
    }
}
