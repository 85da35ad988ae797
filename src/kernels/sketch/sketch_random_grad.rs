//! Gradient of the random sketch, whose matrices are not trained: back to the vectors only.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::HeadSource;
use crate::kernels::shader::{shared, sketch_random_grad as shader};
use crate::kernels::sketch::sketch_random::SketchRandom;
use crate::kernels::sketch::slabs::{Slabs, infer_gradient};
use crate::kernels::sketch::vectors::{Cut, Gradients, Vectors, vector_count};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, matrices, dsketch `[2, lanes, H, tokens, r]` →
/// slabs `[slabs, 4 h + tile]` (partial sums of the gradient of the norms; then the tile in work, of the
/// shader only); in place: dqkv `[rows, qkv_width]`.
#[derive(Debug)]
pub struct SketchRandomGrad(pub SketchRandom);

impl SketchRandomGrad {
    /// The partial sums.
    pub(in crate::kernels) fn slabs(&self) -> Slabs {
        let (h, r) = (self.0.layout.head, self.0.layout.sketch);
        let tile = shader::ROW_TILE * (2 * h + (2 * self.0.leaves - 1) * 4 * r);
        Slabs { numbers: 4 * h + tile, most: 128 }
    }
}

impl Kernel for SketchRandomGrad {
    fn stem(&self) -> &'static str {
        "sketch_random_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer_gradient(self.stem(), &self.0.layout, self.0.weight_count(), self.slabs(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.0.layout;
        // Matrices forwards and backwards, elements of the tile by all invocations; then what
        // loads and stores the vectors.
        let widest = l.head.max(l.sketch);
        let rows = (shader::ROW_TILE * widest).div_ceil(shader::THREADS) + 1;
        let matrices = (2 * self.0.leaves - 1) * 2 * widest * rows;
        let tiles = device.rounds(4 * l.head, 2 * (matrices + 16 * l.head));
        shader::Overrides {
            sketch_grad_bindings: shared::SketchGradBindings { tiles, slab: self.slabs().numbers },
            sketch_tree: self.0.tree(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
        .variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let at_once = shader::Overrides::of(variant).sketch_grad_bindings.tiles;
        let vectors = vector_count(&self.0.layout, call) as u32;
        self.slabs().dispatches(&self.0.layout, [shader::ROW_TILE, at_once], call, |slabs, first_tile| {
            shader::Params {
                vectors,
                lanes: call.lanes.len() as u32,
                tokens: call.tokens as u32,
                lane_base: call.lane_base as u32,
                slabs: slabs as u32,
                first_tile: first_tile as u32,
            }
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        2 * self.0.flops(call)
    }

    twins!(shader);
}

impl SketchRandomGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const TILE: usize = 64;
        let shader::Args { qkv, lanes, norms, rotations, w, dsketch, slabs, dqkv, .. } = args;
        let of = self.slabs();
        let cut = Cut { tile: TILE, slab: of.numbers, slabs: of.count(call), weights: 0 };
        let source = HeadSource { layout: &self.0.layout, qkv, norms, rotations };
        let gradients = Gradients { dsketch, slabs, dqkv };
        Vectors { source, lanes, call }
            .for_each_tile_backward(gradients, cut, |x, ds, dx, _| self.tree_backward(w, x, ds, dx));
    }

    /// dx `[n, h]` of vectors x `[n, h]`, given ds `[n, r]`.
    fn tree_backward<R: Real>(&self, matrices: &[R], x: &[R], ds: &[R], dx: &mut [R]) {
        let (h, r, leaves) = (self.0.layout.head, self.0.layout.sketch, self.0.leaves);
        let (n, gain) = (ds.len() / r, R::of(self.0.gain));
        let part = n * r;
        // Of every node, leaves first: left product, right product, value, gradient.
        let nodes = 2 * leaves - 1;
        cpu::with_scratch(nodes * 4 * part, |scratch: &mut [R]| {
            let matrix = |node: usize| {
                let inputs = if node < leaves { h } else { r };
                let at = 2 * r * (node.min(leaves) * h + node.saturating_sub(leaves) * r);
                matrices[at..at + 2 * inputs * r].split_at(inputs * r)
            };
            // Node k of a level reads children 2k and 2k + 1 of the level below, which lie one after the
            // other before it.
            let children = |node: usize| 2 * (node - leaves);
            for node in 0..nodes {
                let (below, this) = scratch.split_at_mut(node * 4 * part);
                let (left, rest) = this.split_at_mut(part);
                let (right, rest) = rest.split_at_mut(part);
                let value = &mut rest[..part];
                let (l, m) = matrix(node);
                let (a, b, inputs) = match node < leaves {
                    true => (x, x, h),
                    false => {
                        let child = |k: usize| &below[(children(node) + k) * 4 * part + 2 * part..][..part];
                        (child(0), child(1), r)
                    }
                };
                cpu::matmul(MatMut::new(left, n, r), Mat::new(a, n, inputs), Mat::new(l, inputs, r), false);
                cpu::matmul(MatMut::new(right, n, r), Mat::new(b, n, inputs), Mat::new(m, inputs, r), false);
                for ((v, a), b) in value.iter_mut().zip(&*left).zip(&*right) {
                    *v = *a * *b * gain;
                }
            }
            scratch[(nodes - 1) * 4 * part + 3 * part..].copy_from_slice(ds);
            dx.fill(R::ZERO);
            for node in (0..nodes).rev() {
                let (below, this) = scratch.split_at_mut(node * 4 * part);
                let (left, rest) = this.split_at_mut(part);
                let (right, rest) = rest.split_at_mut(part);
                let gradient = &rest[part..2 * part];
                // dleft = gain dy ⊙ right, dright = gain dy ⊙ left, in their places.
                for ((a, b), d) in left.iter_mut().zip(&mut *right).zip(gradient) {
                    (*a, *b) = (*d * *b * gain, *d * *a * gain);
                }
                let (l, m) = matrix(node);
                for (k, (d, matrix)) in [(&*left, l), (&*right, m)].into_iter().enumerate() {
                    let d = Mat::new(d, n, r);
                    if node < leaves {
                        cpu::matmul(MatMut::new(dx, n, h), d, Mat::new(matrix, h, r).t(), true);
                    } else {
                        let out = &mut below[(children(node) + k) * 4 * part + 3 * part..][..part];
                        cpu::matmul(MatMut::new(out, n, r), d, Mat::new(matrix, r, r).t(), false);
                    }
                }
            }
        });
    }
}
