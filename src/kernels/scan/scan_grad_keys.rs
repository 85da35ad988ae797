//! What the gradients of block states give to the keys and values in them.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::scan::features::{FeatureTable, Features, gradient_tile};
use crate::kernels::scan::scan_grad_queries::{FEATURES, ROWS};
use crate::kernels::shader::scan_grad_keys as shader;
use crate::kernels::shader::shared::MatrixTile;
use crate::kernels::tiles::row_tile::{parts, rows};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// `dφ(k_j) = e^{g_last - g_j} T_l v̂_j`, through the features to their vector; `dv̂_j += e^{g_last - g_j}
/// T_lᵀ φ(k_j)`, with T = dH; the features' scales are here, as they are in H. `dG_j -= ⟨dv̂_j, v̂_j⟩` (see
/// [`crate::kernels::pairs::attention_grad_keys`]).
///
/// Arguments: keys `[lanes, G, window, key_width]`, dstates `[lanes, G, blocks, F (h + 1)]`, feature table →
/// dkeys `[lanes, G, window, key_width]` in place.
#[derive(Debug)]
pub struct ScanGradKeys {
    /// Row layouts.
    pub layout: HeadLayout,
    /// φ.
    pub features: Features,
    /// Column of φ's vector in a key row.
    pub source_offset: usize,
}

impl ScanGradKeys {
    fn overrides(&self, tile: MatrixTile) -> shader::Overrides {
        let (l, f) = (&self.layout, &self.features);
        shader::Overrides {
            parts: parts(&tile, l.head),
            head_layout: l.overrides(),
            features: f.overrides(self.source_offset),
            feature_tile: f.tile(&tile),
            matrix_tile: tile,
        }
    }
}

impl Kernel for ScanGradKeys {
    fn stem(&self) -> &'static str {
        "scan_grad_keys"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (l, f) = (&self.layout, &self.features);
        let widths = [l.key_width(), f.state(l.head), 2 * f.count];
        if !inputs.iter().map(|t| t.shape.last()).eq(widths.map(Some)) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs keys, states and a table of {widths:?}"),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let blocks = capacity.unit(Unit::Blocks(l.block));
        let workgroups =
            |rows| blocks.saturating_mul(capacity.lanes).saturating_mul(l.heads * l.block.div_ceil(rows));
        let bytes = |tile| self.overrides(tile).workgroup_bytes();
        self.overrides(gradient_tile(device, l.head, workgroups, bytes)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.layout;
        let blocks = call.unit(Unit::Blocks(l.block));
        let params = shader::Params {
            tokens: call.tokens as u32,
            blocks: blocks as u32,
            stride: call.unit(l.window()) as u32,
        };
        let rows = rows(&shader::Overrides::of(variant).matrix_tile);
        Dispatch::once(&params, [l.block.div_ceil(rows), blocks, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        (4 * call.unit(Unit::Rows) * self.layout.heads * self.features.state(self.layout.head)) as u64
    }

    twins!(shader);
}

impl ScanGradKeys {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (l, f) = (&self.layout, &self.features);
        let shader::Args { keys, dstates, table, dkeys, .. } = args;
        let table = FeatureTable::new(f, table);
        let (k, size, stride) = (l.key_width(), f.state(l.head), call.unit(l.window()));
        let blocks = call.unit(Unit::Blocks(l.block));
        let tasks = row_tasks(dkeys, [l.heads, stride, k], 1, [l.block, ROWS], call);
        cpu::parallel_each(tasks, |_, task| {
            let (lane_head, block, out) = (task.lane_head, task.span.start / l.block, task.out);
            let state = &dstates[(lane_head * blocks + block) * size..][..size];
            // The last blocks of a text have nothing after them.
            if state.iter().all(|t| *t == R::ZERO) {
                return;
            }
            let (t, t_total) = state.split_at(f.count * l.head);
            let rows = task.rows.len();
            let last = l.gate_sum(&keys[(lane_head * stride + task.span.end - 1) * k..]);
            let keys = &keys[(lane_head * stride + task.rows.start) * k..][..rows * k];
            cpu::with_scratch((2 * f.source + l.head + 1 + 2 * FEATURES) * rows, |scratch: &mut [R]| {
                let (columns, rest) = scratch.split_at_mut(f.source * rows);
                let (dcolumns, rest) = rest.split_at_mut(f.source * rows);
                let (dvalues, rest) = rest.split_at_mut(l.head * rows);
                let (totals, rest) = rest.split_at_mut(rows);
                let (phi, dphi) = rest.split_at_mut(FEATURES * rows);
                table.columns(&keys[self.source_offset..], k, rows, columns);
                for zero in [&mut *dcolumns, dvalues, totals] {
                    zero.fill(R::ZERO);
                }
                let values = Mat::strided(&keys[l.value_offset()..], rows, l.head, k);
                for start in (0..f.count).step_by(FEATURES) {
                    let n = FEATURES.min(f.count - start);
                    let (phi, dphi) = (&mut phi[..n * rows], &mut dphi[..n * rows]);
                    let t = Mat::new(&t[start * l.head..(start + n) * l.head], n, l.head);
                    cpu::matmul(MatMut::new(dphi, n, rows), t, values.t(), false);
                    cpu::vectorized(
                        #[inline(always)]
                        || {
                            table.tile(columns, rows, start, n, None, phi);
                            for (i, (phi, dphi)) in
                                phi.chunks_exact_mut(rows).zip(dphi.chunks_exact_mut(rows)).enumerate()
                            {
                                let (scale, t) =
                                    (R::from_f32(table.key_scale(start + i)), t_total[start + i]);
                                for ((phi, dphi), total) in phi.iter_mut().zip(dphi).zip(&mut *totals) {
                                    *phi *= scale;
                                    *dphi = scale * (*dphi + t);
                                    *total += t * *phi;
                                }
                            }
                            table.pull_back(columns, rows, start, dphi, dcolumns);
                        },
                    );
                    cpu::matmul(MatMut::new(dvalues, rows, l.head), Mat::new(phi, n, rows).t(), t, true);
                }
                for (j, (out, key)) in out.chunks_exact_mut(k).zip(keys.chunks_exact(k)).enumerate() {
                    if task.rows.start + j < l.sinks {
                        continue;
                    }
                    let decay = if l.gated { gate_decay(last, l.gate_sum(key)) } else { R::ONE };
                    for (c, out) in out[self.source_offset..][..f.source].iter_mut().enumerate() {
                        *out += decay * dcolumns[c * rows + j];
                    }
                    let dvalue = &dvalues[j * l.head..(j + 1) * l.head];
                    cpu::axpy(decay, dvalue, &mut out[l.value_offset()..l.sum_offset()]);
                    if l.gated {
                        out[l.sum_offset()] +=
                            -decay * (cpu::dot(dvalue, &key[l.value_offset()..l.sum_offset()]) + totals[j]);
                    }
                }
            });
        });
    }
}
