//! Gradient of the gate logits: a suffix sum.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::shader::gate_prefix_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `d(log gate)_t = Σ_{i >= t} dG_i` over the rest of the text, `dlogit_t = σ(-logit_t) d(log gate)_t` (SPEC
/// §1, backward).
///
/// Arguments: qkv, lane table, dG `[lanes, G, tokens, 2]` (of the sums as if they never restarted) → in
/// place: dqkv (gains the gate columns), carry `[lanes, H]` (the suffix sum of later segments; afterwards
/// also of this one).
#[derive(Debug)]
pub struct GatePrefixGrad {
    /// Row layouts.
    pub layout: HeadLayout,
}

impl Kernel for GatePrefixGrad {
    fn stem(&self) -> &'static str {
        "gate_prefix_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != 3
            || inputs[0].shape != shape![Unit::Rows, l.qkv_width()]
            || inputs[2].shape.last() != Some(2)
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs qkv [rows, {}] and gradients of sums", l.qkv_width()),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { head_layout: self.layout.overrides() }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params { lanes: call.lanes.len() as u32, tokens: call.tokens as u32 };
        Dispatch::once(&params, [call.lanes.len() * self.layout.heads, 1, 1])
    }

    twins!(shader);
}

impl GatePrefixGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { qkv, lanes, dsums, dqkv, carry, .. } = args;
        let (l, tokens, width) = (&self.layout, call.tokens, self.layout.qkv_width());
        // The logits of a head over the tokens of a lane: a column of dqkv.
        let dlogits = &mut dqkv[..call.lanes.len() * tokens * width][l.gate_offset()..];
        let mut dlogits = cpu::blocks(dlogits, width, [l.heads, 1], |row, head| {
            (row / tokens * l.heads + head) * tokens + row % tokens
        });
        cpu::parallel_each(dlogits.chunks_mut(tokens).zip(carry), |task, (dlogits, carry)| {
            let (at, head) = (task / l.heads, task % l.heads);
            assert_eq!(lane(lanes, call.lane_base + at).ring, 0);
            for (token, dlogit) in dlogits.iter_mut().enumerate().rev() {
                *carry += dsums[(task * tokens + token) * 2];
                let logit = qkv[(at * tokens + token) * width + l.gate_offset() + head];
                // σ(-x) = e^{log σ(-x)}.
                dlogit[0] += *carry * (-logit).log_sigmoid().exp();
            }
        });
    }
}
