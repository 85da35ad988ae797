//! Adds the parts of `attention_dense_decode`.

use crate::error::Result;
use crate::kernels::dense::attention_dense::AttentionDense;
use crate::kernels::dense::attention_dense_decode::SPLITS;
use crate::kernels::shader::attention_dense_merge as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: parts `[lanes, H, SPLITS, h + 4]` → o `[rows, H h]` (one row a lane).
#[derive(Debug)]
pub struct AttentionDenseMerge(pub AttentionDense);

impl Kernel for AttentionDenseMerge {
    fn stem(&self) -> &'static str {
        "attention_dense_merge"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        if inputs.len() != 1 || inputs[0].shape != shape![Unit::Lanes, l.query_heads(), SPLITS, l.head + 4] {
            return Err(shape_error(self.stem(), inputs, "needs the parts"));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, l.width()])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let (bias, softmax) = (self.0.bias, self.0.affinity.softmax());
        let head_layout = self.0.layout.overrides();
        shader::Overrides { splits: SPLITS, bias, softmax, head_layout }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.0.layout;
        let params = shader::Params { lanes: call.lanes.len() as u32 };
        Dispatch::once(&params, [l.head.div_ceil(shader::INVOCATIONS), call.lanes.len() * l.query_heads(), 1])
    }

    twins!(shader);
}

impl AttentionDenseMerge {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { parts, o, .. } = args;
        let head = self.0.layout.head;
        let softmax = self.0.affinity.softmax();
        let parts = parts.chunks_exact(SPLITS * (head + 4));
        let outputs =
            parts.zip(o.chunks_exact_mut(head)).take(call.lanes.len() * self.0.layout.query_heads());
        for (parts, o) in outputs {
            o.fill(R::ZERO);
            let total = R::of(self.0.bias) + add_parts(parts, softmax.then(|| highest(parts, head)), o);
            o.iter_mut().for_each(|o| *o /= total);
        }
    }
}

/// The largest score of a query's parts `[SPLITS, h + 4]`.
pub(in crate::kernels) fn highest<R: Real>(parts: &[R], head: usize) -> R {
    parts.chunks_exact(head + 4).fold(R::of(-3e38), |m, p| m.max(p[head + 1]))
}

/// Adds a query's parts `[SPLITS, h + 4]` to o `[h]`, with softmax relative to the largest score; the sum of their
/// totals.
pub(in crate::kernels) fn add_parts<R: Real>(parts: &[R], highest: Option<R>, o: &mut [R]) -> R {
    let head = o.len();
    let mut total = R::ZERO;
    for part in parts.chunks_exact(head + 4) {
        let scale = highest.map_or(R::ONE, |highest| (part[head + 1] - highest).exp());
        total += scale * part[head];
        o.iter_mut().zip(part).for_each(|(o, p)| *o += scale * *p);
    }
    total
}
