//! Gradient of the learned sketch. Nothing of the net is kept from the forward pass: it is computed again, a
//! tile of vectors at a time, so that its hidden layers never leave the cache.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::HeadSource;
use crate::kernels::shader::sketch_learned_grad as shader;
use crate::kernels::sketch::sketch_learned::SketchLearned;
use crate::kernels::sketch::slabs::{Slabs, infer_gradient};
use crate::kernels::sketch::vectors::{Cut, Gradients, Vectors, vector_count};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, Vendor, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights, dsketch `[2, lanes, H, tokens, r]` →
/// slabs `[slabs, weights + 4 h + tile]` (partial sums of the gradients of the weights, then of the norms;
/// then the inputs and outputs of levels of the tile in work, which only the shader keeps there); in place:
/// dqkv `[rows, qkv_width]`.
#[derive(Debug)]
pub struct SketchLearnedGrad(pub SketchLearned);

impl SketchLearnedGrad {
    /// The partial sums.
    pub(in crate::kernels) fn slabs(&self) -> Slabs {
        let (h, r) = (self.0.layout.head, self.0.layout.sketch);
        let tile = MOST * (2 * h + 2 * self.0.levels * r) + 16 * shader::THREADS;
        // Two workgroups for each processor of a large device.
        Slabs { numbers: self.0.weight_count() + 4 * h + tile, most: 256 }
    }

    fn overrides(&self, [row_tile, most, tall]: [usize; 3]) -> shader::Overrides {
        let (l, slab) = (&self.0.layout, self.slabs().numbers);
        let widest = l.head.max(l.sketch);
        let chunk = most.min(self.0.hidden());
        let pitch = (row_tile / 4) | 1;
        shader::Overrides {
            weights: self.0.weight_count(),
            tiles: 1,
            slab,
            row_tile,
            chunk,
            tall,
            pitch,
            memory: pitch * (widest + l.sketch + chunk.max(widest)),
            sketch_net: self.0.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }

    /// Iterations of an invocation's loops over a tile, generously.
    fn loops(&self, of: &shader::Overrides) -> usize {
        let (h, r, hidden) = (self.0.layout.head, self.0.layout.sketch, self.0.hidden());
        let (fours, chunks) = (of.row_tile / 4, hidden.div_ceil(of.chunk));
        let items = |items: usize| items.div_ceil(shader::THREADS) + 1;
        let blocks =
            |height: usize, width: usize| items(height.div_ceil(of.tall) * (width / 4)) * (21 * fours + 45);
        let of_level = |i: usize| {
            let elements = items(i * fours);
            // Forwards, then the same again and back.
            let norm = 6 * elements + 2 * (shader::THREADS / fours + 1);
            let units = 60;
            let product = 10 * (i + r + of.chunk) / 4;
            let back = blocks(r, of.chunk) + blocks(of.chunk, i) + product;
            2 * norm
                + chunks * (3 * (units + product) + back)
                + elements * (shader::THREADS + 4)
                + items(i) * fours
        };
        // Rotations take up to four digits of a position.
        let vectors =
            20 * items(of.row_tile * h) + 24 * h + items(h) * of.row_tile * 5 + 4 * items(r * fours);
        vectors + 2 * self.0.level_inputs().map(of_level).sum::<usize>()
    }
}

/// Vectors of a tile at most.
const MOST: usize = 32;
/// Elements of a head at most: an invocation of a workgroup has four columns.
const WIDEST: usize = 4 * shader::THREADS;

impl Kernel for SketchLearnedGrad {
    fn stem(&self) -> &'static str {
        "sketch_learned_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        if l.head.max(l.sketch) > WIDEST {
            return Err(shape_error(self.stem(), inputs, format_args!("takes heads of at most {WIDEST}")));
        }
        infer_gradient(self.stem(), l, self.0.weight_count(), self.slabs(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.0.layout;
        let fits = |cut: &[usize; 3]| {
            let blocks = cut[0] / 4 * (l.head.max(l.sketch) / 4);
            blocks <= shader::THREADS && self.overrides(*cut).workgroup_bytes() <= device.workgroup_memory
        };
        // By the gauge: of eight rows Apple's compiler takes so many registers that few workgroups are resident,
        // and an Adreno's workgroup memory holds two of these at a time only if they are small.
        let tall = if device.vendor == Vendor::Apple { 4 } else { 8 };
        let most = if device.vendor == Vendor::Qualcomm { 16 } else { MOST };
        // Larger tiles add to the slabs less often.
        let cuts = [[MOST, 64], [16, 64], [8, 64], [4, 64], [4, 16]].map(|[rows, units]| [rows, units, tall]);
        let cut = cuts.into_iter().filter(|cut| cut[0] <= most).find(fits).unwrap_or([4, 4, tall]);
        let overrides = self.overrides(cut);
        let tiles = device.rounds(overrides.slab / 64, self.loops(&overrides));
        shader::Overrides { tiles, ..overrides }.variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let shader::Overrides { row_tile, tiles, .. } = shader::Overrides::of(variant);
        let vectors = vector_count(&self.0.layout, call) as u32;
        self.slabs().dispatches(&self.0.layout, [row_tile, tiles], call, |slabs, first_tile| shader::Params {
            vectors,
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            slabs: slabs as u32,
            first_tile: first_tile as u32,
            outputs: self.0.layout.sketch as u32,
            pairs: (self.0.layout.head / 2) as u32,
        })
    }

    fn flops(&self, call: &Call) -> u64 {
        3 * self.0.flops(call)
    }

    twins!(shader);
}

/// What the backward pass reads of one level of one branch, for a tile of vectors.
struct Level<'a, R> {
    /// Norm weight, bias; up `[hidden, inputs]`; down `[r, hidden]`.
    weights: &'a [R],
    inputs: usize,
    /// Normed input `[n, inputs]`, the GELU's slope at the hidden layer and the hidden layer after it `[n,
    /// hidden]`, output `[n, r]`.
    normed: &'a mut [R],
    units: &'a mut [R],
    active: &'a mut [R],
    out: &'a mut [R],
}

impl SketchLearnedGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Vectors of a tile: all their activations stay in the second cache.
        const TILE: usize = 256;
        let shader::Args { qkv, lanes, norms, rotations, w, dsketch, slabs, dqkv, .. } = args;
        let of = self.slabs();
        let cut = Cut { tile: TILE, slab: of.numbers, slabs: of.count(call), weights: self.0.weight_count() };
        let source = HeadSource { layout: &self.0.layout, qkv, norms, rotations };
        let gradients = Gradients { dsketch, slabs, dqkv };
        Vectors { source, lanes, call }.for_each_tile_backward(gradients, cut, |x, ds, dx, dweights| {
            self.net_backward(w, x, ds, dx, dweights);
        });
    }

    /// dx `[n, h]` of vectors x `[n, h]`, given ds `[n, r]`; adds to dweights.
    fn net_backward<R: Real>(&self, weights: &[R], x: &[R], ds: &[R], dx: &mut [R], dweights: &mut [R]) {
        let (net, (h, r)) = (&self.0, (self.0.layout.head, self.0.layout.sketch));
        let (n, hidden) = (ds.len() / r, net.hidden());
        let inputs: Vec<usize> = net.level_inputs().collect();
        let size: usize = inputs.iter().map(|i| n * (i + 2 * hidden + r)).sum();
        cpu::with_scratch(2 * size + 2 * n * r, |scratch: &mut [R]| {
            let (dbranch, mut rest) = scratch.split_at_mut(2 * n * r);
            let mut at = 0;
            let mut branches: Vec<Vec<Level<'_, R>>> = Vec::with_capacity(2);
            for _ in 0..2 {
                let mut levels: Vec<Level<'_, R>> = Vec::with_capacity(inputs.len());
                for &inputs in &inputs {
                    let weights = &weights[at..at + 2 * inputs + hidden * (inputs + r)];
                    at += weights.len();
                    let (normed, more) = rest.split_at_mut(n * inputs);
                    let (units, more) = more.split_at_mut(n * hidden);
                    let (active, more) = more.split_at_mut(n * hidden);
                    let (out, more) = more.split_at_mut(n * r);
                    rest = more;
                    let mut level = Level { weights, inputs, normed, units, active, out };
                    level.forward(levels.last().map_or(x, |below| &*below.out), hidden, r);
                    levels.push(level);
                }
                branches.push(levels);
            }
            // s = √r tanh(ab / √r): da = ds (1 - tanh²) b, db = ds (1 - tanh²) a.
            let (da, db) = dbranch.split_at_mut(n * r);
            let (a, b) = (&branches[0][inputs.len() - 1].out, &branches[1][inputs.len() - 1].out);
            let root = R::of((r as f64).sqrt());
            cpu::vectorized(
                #[inline(always)]
                || {
                    for i in 0..n * r {
                        let t = (a[i] * b[i] / root).tanh_fast();
                        let d = (ds[i] * (R::ONE - t * t)).flushed();
                        (da[i], db[i]) = (d * b[i], d * a[i]);
                    }
                },
            );
            dx.fill(R::ZERO);
            let mut end = dweights.len();
            for (levels, dy) in branches.iter_mut().zip([da, db]).rev() {
                for k in (0..levels.len()).rev() {
                    let (below, level) = levels.split_at_mut(k);
                    let level = &mut level[0];
                    let dweights = &mut dweights[end - level.weights.len()..end];
                    end -= level.weights.len();
                    let input = below.last().map_or(x, |below| &*below.out);
                    if k == 0 {
                        level.backward(input, dy, dx, dweights, hidden, r);
                    } else {
                        // The gradient of this level's input is that of the output below.
                        cpu::with_scratch(n * r, |dinput: &mut [R]| {
                            dinput.fill(R::ZERO);
                            level.backward(input, dy, dinput, dweights, hidden, r);
                            dy.copy_from_slice(dinput);
                        });
                    }
                }
            }
            assert_eq!((end, h), (0, inputs[0]));
        });
    }
}

impl<'a, R: Real> Level<'a, R> {
    /// Norm weight and bias, up `[hidden, inputs]`, down `[r, hidden]`.
    fn parts(&self, hidden: usize) -> (&'a [R], &'a [R], &'a [R]) {
        let (norm, rest) = self.weights.split_at(2 * self.inputs);
        let (up, down) = rest.split_at(hidden * self.inputs);
        (norm, up, down)
    }

    fn forward(&mut self, x: &[R], hidden: usize, r: usize) {
        let (n, i) = (self.out.len() / r, self.inputs);
        let (norm, up, down) = self.parts(hidden);
        cpu::Norm::LAYER.apply(x, &norm[..i], &norm[i..], self.normed);
        cpu::matmul(
            MatMut::new(self.units, n, hidden),
            Mat::new(self.normed, n, i),
            Mat::new(up, hidden, i).t(),
            false,
        );
        cpu::gelu_tanh_with_slope(self.units, self.active);
        cpu::matmul(
            MatMut::new(self.out, n, r),
            Mat::new(self.active, n, hidden),
            Mat::new(down, r, hidden).t(),
            false,
        );
    }

    /// From dy `[n, r]`: adds to dx `[n, inputs]` and to dweights. Uses up the hidden layers.
    fn backward(&mut self, x: &[R], dy: &[R], dx: &mut [R], dweights: &mut [R], hidden: usize, r: usize) {
        let (n, i) = (dy.len() / r, self.inputs);
        let (dnorm, rest) = dweights.split_at_mut(2 * i);
        let (dup, ddown) = rest.split_at_mut(hidden * i);
        cpu::matmul(
            MatMut::new(ddown, r, hidden),
            Mat::new(dy, n, r).t(),
            Mat::new(self.active, n, hidden),
            true,
        );
        let (norm, up, down) = self.parts(hidden);
        cpu::matmul(
            MatMut::new(self.active, n, hidden),
            Mat::new(dy, n, r),
            Mat::new(down, r, hidden),
            false,
        );
        cpu::vectorized(
            #[inline(always)]
            || self.active.iter_mut().zip(&*self.units).for_each(|(d, slope)| *d *= *slope),
        );
        cpu::matmul(
            MatMut::new(dup, hidden, i),
            Mat::new(self.active, n, hidden).t(),
            Mat::new(self.normed, n, i),
            true,
        );
        cpu::matmul(
            MatMut::new(self.normed, n, i),
            Mat::new(self.active, n, hidden),
            Mat::new(up, hidden, i),
            false,
        );
        let (dweight, dbias) = dnorm.split_at_mut(i);
        cpu::Norm::LAYER.backward(x, &norm[..i], self.normed, dx, dweight, dbias);
    }
}
