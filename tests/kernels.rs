//! Every kernel's shader against its CPU twin, step by step in plans of awkward sizes: heads and blocks that
//! are no multiples of tiles, several lanes with different rings, decoding, both weight types, and attention
//! that is not causal.

mod common;

use common::dense::Dense;
use common::lowered::non_causal;
use common::random_model::{Case, Rng, few_cases, plain_cases, polysketch_cases};
use common::scene::{Scene, gpu};
use common::{cpu_executors, gpu_executors, max_error, program};
use pollster::block_on;
use polysketch::attention::Mode;
use polysketch::exec::{Difference, Submission, bisect};
use polysketch::kernels::DeviceTraits;
use polysketch::model::transformer::{self, Ending};
use polysketch::model::weights;
use polysketch::tensor::{Call, Capacity, DType, Lane};

/// f32 against f32: sums in another order, other roundings of exp and tanh.
const SMALL: f64 = 2e-5;

fn wrong(name: &str, case: &Case, what: &str, differences: &[Difference]) -> Vec<String> {
    // The parts of a cut cache are the shader's own business: its twin does not cut; their sum is compared.
    let compared = differences.iter().filter(|d| !d.label.contains("attention_dense_decode"));
    compared
        .filter(|d| d.relative.is_nan() || d.relative > SMALL)
        .map(|d| format!("{name}: {}: {what}: {d:?}", case.name))
        .collect()
}

/// What an adapter can do in a few seconds: the few, and of the others some, each adapter others.
fn cases(adapter: usize) -> Vec<Case> {
    let mut list = few_cases();
    list.extend(plain_cases().into_iter().skip(adapter * 4 % 9).step_by(9));
    list.extend(polysketch_cases().into_iter().skip(adapter * 13 % 40).step_by(40));
    list
}

#[test]
fn shaders_equal_their_twins() {
    let mut failures = Vec::new();
    for (number, (name, executor)) in gpu_executors().into_iter().enumerate() {
        for (at, case) in cases(number).iter().enumerate() {
            let (source, b) = (case.source(), case.block());
            let prefixes = [b, 0, b + 3, 2 * b - 1];
            let large = if at % 2 == 0 { DType::F32 } else { DType::F16 };
            let scenes = [
                ("prefill", Mode::Prefill, [Ending::All, Ending::Nll, Ending::Last][at % 3], b.min(37) + 5),
                ("decode", Mode::Decode, Ending::Sample, 1),
            ];
            for (what, mode, head, tokens) in scenes {
                // Decoding needs a token before it.
                let prefixes: Vec<usize> =
                    prefixes.iter().map(|n| (*n).max(usize::from(mode == Mode::Decode))).collect();
                let scene = Scene::new(&source, mode, head, large, &prefixes, tokens);
                failures.extend(wrong(&name, case, what, &scene.bisect(gpu(&executor), &executor.traits())));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(12)]);
}

/// The variants of the weakest device, cut for calls as large as it may get, run everywhere too.
#[test]
fn variants_of_the_floor_agree() {
    let mut failures = Vec::new();
    for (name, executor) in gpu_executors() {
        let floor = DeviceTraits::floor();
        for (at, case) in few_cases().iter().enumerate().filter(|(at, _)| at % 2 == 0) {
            let large = if at % 4 == 0 { DType::F32 } else { DType::F16 };
            let mut scene = Scene::new(&case.source(), Mode::Prefill, Ending::All, large, &[3], 77);
            // Enough for the largest tiles.
            scene.capacity.tokens = 16 << 10;
            failures.extend(wrong(
                &name,
                case,
                "variants of the floor",
                &scene.bisect(gpu(&executor), &floor),
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Not causal: against the sum over all keys, written out.
#[test]
fn attention_that_is_not_causal() {
    let kinds = [
        "softmax h=12 ",
        "polynomial p=4 h=4",
        "polynomial p=2 h=16",
        "taylor g=1 h=64",
        "taylor g=2 h=16",
        "taylor g=4 h=4",
    ];
    let mut cases: Vec<Case> =
        plain_cases().into_iter().filter(|c| kinds.iter().any(|k| c.name.starts_with(k))).collect();
    assert_eq!(cases.len(), kinds.len());
    cases.extend(
        polysketch_cases().into_iter().filter(|c| c.name.contains("local=false gate=none")).step_by(9),
    );
    let adapters = gpu_executors();
    let mut failures = Vec::new();
    for case in &cases {
        let config = case.parsed();
        let graph = non_causal(&config).unwrap();
        let l = transformer::attention(&config).layout;
        let (lanes, tokens) = (2, 37);
        let capacity = Capacity { lanes, tokens: tokens + 3, slots: 2, context: 0 };
        let mut rng = Rng(case.seed);
        let values: Vec<f32> = (0..lanes * tokens * l.qkv_width()).map(|_| rng.normal() as f32).collect();
        let qkv: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
        let source = case.source();
        let packed = weights::packed(&config, &transformer::attention(&config), DType::F32, usize::MAX);
        let of_layer = packed.iter().filter_map(|p| Some((p.name.strip_prefix("layers.0.")?, p)));
        let tensors: Vec<(String, DType, Vec<u32>)> = of_layer
            .filter(|(name, _)| graph.find(name).is_some())
            .map(|(name, p)| (name.to_string(), p.dtype, p.words(&source.checkpoint).unwrap()))
            .collect();
        let inputs: [(&str, &[u32]); 1] = [("qkv", &qkv)];
        let lane = |slot| Lane { slot, position: 0, ring: 0 };
        let call = Call { lanes: vec![lane(0), lane(1)], tokens, lane_base: 0 };

        let dense = Dense::new(case);
        let mut want = vec![0.0; lanes * tokens * l.heads * l.head];
        for (lane, head) in (0..lanes).flat_map(|lane| (0..l.heads).map(move |head| (lane, head))) {
            let part = |part: usize| -> Vec<Vec<f64>> {
                let at = |t: usize| (lane * tokens + t) * l.qkv_width() + (part * l.heads + head) * l.head;
                (0..tokens)
                    .map(|t| values[at(t)..at(t) + l.head].iter().map(|x| f64::from(*x)).collect())
                    .collect()
            };
            let o = dense.mix("model.layers.0.self_attn", part(0), part(1), &part(2), &[], 0, false);
            for (t, o) in o.iter().enumerate() {
                let at = ((lane * tokens + t) * l.heads + head) * l.head;
                want[at..at + l.head].copy_from_slice(o);
            }
        }
        for (name, executor) in cpu_executors() {
            let plan = graph.lower("", &DeviceTraits::cpu(), capacity).unwrap();
            let mut program = program(&executor, plan, &tensors);
            let o = program.tensor("o").unwrap();
            let read = block_on(program.run(Submission {
                calls: std::slice::from_ref(&call),
                inputs: &[(program.tensor("qkv").unwrap(), &qkv)],
                reads: &[(o, lanes * tokens * l.heads * l.head)],
            }))
            .unwrap()
            .swap_remove(0);
            let got: Vec<f32> = read.into_iter().map(f32::from_bits).collect();
            let error = max_error(&got, &want);
            assert!(error <= SMALL, "{name}: {}: {error:.1e}", case.name);
        }
        for (name, executor) in &adapters {
            let plan = graph.lower("", &executor.traits(), capacity).unwrap();
            let differences = block_on(bisect(gpu(executor), plan, &tensors, &call, &inputs)).unwrap();
            failures.extend(wrong(name, case, "not causal", &differences));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
