//! An operation of one's own, with its gradient: squared `ReLU` (So et al. 2021) as a node of the graph,
//! differentiated with the rest of it and checked against finite differences in f64.
//!
//! ```sh
//! cargo run --release --example custom_gradient
//! ```

use polysketch::Result;
use polysketch::exec::{CpuExecutor, Executor, Memory, Run};
use polysketch::graph::{Graph, Recompute};
use polysketch::kernels::linear::linear::Linear;
use polysketch::kernels::{
    Backward, BackwardExt, DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, Views, twins,
};
use polysketch::tensor::{Call, Capacity, DType, TensorType, Unit, shape};

const WIDTH: usize = 8;

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

    // On the CPU nothing is compiled or dispatched.
    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        Variant::cpu_only(self.stem())
    }

    fn dispatches(&self, _: &Variant, _: &Call) -> Vec<Dispatch> {
        Vec::new()
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
        Variant::cpu_only(self.stem())
    }

    fn dispatches(&self, _: &Variant, _: &Call) -> Vec<Dispatch> {
        Vec::new()
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

/// Runs it in f64 on some rows and weights; returns y and the gradient of W.
fn run(backward: bool, rows: usize, w: &[f32], inputs: &[(&str, &[u32])]) -> Result<(Vec<f32>, Vec<f32>)> {
    let capacity = Capacity { lanes: 1, tokens: rows, slots: 1, context: 0 };
    let plan = graph(backward)?.lower("custom", &DeviceTraits::cpu(), capacity)?;
    let oracle = Executor::Oracle(CpuExecutor::default());
    let (mut parameters, mut state) = (Memory::new(), Memory::new());
    let floats = |words: Vec<u32>| words.into_iter().map(f32::from_bits).collect();
    pollster::block_on(async {
        let words: Vec<u32> = w.iter().map(|x| x.to_bits()).collect();
        oracle.store(&mut parameters, "w", DType::F32, &words).await?;
        oracle.reserve_state(&plan, &mut state).await?;
        let mut compiled = oracle.compile(&plan).await?;
        let run = Run { calls: &[Call::start(rows)], inputs, reads: &[("y", rows * WIDTH)] };
        let y = oracle.run(&mut compiled, &parameters, &mut state, run).await?.swap_remove(0);
        let gradient =
            if backward { oracle.read(&state, "gradient.w", 0..WIDTH * WIDTH).await? } else { vec![] };
        Ok((floats(y), floats(gradient)))
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
    let (_, gradient) = run(true, ROWS, &w, &inputs)?;
    let loss = |w: &[f32]| -> Result<f64> {
        let (y, _) = run(false, ROWS, w, &inputs[..1])?;
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
        "gradient of {} weights through the squared `ReLU`: at most {:.1e} of the largest from central differences",
        w.len(),
        worst / largest
    );
    // Central differences are exact for a piecewise quadratic but where a step crosses a corner.
    assert!(worst / largest < 1e-3, "the gradient is wrong");
    Ok(())
}
