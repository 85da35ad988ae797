//! Gradient of the gate logits: a suffix sum.

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// `d(log gate)_t = Σ_{i >= t} dG_i` over the rest of the text, `dlogit_t = σ(-logit_t) d(log gate)_t` (SPEC
/// §1, backward).
///
/// Arguments: qkv, lane table, dG `[lanes, H, tokens, 2]` (of the sums as if they never restarted) → in
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
        let l = &self.layout;
        Variant::new("gate_prefix_grad", &[])
            .size("HEADS", l.heads)
            .size("QKV_WIDTH", l.qkv_width())
            .size("GATE_OFFSET", l.gate_offset())
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params =
            shader::gate_prefix_grad::Params { lanes: call.lanes.len() as u32, tokens: call.tokens as u32 };
        Dispatch::once(&params, [call.lanes.len() * self.layout.heads, 1, 1])
    }

    twins!();
}

impl GatePrefixGrad {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let (qkv, lanes, dsums) = (args.real(0), args.ids(1), args.real(2));
        let (dqkv, carry) = (SharedMut::new(args.real_mut(3)), SharedMut::new(args.real_mut(4)));
        let tokens = call.tokens;
        cpu::parallel_for(call.lanes.len() * l.heads, |task| {
            let (at, head) = (task / l.heads, task % l.heads);
            debug_assert_eq!(lane(lanes, call.lane_base + at).ring, 0);
            // SAFETY: every task has its own (lane, head), and so its own column of dqkv's rows.
            let at_place = |place: usize| unsafe { dqkv.slice(place, 1) };
            let carry = unsafe { carry.slice(task, 1) };
            for token in (0..tokens).rev() {
                carry[0] += dsums[(task * tokens + token) * 2];
                let place = (at * tokens + token) * l.qkv_width() + l.gate_offset() + head;
                // σ(-x) = e^{log σ(-x)}.
                at_place(place)[0] += carry[0] * (-qkv[place]).log_sigmoid().exp();
            }
        });
    }
}
