//! Exclusive prefix over block states.

use super::heads::{HeadLayout, gate_decay, lane};
use super::real::SharedMut;
use super::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, real, shader, shape_error};
use crate::error::Result;
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// What the prefix starts from and what becomes of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Starts from zero (training: every call starts a text).
    Fresh,
    /// Starts from the state of the slot and leaves the new state there.
    Carry,
    /// Not causal: one total over all blocks instead of a prefix.
    Total,
}

/// `Z_0 = state, Z_{l+1} = e^{g_last(l)} Z_l + H_l`.
///
/// Arguments: states `[lanes, H, blocks, size]`, keys `[lanes, H, window, key_width]` (for the gates), lane
/// table → prefix `[lanes, H, blocks, size]`; in place with `Carry`: state `[slots, H, size]`.
#[derive(Debug)]
pub struct ScanPrefix {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Numbers of a state.
    pub size: usize,
    /// Start and end.
    pub prefix: Prefix,
}

impl Kernel for ScanPrefix {
    fn stem(&self) -> &'static str {
        "scan_prefix"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 3 || inputs[0].shape.last() != Some(self.size) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs states of {}", self.size)));
        }
        let l = &self.layout;
        let shape = if self.prefix == Prefix::Total {
            shape![Unit::Lanes, l.heads, self.size]
        } else {
            shape![Unit::Lanes, l.heads, Unit::Blocks(l.block), self.size]
        };
        Ok(vec![TensorType::f32(shape)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        Variant::new("scan_prefix", &[("CARRY", self.prefix == Prefix::Carry), ("TOTAL", self.prefix == Prefix::Total)])
            .size("HEADS", l.heads)
            .size("STATE", self.size)
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", l.key_width())
            .size("G_OFFSET", l.sum_offset())
            .size("GATED", usize::from(l.gated))
    }

    fn dispatch(&self, _: &Variant, call: &Call) -> Dispatch {
        let params = shader::params::ScanPrefix {
            blocks: call.unit(Unit::Blocks(self.layout.block)) as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(Unit::Window(self.layout.block)) as u32,
            tokens: call.tokens as u32,
        };
        Dispatch::new(&params, [(self.size / 4).div_ceil(64), 1, call.lanes.len() * self.layout.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.lanes.len() * self.layout.heads * call.unit(Unit::Blocks(self.layout.block)) * self.size) as u64
    }

    twins!();
}

impl ScanPrefix {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (l, size) = (&self.layout, self.size);
        let (states, keys, lanes) = (args.real(0), args.real(1), args.ids(2));
        let prefix = SharedMut::new(args.real_mut(3));
        let carried = (self.prefix == Prefix::Carry).then(|| SharedMut::new(args.real_mut(4)));
        let (blocks, stride) = (call.unit(Unit::Blocks(l.block)), call.unit(Unit::Window(l.block)));
        real::parallel_for(call.lanes.len() * l.heads, |task| {
            let (at, head) = (task / l.heads, task % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            if self.prefix == Prefix::Total {
                // SAFETY: every task has its own (lane, head).
                let out = unsafe { prefix.slice(task * size, size) };
                out.fill(R::ZERO);
                for l in 0..blocks {
                    let h = &states[(task * blocks + l) * size..][..size];
                    out.iter_mut().zip(h).for_each(|(z, h)| *z += *h);
                }
                return;
            }
            // SAFETY: every task has its own (lane, head), and lanes have different slots.
            let out = unsafe { prefix.slice(task * blocks * size, blocks * size) };
            let carried = carried.as_ref().map(|c| unsafe { c.slice((lane.slot * l.heads + head) * size, size) });
            match &carried {
                Some(z) if lane.position > lane.ring => out[..size].copy_from_slice(z),
                _ => out[..size].fill(R::ZERO),
            }
            let last = (lane.ring + call.tokens - 1) / l.block;
            for b in 0..last {
                let row = (task * stride + (b + 1) * l.block - 1) * l.key_width();
                let decay = gate_decay(l.gate_sum(&keys[row..row + l.key_width()]), [R::ZERO; 2]);
                let (z, next) = out[b * size..].split_at_mut(size);
                let h = &states[(task * (blocks - 1) + b) * size..][..size];
                for ((next, z), h) in next.iter_mut().zip(z).zip(h) {
                    *next = decay * *z + *h;
                }
            }
            if let Some(carried) = carried {
                carried.copy_from_slice(&out[last * size..(last + 1) * size]);
            }
        });
    }
}
