//! Exclusive prefix over block states.

use crate::kernels::Gradient;

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// What the prefix starts from and what becomes of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Starts from the state of the slot and leaves the new state there.
    Carry,
    /// Training: starts from the state of the slot, which stays as it is.
    Resume,
    /// Starts from the state of the slot and leaves the one after all blocks of the call as many slots
    /// further on as the call has lanes: with segment s of lane a in slot `s * lanes + a`, every boundary
    /// state of a text remains.
    Keep,
    /// With a full mask: one total over all blocks instead of a prefix.
    Total,
}

/// `Z_0 = state, Z_{l+1} = e^{g_last(l)} Z_l + H_l`.
///
/// Arguments: states `[lanes, H, blocks, size]`, keys `[lanes, H, window, key_width]` (for the gates), lane
/// table, with `Resume` state `[slots, H, size]` → prefix `[lanes, H, blocks, size]`; in place with `Carry`
/// and `Keep`: state `[slots, H, size]`. `Resume` and `Keep` read the states of all blocks, the others those
/// of finished ones.
#[derive(Debug)]
pub struct ScanPrefix {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Numbers of a state.
    pub size: usize,
    /// Start and end.
    pub prefix: Prefix,
}

impl ScanPrefix {
    /// Blocks of a lane whose states are given.
    fn given(&self, call: &Call) -> usize {
        call.unit(Unit::Blocks(self.layout.block)) - usize::from(self.prefix == Prefix::Carry)
    }
}

impl Kernel for ScanPrefix {
    fn stem(&self) -> &'static str {
        "scan_prefix"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 3 + usize::from(self.prefix == Prefix::Resume)
            || inputs[0].shape.last() != Some(self.size)
        {
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
        let carried = matches!(self.prefix, Prefix::Carry | Prefix::Keep);
        Variant::new(
            "scan_prefix",
            &[
                ("CARRY", carried),
                ("KEEP", self.prefix == Prefix::Keep),
                ("TOTAL", self.prefix == Prefix::Total),
            ],
        )
        .size("HEADS", l.heads)
        .size("STATE", self.size)
        .size("BLOCK", l.block)
        .size("KEY_WIDTH", l.key_width())
        .size("G_OFFSET", l.sum_offset())
        .size("GATED", usize::from(l.gated))
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::scan_prefix::Params {
            blocks: call.unit(Unit::Blocks(self.layout.block)) as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(Unit::Window(self.layout.block)) as u32,
            tokens: call.tokens as u32,
            given: self.given(call) as u32,
            lanes: call.lanes.len() as u32,
        };
        Dispatch::once(&params, [(self.size / 4).div_ceil(64), 1, call.lanes.len() * self.layout.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.lanes.len() * self.layout.heads * call.unit(Unit::Blocks(self.layout.block)) * self.size)
            as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl ScanPrefix {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (l, size) = (&self.layout, self.size);
        let (states, keys, lanes) = (args.real(0), args.real(1), args.ids(2));
        let state: &[R] = if self.prefix == Prefix::Resume { args.real(3) } else { &[] };
        let prefix = SharedMut::new(args.real_mut(3 + usize::from(self.prefix == Prefix::Resume)));
        let carried =
            matches!(self.prefix, Prefix::Carry | Prefix::Keep).then(|| SharedMut::new(args.real_mut(4)));
        let (blocks, stride) = (call.unit(Unit::Blocks(l.block)), call.unit(Unit::Window(l.block)));
        let given = self.given(call);
        cpu::parallel_for(call.lanes.len() * l.heads, |task| {
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
            let slot = (lane.slot * l.heads + head) * size;
            // SAFETY: every task has its own (lane, head), and lanes have different slots, none of which
            // another one leaves its state in.
            let out = unsafe { prefix.slice(task * blocks * size, blocks * size) };
            match &carried {
                // At the start of a text the state is whatever an earlier text left.
                _ if lane.position <= lane.ring => out[..size].fill(R::ZERO),
                // SAFETY: as above.
                Some(carried) => out[..size].copy_from_slice(unsafe { carried.slice(slot, size) }),
                None => out[..size].copy_from_slice(&state[slot..slot + size]),
            }
            // Z of the block after `b`, in `next`.
            let advance = |b: usize, z: &[R], next: &mut [R]| {
                let end = ((b + 1) * l.block).min(lane.ring + call.tokens);
                let decay =
                    gate_decay(l.gate_sum(&keys[(task * stride + end - 1) * l.key_width()..]), [R::ZERO; 2]);
                let h = &states[(task * given + b) * size..][..size];
                for ((next, z), h) in next.iter_mut().zip(z).zip(h) {
                    *next = decay * *z + *h;
                }
            };
            let last = (lane.ring + call.tokens - 1) / l.block;
            for b in 0..last {
                let (z, next) = out[b * size..].split_at_mut(size);
                advance(b, &z[..size], &mut next[..size]);
            }
            let z = &out[last * size..(last + 1) * size];
            if let Some(carried) = carried.as_ref() {
                // SAFETY: as above.
                match self.prefix {
                    Prefix::Keep => advance(last, z, unsafe {
                        carried.slice(slot + call.lanes.len() * l.heads * size, size)
                    }),
                    _ => unsafe { carried.slice(slot, size) }.copy_from_slice(z),
                }
            }
        });
    }
}
