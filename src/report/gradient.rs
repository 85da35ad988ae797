//! The almost-linear-time gradient of softmax attention (SPEC §1; Liang et al. 2024, "Multi-Layer
//! Transformers Gradient Can be Approximated in Almost Linear Time"): gradients of a model of several layers
//! with the exponential truncated after degree g, by the engine's own graph, against exact softmax attention.
//! Everything in f64.

use std::collections::BTreeMap;

use serde::Serialize;

use super::PASSAGE;
use super::bench::{BUILD, Bench, Rows, expose_rows, inner};
use crate::attention::{Attention, Kind, MOST_TAYLOR, Mode};
use crate::bench::fit::relative;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Graph, Recompute, TensorId, gradient_name};
use crate::kernels::Asked;
use crate::kernels::rows::embed_grad::order;
use crate::kernels::rows::nll::UNSCORED;
use crate::model::config::Family;
use crate::model::config::{
    AttentionConfig, AttentionKind, Biases, Gate, MlpConfig, ModelConfig, NormConfig, RopeConfig, RopeWhere,
    SketchInput,
};
use crate::model::parameters::ParameterKind;
use crate::model::transformer::{self, Decoder, Ending};
use crate::model::weights::{self, Packed};
use crate::shape;
use crate::tensor::{DType, TensorType, Unit};
use crate::train::random::Rng;

/// Largest degree that is tried. Up to [`MOST_TAYLOR`] the engine has features; above, the same sums are
/// taken pair by pair.
const MOST_DEGREE: usize = 16;
/// Score bounds S of the report.
pub const BOUNDS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// The relative error that degrees are asked for.
pub const TOLERANCE: f64 = 0.01;

/// The model of the report: several layers with residual, causal mask, several heads, MLP, LayerNorms, rotary
/// positions.
pub(super) fn config(kind: AttentionKind, degree: usize) -> ModelConfig {
    let (hidden_size, num_attention_heads) = (64, 4);
    let attention = AttentionConfig {
        kind,
        degree,
        qk_scale: ((hidden_size / num_attention_heads) as f64).powf(-0.5),
        block_size: AttentionConfig::BLOCK_SIZE,
        local_exact: false,
        causal: true,
        denominator_bias: 1.0,
        qk_norm: AttentionConfig::usual_qk_norm(kind),
        shared_qk_norm: false,
        sketch_input: SketchInput::Normed,
        gate: Gate::None,
        gate_bias: true,
        sketch: None,
    };
    ModelConfig {
        family: Family::Polysketch,
        origin: None,
        linearized: None,
        vocab_size: 256,
        hidden_size,
        num_hidden_layers: 3,
        num_attention_heads,
        num_key_value_heads: num_attention_heads,
        head_dim: hidden_size / num_attention_heads,
        intermediate_size: 128,
        norm: NormConfig::LAYER,
        mlp: MlpConfig::GELU,
        biases: Biases::default(),
        rope: RopeConfig::new(RopeWhere::Raw, hidden_size / num_attention_heads),
        sinusoidal: false,
        learned_positions: 0,
        parallel_residual: false,
        tie_word_embeddings: true,
        logit_bias: false,
        eos_token_id: Vec::new(),
        attention,
    }
}

/// Relative Frobenius errors of the gradients at one layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayerErrors {
    /// S: largest |c⟨q,k⟩| of any layer in the exact model.
    pub bound: f64,
    /// g.
    pub degree: usize,
    /// Features of a head, C(h + g, g).
    pub features: usize,
    /// Layer, 0 first.
    pub layer: usize,
    /// Of what enters the layer.
    pub dx: f64,
    /// Of the query projection.
    pub dw_q: f64,
    /// Of the key projection.
    pub dw_k: f64,
    /// Of the value projection.
    pub dw_v: f64,
}

impl LayerErrors {
    /// The four errors in the order of [`QUANTITIES`].
    pub fn all(&self) -> [f64; 4] {
        [self.dx, self.dw_q, self.dw_k, self.dw_v]
    }

    /// The largest of them.
    pub fn worst(&self) -> f64 {
        self.all().into_iter().fold(0.0, f64::max)
    }
}

/// Names of what [`LayerErrors::all`] returns.
pub const QUANTITIES: [&str; 4] = ["dX", "dW_Q", "dW_K", "dW_V"];

/// The degree that brings every error below [`TOLERANCE`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NeededDegree {
    /// S.
    pub bound: f64,
    /// By the bound of the truncated series on |x| <= S.
    pub theory: usize,
    /// In the measured gradients, all layers; none: more than 16.
    pub measured: Option<usize>,
}

/// Errors by bound, degree and layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Tokens of the text.
    pub tokens: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of a layer.
    pub heads: usize,
    /// h.
    pub head_size: usize,
    /// Rows: bound × degree × layer. Degrees from 1 on, at least those with features, until all errors are
    /// below [`TOLERANCE`].
    pub errors: Vec<LayerErrors>,
    /// A row a bound.
    pub degrees: Vec<NeededDegree>,
}

/// Gradients of the loss at every layer: what enters it, then its projections.
struct Gradients(Vec<[Vec<f32>; 4]>);

/// The mean loss with its gradients, as a graph.
struct Loss {
    graph: Graph,
    ids: TensorId,
    targets: TensorId,
    order: TensorId,
    /// What each row counts.
    weights: TensorId,
    /// By layer: the gradient of what enters it.
    entering: Vec<TensorId>,
}

/// One text and one model, whose attention may be exchanged.
struct Experiment {
    config: ModelConfig,
    exact: Attention,
    packed: Vec<Packed>,
    values: BTreeMap<String, Vec<f32>>,
    ids: Vec<u32>,
    targets: Vec<u32>,
}

/// Measures a text of `tokens` bytes for each score bound.
///
/// # Errors
/// [`ErrorKind::Input`] if there is no text of so many tokens.
pub async fn accuracy(tokens: usize, bounds: &[f64]) -> Result<Accuracy> {
    let mut experiment = Experiment::new(tokens)?;
    let layers = experiment.config.num_hidden_layers;
    let layout = experiment.exact.layout.clone();
    let (mut errors, mut degrees) = (Vec::new(), Vec::new());
    for &bound in bounds {
        experiment.scale_scores(bound).await?;
        let want = experiment.gradients(&experiment.exact).await?;
        let mut measured = None;
        for degree in 1..=MOST_DEGREE {
            if degree > MOST_TAYLOR && measured.is_some() {
                break;
            }
            let features = config(AttentionKind::Taylor, degree)
                .attention
                .feature_count(layout.head)
                .unwrap_or(usize::MAX);
            let got = experiment.gradients(&experiment.taylor(degree)).await?;
            let of_layer = |layer: usize| {
                let [dx, dw_q, dw_k, dw_v] =
                    std::array::from_fn(|i| relative(&got.0[layer][i], &want.0[layer][i]));
                LayerErrors { bound, degree, features, layer, dx, dw_q, dw_k, dw_v }
            };
            let rows: Vec<LayerErrors> = (0..layers).map(of_layer).collect();
            if rows.iter().all(|row| row.worst() <= TOLERANCE) {
                measured = measured.or(Some(degree));
            }
            errors.extend(rows);
        }
        degrees.push(NeededDegree { bound, theory: sufficient_degree(bound, TOLERANCE), measured });
    }
    Ok(Accuracy { tokens, layers, heads: layout.heads, head_size: layout.head, errors, degrees })
}

/// The smallest degree whose truncated series is within `tolerance` of exp, relatively, everywhere on |x| <=
/// bound.
pub fn sufficient_degree(bound: f64, tolerance: f64) -> usize {
    const GRID: i32 = 400;
    let worst = |degree: usize| {
        (-GRID..=GRID).map(|i| bound * f64::from(i) / f64::from(GRID)).fold(0.0, |worst: f64, x| {
            let (mut term, mut sum) = (1.0, 1.0);
            for m in 1..=degree {
                term *= x / m as f64;
                sum += term;
            }
            worst.max((sum / x.exp() - 1.0).abs())
        })
    };
    (0..).find(|degree| worst(*degree) <= tolerance).unwrap_or_default()
}

impl Experiment {
    fn new(tokens: usize) -> Result<Self> {
        let text = PASSAGE.as_bytes();
        if tokens < 2 || tokens >= text.len() {
            return Err(Error::new(ErrorKind::Input, format!("a text of {tokens} tokens"))
                .help(format!("from 2 to {}", text.len() - 1)));
        }
        let ids: Vec<u32> = text[..tokens].iter().map(|byte| u32::from(*byte)).collect();
        let targets = ids[1..].iter().copied().chain([UNSCORED]).collect();
        let config = config(AttentionKind::Softmax, 0);
        let exact = transformer::attention(&config);
        let packed = weights::packed(&config, &exact, DType::F32, BUILD.max_binding);
        // Matrices that keep the size of what they multiply, so that every layer matters.
        let values = config.parameters().into_iter().map(|spec| {
            let mut rng = Rng::new(1, &spec.name, 0);
            let columns = spec.shape.last().map_or(1.0, |n| *n as f64);
            let value = |rng: &mut Rng| match spec.kind {
                ParameterKind::NormScale => 1.0,
                ParameterKind::NormBias => 0.0,
                _ => (rng.normal() / columns.sqrt()) as f32,
            };
            let values = (0..spec.elements()).map(|_| value(&mut rng)).collect();
            (spec.name, values)
        });
        Ok(Self { values: values.collect(), exact, packed, ids, targets, config })
    }

    /// The truncated exponential on the same scores: raw projections, c = 1/√h, no β.
    fn taylor(&self, degree: usize) -> Attention {
        let scale = 1.0 / (self.exact.layout.head as f64).sqrt();
        Attention { kind: Kind::Taylor { degree, scale }, bias: 0.0, ..self.exact.clone() }
    }

    fn weights(&self) -> Vec<(String, Vec<u32>)> {
        self.packed
            .iter()
            .map(|p| (p.name.clone(), p.pack(&self.values).into_iter().map(f32::to_bits).collect()))
            .collect()
    }

    async fn bench(&self, graph: &Graph) -> Result<Bench> {
        Bench::new(Executor::Oracle(CpuExecutor::default()), graph, self.ids.len(), &self.weights()).await
    }

    /// Scales the query and key projections of every layer, first to last, so that its largest score is
    /// `bound` in the exact model.
    async fn scale_scores(&mut self, bound: f64) -> Result<()> {
        let Decoder { mut graph, handles } =
            transformer::build_with(&self.config, &self.exact, Mode::Train, Ending::Nll, &BUILD)?;
        let targets = handles.scores.expect("a graph with Ending::Nll has scores").targets;
        for (i, layer) in handles.layers.iter().enumerate() {
            expose_rows(&mut graph, &format!("layers.{i}.attention"), layer);
        }
        let l = self.exact.layout.clone();
        for layer in 0..handles.layers.len() {
            let mut bench = self.bench(&graph).await?;
            let inputs: [(TensorId, &[u32]); 2] = [(handles.ids, &self.ids), (targets, &self.targets)];
            let layers = &handles.layers[layer..=layer];
            let rows = Rows::read(&mut bench, &l, layers, &inputs).await?.swap_remove(0);
            let pairs = (0..l.heads)
                .flat_map(|head| (0..rows.tokens()).flat_map(move |i| (0..=i).map(move |j| (head, i, j))));
            let largest = pairs
                .map(|(head, i, j)| inner(rows.query(head, i), rows.key(head, j)).abs())
                .fold(0.0, f64::max);
            let factor = (bound * (l.head as f64).sqrt() / largest).sqrt() as f32;
            for projection in ["q_proj", "k_proj"] {
                if let Some(values) =
                    self.values.get_mut(&format!("model.layers.{layer}.self_attn.{projection}.weight"))
                {
                    values.iter_mut().for_each(|x| *x *= factor);
                }
            }
        }
        Ok(())
    }

    /// The loss and its gradients; that of what enters layer i is kept ([`Loss::entering`]).
    fn loss(&self, attention: &Attention) -> Result<Loss> {
        let Decoder { mut graph, handles } =
            transformer::build_with(&self.config, attention, Mode::Train, Ending::Nll, &BUILD)?;
        let scores = handles.scores.expect("a graph with Ending::Nll has scores");
        let weights = graph.input("weights", TensorType::f32(shape![Unit::Rows]));
        let names: Vec<String> = (0..graph.sections.len()).map(|i| format!("gradient.input.{i}")).collect();
        // What enters a layer is what its first operation reads.
        let keep: Vec<_> = graph
            .sections
            .iter()
            .zip(&names)
            .map(|(s, name)| (graph.nodes[s.start].inputs[0], name.as_str()))
            .collect();
        let seeds = [(scores.nll, weights)];
        let found = graph.backward_keeping(&seeds, &|_| true, Recompute::Nothing, &keep)?;
        let order = found.asked(Asked::Order).expect("the embedding is trained");
        let every = "every layer leads to the loss";
        let entering = found.kept.into_iter().map(|id| id.expect(every)).collect();
        Ok(Loss { graph, ids: handles.ids, targets: scores.targets, order, weights, entering })
    }

    /// Runs the mean loss and its gradients; returns the tensors `reads`.
    async fn run(
        &self,
        bench: &mut Bench,
        loss: &Loss,
        reads: &[(TensorId, usize)],
    ) -> Result<Vec<Vec<f32>>> {
        let n = self.ids.len();
        let (order, weights) = (order(&self.ids), vec![(1.0 / (n - 1) as f32).to_bits(); n]);
        let inputs: [(TensorId, &[u32]); 4] = [
            (loss.ids, &self.ids),
            (loss.targets, &self.targets),
            (loss.order, &order),
            (loss.weights, &weights),
        ];
        bench.run(&inputs, reads).await
    }

    /// The gradients of the mean loss with an attention, by the engine's backward pass.
    async fn gradients(&self, attention: &Attention) -> Result<Gradients> {
        let (n, d) = (self.ids.len(), self.config.hidden_size);
        let loss = self.loss(attention)?;
        let mut bench = self.bench(&loss.graph).await?;
        let reads: Vec<_> = loss.entering.iter().map(|id| (*id, n * d)).collect();
        let mut layers = Vec::new();
        for (layer, dx) in self.run(&mut bench, &loss, &reads).await?.into_iter().enumerate() {
            let qkv = bench.state(&gradient_name(&format!("layers.{layer}.qkv")), 3 * d * d).await?;
            let [q, k, v] = std::array::from_fn(|i| qkv[i * d * d..(i + 1) * d * d].to_vec());
            layers.push([dx, q, k, v]);
        }
        Ok(Gradients(layers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_of_the_specification() {
        assert_eq!(BOUNDS.map(|bound| sufficient_degree(bound, TOLERANCE)), [3, 5, 8, 15]);
    }

    #[test]
    fn errors_fall_with_the_degree_at_every_layer() {
        let report = pollster::block_on(accuracy(150, &[0.5, 2.0])).expect("measures");
        let features = |degree| report.errors.iter().find(|e| e.degree == degree).map(|e| e.features);
        assert_eq!([1, 2, 3, 4].map(features), [17, 153, 969, 4845].map(Some));
        for layer in 0..report.layers {
            for bound in [0.5, 2.0] {
                let of = |degree| {
                    report
                        .errors
                        .iter()
                        .find(|e| (e.bound, e.degree, e.layer) == (bound, degree, layer))
                        .expect("is there")
                        .all()
                };
                for degree in 2..=4 {
                    let (less, more) = (of(degree - 1), of(degree));
                    assert!(
                        (0..4).all(|i| more[i] < 0.7 * less[i]),
                        "bound {bound} layer {layer} degree {degree}: {more:?} after {less:?}"
                    );
                }
            }
        }
        for (degree, theory) in report.degrees.iter().zip([3, 8]) {
            assert_eq!(degree.theory, theory);
            // The bound is for the worst score, and most are smaller.
            assert!(degree.measured.is_some_and(|measured| measured <= theory), "{degree:?}");
        }
    }

    /// What enters a layer is what the layer before adds its MLP to, so its gradient makes that one's:
    /// `dW_down = dXᵀ z`.
    #[test]
    fn kept_gradients_are_finished() {
        let experiment = Experiment::new(100).expect("makes");
        let (n, d, m) = (100, experiment.config.hidden_size, experiment.config.intermediate_size);
        let mut loss = experiment.loss(&experiment.taylor(2)).expect("builds");
        let glu = loss.graph.nodes.iter().find(|node| node.kernel.stem() == "activate").expect("is there");
        let z = glu.outputs[0];
        loss.graph.output(z, "z");
        let (read, down) = pollster::block_on(async {
            let mut bench = experiment.bench(&loss.graph).await?;
            let reads = [(loss.entering[1], n * d), (z, n * m)];
            let read = experiment.run(&mut bench, &loss, &reads).await?;
            Ok::<_, Error>((read, bench.state(&gradient_name("layers.0.down"), d * m).await?))
        })
        .expect("runs");
        let product = |at: usize| {
            (0..n)
                .map(|token| f64::from(read[0][token * d + at / m]) * f64::from(read[1][token * m + at % m]))
                .sum::<f64>() as f32
        };
        let want: Vec<f32> = (0..d * m).map(product).collect();
        let error = relative(&down, &want);
        assert!(error < 1e-5, "{error:.1e}");
    }

    #[test]
    fn scores_reach_their_bound() {
        let mut experiment = Experiment::new(100).expect("makes");
        pollster::block_on(async {
            experiment.scale_scores(2.0).await?;
            // Scaling again changes nothing, in any layer.
            let before = experiment.values.clone();
            experiment.scale_scores(2.0).await?;
            for (name, values) in &experiment.values {
                assert!(relative(values, &before[name]) < 1e-5 || values.iter().all(|x| *x == 0.0), "{name}");
            }
            Ok::<(), Error>(())
        })
        .expect("runs");
        assert!(Experiment::new(1).is_err() && Experiment::new(1 << 20).is_err());
    }
}
