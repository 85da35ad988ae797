//! Exclusive prefix over block states.

use crate::error::Result;
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::shader::scan_prefix as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, Lane, TensorType, Unit};
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

/// `Z_0 = state, Z_{l+1} = e^{g_last(l)} Z_l + H_l`, for the queries of a block the sum over all blocks that are
/// no longer near it.
///
/// Where more than a query's own block is near, `Z_l` ends `near - 1` blocks before the queries' block, and the
/// prefix is `e^G Z_l` with G the log gates of the blocks between; the state is Z itself.
///
/// Arguments: states `[lanes, G, blocks, size]`, keys `[lanes, G, window, key_width]` (for the gates), lane
/// table, with `Resume` state `[slots, G, size]` → prefix `[lanes, G, blocks, size]`; in place with `Carry`
/// and `Keep`: state `[slots, G, size]`. `Resume` and `Keep` read the states of all blocks, the others those
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
        let keep = self.prefix == Prefix::Keep;
        let carry = keep || self.prefix == Prefix::Carry;
        let flags = shader::Flags { carry, keep, total: self.prefix == Prefix::Total };
        shader::Overrides { state: self.size, head_layout: self.layout.overrides() }.variant(flags)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            blocks: call.unit(Unit::Blocks(self.layout.block)) as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(self.layout.window()) as u32,
            tokens: call.tokens as u32,
            given: self.given(call) as u32,
            lanes: call.lanes.len() as u32,
        };
        let vectors = self.size / 4;
        let lane_heads = call.lanes.len() * self.layout.heads;
        Dispatch::once(&params, [vectors.div_ceil(shader::INVOCATIONS), 1, lane_heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.lanes.len() * self.layout.heads * call.unit(Unit::Blocks(self.layout.block)) * self.size)
            as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl ScanPrefix {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (l, size, heads) = (&self.layout, self.size, self.layout.heads);
        let shader::Args { states, keys, lanes, prefix, carried, carried_mut, .. } = args;
        let blocks = call.unit(Unit::Blocks(l.block));
        if self.prefix == Prefix::Total {
            let totals = &mut prefix[..call.lanes.len() * heads * size];
            return cpu::parallel_chunks(totals, size, |task, out| {
                out.fill(R::ZERO);
                for h in states[task * blocks * size..][..blocks * size].chunks_exact(size) {
                    out.iter_mut().zip(h).for_each(|(z, h)| *z += *h);
                }
            });
        }
        let lane_of = |task: usize| lane(lanes, call.lane_base + task / heads);
        // Lanes have different slots, none of which another one leaves its state in.
        let mut slots: Vec<Option<&mut [R]>> =
            carried_mut.into_iter().flat_map(|all| all.chunks_mut(size)).map(Some).collect();
        let carries = !slots.is_empty();
        let mut slot = |at: usize| carries.then(|| slots[at].take().expect("lanes have different slots"));
        let tasks = prefix.chunks_mut(blocks * size).take(call.lanes.len() * heads).enumerate();
        let tasks: Vec<_> = tasks
            .map(|(task, out)| {
                let at = lane_of(task).slot * heads + task % heads;
                let next =
                    if self.prefix == Prefix::Keep { slot(at + call.lanes.len() * heads) } else { None };
                (out, at, slot(at), next)
            })
            .collect();
        cpu::parallel_each(tasks, |task, (out, at, own, next)| {
            let lane = lane_of(task);
            let before = match (&own, carried) {
                // At the start of a text the state is whatever an earlier text left.
                _ if l.first_block(lane) < l.near => None,
                (Some(own), _) => Some(&**own),
                (None, carried) => carried.map(|all| &all[at * size..][..size]),
            };
            match before {
                Some(state) => out[..size].copy_from_slice(state),
                None => out[..size].fill(R::ZERO),
            }
            let last = (lane.ring + call.tokens - 1) / l.block;
            for b in 0..last {
                let (z, next) = out[b * size..].split_at_mut(size);
                self.advance(states, keys, call, lane, [task, b], &z[..size], &mut next[..size]);
            }
            let z = &out[last * size..(last + 1) * size];
            match (next, own) {
                (Some(next), _) => self.advance(states, keys, call, lane, [task, last], z, next),
                (None, Some(own)) => own.copy_from_slice(z),
                (None, None) => {}
            }
            if l.gated && l.near > 1 {
                for (b, z) in out.chunks_exact_mut(size).enumerate().take(last + 1) {
                    let decay = self.between(keys, call, lane, task, b);
                    z.iter_mut().for_each(|z| *z *= decay);
                }
            }
        });
    }

    /// The decay of the blocks between a state and the queries of block `block` of a call.
    fn between<R: Real>(&self, keys: &[R], call: &Call, lane: Lane, lane_head: usize, block: usize) -> R {
        let l = &self.layout;
        let rows = lane_head * call.unit(l.window());
        let of_text = l.first_block(lane) + block;
        let near = (block + l.lead).saturating_sub(l.near - 1)..block + l.lead;
        let inside = near.filter(|b| of_text + b >= l.lead + block);
        inside.fold(R::ONE, |decay, b| {
            let last = &keys[(rows + (b + 1) * l.block - 1) * l.key_width()..];
            decay * gate_decay(l.gate_sum(last), [R::ZERO; 2])
        })
    }

    /// Which block of a window is no longer near the block after `block` of the call; none where that lies before
    /// the text, or before the window.
    fn leaves(&self, lane: Lane, block: usize) -> Option<usize> {
        let l = &self.layout;
        let at = (block + 1 + l.lead).checked_sub(l.near)?;
        (l.first_block(lane) + at >= l.lead).then_some(at)
    }

    /// Z of the block after `block` of a (lane, head), from the one before it.
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    fn advance<R: Real>(
        &self,
        states: &[R],
        keys: &[R],
        call: &Call,
        lane: Lane,
        [lane_head, block]: [usize; 2],
        z: &[R],
        next: &mut [R],
    ) {
        let (l, stride) = (&self.layout, call.unit(self.layout.window()));
        // The block that comes to lie behind the near ones; none before the text.
        let Some(block) = self.leaves(lane, block) else { return next.copy_from_slice(z) };
        let end = ((block + 1) * l.block).min(l.window_row(lane) + call.tokens);
        let last = &keys[(lane_head * stride + end - 1) * l.key_width()..];
        let decay = gate_decay(l.gate_sum(last), [R::ZERO; 2]);
        let h = &states[(lane_head * self.given(call) + block) * self.size..][..self.size];
        for ((next, z), h) in next.iter_mut().zip(z).zip(h) {
            *next = decay * *z + *h;
        }
    }
}
