//! The learned sketch.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::{HeadLayout, HeadSource};
use crate::kernels::shader::{shared, sketch_learned as shader, sketch_learned_tile as tile};
use crate::kernels::sketch::vectors::{Vectors, infer_sketch, vector_count};
use crate::kernels::tiles::row_tile::{SKETCH, rows};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, Views, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// `s = √r tanh(left(x) ⊙ right(x) / √r)`, two branches of levels LN → Linear → GELU → Linear (SPEC §1,
/// learned).
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights `[weight_count]` (left, then right; a
/// level is norm weight `[i]`, norm bias `[i]`, up `[e r, i]`, down `[r, e r]`) → sketch: of queries
/// `[lanes, G, tokens, M, r]`, then of keys `[lanes, G, tokens, r]`.
#[derive(Clone, Debug)]
pub struct SketchLearned {
    /// Row layouts; `layout.sketch` is r.
    pub layout: HeadLayout,
    /// Levels of a branch.
    pub levels: usize,
    /// e: units of the hidden layer per output.
    pub expansion: usize,
}

impl SketchLearned {
    pub(in crate::kernels) fn hidden(&self) -> usize {
        self.layout.sketch * self.expansion
    }

    pub(in crate::kernels) fn level_inputs(&self) -> impl Iterator<Item = usize> {
        (0..self.levels).map(|level| if level == 0 { self.layout.head } else { self.layout.sketch })
    }

    /// Numbers in the packed weights.
    pub fn weight_count(&self) -> usize {
        2 * self.level_inputs().map(|i| 2 * i + self.hidden() * (i + self.layout.sketch)).sum::<usize>()
    }

    /// The `override`s of `shared/sketch_net.wgsl`.
    pub(in crate::kernels) fn net(&self) -> shared::SketchNet {
        shared::SketchNet {
            size: self.layout.sketch,
            hidden: self.hidden(),
            levels: self.levels,
            input_normed: self.layout.sketch_normed,
        }
    }

    /// Many vectors.
    fn tile(&self, tile: shared::MatrixTile) -> tile::Overrides {
        let (l, row_tile) = (&self.layout, rows(&tile));
        tile::Overrides {
            row_tile,
            vector_size: l.head.max(l.sketch).next_multiple_of(tile.depth) * row_tile / 4,
            matrix_tile: tile,
            sketch_net: self.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }

    /// So many vectors a workgroup of the kernel for few of them.
    fn few(&self, rows: usize) -> shader::Overrides {
        let l = &self.layout;
        shader::Overrides {
            sketch_vectors_few: self.vectors_few(rows),
            sketch_net: self.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }

    /// Vectors of a workgroup of that kernel, the most that leave it enough workgroups and `fit`.
    pub(in crate::kernels) fn few_rows(vectors: usize, fit: impl Fn(usize) -> bool) -> Option<usize> {
        [4, 2, 1].into_iter().find(|rows| (*rows == 1 || vectors >= ENOUGH * rows) && fit(*rows))
    }

    /// The `override`s of `shared/sketch_vectors_few.wgsl`.
    pub(in crate::kernels) fn vectors_few(&self, rows: usize) -> shared::SketchVectorsFew {
        let l = &self.layout;
        let vectors = 2 * rows;
        let fits = |splits: &usize| {
            (self.hidden() / 4).is_multiple_of(*splits) && 2 * l.sketch * splits <= shader::THREADS
        };
        let splits = (1..=shader::THREADS).rev().find(fits).unwrap_or(1);
        shared::SketchVectorsFew {
            rows,
            branch: self.weight_count() / 2,
            splits,
            vector_size: vectors * l.head.max(l.sketch),
            hidden_size: vectors * self.hidden(),
            partial_size: vectors * l.sketch * splits,
            vectors,
        }
    }
}

/// Up to so many vectors the kernel for few of them runs, where a device has memory for its hidden units.
const FEW: usize = 64;
/// So many workgroups of it are not made more by giving them fewer vectors.
const ENOUGH: usize = 16;

impl Kernel for SketchLearned {
    fn stem(&self) -> &'static str {
        "sketch_learned"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer_sketch(self.stem(), &self.layout, self.weight_count(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let vectors = capacity.unit(Unit::Rows).saturating_mul(self.layout.vectors());
        let fit = |rows| self.few(rows).workgroup_bytes() <= device.workgroup_memory;
        if let (true, Some(rows)) = (vectors <= FEW, Self::few_rows(vectors, fit)) {
            return self.few(rows).variant();
        }
        let bytes = |tile| self.tile(tile).workgroup_bytes();
        let groups = |rows| vectors.div_ceil(rows);
        self.tile(SKETCH.row_tile(device, self.layout.sketch, groups, bytes)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let vectors = vector_count(&self.layout, call);
        let params = shader::Params {
            vectors: vectors as u32,
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
        };
        let rows = match tile::is(variant) {
            true => tile::Overrides::of(variant).row_tile,
            false => shader::Overrides::of(variant).sketch_vectors_few.rows,
        };
        let groups = vectors.div_ceil(rows);
        Dispatch::once(&params, Dispatch::linear(groups))
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * vector_count(&self.layout, call) * self.weight_count()) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl SketchLearned {
    fn twin<R: Real>(&self, views: &mut Views<'_, R>, call: &Call) {
        let (qkv, lanes, norms, rotations, w, sketch) = match tile::Args::try_bind(views) {
            Some(tile::Args { qkv, lanes, norms, rotations, w, sketch, .. }) => {
                (qkv, lanes, norms, rotations, w, sketch)
            }
            None => {
                let shader::Args { qkv, lanes, norms, rotations, w, sketch, .. } = shader::Args::bind(views);
                (qkv, lanes, norms, rotations, w, sketch)
            }
        };
        let source = HeadSource { layout: &self.layout, qkv, norms, rotations };
        self.run(Vectors { source, lanes, call }, w, sketch);
    }

    /// The sketch of all vectors.
    pub(in crate::kernels) fn run<R: Real>(&self, vectors: Vectors<'_, R>, w: &[R], sketch: &mut [R]) {
        let (left, right) = w.split_at(w.len() / 2);
        let root = R::of((self.layout.sketch as f64).sqrt());
        vectors.for_each_tile(sketch, |x, out| {
            cpu::with_scratch(out.len(), |other: &mut [R]| {
                self.branch(left, x, out);
                self.branch(right, x, other);
                cpu::vectorized(
                    #[inline(always)]
                    || out.iter_mut().zip(other).for_each(|(a, b)| *a *= *b),
                );
                cpu::scaled_tanh(out, root);
            });
        });
    }

    /// One branch of vectors x `[n, h]` into out `[n, r]`.
    fn branch<R: Real>(&self, weights: &[R], x: &[R], out: &mut [R]) {
        let (r, hidden, n) = (self.layout.sketch, self.hidden(), out.len() / self.layout.sketch);
        let widest = self.layout.head.max(r);
        cpu::with_scratch(n * (widest + hidden), |scratch: &mut [R]| {
            let (normed, units) = scratch.split_at_mut(n * widest);
            let mut at = 0;
            for (level, inputs) in self.level_inputs().enumerate() {
                let (norm, rest) = weights[at..].split_at(2 * inputs);
                let (up, rest) = rest.split_at(hidden * inputs);
                let down = &rest[..r * hidden];
                let normed = &mut normed[..n * inputs];
                cpu::Norm::LAYER.apply(
                    if level == 0 { x } else { &*out },
                    &norm[..inputs],
                    &norm[inputs..],
                    normed,
                );
                cpu::matmul(
                    MatMut::new(units, n, hidden),
                    Mat::new(normed, n, inputs),
                    Mat::new(up, hidden, inputs).t(),
                    false,
                );
                cpu::gelu_tanh(units);
                cpu::matmul(
                    MatMut::new(out, n, r),
                    Mat::new(units, n, hidden),
                    Mat::new(down, r, hidden).t(),
                    false,
                );
                at += 2 * inputs + hidden * (inputs + r);
            }
        });
    }
}
