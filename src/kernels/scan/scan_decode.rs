//! One token a lane against the constant state.

use crate::error::Result;
use crate::kernels::dense::attention_dense::far_share;
use crate::kernels::dense::attention_dense_decode::SPLITS;
use crate::kernels::dense::attention_dense_merge::{add_parts, highest};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{lane, shared_queries};
use crate::kernels::scan::features::FeatureTable;
use crate::kernels::scan::scan_output::{Leaves, ScanOutput};
use crate::kernels::shader::scan_decode as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, Shape, TensorType, Unit};
use crate::{shape, twins};

/// The recurrent form of [`ScanOutput`]: the ring's rows exactly, everything before them through `Zᵀφ(q)`, or
/// ([`Leaves::Far`]) the latter joined with the parts that `attention_dense_decode` made of what is near.
///
/// Arguments: queries `[lanes, G, 1, M, query_width]`, ring `[slots, G, ring rows, key_width]`, lane table, feature
/// table, state `[slots, G, F (h + 1)]`, (parts `[lanes, H, SPLITS, h + 4]`) → o `[rows, H h]`.
#[derive(Debug)]
pub struct ScanDecode(pub ScanOutput);

impl Kernel for ScanDecode {
    fn stem(&self) -> &'static str {
        "scan_decode"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        let parts = shape![Unit::Lanes, l.query_heads(), SPLITS, l.head + 4];
        let rest: &[Shape] = if self.joins() { &[parts] } else { &[] };
        if !inputs.iter().skip(5).map(|t| &t.shape).eq(rest)
            || inputs.len() < 5
            || inputs[0].shape.last() != Some(l.query_width())
            || inputs[1].shape.last() != Some(l.key_width())
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs query rows of {} and key rows of {}", l.query_width(), l.key_width()),
            ));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, l.width()])])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let (s, l) = (&self.0, &self.0.layout);
        let overrides = |share| shader::Overrides {
            share,
            query_numbers: share * l.query_width(),
            affinities: share * shader::THREADS,
            splits: SPLITS,
            local: s.local_width,
            local_offset: s.local_offset,
            bias: s.bias,
            head_layout: l.overrides(),
            features: s.features.overrides(s.source_offset),
            local_affinity: s.local.overrides(),
        };
        let flags = shader::Flags { taylor: s.local.taylor(), parts: self.joins() };
        let share = shared_queries(l, device, |share| overrides(share).workgroup_bytes(flags));
        overrides(share).variant(flags)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.0.layout;
        let params = shader::Params { lane_base: call.lane_base as u32 };
        let shares = l.group / shader::Overrides::of(variant).share;
        Dispatch::once(&params, [call.lanes.len() * l.heads, shares, 1])
    }

    fn flops(&self, call: &Call) -> u64 {
        let (s, l) = (&self.0, &self.0.layout);
        // On average half of the ring is filled.
        let each = l.block * (s.local_width + l.head) + 2 * s.features.state(l.head);
        (call.lanes.len() * l.query_heads() * each) as u64
    }

    twins!(shader);
}

impl ScanDecode {
    /// Whether what is near comes as parts.
    fn joins(&self) -> bool {
        self.0.leaves == Leaves::Far
    }

    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (s, l) = (&self.0, &self.0.layout);
        let shader::Args { queries, ring, lanes, table, state, parts, o, .. } = args;
        let size = s.features.state(l.head);
        let share = share(l.group, call.lanes.len() * l.heads, cpu::threads());
        let o = &mut o[..call.lanes.len() * l.query_heads() * l.head];
        cpu::parallel_chunks(o, share * l.head, |task, out| {
            let first = task * share;
            let lane = lane(lanes, call.lane_base + first / l.query_heads());
            let slot_head = lane.slot * l.heads + first % l.query_heads() / l.group;
            let own = l.ring_row(lane.position);
            let ring = &ring[slot_head * l.ring_rows() * l.key_width()..][..l.ring_rows() * l.key_width()];
            let gate = l.gate_sum(&ring[own * l.key_width()..]);
            // The rows of the token's block.
            let ring_row = |row: usize| &ring[row * l.key_width()..];
            let block = own / l.block * l.block;
            let rows = if self.joins() { 0 } else { own - block + 1 };
            let block = &ring_row(block)[..rows * l.key_width()];
            let queries = &queries[first * l.query_width()..][..share * l.query_width()];
            out.fill(R::ZERO);
            let most = rows.max(s.features.count);
            cpu::with_scratch(share * (most + 1), |scratch: &mut [R]| {
                let (totals, affinities) = scratch.split_at_mut(share);
                let each = out.chunks_exact_mut(l.head).zip(queries.chunks_exact(l.query_width()));
                for (((out, query), total), affinities) in
                    each.zip(totals.iter_mut()).zip(affinities.chunks_exact_mut(most))
                {
                    *total = R::ZERO;
                    let local = &query[s.local_offset..s.local_offset + s.local_width];
                    for (w, key) in affinities.iter_mut().zip(block.chunks_exact(l.key_width())) {
                        *w = cpu::dot(local, &key[s.local_offset..s.local_offset + s.local_width]);
                    }
                    s.local.apply(&mut affinities[..rows]);
                    for (w, key) in affinities.iter().zip(block.chunks_exact(l.key_width())) {
                        let w = if l.gated { *w * gate_decay(gate, l.gate_sum(key)) } else { *w };
                        *total += w;
                        cpu::axpy(w, &key[l.value_offset()..l.sum_offset()], out);
                    }
                }
                if lane.position >= l.near * l.block {
                    let mut decay = R::ONE;
                    if l.gated {
                        // Its own block's part, and the blocks between it and the state.
                        decay = gate_decay(gate, [R::ZERO; 2]);
                        for other in (0..l.near).filter(|other| *other != own / l.block) {
                            let last = l.gate_sum(ring_row((other + 1) * l.block - 1));
                            decay *= gate_decay(last, [R::ZERO; 2]);
                        }
                    }
                    let (z, z_total) = state[slot_head * size..][..size].split_at(s.features.count * l.head);
                    let features = FeatureTable::new(&s.features, table);
                    let each = queries.chunks_exact(l.query_width()).zip(totals.iter_mut());
                    for ((query, total), affinities) in each.zip(affinities.chunks_exact_mut(most)) {
                        let source = &query[s.source_offset..s.source_offset + s.features.source];
                        features.tile(source, 1, 0, s.features.count, Some(&[decay]), affinities);
                        *total += cpu::dot(&affinities[..s.features.count], z_total);
                    }
                    // Each row of the state is read once for all of the group's queries.
                    cpu::vectorized(
                        #[inline(always)]
                        || {
                            for (i, z) in z.chunks_exact(l.head).enumerate() {
                                for (out, p) in
                                    out.chunks_exact_mut(l.head).zip(affinities[i..].iter().step_by(most))
                                {
                                    for (o, z) in out.iter_mut().zip(z) {
                                        *o += *p * *z;
                                    }
                                }
                            }
                        },
                    );
                }
                for ((i, out), total) in out.chunks_exact_mut(l.head).enumerate().zip(totals) {
                    if let Some(parts) = parts {
                        let each = SPLITS * (l.head + 4);
                        let parts = &parts[(first + i) * each..][..each];
                        let highest = highest(parts, l.head);
                        let share = far_share(highest);
                        out.iter_mut().for_each(|o| *o *= share);
                        *total = share * *total + add_parts(parts, Some(highest), out);
                    }
                    let scale = R::ONE / (R::of(s.bias) + *total);
                    out.iter_mut().for_each(|o| *o *= scale);
                }
            });
        });
    }
}

/// Queries of a key head that a task takes: all, so that its state is read once, or fewer where threads would
/// have nothing to do. A row of the state costs as much to read as to use once.
fn share(group: usize, key_heads: usize, threads: usize) -> usize {
    let time = |share: usize| (key_heads * group / share).div_ceil(threads.max(1)) * (share + 1);
    (1..=group).filter(|share| group.is_multiple_of(*share)).min_by_key(|share| time(*share)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tasks_share_a_state_unless_threads_would_wait() {
        for (group, key_heads, threads, want) in
            [(1, 9, 2, 1), (3, 3, 2, 3), (12, 2, 2, 12), (12, 2, 8, 3), (12, 2, 1, 12), (4, 1, 64, 1)]
        {
            assert_eq!(super::share(group, key_heads, threads), want, "{group} {key_heads} {threads}");
        }
    }
}
