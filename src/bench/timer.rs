//! Takes times: of plans by the device's own timestamps where it has them, of everything else by the wall
//! clock. Several subjects take turns.

use super::clock::{self, Instant};
use super::options::BenchOptions;
use super::schema::{Method, Row};
use super::statistics::Statistics;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Executor, KernelTime, Memory, Program, Submission, add_by_kernel};
use crate::graph::{Graph, Plan, PlannedTensor, Role};
use crate::kernels::rows::multiply_add::MultiplyAdd;
use crate::kernels::rows::nll::UNSCORED;
use crate::kernels::{DeviceTraits, Kernel};
use crate::tensor::{Call, Capacity, DType, TensorType};

/// How a time is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timer {
    /// By the device, of a submission; otherwise by the wall clock.
    pub timestamps: bool,
    /// Nanoseconds.
    pub resolution: f64,
}

/// Least steps of its timer that a sample lasts; shorter work is repeated within it.
const STEPS_A_SAMPLE: f64 = 500.0;
/// Least nanoseconds of a sample by the wall clock: starting a submission takes some 100 µs.
const LEAST_BY_WALL: f64 = 4e6;
/// Work that a GPU warms up with before a row's first sample.
const GPU_WARM_UP: f64 = 2e8;
/// Most repetitions within a sample.
const MOST_REPETITIONS: usize = 256;

impl Timer {
    /// The wall clock.
    pub fn wall() -> Self {
        Self { timestamps: false, resolution: clock::resolution() }
    }

    /// The executor's best. A software adapter works on the clock of the CPU anyway.
    pub async fn of(executor: &Executor) -> Result<Self> {
        let wall = Self::wall();
        if !matches!(executor, Executor::Gpu(_)) || executor.traits().software {
            return Ok(wall);
        }
        // Durations are multiples of the step (browsers round to 100 µs).
        let graph = kernel_graph(MultiplyAdd { groups: 1, steps: 64 }, &[])?;
        let mut subject = Subject::kernel(executor, &executor.traits(), &graph, 1, 0).await?;
        let mut step = 0u64;
        for repetitions in [1, 2, 3, 5, 8, 13, 21, 34] {
            let Some(nanoseconds) = subject.stamped(repetitions).await? else { return Ok(wall) };
            step = greatest_common_divisor(step, nanoseconds.round() as u64);
        }
        Ok(if step == 0 { wall } else { Self { timestamps: true, resolution: step as f64 } })
    }

    /// What a row says of it.
    pub fn method(&self) -> Method {
        let name = if self.timestamps { "timestamps" } else { "wall clock" };
        Method { timer: Some(name.into()), resolution_ns: Some(self.resolution), ..Method::default() }
    }

    fn least(&self) -> f64 {
        (STEPS_A_SAMPLE * self.resolution).max(if self.timestamps { 0.0 } else { LEAST_BY_WALL })
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Samples of one subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples {
    /// Nanoseconds of one repetition.
    pub nanoseconds: Vec<f64>,
    pub repetitions: usize,
    pub warm_ups: usize,
    /// Subjects that took turns.
    pub turns: usize,
}

impl Samples {
    /// Writes them into a row.
    pub fn fill(&self, row: &mut Row, timer: &Timer) {
        let method = timer.method();
        row.method = Method {
            timer: method.timer,
            resolution_ns: method.resolution_ns,
            warm_ups: Some(self.warm_ups),
            repetitions: Some(self.repetitions),
            interleaved: (self.turns > 1).then_some(self.turns),
            ..row.method.clone()
        };
        row.statistics = Statistics::of(&self.nanoseconds);
        row.samples_ns.clone_from(&self.nanoseconds);
    }
}

/// Samples of some subjects, in turns, so that other work on the machine meets all of them. `time` runs a
/// subject a number of times and returns the nanoseconds of all of them; `repeats`: more than once where one
/// run is short. `known`: nanoseconds that a run of each took already, if one did; past the budget it is all
/// the warm-up there is. One that fails is out, with its error.
pub(crate) async fn in_turns<T>(
    subjects: &mut [T],
    known: &[f64],
    options: &BenchOptions,
    timer: &Timer,
    repeats: bool,
    mut time: impl AsyncFnMut(&mut T, usize) -> Result<f64>,
) -> Vec<Result<Samples>> {
    let turns = subjects.len();
    let budget = options.budget * 1e9;
    let mut all: Vec<Result<Samples>> = Vec::new();
    let mut spent: Vec<f64> = (0..turns).map(|at| known.get(at).copied().unwrap_or(0.0)).collect();
    for (subject, spent) in subjects.iter_mut().zip(&mut spent) {
        let mut samples = Samples { repetitions: 1, turns, ..Samples::default() };
        if *spent > budget {
            all.push(Ok(Samples { warm_ups: 1, ..samples }));
            continue;
        }
        // Caches, clocks and drivers warm up; what a run takes decides how many make a sample.
        let warmed = async {
            let once = time(subject, 1).await?;
            samples.warm_ups = 1;
            *spent += once;
            // An idle GPU takes a while to raise its clocks: an H100's first rows took four times as long.
            let mut warm = once;
            while timer.timestamps && warm < GPU_WARM_UP.min(budget / 4.0) {
                let runs = ((GPU_WARM_UP / 8.0 / once.max(1.0)).ceil() as usize).clamp(1, MOST_REPETITIONS);
                let more = time(subject, runs).await?;
                samples.warm_ups += runs;
                *spent += more;
                warm += more.max(1e3);
            }
            if repeats && once < timer.least() {
                let again = time(subject, 4).await? / 4.0;
                samples.repetitions =
                    ((timer.least() / again.max(1.0)).ceil() as usize).clamp(1, MOST_REPETITIONS);
                *spent += 4.0 * again + time(subject, samples.repetitions).await?;
                samples.warm_ups += 4 + samples.repetitions;
            }
            Ok(samples)
        };
        all.push(warmed.await);
    }
    for round in 0..options.samples {
        for ((subject, samples), spent) in subjects.iter_mut().zip(&mut all).zip(&mut spent) {
            let Ok(known) = samples else { continue };
            if round > 0 && *spent > budget {
                continue;
            }
            match time(subject, known.repetitions).await {
                Ok(nanoseconds) => {
                    *spent += nanoseconds;
                    known.nanoseconds.push(nanoseconds / known.repetitions as f64);
                }
                Err(error) => *samples = Err(error),
            }
        }
    }
    all
}

/// A program, and the calls that make up one run of it.
#[derive(Debug)]
pub(crate) struct Subject {
    program: Program,
    calls: Vec<Call>,
}

impl Subject {
    /// Makes a plan ready. `fill` gives the words of parameters and of states that are not zero.
    pub async fn new(
        executor: &Executor,
        plan: &Plan,
        calls: Vec<Call>,
        fill: &dyn Fn(&PlannedTensor) -> Option<Vec<u32>>,
    ) -> Result<Self> {
        let memory = Memory::new(executor);
        let kept = |t: &&PlannedTensor| matches!(t.tensor.role, Role::Parameter | Role::State(_));
        for t in plan.tensors.iter().filter(|t| t.bytes > 0).filter(kept) {
            if let Some(words) = fill(t) {
                memory.store(&t.tensor.name, t.tensor.ty.dtype, &words).await?;
            }
        }
        let mut program = Program::new(plan.clone(), &memory).await?;
        program.compile().await?;
        Ok(Self { program, calls })
    }

    /// The graph of [`kernel_graph`] over so many tokens, in the variant for a device, with random
    /// parameters.
    pub async fn kernel(
        executor: &Executor,
        traits: &DeviceTraits,
        graph: &Graph,
        tokens: usize,
        seed: u64,
    ) -> Result<Self> {
        let plan = graph.lower("kernel", traits, Capacity { lanes: 1, tokens, slots: 1, context: 0 })?;
        Self::new(executor, &plan, vec![Call::start(tokens)], &|t| Some(numbers(seed, t, 1.0))).await
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.program.plan()
    }

    /// Other calls from now on.
    pub fn set_calls(&mut self, calls: Vec<Call>) {
        self.calls = calls;
    }

    /// Runs once, and reads tensors of the plan after the last call, each with so many elements.
    pub async fn run(&mut self, reads: &[(&str, usize)]) -> Result<Vec<Vec<f32>>> {
        let of_plan = |(name, elements): &(&str, usize)| Ok((self.program.tensor(name)?, *elements));
        let reads: Vec<_> = reads.iter().map(of_plan).collect::<Result<_>>()?;
        let mut words = Vec::new();
        for (at, call) in self.calls.iter().enumerate() {
            let reads = if at + 1 == self.calls.len() { &reads[..] } else { &[] };
            let calls = std::slice::from_ref(call);
            words = self.program.run(Submission { calls, inputs: &[], reads }).await?;
        }
        Ok(words.into_iter().map(floats).collect())
    }

    /// The first elements of a state.
    pub async fn state(&self, name: &str, elements: usize) -> Result<Vec<f32>> {
        Ok(floats(self.words(name, elements).await?))
    }

    /// The first elements of a state, as words.
    pub async fn words(&self, name: &str, elements: usize) -> Result<Vec<u32>> {
        self.program.memory().read(name, 0..elements).await
    }

    /// Nanoseconds of so many repetitions.
    pub async fn time(&mut self, timer: &Timer, repetitions: usize) -> Result<f64> {
        if timer.timestamps {
            let missing = || Error::new(ErrorKind::Device, "the device took no time");
            return self.stamped(repetitions).await?.ok_or_else(missing);
        }
        let executor = self.program.memory().executor().clone();
        executor.finish().await?;
        let start = Instant::now();
        for call in &self.calls {
            self.program.run(silent(&vec![call.clone(); repetitions])).await?;
        }
        executor.finish().await?;
        Ok(clock::nanoseconds_since(start))
    }

    /// Where the time of a run goes; nothing where the device has no timestamps.
    pub async fn shares(&mut self) -> Result<Vec<KernelTime>> {
        let mut all = Vec::new();
        for call in &self.calls {
            let (_, times) = self.program.run_timed(silent(std::slice::from_ref(call))).await?;
            add_by_kernel(&mut all, self.program.plan(), call, &times);
        }
        Ok(all)
    }

    /// Nanoseconds by the device's own clock, of all submissions; none where it has none.
    async fn stamped(&mut self, repetitions: usize) -> Result<Option<f64>> {
        let mut sum = 0.0;
        for call in &self.calls {
            let (_, nanoseconds) = self.program.run_clocked(silent(&vec![call.clone(); repetitions])).await?;
            let Some(nanoseconds) = nanoseconds else { return Ok(None) };
            sum += nanoseconds;
        }
        Ok(Some(sum))
    }
}

/// A submission that gives nothing and reads nothing.
fn silent(calls: &[Call]) -> Submission<'_> {
    Submission { calls, ..Submission::default() }
}

/// A kernel alone: parameters `in.0`, … → output `out`.
pub(super) fn kernel_graph(kernel: impl Kernel, inputs: &[TensorType]) -> Result<Graph> {
    let mut graph = Graph::new();
    let inputs: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(i, ty)| graph.parameter(&format!("in.{i}"), ty.dtype, ty.shape.clone()))
        .collect();
    let out = graph.apply1("kernel", kernel, &inputs)?;
    graph.output(out, "out");
    Ok(graph)
}

/// Numbers between -`most` and `most` for a tensor, by its name; as words.
pub(super) fn numbers(seed: u64, t: &PlannedTensor, most: f32) -> Vec<u32> {
    assert_eq!(t.tensor.ty.dtype, DType::F32);
    let mut rng = crate::train::random::Rng::new(seed, &t.tensor.name, 0);
    // Two numbers a draw: gigabytes are filled this way.
    let scale = most / (1 << 23) as f32;
    let number = |bits: u32| ((bits >> 8) as f32 * scale - most).to_bits();
    let pairs = std::iter::repeat_with(|| rng.bits()).flat_map(|bits| [bits as u32, (bits >> 32) as u32]);
    pairs.take(t.bytes / 4).map(number).collect()
}

fn floats(words: Vec<u32>) -> Vec<f32> {
    words.into_iter().map(f32::from_bits).collect()
}

/// Random token ids and what comes after each of them.
pub(super) fn token_ids(seed: u64, tokens: usize, vocabulary: usize) -> (Vec<u32>, Vec<u32>) {
    let mut rng = crate::train::random::Rng::new(seed, "tokens", 0);
    let ids: Vec<u32> = (0..tokens).map(|_| rng.below(vocabulary) as u32).collect();
    let targets = ids.iter().skip(1).copied().chain([UNSCORED]).take(tokens).collect();
    (ids, targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::CpuExecutor;

    #[test]
    fn steps_of_a_timer_divide_what_it_measures() {
        assert_eq!([3200u64, 6400, 9600].into_iter().fold(0, greatest_common_divisor), 3200);
        assert_eq!([1000u64, 1001].into_iter().fold(0, greatest_common_divisor), 1);
    }

    #[test]
    fn short_work_is_repeated_and_failures_stay_alone() {
        pollster::block_on(async {
            let executor = Executor::Cpu(CpuExecutor::default());
            let timer = Timer::of(&executor).await.expect("a timer");
            assert!(!timer.timestamps);
            let options = BenchOptions { samples: 3, budget: 0.5, ..BenchOptions::quick() };
            let mut subjects = Vec::new();
            for steps in [16, 32] {
                let graph = kernel_graph(MultiplyAdd { groups: 1, steps }, &[]).expect("a graph");
                subjects.push(
                    Subject::kernel(&executor, &executor.traits(), &graph, 1, 0).await.expect("a subject"),
                );
            }
            let samples =
                in_turns(&mut subjects, &[], &options, &timer, true, async |subject, repetitions| {
                    subject.time(&timer, repetitions).await
                })
                .await;
            for samples in samples {
                let samples = samples.expect("samples");
                assert!(
                    samples.repetitions > 1 && samples.turns == 2 && samples.nanoseconds.len() == 3,
                    "{samples:?}"
                );
            }
            let fails = async |subject: &mut bool, _: usize| {
                if *subject { Err(Error::new(ErrorKind::Numeric, "no")) } else { Ok(1e6) }
            };
            let samples = in_turns(&mut [false, true], &[], &options, &timer, false, fails).await;
            assert!(samples[0].as_ref().is_ok_and(|s| s.nanoseconds == [1e6; 3]) && samples[1].is_err());
            let samples = in_turns(&mut [false], &[1e9], &options, &timer, true, fails).await;
            assert!(samples[0].as_ref().is_ok_and(|s| s.nanoseconds == [1e6] && s.warm_ups == 1));
        });
    }
}
