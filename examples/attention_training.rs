//! Forward and backward of attention alone: polysketch (learned sketch of 32, exact inside blocks of 256) against this engine's flash
//! softmax, heads of 64, on one adapter, in one run. Prints the time of each, their ratio, and where they cross.
//!
//! ```sh
//! cargo run --release --example attention_training -- [cpu|ADAPTER] [most tokens, default 32768] [heads, default 1]
//! ```
//!
//! Nothing is timed whose gradients are wrong: both kinds are first held against the same plan in f64.

use std::time::Instant;

use polysketch::attention::{Attention, Inputs, Mode, Sketch};
use polysketch::exec::{Compiled, CpuExecutor, Executor, GpuExecutor, Memory, Run};
use polysketch::gpu::{Adapter, AdapterRequest, Backend, Choice, GpuContext, Needs, select};
use polysketch::graph::{Graph, Plan, Recompute, Role};
use polysketch::kernels::DeviceTraits;
use polysketch::tensor::{Call, Capacity, DType, TensorType, Unit};
use polysketch::{Result, shape};

const HEAD: usize = 64;
/// Tokens of the check.
const CHECKED: usize = 700;
/// f32 against f64, relative to the norm of each gradient (SPEC §5).
const TOLERANCE: f64 = 5e-4;

/// One attention layer with the gradients of its projections and weights, given a gradient of its output.
fn graph(attention: &Attention) -> Result<Graph> {
    let mut g = Graph::new();
    let l = &attention.layout;
    let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
    let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    let o = attention.build(&mut g, "attention", Mode::Train, Inputs { qkv, lanes, norms, sketch }, 0)?;
    let seed = g.input("seed", TensorType::f32(shape![Unit::Rows, l.heads * l.head]));
    g.backward(&[(o, seed)], &|_| true, Recompute::Nothing)?;
    Ok(g)
}

/// A plan with its memory on an executor.
struct Layer {
    executor: Executor,
    plan: Plan,
    compiled: Compiled,
    parameters: Memory,
    state: Memory,
    seed: Vec<u32>,
}

impl Layer {
    async fn new(executor: &Executor, traits: &DeviceTraits, attention: &Attention, tokens: usize) -> Result<Self> {
        let plan = graph(attention)?.lower("attention", traits, Capacity { lanes: 1, tokens, slots: 1, context: 0 })?;
        let (mut parameters, mut state) = (Memory::new(), Memory::new());
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::Parameter) {
            // A norm's weights are 1 and its biases 0; all else is of unit size, weights of the sketch smaller.
            let (n, name) = (t.bytes / 4, t.tensor.name.as_str());
            let spread = if name == "sketch" { 0.2 } else { 1.7 };
            let value = |i: usize| if name == "norms" { f32::from((i / HEAD).is_multiple_of(2)) } else { spread * number(i) };
            let words: Vec<u32> = (0..n).map(|i| value(i).to_bits()).collect();
            executor.store(&mut parameters, name, DType::F32, &words).await?;
        }
        executor.store_constants(&plan, &mut parameters).await?;
        executor.reserve_state(&plan, &mut state).await?;
        let compiled = executor.compile(&plan).await?;
        let width = attention.layout.heads * HEAD;
        let seed = (0..tokens * width).map(|i| number(i * 31 + 7).to_bits()).collect();
        Ok(Self { executor: executor.clone(), plan, compiled, parameters, state, seed })
    }

    /// A step over so many tokens; waits until it is done. Returns the seconds it took.
    async fn step(&mut self, tokens: usize) -> Result<f64> {
        let start = Instant::now();
        let inputs: [(&str, &[u32]); 2] = [("lanes", &[0, 0, 0, 0]), ("seed", &self.seed)];
        let run = Run { calls: &[Call::start(tokens)], inputs: &inputs, reads: &[("gradient.qkv", 4)] };
        self.executor.run(&mut self.compiled, &self.parameters, &mut self.state, run).await?;
        Ok(start.elapsed().as_secs_f64())
    }

    async fn gradients(&self) -> Result<Vec<Vec<f64>>> {
        let mut list = Vec::new();
        for t in self.plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.name.starts_with("gradient.")) {
            let words = self.executor.read(&self.state, &t.tensor.name, 0..t.bytes / 4).await?;
            list.push(words.into_iter().map(|w| f64::from(f32::from_bits(w))).collect());
        }
        Ok(list)
    }
}

/// Between -1 and 1.
fn number(i: usize) -> f32 {
    let x = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// Largest relative error of a gradient against f64.
async fn check(executor: &Executor, traits: &DeviceTraits, attention: &Attention) -> Result<f64> {
    let oracle = Executor::Oracle(CpuExecutor::default());
    let mut got = Layer::new(executor, traits, attention, CHECKED).await?;
    let mut want = Layer::new(&oracle, &DeviceTraits::cpu(), attention, CHECKED).await?;
    got.step(CHECKED).await?;
    want.step(CHECKED).await?;
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = got.gradients().await?.into_iter().zip(want.gradients().await?);
    Ok(pairs.map(|(g, w)| norm(&mut g.iter().zip(&w).map(|(a, b)| a - b)) / norm(&mut w.iter().copied())).fold(0.0, f64::max))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn executor(target: &str) -> Result<(Executor, DeviceTraits)> {
    let request = match target {
        "cpu" => AdapterRequest { backend: Backend::Cpu, adapter: None },
        name => AdapterRequest { backend: Backend::Auto, adapter: Some(name.into()) },
    };
    let gpu = async |adapter: &Adapter| -> Result<Executor> {
        let context = GpuContext::create(adapter, Needs::default()).await?;
        Ok(Executor::Gpu(GpuExecutor::new(context).await))
    };
    let executor = match select(&request).await? {
        Choice::Cpu => Executor::Cpu(CpuExecutor::default()),
        Choice::Gpu(adapter) => gpu(&adapter).await?,
    };
    let traits = executor.traits();
    Ok((executor, traits))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, otherwise: usize| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    pollster::block_on(run(arguments.first().map_or("cpu", String::as_str), number(1, 32768), number(2, 1)))
}

async fn run(target: &str, most: usize, heads: usize) -> Result<()> {
    let (executor, traits) = executor(target).await?;
    let kinds =
        [Attention::polysketch(heads, HEAD, 32, Sketch::Learned { levels: 2, expansion: 8 }).with_block_size(256), Attention::softmax(heads, HEAD)];
    println!("{}: {heads} heads of {HEAD}, forward and backward", executor.name());
    for (attention, name) in kinds.iter().zip(["polysketch", "softmax"]) {
        let error = check(&executor, &traits, attention).await?;
        println!("{name}: gradients over {CHECKED} tokens within {error:.1e} of f64");
        assert!(error < TOLERANCE, "wrong results have no speed");
    }
    println!("{:>8} {:>14} {:>12} {:>8} {:>14} {:>14}", "tokens", "polysketch s", "softmax s", "ratio", "µs a token", "bytes a token");
    let mut last: Option<(usize, f64)> = None;
    let mut n = 1024;
    while n <= most {
        let mut layers = [Layer::new(&executor, &traits, &kinds[0], n).await?, Layer::new(&executor, &traits, &kinds[1], n).await?];
        let bytes = layers[0].plan.bytes(|role| matches!(role, Role::Scratch | Role::Input));
        let mut times = [vec![], vec![]];
        // In pairs, so that what else the machine does meets both.
        for round in 0..4 {
            for (layer, times) in layers.iter_mut().zip(&mut times) {
                let seconds = layer.step(n).await?;
                if round > 0 || n >= 16384 {
                    times.push(seconds);
                }
            }
            if n >= 16384 && round == 1 {
                break;
            }
        }
        let [sketched, dense] = times.map(median);
        let ratio = dense / sketched;
        println!("{n:>8} {sketched:>14.3} {dense:>12.3} {ratio:>8.2} {:>14.1} {:>14}", 1e6 * sketched / n as f64, bytes / n);
        if let Some((before, lower)) = last.filter(|(_, lower)| *lower < 1.0 && ratio >= 1.0) {
            // Straight in the logarithms between the two lengths.
            let part = -lower.ln() / (ratio.ln() - lower.ln());
            println!("         they cross at about {:.0} tokens", before as f64 * 2f64.powf(part));
        }
        last = Some((n, ratio));
        n *= 2;
    }
    Ok(())
}
