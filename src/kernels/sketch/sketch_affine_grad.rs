//! Gradient of the affine sketch: the net is computed again, a tile of vectors at a time.

use crate::error::Result;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::layout::{HeadSource, Rotation, lane};
use crate::kernels::heads::vector_grad::Vector;
use crate::kernels::shader::sketch_affine_grad as shader;
use crate::kernels::sketch::sketch_affine::{SketchAffine, Tile};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, weights, dsketch (as the sketch) → slabs, one for each
/// share of the call's rows: partial sums of the gradients of the weights, then, where vectors are normed, of the
/// norms `[2, G, 4, h]`, which queries and keys and each head have apart; in place, where the vectors have a
/// gradient: dqkv `[rows, qkv_width]`.
#[derive(Debug)]
pub struct SketchAffineGrad {
    /// The sketch.
    pub sketch: SketchAffine,
    /// The vectors have a gradient.
    pub of_vectors: bool,
}

impl SketchAffineGrad {
    /// The partial sums.
    pub(in crate::kernels) fn slabs(&self) -> TensorType {
        TensorType::f32(shape![self.shares(), self.slab()])
    }

    /// Numbers of a slab.
    fn slab(&self) -> usize {
        self.sketch.weight_count() + self.norm_sums() * 4 * self.sketch.layout.head
    }

    /// Shares of a call's rows: enough to keep a GPU busy, few enough to add up, and to be bound at once.
    fn shares(&self) -> Unit {
        /// Numbers of all slabs: 64 MiB.
        const NUMBERS: usize = 16 << 20;
        Unit::Shares { rows: 16, most: (NUMBERS / self.slab()).clamp(4, 64) }
    }

    /// Iterations of an invocation's loops over a tile of so many vectors and hidden units, generously.
    fn loops(&self, [rows, units]: [usize; 2]) -> usize {
        let (l, hidden) = (&self.sketch.layout, self.sketch.hidden);
        let (h, r, blocks) = (l.head, l.sketch, rows / 4);
        let of = |items: usize| items.div_ceil(shader::THREADS) + 1;
        // Rotations take up to four digits of a position.
        let vectors = 20 * of(blocks * h) + 16 * h + of(h) * rows * 5;
        let linear = of(blocks * r) * 2
            + of(blocks * h / 4) * (r + 2)
            + (of(r) + of(r * h / 16)) * (blocks + 2)
            + h / 4
            + r;
        let of_units = of(blocks * units / 4) * (h / 4 + r + 2)
            + units / 4
            + (of(units * h / 16) + of(r * units / 16)) * (blocks + 2)
            + of(blocks * h / 4) * (units + 2);
        let gains = of(h) * (blocks + 1) + (of(l.group * h) + of(l.group)) * (rows + 1);
        vectors + linear + hidden.div_ceil(units) * of_units + gains
    }

    /// How many sums of the norms' gradients a slab has side by side, `4 h` numbers each.
    pub(in crate::kernels) fn norm_sums(&self) -> usize {
        let l = &self.sketch.layout;
        if l.normed { 2 * l.heads } else { 0 }
    }
}

impl Kernel for SketchAffineGrad {
    fn stem(&self) -> &'static str {
        "sketch_affine_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (r, weights) = (self.sketch.layout.sketch, self.sketch.weight_count());
        if inputs.len() != 6 || inputs[4].shape != shape![weights] || inputs[5].shape.last() != Some(r) {
            let text = format_args!("needs {weights} weights and rows of {r}");
            return Err(shape_error(self.stem(), inputs, text));
        }
        Ok(vec![self.slabs()])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.sketch.layout;
        let flags = shader::Flags { vectors: self.of_vectors };
        let overrides = |[rows, units]: [usize; 2]| {
            let units = units.min(self.sketch.hidden);
            shader::Overrides {
                row_tile: rows,
                units,
                at_once: rows * device.rounds(4096, 2 * self.loops([rows, units])),
                vector_size: rows / 4 * l.head,
                units_size: rows / 4 * units,
                output_size: rows / 4 * l.sketch,
                parts_size: rows / 4 * l.head.max(units) / 4,
                weights: self.sketch.weight_count(),
                slab: self.slab(),
                x_normed: l.normed,
                affine_net: self.sketch.net(),
                head_layout: l.overrides(),
                head_vector: l.vector_overrides(),
            }
        };
        // Larger tiles would leave a processor few workgroups.
        let cuts = [[16, 64], [16, 32], [8, 64], [8, 32], [4, 64], [4, 32], [4, 16], [4, 8], [4, 4]];
        let fits = |cut: &[usize; 2]| overrides(*cut).workgroup_bytes(flags) <= device.workgroup_memory;
        overrides(cuts.into_iter().find(fits).unwrap_or([4, 4])).variant(flags)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let (shares, l) = (call.unit(self.shares()), &self.sketch.layout);
        let share = call.unit(Unit::Rows).div_ceil(shares);
        let params = |first: usize| shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            rows: call.unit(Unit::Rows) as u32,
            share: share as u32,
            first: first as u32,
            outputs: l.sketch as u32,
        };
        (0..share * l.group)
            .step_by(shader::Overrides::of(variant).at_once)
            .map(|first| Dispatch::new(&params(first), [shares, 2, l.heads]))
            .collect()
    }

    fn flops(&self, call: &Call) -> u64 {
        3 * self.sketch.flops(call)
    }

    twins!(shader);
}

impl SketchAffineGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Tokens of a tile: all their activations stay in the second cache.
        const TILE: usize = 64;
        let shader::Args { qkv, lanes, norms, rotations, w, dsketch, slabs, dqkv, .. } = args;
        let (net, l) = (&self.sketch, &self.sketch.layout);
        let source = HeadSource { layout: l, qkv, norms, rotations };
        let (rows, tokens, shares) = (call.unit(Unit::Rows), call.tokens, call.unit(self.shares()));
        let share = rows.div_ceil(shares);
        let slab = self.slab();
        // Of each share and side and key head: its sums, and the gradients of its vectors, row by row.
        let mut dvectors: Vec<&mut [R]> = match dqkv {
            Some(dqkv) => {
                let dqkv = &mut dqkv[..rows * l.qkv_width()];
                cpu::blocks(dqkv, l.qkv_width(), [l.vectors(), l.head], |row, block| {
                    let of_share = row / share * share * l.vectors();
                    let in_share = share.min(rows - row / share * share);
                    let row = row % share;
                    match block.checked_sub(l.query_heads()) {
                        None => of_share + (block / l.group * in_share + row) * l.group + block % l.group,
                        Some(head) => of_share + in_share * l.query_heads() + head * in_share + row,
                    }
                })
            }
            None => Vec::new(),
        };
        let mut rest = &mut dvectors[..];
        let mut tasks = Vec::new();
        for (at, sums) in slabs.chunks_mut(slab).take(shares).enumerate() {
            let own = (at * share).min(rows)..((at + 1) * share).min(rows);
            let (mut sums, mut norms) = sums.split_at_mut(net.weight_count());
            for side in 0..2 {
                let weights = net.weights(side);
                for head in 0..l.heads {
                    let sums = sums.split_off_mut(..weights.count()).expect("as many as the weights");
                    let vectors = if self.of_vectors { own.len() * weights.gains } else { 0 };
                    let vectors = rest.split_off_mut(..vectors).expect("one of each row");
                    let of_norms = if l.normed { 4 * l.head } else { 0 };
                    let norms = norms.split_off_mut(..of_norms).expect("one of each head");
                    tasks.push((side, head, own.clone(), sums, norms, vectors));
                }
            }
        }
        cpu::parallel_each(tasks, |_, (side, head, own, sums, dnorms, mut vectors)| {
            sums.fill(R::ZERO);
            dnorms.fill(R::ZERO);
            let m = net.weights(side).gains;
            for first in own.clone().step_by(TILE) {
                let tile_rows = first..own.end.min(first + TILE);
                let n = tile_rows.len() * m;
                let extra = n * (2 * l.sketch + l.head + net.hidden) + l.head;
                cpu::with_scratch(Tile::<R>::len(net, n) + extra, |scratch: &mut [R]| {
                    let (turn, scratch) = scratch.split_at_mut(l.head);
                    let (mut work, scratch) = scratch.split_at_mut(extra - l.head);
                    let mut tile = Tile::new(net, n, scratch);
                    let places = tile_rows.clone().map(|row| (row / tokens, row % tokens));
                    net.load(&source, lanes, call, [side, head], places, turn, tile.x);
                    tile.run(net.weights(side), &w[net.place(side, head)]);
                    let mut take = |width: usize| work.split_off_mut(..n * width).expect("enough");
                    let (ds, dplain, dx, dunits) =
                        (take(l.sketch), take(l.sketch), take(l.head), take(net.hidden));
                    for (row, ds) in tile_rows.clone().zip(ds.chunks_exact_mut(m * l.sketch)) {
                        let of_head = (row / tokens * l.heads + head) * tokens + row % tokens;
                        let at = if side == 0 { of_head * m } else { rows * l.query_heads() + of_head };
                        ds.copy_from_slice(&dsketch[at * l.sketch..(at + m) * l.sketch]);
                    }
                    let of_weights = [&w[net.place(side, head)], &*ds];
                    self.backward(side, &tile, of_weights, dplain, dunits, dx, sums);
                    if !self.of_vectors {
                        return;
                    }
                    let outs = vectors.split_off_mut(..n).expect("one of each");
                    let each = outs.iter_mut().zip(dx.chunks_exact_mut(l.head)).enumerate();
                    for (i, (out, dx)) in each {
                        let row = tile_rows.start + i / m;
                        if l.rotation != Rotation::None {
                            source.turn_at(
                                lane(lanes, call.lane_base + row / tokens).position + row % tokens,
                                turn,
                            );
                        }
                        let vector = Vector { row, part: side, head: head * m + i % m };
                        source.exact_backward(vector, turn, dx, out, dnorms);
                    }
                });
            }
        });
    }

    /// dx `[n, h]` of a tile, given `[weights, ds [n, r]]`; adds to dweights.
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    fn backward<R: Real>(
        &self,
        side: usize,
        tile: &Tile<'_, R>,
        [w, ds]: [&[R]; 2],
        dplain: &mut [R],
        dunits: &mut [R],
        dx: &mut [R],
        dweights: &mut [R],
    ) {
        let weights = self.sketch.weights(side);
        let (h, r, hidden) = (weights.head, weights.size, weights.hidden);
        let [_, _, linear, up, down, tilt, _] = weights.split(w);
        let [dmean, dbase, dlinear, dup, ddown, dtilt, dlevel] = weights.split_mut(dweights);
        let n = tile.gain.len();
        for (i, (dplain, ds)) in dplain.chunks_exact_mut(r).zip(ds.chunks_exact(r)).enumerate() {
            dplain.iter_mut().zip(ds).for_each(|(d, ds)| *d = tile.gain[i] * *ds);
            dbase.iter_mut().zip(&*dplain).for_each(|(sum, d)| *sum += *d);
        }
        let d = Mat::new(tile.d, n, h);
        cpu::matmul(MatMut::new(dlinear, r, h), Mat::new(dplain, n, r).t(), d, true);
        cpu::matmul(MatMut::new(dx, n, h), Mat::new(dplain, n, r), Mat::new(linear, r, h), false);
        let active = Mat::new(tile.active, n, hidden);
        cpu::matmul(MatMut::new(ddown, r, hidden), Mat::new(dplain, n, r).t(), active, true);
        let down = Mat::new(down, r, hidden);
        cpu::matmul(MatMut::new(dunits, n, hidden), Mat::new(dplain, n, r), down, false);
        dunits.iter_mut().zip(&*tile.slope).for_each(|(d, slope)| *d *= *slope);
        cpu::matmul(MatMut::new(dup, hidden, h), Mat::new(dunits, n, hidden).t(), d, true);
        cpu::matmul(MatMut::new(dx, n, h), Mat::new(dunits, n, hidden), Mat::new(up, hidden, h), true);
        for dx in dx.chunks_exact(h) {
            dmean.iter_mut().zip(dx).for_each(|(sum, d)| *sum -= *d);
        }
        let rows = dx.chunks_exact_mut(h).zip(tile.x.chunks_exact(h));
        for (i, (dx, x)) in rows.enumerate() {
            let m = i % weights.gains;
            let of = i * r..(i + 1) * r;
            // s = e^{γ/2} plain: dγ = ⟨ds, s⟩ / 2 = ⟨dplain, plain⟩ / 2.
            let dlog = R::of(0.5) * tile.within[i] * cpu::dot(&dplain[of.clone()], &tile.plain[of]);
            dlevel[m] += dlog;
            cpu::axpy(dlog, x, &mut dtilt[m * h..(m + 1) * h]);
            cpu::axpy(dlog, &tilt[m * h..(m + 1) * h], dx);
        }
    }
}
