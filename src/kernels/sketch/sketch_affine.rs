//! The affine sketch of each head, with exponential gains.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, lane};
use crate::kernels::shader::{shared, sketch_affine as shader, sketch_affine_tile as tile};
use crate::kernels::sketch::vectors::{infer_sketch, vector_count};
use crate::kernels::tiles::row_tile::{AFFINE, rows};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, Views, cpu};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::twins;

/// `s(x) = e^{γ(x) / 2} (c + W d + B gelu(A d))` with `d = x - mean` and the log gain `γ(x) = α + ⟨u, x⟩`, of which
/// at most [`MOST_GAIN`] either way counts (SPEC §10). Queries and keys have weights of their own for each key head;
/// of the M queries of a key head each has its own gain. x is the vector of the exact kernel, by a rotation table of
/// the sketch's own, in which slow pairs need not turn.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights `[weight_count]` ([`Weights`]) → sketch: of
/// queries `[lanes, G, tokens, M, r]`, then of keys `[lanes, G, tokens, r]`.
#[derive(Clone, Debug)]
pub struct SketchAffine {
    /// Row layouts; `layout.sketch` is r.
    pub layout: HeadLayout,
    /// Units of the hidden layer: rows of A.
    pub hidden: usize,
}

/// Largest log gain: its exponential and those of the scores stay numbers.
pub const MOST_GAIN: f64 = 60.0;

/// Up to so many vectors of a key head the kernel for few of them runs.
const FEW: usize = 16;
/// Units of the hidden layer that it has at a time.
const UNITS: usize = 64;

/// Where the weights of one side of one key head lie: mean `[h]`, c `[r]`, W `[r, h]`, A `[hidden, h]`, B `[r,
/// hidden]`, u `[m, h]`, α `[m]`, padded to a multiple of 4; m is M for queries and 1 for keys. All of queries
/// stand before those of keys.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// h.
    pub head: usize,
    /// r.
    pub size: usize,
    /// Rows of A.
    pub hidden: usize,
    /// m.
    pub gains: usize,
}

impl Weights {
    /// Lengths of the parts, in order.
    pub fn parts(self) -> [usize; 7] {
        let Self { head, size, hidden, gains } = self;
        [head, size, size * head, hidden * head, size * hidden, gains * head, gains.next_multiple_of(4)]
    }

    /// Numbers of one side of one key head.
    pub fn count(self) -> usize {
        self.parts().iter().sum()
    }

    /// The parts of such numbers.
    pub fn split<T>(self, mut all: &[T]) -> [&[T]; 7] {
        self.parts().map(|n| all.split_off(..n).unwrap_or_default())
    }

    /// The same, to write.
    pub fn split_mut<T>(self, mut all: &mut [T]) -> [&mut [T]; 7] {
        self.parts().map(|n| all.split_off_mut(..n).unwrap_or_default())
    }
}

impl SketchAffine {
    /// The weights of queries (0) or keys (1) of a key head.
    pub fn weights(&self, side: usize) -> Weights {
        let l = &self.layout;
        let gains = if side == 0 { l.group } else { 1 };
        Weights { head: l.head, size: l.sketch, hidden: self.hidden, gains }
    }

    /// Where they lie in the packed weights.
    pub fn place(&self, side: usize, head: usize) -> std::ops::Range<usize> {
        let of_queries = self.layout.heads * self.weights(0).count();
        let n = self.weights(side).count();
        let first = if side == 0 { 0 } else { of_queries } + head * n;
        first..first + n
    }

    /// Numbers in the packed weights.
    pub fn weight_count(&self) -> usize {
        self.layout.heads * (self.weights(0).count() + self.weights(1).count())
    }

    /// Many vectors.
    fn tile(&self, tile: shared::MatrixTile) -> tile::Overrides {
        let (l, row_tile) = (&self.layout, rows(&tile));
        tile::Overrides {
            row_tile,
            vector_size: l.head.next_multiple_of(tile.depth) * row_tile / 4,
            x_normed: l.normed,
            matrix_tile: tile,
            affine_net: self.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
    }

    /// The `override`s of `shared/affine_net.wgsl`.
    pub(in crate::kernels) fn net(&self) -> shared::AffineNet {
        shared::AffineNet {
            size: self.layout.sketch,
            hidden: self.hidden,
            most_gain: MOST_GAIN,
            query_weights: self.weights(0).count(),
            key_weights: self.weights(1).count(),
        }
    }
}

impl Kernel for SketchAffine {
    fn stem(&self) -> &'static str {
        "sketch_affine"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        infer_sketch(self.stem(), &self.layout, self.weight_count(), inputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let l = &self.layout;
        let vectors = capacity.tokens.saturating_mul(l.group);
        if vectors > FEW {
            let bytes = |tile| self.tile(tile).workgroup_bytes();
            let sides = 2 * l.heads;
            let groups = |rows| vectors.div_ceil(rows).saturating_mul(capacity.lanes.saturating_mul(sides));
            return self.tile(AFFINE.row_tile(device, l.sketch, groups, bytes)).variant();
        }
        let units = self.hidden.min(UNITS);
        let overrides = |row_tile| shader::Overrides {
            row_tile,
            units,
            vector_size: row_tile * l.head,
            units_size: row_tile * units,
            output_size: row_tile * l.sketch,
            x_normed: l.normed,
            affine_net: self.net(),
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        };
        // Iterations of an invocation's loops, generously.
        let of = |items: usize| items.div_ceil(shader::THREADS) + 1;
        let loops = |rows: usize| {
            let of_units = of(rows * units) * (l.head + 2) + of(rows * l.sketch) * (units + 2);
            12 * l.head + of(rows * l.sketch) * (l.head + 2) + self.hidden.div_ceil(units) * of_units
        };
        let fits = |rows: &usize| {
            overrides(*rows).workgroup_bytes() <= device.workgroup_memory
                && device.loop_iterations.is_none_or(|most| 2 * loops(*rows) <= most)
        };
        // A tile that the vectors fill by more than half.
        let mut tiles = [16, 8, 4, 2].into_iter().filter(|rows| rows / 2 < vectors);
        overrides(tiles.find(fits).unwrap_or(1)).variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            lanes: call.lanes.len() as u32,
        };
        let row_tile = match tile::is(variant) {
            true => tile::Overrides::of(variant).row_tile,
            false => shader::Overrides::of(variant).row_tile,
        };
        let vectors = call.tokens * self.layout.group;
        let heads = call.lanes.len() * self.layout.heads;
        Dispatch::once(&params, [vectors.div_ceil(row_tile), 2, heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        let (h, r) = (self.layout.head, self.layout.sketch);
        (2 * vector_count(&self.layout, call) * (r * h + self.hidden * (h + r) + h)) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

/// Vectors of one side of one key head, the m of a token side by side, as the net works on them.
pub(in crate::kernels) struct Tile<'a, R> {
    /// x, then `d = x - mean`, `[n, h]` each.
    pub x: &'a mut [R],
    pub d: &'a mut [R],
    /// The hidden layer `[n, hidden]` after its GELU, and that one's slope.
    pub active: &'a mut [R],
    pub slope: &'a mut [R],
    /// s without its gain `[n, r]`.
    pub plain: &'a mut [R],
    /// `e^{γ / 2}` `[n]`, and whether γ is within its bounds.
    pub gain: &'a mut [R],
    pub within: &'a mut [R],
}

impl<'a, R: Real> Tile<'a, R> {
    /// Numbers of a tile of n vectors.
    pub fn len(net: &SketchAffine, n: usize) -> usize {
        n * (2 * net.layout.head + 2 * net.hidden + net.layout.sketch + 2)
    }

    pub fn new(net: &SketchAffine, n: usize, mut scratch: &'a mut [R]) -> Self {
        let mut take = |width: usize| scratch.split_off_mut(..n * width).expect("as long as Tile::len");
        let (h, r) = (net.layout.head, net.layout.sketch);
        Self {
            x: take(h),
            d: take(h),
            active: take(net.hidden),
            slope: take(net.hidden),
            plain: take(r),
            gain: take(1),
            within: take(1),
        }
    }

    /// Everything from x.
    pub fn run(&mut self, weights: Weights, w: &[R]) {
        let Weights { head, size, hidden, gains } = weights;
        let [mean, base, linear, up, down, tilt, level] = weights.split(w);
        let n = self.gain.len();
        for (d, x) in self.d.chunks_exact_mut(head).zip(self.x.chunks_exact(head)) {
            d.iter_mut().zip(x).zip(mean).for_each(|((d, x), mean)| *d = *x - *mean);
        }
        self.plain.chunks_exact_mut(size).for_each(|row| row.copy_from_slice(base));
        let d = Mat::new(self.d, n, head);
        cpu::matmul(MatMut::new(self.plain, n, size), d, Mat::new(linear, size, head).t(), true);
        cpu::matmul(MatMut::new(self.slope, n, hidden), d, Mat::new(up, hidden, head).t(), false);
        cpu::gelu_tanh_with_slope(self.slope, self.active);
        let active = Mat::new(self.active, n, hidden);
        cpu::matmul(MatMut::new(self.plain, n, size), active, Mat::new(down, size, hidden).t(), true);
        let most = R::of(MOST_GAIN);
        let own = self.gain.iter_mut().zip(&mut *self.within).zip(self.x.chunks_exact(head));
        for (i, ((gain, within), x)) in own.enumerate() {
            let m = i % gains;
            let log = level[m] + cpu::dot(x, &tilt[m * head..(m + 1) * head]);
            *within = if log > -most && log < most { R::ONE } else { R::ZERO };
            *gain = (R::of(0.5) * log.max(-most).min(most)).exp();
        }
    }
}

impl SketchAffine {
    fn twin<R: Real>(&self, views: &mut Views<'_, R>, call: &Call) {
        /// Vectors of a tile: their hidden layer stays in the second cache.
        const TILE: usize = 256;
        let (qkv, lanes, norms, rotations, w, sketch) = match tile::Args::try_bind(views) {
            Some(tile::Args { qkv, lanes, norms, rotations, w, sketch, .. }) => {
                (qkv, lanes, norms, rotations, w, sketch)
            }
            None => {
                let shader::Args { qkv, lanes, norms, rotations, w, sketch, .. } = shader::Args::bind(views);
                (qkv, lanes, norms, rotations, w, sketch)
            }
        };
        let l = &self.layout;
        let source = HeadSource { layout: l, qkv, norms, rotations };
        let vectors = vector_count(l, call);
        let queries = call.unit(Unit::Rows) * l.query_heads() * l.sketch;
        let (of_queries, of_keys) = sketch[..vectors * l.sketch].split_at_mut(queries);
        let mut tasks = Vec::new();
        for (side, all, m) in [(0, of_queries, l.group), (1, of_keys, 1)] {
            let tokens = (TILE / m).max(1);
            for (lane_head, out) in all.chunks_mut(call.tokens * m * l.sketch).enumerate() {
                let tiles = out.chunks_mut(tokens * m * l.sketch).enumerate();
                tasks.extend(tiles.map(|(i, out)| (side, lane_head, i * tokens, out)));
            }
        }
        cpu::parallel_each(tasks, |_, (side, lane_head, first, out)| {
            let (at, head) = (lane_head / l.heads, lane_head % l.heads);
            let n = out.len() / l.sketch;
            cpu::with_scratch(Tile::<R>::len(self, n) + l.head, |scratch: &mut [R]| {
                let (turn, scratch) = scratch.split_at_mut(l.head);
                let mut tile = Tile::new(self, n, scratch);
                let rows = first..first + n / self.weights(side).gains;
                self.load(&source, lanes, call, [side, head], rows.map(|t| (at, t)), turn, tile.x);
                tile.run(self.weights(side), &w[self.place(side, head)]);
                let each = out.chunks_exact_mut(l.sketch).zip(tile.plain.chunks_exact(l.sketch));
                for ((out, plain), gain) in each.zip(&*tile.gain) {
                    out.iter_mut().zip(plain).for_each(|(out, s)| *out = *gain * *s);
                }
            });
        });
    }

    /// The vectors of one side of a key head at some (lane, token), the m of a token side by side.
    #[allow(clippy::too_many_arguments, reason = "where they come from, which, where to")]
    pub(in crate::kernels) fn load<R: Real>(
        &self,
        source: &HeadSource<'_, R>,
        lanes: &[u32],
        call: &Call,
        [side, head]: [usize; 2],
        rows: impl Iterator<Item = (usize, usize)>,
        turn: &mut [R],
        x: &mut [R],
    ) {
        let (l, m) = (&self.layout, self.weights(side).gains);
        for ((at, token), x) in rows.zip(x.chunks_exact_mut(m * l.head)) {
            if l.rotation != Rotation::None {
                source.turn_at(lane(lanes, call.lane_base + at).position + token, turn);
            }
            for (i, x) in x.chunks_exact_mut(l.head).enumerate() {
                source.exact(at * call.tokens + token, side, head * m + i, turn, x);
            }
        }
    }
}
