//! Outputs of the scan: the local block exactly, everything before it through the state.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::{gate_decay, gate_decays};
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::heads::row_tasks::{BlockTask, block_tasks, by_head};
use crate::kernels::pairs::local_affinity::{LocalAffinity, whole_vectors};
use crate::kernels::pairs::mask::Mask;
use crate::kernels::scan::features::{FeatureTable, Features};
use crate::kernels::shader::scan_output as shader;
use crate::kernels::shader::shared::{CooperativeTile, MatrixTile, NearKeys};
use crate::kernels::tiles::mixed;
use crate::kernels::tiles::row_tile::{OUTPUTS, parts, rows};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, Views, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `o_i = N_i[0..h] / (β + N_i[h])`, `N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ
/// φ(q_i)` (SPEC §1).
///
/// Arguments: queries `[lanes, G, tokens, M, query_width]`, keys `[lanes, G, window, key_width]`, lane table,
/// feature table, prefix `[lanes, G, blocks, F (h + 1)]` → o `[rows, H h]`; what else or instead, [`Leaves`]
/// says.
#[derive(Clone, Debug)]
pub struct ScanOutput {
    /// Row layouts.
    pub layout: HeadLayout,
    /// φ.
    pub features: Features,
    /// Column of φ's vector in query and key rows.
    pub source_offset: usize,
    /// w inside a block.
    pub local: LocalAffinity,
    /// Column of the vector w reads.
    pub local_offset: usize,
    /// Elements of the vector w reads.
    pub local_width: usize,
    /// β.
    pub bias: f64,
    /// Full: only `Zᵀφ(q)`, with the prefix `[lanes, G, F (h + 1)]`.
    pub mask: Mask,
    /// Outputs.
    pub leaves: Leaves,
}

/// What [`ScanOutput`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// o alone.
    Outputs,
    /// Also `β + N_i[h]` `[lanes, G, tokens, M]`, for the gradient.
    Normaliser,
    /// Nothing but N of the part before the near blocks, to be joined with an exact one: `[lanes, G, tokens, M, h +
    /// 4]`, rows of `Σ w v`, `Σ w`, and zeros.
    Far,
}

impl ScanOutput {
    fn overrides(&self, tile: MatrixTile, patches: Option<CooperativeTile>) -> shader::Overrides {
        let l = &self.layout;
        shader::Overrides {
            cooperative_tile: patches,
            head_layout: l.overrides(),
            near_keys: NearKeys {
                local: self.local_width,
                local_offset: self.local_offset,
                bias: self.bias,
                row_tile: rows(&tile),
            },
            matrix_tile: tile,
            local_affinity: self.local.overrides(),
            features: self.features.overrides(self.source_offset),
        }
    }
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
        let o = TensorType::f32(shape![Unit::Rows, l.width()]);
        Ok(match self.leaves {
            Leaves::Outputs => vec![o],
            Leaves::Normaliser => {
                vec![o, TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.group])]
            }
            Leaves::Far => vec![l.gradient_rows()],
        })
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let flags = shader::Flags {
            taylor: self.local.taylor(),
            far_only: self.mask == Mask::Full,
            normaliser: self.leaves == Leaves::Normaliser,
            far_rows: self.leaves == Leaves::Far,
            ..shader::Flags::default()
        };
        let blocks = capacity.unit(Unit::Blocks(l.block));
        let workgroups = |rows| {
            blocks.saturating_mul(capacity.lanes).saturating_mul(l.heads * (l.block * l.group).div_ceil(rows))
        };
        let bytes = |tile| self.overrides(tile, None).workgroup_bytes(flags);
        let tile = OUTPUTS.row_tile(device, l.head, workgroups, bytes);
        let of = |side| shader::Flags { mixed: true, side8: side == 8, side16: side == 16, ..flags };
        let bytes = |tile, cut| self.overrides(tile, Some(cut)).workgroup_bytes(of(8));
        match mixed::row_tile(device, tile, bytes) {
            Some((tile, patches, side)) => self.overrides(tile, Some(patches)).variant(of(side)),
            None => self.overrides(tile, None).variant(flags),
        }
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let tile = shader::Overrides::of(variant).matrix_tile;
        let (blocks, parts) = (call.unit(Unit::Blocks(l.block)), parts(&tile, l.head));
        let tiles = (l.block * l.group).div_ceil(rows(&tile));
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            blocks: blocks as u32,
            stride: call.unit(l.window()) as u32,
            parts: parts as u32,
        };
        Dispatch::once(&params, [tiles * parts, blocks, call.lanes.len() * l.heads])
    }

    fn magnitudes(&self, views: &mut Views<'_, f64>, call: &Call) {
        self.compute(shader::Args::bind(views), call, true);
    }

    fn flops(&self, call: &Call) -> u64 {
        let l = &self.layout;
        // Half of a block's pairs are seen.
        let local = if self.leaves == Leaves::Far { 0 } else { l.block * (self.local_width + l.head + 1) };
        (call.unit(Unit::Rows) * l.query_heads() * (local + 2 * self.features.state(l.head))) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl ScanOutput {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        self.compute(args, call, false);
    }

    /// `magnitudes`: of the products φ(q) Z, in place of the sums.
    fn compute<R: Real>(&self, args: shader::Args<'_, R>, call: &Call, magnitudes: bool) {
        let l = &self.layout;
        let shader::Args { queries, keys, lanes, table, prefix, o, normaliser, far, .. } = args;
        let table = FeatureTable::new(&self.features, table);
        let (blocks, stride) = (call.unit(Unit::Blocks(l.block)), call.unit(l.window()));
        let (size, all, heads) = (self.features.state(l.head), call.tokens * l.group, l.heads);
        let tasks = block_tasks(l, lanes, call);
        let of_call =
            || tasks.iter().map(|t| t.lane_head * all + t.query..t.lane_head * all + t.query + t.rows);
        let mut outputs = match (o, far) {
            (Some(o), _) => by_head(o, l, call),
            (_, far) => far.into_iter().flat_map(|far| far.chunks_mut(l.gradient_width())).collect(),
        };
        let kept = normaliser.map(|all| cpu::ranges(all, of_call()));
        let kept = kept.into_iter().flatten().chain(std::iter::repeat_with(Default::default));
        let outputs = cpu::ranges(&mut outputs, of_call()).zip(kept);
        cpu::parallel_each(tasks.iter().zip(outputs), |_, (task, (out, kept))| {
            let &BlockTask { lane_head, block, first, query, rows } = task;
            let lane = lane(lanes, call.lane_base + lane_head / heads);
            let end = (first + rows - 1) / l.group + 1;
            let queries = &queries[(lane_head * all + query) * l.query_width()..][..rows * l.query_width()];
            let block_keys = &keys[(lane_head * stride + (block + l.lead) * l.block) * l.key_width()..]
                [..(end - block * l.block) * l.key_width()];
            let gates = |key: usize| l.gate_sum(&block_keys[key * l.key_width()..]);
            let in_block = first - block * l.block * l.group;
            cpu::with_scratch(rows * (l.head + 1), |sums: &mut [R]| {
                let (sums, totals) = sums.split_at_mut(rows * l.head);
                sums.fill(R::ZERO);
                totals.fill(R::ZERO);
                if self.mask == Mask::Causal && self.leaves != Leaves::Far {
                    self.add_local(queries, block_keys, rows, in_block, sums, totals);
                }
                let z = if self.mask == Mask::Causal {
                    &prefix[(lane_head * blocks + block) * size..][..size]
                } else {
                    &prefix[lane_head * size..][..size]
                };
                if self.mask == Mask::Full || l.first_block(lane) + block >= l.near {
                    let decay = |i: usize| {
                        if l.gated {
                            gate_decay(gates((in_block + i) / l.group), [R::ZERO; 2])
                        } else {
                            R::ONE
                        }
                    };
                    self.add_far(&table, queries, rows, decay, z, sums, totals);
                    if magnitudes {
                        sums.fill(R::ZERO);
                        let [queries, z] =
                            [queries, z].map(|of| of.iter().map(|x| x.abs()).collect::<Vec<R>>());
                        let mut none = vec![R::ZERO; rows];
                        self.add_far(&table, &queries, rows, decay, &z, sums, &mut none);
                    }
                } else if magnitudes {
                    sums.fill(R::ZERO);
                }
                for (i, out) in out.iter_mut().enumerate() {
                    if self.leaves == Leaves::Far {
                        out[..l.head].copy_from_slice(&sums[i * l.head..][..l.head]);
                        let total = if magnitudes { R::ZERO } else { totals[i] };
                        out[l.head..].copy_from_slice(&[total, R::ZERO, R::ZERO, R::ZERO]);
                        continue;
                    }
                    let total = R::of(self.bias) + totals[i];
                    if let Some(kept) = kept.get_mut(i) {
                        *kept = if magnitudes { R::ZERO } else { total };
                    }
                    let scale = R::ONE / if magnitudes { total.abs() } else { total };
                    out.iter_mut().zip(&sums[i * l.head..]).for_each(|(o, s)| *o = *s * scale);
                }
            });
        });
    }

    /// `sums[i] += Σ_{j <= i} e^{g_i - g_j} w_ij v_j`, `totals[i] += Σ …` over the keys of the block; query i
    /// is the block's query row `first + i`.
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
        let count = (first + rows - 1) / l.group + 1;
        cpu::with_scratch(rows * count, |affinities: &mut [R]| {
            let q = Mat::strided(&queries[self.local_offset..], rows, self.local_width, l.query_width());
            let k = Mat::strided(&keys[self.local_offset..], count, self.local_width, l.key_width());
            cpu::matmul(MatMut::new(affinities, rows, count), q, k.t(), false);
            cpu::with_scratch(if l.gated { 2 * count } else { 0 }, |gates: &mut [R]| {
                let (whole, fraction) = gates.split_at_mut(gates.len() / 2);
                for j in 0..whole.len() {
                    [whole[j], fraction[j]] = l.gate_sum(&keys[j * l.key_width()..]);
                }
                for (i, row) in affinities.chunks_exact_mut(count).enumerate() {
                    totals[i] = self.decayed((first + i) / l.group, row, whole, fraction);
                }
            });
            cpu::matmul(
                MatMut::new(sums, rows, l.head),
                Mat::new(affinities, rows, count),
                Mat::strided(&keys[l.value_offset()..], count, l.head, l.key_width()),
                false,
            );
        });
    }

    /// Inner products of a query of token i with the keys of its block into decayed affinities, 0 behind its
    /// own; their sum.
    fn decayed<R: Real>(&self, i: usize, row: &mut [R], whole: &[R], fraction: &[R]) -> R {
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
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    fn add_far<R: Real>(
        &self,
        table: &FeatureTable<'_>,
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
