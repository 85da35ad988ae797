//! Inclusive suffix over the gradients of the states before blocks.

use crate::error::Result;
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::shader::scan_suffix as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// dH from dZ: `dH_last = carry`, `dH_{l-1} = dZ_l + e^{g_last(l)} dH_l`; what comes before the first block
/// is the new carry, the gradient of the state that the call resumed from.
///
/// Where more than a query's own block is near, a state is first read `near - 1` blocks later than it ends, behind
/// their decay: `dH_{l-near} = e^G dZ_l + e^{g_last} dH_{l-near+1}`.
///
/// Arguments: dprefix `[lanes, G, blocks, size]`, keys `[lanes, G, window, key_width]` (for the gates) →
/// dstates `[lanes, G, blocks, size]`; in place: carry `[lanes, G, size]`.
#[derive(Debug)]
pub struct ScanSuffix {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Numbers of a state.
    pub size: usize,
}

impl Kernel for ScanSuffix {
    fn stem(&self) -> &'static str {
        "scan_suffix"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if !inputs.iter().map(|t| t.shape.last()).eq([Some(self.size), Some(l.key_width())]) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs states of {} and key rows of {}", self.size, l.key_width()),
            ));
        }
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Blocks(l.block), self.size])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { state: self.size, head_layout: self.layout.overrides() }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let params = shader::Params {
            blocks: call.unit(Unit::Blocks(l.block)) as u32,
            stride: call.unit(l.window()) as u32,
            tokens: call.tokens as u32,
        };
        let vectors = self.size / 4;
        Dispatch::once(&params, [vectors.div_ceil(shader::INVOCATIONS), 1, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.lanes.len() * self.layout.heads * call.unit(Unit::Blocks(self.layout.block)) * self.size)
            as u64
    }

    twins!(shader);
}

impl ScanSuffix {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Numbers of one task: enough to be worth it.
        const PART: usize = 4096;
        let (l, size) = (&self.layout, self.size);
        let shader::Args { dprefix, keys, dstates, carry, .. } = args;
        let (blocks, stride) = (call.unit(Unit::Blocks(l.block)), call.unit(l.window()));
        // A task has a part of the carry of a (lane, head), and the same part of the state of each block.
        let mut tasks = Vec::new();
        let of_lane_head = carry.chunks_mut(size).zip(dstates.chunks_mut(blocks * size));
        for (lane_head, (carry, dstates)) in of_lane_head.take(call.lanes.len() * l.heads).enumerate() {
            let parts = carry.chunks_mut(PART).enumerate();
            let mut parts: Vec<_> = parts
                .map(|(part, carry)| (lane_head, part * PART, carry, Vec::with_capacity(blocks)))
                .collect();
            for state in dstates.chunks_mut(size) {
                parts.iter_mut().zip(state.chunks_mut(PART)).for_each(|(task, state)| task.3.push(state));
            }
            tasks.append(&mut parts);
        }
        cpu::parallel_each(tasks, |_, (lane_head, start, t, dstates)| {
            let decay_of = |block: usize| {
                let end = ((block + 1) * l.block).min(call.tokens);
                let last = &keys[(lane_head * stride + end - 1) * l.key_width()..];
                gate_decay(l.gate_sum(last), [R::ZERO; 2])
            };
            for (block, dstate) in dstates.into_iter().enumerate().rev() {
                dstate.copy_from_slice(t);
                // The queries that are the first to read the state before this block.
                let readers = block + l.near - 1;
                let decay = decay_of(block);
                if readers >= blocks {
                    t.iter_mut().for_each(|t| *t *= decay);
                    continue;
                }
                let between = (block..readers).fold(R::ONE, |all, block| all * decay_of(block));
                let dz = &dprefix[(lane_head * blocks + readers) * size + start..][..t.len()];
                t.iter_mut().zip(dz).for_each(|(t, dz)| *t = between * *dz + decay * *t);
            }
        });
    }
}
