//! An operation of one's own, with its gradient and its shaders: squared `ReLU` (So et al. 2021) as a node of
//! the graph, differentiated with the rest of it, checked against finite differences in f64, and run on a GPU
//! where there is one (a software one will do).
//!
//! ```sh
//! cargo run --release --example custom_gradient
//! ```

use std::sync::{Arc, LazyLock};

use polysketch::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use polysketch::graph::{Graph, Recompute};
use polysketch::kernels::linear::linear::Linear;
use polysketch::kernels::{
    Backward, BackwardExt, DeviceTraits, Dispatch, Gradient, Kernel, OwnShader, Real, Variant, Views, twins,
};
use polysketch::tensor::{Call, Capacity, DType, TensorType, Unit, shape};
use polysketch::{AdapterRequest, Backend, Engine, ErrorKind, Result};

const WIDTH: usize = 8;

/// The shaders: `Params` at binding 0, then the arguments in the order of the twin's; and, beside each, which
/// of them it writes. An invocation takes one number.
static FORWARD: LazyLock<Arc<OwnShader>> = LazyLock::new(|| {
    shader(
        "squared_relu",
        &[false, true],
        "struct Params { numbers: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        @group(0) @binding(2) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < params.numbers { let positive = max(x[id.x], 0.0); y[id.x] = positive * positive; }
        }",
    )
});
/// As [`FORWARD`].
static BACKWARD: LazyLock<Arc<OwnShader>> = LazyLock::new(|| {
    shader(
        "squared_relu_grad",
        &[false, false, true],
        "struct Params { numbers: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        @group(0) @binding(2) var<storage, read> dy: array<f32>;
        @group(0) @binding(3) var<storage, read_write> dx: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < params.numbers { dx[id.x] = 2.0 * max(x[id.x], 0.0) * dy[id.x]; }
        }",
    )
});

fn shader(name: &str, written: &[bool], source: &str) -> Arc<OwnShader> {
    let overrides = Vec::new();
    Arc::new(OwnShader { name: name.into(), source: source.into(), written: written.to_vec(), overrides })
}

/// `Params` of one call, and as many workgroups as its numbers take.
fn dispatches(call: &Call) -> Vec<Dispatch> {
    let numbers = call.unit(Unit::Rows) * WIDTH;
    Dispatch::once(&(numbers as u32), [numbers.div_ceil(64), 1, 1])
}

/// y = max(x, 0)², of `[rows, WIDTH]`. Two arguments: x, y.
#[derive(Debug)]
struct SquaredRelu;

/// dx = 2 max(x, 0) dy. Three arguments: x, dy, dx.
#[derive(Debug)]
struct SquaredReluGrad;

impl Kernel for SquaredRelu {
    fn stem(&self) -> &'static str {
        "squared_relu"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        Variant::own(FORWARD.clone(), &[])
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        dispatches(call)
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!();
}

impl Gradient for SquaredRelu {
    /// The rule: one more operation, whose output is a contribution to the gradient of input 0.
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let (x, dy) = (pass.input(0), pass.gradient(0)?);
        let dx = pass.apply1("grad", SquaredReluGrad, &[x, dy])?;
        pass.give(0, dx)
    }
}

impl SquaredRelu {
    fn twin<R: Real>(&self, args: &mut Views<'_, R>, _: &Call) {
        let (x, y) = (args.real(0), args.real_mut(1));
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x.max(R::ZERO) * x.max(R::ZERO));
    }
}

impl Kernel for SquaredReluGrad {
    fn stem(&self) -> &'static str {
        "squared_relu_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0].clone()])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        Variant::own(BACKWARD.clone(), &[])
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        dispatches(call)
    }

    twins!();
}

impl SquaredReluGrad {
    fn twin<R: Real>(&self, args: &mut Views<'_, R>, _: &Call) {
        let (x, dy, dx) = (args.real(0), args.real(1), args.real_mut(2));
        dx.iter_mut().zip(x).zip(dy).for_each(|((dx, x), dy)| *dx = (x.max(R::ZERO) + x.max(R::ZERO)) * *dy);
    }
}

/// x Wᵀ through the squared `ReLU`; with the backward pass, the gradient of ⟨seed, y⟩ for W is added to the
/// state `gradient.w`.
fn graph(backward: bool) -> Result<Graph> {
    let mut g = Graph::new();
    let x = g.input("x", TensorType::f32(shape![Unit::Rows, WIDTH]));
    let w = g.parameter("w", DType::F32, shape![WIDTH, WIDTH]);
    let product = g.apply1("product", Linear::new(WIDTH, WIDTH), &[x, w])?;
    let y = g.apply1("relu", SquaredRelu, &[product])?;
    if backward {
        let seed = g.input("seed", TensorType::f32(shape![Unit::Rows, WIDTH]));
        g.backward(&[(y, seed)], &|name| name == "w", Recompute::Nothing)?;
    }
    g.output(y, "y");
    Ok(g)
}

/// Inputs by name, as 32-bit words.
type Inputs<'a> = [(&'a str, &'a [u32])];

/// Runs it on some rows and weights; returns y and the gradient of W.
fn run(on: &Executor, backward: bool, rows: usize, w: &[f32], inputs: &Inputs<'_>) -> Result<[Vec<f32>; 2]> {
    let capacity = Capacity { lanes: 1, tokens: rows, slots: 1, context: 0 };
    let plan = graph(backward)?.lower("custom", &on.traits(), capacity)?;
    let memory = Memory::new(on);
    let floats = |words: Vec<u32>| words.into_iter().map(f32::from_bits).collect();
    pollster::block_on(async {
        let words: Vec<u32> = w.iter().map(|x| x.to_bits()).collect();
        memory.store("w", DType::F32, &words).await?;
        let mut program = Program::new(plan, &memory).await?;
        let inputs: Vec<_> =
            inputs.iter().map(|(name, words)| Ok((program.tensor(name)?, *words))).collect::<Result<_>>()?;
        let reads = [(program.tensor("y")?, rows * WIDTH)];
        let submission = Submission { calls: &[Call::start(rows)], inputs: &inputs, reads: &reads };
        let y = program.run(submission).await?.swap_remove(0);
        let gradient = if backward { memory.read("gradient.w", 0..WIDTH * WIDTH).await? } else { vec![] };
        Ok([floats(y), floats(gradient)])
    })
}

fn main() -> Result<()> {
    const ROWS: usize = 16;
    const STEP: f32 = 1.0 / 64.0;
    // Some numbers between -1 and 1.
    let numbers = |n: usize, seed: usize| -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    };
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|x| x.to_bits()).collect() };
    let (x, seed, w) = (numbers(ROWS * WIDTH, 1), numbers(ROWS * WIDTH, 2), numbers(WIDTH * WIDTH, 3));
    let (x_bits, seed_bits) = (bits(&x), bits(&seed));
    let inputs: [(&str, &[u32]); 2] = [("x", &x_bits), ("seed", &seed_bits)];
    let oracle = Executor::Oracle(CpuExecutor::default());
    let [y, gradient] = run(&oracle, true, ROWS, &w, &inputs)?;
    let loss = |w: &[f32]| -> Result<f64> {
        let [y, _] = run(&oracle, false, ROWS, w, &inputs[..1])?;
        Ok(y.iter().zip(&seed).map(|(y, s)| f64::from(*y) * f64::from(*s)).sum())
    };
    let (mut worst, mut largest) = (0f64, 0f64);
    for (i, gradient) in gradient.iter().enumerate() {
        let moved = |by: f32| {
            w.iter().enumerate().map(|(k, x)| if k == i { x + by } else { *x }).collect::<Vec<f32>>()
        };
        let difference = (loss(&moved(STEP))? - loss(&moved(-STEP))?) / f64::from(2.0 * STEP);
        worst = worst.max((difference - f64::from(*gradient)).abs());
        largest = largest.max(difference.abs());
    }
    println!(
        "gradient of {} weights through the squared ReLU: at most {:.1e} of the largest from central differences",
        w.len(),
        worst / largest
    );
    // Central differences are exact for a piecewise quadratic but where a step crosses a corner.
    assert!(worst / largest < 1e-3, "the gradient is wrong");

    let gpu = AdapterRequest { backend: Backend::Gpu, adapter: None };
    let engine = match pollster::block_on(Engine::create(&gpu)) {
        Ok(engine) => engine,
        Err(error) if error.kind() == ErrorKind::Device => {
            println!("no GPU to run the shaders on: {error}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let executor = pollster::block_on(engine.executor(0))?;
    let shaders = run(&executor, true, ROWS, &w, &inputs)?;
    let pairs = y.iter().chain(&gradient).zip(shaders.iter().flatten());
    let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("the shaders on {}: off by at most {off:.1e}", executor.name());
    assert!(off < 1e-4, "the shaders are wrong");
    Ok(())
}
