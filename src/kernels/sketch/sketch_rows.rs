//! A token's query and key rows with the learned sketch in them, in one dispatch.

use crate::error::Result;
use crate::kernels::heads::layout::HeadSource;
use crate::kernels::heads::pack_heads::{KeysAt, PackHeads};
use crate::kernels::shader::{pack_heads, sketch_rows as shader};
use crate::kernels::sketch::sketch_learned::SketchLearned;
use crate::kernels::sketch::vectors::{Vectors, infer_sketch, vector_count};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::shape;
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// [`SketchLearned`] and [`PackHeads`] into the ring, of one token a lane: when decoding a dispatch costs more than
/// what either does.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights `[weight_count]` → queries
/// `[lanes, G, 1, M, query_width]`, keys (ring in place).
#[derive(Clone, Debug)]
pub struct SketchRows(SketchLearned);

impl SketchRows {
    /// None where the net's hidden layer is too large for some device: there the two have a dispatch each.
    pub fn new(sketch: &SketchLearned) -> Option<Self> {
        let both = Self(sketch.clone());
        (both.cut(1).workgroup_bytes() <= DeviceTraits::floor().workgroup_memory).then_some(both)
    }

    fn pack(&self) -> PackHeads {
        PackHeads { layout: self.0.layout.clone(), keys: KeysAt::Ring, sums: false }
    }

    fn cut(&self, rows: usize) -> shader::Overrides {
        let l = &self.0.layout;
        shader::Overrides {
            sketch_vectors_few: self.0.vectors_few(rows),
            pack_rows: self.pack().rows(),
            sketch_net: self.0.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }
}

impl Kernel for SketchRows {
    fn stem(&self) -> &'static str {
        "sketch_rows"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        infer_sketch(self.stem(), l, self.0.weight_count(), inputs)?;
        if inputs[2].shape != shape![4, l.head] {
            return Err(shape_error(self.stem(), inputs, format_args!("needs norms [4, {}]", l.head)));
        }
        Ok(vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.group, l.query_width()])])
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let vectors = capacity.unit(Unit::Lanes).saturating_mul(self.0.layout.vectors());
        let fit = |rows| self.cut(rows).workgroup_bytes() <= device.workgroup_memory;
        self.cut(SketchLearned::few_rows(vectors, fit).unwrap_or(1)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let (pack, vectors) = (self.pack(), vector_count(&self.0.layout, call));
        let params = shader::Params {
            vectors: vectors as u32,
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: pack.stride(call) as u32,
        };
        let rows = shader::Overrides::of(variant).sketch_vectors_few.rows;
        let groups = vectors.div_ceil(rows) + call.lanes.len() * pack.parts();
        Dispatch::once(&params, Dispatch::linear(groups))
    }

    fn flops(&self, call: &Call) -> u64 {
        self.0.flops(call)
    }

    twins!(shader);
}

impl SketchRows {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { qkv, lanes, norms, rotations, w, queries, keys, .. } = args;
        let l = &self.0.layout;
        cpu::with_scratch(vector_count(l, call) * l.sketch, |sketch: &mut [R]| {
            let source = HeadSource { layout: l, qkv, norms, rotations };
            self.0.run(Vectors { source, lanes, call }, w, sketch);
            let (sketch, sums, of) = (Some(&*sketch), None, std::marker::PhantomData);
            let args = pack_heads::Args { qkv, lanes, norms, rotations, queries, keys, sums, sketch, of };
            self.pack().twin(args, call);
        });
    }
}
