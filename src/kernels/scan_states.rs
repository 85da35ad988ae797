//! Block states of the scan: `H_l = Σ_j e^{g_last - g_j} φ(k_j) v̂_jᵀ`.

use super::heads::{FeatureTable, Features, HeadLayout, gate_decay, lane};
use super::real::{Mat, MatMut, SharedMut};
use super::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, real, shader, shape_error};
use crate::error::Result;
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Which blocks are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// All blocks of a window but the last one, which stays in the ring.
    Finished,
    /// All blocks of a window (not causal).
    All,
    /// A full ring, folded onto the state of its slot in place (decoding).
    Fold,
}

/// Arguments: keys (window, or the ring to fold), lane table, feature table → states
/// `[lanes, H, blocks, F (h + 1)]`, or the state `[slots, H, F (h + 1)]` in place.
/// A state is `[F, h]` (φ vᵀ) followed by `[F]` (φ, for the normaliser).
#[derive(Debug)]
pub struct ScanStates {
    /// Row layouts.
    pub layout: HeadLayout,
    /// φ.
    pub features: Features,
    /// Column of φ's vector in a key row.
    pub source_offset: usize,
    /// Which blocks.
    pub blocks: States,
}

impl ScanStates {
    fn block_count(&self, call: &Call) -> usize {
        let touched = call.unit(Unit::Blocks(self.layout.block));
        match self.blocks {
            States::Finished => touched - 1,
            States::All => touched,
            States::Fold => usize::from(call.lanes.iter().any(|l| l.ring == self.layout.block)),
        }
    }

    fn stride(&self, call: &Call) -> usize {
        if self.blocks == States::Fold { self.layout.block } else { call.unit(Unit::Window(self.layout.block)) }
    }
}

impl Kernel for ScanStates {
    fn stem(&self) -> &'static str {
        "scan_states"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != 3 || inputs[0].shape.last() != Some(l.key_width()) || inputs[2].shape != shape![2 * self.features.count] {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs key rows of {} and a table of {}", l.key_width(), 2 * self.features.count),
            ));
        }
        if self.blocks == States::Fold {
            return Ok(vec![]);
        }
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Blocks(l.block), self.features.state(l.head)])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        let variant = Variant::new("scan_states", &[("ALL", self.blocks == States::All), ("FOLD", self.blocks == States::Fold)])
            .size("HEADS", l.heads)
            .size("HEAD", l.head)
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", l.key_width())
            .size("S_OFFSET", self.source_offset)
            .size("V_OFFSET", l.value_offset())
            .size("GATED", usize::from(l.gated))
            .size("STAGED", 16 * self.features.source)
            .size("ITEMS", (32 * l.head / 4).div_ceil(128));
        self.features.constants(variant)
    }

    fn dispatch(&self, _: &Variant, call: &Call) -> Dispatch {
        let blocks = self.block_count(call);
        let params = shader::params::ScanStates {
            blocks: blocks as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
            tokens: call.tokens as u32,
        };
        Dispatch::new(&params, [self.features.count.div_ceil(32), blocks, call.lanes.len() * self.layout.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        let per_block = 2 * self.layout.block * self.features.state(self.layout.head);
        (call.lanes.len() * self.layout.heads * self.block_count(call) * per_block) as u64
    }

    twins!();
}

impl ScanStates {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (keys, lanes, table) = (args.real(0), args.ids(1), FeatureTable::new(&self.features, args.ids(2)));
        let states = SharedMut::new(args.real_mut(3));
        let (blocks, stride, size) = (self.block_count(call), self.stride(call), self.features.state(l.head));
        real::parallel_for(call.lanes.len() * l.heads * blocks, |task| {
            let (at, head, block) = (task / (l.heads * blocks), task / blocks % l.heads, task % blocks);
            let lane = lane(lanes, call.lane_base + at);
            let end = lane.ring + call.tokens;
            let (first, rows, out) = match self.blocks {
                States::Fold if lane.ring != l.block => return,
                States::Fold => ((lane.slot * l.heads + head) * stride, l.block, (lane.slot * l.heads + head) * size),
                States::Finished if (block + 1) * l.block >= end => return,
                States::All if block * l.block >= end => return,
                _ => {
                    let first = (at * l.heads + head) * stride + block * l.block;
                    (first, l.block.min(end - block * l.block), task * size)
                }
            };
            // SAFETY: every task has its own state; slots of lanes differ.
            let out = unsafe { states.slice(out, size) };
            let keys = &keys[first * l.key_width()..(first + rows) * l.key_width()];
            if self.blocks == States::Fold {
                let decay = gate_decay(l.gate_sum(&keys[(rows - 1) * l.key_width()..]), [R::ZERO; 2]);
                // The first block of a text replaces what an earlier text left.
                out.iter_mut().for_each(|z| *z = if lane.position > l.block { *z * decay } else { R::ZERO });
            }
            self.add_block(&table, keys, rows, out, self.blocks == States::Fold);
        });
    }

    /// `out (+)= Σ_j e^{g_last - g_j} φ(k_j) v̂_jᵀ` over the `rows` of one block.
    fn add_block<R: Real>(&self, table: &FeatureTable, keys: &[R], rows: usize, out: &mut [R], accumulate: bool) {
        const TILE: usize = 128; // features at a time: a tile of φ stays in the first cache
        let (l, f) = (&self.layout, &self.features);
        let width = l.key_width();
        let last = l.gate_sum(&keys[(rows - 1) * width..]);
        let (sums, totals) = out.split_at_mut(f.count * l.head);
        real::with_scratch((f.source + TILE + 1) * rows, |scratch: &mut [R]| {
            let (columns, rest) = scratch.split_at_mut(f.source * rows);
            let (decay, phi) = rest.split_at_mut(rows);
            for (j, key) in keys.chunks_exact(width).enumerate() {
                for c in 0..f.source {
                    columns[c * rows + j] = key[self.source_offset + c];
                }
                decay[j] = gate_decay(last, l.gate_sum(key));
            }
            let values = &keys[l.value_offset()..];
            for start in (0..f.count).step_by(TILE) {
                let n = TILE.min(f.count - start);
                let phi = &mut phi[..n * rows];
                real::vectorized(
                    #[inline(always)]
                    || {
                        table.tile(columns, rows, start, n, l.gated.then_some(&*decay), phi);
                        for i in 0..n {
                            let weight = R::from_f32(table.weight(start + i));
                            let mut total = R::ZERO;
                            for p in &mut phi[i * rows..(i + 1) * rows] {
                                *p *= weight;
                                total += *p;
                            }
                            let total_out = &mut totals[start + i];
                            *total_out = if accumulate { *total_out + total } else { total };
                        }
                    },
                );
                let target = MatMut::new(&mut sums[start * l.head..(start + n) * l.head], n, l.head);
                real::matmul(target, Mat::new(phi, n, rows), Mat::strided(values, rows, l.head, width), accumulate);
            }
        });
    }
}
