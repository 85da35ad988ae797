//! Calls of random shapes: odd sizes, one token or many, lanes in the middle of blocks, plans for more than
//! the call has.

use std::sync::Arc;

use polysketch::attention::{Attention, Kind, Mode, Rotation, Sketch};
use polysketch::check::attention_cases::{attention, from_packed_rows, of_rows, with_sketch};
use polysketch::check::case::{Data, bits};
use polysketch::check::linearized_cases::{self, after};
use polysketch::check::model_cases::{Scene, training};
use polysketch::check::models::{Body, RandomModel};
use polysketch::check::random::Rng;
use polysketch::check::{Case, slug};
use polysketch::graph::{Graph, Recompute, Role};
use polysketch::kernels::linear::linear::{Addend, Linear};
use polysketch::model::transformer::Ending;
use polysketch::tensor::{Call, Capacity, DType, Lane, Quant, TensorType, Unit, shape};
use serde_json::{Value, json};

/// A few more than a plan's call has, or many.
fn more(rng: &mut Rng) -> usize {
    rng.pick(&[0, 1, 3, 40, 300])
}

/// Tokens of a call: mostly few, sometimes beyond a tile or a block.
fn tokens(rng: &mut Rng, block: usize) -> usize {
    let most = 3 * block + 2;
    rng.pick(&[1, 2, 3, block - 1, block, block + 1, most]).max(rng.pick(&[
        1,
        1,
        rng.clone().within(1, most),
    ]))
}

fn four(rng: &mut Rng, most: usize) -> usize {
    4 * rng.within(1, most / 4)
}

/// Attention from its packed rows on, half of them with gradients.
fn attention_case(rng: &mut Rng) -> Case {
    let head = four(rng, 72);
    let sketch =
        Kind::Polysketch { degree: 4, scale: 0.3, local_exact: rng.below(2) == 0, sketch: random(rng) };
    let kind = match rng.below(5) {
        0 => Kind::Softmax,
        1 => Kind::Polynomial { degree: 2, scale: 0.2 },
        2 => Kind::Taylor { degree: 2, scale: 0.1 },
        _ => sketch,
    };
    let block = four(rng, 72);
    let gated = kind != Kind::Softmax && rng.below(2) == 0;
    // Features grow with the square.
    let head = if matches!(kind, Kind::Polysketch { .. } | Kind::Softmax) { head } else { head.min(32) };
    let (heads, r) = (rng.within(1, 3), four(rng, 36));
    let mut a: Attention = attention(heads, head, r, block, kind, gated);
    a.layout.group = rng.pick(&[1, 1, 2, 3, 5]);
    let mode = rng.pick(&[Mode::Train, Mode::Forward]);
    let graph = from_packed_rows(&a, mode).unwrap();
    let (lanes, tokens) = (rng.within(1, 3), tokens(rng, block));
    let mut case = of_rows("attention", graph, &a.layout, a.has_cache(), lanes, tokens);
    for lane in &mut case.call.lanes {
        lane.position = rng.below(5) * block;
    }
    case
}

/// Linearised attention: from its packed rows on, its sketch, or on top of states.
fn linearized_case(rng: &mut Rng) -> Case {
    let block = four(rng, 44);
    let (heads, group) = (rng.within(1, 3), rng.pick(&[1, 1, 2, 3, 5]));
    let (head, r) = (four(rng, 68), four(rng, 24));
    let sinks = rng.below(block.min(9) + 1);
    let (near, gated) = (rng.within(1, 4), rng.below(2) == 0);
    let mut a = linearized_cases::layer([heads, group, head, r], [block, near, sinks], gated);
    a.kind = Kind::Linearized { hidden: four(rng, 100), turned: 30.0 };
    a.layout.normed = rng.below(3) == 0;
    a.layout.rotation = rng.pick(&[Rotation::Raw, Rotation::Raw, Rotation::Normed]);
    a.layout.interleaved = rng.below(4) == 0;
    let mut trained = rng.pick(&[Mode::Train, Mode::Train, Mode::Transfer, Mode::Forward]);
    if rng.below(2) == 0 {
        a = a.with_sink_reach(near * block + rng.below(block));
        // Near pairs are not trained where sinks are turned.
        if trained == Mode::Train {
            trained = Mode::Transfer;
        }
    }
    let some = tokens(rng, block);
    let tokens = rng.pick(&[some, (near + 2) * block + 1]);
    let prefix = |rng: &mut Rng| {
        let far = near * block;
        rng.pick(&[1, sinks.max(1), block, far, far + 1, far + block, rng.clone().within(1, far + block)])
    };
    let prefixes: Vec<usize> = (0..rng.within(1, 4)).map(|_| prefix(rng)).collect();
    match rng.below(5) {
        0 | 1 => {
            let graph = from_packed_rows(&a, trained).unwrap();
            of_rows("linearized", graph, &a.layout, false, rng.within(1, 3), tokens)
        }
        2 if trained != Mode::Forward => linearized_cases::with_sketch(&a, trained, tokens, "").unwrap(),
        3 => after(&a, Mode::Decode, &prefixes, 1).unwrap(),
        _ => {
            let prefixes: Vec<usize> = prefixes.into_iter().map(|n| n - rng.below(2).min(n)).collect();
            after(&a, Mode::Prefill, &prefixes, tokens).unwrap()
        }
    }
}

fn random(rng: &mut Rng) -> Sketch {
    Sketch::Random { leaves: rng.pick(&[1, 2]), gain: 0.3 }
}

/// Sketches with their gradients.
fn sketch_case(rng: &mut Rng) -> Case {
    let learned = Sketch::Learned { levels: rng.within(1, 3), expansion: rng.within(1, 8) };
    let sketch = if rng.below(3) > 0 { learned } else { random(rng) };
    let (head, r, gated) = (four(rng, 132), four(rng, 68), rng.below(2) == 0);
    let tokens = tokens(rng, 20);
    with_sketch(head, r, sketch, gated, tokens).unwrap()
}

/// Attention of a model, as its configuration has it.
fn kind(rng: &mut Rng, head: usize) -> Value {
    let scale = 0.5 / (head as f64).sqrt();
    let gate = rng.pick(&["none", "scalar"]);
    match rng.below(6) {
        0 => json!({ "kind": "softmax" }),
        1 => json!({ "kind": "polynomial", "degree": 2, "qk_scale": scale, "gate": gate }),
        2 => json!({ "kind": "taylor", "degree": rng.pick(&[1, 2]), "qk_scale": scale, "gate": gate,
            "denominator_bias": 1.0 }),
        _ => {
            let size = four(rng, 28);
            let sketch = match rng.below(3) {
                0 => json!({ "kind": "gaussian", "size": size, "gain": 0.1 }),
                _ => json!({ "kind": "learned", "size": size, "levels": rng.within(1, 2),
                    "expansion": rng.within(1, 6) }),
            };
            json!({ "kind": "polysketch", "degree": 4, "qk_scale": scale, "block_size": four(rng, 68),
                "denominator_bias": 1.0, "gate": gate, "local_exact": rng.below(2) == 0,
                "shared_qk_norm": false, "sketch_input": rng.pick(&["normed", "raw"]), "sketch": sketch })
        }
    }
}

fn model(rng: &mut Rng) -> RandomModel {
    loop {
        let groups = rng.within(1, 3);
        let head = rng.pick(&[4, 8, 12, 16, 20, 36, 64]);
        let (vocabulary, mlp) = (rng.within(3, 300), four(rng, 100));
        let body = Body { vocabulary, heads: groups * rng.within(1, 3), head, layers: 1, mlp };
        let rope = (rng.pick(&["none", "raw", "normed"]), rng.pick(&["half", "interleaved"]));
        let attention = kind(rng, head);
        let mut model = RandomModel::new("model", rng.bits(), body, rope, attention);
        model.config["num_key_value_heads"] = json!(groups);
        model.config["activation"] = json!(rng.pick(&["gelu", "silu", "relu", "gelu_tanh"]));
        model.config["gated_mlp"] = json!(rng.below(2) == 0);
        model.config["tie_word_embeddings"] = json!(rng.below(2) == 0);
        if model.allowed() {
            return model;
        }
    }
}

/// A model reads, writes or learns.
fn model_case(rng: &mut Rng) -> Case {
    let model = model(rng);
    let (config, block) = (model.parsed(), model.block());
    let of = model.clone();
    let source = Arc::new(move || Ok(of.source()));
    let tokens = tokens(rng, block).min(150);
    if rng.below(3) == 0 {
        return training("model", &config, source, tokens).unwrap();
    }
    let large = rng.pick(&[DType::F32, DType::F16]);
    let mut prefixes: Vec<usize> =
        (0..rng.within(1, 4)).map(|_| rng.pick(&[0, 1, block, block + 1, 2 * block - 1]).min(100)).collect();
    if rng.below(2) == 0 {
        prefixes.iter_mut().for_each(|n| *n = (*n).max(1));
        let scene = Scene::new(Mode::Decode, Ending::Sample, large, &prefixes, 1);
        return scene.case("model", &config, source).unwrap();
    }
    let ending = rng.pick(&[Ending::All, Ending::Nll, Ending::Last]);
    let scene = Scene::new(Mode::Prefill, ending, large, &prefixes, tokens);
    let capacity =
        (tokens + more(rng)).min(if model.config["attention"]["kind"] == "softmax" { 150 } else { 999 });
    Scene { capacity, ..scene }.case("model", &config, source).unwrap()
}

/// One linear layer, in all types; with its gradients in f32.
fn linear_case(rng: &mut Rng) -> Case {
    let inputs = four(rng, 200);
    let outputs = rng.within(1, 150);
    let quant = |bits, block, wide, minimum| {
        DType::Quant(Quant { bits, block, wide, minimum, columns: inputs as u32 })
    };
    let forms = [
        DType::F32,
        DType::F32,
        DType::F16,
        quant(4, 32, false, true),
        quant(8, 32, false, false),
        quant(4, 32, true, true),
        quant(8, 16, true, false),
    ];
    let dtype = if inputs.is_multiple_of(8) { rng.pick(&forms) } else { rng.pick(&forms[..3]) };
    let addend = Addend::of(rng.below(2) == 0, rng.below(2) == 0);
    let rows = rng.pick(&[Unit::Rows, Unit::Rows, Unit::Lanes]);
    let mut g = Graph::new();
    let x = g.parameter("x", DType::F32, shape![rows, inputs]);
    let w = g.parameter("w", dtype, shape![outputs, inputs]);
    let bias = addend.bias().then(|| g.parameter("bias", DType::F32, shape![outputs]));
    let residual = addend.residual().then(|| g.parameter("residual", DType::F32, shape![rows, outputs]));
    let arguments: Vec<_> = [Some(x), Some(w), bias, residual].into_iter().flatten().collect();
    let kernel = Linear { dtype, addend, rows, ..Linear::new(inputs, outputs) };
    let y = g.apply1("y", kernel, &arguments).unwrap();
    if dtype == DType::F32 && rows == Unit::Rows {
        let seed = g.input("seed", TensorType::f32(shape![rows, outputs]));
        g.backward(&[(y, seed)], &|_| true, Recompute::Nothing).unwrap();
    }
    g.output(y, "y");
    let (lanes, tokens) = (rng.within(1, 3), tokens(rng, 40));
    let capacity = Capacity { lanes, tokens: tokens + more(rng), slots: lanes, context: 0 };
    let lane = |slot| Lane { slot, position: 0, ring: 0 };
    let call = Call { lanes: (0..lanes).map(lane).collect(), tokens, lane_base: 0 };
    let given = g.clone();
    Case::new("linear", g, capacity, call, move || {
        let mut rng = Rng(11);
        let mut data = Data::new();
        for t in given.tensors.iter().filter(|t| matches!(t.role, Role::Input | Role::Parameter)) {
            let elements = t.ty.shape.elements(&capacity);
            // Halves and fewer bits as they come: what they are does not matter.
            let words = match t.ty.dtype {
                DType::F32 => bits(rng.normals(elements)),
                other => rng.tokens(other.bytes(elements).div_ceil(4), 1 << 30),
            };
            data.insert(t.name.clone(), words.into());
        }
        Ok(data)
    })
}

/// Makes a case of one sort.
pub type Make = fn(&mut Rng) -> Case;

/// Sorts of calls: a name, and a case from a random number.
pub const SORTS: [(&str, Make); 5] = [
    ("attention", attention_case),
    ("linearized", linearized_case),
    ("sketch", sketch_case),
    ("model", model_case),
    ("linear", linear_case),
];

/// The case of a sort and a number.
pub fn case(sort: (&str, Make), number: u64) -> Case {
    let mut case = sort.1(&mut Rng(number << 8 | 5));
    case.name = slug(&format!("{} of random shape {number}", sort.0));
    case
}
