//! Prefix sums of the log gates.

use crate::error::Result;
use crate::kernels::heads::gate_sum::gate_add;
use crate::kernels::heads::layout::{HeadLayout, check_cache, lane};
use crate::kernels::shader::gate_prefix as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where the keys of earlier calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Nowhere: every call starts a text.
    Nothing,
    /// In the ring `[slots, G, ring rows, key_width]`; sums restart at every block.
    Ring,
    /// In the cache `[slots, G, context, key_width]` of so many tokens; sums never restart.
    Cache(usize),
}

/// Inclusive prefix sums of `log σ(gate logit)` over the tokens of a block (SPEC §1), as (integer, fraction).
///
/// Arguments: qkv `[rows, qkv_width]`, lane table, (ring or cache) → sums `[lanes, G, tokens, 2]`.
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
        let keys_stride = match self.carried {
            Carried::Nothing => 0,
            Carried::Ring => self.layout.ring_rows(),
            Carried::Cache(context) => context,
        };
        let flags = shader::Flags { carry: self.carried != Carried::Nothing, cache: self.unbroken };
        shader::Overrides { keys_stride, head_layout: self.layout.overrides() }.variant(flags)
    }

    fn check(&self, _: &Variant, _: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        if let Carried::Cache(context) = self.carried { check_cache(context, capacity) } else { Ok(()) }
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let blocks = if self.unbroken { 1 } else { call.unit(Unit::Blocks(self.layout.block)) };
        let params = shader::Params { tokens: call.tokens as u32, lane_base: call.lane_base as u32 };
        Dispatch::once(&params, [blocks, self.layout.heads, call.lanes.len()])
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl GatePrefix {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { qkv, lanes, carried, sums, .. } = args;
        let (l, carried) = (&self.layout, carried.unwrap_or_default());
        let row_of = |stride: usize, slot: usize, head: usize, row: usize| {
            let at = ((slot * l.heads + head) * stride + row) * l.key_width();
            l.gate_sum(&carried[at..at + l.key_width()])
        };
        let sums = &mut sums[..call.lanes.len() * l.heads * call.tokens * 2];
        cpu::parallel_chunks(sums, call.tokens * 2, |task, sums| {
            let (at, head) = (task / l.heads, task % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            let mut sum = match self.carried {
                Carried::Nothing => [R::ZERO; 2],
                Carried::Ring if lane.ring > 0 => {
                    row_of(l.ring_rows(), lane.slot, head, l.ring_row(lane.position - 1))
                }
                Carried::Cache(context) if lane.position > 0 => {
                    row_of(context, lane.slot, head, lane.position - 1)
                }
                _ => [R::ZERO; 2],
            };
            for (i, out) in sums.chunks_exact_mut(2).enumerate() {
                if !self.unbroken && (lane.ring + i).is_multiple_of(l.block) {
                    sum = [R::ZERO; 2];
                }
                sum = gate_add(sum, qkv[(at * call.tokens + i) * l.qkv_width() + l.gate_offset() + head]);
                out.copy_from_slice(&sum);
            }
        });
    }
}
