//! Block states of the scan: `H_l = Σ_j e^{g_last - g_j} φ(k_j) v̂_jᵀ`, and sums of the same form in its
//! gradient.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::scan::features::{FeatureTable, Features};
use crate::kernels::shader::scan_states as shader;
use crate::kernels::shader::shared::{CooperativeTile, MatrixTile};
use crate::kernels::tiles::mixed;
use crate::kernels::tiles::row_tile::{FOLD, STATES, parts, rows};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, Views, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Which blocks are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// The blocks of a window that leave the ring in this call.
    Finished,
    /// All blocks of a window (training, and with a full mask).
    All,
    /// All blocks, of queries and their gradient rows instead of keys: dZ of each block (training).
    Queries,
    /// The block of a ring that the next token's is to replace, folded onto the state of its slot in place
    /// (decoding).
    Fold,
}

/// Arguments: keys (window, or the ring to fold), lane table, feature table → states
/// `[lanes, G, blocks, F (h + 1)]`, or the state `[slots, G, F (h + 1)]` in place.
/// A state is `[F, h]` (φ vᵀ) followed by `[F]` (φ, for the normaliser). The scales of the features are in
/// it.
///
/// [`States::Queries`]: queries, gradient rows (`AttentionGradRows`), feature table → `dZ_l = Σ_i e^{g_i}
/// φ(q_i) dN_iᵀ` `[lanes, G, blocks, F (h + 1)]`, without the scales: Z has them.
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
            States::Fold => self.layout.ring_rows(),
            States::Queries => call.tokens * self.layout.group,
            _ => call.unit(self.layout.window()),
        }
    }

    /// Columns of the rows that φ's vectors are in.
    fn width(&self) -> usize {
        if self.blocks == States::Queries { self.layout.query_width() } else { self.layout.key_width() }
    }

    fn overrides(&self, tile: MatrixTile, patches: Option<CooperativeTile>) -> shader::Overrides {
        shader::Overrides {
            cooperative_tile: patches,
            width: self.width(),
            head_layout: self.layout.overrides(),
            matrix_tile: tile,
            features: self.features.overrides(self.source_offset),
        }
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
        let is = |blocks| self.blocks == blocks;
        let (all, fold, queries) = (is(States::All), is(States::Fold), is(States::Queries));
        let flags = shader::Flags { all, fold, queries, ..shader::Flags::default() };
        let blocks = if flags.fold { 1 } else { capacity.unit(Unit::Blocks(l.block)) };
        let lanes = capacity.lanes;
        let workgroups =
            |rows| lanes.saturating_mul(l.heads * self.features.count.div_ceil(rows)).saturating_mul(blocks);
        let wish = if flags.fold { &FOLD } else { &STATES };
        let bytes = |tile| self.overrides(tile, None).workgroup_bytes(flags);
        let tile = wish.row_tile(device, l.head, workgroups, bytes);
        let of = |side| shader::Flags { mixed: true, side8: side == 8, side16: side == 16, ..flags };
        let bytes = |tile, cut| self.overrides(tile, Some(cut)).workgroup_bytes(of(8));
        // Gradients may be smaller than halves hold, and one block of a decoding step is no work.
        let mixed = if fold || queries { None } else { mixed::row_tile(device, tile, bytes) };
        match mixed {
            Some((tile, patches, side)) => self.overrides(tile, Some(patches)).variant(of(side)),
            None => self.overrides(tile, None).variant(flags),
        }
    }

    fn runs(&self, call: &Call) -> bool {
        self.block_count(call) > 0
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let (blocks, tile) = (self.block_count(call), shader::Overrides::of(variant).matrix_tile);
        let parts = parts(&tile, self.layout.head);
        let params = shader::Params {
            blocks: blocks as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
            tokens: call.tokens as u32,
            parts: parts as u32,
        };
        let tiles = self.features.count.div_ceil(rows(&tile));
        Dispatch::once(&params, [tiles * parts, blocks, call.lanes.len() * self.layout.heads])
    }

    fn magnitudes(&self, views: &mut Views<'_, f64>, call: &Call) {
        let l = &self.layout;
        let args = shader::Args::bind(views);
        let mut keys = args.keys.to_vec();
        let columns = [(self.source_offset, self.features.source), (l.value_offset(), l.head)];
        for row in keys.chunks_exact_mut(l.key_width()) {
            for (first, count) in columns {
                row[first..first + count].iter_mut().for_each(|x| *x = x.abs());
            }
        }
        args.states.fill(0.0);
        self.twin(shader::Args { keys: &keys, states: &mut *args.states, ..args }, call);
        // Totals are summed in f32.
        for state in args.states.chunks_exact_mut(self.features.state(l.head)) {
            state[self.features.count * l.head..].fill(0.0);
        }
    }

    fn flops(&self, call: &Call) -> u64 {
        let rows = if self.blocks == States::Queries { self.layout.group } else { 1 };
        let per_block = 2 * rows * self.layout.block * self.features.state(self.layout.head);
        (call.lanes.len() * self.layout.heads * self.block_count(call) * per_block) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl ScanStates {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { keys, drows, lanes, table, states, .. } = args;
        let table = FeatureTable::new(&self.features, table);
        let size = self.features.state(self.layout.head);
        let tasks = call.lanes.len() * self.layout.heads * self.block_count(call);
        match (drows, lanes) {
            (Some(drows), _) => cpu::parallel_chunks(&mut states[..tasks * size], size, |task, out| {
                self.of_queries(&table, keys, drows, call, task, out);
            }),
            (_, Some(lanes)) if self.blocks == States::Fold => {
                let slots = call.lanes.iter().map(|lane| lane.slot + 1).max().unwrap_or(0);
                let states = &mut states[..slots * self.layout.heads * size];
                cpu::parallel_chunks(states, size, |slot_head, out| {
                    self.fold(&table, keys, lanes, call, slot_head, out);
                });
            }
            (_, lanes) => cpu::parallel_chunks(&mut states[..tasks * size], size, |task, out| {
                self.of_keys(&table, keys, lanes.expect("the table of lanes"), call, task, out);
            }),
        }
    }

    /// Task `(lane, head, block)`, the sum over a block of a window.
    fn of_keys<R: Real>(
        &self,
        table: &FeatureTable<'_>,
        keys: &[R],
        lanes: &[u32],
        call: &Call,
        task: usize,
        out: &mut [R],
    ) {
        let (l, blocks) = (&self.layout, self.block_count(call));
        let (lane_head, block) = (task / blocks, task % blocks);
        let lane = lane(lanes, call.lane_base + lane_head / l.heads);
        // Of the window's blocks, the first ones may lie before the text.
        let (first, end) = (block * l.block, l.window_row(lane) + call.tokens);
        let left_out = if self.blocks == States::Finished {
            first + (l.lead + 1) * l.block >= end || l.first_block(lane) + block < l.lead
        } else {
            first >= end
        };
        let sinks = if l.first_block(lane) + block == l.lead { l.sinks } else { 0 };
        if !left_out {
            let rows = l.block.min(end - first);
            let first = lane_head * self.stride(call) + first;
            let keys = &keys[first * l.key_width()..(first + rows) * l.key_width()];
            self.add_keys(table, keys, sinks, out, false);
        }
    }

    /// Task `(slot, head)`: the oldest block of a ring onto the state of its slot, if a lane of the call has filled
    /// the ring's newest.
    fn fold<R: Real>(
        &self,
        table: &FeatureTable<'_>,
        rings: &[R],
        lanes: &[u32],
        call: &Call,
        slot_head: usize,
        out: &mut [R],
    ) {
        let l = &self.layout;
        let mut of_call = (0..call.lanes.len()).map(|at| lane(lanes, call.lane_base + at));
        let Some(lane) = of_call.find(|lane| lane.slot == slot_head / l.heads && lane.ring == l.block) else {
            return;
        };
        // The block that takes the place of the oldest one.
        let Some(oldest) = (l.first_block(lane) + 1).checked_sub(l.near) else { return };
        let first = slot_head * l.ring_rows() + l.ring_row(oldest * l.block);
        let ring = &rings[first * l.key_width()..][..l.block * l.key_width()];
        let decay = gate_decay(l.gate_sum(&ring[(l.block - 1) * l.key_width()..]), [R::ZERO; 2]);
        // The first block of a text replaces what an earlier text left.
        out.iter_mut().for_each(|z| *z = if oldest > 0 { *z * decay } else { R::ZERO });
        self.add_keys(table, ring, if oldest > 0 { 0 } else { l.sinks }, out, true);
    }

    /// `out (+)= Σ_j e^{g_last - g_j} φ(k_j) v̂_jᵀ` over key rows but the first `left_out`.
    fn add_keys<R: Real>(
        &self,
        table: &FeatureTable<'_>,
        keys: &[R],
        left_out: usize,
        out: &mut [R],
        accumulate: bool,
    ) {
        let l = &self.layout;
        let rows = keys.len() / l.key_width();
        let last = l.gate_sum(&keys[(rows - 1) * l.key_width()..]);
        // A text that ends within its sinks.
        let (keys, rows) = (&keys[left_out.min(rows) * l.key_width()..], rows.saturating_sub(left_out));
        if rows == 0 {
            if !accumulate {
                out.fill(R::ZERO);
            }
            return;
        }
        let block = Block {
            vectors: &keys[self.source_offset..],
            scale: |j: usize| gate_decay(last, l.gate_sum(&keys[j * l.key_width()..])),
            values: Mat::strided(&keys[l.value_offset()..], rows, l.head, l.key_width()),
            total: |_: usize| R::ONE,
        };
        self.add_block(table, block, out, accumulate);
    }

    /// Task `(lane, head, block)` of [`States::Queries`].
    fn of_queries<R: Real>(
        &self,
        table: &FeatureTable<'_>,
        queries: &[R],
        drows: &[R],
        call: &Call,
        task: usize,
        out: &mut [R],
    ) {
        let (l, blocks, width) = (&self.layout, self.block_count(call), self.layout.gradient_width());
        let (lane_head, block) = (task / blocks, task % blocks);
        let first = (lane_head * call.tokens + block * l.block) * l.group;
        let rows = l.block.min(call.tokens - block * l.block) * l.group;
        let drows = &drows[first * width..(first + rows) * width];
        let block = Block {
            vectors: &queries[first * l.query_width() + self.source_offset..],
            scale: |i: usize| {
                gate_decay([drows[i * width + l.head + 2], drows[i * width + l.head + 3]], [R::ZERO; 2])
            },
            values: Mat::strided(drows, rows, l.head, width),
            total: |i: usize| drows[i * width + l.head],
        };
        self.add_block(table, block, out, false);
    }

    /// `out (+)= Σ_j scale_j φ(row j) [values_j | total_j]ᵀ` over the rows of one block.
    fn add_block<R: Real, S: Fn(usize) -> R, T: Fn(usize) -> R>(
        &self,
        table: &FeatureTable<'_>,
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
                        // Z has the scales of keys, so that its gradient by them has none.
                        if self.blocks != States::Queries {
                            for (i, phi) in phi.chunks_exact_mut(rows).enumerate() {
                                let scale = R::from_f32(table.key_scale(start + i));
                                phi.iter_mut().for_each(|p| *p *= scale);
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
