//! One call of a plan in the middle of a few texts, ready for [`bisect`]: real parameters, and the state that
//! real prefixes leave.

use pollster::block_on;
use polysketch::attention::Mode;
use polysketch::exec::{Difference, Executor, GpuExecutor, Submission, bisect};
use polysketch::graph::{Graph, Role};
use polysketch::kernels::DeviceTraits;
use polysketch::model::transformer::{self, Build, Ending};
use polysketch::model::{ModelSource, weights};
use polysketch::tensor::{Call, Capacity, DType, Lane};

use super::random_model::Rng;
use super::{cpu_executors, program};

const CONTEXT: usize = 256;

pub struct Scene {
    pub graph: Graph,
    pub capacity: Capacity,
    pub tensors: Vec<(String, DType, Vec<u32>)>,
    pub call: Call,
    pub ids: Vec<u32>,
}

impl Scene {
    /// A call of `tokens` tokens in every slot, after prefixes of these lengths (a whole block stays in the
    /// ring, unfolded).
    pub fn new(
        source: &ModelSource,
        mode: Mode,
        ending: Ending,
        large: DType,
        prefixes: &[usize],
        tokens: usize,
    ) -> Self {
        let config = &source.config;
        let attention = transformer::attention(config);
        let slots = prefixes.len();
        let context = if attention.has_cache() { CONTEXT } else { 0 };
        let build = Build { large, max_binding: usize::MAX, slots, context };
        let capacity = |lanes: usize, tokens: usize| Capacity { lanes, tokens, slots, context };
        let mut tensors: Vec<(String, DType, Vec<u32>)> =
            weights::packed(config, &attention, large, usize::MAX)
                .iter()
                .map(|p| (p.name.clone(), p.dtype, p.words(&source.checkpoint).unwrap()))
                .collect();
        let mut rng = Rng(slots as u64);
        let longest = prefixes.iter().copied().max().unwrap().max(1);
        let traits = DeviceTraits::cpu();
        let before = transformer::build(config, Mode::Prefill, Ending::Last, &build).unwrap();
        let plan = before.lower("before", &traits, capacity(1, longest)).unwrap();
        let (_, cpu) = cpu_executors().swap_remove(0);
        let mut reader = program(&cpu, plan, &tensors);
        block_on(async {
            for (slot, &n) in prefixes.iter().enumerate().filter(|(_, n)| **n > 0) {
                let ids = rng.tokens(n, config.vocab_size);
                let calls =
                    [Call { lanes: vec![Lane { slot, position: 0, ring: 0 }], tokens: n, lane_base: 0 }];
                let inputs = [(before.handles.ids, &ids[..])];
                reader.run(Submission { calls: &calls, inputs: &inputs, reads: &[] }).await.unwrap();
            }
            let plan = reader.plan();
            for t in plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_))) {
                let elements = t.tensor.ty.shape.elements(&plan.capacity);
                let words = reader.memory().read(&t.tensor.name, 0..elements).await.unwrap();
                tensors.push((t.tensor.name.clone(), t.tensor.ty.dtype, words));
            }
        });
        let block = attention.layout.block;
        let lanes: Vec<Lane> = prefixes
            .iter()
            .enumerate()
            .map(|(slot, &n)| Lane { slot, position: n, ring: if n == 0 { 0 } else { (n - 1) % block + 1 } })
            .collect();
        Self {
            graph: transformer::build(config, mode, ending, &build).unwrap().graph,
            capacity: capacity(slots, tokens + 3),
            tensors,
            call: Call { lanes, tokens, lane_base: 0 },
            ids: rng.tokens(slots * tokens, config.vocab_size),
        }
    }

    /// Compares every step on a GPU with its twin, for a device of these traits.
    pub fn bisect(&self, gpu: &GpuExecutor, traits: &DeviceTraits) -> Vec<Difference> {
        let plan = self.graph.lower("scene", traits, self.capacity).unwrap();
        let targets: Vec<u32> = self.ids.iter().rev().copied().collect();
        let all: [(&str, &[u32]); 2] = [("ids", &self.ids), ("targets", &targets)];
        let inputs: Vec<(&str, &[u32])> =
            all.into_iter().filter(|(name, _)| plan.find(name).is_some()).collect();
        block_on(bisect(gpu, plan, &self.tensors, &self.call, &inputs)).unwrap()
    }
}

/// The GPU behind an executor.
pub fn gpu(executor: &Executor) -> &GpuExecutor {
    match executor {
        Executor::Gpu(gpu) => gpu,
        _ => panic!("not a GPU"),
    }
}
