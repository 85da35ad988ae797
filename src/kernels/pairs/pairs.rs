//! What the two passes over pairs have in common: which pairs there are, how they are cut, a tile of them.

use super::local_affinity::whole_vectors;
use super::pair_affinity::PairAffinity;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decays;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::shader::attention_grad_keys::{THREADS, TILE};
use crate::kernels::shader::shared::PairTile;
use crate::kernels::{DeviceTraits, Dispatch, Real, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};

/// The pairs of a query and a key up to it whose affinity is a function of their inner product: those of one
/// block in the scan, all of them in the dense kinds. They are computed again, tile by tile; nothing of size
/// n x n is in memory.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Affinity of a pair.
    pub affinity: PairAffinity,
    /// Column of the vector the affinity reads.
    pub offset: usize,
    /// Elements of the vector the affinity reads.
    pub width: usize,
    /// Which pairs.
    pub reach: Reach,
}

/// Which keys up to a query it makes pairs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    Text,
    /// Those of its block.
    Block,
    /// Those of its block and the near ones before it, and the sinks.
    Near,
    /// None: gradients have zeros, and the part of the gates that is the queries' own.
    Nothing,
}

/// Queries, or keys, of one task of the twins.
pub(in crate::kernels) const TASK: usize = 64;

impl Pairs {
    /// Tokens among which there are pairs.
    pub(in crate::kernels) fn span(&self, call: &Call) -> usize {
        if self.reach == Reach::Block { self.layout.block.min(call.tokens) } else { call.tokens }
    }

    /// The first key, sinks apart, that a token makes pairs with.
    pub(in crate::kernels) fn first_key(&self, token: usize) -> usize {
        let l = &self.layout;
        match self.reach {
            Reach::Text => 0,
            Reach::Block => token / l.block * l.block,
            Reach::Near => (token / l.block + 1).saturating_sub(l.near) * l.block,
            Reach::Nothing => usize::MAX,
        }
    }

    /// First keys that all tokens make pairs with.
    pub(in crate::kernels) fn sinks(&self) -> usize {
        if self.reach == Reach::Near { self.layout.sinks } else { 0 }
    }

    /// Whether affinities have gates.
    pub(in crate::kernels) fn gated(&self) -> bool {
        self.layout.gated && !self.affinity.softmax()
    }

    pub(in crate::kernels) fn check(&self, stem: &str, inputs: &[&TensorType]) -> Result<()> {
        let l = &self.layout;
        let widths = [l.query_width(), l.key_width(), l.gradient_width()];
        if !inputs.iter().map(|t| t.shape.last()).eq(widths.map(Some)) {
            return Err(shape_error(
                stem,
                inputs,
                format_args!("needs queries, keys and gradient rows of {widths:?}"),
            ));
        }
        Ok(())
    }

    /// Refuses texts in which sinks would be turned on: the gradients here see them as far away as they are.
    pub(in crate::kernels) fn check_reach(&self, capacity: &Capacity) -> Result<()> {
        let l = &self.layout;
        let last = capacity.tokens.saturating_sub(1) / l.block;
        if self.reach != Reach::Near || l.sinks == 0 || l.sink_turn(last) == 0 {
            return Ok(());
        }
        let text = format!("gradients over {} tokens with a sink reach of {}", capacity.tokens, l.sink_reach);
        Err(Error::new(ErrorKind::Limit, text).help(
            "learn from shorter texts, or give the model a longer sink_reach (linearize, or config.json)",
        ))
    }

    /// How one of the two shaders is cut for workgroups of so many rows: `shared/pair_tile.wgsl`.
    pub(in crate::kernels) fn pair_tile(&self, device: &DeviceTraits, rows: usize) -> PairTile {
        let (local, head) = (self.width, self.layout.head);
        // Iterations of a turn of the loop over tiles, generously: llvmpipe's limit (`DeviceTraits::rounds`).
        let each = 10 * (local + head) / 4 + TILE * 10 + 100;
        PairTile {
            local,
            local_offset: self.offset,
            row_tile: rows,
            staged: rows * local / 4,
            staged_values: rows * head / 4,
            tile_pairs: rows * TILE,
            items: (rows * local / 4).div_ceil(THREADS),
            pairs: rows * TILE / THREADS,
            reach: self.reach as usize,
            at_once: TILE * device.rounds(4096, 2 * each),
        }
    }

    /// The dispatches of one of the two shaders, whose workgroups own `rows` rows a token and take `others` of
    /// the other side; `params` of the first of these of each.
    pub(in crate::kernels) fn dispatches<P: bytemuck::Pod>(
        &self,
        tile: &PairTile,
        [rows, others]: [usize; 2],
        call: &Call,
        params: impl Fn(u32) -> P,
    ) -> Vec<Dispatch> {
        let span = self.span(call);
        let workgroups = [
            (span * rows).div_ceil(tile.row_tile),
            call.tokens.div_ceil(span),
            call.lanes.len() * self.layout.heads,
        ];
        let all = if self.reach == Reach::Nothing { 1 } else { span * others };
        (0..all).step_by(tile.at_once).map(|first| Dispatch::new(&params(first as u32), workgroups)).collect()
    }

    /// Pairs of a call's queries, of one head each.
    pub(in crate::kernels) fn count(&self, call: &Call) -> usize {
        let l = &self.layout;
        let half = self.span(call) / 2;
        let of_token = match self.reach {
            Reach::Text | Reach::Block => half,
            Reach::Near => half.min(l.near * l.block - l.block / 2 + l.sinks),
            Reach::Nothing => 0,
        };
        call.unit(Unit::Rows) * of_token
    }

    /// f32 operations of one of the two gradients: `products` of rows by columns of every pair.
    pub(in crate::kernels) fn flops(&self, call: &Call) -> u64 {
        let pairs = self.count(call);
        (pairs * self.layout.query_heads() * (2 * self.layout.head + 4 * self.width)) as u64
    }

    /// A tile of pairs: decayed affinities `w [rows, keys]`, and `dt = ∂L/∂⟨x_i, x_j⟩ = dw_ij e^{g_i - g_j}
    /// w'(t_ij)` with `dw_ij = ⟨dN_i, v̂_j⟩`. The slices begin at the query row `first`, M a token, and key
    /// `start`.
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    pub(in crate::kernels) fn tile<R: Real>(
        &self,
        [queries, keys, drows]: [&[R]; 3],
        [first, rows]: [usize; 2],
        [start, count]: [usize; 2],
        affinities: &mut [R],
        dt: &mut [R],
    ) {
        let l = &self.layout;
        let (q, k, d) = (l.query_width(), l.key_width(), l.gradient_width());
        let x_q = Mat::strided(&queries[self.offset..], rows, self.width, q);
        let x_k = Mat::strided(&keys[self.offset..], count, self.width, k);
        let values = Mat::strided(&keys[l.value_offset()..], count, l.head, k);
        cpu::matmul(MatMut::new(affinities, rows, count), x_q, x_k.t(), false);
        cpu::matmul(MatMut::new(dt, rows, count), Mat::strided(drows, rows, l.head, d), values.t(), false);
        let gates = if self.gated() { count } else { 0 };
        cpu::with_scratch(2 * count + 2 * gates, |scratch: &mut [R]| {
            let (slope, rest) = scratch.split_at_mut(count);
            let (decay, sums) = rest.split_at_mut(count);
            let (whole, fraction) = sums.split_at_mut(gates);
            for j in 0..gates {
                [whole[j], fraction[j]] = l.gate_sum(&keys[j * k..]);
            }
            for (i, (w, dt)) in affinities.chunks_exact_mut(count).zip(dt.chunks_exact_mut(count)).enumerate()
            {
                let own = ((first + i) / l.group + 1).saturating_sub(start).min(count);
                let seen = whole_vectors(own, count);
                self.pairs_of_row(
                    [&mut w[..seen], &mut dt[..seen]],
                    &drows[i * d + l.head..(i + 1) * d],
                    [&*whole, &*fraction],
                    slope,
                    decay,
                );
                w[own..].fill(R::ZERO);
                dt[own..].fill(R::ZERO);
                if self.reach == Reach::Near {
                    let from = self.first_key((first + i) / l.group).saturating_sub(start).min(count);
                    let sinks = self.sinks().saturating_sub(start).min(from);
                    w[sinks..from].fill(R::ZERO);
                    dt[sinks..from].fill(R::ZERO);
                }
            }
        });
    }

    /// A row of [`Pairs::tile`]: inner products of a query with keys into affinities, of its gradient with
    /// values into dt. `row` is what [`AttentionGradRows`] leaves of the query behind its gradient; the gates
    /// are those of the keys.
    fn pairs_of_row<R: Real>(
        &self,
        [w, dt]: [&mut [R]; 2],
        row: &[R],
        [whole, fraction]: [&[R]; 2],
        slope: &mut [R],
        decay: &mut [R],
    ) {
        let (l, n) = (&self.layout, w.len());
        let (slope, decay) = (&mut slope[..n], &mut decay[..n]);
        match self.affinity {
            PairAffinity::Softmax => {
                let scale = R::of(1.0 / (l.size as f64).sqrt());
                w.iter_mut().for_each(|w| *w = scale * *w - row[2]);
                cpu::exp_slice(w);
                dt.iter_mut().zip(w).for_each(|(dt, w)| *dt = (*dt + row[0]) * (scale * *w));
            }
            PairAffinity::Kernel(affinity) => cpu::vectorized(
                #[inline(always)]
                || {
                    affinity.apply_with_slope(w, slope);
                    dt.iter_mut().zip(&*slope).for_each(|(dt, slope)| *dt = (*dt + row[0]) * *slope);
                    if l.gated {
                        gate_decays([row[2], row[3]], whole, fraction, decay);
                        for ((w, dt), decay) in w.iter_mut().zip(dt).zip(&*decay) {
                            (*w, *dt) = (*w * *decay, *dt * *decay);
                        }
                    }
                },
            ),
        }
    }
}
