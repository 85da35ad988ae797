//! One query a lane against its whole cache, in parts.

use crate::error::Result;
use crate::kernels::dense::attention_dense::AttentionDense;
use crate::kernels::heads::layout::{lane, shared_queries};
use crate::kernels::shader::attention_dense_decode as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Ranges a cache is cut into, one workgroup each.
pub const SPLITS: usize = 16;

/// Arguments: queries `[lanes, G, 1, M, query_width]`, cache `[slots, G, context, key_width]`, lane table →
/// parts `[lanes, H, SPLITS, h + 4]` (sum, total, maximum).
#[derive(Debug)]
pub struct AttentionDenseDecode(pub AttentionDense);

impl Kernel for AttentionDenseDecode {
    fn stem(&self) -> &'static str {
        "attention_dense_decode"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(self.stem(), inputs)?;
        let l = &self.0.layout;
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.query_heads(), SPLITS, l.head + 4])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let (l, affinity) = (&self.0.layout, self.0.affinity);
        let flags = shader::Flags { softmax: affinity.softmax(), taylor: affinity.taylor() };
        let (softmax, local_affinity) = affinity.overrides(l.size);
        let overrides = |share| shader::Overrides {
            splits: SPLITS,
            share,
            query_numbers: share * l.head,
            affinities: share * shader::THREADS,
            head_layout: l.overrides(),
            softmax,
            local_affinity,
        };
        let share = shared_queries(l, device, |share| overrides(share).workgroup_bytes(flags));
        overrides(share).variant(flags)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.0.layout;
        let stride = self.0.stride(call) as u32;
        let params = shader::Params { lane_base: call.lane_base as u32, stride };
        let shares = l.group / shader::Overrides::of(variant).share;
        Dispatch::once(&params, [SPLITS, call.lanes.len() * l.heads, shares])
    }

    fn flops(&self, call: &Call) -> u64 {
        call.lanes.iter().map(|l| (4 * (l.position + 1) * self.0.layout.width()) as u64).sum()
    }

    twins!(shader);
}

impl AttentionDenseDecode {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let l = &self.0.layout;
        let shader::Args { queries, keys, lanes, parts, .. } = args;
        let stride = self.0.stride(call);
        let size = l.head + 4;
        // A twin has no need to cut the cache: the whole of it is the first part.
        cpu::parallel_chunks(
            &mut parts[..call.lanes.len() * l.query_heads() * SPLITS * size],
            SPLITS * size,
            |task, parts| {
                let (at, head) = (task / l.query_heads(), task % l.query_heads() / l.group);
                let lane = lane(lanes, call.lane_base + at);
                let keys = &keys[(lane.slot * l.heads + head) * stride * l.key_width()..]
                    [..(lane.position + 1) * l.key_width()];
                parts.fill(R::ZERO);
                for part in parts.chunks_exact_mut(size) {
                    part[l.head + 1] = R::of(-3e38);
                }
                let (sums, rest) = parts.split_at_mut(l.head);
                let (total, rest) = rest.split_at_mut(1);
                self.0.attend(
                    &queries[task * l.query_width()..][..l.query_width()],
                    keys,
                    1,
                    Some(lane.position * l.group),
                    sums,
                    total,
                    &mut rest[..1],
                );
                rest[0] = if self.0.affinity.softmax() { R::ZERO } else { rest[0] };
            },
        );
    }
}
