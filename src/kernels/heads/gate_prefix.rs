//! Prefix sums of the log gates.

use crate::kernels::Gradient;

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::gate_sum::gate_add;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where the keys of earlier calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Nowhere: every call starts a text.
    Nothing,
    /// In the ring `[slots, H, block, key_width]`; sums restart at every block.
    Ring,
    /// In the cache `[slots, H, context, key_width]` of so many tokens; sums never restart.
    Cache(usize),
}

/// Inclusive prefix sums of `log σ(gate logit)` over the tokens of a block (SPEC §1), as (integer, fraction).
///
/// Arguments: qkv `[rows, qkv_width]`, lane table, (ring or cache) → sums `[lanes, H, tokens, 2]`.
#[derive(Debug)]
pub struct GatePrefix {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Where earlier sums are.
    pub carried: Carried,
    /// Sums never restart (kinds without blocks).
    pub unbroken: bool,
}

impl Kernel for GatePrefix {
    fn stem(&self) -> &'static str {
        "gate_prefix"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let carry = usize::from(self.carried != Carried::Nothing);
        if inputs.len() != 2 + carry || inputs[0].shape != shape![Unit::Rows, self.layout.qkv_width()] {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs qkv [rows, {}]", self.layout.qkv_width()),
            ));
        }
        Ok(vec![TensorType::f32(shape![Unit::Lanes, self.layout.heads, Unit::Tokens, 2])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        let stride = match self.carried {
            Carried::Nothing => 0,
            Carried::Ring => l.block,
            Carried::Cache(context) => context,
        };
        Variant::new("gate_prefix", &[("CARRY", self.carried != Carried::Nothing), ("CACHE", self.unbroken)])
            .size("HEADS", l.heads)
            .size("QKV_WIDTH", l.qkv_width())
            .size("GATE_OFFSET", l.gate_offset())
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", l.key_width())
            .size("G_OFFSET", l.sum_offset())
            .size("KEYS_STRIDE", stride)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let blocks = if self.unbroken { 1 } else { call.unit(Unit::Blocks(self.layout.block)) };
        let params = shader::gate_prefix::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            blocks: blocks as u32,
        };
        Dispatch::once(&params, [(call.lanes.len() * self.layout.heads * blocks).div_ceil(64), 1, 1])
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl GatePrefix {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (qkv, lanes) = (args.real(0), args.ids(1));
        let carried: &[R] = if self.carried == Carried::Nothing { &[] } else { args.real(2) };
        let sums = SharedMut::new(args.real_mut(2 + usize::from(self.carried != Carried::Nothing)));
        let row_of = |stride: usize, slot: usize, head: usize, row: usize| {
            let at = ((slot * l.heads + head) * stride + row) * l.key_width();
            l.gate_sum(&carried[at..at + l.key_width()])
        };
        cpu::parallel_for(call.lanes.len() * l.heads, |task| {
            let (at, head) = (task / l.heads, task % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            let mut sum = match self.carried {
                Carried::Nothing => [R::ZERO; 2],
                Carried::Ring if lane.ring > 0 => row_of(l.block, lane.slot, head, lane.ring - 1),
                Carried::Cache(context) if lane.position > 0 => {
                    row_of(context, lane.slot, head, lane.position - 1)
                }
                _ => [R::ZERO; 2],
            };
            // SAFETY: every task has its own (lane, head).
            let out = unsafe { sums.slice(task * call.tokens * 2, call.tokens * 2) };
            for (i, out) in out.chunks_exact_mut(2).enumerate() {
                if !self.unbroken && (lane.ring + i).is_multiple_of(l.block) {
                    sum = [R::ZERO; 2];
                }
                sum = gate_add(sum, qkv[(at * call.tokens + i) * l.qkv_width() + l.gate_offset() + head]);
                out.copy_from_slice(&sum);
            }
        });
    }
}
