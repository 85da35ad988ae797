//! Inclusive suffix over the gradients of the states before blocks.

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// dH from dZ: `dH_last = carry`, `dH_{l-1} = dZ_l + e^{g_last(l)} dH_l`; what comes before the first block
/// is the new carry, the gradient of the state that the call resumed from.
///
/// Arguments: dprefix `[lanes, H, blocks, size]`, keys `[lanes, H, window, key_width]` (for the gates) →
/// dstates `[lanes, H, blocks, size]`; in place: carry `[lanes, H, size]`.
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
        let l = &self.layout;
        Variant::new("scan_suffix", &[])
            .size("STATE", self.size)
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", l.key_width())
            .size("G_OFFSET", l.sum_offset())
            .size("GATED", usize::from(l.gated))
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let params = shader::scan_suffix::Params {
            blocks: call.unit(Unit::Blocks(l.block)) as u32,
            stride: call.unit(Unit::Window(l.block)) as u32,
            tokens: call.tokens as u32,
        };
        Dispatch::once(&params, [(self.size / 4).div_ceil(64), 1, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.lanes.len() * self.layout.heads * call.unit(Unit::Blocks(self.layout.block)) * self.size)
            as u64
    }

    twins!();
}

impl ScanSuffix {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        /// Numbers of one task: enough to be worth it.
        const PART: usize = 4096;
        let (l, size) = (&self.layout, self.size);
        let (dprefix, keys) = (args.real(0), args.real(1));
        let (dstates, carry) = (SharedMut::new(args.real_mut(2)), SharedMut::new(args.real_mut(3)));
        let (blocks, stride, parts) =
            (call.unit(Unit::Blocks(l.block)), call.unit(Unit::Window(l.block)), size.div_ceil(PART));
        cpu::parallel_for(call.lanes.len() * l.heads * parts, |task| {
            let (lane_head, start) = (task / parts, task % parts * PART);
            let n = PART.min(size - start);
            // SAFETY: every task has its own numbers of its own (lane, head).
            let t = unsafe { carry.slice(lane_head * size + start, n) };
            for block in (0..blocks).rev() {
                let at = (lane_head * blocks + block) * size + start;
                // SAFETY: as above.
                unsafe { dstates.slice(at, n) }.copy_from_slice(t);
                let end = ((block + 1) * l.block).min(call.tokens);
                let decay = gate_decay(
                    l.gate_sum(&keys[(lane_head * stride + end - 1) * l.key_width()..]),
                    [R::ZERO; 2],
                );
                t.iter_mut().zip(&dprefix[at..at + n]).for_each(|(t, dz)| *t = *dz + decay * *t);
            }
        });
    }
}
