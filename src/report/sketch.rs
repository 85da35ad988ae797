//! Sketches against the kernels they stand for (SPEC §1): random ones on random vectors beside the theorem's
//! bound, the learned one of a model on a text. Computed by the engine's own kernels, in f64.

use serde::Serialize;

use super::PASSAGE;
use super::bench::{BUILD, Bench, Rows, expose_rows, inner};
use super::gradient;
use crate::attention::{Attention, Inputs, Kind, Mode};
use crate::bench::fit::Spread;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::Graph;
use crate::model::config::{AttentionKind, ModelConfig, RopeConfig, RopeWhere, SketchConfig, SketchKind};
use crate::model::transformer::{self, Decoder, Ending};
use crate::model::{ModelSource, Tokenizer, weights};
use crate::shape;
use crate::tensor::{DType, TensorType, Unit};
use crate::train::initial::new_model;
use crate::train::random::Rng;

/// h of the random vectors.
pub const HEAD: usize = 64;
/// δ: how often the theorem lets a sketch fail.
pub const DELTA: f64 = 0.1;
/// p of the report.
pub const DEGREES: [usize; 2] = [4, 8];
/// r of the report.
pub const SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// ε of the theorem (PolySketchFormer, Theorem 1.1: r = Θ(p ε⁻² log 1/δ)) with 1 for the constant that Θ
/// leaves open.
pub fn theorem(degree: usize, size: usize) -> f64 {
    (degree as f64 * (1.0 / DELTA).ln() / size as f64).sqrt()
}

/// Errors of a random sketch, each the root of a sum of squares over all pairs, over several draws of
/// matrices and vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RandomError {
    /// Gaussian or Hadamard.
    #[serde(serialize_with = "word")]
    pub kind: SketchKind,
    /// p.
    pub degree: usize,
    /// r.
    pub size: usize,
    /// To |q|^p |k|^p, independent vectors.
    pub norms: Spread,
    /// To the true kernel ⟨q,k⟩^p, independent vectors.
    pub kernel: Spread,
    /// Where k = q: there both are the same.
    pub aligned: Spread,
    /// ε for this r, to |q|^p |k|^p, up to a constant.
    pub theorem: f64,
}

/// Errors of a model's sketch in one layer, all heads and causal pairs of a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LearnedError {
    /// Layer, 0 first.
    pub layer: usize,
    /// p of the local kernel.
    pub degree: usize,
    /// r.
    pub size: usize,
    /// To c^p |q̄|^p |k̄|^p.
    pub norms: f64,
    /// To the local kernel (c⟨q̄,k̄⟩)^p.
    pub kernel: f64,
    /// The same after the best common factor: training is free to choose the scale.
    pub rescaled: f64,
    /// That factor.
    pub factor: f64,
    /// Share of the sketch's weight on the tenth of pairs with the largest true weight; 0.1: no relation.
    pub share: f64,
    /// Share of the true weight on them.
    pub true_share: f64,
}

fn word<S: serde::Serializer>(kind: &SketchKind, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.serialize_str(kind.as_str())
}

/// Sums over pairs of one sketch and its kernel.
#[derive(Debug, Default)]
struct Sums {
    difference: f64, // Σ (w - kernel)²
    sketch: f64,     // Σ w²
    product: f64,    // Σ w kernel
    kernel: f64,     // Σ kernel²
    norms: f64,      // Σ (|q|^p |k|^p)²
}

impl Sums {
    fn add(&mut self, w: f64, kernel: f64, norms: f64) {
        self.difference += (w - kernel).powi(2);
        self.sketch += w * w;
        self.product += w * kernel;
        self.kernel += kernel * kernel;
        self.norms += norms * norms;
    }

    fn to_norms(&self) -> f64 {
        (self.difference / self.norms).sqrt()
    }

    fn to_kernel(&self) -> f64 {
        (self.difference / self.kernel).sqrt()
    }

    /// The factor of w that brings it closest to the kernel, and the error that is left.
    fn rescaled(&self) -> (f64, f64) {
        (
            self.product / self.sketch,
            (1.0 - self.product.powi(2) / (self.sketch * self.kernel)).max(0.0).sqrt(),
        )
    }
}

/// Measures random sketches: `tokens` queries and as many keys, `seeds` draws.
///
/// # Errors
/// Those of the configuration, for a degree or a size that a model could not have.
pub async fn random(
    kind: SketchKind,
    degree: usize,
    size: usize,
    tokens: usize,
    seeds: u64,
) -> Result<RandomError> {
    let (mut norms, mut kernel, mut aligned) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..seeds {
        for same in [false, true] {
            let rows = random_rows(kind, degree, size, tokens, seed, same).await?;
            let mut sums = Sums::default();
            for i in 0..tokens {
                // Pairs of a query with itself, or all of them.
                for j in if same { i..i + 1 } else { 0..tokens } {
                    let (q, k) = (rows.query(0, i), rows.key(0, j));
                    let power = |x: f64| x.powi(degree as i32);
                    sums.add(
                        inner(&q[HEAD..], &k[HEAD..]).powi(2),
                        power(inner(&q[..HEAD], &k[..HEAD])),
                        power(norm(&q[..HEAD]) * norm(&k[..HEAD])),
                    );
                }
            }
            if same {
                aligned.push(sums.to_norms());
            } else {
                norms.push(sums.to_norms());
                kernel.push(sums.to_kernel());
            }
        }
    }
    let [norms, kernel, aligned] = [norms, kernel, aligned].map(|values| Spread::of(&values));
    Ok(RandomError { kind, degree, size, norms, kernel, aligned, theorem: theorem(degree, size) })
}

fn norm(x: &[f32]) -> f64 {
    inner(x, x).sqrt()
}

/// Gaussian vectors through the LayerNorm and the sketch of an attention layer; the same for queries and keys
/// if `same`.
async fn random_rows(
    kind: SketchKind,
    degree: usize,
    size: usize,
    tokens: usize,
    seed: u64,
    same: bool,
) -> Result<Rows> {
    let mut config = ModelConfig {
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 64,
        num_hidden_layers: 1,
        rope: RopeConfig::new(RopeWhere::Raw, 64),
        ..gradient::config(AttentionKind::Polysketch, degree)
    };
    let sketch = SketchConfig {
        kind,
        size,
        levels: SketchConfig::LEVELS,
        expansion: SketchConfig::EXPANSION,
        gain: SketchConfig::default_gain(size),
    };
    (config.attention.local_exact, config.attention.sketch) = (true, Some(sketch));
    let attention = transformer::attention(&config);
    let model = new_model(config, Tokenizer::bytes(), seed)?;
    let packed = weights::packed(&model.config, &attention, DType::F32, BUILD.max_binding);
    let matrices = packed
        .iter()
        .find(|p| p.name == "layers.0.sketch")
        .map(|p| p.words(&model.checkpoint))
        .transpose()?
        .unwrap_or_default();
    let l = &attention.layout;
    let mut graph = Graph::new();
    let lanes = graph.lanes(1);
    let qkv = graph.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
    let sketch = Some(graph.parameter("sketch", DType::F32, shape![matrices.len()]));
    // Weight 1, bias 0, for queries and keys.
    let norms: Vec<f32> = [1.0, 0.0, 1.0, 0.0].iter().flat_map(|x| vec![*x; HEAD]).collect();
    let norms = Some(graph.constant_f32("norms", shape![4, HEAD], &norms));
    let layer = attention.build(&mut graph, "a", Mode::Train, Inputs { qkv, lanes, norms, sketch }, 0)?;
    expose_rows(&mut graph, "a", &layer);
    let mut rng = Rng::new(seed, "vectors", u64::from(same));
    let projections = (0..tokens).flat_map(|_| {
        let mut row: Vec<u32> = (0..l.qkv_width()).map(|_| (rng.normal() as f32).to_bits()).collect();
        if same {
            row.copy_within(0..HEAD, HEAD);
        }
        row
    });
    let projections: Vec<u32> = projections.collect();
    let mut bench =
        Bench::new(Executor::Oracle(CpuExecutor::default()), &graph, tokens, &[("sketch".into(), matrices)])
            .await?;
    Ok(Rows::read(&mut bench, l, &[layer], &[(qkv, &projections)]).await?.swap_remove(0))
}

/// Measures the learned sketch of a model in every layer, on a text of at most `most` tokens.
///
/// # Errors
/// [`ErrorKind::Input`] if the model has no learned sketch beside an exact local kernel.
pub async fn learned(source: &ModelSource, most: usize) -> Result<Vec<LearnedError>> {
    let attention = transformer::attention(&source.config);
    let Attention { layout: l, kind: Kind::Polysketch { degree, scale, local_exact: true, .. }, .. } =
        &attention
    else {
        return Err(Error::new(ErrorKind::Input, "the model has no sketch beside an exact local kernel"));
    };
    let mut ids = source.tokenizer.encode(PASSAGE)?;
    ids.truncate(most);
    let Decoder { mut graph, handles } =
        transformer::build_with(&source.config, &attention, Mode::Train, Ending::All, &BUILD)?;
    for (i, layer) in handles.layers.iter().enumerate() {
        expose_rows(&mut graph, &format!("layers.{i}.attention"), layer);
    }
    let packed = weights::packed(&source.config, &attention, DType::F32, BUILD.max_binding);
    let weights = packed
        .iter()
        .map(|p| Ok((p.name.clone(), p.words(&source.checkpoint)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut bench = Bench::new(Executor::Oracle(CpuExecutor::default()), &graph, ids.len(), &weights).await?;
    let rows = Rows::read(&mut bench, l, &handles.layers, &[(handles.ids, &ids)]).await?;
    let power = |x: f64| (scale * x).powi(*degree as i32);
    let of_layer = |(layer, rows): (usize, &Rows)| {
        let mut sums = Sums::default();
        let mut pairs = Vec::new();
        for (head, i) in (0..l.heads).flat_map(|head| (0..rows.tokens()).map(move |i| (head, i))) {
            let (q, s) = rows.query(head, i).split_at(l.head);
            for j in 0..=i {
                let (k, t) = rows.key(head, j).split_at(l.head);
                let (w, kernel) = (inner(s, t).powi(2), power(inner(q, k)));
                sums.add(w, kernel, power(norm(q) * norm(k)));
                pairs.push((kernel, w));
            }
        }
        let (factor, rescaled) = sums.rescaled();
        let (share, true_share) = shares(pairs);
        LearnedError {
            layer,
            degree: *degree,
            size: l.sketch,
            norms: sums.to_norms(),
            kernel: sums.to_kernel(),
            rescaled,
            factor,
            share,
            true_share,
        }
    };
    Ok(rows.iter().enumerate().map(of_layer).collect())
}

/// Of pairs (true weight, sketched weight): the share of the sketched and of the true weight on the tenth
/// with the largest true weight.
fn shares(mut pairs: Vec<(f64, f64)>) -> (f64, f64) {
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let top = &pairs[..pairs.len() / 10];
    let share =
        |of: fn(&(f64, f64)) -> f64| top.iter().map(of).sum::<f64>() / pairs.iter().map(of).sum::<f64>();
    (share(|p| p.1), share(|p| p.0))
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;

    #[test]
    fn random_sketches_come_closer_with_size() {
        for kind in [SketchKind::Gaussian, SketchKind::Hadamard] {
            for degree in DEGREES {
                let errors =
                    [32, 128].map(|size| block_on(random(kind, degree, size, 128, 2)).expect("measures"));
                let [small, large] = &errors;
                assert!(
                    large.norms.mean < 0.5 * small.norms.mean
                        && large.aligned.mean < 0.8 * small.aligned.mean,
                    "{errors:?}"
                );
                // Near-orthogonal vectors: far from their own kernel, close in the scale of the norms.
                assert!(
                    errors.iter().all(|e| e.kernel.mean > 20.0 * e.norms.mean && e.norms.mean < e.theorem),
                    "{errors:?}"
                );
            }
        }
    }

    #[test]
    fn a_sketch_that_is_exact_has_no_error() {
        let mut sums = Sums::default();
        [(1.0, 4.0), (2.0, 9.0)].into_iter().for_each(|(kernel, norms)| sums.add(kernel, kernel, norms));
        assert_eq!((sums.to_kernel(), sums.to_norms()), (0.0, 0.0));
        let mut sums = Sums::default();
        [1.0, 2.0].into_iter().for_each(|kernel| sums.add(4.0 * kernel, kernel, 1.0));
        let (factor, rescaled) = sums.rescaled();
        assert!((factor - 0.25).abs() < 1e-12 && rescaled < 1e-7 && (sums.to_kernel() - 3.0).abs() < 1e-12);
        let pairs: Vec<(f64, f64)> = (0..100).map(|i| (if i == 7 { 50.0 } else { 0.0 }, 1.0)).collect();
        assert_eq!(shares(pairs), (0.1, 1.0));
    }

    #[test]
    fn the_built_in_model_has_a_learned_sketch() {
        let source = ModelSource::open("assets/novels-2m".as_ref()).expect("loads");
        let errors = block_on(learned(&source, 128)).expect("measures");
        assert_eq!(errors.len(), source.config.num_hidden_layers);
        // The best factor cannot make it worse, nor worse than leaving it out.
        assert!(
            errors
                .iter()
                .all(|e| e.rescaled <= 1.0 && e.rescaled <= e.kernel && e.share > 0.0 && e.true_share > 0.1),
            "{errors:?}"
        );
    }
}
