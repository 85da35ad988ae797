//! That no index of our shaders leaves its array, and nothing is divided by zero: on real GPUs they run
//! without the checks of either (`src/gpu/checks.rs`). Every shader of a plan runs as the engine runs it, but
//! watches its own indices and divisors (`watch.rs`), in the plans of `check`'s cases and in calls of random
//! shapes (`shapes.rs`), with every tensor in a buffer of just the size that the call needs.

mod shapes;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pollster::block_on;
use polysketch::check::random::Rng;
use polysketch::check::{self, Case};
use polysketch::exec::{Executor, Memory, Program, Submission};
use polysketch::graph::{Arg, Graph, Plan, PlannedBuffer, PlannedTensor, Purpose, Role, Tensor};
use polysketch::kernels::contract::OwnShader;
use polysketch::kernels::contract::shader::PERMUTATIONS;
use polysketch::kernels::rows::add::Add;
use polysketch::kernels::{DeviceTraits, Dispatch, Kernel, Variant, Views};
use polysketch::tensor::{Call, Capacity, DType, Lane, TensorId, TensorType, Unit, lane_table, shape};
use polysketch::{ErrorKind, Result};

use crate::places::{Place, Tests};
use crate::wrapped::roomy;
use watch::{PLACES, watched};

/// Random shapes of each sort that a run of the tests tries.
const ROUNDS: u64 = 4;

/// A kernel whose shader watches itself: its dispatches are those of the shader as it was.
#[derive(Debug)]
struct Watching {
    kernel: Arc<dyn Kernel>,
    variant: Variant,
}

impl Kernel for Watching {
    fn stem(&self) -> &'static str {
        self.kernel.stem()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.kernel.infer(inputs)
    }
    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        self.variant.clone()
    }
    fn runs(&self, call: &Call) -> bool {
        self.kernel.runs(call)
    }
    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        self.kernel.dispatches(&self.variant, call)
    }
    fn twin_f32(&self, _: &mut Views<'_, f32>, _: &Call) {}
    fn twin_f64(&self, _: &mut Views<'_, f64>, _: &Call) {}
}

/// A text in a shader, and what somebody might put in its place.
type Edit = (&'static str, &'static str);

/// A plan whose shaders watch themselves, with the places of each.
struct Watch {
    plan: Plan,
    /// By step: its places, and where its faults go.
    steps: Vec<(Vec<String>, TensorId)>,
}

/// Every tensor in a memory of its own, no larger than the call needs; every shader watches itself.
fn watch(mut plan: Plan, call: &Call, edit: Option<Edit>) -> Watch {
    let tight = Capacity { lanes: call.lanes.len(), tokens: call.tokens, ..plan.capacity };
    plan.capacity = tight;
    for t in plan.tensors.iter_mut().filter(|t| t.bytes > 0) {
        // A plan's lane table holds many calls; this is one.
        if t.tensor.role == Role::Lanes {
            t.tensor.ty = TensorType::u32(shape![call.lanes.len(), 4]);
        }
        t.bytes = t.tensor.ty.bytes(&tight).max(16);
        plan.buffers[t.buffer.0].bytes = t.bytes;
    }
    let written: Vec<usize> =
        plan.steps.iter().flat_map(|step| &step.args).filter(|a| a.written).map(|a| a.tensor.0).collect();
    for (at, t) in plan.tensors.iter_mut().enumerate() {
        t.tensor.name = format!("{at} {}", t.tensor.name);
        let given = !matches!(t.tensor.role, Role::State(_)) && !written.contains(&at);
        t.tensor.role = if given { Role::Parameter } else { Role::State(Purpose::Exposed) };
    }
    plan.buffers.iter_mut().for_each(|buffer| buffer.role = Role::State(Purpose::Exposed));
    let mut steps = Vec::new();
    for step in &mut plan.steps {
        let written = step.variant.written().expect("it has a shader");
        let constants: Vec<(&str, f64)> = step.variant.constants().collect();
        let mut source = step.variant.source().unwrap().expect("it has a shader");
        if let Some((text, other)) = edit {
            source = source.replace(text, other);
        }
        let watched = watched(&source, written.len() + 1);
        let (names, values): (Vec<&str>, Vec<f64>) = constants.into_iter().unzip();
        let shader = OwnShader {
            name: format!("{} watched", step.variant.name()),
            source: watched.source,
            written: [written, &[true]].concat(),
            overrides: names.iter().map(|name| name.to_string()).collect(),
        };
        let faults = plan.tensors.len();
        let ty = TensorType::u32(shape![2 * PLACES]);
        let (name, role, bytes) = (format!("faults {faults}"), Role::State(Purpose::Exposed), 8 * PLACES);
        plan.buffers.push(PlannedBuffer { name: name.clone(), bytes, role: role.clone() });
        let buffer = polysketch::graph::BufferId(plan.buffers.len() - 1);
        plan.tensors.push(PlannedTensor { tensor: Tensor { name, ty, role }, bytes, buffer });
        let variant = Variant::own(Arc::new(shader), &values);
        step.kernel = Arc::new(Watching { kernel: step.kernel.clone(), variant: step.variant.clone() });
        step.variant = variant;
        step.args.push(Arg { tensor: TensorId(faults), written: true });
        steps.push((watched.places, TensorId(faults)));
    }
    Watch { plan, steps }
}

/// What a case reads, and where its lanes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// Its own data and call.
    Given,
    /// Any bits, as a caller may give them: ids of no token, floats that are no numbers; lanes anywhere that
    /// a program lets them stand, in rings that do not belong to their positions.
    Any,
}

/// The call of a case with its lanes anywhere.
fn anywhere(case: &Case, plan: &Plan, rng: &mut Rng) -> Call {
    let mut call = case.call.clone();
    let tight = Capacity { lanes: call.lanes.len(), tokens: call.tokens, ..plan.capacity };
    let extents = plan.tensors.iter().filter(|t| t.bytes > 0).flat_map(|t| &t.tensor.ty.shape.0);
    let units: Vec<Unit> = extents.map(|extent| extent.unit).collect();
    // As `Program` has it.
    let fits = |ring: usize| {
        let lanes = vec![Lane { slot: 0, position: 0, ring }];
        let call = Call { lanes, tokens: call.tokens, lane_base: 0 };
        units.iter().all(|unit| match *unit {
            Unit::Window(rows) => ring <= rows,
            Unit::Blocks(block) => ring <= block && call.unit(*unit) <= tight.unit(*unit),
            _ => true,
        })
    };
    let most = (0..=128).rev().find(|ring| fits(*ring)).unwrap_or(0);
    for lane in &mut call.lanes {
        lane.slot = rng.below(case.capacity.slots);
        lane.position = match case.capacity.context {
            0 => rng.below(1 << 14),
            context => rng.below(context - case.call.tokens + 1),
        };
        lane.ring = rng.pick(&[0, most, rng.clone().within(0, most)]);
    }
    call
}

/// Runs a case in its plan for a device, and lists what left its array.
fn faults(
    executor: &Executor,
    case: &Case,
    traits: &DeviceTraits,
    numbers: Numbers,
    edit: Option<Edit>,
) -> Vec<String> {
    let plan = case.plan(traits).unwrap();
    let mut data = case.data().unwrap();
    let mut call = case.call.clone();
    if numbers == Numbers::Any {
        let mut rng = Rng(3);
        call = anywhere(case, &plan, &mut rng);
        for words in data.values_mut() {
            *words = Arc::new(words.iter().map(|_| rng.bits() as u32).collect());
        }
    }
    let original: Vec<Tensor> = plan.tensors.iter().map(|t| t.tensor.clone()).collect();
    let Watch { plan, steps } = watch(plan, &call, edit);
    let memory = Memory::new(executor);
    block_on(async {
        for (t, before) in plan.tensors.iter().zip(&original).filter(|(t, _)| t.bytes > 0) {
            let lanes = Arc::new(lane_table(std::slice::from_ref(&call)));
            let words = match &before.role {
                Role::Constant(words) => Some(words.clone()),
                Role::Lanes => Some(lanes),
                Role::Output | Role::Scratch => None,
                _ => data.get(&before.name).cloned(),
            };
            if let Some(words) = words {
                let words = &words[..words.len().min(t.bytes / 4)];
                memory.store(&t.tensor.name, t.tensor.ty.dtype, words).await.unwrap();
            }
        }
        let reads: Vec<(TensorId, usize)> = steps.iter().map(|(_, id)| (*id, 2 * PLACES)).collect();
        let running: Vec<bool> = plan.steps.iter().map(|step| step.kernel.runs(&call)).collect();
        let names: Vec<String> = plan
            .steps
            .iter()
            .map(|s| {
                let constants: Vec<String> = s.variant.constants().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{} ({})", s.variant.name(), constants.join(" "))
            })
            .collect();
        let mut program = Program::new(plan, &memory).await.unwrap();
        let calls = std::slice::from_ref(&call);
        let counted = program.run(Submission { calls, inputs: &[], reads: &reads }).await.unwrap();
        let mut list = Vec::new();
        for (at, (places, _)) in steps.iter().enumerate().filter(|(at, _)| running[*at]) {
            let counts = &counted[at];
            assert_eq!(counts[0], 1, "{} did not run", names[at]);
            for (number, place) in (1..).zip(places).filter(|(number, _)| counts[*number] > 0) {
                let (times, most) = (counts[number], counts[PLACES + number]);
                let (case, name) = (&case.name, &names[at]);
                list.push(format!("{case}, {name}: {place}: {times} invocations, up to {most}"));
            }
        }
        list
    })
}

/// The devices whose plans an adapter runs: its own, that of WebGPU's default limits, and a real GPU with the
/// adapter's limits.
fn devices(place: &Place) -> [DeviceTraits; 3] {
    let own = place.executor().traits();
    let real = DeviceTraits { software: false, loop_iterations: None, ..own.clone() };
    [own, DeviceTraits::floor(), real]
}

/// `any`: on any numbers too, though nothing is looked up by them.
fn judge(executor: &Executor, place: &Place, case: &Case, any: bool) {
    let mut list = Vec::new();
    let mut known: Vec<Vec<Variant>> = Vec::new();
    let given = |t: &Tensor| t.ty.dtype == DType::U32 && matches!(t.role, Role::Input | Role::Parameter);
    let ids = case.graph.tensors.iter().any(given);
    for traits in devices(place) {
        let variants = case.plan(&traits).unwrap().steps.into_iter().map(|step| step.variant).collect();
        if known.contains(&variants) {
            continue;
        }
        // Other numbers than ids change nothing.
        if known.is_empty() && (any || ids) {
            list.extend(faults(executor, case, &traits, Numbers::Any, None));
        }
        known.push(variants);
        list.extend(faults(executor, case, &traits, Numbers::Given, None));
    }
    list.sort();
    list.dedup();
    assert!(list.is_empty(), "{} places: {list:#?}", list.len());
}

/// Two mistakes that somebody might make, which driver and results would hide.
fn mistakes_are_found(executor: &Executor, place: &Place) {
    let cases = check::cases().unwrap();
    let traits = &devices(place)[0];
    for (kernel, edit, place) in [
        ("take_last", ("params.tokens + params.tokens - 1u)", "params.tokens + params.tokens)"), "x["),
        ("square_sums", ("sums[local + step]", "sums[local + 2u * step]"), "sums["),
        ("column_sums", ("item / WIDTH", "item / (0u * WIDTH)"), "item / "),
    ] {
        let runs = |case: &&Case| check::kernels(case).unwrap().contains(&kernel);
        let case = cases.iter().filter(|case| case.core).find(runs).expect("a case has the kernel");
        let list = faults(executor, case, traits, Numbers::Given, Some(edit));
        let found = list.iter().any(|fault| fault.contains(kernel) && fault.contains(place));
        assert!(found, "{}, {kernel} with {}: {list:#?}", case.name, edit.1);
    }
}

/// No permutation goes unwatched: each is in a plan that these tests run.
fn every_shader_is_watched(place: &Place) {
    // Mixed precision runs on few adapters. Its permutations read and store by the functions of those in f32; why
    // what they add stays within bounds stands in docs/DEVELOPING.md.
    let watched = PERMUTATIONS.iter().filter(|permutation| !permutation.cooperative);
    let mut missing: Vec<&str> = watched.map(|permutation| permutation.key).collect();
    let random = shapes::SORTS.into_iter().flat_map(|sort| (0..ROUNDS).map(move |at| shapes::case(sort, at)));
    for case in check::cases().unwrap().into_iter().filter(|case| case.core).chain(random) {
        for traits in devices(place) {
            let plan = case.plan(&traits).unwrap();
            missing.retain(|key| plan.steps.iter().all(|step| step.variant.name() != *key));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// A shader without checks would read on behind a buffer that is shorter than its plan has it.
fn short_tensors_are_refused(executor: &Executor) {
    let Executor::Gpu(gpu) = executor else { unreachable!("shaders run on devices") };
    let ty = TensorType::f32(shape![Unit::Rows, 4]);
    let plan = |source: &dyn Fn(&mut Graph) -> TensorId| {
        let mut g = Graph::new();
        let x = source(&mut g);
        let sum = g.state("sum", Purpose::Exposed, ty.clone());
        g.apply("count", Add { ty: ty.clone(), in_place: true }, &[x], &[sum]).unwrap();
        g.lower("short", &executor.traits(), Capacity { lanes: 1, tokens: 8, slots: 1, context: 0 }).unwrap()
    };
    let run = |program: &mut Program, tokens| {
        block_on(program.run(Submission { calls: &[Call::start(tokens)], inputs: &[], reads: &[] }))
    };
    let refused = |program: &mut Program, tokens, says: &str| {
        let error = run(program, tokens).expect_err("is refused");
        assert!(error.kind() == ErrorKind::Shape && error.message().contains(says), "{error}");
    };
    let stored = plan(&|g| g.parameter("x", DType::F32, ty.shape.clone()));
    for (rows, fits) in [(7, false), (8, true)] {
        let memory = Memory::new(executor);
        block_on(memory.store("x", DType::F32, &vec![0; 4 * rows])).unwrap();
        let mut program = block_on(Program::new(stored.clone(), &memory)).unwrap();
        if fits {
            run(&mut program, 1).unwrap();
        } else {
            refused(&mut program, 1, "x has 112 bytes, it needs 128");
        }
    }
    // What a caller lends is as long as its calls.
    let memory = Memory::new(executor);
    let (size, usage) = (16 * 7, wgpu::BufferUsages::STORAGE);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    memory.lend("x", DType::F32, &gpu.context().device().create_buffer(&descriptor)).unwrap();
    let mut program = block_on(Program::new(plan(&|g| g.external("x", ty.clone())), &memory)).unwrap();
    run(&mut program, 7).unwrap();
    refused(&mut program, 8, "x has 112 bytes, it needs 128");
}

pub fn add(tests: &mut Tests) {
    tests.add("cpu", "bounds", "places_are_found", watch::places_are_found);
    // What is watched does not depend on the device: one is enough.
    let Some(place) = tests.adapters().first().cloned() else { return };
    let shared: Arc<OnceLock<Executor>> = Arc::default();
    let executor = move |place: &Place| shared.get_or_init(|| roomy(place)).clone();
    let mistakes = executor.clone();
    tests.on(&place, "bounds", "mistakes_are_found", move |place| {
        mistakes_are_found(&mistakes(place), place);
    });
    tests.on(&place, "bounds", "every_shader_is_watched", every_shader_is_watched);
    let short = executor.clone();
    tests.on(&place, "bounds", "short_tensors_are_refused", move |place| {
        short_tensors_are_refused(&short(place));
    });
    for case in check::cases().unwrap().into_iter().filter(|case| case.core) {
        let (name, executor) = (case.name.clone(), executor.clone());
        let of = place.clone();
        tests.add(&place.name, "bounds", &name, move || judge(&executor(&of), &of, &case, false));
    }
    // Random shapes: the same few, or others for as long as one likes.
    let seconds = std::env::var("POLYSKETCH_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    for sort in shapes::SORTS {
        let executor = executor.clone();
        tests.on(&place, "bounds", &format!("random_{}", sort.0), move |place| {
            let start = Instant::now();
            let enough = |done: u64| match seconds {
                None => done >= ROUNDS,
                Some(seconds) => start.elapsed() >= Duration::from_secs(seconds),
            };
            for number in (0..).take_while(|done| !enough(*done)) {
                judge(&executor(place), place, &shapes::case(sort, number), true);
            }
        });
    }
}
