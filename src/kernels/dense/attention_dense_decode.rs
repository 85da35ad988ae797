//! One query a lane against its whole cache, in parts.

use crate::error::Result;
use crate::kernels::dense::attention_dense::{AttentionDense, Keys, Sums};
use crate::kernels::heads::layout::{check_cache, lane, shared_queries};
use crate::kernels::shader::attention_dense_decode as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Ranges a cache is cut into, one workgroup each.
pub const SPLITS: usize = 16;

/// Arguments: queries `[lanes, G, 1, M, query_width]`, cache `[slots, G, context, key_width]` or ring, lane table,
/// with a ring the rotation table → parts `[lanes, H, SPLITS, h + 4]` (sum, total, maximum).
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
        let (softmax, taylor) = (affinity.softmax(), affinity.taylor());
        let flags = shader::Flags { softmax, taylor, ring: self.0.keys == Keys::Ring };
        let (softmax, local_affinity) = affinity.overrides(l.size);
        let overrides = |share| shader::Overrides {
            splits: SPLITS,
            share,
            query_numbers: share * l.head * if l.sink_reach > 0 { 2 } else { 1 },
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
        call.lanes.iter().map(|lane| (4 * self.seen(lane.position) * self.0.layout.width()) as u64).sum()
    }

    twins!(shader);
}

/// Keys that a task of the twin takes at least, where the cache has as many.
const LEAST: usize = 128;

impl AttentionDenseDecode {
    /// Keys that a token at a position sees.
    fn seen(&self, position: usize) -> usize {
        self.ranges(position).iter().map(|range| range[1] - range[0]).sum()
    }

    /// Where they lie. In a ring: its block up to it, the blocks that lie there before and behind, and the sinks once
    /// their block is no longer near.
    fn ranges(&self, position: usize) -> [[usize; 2]; 3] {
        let l = &self.0.layout;
        if self.0.keys != Keys::Ring {
            return [[0, position + 1], [0; 2], [0; 2]];
        }
        let near = l.near * l.block;
        if position < near {
            return [[0, position + 1], [0; 2], [0; 2]];
        }
        let own = l.ring_row(position);
        [[0, own + 1], [(own / l.block + 1) * l.block, near], [near, near + l.sinks]]
    }

    /// The queries of a key head are rows that read its cache once; a long cache is cut into parts.
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let l = &self.0.layout;
        let shader::Args { queries, keys, lanes, rotations, parts, .. } = args;
        let (stride, size) = (self.0.stride(call), l.head + 4);
        let parts = &mut parts[..call.lanes.len() * l.query_heads() * SPLITS * size];
        let mut tasks = Vec::new();
        for (at, of_head) in parts.chunks_exact_mut(l.group * SPLITS * size).enumerate() {
            let lane = lane(lanes, call.lane_base + at / l.heads);
            let seen = self.seen(lane.position);
            let share = seen.div_ceil(seen.div_ceil(LEAST).clamp(1, SPLITS));
            let place = (lane.slot * l.heads + at % l.heads) * stride * l.key_width();
            let keys = &keys[place..][..stride * l.key_width()];
            let queries = &queries[at * l.group * l.query_width()..][..l.group * l.query_width()];
            let mut of_part: Vec<Vec<&mut [R]>> = (0..SPLITS).map(|_| Vec::with_capacity(l.group)).collect();
            for (i, part) in of_head.chunks_exact_mut(size).enumerate() {
                of_part[i % SPLITS].push(part);
            }
            for (split, of_part) in of_part.into_iter().enumerate() {
                // So many of the keys, wherever they lie.
                let (mut before, mut ranges) = (0, self.ranges(lane.position));
                for range in &mut ranges {
                    let [from, to] = *range;
                    let inside = |key: usize| (from + key.saturating_sub(before)).min(to);
                    *range = [inside(split * share), inside(split * share + share)];
                    before += to - from;
                }
                tasks.push((ranges, lane.position, queries, keys, of_part));
            }
        }
        let width = l.key_width();
        cpu::parallel_each(tasks, |_, (ranges, position, queries, keys, parts)| {
            cpu::with_scratch(l.group * (l.head + 2), |scratch: &mut [R]| {
                let (sums, rest) = scratch.split_at_mut(l.group * l.head);
                let (totals, highest) = rest.split_at_mut(l.group);
                // In a ring, a query sees all that lies there.
                let row = Some(position * l.group).filter(|_| self.0.keys != Keys::Ring);
                let mut sums_of = Sums { sums, totals, highest };
                sums_of.clear();
                let [near @ .., sinks] = ranges;
                for range in near.into_iter().filter(|[from, to]| from < to) {
                    self.0.attend(queries, keys, range, row, &mut sums_of);
                }
                if let (Some(rotations), true) = (rotations, sinks[0] < sinks[1]) {
                    let sinks = &keys[sinks[0] * width..sinks[1] * width];
                    self.0.attend_sinks(queries, sinks, rotations, position / l.block, &mut sums_of);
                }
                let Sums { sums, totals, highest } = sums_of;
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
