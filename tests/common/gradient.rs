//! Gradients of a small graph: against finite differences in f64, and shader against twin.

use pollster::block_on;
use polysketch::exec::{CpuExecutor, Difference, Executor, GpuExecutor, Submission, bisect};
use polysketch::graph::{Graph, Recompute, Role, TensorId};
use polysketch::kernels::DeviceTraits;
use polysketch::kernels::rows::add::Add;
use polysketch::tensor::{Call, Capacity, DType};

use super::program;
use super::random_model::Rng;

/// Words of a tensor by name.
pub type Named = (String, Vec<u32>);

/// A graph with its gradients, and random values for all that it reads.
pub struct Gradients {
    forward: Graph,
    outputs: Vec<TensorId>,
    /// With the backward pass.
    pub graph: Graph,
    pub capacity: Capacity,
    pub call: Call,
    pub inputs: Vec<Named>,
    /// Parameters, and what their gradients are added to.
    pub tensors: Vec<(String, DType, Vec<u32>)>,
}

fn bits(values: impl IntoIterator<Item = f64>) -> Vec<u32> {
    values.into_iter().map(|x| (x as f32).to_bits()).collect()
}

fn float(word: u32) -> f64 {
    f64::from(f32::from_bits(word))
}

impl Gradients {
    /// Seeds the gradients of `outputs` with random numbers and gives every parameter random values. `inputs`
    /// are the integers the graph and its gradients read.
    pub fn new(
        forward: Graph,
        outputs: &[TensorId],
        recompute: Recompute,
        call: Call,
        inputs: Vec<Named>,
    ) -> Self {
        let lanes = call.lanes.len();
        let capacity = Capacity { lanes, tokens: call.tokens + 3, slots: lanes, context: 0 };
        let (mut graph, mut inputs, mut rng) = (forward.clone(), inputs, Rng(call.tokens as u64));
        let mut seeds = Vec::new();
        for (i, id) in outputs.iter().enumerate() {
            let ty = forward.tensors[id.0].ty.clone();
            inputs.push((format!("seed.{i}"), bits((0..ty.shape.elements(&capacity)).map(|_| rng.normal()))));
            seeds.push((*id, graph.input(&format!("seed.{i}"), ty)));
        }
        graph.backward(&seeds, &|_| true, recompute).unwrap();
        let random =
            graph.tensors.iter().filter(|t| t.role == Role::Parameter || t.name.starts_with("gradient."));
        let tensors = random
            .map(|t| {
                (t.name.clone(), t.ty.dtype, bits((0..t.ty.shape.elements(&capacity)).map(|_| rng.normal())))
            })
            .collect();
        Self { forward, outputs: outputs.to_vec(), graph, capacity, call, inputs, tensors }
    }

    /// Runs a graph on the oracle with some parameters; returns the tensors of these names.
    fn run(
        &self,
        graph: &Graph,
        tensors: &[(String, DType, Vec<u32>)],
        inputs: &[Named],
        reads: &[String],
    ) -> Vec<Vec<u32>> {
        let oracle = Executor::Oracle(CpuExecutor::default());
        let plan = graph.lower("gradients", &DeviceTraits::cpu(), self.capacity).unwrap();
        let mut program = program(&oracle, plan, tensors);
        let inputs: Vec<_> = inputs
            .iter()
            .filter_map(|(name, words)| Some((program.plan().find(name)?, &words[..])))
            .collect();
        let elements =
            |id: TensorId| (id, program.plan().tensors[id.0].tensor.ty.shape.elements(&self.capacity));
        let reads: Vec<_> = reads.iter().map(|name| elements(program.tensor(name).unwrap())).collect();
        let calls = std::slice::from_ref(&self.call);
        block_on(program.run(Submission { calls, inputs: &inputs, reads: &reads })).unwrap()
    }

    /// Compares every parameter's gradient with central differences along a few random directions; returns
    /// what differs.
    pub fn check(&self) -> Vec<String> {
        const STEP: f64 = 1e-4;
        const TOLERANCE: f64 = 2e-6;
        // Results come back in f32, so what is read is the difference from f32 numbers near the outputs,
        // taken in f64.
        let mut forward = self.forward.clone();
        let mut read = Vec::new();
        let mut zero = Vec::new();
        for (i, id) in self.outputs.iter().enumerate() {
            let ty = forward.tensors[id.0].ty.clone();
            let near = forward.input(&format!("near.{i}"), ty.clone());
            zero.push((format!("near.{i}"), vec![0; ty.shape.elements(&self.capacity)]));
            let difference = forward.apply1("difference", Add { ty, in_place: false }, &[*id, near]).unwrap();
            read.push(format!("difference.{i}"));
            forward.output(difference, &read[i]);
        }
        let with = |near: Vec<Named>| [self.inputs.clone(), near].concat();
        let values = self.run(&forward, &self.tensors, &with(zero), &read);
        let near: Vec<Named> = values
            .iter()
            .enumerate()
            .map(|(i, y)| (format!("near.{i}"), bits(y.iter().map(|y| -float(*y)))))
            .collect();
        // ⟨seed, outputs⟩, but for a constant.
        let loss = |tensors: &[(String, DType, Vec<u32>)]| {
            let outputs = self.run(&forward, tensors, &with(near.clone()), &read);
            let seeds = self.inputs.iter().filter(|(name, _)| name.starts_with("seed."));
            let product = |(y, (_, seed)): (&Vec<u32>, &Named)| {
                y.iter().zip(seed).map(|(y, s)| float(*y) * float(*s)).sum::<f64>()
            };
            outputs.iter().zip(seeds).map(product).sum::<f64>()
        };
        let mut failures = Vec::new();
        let parameters: Vec<usize> =
            (0..self.tensors.len()).filter(|i| !self.tensors[*i].0.starts_with("gradient.")).collect();
        let names: Vec<String> =
            parameters.iter().map(|i| format!("gradient.{}", self.tensors[*i].0)).collect();
        let got = self.run(&self.graph, &self.tensors, &self.inputs, &names);
        for ((&at, name), got) in parameters.iter().zip(&names).zip(&got) {
            let before = &self.tensors.iter().find(|t| t.0 == *name).unwrap().2;
            let gradient: Vec<f64> =
                got.iter().zip(before).map(|(after, before)| float(*after) - float(*before)).collect();
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            for seed in 0..3 {
                let mut rng = Rng(seed);
                let direction: Vec<f64> = gradient.iter().map(|_| STEP * rng.normal()).collect();
                let [ahead, behind] = [1.0, -1.0].map(|sign| {
                    let mut tensors = self.tensors.clone();
                    tensors[at].2 =
                        bits(tensors[at].2.iter().zip(&direction).map(|(x, d)| float(*x) + sign * d));
                    tensors
                });
                // What f32 made of the direction.
                let moved = ahead[at].2.iter().zip(&behind[at].2).map(|(a, b)| float(*a) - float(*b));
                let want = loss(&ahead) - loss(&behind);
                let is: f64 = gradient.iter().zip(moved).map(|(g, d)| g * d).sum();
                if (is - want).abs().is_nan()
                    || (is - want).abs() > TOLERANCE * 2.0 * STEP * norm
                    || norm == 0.0
                {
                    failures.push(format!(
                        "{name}: {is:.8e} along direction {seed}, differences say {want:.8e}, norm {norm:.2e}"
                    ));
                }
            }
        }
        failures
    }

    /// Compares every step on a GPU with its twin, for a device of these traits.
    pub fn bisect(&self, gpu: &GpuExecutor, traits: &DeviceTraits) -> Vec<Difference> {
        let plan = self.graph.lower("gradients", traits, self.capacity).unwrap();
        let inputs: Vec<(&str, &[u32])> = self
            .inputs
            .iter()
            .map(|(name, words)| (&**name, &**words))
            .filter(|(name, _)| plan.find(name).is_some())
            .collect();
        block_on(bisect(gpu, plan, &self.tensors, &self.call, &inputs)).unwrap()
    }
}
