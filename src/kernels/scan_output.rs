//! Outputs of the scan: the local block exactly, everything before it through the state.

use std::sync::Arc;

use super::attention_dense::DenseWeight;
use super::attention_grad_queries::Pairs;
use super::features::{FeatureTable, Features};
use super::gate_sum::{gate_decay, gate_decays};
use super::heads::{HeadLayout, lane};
use super::local_weight::{LocalWeight, whole_vectors};
use super::real::{Mat, MatMut, SharedMut};
use super::row_tile::{OUTPUTS, RowTile};
use super::scan_grad_queries::ScanGradQueries;
use super::scan_states::{ScanStates, States};
use super::{
    Args, Backward, BackwardExt, DeviceTraits, Dispatch, Kernel, Real, Variant, real, shader, shape_error,
    subgroup,
};
use crate::error::{Error, ErrorKind, Result};
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
    /// False: every key counts for every query; only `Zᵀφ(q)`, with the prefix `[lanes, H, F (h + 1)]`.
    pub causal: bool,
    /// The normaliser is a second output, for the gradient.
    pub keeps_normaliser: bool,
}

/// Rows of a tile: as many as keep what they need of workgroup memory, so many floats each, within so many
/// KiB.
pub(super) fn row_tile(floats: usize, kib: usize) -> usize {
    [32, 16, 8].into_iter().find(|rows| rows * floats * 4 <= kib << 10).unwrap_or(4)
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
            ("FAR_ONLY", !self.causal),
            ("NORMALISER", self.keeps_normaliser),
        ];
        let variant = match subgroup::lanes(device, subgroup::memory(l.head + self.features.factors())) {
            Some(lanes) => {
                let variant = subgroup::vectors(
                    subgroup::variant("scan_output", lanes, &flags),
                    ["sums_columns", "sums_vectors"],
                    l.head,
                );
                subgroup::sources(subgroup::weights(variant), &self.features, subgroup::ROWS)
            }
            None => {
                let workgroups = |rows| {
                    capacity.lanes * l.heads * capacity.unit(Unit::Blocks(l.block)) * l.block.div_ceil(rows)
                };
                let far = |tile: &RowTile| tile.row_tile() * tile.pitch(self.features.source, true) / 4;
                let tile =
                    RowTile::new(&OUTPUTS, device, l.head, workgroups, |tile| tile.dots(1).max(far(tile)));
                let chunk = tile.chunk(&OUTPUTS, device, self.local_width);
                let variant =
                    tile.constants(Variant::new("scan_output", &flags), tile.dots(chunk).max(far(&tile)));
                variant.size("CHUNK", chunk).size("PITCH", tile.pitch(self.features.source, true))
            }
        };
        let variant = variant
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

    fn dispatch(&self, variant: &Variant, call: &Call) -> Dispatch {
        let l = &self.layout;
        let (blocks, tiles) =
            (call.unit(Unit::Blocks(l.block)), l.block.div_ceil(subgroup::rows_of(variant)));
        let params = shader::params::ScanOutput {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            blocks: blocks as u32,
            stride: call.unit(Unit::Window(l.block)) as u32,
            tiles: tiles as u32,
        };
        Dispatch::new(&params, [tiles, blocks, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        let l = &self.layout;
        // Half of a block's pairs are seen.
        let local = l.block * (self.local_width + l.head + 1);
        (call.unit(Unit::Rows) * l.heads * (local + 2 * self.features.state(l.head))) as u64
    }

    /// dQ and dK of the pairs inside a block and through the state before it, and the gradient of that state.
    /// What the keys of a block do to later blocks is the rule of [`ScanStates`].
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        if !self.causal || !self.keeps_normaliser {
            let what = if self.causal { "without its normaliser kept" } else { "that is not causal" };
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: attention {what} has no gradient", pass.label()),
            ));
        }
        let pairs = Pairs {
            layout: self.layout.clone(),
            weight: DenseWeight::Kernel(self.local),
            offset: self.local_offset,
            width: self.local_width,
            in_block: true,
        };
        let (drows, dqueries, dkeys) = pairs.backward(pass, self.bias)?;
        let [queries, lanes, table, prefix] = [0, 2, 3, 4].map(|i| pass.input(i));
        let (layout, features, source_offset) =
            (self.layout.clone(), self.features.clone(), self.source_offset);
        if let Some(dqueries) = dqueries {
            let kernel =
                ScanGradQueries { layout: layout.clone(), features: features.clone(), source_offset };
            pass.append(
                "dqueries_far",
                Arc::new(kernel),
                &[queries, drows, lanes, table, prefix],
                &[dqueries],
            )?;
            pass.give(0, dqueries)?;
        }
        if let Some(dkeys) = dkeys {
            pass.give(1, dkeys)?;
        }
        if pass.wants(4) {
            let kernel = ScanStates { layout, features, source_offset, blocks: States::Queries };
            let dprefix = pass.apply1("dprefix", kernel, &[queries, drows, table])?;
            pass.give(4, dprefix)?;
        }
        Ok(())
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
        real::parallel_for(call.lanes.len() * l.heads * blocks * tiles, |task| {
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
            real::with_scratch(rows * (l.head + 1), |sums: &mut [R]| {
                let (sums, totals) = sums.split_at_mut(rows * l.head);
                sums.fill(R::ZERO);
                totals.fill(R::ZERO);
                if self.causal {
                    self.add_local(queries, block_keys, rows, in_block, sums, totals);
                }
                let z = if self.causal {
                    &prefix[(lane_head * blocks + block) * size..][..size]
                } else {
                    &prefix[lane_head * size..][..size]
                };
                if !self.causal || lane.position + block * l.block > lane.ring {
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
        real::with_scratch(rows * count, |weights: &mut [R]| {
            let q = Mat::strided(&queries[self.local_offset..], rows, self.local_width, l.query_width());
            let k = Mat::strided(&keys[self.local_offset..], count, self.local_width, l.key_width());
            real::matmul(MatMut::new(weights, rows, count), q, k.t(), false);
            real::with_scratch(if l.gated { 2 * count } else { 0 }, |gates: &mut [R]| {
                let (whole, fraction) = gates.split_at_mut(gates.len() / 2);
                for j in 0..whole.len() {
                    [whole[j], fraction[j]] = l.gate_sum(&keys[j * l.key_width()..]);
                }
                for (i, row) in weights.chunks_exact_mut(count).enumerate() {
                    totals[i] = self.weigh(first + i, row, whole, fraction);
                }
            });
            real::matmul(
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
        real::vectorized(
            #[inline(always)]
            || self.local.apply(&mut row[..seen]),
        );
        if self.layout.gated {
            let sum = [whole[i], fraction[i]];
            real::with_scratch(seen, |decay: &mut [R]| {
                real::vectorized(
                    #[inline(always)]
                    || {
                        gate_decays(sum, whole, fraction, decay);
                        row.iter_mut().zip(decay).for_each(|(w, decay)| *w *= *decay);
                    },
                );
            });
        }
        row[i + 1..].fill(R::ZERO);
        real::sum(&row[..seen])
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
        real::with_scratch((f.source + TILE + 1) * rows, |scratch: &mut [R]| {
            let (columns, rest) = scratch.split_at_mut(f.source * rows);
            let (scale, phi) = rest.split_at_mut(rows);
            table.columns(&queries[self.source_offset..], l.query_width(), rows, columns);
            scale.iter_mut().enumerate().for_each(|(i, s)| *s = decay(i));
            for start in (0..f.count).step_by(TILE) {
                let n = TILE.min(f.count - start);
                let phi = &mut phi[..n * rows];
                real::vectorized(
                    #[inline(always)]
                    || {
                        table.tile(columns, rows, start, n, l.gated.then_some(&*scale), phi);
                        for (phi, z) in phi.chunks_exact(rows).zip(&z_total[start..]) {
                            totals.iter_mut().zip(phi).for_each(|(t, p)| *t += *p * *z);
                        }
                    },
                );
                let z = Mat::new(&z[start * l.head..(start + n) * l.head], n, l.head);
                real::matmul(MatMut::new(sums, rows, l.head), Mat::new(phi, n, rows).t(), z, true);
            }
        });
    }
}
