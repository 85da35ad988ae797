//! The last blocks of key rows, and the sinks, from call to call.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::shader::ring_copy as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, Lane, TensorType};
use crate::twins;

/// Load: lane table, ring; in place: window. Store: lane table, window; in place: ring.
/// Ring `[slots, G, ring rows, key_width]`, window `[lanes, G, window, key_width]`.
///
/// A ring holds a block at its number modulo [`HeadLayout::near`], so that what stays is not moved; a window
/// holds blocks in order. The sinks lie at the end of either; those of a window that begins with the text are in
/// its blocks.
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
        !self.load
            || call.lanes.iter().any(|lane| lane.position > 0 && (lane.ring > 0 || self.layout.lead > 0))
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            window: call.unit(l.window()) as u32,
        };
        let vectors = l.ring_rows() * l.key_width() / 4;
        Dispatch::once(&params, [vectors.div_ceil(shader::INVOCATIONS), 1, call.lanes.len() * l.heads])
    }

    twins!(shader);
}

impl RingCopy {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { lanes, ring, keys, ring_mut, keys_mut, .. } = args;
        let (mut of_ring, mut of_window) = (ring.zip(keys_mut), keys.zip(ring_mut));
        let l = &self.layout;
        let window = call.unit(l.window());
        for at in 0..call.lanes.len() {
            let lane = lane(lanes, call.lane_base + at);
            for head in 0..l.heads {
                let ring = (lane.slot * l.heads + head) * l.ring_rows();
                let rows = (at * l.heads + head) * window;
                let row_of = |row: usize| row * l.key_width()..(row + 1) * l.key_width();
                if let Some((from, keys)) = &mut of_ring {
                    for (row, place) in self.loaded(lane, window) {
                        keys[row_of(rows + row)].copy_from_slice(&from[row_of(ring + place)]);
                    }
                }
                if let Some((from, to)) = &mut of_window {
                    for (row, place) in self.stored(lane, call.tokens) {
                        to[row_of(ring + place)].copy_from_slice(&from[row_of(rows + row)]);
                    }
                }
            }
        }
    }

    /// Rows of a lane's window and of its ring: what a call finds.
    fn loaded(&self, lane: Lane, window: usize) -> impl Iterator<Item = (usize, usize)> {
        let l = self.layout.clone();
        // A window that begins with the text has its sinks in its blocks.
        let sinks = if l.first_block(lane) > l.lead { 0..l.sinks } else { 0..0 };
        let sinks = sinks.map({
            let l = l.clone();
            move |i| (window - l.sinks + i, l.near * l.block + i)
        });
        let base = l.window_row(lane);
        // Not those before the text.
        let rows = base.saturating_sub(lane.position)..base;
        rows.map(move |row| (row, l.ring_row(lane.position + row - base))).chain(sinks)
    }

    /// The same of what a call leaves: those of its tokens that stay near, and those that are sinks.
    fn stored(&self, lane: Lane, tokens: usize) -> impl Iterator<Item = (usize, usize)> {
        let l = self.layout.clone();
        let end = lane.position + tokens;
        let oldest = ((end - 1) / l.block + 1).saturating_sub(l.near) * l.block;
        let sinks = (lane.position..end.min(l.sinks)).map({
            let l = l.clone();
            move |at| (l.window_row(lane) + at - lane.position, l.near * l.block + at)
        });
        let base = l.window_row(lane);
        let near = lane.position.max(oldest)..end;
        near.map(move |at| (base + at - lane.position, l.ring_row(at))).chain(sinks)
    }
}
