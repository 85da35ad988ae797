//! A graph of one text on an executor, and what its attention layers read.

use crate::attention::{HeadLayout, LayerHandles};
use crate::error::Result;
use crate::exec::{Executor, Memory, Program, Submission};
use crate::graph::{Graph, TensorId};
use crate::model::transformer::Build;
use crate::model::weights::Large;
use crate::tensor::{Call, Capacity, DType};

/// A graph of one text as a program, with its weights.
pub(super) struct Bench {
    program: Program,
    tokens: usize,
}

/// How the models of the reports are built: one text, nothing cut.
pub(super) const BUILD: Build =
    Build { large: Large::All(DType::F32), max_binding: usize::MAX, slots: 1, context: 0 };

impl Bench {
    /// For texts of `tokens`, with weights as (name in the graph, words).
    pub async fn new(
        executor: Executor,
        graph: &Graph,
        tokens: usize,
        weights: &[(String, Vec<u32>)],
    ) -> Result<Self> {
        let plan =
            graph.lower("report", &executor.traits(), Capacity { lanes: 1, tokens, slots: 1, context: 0 })?;
        let memory = Memory::new(&executor);
        for (name, words) in weights {
            memory.store(name, DType::F32, words).await?;
        }
        Ok(Self { program: Program::new(plan, &memory).await?, tokens })
    }

    /// Runs the text once; returns the tensors `reads`, each with so many elements.
    pub async fn run(
        &mut self,
        inputs: &[(TensorId, &[u32])],
        reads: &[(TensorId, usize)],
    ) -> Result<Vec<Vec<f32>>> {
        let submission = Submission { calls: &[Call::start(self.tokens)], inputs, reads };
        Ok(self.program.run(submission).await?.into_iter().map(floats).collect())
    }

    /// The first elements of a state.
    pub async fn state(&self, name: &str, elements: usize) -> Result<Vec<f32>> {
        Ok(floats(self.program.memory().read(name, 0..elements).await?))
    }
}

fn floats(words: Vec<u32>) -> Vec<f32> {
    words.into_iter().map(f32::from_bits).collect()
}

/// The rows that an attention layer reads become the outputs `label.queries` and `label.keys`.
pub(super) fn expose_rows(graph: &mut Graph, label: &str, layer: &LayerHandles) {
    graph.output(layer.queries, &format!("{label}.queries"));
    graph.output(layer.keys, &format!("{label}.keys"));
}

/// Query and key rows of one layer and text (see [`HeadLayout`]).
pub(super) struct Rows {
    layout: HeadLayout,
    tokens: usize,
    queries: Vec<f32>, // [H, n, query_width]
    keys: Vec<f32>,    // [H, window, key_width]
}

impl Rows {
    /// Runs the text; reads the rows of layers exposed by [`expose_rows`].
    pub async fn read(
        bench: &mut Bench,
        layout: &HeadLayout,
        layers: &[LayerHandles],
        inputs: &[(TensorId, &[u32])],
    ) -> Result<Vec<Self>> {
        let (l, n) = (layout, bench.tokens);
        let queries = l.heads * n * l.query_width();
        let keys = l.heads * (l.block + n) * l.key_width();
        let reads: Vec<(TensorId, usize)> =
            layers.iter().flat_map(|layer| [(layer.queries, queries), (layer.keys, keys)]).collect();
        let mut read = bench.run(inputs, &reads).await?.into_iter();
        let mut next = || read.next().expect("as many as were asked for");
        let rows =
            layers.iter().map(|_| Self { layout: l.clone(), tokens: n, queries: next(), keys: next() });
        Ok(rows.collect())
    }

    /// Tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Query row of a head: `[x | s]`.
    pub fn query(&self, head: usize, token: usize) -> &[f32] {
        let width = self.layout.query_width();
        &self.queries[(head * self.tokens + token) * width..][..width]
    }

    /// The same columns of a key row.
    pub fn key(&self, head: usize, token: usize) -> &[f32] {
        let width = self.layout.key_width();
        &self.keys[(head * (self.layout.block + self.tokens) + token) * width..][..self.layout.query_width()]
    }
}

/// ⟨a, b⟩
pub(super) fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
