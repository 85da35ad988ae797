//! Block states of the scan: `H_l = Σ_j e^{g_last - g_j} φ(k_j) v̂_jᵀ`, and sums of the same form in its
//! gradient.

use crate::kernels::Gradient;

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::scan::features::{FeatureTable, Features};
use crate::kernels::tiles::row_tile::{FOLD, RowTile, STATES};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Which blocks are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// All blocks of a window but the last one, which stays in the ring.
    Finished,
    /// All blocks of a window (training, and with a full mask).
    All,
    /// All blocks, of queries and their gradient rows instead of keys: dZ of each block (training).
    Queries,
    /// A full ring, folded onto the state of its slot in place (decoding).
    Fold,
}

/// Arguments: keys (window, or the ring to fold), lane table, feature table → states
/// `[lanes, H, blocks, F (h + 1)]`, or the state `[slots, H, F (h + 1)]` in place.
/// A state is `[F, h]` (φ vᵀ) followed by `[F]` (φ, for the normaliser). The weights of the features are in
/// it.
///
/// [`States::Queries`]: queries, gradient rows (`AttentionGradRows`), feature table → `dZ_l = Σ_i e^{g_i}
/// φ(q_i) dN_iᵀ` `[lanes, H, blocks, F (h + 1)]`, without the weights: Z has them.
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
            States::All | States::Queries => touched,
            States::Fold => usize::from(call.lanes.iter().any(|l| l.ring == self.layout.block)),
        }
    }

    fn stride(&self, call: &Call) -> usize {
        match self.blocks {
            States::Fold => self.layout.block,
            States::Queries => call.tokens,
            _ => call.unit(Unit::Window(self.layout.block)),
        }
    }

    /// Columns of the rows that φ's vectors are in.
    fn width(&self) -> usize {
        if self.blocks == States::Queries { self.layout.query_width() } else { self.layout.key_width() }
    }
}

impl Kernel for ScanStates {
    fn stem(&self) -> &'static str {
        "scan_states"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        let width = self.width();
        if inputs.len() != 3
            || inputs[0].shape.last() != Some(width)
            || inputs[2].shape != shape![2 * self.features.count]
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs rows of {width} and a table of {}", 2 * self.features.count),
            ));
        }
        if self.blocks == States::Fold {
            return Ok(vec![]);
        }
        Ok(vec![TensorType::f32(shape![
            Unit::Lanes,
            l.heads,
            Unit::Blocks(l.block),
            self.features.state(l.head)
        ])])
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let flag = |name, blocks| (name, self.blocks == blocks);
        let flags = [flag("ALL", States::All), flag("FOLD", States::Fold), flag("QUERIES", States::Queries)];
        let fold = self.blocks == States::Fold;
        let blocks = if fold { 1 } else { capacity.unit(Unit::Blocks(l.block)) };
        let workgroups = |rows| capacity.lanes * l.heads * blocks * self.features.count.div_ceil(rows);
        let staged = |tile: &RowTile| tile.tile() * tile.pitch(self.features.source, false) / 4;
        let tile = RowTile::new(if fold { &FOLD } else { &STATES }, device, l.head, workgroups, staged);
        let variant = tile
            .constants(Variant::new("scan_states", &flags), staged(&tile))
            .size("PITCH", tile.pitch(self.features.source, false))
            .size("HEADS", l.heads)
            .size("HEAD", l.head)
            .size("BLOCK", l.block)
            .size("KEY_WIDTH", self.width())
            .size("S_OFFSET", self.source_offset)
            .size("V_OFFSET", l.value_offset())
            .size("GATED", usize::from(l.gated));
        self.features.constants(variant)
    }

    fn runs(&self, call: &Call) -> bool {
        self.block_count(call) > 0
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let blocks = self.block_count(call);
        let params = shader::scan_states::Params {
            blocks: blocks as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
            tokens: call.tokens as u32,
        };
        let features = variant.get("ROW_TILE");
        Dispatch::once(
            &params,
            [self.features.count.div_ceil(features), blocks, call.lanes.len() * self.layout.heads],
        )
    }

    fn flops(&self, call: &Call) -> u64 {
        let per_block = 2 * self.layout.block * self.features.state(self.layout.head);
        (call.lanes.len() * self.layout.heads * self.block_count(call) * per_block) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl ScanStates {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        if self.blocks == States::Queries {
            return self.twin_of_queries(args, call);
        }
        let l = &self.layout;
        let (keys, lanes, table) =
            (args.real(0), args.ids(1), FeatureTable::new(&self.features, args.ids(2)));
        let states = SharedMut::new(args.real_mut(3));
        let (blocks, stride, size) = (self.block_count(call), self.stride(call), self.features.state(l.head));
        cpu::parallel_for(call.lanes.len() * l.heads * blocks, |task| {
            let (at, head, block) = (task / (l.heads * blocks), task / blocks % l.heads, task % blocks);
            let lane = lane(lanes, call.lane_base + at);
            let end = lane.ring + call.tokens;
            let (first, rows, out) = match self.blocks {
                States::Fold if lane.ring != l.block => return,
                States::Fold => {
                    ((lane.slot * l.heads + head) * stride, l.block, (lane.slot * l.heads + head) * size)
                }
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
            let last = l.gate_sum(&keys[(rows - 1) * l.key_width()..]);
            let block = Block {
                vectors: &keys[self.source_offset..],
                scale: |j: usize| gate_decay(last, l.gate_sum(&keys[j * l.key_width()..])),
                values: Mat::strided(&keys[l.value_offset()..], rows, l.head, l.key_width()),
                total: |_: usize| R::ONE,
            };
            self.add_block(&table, block, out, self.blocks == States::Fold);
        });
    }

    fn twin_of_queries<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (queries, drows, table) =
            (args.real(0), args.real(1), FeatureTable::new(&self.features, args.ids(2)));
        let states = SharedMut::new(args.real_mut(3));
        let (blocks, size, width) = (self.block_count(call), self.features.state(l.head), l.gradient_width());
        cpu::parallel_for(call.lanes.len() * l.heads * blocks, |task| {
            let (lane_head, block) = (task / blocks, task % blocks);
            let first = lane_head * call.tokens + block * l.block;
            let rows = l.block.min(call.tokens - block * l.block);
            let drows = &drows[first * width..(first + rows) * width];
            // SAFETY: every task has its own state.
            let out = unsafe { states.slice(task * size, size) };
            let block = Block {
                vectors: &queries[first * l.query_width() + self.source_offset..],
                scale: |i: usize| {
                    gate_decay([drows[i * width + l.head + 2], drows[i * width + l.head + 3]], [R::ZERO; 2])
                },
                values: Mat::strided(drows, rows, l.head, width),
                total: |i: usize| drows[i * width + l.head],
            };
            self.add_block(&table, block, out, false);
        });
    }

    /// `out (+)= Σ_j scale_j φ(row j) [values_j | total_j]ᵀ` over the rows of one block.
    fn add_block<R: Real, S: Fn(usize) -> R, T: Fn(usize) -> R>(
        &self,
        table: &FeatureTable,
        block: Block<'_, R, S, T>,
        out: &mut [R],
        accumulate: bool,
    ) {
        const TILE: usize = 128; // features at a time: a tile of φ stays in the first cache
        let (l, f, rows) = (&self.layout, &self.features, block.values.rows);
        let (sums, totals) = out.split_at_mut(f.count * l.head);
        cpu::with_scratch((f.source + TILE + 2) * rows, |scratch: &mut [R]| {
            let (columns, rest) = scratch.split_at_mut(f.source * rows);
            let (scale, rest) = rest.split_at_mut(rows);
            let (total, phi) = rest.split_at_mut(rows);
            table.columns(block.vectors, self.width(), rows, columns);
            scale.iter_mut().enumerate().for_each(|(j, s)| *s = (block.scale)(j));
            total.iter_mut().enumerate().for_each(|(j, t)| *t = (block.total)(j));
            for start in (0..f.count).step_by(TILE) {
                let n = TILE.min(f.count - start);
                let phi = &mut phi[..n * rows];
                cpu::vectorized(
                    #[inline(always)]
                    || {
                        table.tile(columns, rows, start, n, l.gated.then_some(&*scale), phi);
                        // Z has the weights of keys, so that its gradient by them has none.
                        if self.blocks != States::Queries {
                            for (i, phi) in phi.chunks_exact_mut(rows).enumerate() {
                                let weight = R::from_f32(table.weight(start + i));
                                phi.iter_mut().for_each(|p| *p *= weight);
                            }
                        }
                    },
                );
                for (out, phi) in totals[start..].iter_mut().zip(phi.chunks_exact(rows)) {
                    let sum = cpu::dot(phi, total);
                    *out = if accumulate { *out + sum } else { sum };
                }
                let target = MatMut::new(&mut sums[start * l.head..(start + n) * l.head], n, l.head);
                cpu::matmul(target, Mat::new(phi, n, rows), block.values, accumulate);
            }
        });
    }
}

/// The rows of one block that go into a state.
struct Block<'a, R, S, T> {
    /// φ's vector of the first row; the others follow as the rows do.
    vectors: &'a [R],
    /// Factor of each row, where there is a gate.
    scale: S,
    /// `[rows, h]`
    values: Mat<'a, R>,
    /// What each row adds to the normaliser.
    total: T,
}
