//! The last block of key rows, from call to call.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// Load: lane table, ring; in place: window. Store: lane table, window; in place: ring.
/// Ring `[slots, H, block, key_width]`, window `[lanes, H, window, key_width]`.
#[derive(Debug)]
pub struct RingCopy {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Ring to window (true) or window to ring.
    pub load: bool,
}

impl Kernel for RingCopy {
    fn stem(&self) -> &'static str {
        "ring_copy"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2 || inputs[1].shape.last() != Some(self.layout.key_width()) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs the lane table and key rows of {}", self.layout.key_width()),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        Variant::new("ring_copy", &[("LOAD", self.load)])
            .size("HEADS", l.heads)
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", l.key_width())
    }

    fn runs(&self, call: &Call) -> bool {
        !self.load || call.lanes.iter().any(|lane| lane.ring > 0)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let params = shader::ring_copy::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            window: call.unit(Unit::Window(l.block)) as u32,
        };
        Dispatch::once(&params, [(l.block * l.key_width() / 4).div_ceil(64), 1, call.lanes.len() * l.heads])
    }

    twins!();
}

impl RingCopy {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (lanes, source, target) = (args.ids(0), args.real(1), args.real_mut(2));
        let window = call.unit(Unit::Window(l.block));
        for at in 0..call.lanes.len() {
            let lane = lane(lanes, call.lane_base + at);
            let total = lane.ring + call.tokens;
            let first = (total - 1) / l.block * l.block;
            for head in 0..l.heads {
                let ring = (lane.slot * l.heads + head) * l.block * l.key_width();
                let rows = (at * l.heads + head) * window * l.key_width();
                if self.load {
                    let n = lane.ring * l.key_width();
                    target[rows..rows + n].copy_from_slice(&source[ring..ring + n]);
                } else {
                    let n = (total - first) * l.key_width();
                    let rows = rows + first * l.key_width();
                    target[ring..ring + n].copy_from_slice(&source[rows..rows + n]);
                }
            }
        }
    }
}
