//! Gradients of the row-wise operations, and the optimiser: against finite differences and formulas in f64.

use pollster::block_on;
use polysketch::check::case::start;
use polysketch::check::random::Rng;
use polysketch::check::row_cases::{differentiable, optimised, optimiser};
use polysketch::check::slug;
use polysketch::exec::{Executor, Memory, Program, Submission};
use polysketch::graph::{Graph, Recompute};
use polysketch::kernels::linear::linear::Linear;
use polysketch::kernels::optimizer::settings::Settings;
use polysketch::tensor::shape;
use polysketch::tensor::{Capacity, DType, TensorType, Unit};

use crate::finite_differences::differences;
use crate::places::Tests;

pub fn add(tests: &mut Tests) {
    for (at, graph) in differentiable().unwrap().into_iter().enumerate() {
        let name = slug(&graph.name);
        tests.add("oracle", "finite_differences", &name, move || {
            let graph = &differentiable().unwrap()[at];
            for recompute in [Recompute::Nothing, Recompute::Sections] {
                let failures = differences(graph, recompute);
                assert!(failures.is_empty(), "{recompute:?}: {failures:#?}");
            }
        });
    }
    tests.add("cpu", "rows", "half_float_weights_have_no_gradient", half_float_weights_have_no_gradient);
    tests.each(
        |_| true,
        "adamw",
        "follows_its_formula",
        |place| {
            adamw_follows_its_formula(place.executor(), place.is_oracle());
        },
    );
}

/// What has no gradient is refused by name.
fn half_float_weights_have_no_gradient() {
    let mut g = Graph::new();
    let (x, w) =
        (g.parameter("x", DType::F32, shape![Unit::Rows, 8]), g.parameter("w", DType::F16, shape![8, 8]));
    let y = g.apply1("projection", Linear { dtype: DType::F16, ..Linear::new(8, 8) }, &[x, w]).unwrap();
    let seed = g.input("seed", TensorType::f32(shape![Unit::Rows, 8]));
    let error = g.backward(&[(y, seed)], &|_| true, Recompute::Nothing).unwrap_err();
    assert!(error.to_string().contains("projection"), "{error}");
}

/// PyTorch's formula, in f64.
struct Reference {
    p: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Reference {
    fn step(&mut self, s: &Settings, t: i32, gradient: &[f64], factor: f64, decays: impl Fn(usize) -> bool) {
        let [lr, beta1, beta2, eps, decay] =
            [s.learning_rate, s.beta1, s.beta2, s.eps, s.weight_decay].map(f64::from);
        for (i, gradient) in gradient.iter().enumerate() {
            let g = gradient * factor;
            if decays(i) {
                self.p[i] -= lr * decay * self.p[i];
            }
            self.m[i] = beta1 * self.m[i] + (1.0 - beta1) * g;
            self.v[i] = beta2 * self.v[i] + (1.0 - beta2) * g * g;
            self.p[i] -=
                lr * (self.m[i] / (1.0 - beta1.powi(t))) / ((self.v[i] / (1.0 - beta2.powi(t))).sqrt() + eps);
        }
    }
}

/// Steps with and without clipping, and one whose gradients are not finite, on every executor. The parameters
/// lie in the state.
fn adamw_follows_its_formula(executor: &Executor, oracle: bool) {
    let steps = [1.0, 0.0, 1e6, 0.5];
    let tolerance = if oracle { 1e-7 } else { 2e-6 };
    let plan = optimiser()
        .unwrap()
        .lower("optimiser", &executor.traits(), Capacity { lanes: 1, tokens: 1, slots: 2, context: 0 })
        .unwrap();
    let (memory, mut rng) = (Memory::new(executor), Rng(7));
    let mut normals = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
    let words = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let sizes: Vec<usize> =
        optimised().iter().map(|(shape, _)| shape.0.iter().map(|e| e.factor).product()).collect();
    let mut references = Vec::new();
    block_on(async {
        for (i, n) in sizes.iter().enumerate() {
            let p = normals(*n);
            memory.store(&format!("p.{i}"), DType::F32, &words(&p)).await.unwrap();
            references.push(Reference {
                p: p.into_iter().map(f64::from).collect(),
                m: vec![0.0; *n],
                v: vec![0.0; *n],
            });
        }
        let mut program = Program::new(plan, &memory).await.unwrap();
        memory.write("carry", 0, &words(&normals(420))).await.unwrap();
        let ids = ["settings", "clip"].map(|name| program.tensor(name).unwrap());
        let mut step = async |clip: f32, t: usize, gradients: &[Vec<f32>]| {
            let settings = Settings {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.1,
                clip,
            };
            for (i, gradient) in gradients.iter().enumerate() {
                memory.write(&format!("gradient.{i}"), 0, &words(gradient)).await.unwrap();
            }
            let submission = Submission {
                calls: &[start(1, 1)],
                inputs: &[(ids[0], &words(&settings.at(t)))],
                reads: &[(ids[1], 2)],
            };
            let clip = program.run(submission).await.unwrap().swap_remove(0);
            (settings, [f32::from_bits(clip[0]), f32::from_bits(clip[1])].map(f64::from))
        };
        for (t, clip) in steps.into_iter().enumerate() {
            let gradients: Vec<Vec<f32>> = sizes.iter().map(|n| normals(*n)).collect();
            let (settings, [norm, factor]) = step(clip, t + 1, &gradients).await;
            let exact = gradients.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let clip = f64::from(clip);
            let want = if clip > 0.0 { (clip / exact).min(1.0) } else { 1.0 };
            assert!(
                (norm / exact - 1.0).abs() < 1e-6 && (factor / want - 1.0).abs() < 1e-6,
                "{norm} {factor}, not {exact} {want}"
            );
            for ((reference, gradient), (_, kept)) in references.iter_mut().zip(&gradients).zip(optimised()) {
                let gradient: Vec<f64> = gradient.iter().map(|g| f64::from(*g)).collect();
                reference.step(&settings, t as i32 + 1, &gradient, want, |i| {
                    !kept.iter().any(|range| range.contains(&i))
                });
            }
        }
        // A step that is skipped: nothing changes, but the gradients are gone.
        for bad in [f32::NAN, f32::INFINITY, 3e38] {
            if bad.is_finite() && oracle {
                // Its square is a number there.
                continue;
            }
            let mut gradients: Vec<Vec<f32>> = sizes.iter().map(|n| normals(*n)).collect();
            gradients[2][4321] = bad;
            let (_, [norm, factor]) = step(1.0, steps.len() + 1, &gradients).await;
            assert!(!norm.is_finite() && factor == 0.0, "norm {norm}, factor {factor}");
        }
        for (i, reference) in references.iter().enumerate() {
            for (tensor, want) in [
                ("p", &reference.p),
                ("m", &reference.m),
                ("v", &reference.v),
                ("gradient", &vec![0.0; sizes[i]]),
            ] {
                let got = memory.read(&format!("{tensor}.{i}"), 0..sizes[i]).await.unwrap();
                for (at, (got, want)) in got.iter().zip(want).enumerate() {
                    let got = f64::from(f32::from_bits(*got));
                    assert!(
                        (got - want).abs() <= tolerance * want.abs().max(0.1),
                        "{tensor}.{i}[{at}] is {got}, not {want}"
                    );
                }
            }
        }
        assert!(memory.read("carry", 0..420).await.unwrap().iter().all(|word| *word == 0), "carry");
    });
}
