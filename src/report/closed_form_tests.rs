//! The engine's gradients of one layer against the closed forms of SPEC §1, written out densely.

use pollster::block_on;

use super::bench::Bench;
use crate::attention::{Attention, Inputs, Kind, Mode};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Graph, Recompute};
use crate::kernels::linear::linear::Linear;
use crate::shape;
use crate::tensor::{DType, Unit};
use crate::train::random::Rng;

/// n tokens of d columns, one head of h.
const N: usize = 150;
const D: usize = 12;
const H: usize = 8;

/// A matrix of `columns` columns, row by row.
#[derive(Clone)]
struct Matrix {
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn new(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        Self { columns, values: (0..rows * columns).map(|at| value(at / columns, at % columns)).collect() }
    }

    /// Numbers that are the same in f32.
    fn random(rows: usize, columns: usize, spread: f64, name: &str) -> Self {
        let mut rng = Rng::new(3, name, 0);
        let values = (0..rows * columns).map(|_| f64::from((spread * rng.normal()) as f32)).collect();
        Self { columns, values }
    }

    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    fn t(&self) -> Self {
        Self::new(self.columns, self.rows(), |i, j| self.at(j, i))
    }

    fn times(&self, other: &Self) -> Self {
        Self::new(self.rows(), other.columns, |i, j| {
            (0..self.columns).map(|k| self.at(i, k) * other.at(k, j)).sum()
        })
    }

    fn plus(&self, other: &Self) -> Self {
        Self::new(self.rows(), self.columns, |i, j| self.at(i, j) + other.at(i, j))
    }

    fn scaled(&self, factor: f64) -> Self {
        Self::new(self.rows(), self.columns, |i, j| factor * self.at(i, j))
    }

    fn words(&self) -> Vec<u32> {
        self.values.iter().map(|x| (*x as f32).to_bits()).collect()
    }
}

/// X, the projections `[h, d]`, and G, the gradient of the output.
struct Layer {
    x: Matrix,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    g: Matrix,
}

impl Layer {
    fn random() -> Self {
        let projection = |name: &str| Matrix::random(H, D, 0.12, name);
        Self {
            x: Matrix::random(N, D, 1.0, "x"),
            q: projection("q"),
            k: projection("k"),
            v: projection("v"),
            g: Matrix::random(N, H, 1.0, "g"),
        }
    }

    /// `dX, dW_Q, dW_K, dW_V` of causal softmax attention; `W = c W_Qᵀ W_K`.
    fn closed_forms(&self) -> [Matrix; 4] {
        let c = 1.0 / (H as f64).sqrt();
        let Self { x, q, k, v, g } = self;
        let w = q.t().times(k).scaled(c);
        let scores = x.times(&w).times(&x.t());
        let masked = Matrix::new(N, N, |i, j| if j <= i { scores.at(i, j).exp() } else { 0.0 });
        let d = Matrix::new(N, 1, |i, _| (0..N).map(|j| masked.at(i, j)).sum());
        let f = Matrix::new(N, N, |i, j| masked.at(i, j) / d.at(i, 0));
        let h = x.times(&v.t());
        let s = f.times(&h);
        let gh = g.times(&h.t());
        let diagonal = Matrix::new(N, 1, |i, _| (0..H).map(|j| g.at(i, j) * s.at(i, j)).sum());
        let p = Matrix::new(N, N, |i, j| f.at(i, j) * (gh.at(i, j) - diagonal.at(i, 0)));
        let dw = x.t().times(&p).times(x);
        let value = f.t().times(g);
        let dx = p.times(x).times(&w.t()).plus(&p.t().times(x).times(&w)).plus(&value.times(v));
        [dx, k.times(&dw.t()).scaled(c), q.times(&dw).scaled(c), value.t().times(x)]
    }

    /// The same from the engine.
    fn gradients(&self, attention: &Attention) -> [Vec<f32>; 4] {
        let mut graph = Graph::new();
        let lanes = graph.lanes(1);
        let x = graph.parameter("x", DType::F32, shape![Unit::Rows, D]);
        let w = graph.parameter("w", DType::F32, shape![3 * H, D]);
        let qkv = graph.apply1("qkv", Linear::new(D, 3 * H), &[x, w]).unwrap();
        let o = attention
            .build(&mut graph, "a", Mode::Train, Inputs { qkv, lanes, norms: None, sketch: None }, 0)
            .unwrap()
            .output;
        let seed = graph.input("seed", graph.tensors[o.0].ty.clone());
        graph.backward(&[(o, seed)], &|_| true, Recompute::Nothing).unwrap();
        let weights = [
            ("x".to_string(), self.x.words()),
            ("w".into(), [self.q.words(), self.k.words(), self.v.words()].concat()),
        ];
        block_on(async {
            let mut bench =
                Bench::new(Executor::Oracle(CpuExecutor::default()), &graph, N, &weights).await.unwrap();
            bench.run(&[(seed, &self.g.words())], &[]).await.unwrap();
            let w = bench.state("gradient.w", 3 * H * D).await.unwrap();
            let part = |i: usize| w[i * H * D..(i + 1) * H * D].to_vec();
            [bench.state("gradient.x", N * D).await.unwrap(), part(0), part(1), part(2)]
        })
    }

    /// The largest relative error of the four.
    fn error(&self, attention: &Attention, want: &[Matrix; 4]) -> f64 {
        let relative = |got: &[f32], want: &Matrix| {
            let difference: f64 =
                got.iter().zip(&want.values).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
            (difference / want.values.iter().map(|x| x * x).sum::<f64>()).sqrt()
        };
        self.gradients(attention).iter().zip(want).map(|(got, want)| relative(got, want)).fold(0.0, f64::max)
    }
}

#[test]
fn one_layer_has_the_closed_forms() {
    let layer = Layer::random();
    let want = layer.closed_forms();
    let exact = Attention::softmax(1, H);
    let error = layer.error(&exact, &want);
    assert!(error < 1e-6, "{error:.1e}");
    let mut last = 1.0;
    for degree in 1..=4 {
        let kind = Kind::Taylor { degree, scale: 1.0 / (H as f64).sqrt() };
        let error = layer.error(&Attention { kind, bias: 0.0, ..exact.clone() }, &want);
        assert!(error < 0.5 * last, "degree {degree}: {error:.1e} after {last:.1e}");
        last = error;
    }
    assert!(last < 1e-2, "{last:.1e}");
}
