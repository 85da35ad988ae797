//! What is gauged: plans that the engine runs, lowered for a device that is not there, with their calls.

use serde_json::json;

use crate::attention::{Attention, Inputs, Mode, Rotation, Sketch};
use crate::bench::estimate::{Part as Work, parts};
use crate::bench::layer::{Layer, Pass};
use crate::bench::steps::variant;
use crate::error::{ErrorKind, Result};
use crate::graph::{Graph, Plan, Recompute, Step};
use crate::kernels::linear::linear::Linear;
use crate::kernels::{DeviceTraits, Precision};
use crate::model::config::ModelConfig;
use crate::model::engine::Blueprint;
use crate::model::weights::WeightType;
use crate::model::{LoadOptions, ModelSource, transformer};
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit, ring_after};
use crate::train::{LearnerOptions, LearnerPlan};

/// A plan and the calls that are gauged.
#[derive(Debug)]
pub struct Scene {
    /// Its word in tables: letters, digits, `.` and `_`.
    pub name: String,
    /// What it is, for people.
    pub about: String,
    /// The plan, or why there is none for this device.
    pub plan: Result<Plan>,
    /// Its calls, and how often each counts.
    pub calls: Vec<(Call, f64)>,
    /// Kernels that are left out: those whose stem does not begin so.
    only: &'static str,
}

/// A kernel at its shapes, as often as a scene has it.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The first step of its kind.
    pub step: &'a Step,
    /// Steps of its kind.
    pub times: usize,
    /// Each dispatch of all these steps, once for each call: its work and how often it counts.
    pub dispatches: Vec<Dispatched>,
}

/// What a dispatch has to do, and how often it counts.
#[derive(Clone, Copy, Debug)]
pub struct Dispatched {
    /// f32 operations.
    pub flops: f64,
    /// Bytes of its arguments.
    pub bytes: f64,
    /// Workgroups.
    pub workgroups: usize,
    /// How often it counts.
    pub weight: f64,
}

/// Tokens of attention alone, and the heads, columns and blocks of it.
const TOKENS: usize = 32 << 10;
const HEADS: usize = 4;
const HEAD: usize = 64;
const SKETCH: usize = 32;
const BLOCK: usize = 256;
/// Tokens of a call of it, as `bench attention` takes.
const SEGMENT: usize = 4096;
/// Least tokens that gradients are gauged over, where a device binds too little for more.
const LEAST: usize = 2048;
/// Sequences and tokens of a training step of the built-in model.
const BATCH: [usize; 2] = [8, 1024];
/// Tokens of the calls of linearised attention.
const LINEARIZED: usize = 1024;
/// Tokens of a prefill call of the public model.
const PUBLIC_CALL: usize = 512;

/// Everything that is gauged on a device.
///
/// # Errors
/// None that a sound build could meet.
pub fn scenes(traits: &DeviceTraits) -> Result<Vec<Scene>> {
    let mut all = built_in(traits)?;
    let random = Sketch::Random { leaves: 1, gain: 1.0 / (SKETCH as f64).sqrt() };
    let learned = Sketch::Learned { levels: 2, expansion: 8 };
    let polysketch = |sketch| Attention::polysketch(HEADS, HEAD, SKETCH, sketch).with_block_size(BLOCK);
    let kinds = [
        ("random", polysketch(random)),
        ("learned", polysketch(learned)),
        ("softmax", Attention::softmax(HEADS, HEAD)),
    ];
    for (name, attention) in &kinds {
        all.push(alone(name, attention, Pass::Forward, traits));
        all.push(alone(name, attention, Pass::ForwardBackward, traits));
    }
    all.extend(linearized(traits)?);
    for [rows, inner, columns] in [[1024, 1024, 1024], [4096, 256, 768]] {
        all.push(product(rows, inner, columns, traits)?);
    }
    for kind in [WeightType::F16, WeightType::Q8, WeightType::Q4] {
        all.extend(public(kind, traits)?);
    }
    if traits.cooperative.is_some() {
        all.extend(mixed(&kinds[0].1, traits)?);
    }
    Ok(all)
}

/// In mixed precision, where a device has cooperative matrices: attention alone and a product.
fn mixed(attention: &Attention, traits: &DeviceTraits) -> Result<[Scene; 2]> {
    let traits = DeviceTraits { precision: Precision::Mixed, ..traits.clone() };
    let forward = alone("random", attention, Pass::Forward, &traits);
    let product = product(1024, 1024, 1024, &traits)?;
    Ok([forward, product].map(|scene| Scene {
        name: format!("{}.mixed", scene.name),
        about: format!("{}, mixed precision", scene.about),
        ..scene
    }))
}

/// The built-in model: a prefill call, a decoding step, a training step.
fn built_in(traits: &DeviceTraits) -> Result<Vec<Scene>> {
    let source = ModelSource::builtin()?;
    let config = &source.config;
    let blueprint = Blueprint::new(config, &source.stored(), traits.clone(), &LoadOptions::default())?;
    let block = transformer::attention(config).layout.block;
    let [lanes, context] = BATCH;
    let options = LearnerOptions { lanes, context, segment: None, recompute: Recompute::Nothing };
    let learner = LearnerPlan::new(config, traits, &options)?;
    let step = learner.train;
    let call = Call { lanes: texts(step.capacity.lanes), tokens: step.capacity.tokens, lane_base: 0 };
    let calls = context as f64 / step.capacity.tokens as f64;
    let [prefill, decode] = read_and_write(&blueprint, block);
    Ok(vec![
        Scene { name: "prefill".into(), about: format!("built-in model, {}", prefill.about), ..prefill },
        Scene { name: "decode".into(), about: format!("built-in model, {}", decode.about), ..decode },
        Scene {
            name: "train".into(),
            about: format!("built-in model, gradients of {lanes} × {context} tokens"),
            calls: vec![(call, calls)],
            plan: Ok(step),
            only: "",
        },
    ])
}

/// Whole sequences from the start.
fn texts(lanes: usize) -> Vec<Lane> {
    (0..lanes).map(|slot| Lane { slot, position: 0, ring: 0 }).collect()
}

/// A whole prefill call behind another, and a token after it: one in `block` of them folds a full block.
fn read_and_write(blueprint: &Blueprint, block: usize) -> [Scene; 2] {
    let tokens = blueprint.prefill.capacity.tokens;
    let at = |position: usize, tokens: usize| {
        let ring = if position == 0 { 0 } else { ring_after(0, position, block) };
        Call { lanes: vec![Lane { slot: 0, position, ring }], tokens, lane_base: 0 }
    };
    let folds = 1.0 / block as f64;
    let scene = |about: String, plan: &Plan, calls| Scene {
        name: String::new(),
        about,
        plan: Ok(plan.clone()),
        calls,
        only: "",
    };
    [
        scene(format!("a call of {tokens} tokens"), &blueprint.prefill, vec![(at(tokens, tokens), 1.0)]),
        scene(
            "a token".into(),
            &blueprint.decode,
            vec![(at(tokens + block / 2, 1), 1.0 - folds), (at(tokens, 1), folds)],
        ),
    ]
}

/// A kind of attention alone, as `bench attention` builds it.
fn alone(name: &str, attention: &Attention, pass: Pass, traits: &DeviceTraits) -> Scene {
    let mut tokens = TOKENS;
    let (plan, calls) = loop {
        let layer = Layer { attention, pass, tokens };
        match layer.plan(traits, SEGMENT) {
            // Gradients take a text at once, which not every device binds.
            Err(e) if e.kind() == ErrorKind::Limit && tokens > LEAST => tokens /= 2,
            Ok(plan) => {
                let calls = layer.calls(tokens, plan.capacity.tokens);
                break (Ok(plan), calls);
            }
            Err(error) => break (Err(error), Vec::new()),
        }
    };
    let (word, what) = match pass {
        Pass::Forward => ("forward", "forward"),
        Pass::ForwardBackward => ("backward", "forward and backward"),
    };
    // The same work, by parts where it is in parts.
    let weight = TOKENS as f64 / tokens as f64;
    Scene {
        name: format!("{name}.{word}"),
        about: format!(
            "attention, {name}, {what}, {} tokens{}",
            TOKENS,
            if weight > 1.0 { format!(" in texts of {tokens}") } else { String::new() }
        ),
        plan,
        calls: calls.into_iter().map(|call| (call, weight)).collect(),
        only: "",
    }
}

/// Linearised attention of SmolLM2-135M's shape, from the projections on: a prefill call behind another, a token
/// after it, gradients of a text.
fn linearized(traits: &DeviceTraits) -> Result<Vec<Scene>> {
    let mut attention = Attention::linearized(3, 64, 16, 64).with_sink_reach(8064);
    let l = &mut attention.layout;
    (l.group, l.gated, l.rotation) = (3, true, Rotation::Raw);
    let block = l.block;
    let plan = |mode: Mode, tokens: usize| -> Result<Plan> {
        let (l, mut graph) = (&attention.layout, Graph::new());
        let qkv = graph.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
        let lanes = graph.lanes(1);
        let sketch = attention.sketch_weights().map(|n| graph.parameter("sketch", DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms: None, sketch };
        let o = attention.build(&mut graph, "attention", mode, inputs, 0)?.output;
        if mode == Mode::Train {
            let seed = graph.input("seed", TensorType::f32(shape![Unit::Rows, l.width()]));
            graph.backward(&[(o, seed)], &|_| true, Recompute::Nothing)?;
        }
        graph.output(o, "o");
        graph.lower("attention", traits, Capacity { lanes: 1, tokens, slots: 1, context: 0 })
    };
    let at = |position: usize, tokens: usize| {
        let lanes = vec![Lane { slot: 0, position, ring: ring_after(0, position, block) }];
        Call { lanes, tokens, lane_base: 0 }
    };
    let n = LINEARIZED;
    let folds = 1.0 / block as f64;
    let scenes = [
        ("prefill", format!("a call of {n} tokens"), plan(Mode::Prefill, n), vec![(at(n, n), 1.0)]),
        (
            "decode",
            "a token".to_string(),
            plan(Mode::Decode, 1),
            vec![(at(n + block / 2, 1), 1.0 - folds), (at(n, 1), folds)],
        ),
        ("train", format!("gradients of {n} tokens"), plan(Mode::Train, n), vec![(Call::start(n), 1.0)]),
    ];
    let scene = |(word, what, plan, calls)| Scene {
        name: format!("linearized.{word}"),
        about: format!("linearised attention of SmolLM2-135M's shape, {what}"),
        plan,
        calls,
        only: "",
    };
    Ok(scenes.map(scene).into())
}

/// A product with a matrix, and its gradients.
fn product(rows: usize, inner: usize, columns: usize, traits: &DeviceTraits) -> Result<Scene> {
    let mut graph = Graph::new();
    let x = graph.parameter("x", DType::F32, shape![Unit::Rows, inner]);
    let w = graph.parameter("w", DType::F32, shape![columns, inner]);
    let seed = graph.parameter("seed", DType::F32, shape![Unit::Rows, columns]);
    let y = graph.apply1("product", Linear::new(inner, columns), &[x, w])?;
    graph.output(y, "y");
    graph.backward(&[(y, seed)], &|name| name != "seed", Recompute::Nothing)?;
    let capacity = Capacity { lanes: 1, tokens: rows, slots: 1, context: 0 };
    Ok(Scene {
        name: format!("product.{rows}x{inner}x{columns}"),
        about: format!("{rows} × {inner} × {columns} and its two gradients"),
        plan: graph.lower("product", traits, capacity),
        calls: vec![(Call::start(rows), 1.0)],
        only: "",
    })
}

/// The products of a model of SmolLM2-135M's shape, with weights of few bits.
fn public(kind: WeightType, traits: &DeviceTraits) -> Result<Vec<Scene>> {
    let config = json!({
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 100_000.0, "tie_word_embeddings": true,
        "max_position_embeddings": 8192,
    });
    let (config, _) = ModelConfig::from_json(&config.to_string(), "the public model")?;
    let options = LoadOptions { weights: Some(kind), segment: Some(PUBLIC_CALL), ..LoadOptions::default() };
    let blueprint = Blueprint::new(&config, &DType::F16.into(), traits.clone(), &options)?;
    let block = transformer::attention(&config).layout.block;
    let [prefill, decode] = read_and_write(&blueprint, block);
    let word = kind.name();
    let scene = |what: &str, scene: Scene| Scene {
        name: format!("smollm2.{word}.{what}"),
        about: format!("products of a model of SmolLM2-135M's shape in {word}, {}", scene.about),
        only: "linear",
        ..scene
    };
    Ok(vec![scene("prefill", prefill), scene("decode", decode)])
}

impl Scene {
    /// The parts of the plan that run in its calls and differ in kernel, variant or sizes, in order.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let Ok(plan) = &self.plan else { return Vec::new() };
        let mut keys = Vec::new();
        let mut parts: Vec<Part<'_>> = Vec::new();
        for step in plan.steps.iter().filter(|step| step.kernel.stem().starts_with(self.only)) {
            let dispatches = self.dispatches(plan, step);
            if dispatches.is_empty() {
                continue;
            }
            let shapes: Vec<String> =
                step.args.iter().map(|arg| plan.tensors[arg.tensor.0].tensor.ty.to_string()).collect();
            let key = (step.kernel.stem(), variant(&step.variant), shapes);
            match keys.iter().position(|known| *known == key) {
                Some(at) => {
                    parts[at].times += 1;
                    parts[at].dispatches.extend(dispatches);
                }
                None => {
                    keys.push(key);
                    parts.push(Part { step, times: 1, dispatches });
                }
            }
        }
        parts
    }

    fn dispatches(&self, plan: &Plan, step: &Step) -> Vec<Dispatched> {
        let runs = self.calls.iter().filter(|(call, _)| step.kernel.runs(call));
        let mut all = Vec::new();
        for (call, weight) in runs {
            all.extend(parts(plan, step, call).into_iter().map(|part| {
                let Work { flops, bytes, workgroups } = part;
                Dispatched { flops, bytes, workgroups, weight: *weight }
            }));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::kernels::Vendor;

    #[test]
    fn scenes_hold_the_work_of_their_plans_once() {
        let all = scenes(&DeviceTraits::floor()).expect("plans");
        let names: HashSet<&str> = all.iter().map(|scene| scene.name.as_str()).collect();
        assert!(names.len() == all.len() && names.contains("learned.backward"), "{names:?}");
        for scene in &all {
            let name = &scene.name;
            let plan = scene.plan.as_ref().expect("the floor has room for each");
            let parts = scene.parts();
            let labels: HashSet<&str> = parts.iter().map(|part| part.step.label.as_str()).collect();
            assert!(labels.len() == parts.len() && !parts.is_empty(), "{name}: {labels:?}");
            let steps = plan.steps.iter().filter(|step| step.kernel.stem().starts_with(scene.only));
            let want: f64 = steps
                .flat_map(|step| scene.calls.iter().map(move |(call, weight)| (step, call, weight)))
                .filter(|(step, call, _)| step.kernel.runs(call))
                .map(|(step, call, weight)| step.kernel.flops(call) as f64 * weight)
                .sum();
            let dispatches = parts.iter().flat_map(|part| &part.dispatches);
            let got: f64 = dispatches.clone().map(|d| d.flops * d.weight).sum();
            assert!((got - want).abs() <= 1e-9 * want && want > 0.0, "{name}: {got} for {want}");
            assert!(dispatches.clone().all(|d| d.workgroups > 0 && d.bytes > 0.0), "{name}");
        }
        // As often as calls and blocks say, whatever a device binds.
        let tokens = |name: &str| {
            let scene = all.iter().find(|scene| scene.name == name).expect("is there");
            scene.calls.iter().map(|(call, weight)| call.tokens as f64 * weight).sum::<f64>()
        };
        assert_eq!(
            [tokens("random.forward"), tokens("learned.backward"), tokens("decode")],
            [32768.0, 32768.0, 1.0]
        );
    }

    /// An H100's processors have a workgroup of every kernel when it reads a text: 128 of its 132 at least.
    #[test]
    fn a_large_device_is_filled_when_it_reads() {
        const ENOUGH: usize = 128;
        let traits = DeviceTraits {
            vendor: Vendor::Nvidia,
            processors: Some(132),
            max_binding: 1 << 30,
            max_buffer: 1 << 30,
            workgroup_memory: 48 << 10,
            max_invocations: 1024,
            ..DeviceTraits::floor()
        };
        let [prefill, ..] = &built_in(&traits).expect("plans")[..] else { panic!("no scene") };
        assert_eq!(prefill.calls[0].0.tokens, 4096);
        for part in prefill.parts() {
            let least = match part.step.kernel.stem() {
                // Of the last row alone.
                "take_last" | "scatter_rows" => 1,
                // A vector an invocation; bounded by memory, which these saturate.
                "scan_prefix" => 100,
                _ => ENOUGH,
            };
            let most = part.dispatches.iter().map(|d| d.workgroups).max().unwrap_or(0);
            assert!(most >= least, "{}: {most} workgroups", part.step.label);
        }
        // Elsewhere calls are as small as ever.
        let small = DeviceTraits { processors: Some(8), ..traits };
        assert_eq!(built_in(&small).expect("plans")[0].calls[0].0.tokens, 1024);
    }
}
