//! Gradient of the pairs of attention by their keys and values.

use super::pairs::{Pairs, TASK};
use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::shader::attention_grad_keys as shader;
use crate::kernels::tiles::rows_that_fit;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `dx_j = Σ_i dt_ij x_i`, `dv̂_j = Σ_i e^{g_i - g_j} w_ij dN_i` over the pairs of key j.
///
/// The column of the gate sum gets the gradient by the *global* sum of log gates, the one that never
/// restarts: `dG_j = ⟨dN_j, N_j⟩ - ⟨dv̂_j, v̂_j⟩` (SPEC §1; here only the pairs' part of dv̂,
/// [`crate::kernels::scan::scan_grad_keys`] subtracts the state's). A pair depends on `G_i - G_j` only: in
/// the sums that restart at blocks, and in the decays of states from block to block, every block end is added
/// once and subtracted once. A log gate's own gradient is a suffix sum of dG over the whole text.
///
/// Arguments: queries `[lanes, G, tokens, M, query_width]`, keys `[lanes, G, window, key_width]`, gradient rows
/// (`AttentionGradRows`) → dkeys `[lanes, G, window, key_width]`, zero in the columns that nothing here
/// reads; rows after the call's tokens are not written.
#[derive(Debug)]
pub struct AttentionGradKeys(pub Pairs);

impl Kernel for AttentionGradKeys {
    fn stem(&self) -> &'static str {
        "attention_grad_keys"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(self.stem(), inputs)?;
        let l = &self.0.layout;
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, l.window(), l.key_width()])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let (l, affinity) = (&self.0.layout, self.0.affinity);
        let flags = shader::Flags { softmax: affinity.softmax(), taylor: affinity.taylor() };
        let (softmax, local_affinity) = affinity.overrides(l.size);
        let overrides = |rows| {
            let pair_tile = self.0.pair_tile(device, rows);
            let value_items = pair_tile.staged_values.div_ceil(shader::THREADS);
            let head_layout = l.overrides();
            shader::Overrides { value_items, head_layout, pair_tile, softmax, local_affinity }
        };
        let rows = rows_that_fit(device, |rows| overrides(rows).workgroup_bytes(flags));
        overrides(rows).variant(flags)
    }

    fn check(&self, _: &Variant, _: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        self.0.check_reach(capacity)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let tile = shader::Overrides::of(variant).pair_tile;
        self.0.dispatches(&tile, [1, self.0.layout.group], call, |first| shader::Params {
            tokens: call.tokens as u32,
            stride: call.unit(self.0.layout.window()) as u32,
            span: self.0.span(call) as u32,
            first,
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        self.0.flops(call) + (2 * self.0.count(call) * self.0.layout.width()) as u64
    }

    twins!(shader);
}

impl AttentionGradKeys {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (pairs, l) = (&self.0, &self.0.layout);
        let shader::Args { queries, keys, drows, dkeys, .. } = args;
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let (all, stride) = (call.tokens * l.group, call.unit(l.window()));
        let mut tasks = row_tasks(dkeys, [l.heads, stride, k], 1, [pairs.span(call), TASK], call);
        // The first keys are seen by the most queries.
        tasks.sort_by_key(|task| task.rows.start - task.span.start);
        cpu::parallel_each(tasks, |_, task| {
            // Query rows, M a token, from those of the first key on.
            let (lane_head, end, out) = (task.lane_head, task.span.end * l.group, task.out);
            let (start, count) = (task.rows.start, task.rows.len());
            let keys = &keys[(lane_head * stride + start) * k..][..count * k];
            out.fill(R::ZERO);
            cpu::with_scratch(2 * TASK * count + count, |scratch: &mut [R]| {
                let (affinities, rest) = scratch.split_at_mut(TASK * count);
                let (dt, totals) = rest.split_at_mut(TASK * count);
                totals.fill(R::ZERO);
                let all_see = start < pairs.sinks();
                for first in (start * l.group..end).step_by(TASK) {
                    // From here on these keys are no longer near.
                    if !all_see && pairs.first_key(first / l.group) >= start + count {
                        break;
                    }
                    let rows = TASK.min(end - first);
                    let at = lane_head * all + first;
                    let (queries, drows) =
                        (&queries[at * q..(at + rows) * q], &drows[at * d..(at + rows) * d]);
                    let (affinities, dt) = (&mut affinities[..rows * count], &mut dt[..rows * count]);
                    pairs.tile([queries, keys, drows], [first, rows], [start, count], affinities, dt);
                    let x = Mat::strided(&queries[pairs.offset..], rows, pairs.width, q);
                    cpu::matmul(
                        MatMut::strided(&mut out[pairs.offset..], count, pairs.width, k),
                        Mat::new(dt, rows, count).t(),
                        x,
                        true,
                    );
                    let values = MatMut::strided(&mut out[l.value_offset()..], count, l.head, k);
                    cpu::matmul(
                        values,
                        Mat::new(affinities, rows, count).t(),
                        Mat::strided(drows, rows, l.head, d),
                        true,
                    );
                    if pairs.gated() {
                        for (row, w) in drows.chunks_exact(d).zip(affinities.chunks_exact(count)) {
                            cpu::axpy(row[l.head], w, totals);
                        }
                    }
                }
                if pairs.gated() {
                    let own = &drows[(lane_head * all + start * l.group) * d..];
                    for (j, (out, key)) in out.chunks_exact_mut(k).zip(keys.chunks_exact(k)).enumerate() {
                        let values = l.value_offset()..l.sum_offset();
                        let of_group = own[j * l.group * d..].chunks_exact(d).take(l.group);
                        out[l.sum_offset()] = of_group.map(|row| row[l.head + 1]).sum::<R>()
                            - cpu::dot(&out[values.clone()], &key[values])
                            - totals[j];
                    }
                }
            });
        });
    }
}
