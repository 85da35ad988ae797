//! The baselines with a key-value cache: softmax and the exact polynomial kernel, many queries at once.

use std::cmp::Reverse;

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Gradient;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, check_cache, lane, turn_at, turn_pairs};
use crate::kernels::heads::row_tasks::{BlockTask, block_tasks, by_head, row_tasks};
use crate::kernels::pairs::mask::Mask;
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::kernels::shader::attention_dense as shader;
use crate::kernels::shader::shared::{MatrixTile, NearKeys, Sinks};
use crate::kernels::tiles::row_tile::{OUTPUTS, parts, rows};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where the keys that a query sees lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// In the cache `[slots, G, context, key_width]` of so many tokens, up to the query's position.
    Cache(usize),
    /// In the call's window (training: a call is a whole text).
    Window(Mask),
    /// In the call's window: those of the query's own block and the near ones before it, and the sinks.
    Near {
        /// Affinities have a gradient; else only what is joined has.
        trained: bool,
    },
    /// The same in the ring (one token a lane).
    Ring,
}

/// Arguments: queries `[lanes, G, tokens, M, query_width]`, keys (cache or window), lane table, for near keys far
/// rows and the rotation table → o `[rows, H h]`; with a causal or near window also what the gradient reads
/// `[lanes, G, tokens, M]`: the normaliser with β,
/// for softmax the log-sum-exp.
///
/// Near keys are joined with what a state knows of all others: the fourth argument are its rows
/// ([`Leaves::Far`](crate::kernels::scan::scan_output::Leaves)), whose sums are taken relative to the largest near
/// score like those of the near ones, and have one normaliser with them (SPEC §10). Sinks are turned on by the rotation
/// table where a query is further from them than the layout's reach.
#[derive(Clone, Debug)]
pub struct AttentionDense {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Affinity of a pair.
    pub affinity: PairAffinity,
    /// β; 0 for softmax.
    pub bias: f64,
    /// Which keys.
    pub keys: Keys,
}

impl AttentionDense {
    pub(in crate::kernels) fn stride(&self, call: &Call) -> usize {
        match self.keys {
            Keys::Cache(context) => context,
            Keys::Ring => self.layout.ring_rows(),
            Keys::Window(_) | Keys::Near { .. } => call.unit(self.layout.window()),
        }
    }

    pub(in crate::kernels) fn check(&self, stem: &str, inputs: &[&TensorType]) -> Result<()> {
        let l = &self.layout;
        let inputs = match (self.keys, inputs) {
            (Keys::Near { .. }, [rest @ .., far, _]) if far.shape.last() == Some(l.gradient_width()) => rest,
            (Keys::Ring, [rest @ .., _]) => rest,
            _ => inputs,
        };
        if inputs.len() != 3
            || inputs[0].shape.last() != Some(l.query_width())
            || inputs[1].shape.last() != Some(l.key_width())
        {
            return Err(shape_error(
                stem,
                inputs,
                format_args!("needs query rows of {} and key rows of {}", l.query_width(), l.key_width()),
            ));
        }
        Ok(())
    }

    fn overrides(&self, tile: MatrixTile) -> shader::Overrides {
        let (l, bias) = (&self.layout, self.bias);
        let (softmax, local_affinity) = self.affinity.overrides(l.size);
        let sinks = Sinks { sink_numbers: if l.sink_reach > 0 { (l.sinks * l.head).max(1) } else { 1 } };
        shader::Overrides {
            sinks: Some(sinks),
            head_layout: l.overrides(),
            near_keys: NearKeys { local: l.head, local_offset: 0, bias, row_tile: rows(&tile) },
            matrix_tile: tile,
            softmax,
            local_affinity,
        }
    }
}

impl Kernel for AttentionDense {
    fn stem(&self) -> &'static str {
        "attention_dense"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.check(self.stem(), inputs)?;
        let l = &self.layout;
        let mut outputs = vec![TensorType::f32(shape![Unit::Rows, l.width()])];
        if matches!(self.keys, Keys::Window(Mask::Causal) | Keys::Near { .. }) {
            outputs.push(TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.group]));
        }
        Ok(outputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let (heads, group, head) = (self.layout.heads, self.layout.group, self.layout.head);
        let (softmax, taylor) = (self.affinity.softmax(), self.affinity.taylor());
        let (full, causal) = (self.keys == Keys::Window(Mask::Full), self.keys == Keys::Window(Mask::Causal));
        let near = matches!(self.keys, Keys::Near { .. });
        let flags = shader::Flags { softmax, taylor, full, causal, near_only: near };
        let workgroups = |rows| {
            (capacity.tokens * group).div_ceil(rows).saturating_mul(capacity.lanes.saturating_mul(heads))
        };
        let bytes = |tile| self.overrides(tile).workgroup_bytes(flags);
        self.overrides(OUTPUTS.row_tile(device, head, workgroups, bytes)).variant(flags)
    }

    fn check(&self, _: &Variant, device: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        if let Keys::Cache(context) = self.keys {
            check_cache(context, capacity)?;
        }
        let head = self.layout.head;
        // Loops of a tile of keys: for heads of 64 what was seen to be right, up to 32k in lavapipe (wrong at
        // 48k), 16k in OpenGL.
        let most = 32 * device.rounds(0, 2 * head.max(32) - 1);
        let keys = match self.keys {
            Keys::Cache(context) => context,
            Keys::Window(_) => capacity.tokens,
            Keys::Near { .. } | Keys::Ring => self.layout.ring_rows(),
        };
        if device.loop_iterations.is_none() || keys <= most {
            return Ok(());
        }
        let text = format!(
            "attention over {keys} tokens: this driver ends the loops of a shader after some 65 000 \
             iterations, here {most} tokens"
        );
        Err(Error::new(ErrorKind::Limit, text)
            .help("take another adapter, --backend cpu, or a shorter context"))
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let (tile, l) = (shader::Overrides::of(variant).matrix_tile, &self.layout);
        let parts = parts(&tile, l.head);
        let params = shader::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
            parts: parts as u32,
        };
        if let Keys::Near { .. } = self.keys {
            let tiles = (l.block * l.group).div_ceil(rows(&tile));
            let blocks = call.unit(Unit::Blocks(l.block));
            return Dispatch::once(&params, [tiles * parts, blocks, call.lanes.len() * l.heads]);
        }
        let tiles = (call.tokens * l.group).div_ceil(rows(&tile));
        Dispatch::once(&params, [tiles, parts, call.lanes.len() * l.heads])
    }

    fn flops(&self, call: &Call) -> u64 {
        let near = self.layout.near * self.layout.block - self.layout.block / 2 + self.layout.sinks;
        let pairs: usize = match self.keys {
            Keys::Near { .. } | Keys::Ring => call.unit(Unit::Rows) * near,
            _ => call.lanes.iter().map(|l| call.tokens * (l.position + call.tokens / 2)).sum(),
        };
        (4 * pairs * self.layout.width()) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl AttentionDense {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 64;
        let l = &self.layout;
        if let Keys::Near { .. } = self.keys {
            return self.near(args, call);
        }
        let shader::Args { queries, keys, lanes, o, normaliser, .. } = args;
        let (rows_of_head, stride, heads) = (call.tokens * l.group, self.stride(call), l.heads);
        let mut outputs = by_head(o, l, call);
        let cut = [rows_of_head, ROWS];
        let shape = [heads, rows_of_head, 1];
        let tasks = row_tasks(&mut outputs, shape, l.group, cut, call);
        let kept = normaliser.map(|all| row_tasks(all, shape, l.group, cut, call)).unwrap_or_default();
        let kept = kept.into_iter().map(|task| task.out).chain(std::iter::repeat_with(Default::default));
        let mut tasks: Vec<_> = tasks.into_iter().zip(kept).collect();
        // The longest rows first, so that no thread is left with them at the end.
        tasks.sort_by_key(|(task, _)| Reverse(task.rows.start));
        cpu::parallel_each(tasks, |_, (task, kept)| {
            let lane_head = task.lane_head;
            let lane = lane(lanes, call.lane_base + lane_head / heads);
            let head = lane_head % heads;
            let (first, rows) = (task.rows.start, task.rows.len());
            let queries =
                &queries[(lane_head * rows_of_head + first) * l.query_width()..][..rows * l.query_width()];
            let (place, row) = match self.keys {
                Keys::Cache(_) => (lane.slot * l.heads + head, Some(lane.position * l.group + first)),
                Keys::Window(Mask::Full) => (lane_head, None),
                _ => (lane_head, Some(first)),
            };
            let count = row.map_or(call.tokens, |row| (row + rows - 1) / l.group + 1);
            let keys = &keys[place * stride * l.key_width()..][..count * l.key_width()];
            cpu::with_scratch(rows * (l.head + 2), |scratch: &mut [R]| {
                let (sums, rest) = scratch.split_at_mut(rows * l.head);
                let (totals, highest) = rest.split_at_mut(rows);
                let mut sums_of = Sums { sums, totals, highest };
                sums_of.clear();
                self.attend(queries, keys, [0, count], row, &mut sums_of);
                let Sums { sums, totals, highest } = sums_of;
                for (i, out) in task.out.iter_mut().enumerate() {
                    let total = R::of(self.bias) + totals[i];
                    if let Some(kept) = kept.get_mut(i) {
                        *kept = if self.affinity.softmax() { highest[i] + total.ln() } else { total };
                    }
                    let scale = R::ONE / total;
                    out.iter_mut().zip(&sums[i * l.head..]).for_each(|(o, s)| *o = *s * scale);
                }
            });
        });
    }

    /// The twin over near keys and what is joined with them.
    fn near<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let l = &self.layout;
        let shader::Args { queries, keys, lanes, far, rotations, o, normaliser, .. } = args;
        let (Some(far), Some(rotations), Some(kept)) = (far, rotations, normaliser) else { return };
        let (all, stride, width) = (call.tokens * l.group, self.stride(call), l.key_width());
        let tasks = block_tasks(l, lanes, call);
        let of_call =
            || tasks.iter().map(|t| t.lane_head * all + t.query..t.lane_head * all + t.query + t.rows);
        let mut outputs = by_head(o, l, call);
        let outputs = cpu::ranges(&mut outputs, of_call()).zip(cpu::ranges(kept, of_call()));
        cpu::parallel_each(tasks.iter().zip(outputs), |_, (task, (out, kept))| {
            let &BlockTask { lane_head, block, first, query, rows } = task;
            let lane = lane(lanes, call.lane_base + lane_head / l.heads);
            let at = lane_head * all + query;
            let queries = &queries[at * l.query_width()..][..rows * l.query_width()];
            let far = &far[at * l.gradient_width()..][..rows * l.gradient_width()];
            let keys = &keys[lane_head * stride * width..][..stride * width];
            // Rows of the window that hold the near blocks; those before the text are not there.
            let of_text = l.first_block(lane) + block;
            let before = (l.near - 1).min(of_text).min(block + l.lead);
            let from = (block + l.lead - before) * l.block;
            let own = l.lead * l.block * l.group + first;
            let to = (own + rows - 1) / l.group + 1;
            cpu::with_scratch(rows * (l.head + 2), |scratch: &mut [R]| {
                let (sums, rest) = scratch.split_at_mut(rows * l.head);
                let (totals, highest) = rest.split_at_mut(rows);
                let mut sums = Sums { sums, totals, highest };
                sums.clear();
                if of_text >= l.near && l.sinks > 0 {
                    let first = l.sink_row(lane, stride);
                    let keys = &keys[first * width..(first + l.sinks) * width];
                    self.attend_sinks(queries, keys, rotations, of_text, &mut sums);
                }
                self.attend(queries, keys, [from, to], Some(own), &mut sums);
                let of_row = far.chunks_exact(l.gradient_width()).zip(out.iter_mut()).zip(kept);
                for (i, ((far, out), kept)) in of_row.enumerate() {
                    let high = sums.highest[i];
                    let share = far_share(high);
                    let total = sums.totals[i] + share * far[l.head];
                    let scale = R::ONE / total;
                    let near = &sums.sums[i * l.head..(i + 1) * l.head];
                    for ((o, near), far) in out.iter_mut().zip(near).zip(far) {
                        *o = (*near + share * *far) * scale;
                    }
                    *kept = high + total.ln();
                }
            });
        });
    }

    /// [`AttentionDense::attend`] of queries in a block of the text over key rows of sinks, which are no further
    /// from it than the layout's reach.
    pub(in crate::kernels) fn attend_sinks<R: Real>(
        &self,
        queries: &[R],
        sinks: &[R],
        rotations: &[R],
        block: usize,
        sums: &mut Sums<'_, R>,
    ) {
        let l = &self.layout;
        let (by, count) = (l.sink_turn(block), sinks.len() / l.key_width());
        if by == 0 {
            return self.attend(queries, sinks, [0, count], None, sums);
        }
        cpu::with_scratch(sinks.len() + l.head, |scratch: &mut [R]| {
            let (turned, turn) = scratch.split_at_mut(sinks.len());
            turned.copy_from_slice(sinks);
            turn_at(rotations, by, turn);
            turned.chunks_exact_mut(l.key_width()).for_each(|key| turn_pairs(&mut key[..l.head], turn));
            self.attend(queries, turned, [0, count], None, sums);
        });
    }

    /// Adds to sums, normalisers and, for softmax, maxima that both are relative to, of queries over keys
    /// `from..to`, tile by tile. Query i is row `row + i` of the text's, M a token; no row: it sees every key.
    pub(in crate::kernels) fn attend<R: Real>(
        &self,
        queries: &[R],
        keys: &[R],
        [from, to]: [usize; 2],
        row: Option<usize>,
        Sums { sums, totals, highest }: &mut Sums<'_, R>,
    ) {
        const TILE: usize = 256;
        let l = &self.layout;
        let (width, rows) = (l.key_width(), totals.len());
        let softmax = self.affinity.softmax();
        let gate = |key: usize| l.gate_sum(&keys[key * width..]);
        let own = |i: usize| row.map(|row| (row + i) / l.group);
        cpu::with_scratch(rows * TILE, |affinities: &mut [R]| {
            for start in (from..to).step_by(TILE) {
                let n = TILE.min(to - start);
                let affinities = &mut affinities[..rows * n];
                let tile = &keys[start * width..(start + n) * width];
                let q = Mat::strided(queries, rows, l.head, l.query_width());
                cpu::matmul(
                    MatMut::new(affinities, rows, n),
                    q,
                    Mat::strided(tile, n, l.head, width).t(),
                    false,
                );
                for (i, row) in affinities.chunks_exact_mut(n).enumerate() {
                    let seen = own(i).map_or(n, |own| (own + 1).saturating_sub(start).min(n));
                    let (row, unseen) = row.split_at_mut(seen);
                    unseen.fill(R::ZERO);
                    match self.affinity {
                        PairAffinity::Softmax if seen > 0 => {
                            let scale = R::of(1.0 / (l.size as f64).sqrt());
                            let high = highest[i].max(scale * cpu::largest(row));
                            cpu::vectorized(
                                #[inline(always)]
                                || row.iter_mut().for_each(|w| *w = *w * scale - high),
                            );
                            cpu::exp_slice(row);
                            let rescale = (highest[i] - high).exp();
                            highest[i] = high;
                            totals[i] *= rescale;
                            sums[i * l.head..(i + 1) * l.head].iter_mut().for_each(|s| *s *= rescale);
                        }
                        PairAffinity::Softmax => {}
                        PairAffinity::Kernel(affinity) => {
                            affinity.apply(row);
                            if let (true, Some(own)) = (l.gated, own(i)) {
                                let last = gate(own);
                                row.iter_mut()
                                    .enumerate()
                                    .for_each(|(j, w)| *w *= gate_decay(last, gate(start + j)));
                            }
                        }
                    }
                    totals[i] += cpu::sum(row);
                }
                let values = Mat::strided(&tile[l.value_offset()..], n, l.head, width);
                assert!(!softmax || self.bias == 0.0);
                cpu::matmul(MatMut::new(sums, rows, l.head), Mat::new(affinities, rows, n), values, true);
            }
        });
    }
}

/// What far sums are multiplied with beside near ones that are relative to the largest score: bounded, so that a far
/// part of nothing stays nothing where all scores are very low.
pub(in crate::kernels) fn far_share<R: Real>(highest: R) -> R {
    (-highest).min(R::of(80.0)).exp()
}

/// What queries have summed so far: sums `[rows, h]`, normalisers `[rows]`, and the maxima `[rows]` that both are
/// relative to, of softmax.
pub(in crate::kernels) struct Sums<'a, R> {
    pub sums: &'a mut [R],
    pub totals: &'a mut [R],
    pub highest: &'a mut [R],
}

impl<R: Real> Sums<'_, R> {
    /// Nothing yet.
    pub fn clear(&mut self) {
        self.sums.fill(R::ZERO);
        self.totals.fill(R::ZERO);
        self.highest.fill(R::of(-3e38));
    }
}
