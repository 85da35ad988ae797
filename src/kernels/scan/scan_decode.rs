//! One token a lane against the constant state.

use crate::error::Result;
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{lane, shared_queries};
use crate::kernels::scan::features::FeatureTable;
use crate::kernels::scan::scan_output::ScanOutput;
use crate::kernels::shader::scan_decode as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// The recurrent form of [`ScanOutput`]: the ring's rows exactly, everything before them through `Zᵀφ(q)`.
///
/// Arguments: queries `[lanes, G, 1, M, query_width]`, ring `[slots, G, block, key_width]`, lane table, feature
/// table, state `[slots, G, F (h + 1)]` → o `[rows, H h]`.
#[derive(Debug)]
pub struct ScanDecode(pub ScanOutput);

impl Kernel for ScanDecode {
    fn stem(&self) -> &'static str {
        "scan_decode"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        if inputs.len() != 5
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
            local: s.local_width,
            local_offset: s.local_offset,
            bias: s.bias,
            head_layout: l.overrides(),
            features: s.features.overrides(s.source_offset),
            local_affinity: s.local.overrides(),
        };
        let flags = shader::Flags { taylor: s.local.taylor() };
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
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (s, l) = (&self.0, &self.0.layout);
        let shader::Args { queries, ring, lanes, table, state, o, .. } = args;
        let size = s.features.state(l.head);
        cpu::parallel_chunks(&mut o[..call.lanes.len() * l.width()], l.head, |task, out| {
            let lane = lane(lanes, call.lane_base + task / l.query_heads());
            let slot_head = lane.slot * l.heads + task % l.query_heads() / l.group;
            let rows = lane.ring % l.block + 1;
            let ring = &ring[slot_head * l.block * l.key_width()..][..rows * l.key_width()];
            let query = &queries[task * l.query_width()..][..l.query_width()];
            out.fill(R::ZERO);
            let gate = l.gate_sum(&ring[(rows - 1) * l.key_width()..]);
            let mut total = R::ZERO;
            cpu::with_scratch(rows.max(s.features.count), |affinities: &mut [R]| {
                let local = &query[s.local_offset..s.local_offset + s.local_width];
                for (w, key) in affinities.iter_mut().zip(ring.chunks_exact(l.key_width())) {
                    *w = cpu::dot(local, &key[s.local_offset..s.local_offset + s.local_width]);
                }
                s.local.apply(&mut affinities[..rows]);
                for (w, key) in affinities.iter().zip(ring.chunks_exact(l.key_width())) {
                    let w = if l.gated { *w * gate_decay(gate, l.gate_sum(key)) } else { *w };
                    total += w;
                    cpu::axpy(w, &key[l.value_offset()..l.sum_offset()], out);
                }
                if lane.position >= l.block {
                    let decay = if l.gated { gate_decay(gate, [R::ZERO; 2]) } else { R::ONE };
                    let source = &query[s.source_offset..s.source_offset + s.features.source];
                    let (z, z_total) = state[slot_head * size..][..size].split_at(s.features.count * l.head);
                    let features = FeatureTable::new(&s.features, table);
                    features.tile(source, 1, 0, s.features.count, Some(&[decay]), affinities);
                    total += cpu::dot(&affinities[..s.features.count], z_total);
                    cpu::vectorized(
                        #[inline(always)]
                        || {
                            for (p, z) in affinities.iter().zip(z.chunks_exact(l.head)) {
                                for (o, z) in out.iter_mut().zip(z) {
                                    *o += *p * *z;
                                }
                            }
                        },
                    );
                }
            });
            let scale = R::ONE / (R::of(s.bias) + total);
            out.iter_mut().for_each(|o| *o *= scale);
        });
    }
}
