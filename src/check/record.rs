//! What every step of a case reads and writes, by the twins in f64; and one step alone, on any executor, from
//! the same numbers.

use std::ops::Range;
use std::sync::Arc;

use pollster::block_on;

use super::case::{Case, Words};
use super::compare::{Difference, UNWRITTEN, compare};
use crate::bench::timer::Subject;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Plan, PlannedTensor, Purpose, Role, Step};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Variant, Views};
use crate::tensor::{Call, Capacity, TensorType, lane_table};

/// A case with what each of its steps reads and writes.
#[derive(Debug)]
pub struct Record {
    case: Case,
    /// Of the plan that executors without shaders run.
    steps: Vec<Recorded>,
    /// Of the plan for shaders, where it splits operations.
    split: Option<Vec<Recorded>>,
}

/// One step: its arguments before it, and after it.
#[derive(Debug, Default)]
struct Recorded {
    /// Whether it does anything in this call.
    runs: bool,
    before: Vec<Words>,
    after: Vec<Words>,
}

impl Record {
    /// Runs a case by the twins in f64, and keeps everything.
    ///
    /// # Errors
    /// Whatever can go wrong with the case's data; [`ErrorKind::Input`] for a tensor they lack.
    pub fn new(case: Case) -> Result<Self> {
        let plan = case.plan(&DeviceTraits::cpu())?;
        let split = case.plan(&DeviceTraits { shaders: true, ..DeviceTraits::cpu() })?;
        let steps = Self::steps_of(&case, &plan)?;
        let differs = plan.steps.len() != split.steps.len();
        let split = differs.then(|| Self::steps_of(&case, &split)).transpose()?;
        Ok(Self { case, steps, split })
    }

    fn steps_of(case: &Case, plan: &Plan) -> Result<Vec<Recorded>> {
        let data = case.data()?;
        let mut values: Vec<Option<Words>> = plan.tensors.iter().map(|_| None).collect();
        for (t, value) in plan.tensors.iter().zip(&mut values).filter(|(t, _)| t.bytes > 0) {
            *value = match &t.tensor.role {
                Role::Constant(words) => Some(words.clone()),
                Role::State(_) => data.get(&t.tensor.name).cloned().or_else(|| Some(zeros(t))),
                Role::Parameter | Role::Input | Role::External => Some(
                    data.get(&t.tensor.name).cloned().ok_or_else(|| lacking(&case.name, &t.tensor.name))?,
                ),
                Role::Lanes => Some(Arc::new(lane_table(std::slice::from_ref(&case.call)))),
                Role::Output | Role::Scratch => None,
            };
        }
        let oracle = Executor::Oracle(CpuExecutor::default());
        let mut steps = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let runs = runs(step, case);
            let value = |id: usize| values[id].clone().unwrap_or_else(|| unwritten(&plan.tensors[id]));
            let before: Vec<Words> = step.args.iter().map(|arg| value(arg.tensor.0)).collect();
            let mut after = before.clone();
            if runs {
                let mut alone = Alone::new(&oracle, plan, at..at + 1, case, &|id| value(id))?;
                alone.run()?;
                for (place, arg) in step.args.iter().enumerate().filter(|(_, arg)| arg.written) {
                    after[place] = Arc::new(alone.words(arg.tensor.0)?);
                    values[arg.tensor.0] = Some(after[place].clone());
                }
            }
            steps.push(Recorded { runs, before, after });
        }
        Ok(steps)
    }

    /// What was recorded of a plan's steps.
    fn recorded(&self, plan: &Plan) -> &[Recorded] {
        self.split.as_ref().filter(|split| split.len() == plan.steps.len()).unwrap_or(&self.steps)
    }

    /// The case.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// Runs step `at` of the case's plan (and those after it that alone can tell whether it was right) on an
    /// executor, from the recorded arguments, and compares what it writes.
    ///
    /// # Errors
    /// Whatever can go wrong on a device.
    pub fn check(&self, executor: &Executor, plan: &Plan, at: usize) -> Result<Vec<Difference>> {
        let recorded = self.recorded(plan);
        if !recorded[at].runs {
            return Ok(Vec::new());
        }
        let range = at..self.last(plan, at) + 1;
        let mut alone = self.alone(executor, plan, range.clone())?;
        alone.run()?;
        let rounded =
            plan.steps[at].variant.is_mixed().then(|| self.magnitudes(plan, range.clone())).transpose()?;
        let mut differences = Vec::new();
        for (at, place) in range.clone().flat_map(|at| (0..plan.steps[at].args.len()).map(move |p| (at, p))) {
            let (step, arg) = (&plan.steps[at], plan.steps[at].args[place]);
            let again = (at + 1..range.end)
                .any(|later| plan.steps[later].args.iter().any(|a| a.written && a.tensor == arg.tensor));
            if !arg.written || again || private(step).contains(&place) {
                continue;
            }
            let t = &plan.tensors[arg.tensor.0].tensor;
            let got = alone.words(arg.tensor.0)?;
            let magnitudes = rounded.as_ref().map(|alone| alone.words(arg.tensor.0)).transpose()?;
            let both = [&got[..], &recorded[at].after[place]];
            differences.push(compare(&t.name, t.ty.dtype, both, magnitudes.as_deref()));
        }
        Ok(differences)
    }

    /// Steps that have written, in place of their results, the magnitudes of what mixed precision rounds.
    fn magnitudes(&self, plan: &Plan, range: Range<usize>) -> Result<Alone> {
        let mut plan = plan.clone();
        for step in &mut plan.steps[range.clone()] {
            let kernel = step.kernel.clone();
            step.kernel =
                Arc::new(OtherTwin { kernel, twin_f64: |of, args, call| of.magnitudes(args, call) });
        }
        let mut alone = self.alone(&Executor::Oracle(CpuExecutor::default()), &plan, range)?;
        alone.run()?;
        Ok(alone)
    }

    /// Step `at` alone, ready to run.
    pub(crate) fn alone(&self, executor: &Executor, plan: &Plan, range: Range<usize>) -> Result<Alone> {
        let recorded = self.recorded(plan);
        let before = |id: usize| {
            let mut arguments = range.clone().flat_map(|at| {
                plan.steps[at].args.iter().zip(&recorded[at].before).map(|(arg, words)| (arg.tensor.0, words))
            });
            let first = arguments.find(|(tensor, _)| *tensor == id);
            first.map(|(_, words)| words.clone()).expect("a tensor that a step uses is recorded with it")
        };
        Alone::new(executor, plan, range.clone(), &self.case, &before)
    }

    /// The last of the steps that are needed to judge step `at`: the one that reads what is its own business.
    fn last(&self, plan: &Plan, at: usize) -> usize {
        let step = &plan.steps[at];
        let hidden: Vec<usize> = private(step).into_iter().map(|place| step.args[place].tensor.0).collect();
        let reads = |later: &usize| {
            plan.steps[*later].args.iter().any(|a| !a.written && hidden.contains(&a.tensor.0))
        };
        if hidden.is_empty() { at } else { (at + 1..plan.steps.len()).rfind(reads).unwrap_or(at) }
    }
}

/// A kernel with another twin in f64 than its own.
#[derive(Debug)]
pub struct OtherTwin {
    /// The kernel in everything else.
    pub kernel: Arc<dyn Kernel>,
    /// What it computes in f64.
    pub twin_f64: fn(&dyn Kernel, &mut Views<'_, f64>, &Call),
}

impl Kernel for OtherTwin {
    fn stem(&self) -> &'static str {
        self.kernel.stem()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.kernel.infer(inputs)
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        self.kernel.variant(device, capacity)
    }

    fn runs(&self, call: &Call) -> bool {
        self.kernel.runs(call)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        self.kernel.dispatches(variant, call)
    }

    fn twin_f32(&self, args: &mut Views<'_, f32>, call: &Call) {
        self.kernel.twin_f32(args, call);
    }

    fn twin_f64(&self, args: &mut Views<'_, f64>, call: &Call) {
        (self.twin_f64)(&*self.kernel, args, call);
    }
}

/// Arguments whose contents are the shader's own business, because its twin cuts the work in another way:
/// what is made of them is compared instead.
fn private(step: &Step) -> Vec<usize> {
    let written = step.args.iter().enumerate().filter(|(_, arg)| arg.written).map(|(place, _)| place);
    match step.kernel.stem() {
        // The parts of a cut cache.
        "attention_dense_decode" => written.collect(),
        // A slab of partial sums, and what is kept between them.
        "sketch_learned_grad" | "sketch_random_grad" => written.take(1).collect(),
        _ => Vec::new(),
    }
}

/// Whether a step does anything in the case's call.
fn runs(step: &Step, case: &Case) -> bool {
    step.kernel.runs(&case.call)
}

fn lacking(case: &str, tensor: &str) -> Error {
    Error::new(ErrorKind::Input, format!("case {case} has no numbers for {tensor}"))
}

fn zeros(t: &PlannedTensor) -> Words {
    Arc::new(vec![0; t.bytes / 4])
}

fn unwritten(t: &PlannedTensor) -> Words {
    Arc::new(vec![UNWRITTEN; t.bytes / 4])
}

/// Some steps of a plan with memory of their own, where every tensor can be set and read.
#[derive(Debug)]
pub(crate) struct Alone {
    pub subject: Subject,
    plan: Plan,
}

impl Alone {
    fn new(
        executor: &Executor,
        plan: &Plan,
        range: Range<usize>,
        case: &Case,
        words: &dyn Fn(usize) -> Words,
    ) -> Result<Self> {
        let plan = opened(plan, range);
        let fill = |t: &PlannedTensor| {
            let id = plan.tensors.iter().position(|other| other.tensor.name == t.tensor.name)?;
            let mut words = words(id).to_vec();
            // A plan's lane table holds many calls; this is one.
            words.resize(words.len().max(t.tensor.ty.bytes(&plan.capacity) / 4), 0);
            Some(words)
        };
        let subject = block_on(Subject::new(executor, &plan, vec![case.call.clone()], &fill))?;
        Ok(Self { subject, plan })
    }

    fn run(&mut self) -> Result<()> {
        block_on(self.subject.run(&[])).map(drop)
    }

    /// A written tensor.
    fn words(&self, id: usize) -> Result<Vec<u32>> {
        let t = &self.plan.tensors[id];
        block_on(self.subject.words(&t.tensor.name, t.tensor.ty.shape.elements(&self.plan.capacity)))
    }
}

/// Some steps of a plan, with every tensor they touch in a memory where it can be set and read, under a name
/// of its own.
fn opened(plan: &Plan, range: Range<usize>) -> Plan {
    let mut plan = Plan { steps: plan.steps[range].to_vec(), ..plan.clone() };
    let args = || plan.steps.iter().flat_map(|step| &step.args);
    let used: Vec<usize> = args().map(|arg| arg.tensor.0).collect();
    let written: Vec<usize> = args().filter(|arg| arg.written).map(|arg| arg.tensor.0).collect();
    for (i, t) in plan.tensors.iter_mut().enumerate() {
        t.tensor.name = format!("{i} {}", t.tensor.name);
        if !used.contains(&i) {
            t.bytes = 0;
            continue;
        }
        let weight = matches!(t.tensor.role, Role::Parameter | Role::Constant(_)) && !written.contains(&i);
        t.tensor.role = if weight { Role::Parameter } else { Role::State(Purpose::Exposed) };
    }
    // Nothing lies in the plan's own memory.
    plan.buffers.iter_mut().for_each(|buffer| buffer.role = Role::State(Purpose::Exposed));
    plan
}
