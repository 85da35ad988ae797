//! One query a lane against its whole cache, in parts.

use crate::error::Result;
use crate::kernels::dense::attention_dense::{AttentionDense, Keys};
use crate::kernels::heads::layout::{check_cache, lane, shared_queries};
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

    fn check(&self, _: &Variant, _: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        if let Keys::Cache(context) = self.0.keys { check_cache(context, capacity) } else { Ok(()) }
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

/// Keys that a task of the twin takes at least, where the cache has as many.
const LEAST: usize = 128;

impl AttentionDenseDecode {
    /// The queries of a key head are rows that read its cache once; a long cache is cut into parts.
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let l = &self.0.layout;
        let shader::Args { queries, keys, lanes, parts, .. } = args;
        let (stride, size) = (self.0.stride(call), l.head + 4);
        let parts = &mut parts[..call.lanes.len() * l.query_heads() * SPLITS * size];
        let mut tasks = Vec::new();
        for (at, of_head) in parts.chunks_exact_mut(l.group * SPLITS * size).enumerate() {
            let lane = lane(lanes, call.lane_base + at / l.heads);
            let seen = lane.position + 1;
            let share = seen.div_ceil(seen.div_ceil(LEAST).clamp(1, SPLITS));
            let place = (lane.slot * l.heads + at % l.heads) * stride * l.key_width();
            let keys = &keys[place..][..seen * l.key_width()];
            let queries = &queries[at * l.group * l.query_width()..][..l.group * l.query_width()];
            let mut of_part: Vec<Vec<&mut [R]>> = (0..SPLITS).map(|_| Vec::with_capacity(l.group)).collect();
            for (i, part) in of_head.chunks_exact_mut(size).enumerate() {
                of_part[i % SPLITS].push(part);
            }
            for (split, of_part) in of_part.into_iter().enumerate() {
                let range = [split * share, split * share + share].map(|key| key.min(seen));
                tasks.push((range, lane.position, queries, keys, of_part));
            }
        }
        cpu::parallel_each(tasks, |_, ([from, to], position, queries, keys, parts)| {
            cpu::with_scratch(l.group * (l.head + 2), |scratch: &mut [R]| {
                let (sums, rest) = scratch.split_at_mut(l.group * l.head);
                let (totals, highest) = rest.split_at_mut(l.group);
                let row = Some(position * l.group);
                self.0.attend(queries, keys, [from, to], row, [&mut *sums, &mut *totals, &mut *highest]);
                for (i, part) in parts.into_iter().enumerate() {
                    part[..l.head].copy_from_slice(&sums[i * l.head..][..l.head]);
                    part[l.head] = totals[i];
                    part[l.head + 1] = highest[i];
                    part[l.head + 2..].fill(R::ZERO);
                }
            });
        });
    }
}
