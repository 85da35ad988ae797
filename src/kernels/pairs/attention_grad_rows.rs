//! What the gradient of attention needs of each query.

use crate::error::Result;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::heads::row_tasks::row_tasks;
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::kernels::shader::attention_grad_rows as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Gradient rows (SPEC §1, Backward): `dN_i = [do_i | -⟨do_i, o_i⟩] / D_i` with `D_i = β + N_i[h]`, then
/// `⟨dN_i, N_i⟩ = ⟨do_i, o_i⟩ β / D_i`, then the gate sum (integer, fraction). For softmax `w_ij = exp(s_ij -
/// lse_i)`, so that D = 1 and β = 0; the log-sum-exp takes the place of the gate sum.
///
/// Arguments: do `[rows, H h]`, o `[rows, H h]`, normaliser or log-sum-exp `[lanes, G, tokens, M]`, keys
/// `[lanes, G, window, key_width]` → gradient rows `[lanes, G, tokens, M, h + 4]`.
///
/// As everywhere in the gradient of attention, rings are empty: token i is row i of its lane's window.
#[derive(Debug)]
pub struct AttentionGradRows {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Affinity of a pair.
    pub affinity: PairAffinity,
    /// β; 0 for softmax.
    pub bias: f64,
}

impl Kernel for AttentionGradRows {
    fn stem(&self) -> &'static str {
        "attention_grad_rows"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        let o = shape![Unit::Rows, l.width()];
        if inputs.len() != 4
            || inputs[0].shape != o
            || inputs[1].shape != o
            || inputs[3].shape.last() != Some(l.key_width())
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs outputs of {} and key rows of {}", l.width(), l.key_width()),
            ));
        }
        Ok(vec![l.gradient_rows()])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let softmax = self.affinity.softmax();
        shader::Overrides { softmax, bias: self.bias, head_layout: self.layout.overrides() }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let stride = call.unit(self.layout.window());
        let params = shader::Params { tokens: call.tokens as u32, stride: stride as u32 };
        let rows = call.tokens * self.layout.group;
        Dispatch::once(&params, [rows.div_ceil(shader::INVOCATIONS), 1, call.lanes.len() * self.layout.heads])
    }

    twins!(shader);
}

impl AttentionGradRows {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Rows of one task.
        const RUN: usize = 64;
        let l = &self.layout;
        let shader::Args { dout, o, normaliser, keys, drows, .. } = args;
        let (tokens, width, stride) = (call.tokens, l.gradient_width(), call.unit(l.window()));
        let softmax = self.affinity.softmax();
        let rows = tokens * l.group;
        let tasks = row_tasks(drows, [l.heads, rows, width], l.group, [rows, RUN], call);
        cpu::parallel_each(tasks, |_, task| {
            let lane_head = task.lane_head;
            let (at, head) = (lane_head / l.heads, lane_head % l.heads);
            for (own, row) in task.rows.zip(task.out.chunks_exact_mut(width)) {
                let (token, of_group) = (own / l.group, own % l.group);
                let place = (((at * tokens + token) * l.heads + head) * l.group + of_group) * l.head;
                let (dout, o) = (&dout[place..place + l.head], &o[place..place + l.head]);
                let kept = normaliser[lane_head * rows + own];
                let inner = cpu::dot(dout, o);
                let scale = if softmax { R::ONE } else { R::ONE / kept };
                row.iter_mut().zip(dout).for_each(|(r, d)| *r = *d * scale);
                row[l.head] = -inner * scale;
                row[l.head + 1] = inner * R::of(self.bias) * scale;
                let known = if softmax {
                    [kept, R::ZERO]
                } else {
                    l.gate_sum(&keys[(lane_head * stride + token) * l.key_width()..])
                };
                row[l.head + 2..].copy_from_slice(&known);
            }
        });
    }
}
