//! The random sketch (Gaussian or Hadamard matrices, from the checkpoint).

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::{HeadLayout, HeadSource};
use crate::kernels::shader::{shared, sketch_random as shader};
use crate::kernels::sketch::vectors::{Vectors, infer_sketch, vector_count};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// `S(x, 1) = x`, `S(x, m) = gain (S1(x, m/2) left) ⊙ (S2(x, m/2) right)`, `s = S(x, p/2)` (SPEC §1, random;
/// PolySketchFormer, Algorithm 1).
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, matrices `[nodes, 2, h or r, r]` (leaves left
/// to right, then level by level to the root) → sketch: of queries `[lanes, G, tokens, M, r]`, then of
/// keys `[lanes, G, tokens, r]`.
#[derive(Clone, Debug)]
pub struct SketchRandom {
    /// Row layouts; `layout.sketch` is r.
    pub layout: HeadLayout,
    /// Leaves of the tree: p / 4.
    pub leaves: usize,
    /// Factor of every node.
    pub gain: f64,
}

impl SketchRandom {
    /// Numbers in the packed matrices.
    pub fn weight_count(&self) -> usize {
        let (h, r) = (self.layout.head, self.layout.sketch);
        2 * r * (self.leaves * h + (self.leaves - 1) * r)
    }

    /// The `override`s of `shared/sketch_tree.wgsl`.
    pub(in crate::kernels) fn tree(&self) -> shared::SketchTree {
        shared::SketchTree {
            size: self.layout.sketch,
            leaves: self.leaves,
            gain: self.gain,
            input_normed: self.layout.sketch_normed,
        }
    }

    /// A workgroup of so many vectors.
    fn cut(&self, row_tile: usize) -> shader::Overrides {
        let l = &self.layout;
        shader::Overrides {
            row_tile,
            vectors: row_tile * l.head,
            values: self.leaves * row_tile * l.sketch,
            sketch_tree: self.tree(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }
}

impl Kernel for SketchRandom {
    fn stem(&self) -> &'static str {
        "sketch_random"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer_sketch(self.stem(), &self.layout, self.weight_count(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        // Many vectors, or one where there are few.
        let vectors = capacity.unit(Unit::Rows).saturating_mul(self.layout.vectors());
        let sizes: &[usize] = if vectors <= 64 { &[] } else { &[8, 4, 2] };
        let memory = device.workgroup_memory.min(16 << 10);
        let cut = sizes.iter().map(|rows| self.cut(*rows)).find(|cut| cut.workgroup_bytes() <= memory);
        cut.unwrap_or_else(|| self.cut(1)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let vectors = vector_count(&self.layout, call);
        let params = shader::Params {
            vectors: vectors as u32,
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
        };
        let groups = vectors.div_ceil(shader::Overrides::of(variant).row_tile);
        Dispatch::once(&params, Dispatch::linear(groups))
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * vector_count(&self.layout, call) * self.weight_count()) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl SketchRandom {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (h, r, gain) = (self.layout.head, self.layout.sketch, R::of(self.gain));
        let shader::Args { qkv, lanes, norms, rotations, w: weights, sketch, .. } = args;
        let source = HeadSource { layout: &self.layout, qkv, norms, rotations };
        Vectors { source, lanes, call }.for_each_tile(sketch, |x, out| {
            let n = out.len() / r;
            // `values` holds a level, the branches `left` and `right` one node.
            cpu::with_scratch((self.leaves + 2) * n * r, |scratch: &mut [R]| {
                let (values, branches) = scratch.split_at_mut(self.leaves * n * r);
                let (left, right) = branches.split_at_mut(n * r);
                let mut node = |a: &[R], b: &[R], inputs: usize, matrices: &[R], values: &mut [R]| {
                    let (l, m) = matrices.split_at(inputs * r);
                    cpu::matmul(
                        MatMut::new(left, n, r),
                        Mat::new(a, n, inputs),
                        Mat::new(l, inputs, r),
                        false,
                    );
                    cpu::matmul(
                        MatMut::new(right, n, r),
                        Mat::new(b, n, inputs),
                        Mat::new(m, inputs, r),
                        false,
                    );
                    for ((v, a), b) in values.iter_mut().zip(&*left).zip(&*right) {
                        *v = *a * *b * gain;
                    }
                };
                for leaf in 0..self.leaves {
                    node(
                        x,
                        x,
                        h,
                        &weights[leaf * 2 * h * r..(leaf + 1) * 2 * h * r],
                        &mut values[leaf * n * r..(leaf + 1) * n * r],
                    );
                }
                let (mut nodes, mut at) = (self.leaves / 2, self.leaves * 2 * h * r);
                while nodes > 0 {
                    for k in 0..nodes {
                        // Node k reads children 2k and 2k + 1, and overwrites place k, which no later node of
                        // the level reads.
                        cpu::with_scratch(2 * n * r, |children: &mut [R]| {
                            children.copy_from_slice(&values[2 * k * n * r..(2 * k + 2) * n * r]);
                            let (a, b) = children.split_at(n * r);
                            node(
                                a,
                                b,
                                r,
                                &weights[at..at + 2 * r * r],
                                &mut values[k * n * r..(k + 1) * n * r],
                            );
                        });
                        at += 2 * r * r;
                    }
                    nodes /= 2;
                }
                out.copy_from_slice(&values[..n * r]);
            });
        });
    }
}
