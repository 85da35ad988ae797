//! The next token of each lane.

use crate::error::Result;
use crate::kernels::heads::layout::lane;
use crate::kernels::shader::sample as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Words of one slot's settings: temperature, top-k, top-p, min-p, penalty, seed (low, high), whether tokens
/// are marked as [`NEVER`]; floats as bits.
pub const SETTINGS: usize = 8;
/// A mark of a token: it occurred in the text.
pub const OCCURRED: u32 = 1;
/// A mark of a token: it is never sampled.
pub const NEVER: u32 = 2;
/// What is sampled where a logit is no number.
pub const NO_TOKEN: u32 = u32::MAX;
/// Steps of one submission whose tokens the `sampled` tensor can hold.
pub const STEPS: usize = 64;

/// Repetition penalty, temperature, top-k, top-p, min-p, then Gumbel-max with counter-based noise.
///
/// Arguments: lane table, settings `u32 [slots, 8]`, logits `[slots, vocabulary]`; in place: seen `u32
/// [slots, vocabulary]` (marks), token `u32 [slots]`, sampled `u32 [STEPS, slots]`.
#[derive(Debug)]
pub struct Sample {
    /// Vocabulary size.
    pub vocabulary: usize,
    /// Slots of the session.
    pub slots: usize,
}

impl Kernel for Sample {
    fn stem(&self) -> &'static str {
        "sample"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 3 || inputs[2].shape != shape![Unit::Slots, self.vocabulary] {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs logits [slots, {}]", self.vocabulary),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { vocabulary: self.vocabulary }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        // Calls of one submission are numbered by their part of the lane table.
        let step = call.lane_base / call.lanes.len();
        let params =
            shader::Params { lane_base: call.lane_base as u32, step: step as u32, slots: self.slots as u32 };
        Dispatch::once(&params, [call.lanes.len(), 1, 1])
    }

    twins!(shader);
}

/// PCG4D (Jarzynski and Olano 2020), first word.
fn hash(seed: [u32; 4]) -> u32 {
    let [mut x, mut y, mut z, mut w] = seed.map(|v| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mut round = |shift: bool| {
        x = x.wrapping_add(y.wrapping_mul(w));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        w = w.wrapping_add(y.wrapping_mul(z));
        if shift {
            (x, y, z, w) = (x ^ x >> 16, y ^ y >> 16, z ^ z >> 16, w ^ w >> 16);
        }
        x
    };
    round(true);
    round(false)
}

/// Index of the largest value, the first among equals.
fn argmax(values: impl Iterator<Item = f32>) -> usize {
    values.enumerate().fold((0, f32::MIN), |best, (i, v)| if v > best.1 { (i, v) } else { best }).0
}

/// Numbers beyond these are taken as these, as in the shader.
const LARGEST: f32 = 1e38;
/// Below every logit, and far enough from the lowest number for a difference.
const BELOW: f32 = -2e38;
/// Temperatures below are 0.
const COLDEST: f32 = 1e-30;
const HOTTEST: f32 = 1e30;
/// Scores further below the highest have probability 0.
const FAR: f32 = 1e4;

/// A logit of a token that occurred.
fn penalized(value: f32, penalty: f32) -> f32 {
    let penalty = penalty.clamp(1e-20, 1e20);
    if value > 0.0 {
        value.min(LARGEST * penalty.min(1.0)) / penalty
    } else {
        value.max(-LARGEST / penalty.max(1.0)) * penalty
    }
}

impl Sample {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { lanes, settings, logits, seen, token, sampled, .. } = args;
        let step = call.lane_base / call.lanes.len();
        for at in 0..call.lanes.len() {
            let lane = lane(lanes, call.lane_base + at);
            let range = lane.slot * self.vocabulary..(lane.slot + 1) * self.vocabulary;
            let settings = &settings[lane.slot * SETTINGS..(lane.slot + 1) * SETTINGS];
            let choice = self.choose(settings, &logits[range.clone()], &seen[range.clone()], lane.position);
            if let Some(choice) = choice {
                seen[range.start + choice] |= OCCURRED;
            }
            token[lane.slot] = choice.unwrap_or(0) as u32;
            sampled[step * self.slots + lane.slot] = choice.map_or(NO_TOKEN, |choice| choice as u32);
        }
    }

    /// None where a logit is no number.
    fn choose<R: Real>(
        &self,
        settings: &[u32],
        logits: &[R],
        seen: &[u32],
        position: usize,
    ) -> Option<usize> {
        let &[temperature, top_k, top_p, min_p, penalty, seed_low, seed_high, holes] =
            settings.first_chunk::<SETTINGS>().expect("a slot has eight words of settings");
        let [temperature, top_p, min_p, penalty] = [temperature, top_p, min_p, penalty].map(f32::from_bits);
        let top_k = top_k as usize;
        cpu::with_scratch(logits.len(), |scores: &mut [f32]| {
            for ((score, logit), marks) in scores.iter_mut().zip(logits).zip(seen) {
                let value = logit.f64() as f32;
                if !value.is_finite() {
                    return None;
                }
                let value = value.clamp(-LARGEST, LARGEST);
                *score = if holes != 0 && marks & NEVER != 0 {
                    BELOW
                } else if penalty != 1.0 && marks & OCCURRED != 0 {
                    penalized(value, penalty)
                } else {
                    value
                };
            }
            let best = argmax(scores.iter().copied());
            if temperature < COLDEST || top_k == 1 {
                return Some(best);
            }
            let (highest, temperature) = (scores[best], temperature.min(HOTTEST));
            for score in scores.iter_mut() {
                *score = (*score - highest).max(-FAR * temperature) / temperature;
            }
            // The lowest score that stays in; ties at a cut stay in.
            let mut cut = f32::MIN;
            if top_k > 0 && top_k < scores.len() || top_p < 1.0 {
                let mut sorted = scores.to_vec();
                sorted.sort_unstable_by(|a, b| b.total_cmp(a));
                if top_k > 0 && top_k < sorted.len() {
                    cut = sorted[top_k - 1];
                }
                if top_p < 1.0 {
                    let kept = &sorted[..sorted.partition_point(|s| *s >= cut)];
                    let wanted = top_p * kept.iter().map(|s| s.exp()).sum::<f32>();
                    let mut mass = 0.0;
                    let reached = kept.iter().position(|s| {
                        mass += s.exp();
                        mass >= wanted
                    });
                    cut = kept[reached.unwrap_or(kept.len() - 1)];
                }
            }
            if min_p > 0.0 {
                cut = cut.max(min_p.max(1e-37).ln().min(0.0));
            }
            Some(argmax(scores.iter().enumerate().map(|(id, score)| {
                if *score < cut {
                    return f32::MIN;
                }
                let draw = hash([id as u32, position as u32, seed_low, seed_high]);
                let noise = ((draw >> 8) as f32 + 0.5) / 16_777_216.0;
                score - (-noise.ln()).ln()
            })))
        })
    }
}
