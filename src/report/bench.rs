//! A graph of one text on an executor, and what its attention layers read.

use crate::attention::{HeadLayout, LayerHandles};
use crate::error::Result;
use crate::exec::{Compiled, Executor, Memory, Run};
use crate::graph::Graph;
use crate::model::transformer::Build;
use crate::tensor::{Call, Capacity, DType, lane_table};

/// A graph of one text, compiled, with its weights.
pub(super) struct Bench {
    executor: Executor,
    compiled: Compiled,
    /// Weights and constants.
    parameters: Memory,
    state: Memory,
    tokens: usize,
}

/// How the models of the reports are built: one text, nothing cut.
pub(super) const BUILD: Build = Build { large: DType::F32, max_binding: usize::MAX, slots: 1, context: 0 };

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
        let (mut parameters, mut state) = (Memory::new(), Memory::new());
        for (name, words) in weights {
            executor.store(&mut parameters, name, DType::F32, words).await?;
        }
        executor.store_constants(&plan, &mut parameters).await?;
        executor.reserve_state(&plan, &mut state).await?;
        Ok(Self { compiled: executor.compile(&plan).await?, executor, parameters, state, tokens })
    }

    /// Runs the text once; returns the tensors `reads`, each with so many elements.
    pub async fn run(&mut self, inputs: &[(&str, &[u32])], reads: &[(&str, usize)]) -> Result<Vec<Vec<f32>>> {
        let calls = [Call::start(self.tokens)];
        let lanes = lane_table(&calls);
        let inputs = [inputs, &[("lanes", lanes.as_slice())]].concat();
        let run = Run { calls: &calls, inputs: &inputs, reads };
        let read = self.executor.run(&mut self.compiled, &self.parameters, &mut self.state, run).await?;
        Ok(read.into_iter().map(floats).collect())
    }

    /// The first elements of a state.
    pub async fn state(&self, name: &str, elements: usize) -> Result<Vec<f32>> {
        Ok(floats(self.executor.read(&self.state, name, 0..elements).await?))
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
        labels: &[String],
        inputs: &[(&str, &[u32])],
    ) -> Result<Vec<Self>> {
        let (l, n) = (layout, bench.tokens);
        let queries = l.heads * n * l.query_width();
        let keys = l.heads * (l.block + n) * l.key_width();
        let names: Vec<String> =
            labels.iter().flat_map(|label| [format!("{label}.queries"), format!("{label}.keys")]).collect();
        let reads: Vec<(&str, usize)> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), [queries, keys][i % 2])).collect();
        let mut read = bench.run(inputs, &reads).await?.into_iter();
        let mut rows = Vec::new();
        while let (Some(queries), Some(keys)) = (read.next(), read.next()) {
            rows.push(Self { layout: l.clone(), tokens: n, queries, keys });
        }
        Ok(rows)
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
