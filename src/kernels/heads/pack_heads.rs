//! Query and key rows of the attention kernels.

use crate::error::Result;
use crate::kernels::heads::gate_sum::gate_add;
use crate::kernels::heads::layout::{HeadLayout, HeadSource, Rotation, check_cache, lane};
use crate::kernels::shader::{pack_heads as shader, shared};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where key rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// A fresh window `[lanes, G, window, key_width]`, the call's tokens after the ring's rows.
    Window,
    /// The ring `[slots, G, ring rows, key_width]`, in place (one token a lane).
    Ring,
    /// The cache `[slots, G, context, key_width]` of so many tokens, in place.
    Cache(usize),
}

/// Gathers what the attention kernels read of a token: query row `[x | s]`, key row `[x | s | v | gate sum]`.
///
/// Arguments: qkv, lane table, norms `[4, h]`, rotation table, (sketch: vectors of queries `[lanes, G, tokens, M,
/// r]`, then of keys `[lanes, G, tokens, r]`), (gate sums `[lanes, G, tokens, 2]`; without them the sum goes on
/// from the row before, one token a lane) → queries `[lanes, G, tokens, M, query_width]`, keys (fresh window, or
/// ring or cache in place).
#[derive(Debug)]
pub struct PackHeads {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Where keys go.
    pub keys: KeysAt,
    /// Gate sums come as an argument.
    pub sums: bool,
}

impl PackHeads {
    pub(in crate::kernels) fn input_count(&self) -> usize {
        4 + usize::from(self.layout.sketch > 0) + usize::from(self.sums)
    }

    /// The `override`s of `shared/pack_rows.wgsl`.
    pub(in crate::kernels) fn rows(&self) -> shared::PackRows {
        let l = &self.layout;
        let keys_at = match self.keys {
            KeysAt::Window => 0,
            KeysAt::Ring => 1,
            KeysAt::Cache(_) => 2,
        };
        let width = (l.head / 2).next_power_of_two().min(32);
        shared::PackRows { x_normed: l.exact && l.normed, sketch: l.sketch, width, keys_at }
    }

    /// Vectors of a token: of queries, keys and values.
    pub(in crate::kernels) fn parts(&self) -> usize {
        self.layout.query_heads() + 2 * self.layout.heads
    }

    pub(in crate::kernels) fn stride(&self, call: &Call) -> usize {
        match self.keys {
            KeysAt::Window => call.unit(self.layout.window()),
            KeysAt::Ring => self.layout.ring_rows(),
            KeysAt::Cache(context) => context,
        }
    }
}

impl Kernel for PackHeads {
    fn stem(&self) -> &'static str {
        "pack_heads"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != self.input_count()
            || inputs[0].shape != shape![Unit::Rows, l.qkv_width()]
            || inputs[2].shape != shape![4, l.head]
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs qkv [rows, {}] and norms [4, {}]", l.qkv_width(), l.head),
            ));
        }
        let mut outputs =
            vec![TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.group, l.query_width()])];
        if self.keys == KeysAt::Window {
            outputs.push(TensorType::f32(shape![Unit::Lanes, l.heads, l.window(), l.key_width()]));
        }
        Ok(outputs)
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let l = &self.layout;
        let pack_rows = self.rows();
        shader::Overrides {
            span: shader::THREADS / pack_rows.width * 4,
            pack_rows,
            head_layout: l.overrides(),
            head_vector: l.vector_overrides(),
        }
        .variant(shader::Flags { s: l.sketch > 0, g: self.sums })
    }

    fn check(&self, _: &Variant, _: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        if let KeysAt::Cache(context) = self.keys { check_cache(context, capacity) } else { Ok(()) }
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
        };
        let groups = call.tokens.div_ceil(shader::Overrides::of(variant).span);
        Dispatch::once(&params, [groups, self.parts(), call.lanes.len()])
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

/// What a run of tokens writes of one head.
struct Run<'a, R> {
    queries: &'a mut [R],
    keys: &'a mut [R],
    /// The key rows of the head before the call's.
    before: &'a [R],
    /// Where the ring keeps the row as well, if it is a sink's.
    sink: Option<&'a mut [R]>,
}

impl PackHeads {
    pub(in crate::kernels) fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        /// Tokens that a task takes with all their heads, which share the turn of a token.
        const RUN: usize = 16;
        let shader::Args { qkv, lanes, norms, rotations, sketch, sums, queries, keys, .. } = args;
        let l = &self.layout;
        let source = HeadSource { layout: l, qkv, norms, rotations };
        let runs = call.tokens.div_ceil(RUN);
        cpu::parallel_each(self.runs(RUN, lanes, queries, keys, call), |task, mut heads| {
            let (at, first) = (task / runs, task % runs * RUN);
            let position = lane(lanes, call.lane_base + at).position;
            cpu::with_scratch(l.head, |turn: &mut [R]| {
                for token in first..call.tokens.min(first + RUN) {
                    if l.exact && l.rotation != Rotation::None {
                        source.turn_at(position + token, turn);
                    }
                    let row = at * call.tokens + token;
                    for (head, run) in heads.iter_mut().enumerate() {
                        let width = l.group * l.query_width();
                        let queries = &mut run.queries[(token - first) * width..][..width];
                        let key = &mut run.keys[(token - first) * l.key_width()..][..l.key_width()];
                        let in_call = (at * l.heads + head) * call.tokens + token;
                        self.vectors(&source, [row, head], turn, queries, key);
                        if let Some(sketch) = sketch {
                            self.sketches(sketch, in_call, queries, key, call);
                        }
                        if l.gated {
                            let logit = || qkv[row * l.qkv_width() + l.gate_offset() + head];
                            let sum = match sums {
                                Some(sums) => [sums[in_call * 2], sums[in_call * 2 + 1]],
                                // One token a lane: the row before it is of an earlier call.
                                None => gate_add(self.last_sum(run.before), logit()),
                            };
                            key[l.sum_offset()..l.sum_offset() + 2].copy_from_slice(&sum);
                        }
                        if let Some(sink) = &mut run.sink {
                            sink.copy_from_slice(key);
                        }
                    }
                }
            });
        });
    }

    /// For each run of `length` tokens of each lane, what it writes of every head.
    fn runs<'a, R>(
        &self,
        length: usize,
        lanes: &[u32],
        queries: &'a mut [R],
        keys: &'a mut [R],
        call: &Call,
    ) -> Vec<Vec<Run<'a, R>>> {
        let (l, tokens, runs) = (&self.layout, call.tokens, call.tokens.div_ceil(length));
        let (query_width, key_width) = (l.group * l.query_width(), l.key_width());
        let mut all: Vec<Vec<Run<'_, R>>> = Vec::new();
        all.resize_with(call.lanes.len() * runs, || Vec::with_capacity(l.heads));
        let mut keys: Vec<&mut [R]> = keys.chunks_mut(self.stride(call) * key_width).collect();
        let queries = queries.chunks_mut(tokens * query_width).take(call.lanes.len() * l.heads);
        for (lane_head, queries) in queries.enumerate() {
            let (at, head) = (lane_head / l.heads, lane_head % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            let (owner, first) = match self.keys {
                KeysAt::Window => (at, l.window_row(lane)),
                KeysAt::Ring => (lane.slot, l.ring_row(lane.position)),
                KeysAt::Cache(_) => (lane.slot, lane.position),
            };
            // Lanes of a call have slots of their own; a second one would find no rows left.
            let rows = std::mem::take(&mut keys[owner * l.heads + head]);
            let (before, rows) = rows.split_at_mut(first * key_width);
            let (rows, behind) = rows.split_at_mut(tokens * key_width);
            // Sums restart at blocks.
            let restarts = self.keys == KeysAt::Ring && first.is_multiple_of(l.block);
            let before = if restarts { &[] } else { &*before };
            let is_sink = self.keys == KeysAt::Ring && lane.position < l.sinks;
            let sink = (l.near * l.block + lane.position).checked_sub(first + tokens).filter(|_| is_sink);
            let mut sink = sink.map(|row| &mut behind[row * key_width..][..key_width]);
            let pieces = queries.chunks_mut(length * query_width).zip(rows.chunks_mut(length * key_width));
            for (run, (queries, keys)) in pieces.enumerate() {
                all[at * runs + run].push(Run { queries, keys, before, sink: sink.take() });
            }
        }
        all
    }

    /// x and v.
    fn vectors<R: Real>(
        &self,
        source: &HeadSource<'_, R>,
        [row, head]: [usize; 2],
        turn: &[R],
        queries: &mut [R],
        key: &mut [R],
    ) {
        let l = &self.layout;
        if l.exact {
            for (i, query) in queries.chunks_exact_mut(l.query_width()).enumerate() {
                source.exact(row, 0, head * l.group + i, turn, &mut query[..l.head]);
            }
            source.exact(row, 1, head, turn, &mut key[..l.head]);
        }
        key[l.value_offset()..l.sum_offset()].copy_from_slice(source.projection(row, 2, head));
    }

    /// s of a token's queries and of its key.
    fn sketches<R: Real>(&self, sketch: &[R], in_call: usize, queries: &mut [R], key: &mut [R], call: &Call) {
        let l = &self.layout;
        let (s, r) = (l.sketch_offset(), l.sketch);
        let keys = call.unit(Unit::Rows) * l.query_heads();
        for (i, query) in queries.chunks_exact_mut(l.query_width()).enumerate() {
            query[s..s + r].copy_from_slice(&sketch[(in_call * l.group + i) * r..][..r]);
        }
        key[s..s + r].copy_from_slice(&sketch[(keys + in_call) * r..][..r]);
    }

    /// The gate sum of the last of some key rows; none: 0.
    fn last_sum<R: Real>(&self, rows: &[R]) -> [R; 2] {
        let width = self.layout.key_width();
        rows.len().checked_sub(width).map_or([R::ZERO; 2], |last| self.layout.gate_sum(&rows[last..]))
    }
}
