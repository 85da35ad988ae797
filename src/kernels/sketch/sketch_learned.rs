//! The learned sketch.

use crate::kernels::Gradient;

use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::heads::vector_grad::Vector;

use crate::error::Result;
use crate::kernels::sketch::sketch_learned_grad::slab_count;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Invocations of a workgroup of `sketch_learned.wgsl`, and hidden units of an invocation there.
const THREADS: usize = 128;
const UNITS: usize = 8;

/// `s = √r tanh(left(x) ⊙ right(x) / √r)`, two branches of levels LN → Linear → GELU → Linear (SPEC §1,
/// learned).
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights `[weight_count]` (left, then right; a
/// level is norm weight `[i]`, norm bias `[i]`, up `[e r, i]`, down `[r, e r]`) → sketch `[2 (query, key),
/// lanes, H, tokens, r]`.
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

    /// What both variants know of the net.
    fn net_constants(&self, variant: Variant) -> Variant {
        let l = &self.layout;
        variant
            .size("SIZE", l.sketch)
            .size("HIDDEN", self.hidden())
            .size("LEVELS", self.levels)
            .size("INPUT_NORMED", usize::from(l.sketch_normed))
    }

    /// Invocations of a workgroup along vectors, and vectors of each: as many vectors as workgroup memory
    /// takes at `width` numbers each and as an invocation can hold the outputs of; few where there are few.
    fn tile(&self, device: &DeviceTraits, width: usize, vectors: usize) -> (usize, usize) {
        let fits = |(across, rows): &(usize, usize)| {
            let tile = across * rows;
            let memory = (width * tile + UNITS * THREADS * rows + 2 * tile) * 4;
            memory <= device.workgroup_memory.min(32 << 10)
                && self.layout.sketch.div_ceil(THREADS / across) <= 8
        };
        let sizes: &[(usize, usize)] =
            if vectors <= 64 { &[(4, 1)] } else { &[(32, 2), (32, 1), (16, 1), (8, 1), (4, 1)] };
        sizes.iter().copied().find(fits).unwrap_or((4, 1))
    }

    pub(in crate::kernels) fn vectors(&self, call: &Call) -> usize {
        2 * call.unit(Unit::Rows) * self.layout.heads
    }
}

/// What both sketches check of their inputs, and the type they return.
pub(in crate::kernels) fn infer_sketch(
    stem: &str,
    layout: &HeadLayout,
    weights: usize,
    inputs: &[&TensorType],
) -> Result<Vec<TensorType>> {
    if inputs.len() != 5
        || inputs[0].shape != shape![Unit::Rows, layout.qkv_width()]
        || inputs[4].shape != shape![weights]
    {
        return Err(shape_error(
            stem,
            inputs,
            format_args!("needs qkv [rows, {}] and {weights} weights", layout.qkv_width()),
        ));
    }
    Ok(vec![TensorType::f32(shape![2, Unit::Lanes, layout.heads, Unit::Tokens, layout.sketch])])
}

/// Which vector is sketched as number `v`: they are numbered `[part, lane, head, token]`. `turn` becomes its
/// position's, where raw vectors are rotated.
fn sketched<R: Real>(v: usize, source: &HeadSource<R>, lanes: &[u32], call: &Call, turn: &mut [R]) -> Vector {
    let l = source.layout;
    let (token, head) = (v % call.tokens, v / call.tokens % l.heads);
    let at = v / (call.tokens * l.heads) % call.lanes.len();
    if l.rotation == Rotation::Raw {
        source.turn_at(lane(lanes, call.lane_base + at).position + token, turn);
    }
    Vector { row: at * call.tokens + token, part: v / (call.tokens * l.heads * call.lanes.len()), head }
}

/// Runs `sketch(vectors [n, h], out [n, r])` over all query and key vectors of a call, a tile at a time.
pub(in crate::kernels) fn for_each_tile<R: Real>(
    layout: &HeadLayout,
    args: &mut Args<'_, R>,
    call: &Call,
    sketch: impl Fn(&[R], &mut [R]) + Sync,
) {
    /// Vectors of a tile: their hidden layer stays in the second cache.
    const TILE: usize = 256;
    let (qkv, lanes, norms, rotations) = (args.real(0), args.ids(1), args.real(2), args.real(3));
    let vectors = 2 * call.unit(Unit::Rows) * layout.heads;
    let (h, r) = (layout.head, layout.sketch);
    let out = &mut args.real_mut(5)[..vectors * r];
    let source = HeadSource { layout, qkv, norms, rotations };
    // Few vectors (decoding): a tile each, so that all threads take part.
    let tile = if vectors < 4 * TILE { vectors.div_ceil(cpu::threads()).max(1) } else { TILE };
    cpu::parallel_chunks(out, tile * r, |task, out| {
        let n = out.len() / r;
        cpu::with_scratch(n * h + h, |x: &mut [R]| {
            let (x, turn) = x.split_at_mut(n * h);
            for (k, x) in x.chunks_exact_mut(h).enumerate() {
                let v = sketched(task * tile + k, &source, lanes, call, turn);
                source.sketch_input(v.row, v.part, v.head, turn, x);
            }
            sketch(x, out);
        });
    });
}

/// The gradient of a sketch over all query and key vectors of a call: `sketch(x [n, h], ds [n, r], dx [n, h],
/// dweights)` writes dx and adds to dweights, a tile of at most `tile` vectors at a time. Slab k of the
/// [`slab_count`] slabs of `slab` numbers gains the sums of tiles k, k + slabs, …: first dweights, `weights`
/// numbers, then those of the norms `[4, h]`.
///
/// Arguments as in [`sketch_learned_grad`](crate::kernels::sketch::sketch_learned_grad).
pub(in crate::kernels) fn for_each_tile_backward<R: Real>(
    layout: &HeadLayout,
    args: &mut Args<'_, R>,
    call: &Call,
    [tile, slab, weights]: [usize; 3],
    sketch: impl Fn(&[R], &[R], &mut [R], &mut [R]) + Sync,
) {
    let (h, r) = (layout.head, layout.sketch);
    let (lanes, dsketch) = (args.ids(1), args.real(5));
    let source = HeadSource { layout, qkv: args.real(0), norms: args.real(2), rotations: args.real(3) };
    let (slabs, dqkv) = (args.real_mut(6), SharedMut::new(args.real_mut(7)));
    let vectors = 2 * call.unit(Unit::Rows) * layout.heads;
    let count = call.unit(slab_count(slab));
    cpu::parallel_chunks(&mut slabs[..count * slab], slab, |at, sums| {
        let (dweights, dnorms) = sums[..weights + 4 * h].split_at_mut(weights);
        dweights.fill(R::ZERO);
        dnorms.fill(R::ZERO);
        for first in (at * tile..vectors).step_by(count * tile) {
            let n = tile.min(vectors - first);
            cpu::with_scratch(2 * n * h + h, |scratch: &mut [R]| {
                let (x, rest) = scratch.split_at_mut(n * h);
                let (dx, turn) = rest.split_at_mut(n * h);
                for (k, x) in x.chunks_exact_mut(h).enumerate() {
                    let v = sketched(first + k, &source, lanes, call, turn);
                    source.sketch_input(v.row, v.part, v.head, turn, x);
                }
                sketch(x, &dsketch[first * r..(first + n) * r], dx, dweights);
                for (k, dx) in dx.chunks_exact_mut(h).enumerate() {
                    let v = sketched(first + k, &source, lanes, call, turn);
                    // SAFETY: every vector has its own columns of its row.
                    let out = unsafe {
                        dqkv.slice(v.row * layout.qkv_width() + (v.part * layout.heads + v.head) * h, h)
                    };
                    source.sketch_input_backward(v, turn, dx, out, dnorms);
                }
            });
        }
    });
}

impl Kernel for SketchLearned {
    fn stem(&self) -> &'static str {
        "sketch_learned"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer_sketch(self.stem(), &self.layout, self.weight_count(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let width = l.head.max(l.sketch);
        let vectors = 2 * capacity.unit(Unit::Rows) * l.heads;
        let (across, rows) = self.tile(device, width, vectors);
        let variant = l.head_constants(Variant::new("sketch_learned", &[]));
        let (row_tile, parts) = (across * rows, THREADS / across);
        self.net_constants(variant)
            .size("ACROSS", across)
            .size("ROWS", rows)
            .size("ROW_TILE", row_tile)
            .size("OUTPUTS", l.sketch.div_ceil(parts))
            .size("CHUNK", UNITS * parts)
            .size("VECTOR_SIZE", width * row_tile)
            .size("HIDDEN_SIZE", UNITS * parts * row_tile)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let vectors = self.vectors(call);
        let params = shader::sketch_learned::Params {
            vectors: vectors as u32,
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
        };
        Dispatch::once(&params, Dispatch::linear(vectors.div_ceil(variant.get("ROW_TILE"))))
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * self.vectors(call) * self.weight_count()) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl SketchLearned {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let weights = args.real(4);
        let (left, right) = weights.split_at(weights.len() / 2);
        let root = R::of((self.layout.sketch as f64).sqrt());
        for_each_tile(&self.layout, args, call, |x, out| {
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
                cpu::layer_norm(if level == 0 { x } else { &*out }, &norm[..inputs], &norm[inputs..], normed);
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
