//! Gradient of the pairs of attention by their queries; cut as [`super::attention_grad_keys`].

use std::cmp::Reverse;

use super::pairs::{Pairs, TASK};
use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::shader::attention_grad_queries as shader;
use crate::kernels::tiles::rows_that_fit;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `dx_i = Σ_j dt_ij x_j` over the pairs of query i.
///
/// Arguments: queries `[lanes, G, tokens, M, query_width]`, keys `[lanes, G, window, key_width]`, gradient rows
/// (`AttentionGradRows`) → dqueries `[lanes, G, tokens, M, query_width]`, zero in the columns that affinities do
/// not read.
#[derive(Debug)]
pub struct AttentionGradQueries(pub Pairs);

impl Kernel for AttentionGradQueries {
    fn stem(&self) -> &'static str {
        "attention_grad_queries"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(self.stem(), inputs)?;
        let l = &self.0.layout;
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.group, l.query_width()])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let (l, affinity) = (&self.0.layout, self.0.affinity);
        let flags = shader::Flags { softmax: affinity.softmax(), taylor: affinity.taylor() };
        let (softmax, local_affinity) = affinity.overrides(l.size);
        let overrides = |rows| shader::Overrides {
            head_layout: l.overrides(),
            pair_tile: self.0.pair_tile(device, rows),
            softmax,
            local_affinity,
        };
        let rows = rows_that_fit(device, |rows| overrides(rows).workgroup_bytes(flags));
        overrides(rows).variant(flags)
    }

    fn check(&self, _: &Variant, _: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        self.0.check_reach(capacity)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let tile = shader::Overrides::of(variant).pair_tile;
        self.0.dispatches(&tile, [self.0.layout.group, 1], call, |first| shader::Params {
            tokens: call.tokens as u32,
            stride: call.unit(self.0.layout.window()) as u32,
            span: self.0.span(call) as u32,
            first,
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        self.0.flops(call)
    }

    twins!(shader);
}

impl AttentionGradQueries {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (pairs, l) = (&self.0, &self.0.layout);
        let shader::Args { queries, keys, drows, dqueries, .. } = args;
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let (all, stride) = (call.tokens * l.group, call.unit(l.window()));
        let cut = [pairs.span(call) * l.group, TASK];
        let mut tasks = row_tasks(dqueries, [l.heads, all, q], l.group, cut, call);
        // The longest rows first, so that no thread is left with them at the end.
        tasks.sort_by_key(|task| Reverse(task.rows.start - task.span.start));
        cpu::parallel_each(tasks, |_, task| {
            let (lane_head, base, out) = (task.lane_head, task.span.start / l.group, task.out);
            let (first, rows) = (task.rows.start, task.rows.len());
            let end = (task.rows.end - 1) / l.group + 1;
            let at = lane_head * all + first;
            let (queries, drows) = (&queries[at * q..(at + rows) * q], &drows[at * d..(at + rows) * d]);
            out.fill(R::ZERO);
            cpu::with_scratch(2 * rows * TASK, |scratch: &mut [R]| {
                let (affinities, dt) = scratch.split_at_mut(rows * TASK);
                for start in (base..end).step_by(TASK) {
                    let count = TASK.min(end - start);
                    let none = pairs.first_key(first / l.group) >= start + count;
                    if none && start >= pairs.sinks() {
                        continue;
                    }
                    let keys = &keys[(lane_head * stride + start) * k..][..count * k];
                    let (affinities, dt) = (&mut affinities[..rows * count], &mut dt[..rows * count]);
                    pairs.tile([queries, keys, drows], [first, rows], [start, count], affinities, dt);
                    let x = Mat::strided(&keys[pairs.offset..], count, pairs.width, k);
                    cpu::matmul(
                        MatMut::strided(&mut out[pairs.offset..], rows, pairs.width, q),
                        Mat::new(dt, rows, count),
                        x,
                        true,
                    );
                }
            });
        });
    }
}
