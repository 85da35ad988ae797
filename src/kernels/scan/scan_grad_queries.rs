//! What the state before a block gives to the gradient of its queries.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::scan::features::{FeatureTable, Features, gradient_tile};
use crate::kernels::shader::scan_grad_queries as shader;
use crate::kernels::shader::shared::MatrixTile;
use crate::kernels::tiles::row_tile::rows;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// `dφ(q_i) = e^{g_i} Z_l dN_i`, through the features to their vector.
///
/// Arguments: queries `[lanes, G, tokens, M, query_width]`, gradient rows (`AttentionGradRows`), lane table,
/// feature table, prefix `[lanes, G, blocks, F (h + 1)]` → dqueries `[lanes, G, tokens, M, query_width]` in
/// place.
#[derive(Debug)]
pub struct ScanGradQueries {
    /// Row layouts.
    pub layout: HeadLayout,
    /// φ.
    pub features: Features,
    /// Column of φ's vector in a query row.
    pub source_offset: usize,
}

impl ScanGradQueries {
    fn overrides(&self, tile: MatrixTile) -> shader::Overrides {
        let (l, f) = (&self.layout, &self.features);
        shader::Overrides {
            head_layout: l.overrides(),
            features: f.overrides(self.source_offset),
            feature_tile: f.tile(&tile),
            matrix_tile: tile,
        }
    }
}

impl Kernel for ScanGradQueries {
    fn stem(&self) -> &'static str {
        "scan_grad_queries"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (l, f) = (&self.layout, &self.features);
        let widths = [l.query_width(), l.gradient_width(), 4, 2 * f.count, f.state(l.head)];
        if !inputs.iter().map(|t| t.shape.last()).eq(widths.map(Some)) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs queries, gradient rows, lanes, a table and states of {widths:?}"),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let blocks = capacity.unit(Unit::Blocks(l.block));
        let workgroups = |rows| {
            blocks.saturating_mul(capacity.lanes).saturating_mul(l.heads * (l.block * l.group).div_ceil(rows))
        };
        let bytes = |tile| self.overrides(tile).workgroup_bytes();
        self.overrides(gradient_tile(device, self.features.count, workgroups, bytes)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let blocks = call.unit(Unit::Blocks(l.block));
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            blocks: blocks as u32,
        };
        let rows = rows(&shader::Overrides::of(variant).matrix_tile);
        Dispatch::once(&params, [(l.block * l.group).div_ceil(rows), blocks, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.unit(Unit::Rows) * self.layout.query_heads() * self.features.state(self.layout.head)) as u64
    }

    twins!(shader);
}

/// Rows of one task, and features at a time: φ, its gradient and the vectors stay in the second cache.
pub(in crate::kernels) const ROWS: usize = 64;
/// As [`ROWS`].
pub(in crate::kernels) const FEATURES: usize = 128;

impl ScanGradQueries {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (l, f) = (&self.layout, &self.features);
        let shader::Args { queries, drows, lanes, table, prefix, dqueries, .. } = args;
        let table = FeatureTable::new(f, table);
        let (q, d, size) = (l.query_width(), l.gradient_width(), f.state(l.head));
        let blocks = call.unit(Unit::Blocks(l.block));
        let (all, span) = (call.tokens * l.group, l.block * l.group);
        let tasks = row_tasks(dqueries, [l.heads, all, q], l.group, [span, ROWS], call);
        cpu::parallel_each(tasks, |_, task| {
            let (lane_head, block) = (task.lane_head, task.span.start / span);
            // The first blocks of a text have nothing before what is near.
            if l.first_block(lane(lanes, call.lane_base + lane_head / l.heads)) + block < l.near {
                return;
            }
            let (z, z_total) =
                prefix[(lane_head * blocks + block) * size..][..size].split_at(f.count * l.head);
            let (rows, out) = (task.rows.len(), task.out);
            let at = lane_head * all + task.rows.start;
            let drows = &drows[at * d..(at + rows) * d];
            cpu::with_scratch((2 * f.source + 2 + FEATURES) * rows, |scratch: &mut [R]| {
                let (columns, rest) = scratch.split_at_mut(f.source * rows);
                let (dcolumns, rest) = rest.split_at_mut(f.source * rows);
                let (totals, rest) = rest.split_at_mut(rows);
                let (decay, dphi) = rest.split_at_mut(rows);
                table.columns(&queries[at * q + self.source_offset..], q, rows, columns);
                dcolumns.fill(R::ZERO);
                for (i, row) in drows.chunks_exact(d).enumerate() {
                    totals[i] = row[l.head];
                    decay[i] = if l.gated {
                        gate_decay([row[l.head + 2], row[l.head + 3]], [R::ZERO; 2])
                    } else {
                        R::ONE
                    };
                }
                for start in (0..f.count).step_by(FEATURES) {
                    let n = FEATURES.min(f.count - start);
                    let dphi = &mut dphi[..n * rows];
                    let z = Mat::new(&z[start * l.head..(start + n) * l.head], n, l.head);
                    cpu::matmul(
                        MatMut::new(dphi, n, rows),
                        z,
                        Mat::strided(drows, rows, l.head, d).t(),
                        false,
                    );
                    cpu::vectorized(
                        #[inline(always)]
                        || {
                            for (dphi, z) in dphi.chunks_exact_mut(rows).zip(&z_total[start..]) {
                                dphi.iter_mut().zip(&*totals).for_each(|(p, t)| *p += *z * *t);
                            }
                            table.pull_back(columns, rows, start, dphi, dcolumns);
                        },
                    );
                }
                for (i, out) in out.chunks_exact_mut(q).enumerate() {
                    for (c, out) in out[self.source_offset..][..f.source].iter_mut().enumerate() {
                        *out += decay[i] * dcolumns[c * rows + i];
                    }
                }
            });
        });
    }
}
