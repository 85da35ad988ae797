//! The last block of key rows, from call to call.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::shader::ring_copy as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// Load: lane table, ring; in place: window. Store: lane table, window; in place: ring.
/// Ring `[slots, G, block, key_width]`, window `[lanes, G, window, key_width]`.
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
        let flags = shader::Flags { load: self.load };
        shader::Overrides { head_layout: self.layout.overrides() }.variant(flags)
    }

    fn runs(&self, call: &Call) -> bool {
        !self.load || call.lanes.iter().any(|lane| lane.ring > 0)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            window: call.unit(Unit::Window(l.block)) as u32,
        };
        let vectors = l.block * l.key_width() / 4;
        Dispatch::once(&params, [vectors.div_ceil(shader::INVOCATIONS), 1, call.lanes.len() * l.heads])
    }

    twins!(shader);
}

impl RingCopy {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { lanes, ring, keys, ring_mut, keys_mut, .. } = args;
        let (mut of_ring, mut of_window) = (ring.zip(keys_mut), keys.zip(ring_mut));
        let l = &self.layout;
        let window = call.unit(Unit::Window(l.block));
        for at in 0..call.lanes.len() {
            let lane = lane(lanes, call.lane_base + at);
            let total = lane.ring + call.tokens;
            let first = (total - 1) / l.block * l.block;
            for head in 0..l.heads {
                let ring = (lane.slot * l.heads + head) * l.block * l.key_width();
                let rows = (at * l.heads + head) * window * l.key_width();
                if let Some((from, keys)) = &mut of_ring {
                    let n = lane.ring * l.key_width();
                    keys[rows..rows + n].copy_from_slice(&from[ring..ring + n]);
                }
                if let Some((from, to)) = &mut of_window {
                    let n = (total - first) * l.key_width();
                    let rows = rows + first * l.key_width();
                    to[ring..ring + n].copy_from_slice(&from[rows..rows + n]);
                }
            }
        }
    }
}
