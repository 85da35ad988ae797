//! Gradients of a small graph against central differences in f64.

use pollster::block_on;
use polysketch::check::case::{Data, bits};
use polysketch::check::random::Rng;
use polysketch::check::row_cases::Differentiable;
use polysketch::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use polysketch::graph::{Graph, Recompute, Role, TensorId};
use polysketch::kernels::DeviceTraits;
use polysketch::kernels::rows::add::Add;

fn float(word: u32) -> f64 {
    f64::from(f32::from_bits(word))
}

fn floats(values: impl IntoIterator<Item = f64>) -> Vec<u32> {
    bits(values.into_iter().map(|x| x as f32))
}

/// Runs a graph on the oracle; returns the tensors of these names.
fn run(of: &Differentiable, graph: &Graph, data: &Data, reads: &[String]) -> Vec<Vec<u32>> {
    let oracle = Executor::Oracle(CpuExecutor::default());
    let plan = graph.lower("gradients", &DeviceTraits::cpu(), of.capacity()).unwrap();
    let memory = Memory::new(&oracle);
    block_on(async {
        let kept = |role: &Role| matches!(role, Role::Parameter | Role::State(_));
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && kept(&t.tensor.role)) {
            memory.store(&t.tensor.name, t.tensor.ty.dtype, &data[&t.tensor.name]).await.unwrap();
        }
        let mut program = Program::new(plan, &memory).await.unwrap();
        let plan = program.plan();
        let given = data.iter().filter_map(|(name, words)| Some((plan.find(name)?, words.as_slice())));
        let inputs: Vec<_> = given.filter(|(id, _)| plan.tensors[id.0].tensor.role == Role::Input).collect();
        let elements = |id: TensorId| plan.tensors[id.0].tensor.ty.shape.elements(&of.capacity());
        let ids = reads.iter().map(|name| program.tensor(name).unwrap());
        let reads: Vec<_> = ids.map(|id| (id, elements(id))).collect();
        let calls = std::slice::from_ref(&of.call);
        program.run(Submission { calls, inputs: &inputs, reads: &reads }).await.unwrap()
    })
}

/// Compares every parameter's gradient with central differences along a few random directions; returns what
/// differs.
pub fn differences(of: &Differentiable, recompute: Recompute) -> Vec<String> {
    const STEP: f64 = 1e-4;
    const TOLERANCE: f64 = 2e-6;
    let graph = of.backward(recompute).unwrap();
    let data = of.data(&graph);
    // Results come back in f32, so what is read is the difference from f32 numbers near the outputs, taken in
    // f64.
    let mut forward = of.graph.clone();
    let mut read = Vec::new();
    let mut given = data.clone();
    for (i, id) in of.outputs.iter().enumerate() {
        let ty = forward.tensors[id.0].ty.clone();
        let near = forward.input(&format!("near.{i}"), ty.clone());
        given.insert(format!("near.{i}"), vec![0; ty.shape.elements(&of.capacity())].into());
        let label = format!("difference {i}");
        let difference = forward.apply1(&label, Add { ty, in_place: false }, &[*id, near]).unwrap();
        read.push(format!("difference.{i}"));
        forward.output(difference, &read[i]);
    }
    let near = run(of, &forward, &given, &read);
    for (i, y) in near.iter().enumerate() {
        given.insert(format!("near.{i}"), floats(y.iter().map(|y| -float(*y))).into());
    }
    // ⟨seed, outputs⟩, but for a constant.
    let loss = |data: &Data| {
        let product = |(i, y): (usize, &Vec<u32>)| {
            let seed = &data[&format!("seed.{i}")];
            y.iter().zip(seed.iter()).map(|(y, s)| float(*y) * float(*s)).sum::<f64>()
        };
        run(of, &forward, data, &read).iter().enumerate().map(product).sum::<f64>()
    };
    let parameters: Vec<String> =
        of.graph.tensors.iter().filter(|t| t.role == Role::Parameter).map(|t| t.name.clone()).collect();
    let names: Vec<String> = parameters.iter().map(|name| format!("gradient.{name}")).collect();
    let got = run(of, &graph, &data, &names);
    let mut failures = Vec::new();
    for ((parameter, name), got) in parameters.iter().zip(&names).zip(&got) {
        let gradient: Vec<f64> =
            got.iter().zip(data[name].iter()).map(|(after, before)| float(*after) - float(*before)).collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        for seed in 0..3 {
            let mut rng = Rng(seed);
            let direction: Vec<f64> = gradient.iter().map(|_| STEP * rng.normal()).collect();
            let values = given[parameter].clone();
            let [ahead, behind] = [1.0, -1.0].map(|sign| {
                let moved = values.iter().zip(&direction).map(|(x, d)| float(*x) + sign * d);
                let mut data = given.clone();
                data.insert(parameter.clone(), floats(moved).into());
                data
            });
            // What f32 made of the direction.
            let moved = ahead[parameter].iter().zip(behind[parameter].iter());
            let moved = moved.map(|(a, b)| float(*a) - float(*b));
            let is: f64 = gradient.iter().zip(moved).map(|(g, d)| g * d).sum();
            let want = loss(&ahead) - loss(&behind);
            let off = (is - want).abs();
            if off.is_nan() || off > TOLERANCE * 2.0 * STEP * norm || norm == 0.0 {
                failures.push(format!(
                    "{name}: {is:.8e} along direction {seed}, differences say {want:.8e}, norm {norm:.2e}"
                ));
            }
        }
    }
    failures
}
