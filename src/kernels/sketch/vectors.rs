//! The query and key vectors of a call as both sketches see them, a tile at a time. CPU twin of
//! `shaders/shared/{sketch_input,sketch_vectors,vector_place}.wgsl`.
//!
//! Vectors are numbered as the rows of the sketch: those of queries `[lanes, G, tokens, M]`, then those of keys
//! `[lanes, G, tokens]`.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::heads::vector_grad::Vector;
use crate::kernels::{Real, cpu, shape_error};
use crate::shape;
use crate::tensor::{Call, TensorType, Unit};

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
    Ok(vec![TensorType::f32(layout.sketch_shape())])
}

/// How many vectors there are.
pub(in crate::kernels) fn vector_count(layout: &HeadLayout, call: &Call) -> usize {
    call.unit(Unit::Rows) * layout.vectors()
}

/// Where the vectors of a call come from.
pub(in crate::kernels) struct Vectors<'a, R> {
    pub source: HeadSource<'a, R>,
    pub lanes: &'a [u32],
    pub call: &'a Call,
}

/// The tensors of a sketch's gradient.
pub(in crate::kernels) struct Gradients<'a, R> {
    /// `[vectors, r]`
    pub dsketch: &'a [R],
    /// Partial sums, `slab` numbers each.
    pub slabs: &'a mut [R],
    /// `[rows, qkv_width]`, added to.
    pub dqkv: &'a mut [R],
}

/// How the work of a gradient is cut.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Cut {
    /// Vectors at a time.
    pub tile: usize,
    /// Numbers of a slab: first the sums of `weights` weights, then those of the norms `[4, h]`.
    pub slab: usize,
    /// Slabs, which take tiles in turn.
    pub slabs: usize,
    pub weights: usize,
}

impl<R: Real> Vectors<'_, R> {
    fn layout(&self) -> &HeadLayout {
        self.source.layout
    }

    /// Which vector is number `v`. `turn` becomes its position's, where raw vectors are rotated.
    fn find(&self, v: usize, turn: &mut [R]) -> Vector {
        let (l, call) = (self.layout(), self.call);
        let queries = call.unit(Unit::Rows) * l.query_heads();
        let (part, of_token) = if v < queries { (0, v / l.group) } else { (1, v - queries) };
        let (token, head) = (of_token % call.tokens, of_token / call.tokens % l.heads);
        let at = of_token / (call.tokens * l.heads);
        let head = if part == 0 { head * l.group + v % l.group } else { head };
        if l.rotation == Rotation::Raw {
            let position = lane(self.lanes, call.lane_base + at).position + token;
            self.source.turn_at(position, turn);
        }
        Vector { row: at * call.tokens + token, part, head }
    }

    /// What the sketch sees of vectors `first` and on, into x `[n, h]`.
    fn load(&self, first: usize, x: &mut [R], turn: &mut [R]) {
        for (v, x) in (first..).zip(x.chunks_exact_mut(self.layout().head)) {
            let v = self.find(v, turn);
            self.source.sketch_input(v.row, v.part, v.head, turn, x);
        }
    }

    /// Runs `sketch(vectors [n, h], out [n, r])` over all of them.
    pub fn for_each_tile(&self, out: &mut [R], sketch: impl Fn(&[R], &mut [R]) + Sync) {
        /// Vectors of a tile: their hidden layer stays in the second cache.
        const TILE: usize = 256;
        let (h, r, vectors) =
            (self.layout().head, self.layout().sketch, vector_count(self.layout(), self.call));
        // Few vectors (decoding): a tile each, so that all threads take part.
        let tile = if vectors < 4 * TILE { vectors.div_ceil(cpu::threads()).max(1) } else { TILE };
        cpu::parallel_chunks(&mut out[..vectors * r], tile * r, |task, out| {
            let n = out.len() / r;
            cpu::with_scratch(n * h + h, |x: &mut [R]| {
                let (x, turn) = x.split_at_mut(n * h);
                self.load(task * tile, x, turn);
                sketch(x, out);
            });
        });
    }

    /// The gradient of a sketch: `sketch(x [n, h], ds [n, r], dx [n, h], dweights)` writes dx and adds to
    /// dweights, a tile at a time. Slab k gains the sums of tiles k, k + slabs, ….
    pub fn for_each_tile_backward(
        &self,
        gradients: Gradients<'_, R>,
        cut: Cut,
        sketch: impl Fn(&[R], &[R], &mut [R], &mut [R]) + Sync,
    ) {
        let (l, call) = (self.layout(), self.call);
        let (h, r) = (l.head, l.sketch);
        let Gradients { dsketch, slabs, dqkv } = gradients;
        // The projections' gradients, in the order of the vectors.
        let dqkv = &mut dqkv[..call.unit(Unit::Rows) * l.qkv_width()];
        let queries = call.unit(Unit::Rows) * l.query_heads();
        let mut dvectors = cpu::blocks(dqkv, l.qkv_width(), [l.vectors(), h], |row, block| {
            let (at, token) = (row / call.tokens, row % call.tokens);
            let of_head = |head: usize| (at * l.heads + head) * call.tokens + token;
            match block.checked_sub(l.query_heads()) {
                None => of_head(block / l.group) * l.group + block % l.group,
                Some(head) => queries + of_head(head),
            }
        });
        let mut of_slabs: Vec<Vec<&mut [&mut [R]]>> = Vec::new();
        of_slabs.resize_with(cut.slabs, Vec::new);
        for (at, tile) in dvectors.chunks_mut(cut.tile).enumerate() {
            of_slabs[at % cut.slabs].push(tile);
        }
        cpu::parallel_each(slabs.chunks_mut(cut.slab).zip(of_slabs), |at, (sums, tiles)| {
            let (dweights, dnorms) = sums[..cut.weights + 4 * h].split_at_mut(cut.weights);
            dweights.fill(R::ZERO);
            dnorms.fill(R::ZERO);
            for (round, dvectors) in tiles.into_iter().enumerate() {
                let (first, n) = ((at + round * cut.slabs) * cut.tile, dvectors.len());
                cpu::with_scratch(2 * n * h + h, |scratch: &mut [R]| {
                    let (x, rest) = scratch.split_at_mut(n * h);
                    let (dx, turn) = rest.split_at_mut(n * h);
                    self.load(first, x, turn);
                    sketch(x, &dsketch[first * r..(first + n) * r], dx, dweights);
                    for ((v, dx), out) in (first..).zip(dx.chunks_exact_mut(h)).zip(dvectors) {
                        let v = self.find(v, turn);
                        self.source.sketch_input_backward(v, turn, dx, out, dnorms);
                    }
                });
            }
        });
    }
}
