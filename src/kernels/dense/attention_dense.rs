//! The baselines with a key-value cache: softmax and the exact polynomial kernel, many queries at once.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Gradient;
use crate::kernels::cpu::{Mat, MatMut, SharedMut};
use crate::kernels::heads::gate_sum::gate_decay;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::pairs::dense_weight::DenseWeight;
use crate::kernels::pairs::mask::Mask;
use crate::kernels::tiles::row_tile::{OUTPUTS, RowTile};
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Where the keys that a query sees lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// In the cache `[slots, H, context, key_width]` of so many tokens, up to the query's position.
    Cache(usize),
    /// In the call's window (training: a call is a whole text).
    Window(Mask),
}

/// Arguments: queries `[lanes, H, tokens, query_width]`, keys (cache or window), lane table → o `[rows, H
/// h]`; with a causal window also what the gradient reads `[lanes, H, tokens]`: the normaliser with β, for
/// softmax the log-sum-exp.
#[derive(Clone, Debug)]
pub struct AttentionDense {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Weight of a pair.
    pub weight: DenseWeight,
    /// β; 0 for softmax.
    pub bias: f64,
    /// Which keys.
    pub keys: Keys,
}

impl AttentionDense {
    pub(in crate::kernels) fn stride(&self, call: &Call) -> usize {
        match self.keys {
            Keys::Cache(context) => context,
            Keys::Window(_) => call.unit(Unit::Window(self.layout.block)),
        }
    }

    pub(in crate::kernels) fn check(&self, stem: &str, inputs: &[&TensorType]) -> Result<()> {
        let l = &self.layout;
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

    pub(in crate::kernels) fn shape_constants(&self, variant: Variant) -> Variant {
        let l = &self.layout;
        variant
            .size("HEADS", l.heads)
            .size("HEAD", l.head)
            .size("QUERY_WIDTH", l.query_width())
            .size("KEY_WIDTH", l.key_width())
            .size("V_OFFSET", l.value_offset())
            .size("GATED", usize::from(l.gated))
    }
}

impl Kernel for AttentionDense {
    fn stem(&self) -> &'static str {
        "attention_dense"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.check(self.stem(), inputs)?;
        let l = &self.layout;
        let mut outputs = vec![TensorType::f32(shape![Unit::Rows, l.heads * l.head])];
        if self.keys == Keys::Window(Mask::Causal) {
            outputs.push(TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens]));
        }
        Ok(outputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let [softmax, taylor] = self.weight.flags();
        let (heads, head) = (self.layout.heads, self.layout.head);
        let flags = [
            softmax,
            taylor,
            ("FULL", self.keys == Keys::Window(Mask::Full)),
            ("CAUSAL", self.keys == Keys::Window(Mask::Causal)),
        ];
        let workgroups = |rows| capacity.lanes * heads * capacity.tokens.div_ceil(rows);
        let tile = RowTile::new(&OUTPUTS, device, head, workgroups, |tile| tile.dots(1));
        let chunk = tile.chunk(&OUTPUTS, device, head);
        let variant = tile.constants(Variant::new("attention_dense", &flags), tile.dots(chunk));
        let variant = variant.size("CHUNK", chunk).size("LOCAL", head).size("LOCAL_OFFSET", 0);
        let variant = self.shape_constants(variant).with("BIAS", self.bias);
        self.weight.constants(variant, self.layout.head)
    }

    fn check(&self, _: &Variant, device: &DeviceTraits, capacity: &Capacity) -> Result<()> {
        let head = self.layout.head;
        // Loops of a tile of keys: for heads of 64 what was seen to be right, up to 32k in lavapipe (wrong at
        // 48k), 16k in OpenGL.
        let most = 32 * device.rounds(0, 2 * head.max(32) - 1);
        let keys = if let Keys::Cache(context) = self.keys { context } else { capacity.tokens };
        if keys <= most {
            return Ok(());
        }
        let text = format!(
            "attention over {keys} tokens: this driver ends the loops of a shader after some 65 000 iterations, here {most} tokens"
        );
        Err(Error::new(ErrorKind::Limit, text)
            .help("take another adapter, --backend cpu, or a shorter context"))
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::attention_dense::Params {
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: self.stride(call) as u32,
        };
        Dispatch::once(
            &params,
            [call.tokens.div_ceil(variant.get("ROW_TILE")), 1, call.lanes.len() * self.layout.heads],
        )
    }

    fn flops(&self, call: &Call) -> u64 {
        let pairs: usize = call.lanes.iter().map(|l| call.tokens * (l.position + call.tokens / 2)).sum();
        (4 * pairs * self.layout.heads * self.layout.head) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl AttentionDense {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        const ROWS: usize = 64;
        let l = &self.layout;
        let (queries, keys, lanes) = (args.real(0), args.real(1), args.ids(2));
        let o = SharedMut::new(args.real_mut(3));
        let normaliser = (self.keys == Keys::Window(Mask::Causal)).then(|| SharedMut::new(args.real_mut(4)));
        let (stride, width, tiles) = (self.stride(call), l.heads * l.head, call.tokens.div_ceil(ROWS));
        cpu::parallel_for(call.lanes.len() * l.heads * tiles, |task| {
            // The longest rows first, so that no thread is left with them at the end.
            let (lane_head, tile) =
                (task % (call.lanes.len() * l.heads), tiles - 1 - task / (call.lanes.len() * l.heads));
            let (at, head) = (lane_head / l.heads, lane_head % l.heads);
            let lane = lane(lanes, call.lane_base + at);
            let first = tile * ROWS;
            let rows = ROWS.min(call.tokens - first);
            let queries =
                &queries[(lane_head * call.tokens + first) * l.query_width()..][..rows * l.query_width()];
            let (place, position) = match self.keys {
                Keys::Cache(_) => (lane.slot * l.heads + head, Some(lane.position + first)),
                Keys::Window(Mask::Full) => (lane_head, None),
                Keys::Window(Mask::Causal) => (lane_head, Some(first)),
            };
            let count = position.map_or(call.tokens, |p| p + rows);
            let keys = &keys[place * stride * l.key_width()..][..count * l.key_width()];
            cpu::with_scratch(rows * (l.head + 2), |scratch: &mut [R]| {
                let (sums, rest) = scratch.split_at_mut(rows * l.head);
                let (totals, highest) = rest.split_at_mut(rows);
                self.attend(queries, keys, rows, position, sums, totals, highest);
                for i in 0..rows {
                    // SAFETY: every (lane, token, head) belongs to one task.
                    let out =
                        unsafe { o.slice((at * call.tokens + first + i) * width + head * l.head, l.head) };
                    let total = R::of(self.bias) + totals[i];
                    if let Some(normaliser) = &normaliser {
                        let kept =
                            if self.weight == DenseWeight::Softmax { highest[i] + total.ln() } else { total };
                        // SAFETY: as above.
                        unsafe { normaliser.slice(lane_head * call.tokens + first + i, 1)[0] = kept };
                    }
                    let scale = R::ONE / total;
                    out.iter_mut().zip(&sums[i * l.head..]).for_each(|(o, s)| *o = *s * scale);
                }
            });
        });
    }

    /// Sums and normalisers of `rows` queries over the keys, tile by tile with a running maximum for softmax.
    /// Query i stands at `position + i`; no position: it sees every key. `highest` is that maximum, which the
    /// sums are relative to.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::kernels) fn attend<R: Real>(
        &self,
        queries: &[R],
        keys: &[R],
        rows: usize,
        position: Option<usize>,
        sums: &mut [R],
        totals: &mut [R],
        highest: &mut [R],
    ) {
        const TILE: usize = 256;
        let l = &self.layout;
        let width = l.key_width();
        let count = keys.len() / width;
        let softmax = self.weight == DenseWeight::Softmax;
        let gate = |row: usize| l.gate_sum(&keys[row * width..]);
        sums.fill(R::ZERO);
        totals.fill(R::ZERO);
        highest.fill(R::of(-3e38));
        cpu::with_scratch(rows * TILE, |weights: &mut [R]| {
            for start in (0..count).step_by(TILE) {
                let n = TILE.min(count - start);
                let weights = &mut weights[..rows * n];
                let tile = &keys[start * width..(start + n) * width];
                let q = Mat::strided(queries, rows, l.head, l.query_width());
                cpu::matmul(
                    MatMut::new(weights, rows, n),
                    q,
                    Mat::strided(tile, n, l.head, width).t(),
                    false,
                );
                for (i, row) in weights.chunks_exact_mut(n).enumerate() {
                    let seen = position.map_or(n, |p| (p + i + 1).saturating_sub(start).min(n));
                    let (row, unseen) = row.split_at_mut(seen);
                    unseen.fill(R::ZERO);
                    match self.weight {
                        DenseWeight::Softmax if seen > 0 => {
                            let scale = R::of(1.0 / (l.head as f64).sqrt());
                            let mut high = highest[i];
                            cpu::vectorized(
                                #[inline(always)]
                                || {
                                    row.iter_mut().for_each(|w| *w *= scale);
                                    high = row.iter().fold(high, |a, b| a.max(*b));
                                    row.iter_mut().for_each(|w| *w -= high);
                                },
                            );
                            cpu::exp_slice(row);
                            let rescale = (highest[i] - high).exp();
                            highest[i] = high;
                            totals[i] *= rescale;
                            sums[i * l.head..(i + 1) * l.head].iter_mut().for_each(|s| *s *= rescale);
                        }
                        DenseWeight::Softmax => {}
                        DenseWeight::Kernel(weight) => {
                            weight.apply(row);
                            if let (true, Some(p)) = (l.gated, position) {
                                let last = gate(p + i);
                                row.iter_mut()
                                    .enumerate()
                                    .for_each(|(j, w)| *w *= gate_decay(last, gate(start + j)));
                            }
                        }
                    }
                    totals[i] += row.iter().copied().sum();
                }
                let values = Mat::strided(&tile[l.value_offset()..], n, l.head, width);
                debug_assert!(!softmax || self.bias == 0.0);
                cpu::matmul(MatMut::new(sums, rows, l.head), Mat::new(weights, rows, n), values, true);
            }
        });
    }
}
