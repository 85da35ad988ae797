//! One layer of attention alone: its plans, its numbers, and the check against f64 before it is timed.

use super::clock::{self, Instant};
use super::fit::{relative, worst};
use super::runner::Bench;
use super::schema::{Check, Row};
use super::timer::{Subject, numbers};
use crate::attention::{Attention, Inputs, Kind, Mode, Sketch};
use crate::error::{ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Graph, Plan, PlannedTensor, Purpose, Recompute, Role};
use crate::kernels::DeviceTraits;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, Unit, ring_after};

/// Largest error of an output, relative to the largest one, f32 against f64.
const FORWARD_TOLERANCE: f64 = 5e-5;
/// Largest error of a gradient, relative to its norm (SPEC §5).
const GRADIENT_TOLERANCE: f64 = 5e-4;
/// The least a check covers, whatever it costs, in blocks: the sketch works from the second on.
const LEAST_CHECKED: usize = 2;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    ForwardBackward,
}

impl Pass {
    pub fn as_str(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::ForwardBackward => "forward_backward",
        }
    }
}

/// A kind of attention, a pass, and how many tokens.
pub(crate) struct Layer<'a> {
    pub attention: &'a Attention,
    pub pass: Pass,
    pub tokens: usize,
}

impl Layer<'_> {
    /// `qkv` (and `norms`, `sketch`) → `o`, or the gradients of all of them, given that of o as `seed`.
    fn graph(&self, context: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let l = &self.attention.layout;
        let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
        let lanes = g.lanes(1);
        let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
        let sketch = self.attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms, sketch };
        if self.pass == Pass::Forward {
            let o = self.attention.build(&mut g, "attention", Mode::Prefill, inputs, context)?.output;
            g.output(o, "o");
            return Ok(g);
        }
        let o = self.attention.build(&mut g, "attention", Mode::Train, inputs, 0)?.output;
        let seed = g.parameter("seed", DType::F32, shape![Unit::Rows, l.heads * l.head]);
        g.backward(&[(o, seed)], &|name| name != "seed", Recompute::Nothing)?;
        Ok(g)
    }

    /// The plan of one call; gradients take the whole text at once.
    pub fn plan(&self, traits: &DeviceTraits, segment: usize) -> Result<Plan> {
        let context = if self.pass == Pass::Forward && self.attention.has_cache() { self.tokens } else { 0 };
        let graph = self.graph(context)?;
        let mut tokens = if self.pass == Pass::Forward { self.tokens.min(segment) } else { self.tokens };
        loop {
            match graph.lower("attention", traits, Capacity { lanes: 1, tokens, slots: 1, context }) {
                Err(e) if e.kind() == ErrorKind::Limit && self.pass == Pass::Forward && tokens > 16 => {
                    tokens /= 2;
                }
                result => return result,
            }
        }
    }

    /// The calls over the first `tokens`, each of at most `segment`.
    pub fn calls(&self, tokens: usize, segment: usize) -> Vec<Call> {
        let (mut calls, mut position, mut ring) = (Vec::new(), 0, 0);
        while position < tokens {
            let n = segment.min(tokens - position);
            calls.push(Call { lanes: vec![Lane { slot: 0, position, ring }], tokens: n, lane_base: 0 });
            ring = ring_after(ring, n, self.attention.layout.block);
            position += n;
        }
        calls
    }

    /// Tokens of the check: as many of the first as the options allow to compute in f64.
    fn checked(&self, plan: &Plan, work: f64) -> usize {
        let cost = |tokens: usize| {
            self.calls(tokens, plan.capacity.tokens).iter().map(|call| plan.flops(call)).sum::<u64>() as f64
                / 2.0
        };
        let least = LEAST_CHECKED * self.attention.layout.block;
        let doubling = std::iter::successors(Some(least), |n| Some(2 * n)).take_while(|n| *n < self.tokens);
        let lengths = doubling.chain([self.tokens]);
        lengths.take_while(|n| *n <= least || cost(*n) <= work).last().unwrap_or(least).min(self.tokens)
    }

    /// Numbers of a parameter: norms scale by 1, the gradient of o ends after `checked` tokens, so that the
    /// same gradients can be computed from these tokens alone: attention is causal.
    pub fn fill(&self, t: &PlannedTensor, seed: u64, checked: usize) -> Option<Vec<u32>> {
        let l = &self.attention.layout;
        match t.tensor.name.as_str() {
            _ if t.tensor.role != Role::Parameter => None,
            "norms" => {
                Some((0..t.bytes / 4).map(|i| f32::from((i / l.head).is_multiple_of(2)).to_bits()).collect())
            }
            "sketch"
                if matches!(self.attention.kind, Kind::Polysketch { sketch: Sketch::Learned { .. }, .. }) =>
            {
                Some(numbers(seed, t, 0.2))
            }
            "seed" => {
                let mut words = numbers(seed, t, 1.0);
                words.iter_mut().skip(checked * l.heads * l.head).for_each(|w| *w = 0);
                Some(words)
            }
            _ => Some(numbers(seed, t, 1.7)),
        }
    }

    /// Plans, allocates, and holds the result against f64; the nanoseconds that this run took, or would have
    /// taken over all tokens.
    pub(super) async fn prepare(
        &self,
        bench: &mut Bench<'_>,
        executor: &Executor,
        row: &mut Row,
        held: &mut u64,
    ) -> Result<(Subject, f64)> {
        let options = bench.options;
        let plan = self.plan(&bench.engine.traits(), options.segment)?;
        let segment = plan.capacity.tokens;
        let bytes = plan.bytes(|_| true) as u64;
        let calls = self.calls(self.tokens, segment);
        let d = &mut row.derived;
        d.memory_bytes = Some(bytes);
        d.flops = Some(calls.iter().map(|call| plan.flops(call)).sum());
        d.flops_formula = Some("2 · multiply-adds, as each kernel of the plan counts them".into());
        if self.pass == Pass::Forward {
            d.state_bytes = Some(plan.bytes(|role| matches!(role, Role::State(_))) as u64);
            row.method.segment = Some(segment);
        }
        row.estimate = bench.estimator.of(&plan, &calls);
        bench.fits(*held + bytes)?;
        let preparation = bench.pace.begin(&[&plan])?;
        let checked = self.checked(&plan, options.check_work);
        let mut subject = Subject::new(executor, &plan, self.calls(checked, segment), &|t| {
            self.fill(t, options.seed, checked)
        })
        .await?;
        if self.pass == Pass::ForwardBackward {
            // The timed plan itself: later tokens get and give no gradients.
            subject.set_calls(calls.clone());
        }
        let (check, nanoseconds) = self.check(&mut subject, options.seed, checked, segment).await?;
        let check = Check { tolerance: bench.tolerance(check.tolerance), ..check };
        bench.pace.ready(&preparation);
        row.check = Some(check.clone());
        check.verdict()?;
        subject.set_calls(calls);
        *held += bytes;
        let part = if self.pass == Pass::Forward { self.tokens as f64 / checked as f64 } else { 1.0 };
        Ok((subject, nanoseconds * part))
    }

    /// A run, against the same in f64 over the first `checked` tokens; and the nanoseconds it took.
    async fn check(
        &self,
        subject: &mut Subject,
        seed: u64,
        checked: usize,
        segment: usize,
    ) -> Result<(Check, f64)> {
        let short = Layer { tokens: checked, ..*self };
        let plan = short.plan(&DeviceTraits::cpu(), segment)?;
        let oracle = Executor::Oracle(CpuExecutor::default());
        let mut want =
            Subject::new(&oracle, &plan, short.calls(checked, segment), &|t| short.fill(t, seed, checked))
                .await?;
        let l = &self.attention.layout;
        // Of the last call, which stands on all before it.
        let rows = short.calls(checked, segment).last().map_or(0, |call| call.tokens);
        let reads: &[(&str, usize)] = if self.pass == Pass::Forward {
            &[("o", rows * l.heads * l.head)]
        } else {
            &[("gradient.qkv", 4)]
        };
        let start = Instant::now();
        let got = subject.run(reads).await?;
        let nanoseconds = clock::nanoseconds_since(start);
        if self.pass == Pass::Forward {
            let want = want.run(reads).await?;
            let largest = want[0].iter().fold(0f32, |most, x| most.max(x.abs()));
            let error = got[0].iter().zip(&want[0]).map(|(a, b)| f64::from((a - b).abs() / largest));
            let check = Check::against_f64(
                worst(error),
                FORWARD_TOLERANCE,
                "largest difference over largest output",
                Some(checked),
            );
            return Ok((check, nanoseconds));
        }
        want.run(&[]).await?;
        let mut errors = Vec::new();
        for t in
            plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::State(Purpose::Gradient))
        {
            let (name, elements) = (t.tensor.name.as_str(), t.tensor.ty.shape.elements(&plan.capacity));
            let (got, want) = (subject.state(name, elements).await?, want.state(name, elements).await?);
            // Within one block the sketch counts for nothing.
            let nothing = want.iter().chain(&got).all(|x| *x == 0.0);
            errors.push(if nothing { 0.0 } else { relative(&got, &want) });
        }
        let check = Check::against_f64(
            worst(errors.into_iter()),
            GRADIENT_TOLERANCE,
            "relative, Frobenius, of the worst gradient",
            Some(checked),
        );
        Ok((check, nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_cover_what_they_may_cost() {
        let attention = Attention::softmax(4, 64);
        let layer = Layer { attention: &attention, pass: Pass::Forward, tokens: 5000 };
        let plan = layer.plan(&DeviceTraits::cpu(), 4096).expect("a plan");
        assert_eq!([0.0, 2e9, 1e12].map(|work| layer.checked(&plan, work)), [128, 2048, 5000]);
        let calls = layer.calls(5000, 4096);
        assert_eq!(
            calls.iter().map(|c| (c.lanes[0].position, c.tokens)).collect::<Vec<_>>(),
            [(0, 4096), (4096, 904)]
        );
    }
}
