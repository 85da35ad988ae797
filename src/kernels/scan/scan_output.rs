//! Outputs of the scan: the local block exactly, everything before it through the state.

use crate::kernels::Gradient;

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::heads::gate_sum::{gate_decay, gate_decays};
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::pairs::local_weight::{LocalWeight, whole_vectors};
use crate::kernels::pairs::mask::Mask;
use crate::kernels::scan::features::{FeatureTable, Features};
use crate::kernels::tiles::row_tile::{OUTPUTS, RowTile};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `o_i = N_i[0..h] / (β + N_i[h])`, `N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ
/// φ(q_i)` (SPEC §1).
///
/// Arguments: queries `[lanes, H, tokens, query_width]`, keys `[lanes, H, window, key_width]`, lane table,
/// feature table, prefix `[lanes, H, blocks, F (h + 1)]` → o `[rows, H h]`, with `keeps_normaliser` also `β +
/// N_i[h]` `[lanes, H, tokens]`.
#[derive(Clone, Debug)]
pub struct ScanOutput {
    /// Row layouts.
    pub layout: HeadLayout,
    /// φ.
    pub features: Features,
    /// Column of φ's vector in query and key rows.
    pub source_offset: usize,
    /// w inside a block.
    pub local: LocalWeight,
    /// Column of the vector w reads.
    pub local_offset: usize,
    /// Elements of the vector w reads.
    pub local_width: usize,
    /// β.
    pub bias: f64,
    /// Full: only `Zᵀφ(q)`, with the prefix `[lanes, H, F (h + 1)]`.
    pub mask: Mask,
    /// The normaliser is a second output, for the gradient.
    pub keeps_normaliser: bool,
}

impl Kernel for ScanOutput {
    fn stem(&self) -> &'static str {
        "scan_output"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != 5
            || inputs[0].shape.last() != Some(l.query_width())
            || inputs[4].shape.last() != Some(self.features.state(l.head))
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!(
                    "needs query rows of {} and states of {}",
                    l.query_width(),
                    self.features.state(l.head)
                ),
            ));
        }
        let mut outputs = vec![TensorType::f32(shape![Unit::Rows, l.heads * l.head])];
        if self.keeps_normaliser {
            outputs.push(TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens]));
        }
        Ok(outputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let flags = [
            ("TAYLOR", self.local.taylor()),
            ("FAR_ONLY", self.mask == Mask::Full),
            ("NORMALISER", self.keeps_normaliser),
        ];
        let workgroups =
            |rows| capacity.lanes * l.heads * capacity.unit(Unit::Blocks(l.block)) * l.block.div_ceil(rows);
        let far = |tile: &RowTile| tile.row_tile() * tile.pitch(self.features.source, true) / 4;
        let tile = RowTile::new(&OUTPUTS, device, l.head, workgroups, |tile| tile.dots(1).max(far(tile)));
        let chunk = tile.chunk(&OUTPUTS, device, self.local_width);
        let variant = tile
            .constants(Variant::new("scan_output", &flags), tile.dots(chunk).max(far(&tile)))
            .size("CHUNK", chunk)
            .size("PITCH", tile.pitch(self.features.source, true))
            .size("HEADS", l.heads)
            .size("HEAD", l.head)
            .size("BLOCK", l.block)
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("LOCAL", self.local_width)
            .size("LOCAL_OFFSET", self.local_offset)
            .size("S_OFFSET", self.source_offset)
            .size("V_OFFSET", l.value_offset())
            .size("GATED", usize::from(l.gated))
            .with("BIAS", self.bias);
        self.local.constants(self.features.constants(variant))
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let (blocks, tiles) = (call.unit(Unit::Blocks(l.block)), l.block.div_ceil(variant.get("ROW_TILE")));
        let params = shader::scan_output::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            blocks: blocks as u32,
            stride: call.unit(Unit::Window(l.block)) as u32,
            tiles: tiles as u32,
        };
        Dispatch::once(&params, [tiles, blocks, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        let l = &self.layout;
        // Half of a block's pairs are seen.
        let local = l.block * (self.local_width + l.head + 1);
        (call.unit(Unit::Rows) * l.heads * (local + 2 * self.features.state(l.head))) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl ScanOutput {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        /// Queries of one task: few enough that the upper triangle a task computes in vain stays small.
        const ROWS: usize = 64;
        let l = &self.layout;
        let (queries, keys, lanes, table, prefix) = (
            args.real(0),
            args.real(1),
            args.ids(2),
            FeatureTable::new(&self.features, args.ids(3)),
            args.real(4),
        );
        let o = SharedMut::new(args.real_mut(5));
        let normaliser = self.keeps_normaliser.then(|| SharedMut::new(args.real_mut(6)));
        let (blocks, stride) = (call.unit(Unit::Blocks(l.block)), call.unit(Unit::Window(l.block)));
        let (size, width) = (self.features.state(l.head), l.heads * l.head);
        let tiles = l.block.div_ceil(ROWS);
        cpu::parallel_for(call.lanes.len() * l.heads * blocks * tiles, |task| {
            let (lane_head, block, tile) = (task / (blocks * tiles), task / tiles % blocks, task % tiles);
            let (at, head) = (lane_head / l.heads, lane_head % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            // Rows of the window: those of this tile that belong to the call.
            let first = (block * l.block + tile * ROWS).max(lane.ring);
            let end = (block * l.block + (tile * ROWS + ROWS).min(l.block)).min(lane.ring + call.tokens);
            if first >= end {
                return;
            }
            let rows = end - first;
            let token = first - lane.ring;
            let queries =
                &queries[(lane_head * call.tokens + token) * l.query_width()..][..rows * l.query_width()];
            let block_keys = &keys[(lane_head * stride + block * l.block) * l.key_width()..]
                [..(end - block * l.block) * l.key_width()];
            let gates = |i: usize| l.gate_sum(&block_keys[i * l.key_width()..]);
            let in_block = first - block * l.block;
            cpu::with_scratch(rows * (l.head + 1), |sums: &mut [R]| {
                let (sums, totals) = sums.split_at_mut(rows * l.head);
                sums.fill(R::ZERO);
                totals.fill(R::ZERO);
                if self.mask == Mask::Causal {
                    self.add_local(queries, block_keys, rows, in_block, sums, totals);
                }
                let z = if self.mask == Mask::Causal {
                    &prefix[(lane_head * blocks + block) * size..][..size]
                } else {
                    &prefix[lane_head * size..][..size]
                };
                if self.mask == Mask::Full || lane.position + block * l.block > lane.ring {
                    let decay = |i: usize| {
                        if l.gated { gate_decay(gates(in_block + i), [R::ZERO; 2]) } else { R::ONE }
                    };
                    self.add_far(&table, queries, rows, decay, z, sums, totals);
                }
                for i in 0..rows {
                    // SAFETY: every (lane, token, head) belongs to one task.
                    let out =
                        unsafe { o.slice((at * call.tokens + token + i) * width + head * l.head, l.head) };
                    let total = R::of(self.bias) + totals[i];
                    if let Some(normaliser) = &normaliser {
                        // SAFETY: as above.
                        unsafe { normaliser.slice(lane_head * call.tokens + token + i, 1)[0] = total };
                    }
                    let scale = R::ONE / total;
                    out.iter_mut().zip(&sums[i * l.head..]).for_each(|(o, s)| *o = *s * scale);
                }
            });
        });
    }

    /// `sums[i] += Σ_{j <= i} e^{g_i - g_j} w_ij v_j`, `totals[i] += Σ …` over the keys of the block; query i
    /// is the block's row `first + i`.
    fn add_local<R: Real>(
        &self,
        queries: &[R],
        keys: &[R],
        rows: usize,
        first: usize,
        sums: &mut [R],
        totals: &mut [R],
    ) {
        let l = &self.layout;
        let count = first + rows;
        cpu::with_scratch(rows * count, |weights: &mut [R]| {
            let q = Mat::strided(&queries[self.local_offset..], rows, self.local_width, l.query_width());
            let k = Mat::strided(&keys[self.local_offset..], count, self.local_width, l.key_width());
            cpu::matmul(MatMut::new(weights, rows, count), q, k.t(), false);
            cpu::with_scratch(if l.gated { 2 * count } else { 0 }, |gates: &mut [R]| {
                let (whole, fraction) = gates.split_at_mut(gates.len() / 2);
                for j in 0..whole.len() {
                    [whole[j], fraction[j]] = l.gate_sum(&keys[j * l.key_width()..]);
                }
                for (i, row) in weights.chunks_exact_mut(count).enumerate() {
                    totals[i] = self.weigh(first + i, row, whole, fraction);
                }
            });
            cpu::matmul(
                MatMut::new(sums, rows, l.head),
                Mat::new(weights, rows, count),
                Mat::strided(&keys[l.value_offset()..], count, l.head, l.key_width()),
                false,
            );
        });
    }

    /// Inner products of query i with the keys of its block into decayed weights, 0 behind its own; their
    /// sum.
    fn weigh<R: Real>(&self, i: usize, row: &mut [R], whole: &[R], fraction: &[R]) -> R {
        let seen = whole_vectors(i + 1, row.len());
        cpu::vectorized(
            #[inline(always)]
            || self.local.apply(&mut row[..seen]),
        );
        if self.layout.gated {
            let sum = [whole[i], fraction[i]];
            cpu::with_scratch(seen, |decay: &mut [R]| {
                cpu::vectorized(
                    #[inline(always)]
                    || {
                        gate_decays(sum, whole, fraction, decay);
                        row.iter_mut().zip(decay).for_each(|(w, decay)| *w *= *decay);
                    },
                );
            });
        }
        row[i + 1..].fill(R::ZERO);
        cpu::sum(&row[..seen])
    }

    /// `sums[i] += decay(i) Zᵀφ(q_i)`, tile by tile of features.
    #[allow(clippy::too_many_arguments)]
    fn add_far<R: Real>(
        &self,
        table: &FeatureTable,
        queries: &[R],
        rows: usize,
        decay: impl Fn(usize) -> R,
        z: &[R],
        sums: &mut [R],
        totals: &mut [R],
    ) {
        const TILE: usize = 128;
        let (l, f) = (&self.layout, &self.features);
        let (z, z_total) = z.split_at(f.count * l.head);
        cpu::with_scratch((f.source + TILE + 1) * rows, |scratch: &mut [R]| {
            let (columns, rest) = scratch.split_at_mut(f.source * rows);
            let (scale, phi) = rest.split_at_mut(rows);
            table.columns(&queries[self.source_offset..], l.query_width(), rows, columns);
            scale.iter_mut().enumerate().for_each(|(i, s)| *s = decay(i));
            for start in (0..f.count).step_by(TILE) {
                let n = TILE.min(f.count - start);
                let phi = &mut phi[..n * rows];
                cpu::vectorized(
                    #[inline(always)]
                    || {
                        table.tile(columns, rows, start, n, l.gated.then_some(&*scale), phi);
                        for (phi, z) in phi.chunks_exact(rows).zip(&z_total[start..]) {
                            totals.iter_mut().zip(phi).for_each(|(t, p)| *t += *p * *z);
                        }
                    },
                );
                let z = Mat::new(&z[start * l.head..(start + n) * l.head], n, l.head);
                cpu::matmul(MatMut::new(sums, rows, l.head), Mat::new(phi, n, rows).t(), z, true);
            }
        });
    }
}
