//! What grouped heads spare (SPEC §9): a layer of attention of nine query heads with three key heads, and
//! with nine. Operations and bytes are counted from the plan; the time is measured by
//! `cargo test --release --lib grouped_heads -- --ignored --nocapture`.

use super::steps::moved;
use super::timer::{Subject, Timer, numbers};
use crate::attention::{Attention, Inputs, Mode};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Graph, Plan};
use crate::kernels::DeviceTraits;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, Unit, ring_after};

const HEADS: usize = 9;
const HEAD: usize = 64;
const BLOCK: usize = 128;
const READ: usize = 1024;
/// Tokens before the one that is decoded. It fills no block, as most do not.
const DEPTH: usize = 4100;

/// Reading 1 024 tokens, or the token after 4 100.
#[derive(Clone, Copy)]
enum Scene {
    Prefill,
    Decode,
}

impl Scene {
    fn call(self) -> Call {
        match self {
            Scene::Prefill => Call::start(READ),
            Scene::Decode => {
                let lane = Lane { slot: 0, position: DEPTH, ring: ring_after(0, DEPTH, BLOCK) };
                Call { lanes: vec![lane], tokens: 1, lane_base: 0 }
            }
        }
    }
}

/// A layer of so many key heads: softmax, or power retention.
fn plan(traits: &DeviceTraits, softmax: bool, key_heads: usize, scene: Scene) -> Plan {
    let mut attention = match softmax {
        true => Attention::softmax(HEADS, HEAD),
        false => Attention::polynomial(HEADS, HEAD, 2).with_gate().with_block_size(BLOCK),
    };
    (attention.layout.heads, attention.layout.group) = (key_heads, HEADS / key_heads);
    let (l, context) = (attention.layout.clone(), if softmax { 8192 } else { 0 });
    let (mode, tokens) = match scene {
        Scene::Prefill => (Mode::Prefill, READ),
        Scene::Decode => (Mode::Decode, 1),
    };
    let mut g = Graph::new();
    let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
    let lanes = g.lanes(1);
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
    let inputs = Inputs { qkv, lanes, norms, sketch: None };
    let layer = attention.build(&mut g, "attention", mode, inputs, context).expect("a layer");
    g.output(layer.output, "o");
    g.lower("attention", traits, Capacity { lanes: 1, tokens, slots: 1, context }).expect("a plan")
}

/// Operations, and bytes of all that the kernels read and write.
fn counted(plan: &Plan, call: &Call) -> [u64; 2] {
    let runs = plan.steps.iter().filter(|step| step.kernel.runs(call));
    [plan.flops(call), runs.map(|step| moved(plan, step, call)).sum()]
}

#[test]
fn grouped_heads_take_less() {
    let traits = Executor::Cpu(CpuExecutor::default()).traits();
    println!("| | operations, G=9 | G=3 | bytes, G=9 | G=3 |");
    for (name, softmax, scene, most) in [
        // Of operations, and of bytes, at most so many hundredths of what nine key heads take.
        ("softmax, prefill", true, Scene::Prefill, [100, 75]),
        ("softmax, decode", true, Scene::Decode, [100, 40]),
        ("power retention, prefill", false, Scene::Prefill, [80, 60]),
        ("power retention, decode", false, Scene::Decode, [100, 40]),
    ] {
        let call = scene.call();
        let [nine, three] = [9, 3].map(|heads| counted(&plan(&traits, softmax, heads, scene), &call));
        println!("| {name} | {} | {} | {} | {} |", nine[0], three[0], nine[1], three[1]);
        for i in 0..2 {
            assert!(three[i] * 100 <= nine[i] * most[i], "{name}: {three:?} of {nine:?}");
        }
        // Queries are as many, whoever shares their keys.
        assert!(three[0] > 0 && three[1] * 9 > nine[1], "{name}: {three:?} of {nine:?}");
    }
}

#[test]
#[ignore = "it measures: on a machine that does nothing else"]
fn grouped_heads_are_faster() {
    const PAIRS: usize = 15;
    let executor = Executor::Cpu(CpuExecutor::default());
    let (traits, timer) = (executor.traits(), Timer::wall());
    for (name, softmax, scene, repetitions) in [
        ("softmax, prefill", true, Scene::Prefill, 2),
        ("softmax, decode", true, Scene::Decode, 40),
        ("power retention, prefill", false, Scene::Prefill, 2),
        ("power retention, decode", false, Scene::Decode, 40),
    ] {
        let mut subjects = [9, 3].map(|heads| {
            let plan = plan(&traits, softmax, heads, scene);
            let fill = |t: &crate::graph::PlannedTensor| Some(numbers(1, t, 1.0));
            pollster::block_on(Subject::new(&executor, &plan, vec![scene.call()], &fill)).expect("runs")
        });
        let mut time = |at: usize| -> f64 {
            pollster::block_on(subjects[at].time(&timer, repetitions)).expect("runs") / repetitions as f64
        };
        let (_, _) = (time(0), time(1));
        let mut pairs: Vec<[f64; 2]> = (0..PAIRS).map(|_| [time(0), time(1)]).collect();
        pairs.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
        let [nine, three] = pairs[PAIRS / 2];
        println!("{name}: {:.1} µs with nine key heads, {:.1} with three", nine / 1e3, three / 1e3);
        println!("  {:.2} times as fast, {PAIRS} pairs in turns, median", nine / three);
        assert!(nine > three, "{name}: {nine} ns, {three} ns");
    }
}
