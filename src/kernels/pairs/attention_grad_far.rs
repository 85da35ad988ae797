//! What joined far rows get of the gradient.

use crate::error::Result;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::shader::attention_grad_far as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Gradient rows of the part of attention that comes from a state, where it is joined with exact softmax (SPEC §10):
/// with L the log-sum-exp of both, `dN_i = e^{-L_i} [do_i | -⟨do_i, o_i⟩]`, then `⟨dN_i, N_i⟩`, then the gate sum.
///
/// Arguments: gradient rows of the exact part (`AttentionGradRows`), far rows N, both `[lanes, G, tokens, M, h + 4]`,
/// keys `[lanes, G, window, key_width]` → gradient rows `[lanes, G, tokens, M, h + 4]`.
#[derive(Debug)]
pub struct AttentionGradFar {
    /// Row layouts.
    pub layout: HeadLayout,
}

impl Kernel for AttentionGradFar {
    fn stem(&self) -> &'static str {
        "attention_grad_far"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        let widths = [l.gradient_width(), l.gradient_width(), l.key_width()];
        if !inputs.iter().map(|t| t.shape.last()).eq(widths.map(Some)) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs rows of {widths:?}")));
        }
        Ok(vec![l.gradient_rows()])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { head_layout: self.layout.overrides() }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let stride = call.unit(self.layout.window());
        let params = shader::Params { tokens: call.tokens as u32, stride: stride as u32 };
        let rows = call.tokens * self.layout.group;
        Dispatch::once(&params, [rows.div_ceil(shader::INVOCATIONS), 1, call.lanes.len() * self.layout.heads])
    }

    twins!(shader);
}

impl AttentionGradFar {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Rows of one task.
        const RUN: usize = 64;
        let l = &self.layout;
        let shader::Args { drows, far, keys, dfar, .. } = args;
        let (width, rows, stride) = (l.gradient_width(), call.tokens * l.group, call.unit(l.window()));
        let tasks = row_tasks(dfar, [l.heads, rows, width], l.group, [rows, RUN], call);
        cpu::parallel_each(tasks, |_, task| {
            let lane_head = task.lane_head;
            for (own, row) in task.rows.zip(task.out.chunks_exact_mut(width)) {
                let at = (lane_head * rows + own) * width;
                let (near, far) = (&drows[at..at + width], &far[at..at + width]);
                let share = (-near[l.head + 2]).exp();
                for (out, near) in row[..=l.head].iter_mut().zip(near) {
                    *out = share * *near;
                }
                row[l.head + 1] = cpu::dot(&row[..=l.head], &far[..=l.head]);
                let key = (lane_head * stride + own / l.group) * l.key_width();
                row[l.head + 2..].copy_from_slice(&l.gate_sum(&keys[key..key + l.key_width()]));
            }
        });
    }
}
