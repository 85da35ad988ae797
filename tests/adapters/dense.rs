//! The model of SPEC §1 and §2 in f64, written from the text: attention as an n x n matrix of weights,
//! nothing shared with the engine but the reading of `config.json`.

use std::collections::HashMap;

use polysketch::check::models::RandomModel;
use polysketch::model::config::{
    AttentionKind, Gate, ModelConfig, RopeLayout, RopeWhere, SketchInput, SketchKind,
};

/// Rows of equal width.
type Rows = Vec<Vec<f64>>;

pub struct Dense {
    config: ModelConfig,
    tensors: HashMap<String, Vec<f64>>,
}

impl Dense {
    pub fn new(case: &RandomModel) -> Self {
        Self::with(case.parsed(), case.weights().into_iter().map(|(spec, v)| (spec.name, v)))
    }

    pub fn with(config: ModelConfig, tensors: impl Iterator<Item = (String, Vec<f32>)>) -> Self {
        Self {
            config,
            tensors: tensors.map(|(name, v)| (name, v.into_iter().map(f64::from).collect())).collect(),
        }
    }

    fn tensor(&self, name: &str) -> &[f64] {
        self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// Logits `[n, V]` of a text whose first token stands at position `first`.
    pub fn logits(&self, ids: &[u32], first: usize) -> Rows {
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let embedding = self.tensor("model.embed_tokens.weight");
        let mut x: Rows =
            ids.iter().map(|id| embedding[*id as usize * d..(*id as usize + 1) * d].to_vec()).collect();
        if self.config.sinusoidal {
            for (t, row) in x.iter_mut().enumerate() {
                for i in 0..d / 2 {
                    let angle = (first + t) as f64 * 10_000f64.powf(-(i as f64) / (d / 2) as f64);
                    row[2 * i] += angle.sin();
                    row[2 * i + 1] += angle.cos();
                }
            }
        }
        for layer in 0..self.config.num_hidden_layers {
            let at = format!("model.layers.{layer}");
            let attended = self.attention(
                &format!("{at}.self_attn"),
                &self.norm(&format!("{at}.input_layernorm"), &x),
                first,
            );
            add(&mut x, &attended);
            let y = self.norm(&format!("{at}.post_attention_layernorm"), &x);
            let gate = self.linear(&format!("{at}.mlp.gate_proj.weight"), &y);
            let up = self.linear(&format!("{at}.mlp.up_proj.weight"), &y);
            let z: Rows = gate
                .iter()
                .zip(&up)
                .map(|(g, u)| g.iter().zip(u).map(|(g, u)| gelu(*g) * u).collect())
                .collect();
            add(&mut x, &self.linear(&format!("{at}.mlp.down_proj.weight"), &z));
        }
        let mut logits = self.linear("model.embed_tokens.weight", &self.norm("model.norm", &x));
        if self.config.logit_bias {
            let bias = self.tensor("lm_head.bias");
            logits.iter_mut().for_each(|row| row.iter_mut().zip(bias).for_each(|(l, b)| *l += b));
        }
        debug_assert_eq!(logits[0].len(), v);
        logits
    }

    /// Logits after the last token.
    pub fn last(&self, ids: &[u32]) -> Vec<f64> {
        self.logits(ids, 0).pop().unwrap()
    }

    fn norm(&self, at: &str, x: &Rows) -> Rows {
        let (w, b) = (self.tensor(&format!("{at}.weight")), self.tensor(&format!("{at}.bias")));
        x.iter().map(|row| layer_norm(row, w, b)).collect()
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let w = self.tensor(name);
        x.iter().map(|row| w.chunks_exact(row.len()).map(|w| dot(w, row)).collect()).collect()
    }

    fn attention(&self, at: &str, x: &Rows, first: usize) -> Rows {
        let (heads, h, n) = (self.config.num_attention_heads, self.config.head_size(), x.len());
        let [q, k, v] = ["q", "k", "v"].map(|p| self.linear(&format!("{at}.{p}_proj.weight"), x));
        let mut o = vec![vec![0.0; heads * h]; n];
        for head in 0..heads {
            let part =
                |x: &Rows| -> Rows { x.iter().map(|row| row[head * h..(head + 1) * h].to_vec()).collect() };
            let (q, k, v) = (part(&q), part(&k), part(&v));
            let gates = self.log_gates(at, head, x);
            let mixed = match self.config.attention.kind {
                AttentionKind::Linearized => self.near_and_far(at, head, [q, k], &v, &gates, first),
                _ => self.mix(at, q, k, &v, &gates, first, true),
            };
            o.iter_mut()
                .zip(mixed)
                .for_each(|(o, mixed)| o[head * h..(head + 1) * h].copy_from_slice(&mixed));
        }
        self.linear(&format!("{at}.o_proj.weight"), &o)
    }

    /// One head: `o_i` of SPEC §1, from its projections. Not causal: every key counts for every query.
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    pub fn mix(
        &self,
        at: &str,
        q: Rows,
        k: Rows,
        v: &Rows,
        log_gates: &[f64],
        first: usize,
        causal: bool,
    ) -> Rows {
        let softmax = self.config.attention.kind == AttentionKind::Softmax;
        let weights = self.weights(at, q, k, first);
        let row = |(i, weights): (usize, &Vec<f64>)| {
            let seen = if causal { i + 1 } else { weights.len() };
            let high = weights[..seen].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut total = if softmax { 0.0 } else { self.config.attention.denominator_bias };
            let mut sum = vec![0.0; v[0].len()];
            for j in 0..seen {
                let decay: f64 = if causal { log_gates[j + 1..=i].iter().sum() } else { 0.0 };
                let w = if softmax { (weights[j] - high).exp() } else { weights[j] * decay.exp() };
                total += w;
                sum.iter_mut().zip(&v[j]).for_each(|(s, v)| *s += w * v);
            }
            sum.into_iter().map(|s| s / total).collect()
        };
        weights.iter().enumerate().map(row).collect()
    }

    /// One head of SPEC §10, from its projections.
    fn near_and_far(
        &self,
        at: &str,
        head: usize,
        qk: [Rows; 2],
        v: &Rows,
        log_gates: &[f64],
        first: usize,
    ) -> Rows {
        let (a, rope) = (&self.config.attention, &self.config.rope);
        let l = self.config.linearized.as_ref().unwrap();
        let layer: usize = at.split('.').nth(2).unwrap().parse().unwrap();
        let h = v[0].len();
        let turned = |x: &Rows, slow: f64| -> Rows {
            let one = |(t, x): (usize, &Vec<f64>)| {
                let whole = rotate(x, first + t, rope.theta, rope.layout);
                let kept = |i: usize| {
                    let pair = i % (h / 2);
                    let length = std::f64::consts::TAU * rope.theta.powf(2.0 * pair as f64 / h as f64);
                    if length > slow { x[i] } else { whole[i] }
                };
                (0..h).map(kept).collect()
            };
            x.iter().enumerate().map(one).collect()
        };
        assert_eq!(rope.layout, RopeLayout::Half, "as the models of this kind have it");
        let names = ["q_norm", "k_norm"];
        let normed = |x: &Rows, side: usize| match a.has_normed_qk() {
            true => self.norm(&format!("{at}.{}", names[side]), x),
            false => x.clone(),
        };
        // Both rotations turn whole vectors: behind the norm where they are normed, else the projections.
        let [q, k] = [normed(&qk[0], 0), normed(&qk[1], 1)];
        let (exact_q, exact_k) = (turned(&q, f64::INFINITY), turned(&k, f64::INFINITY));
        // A sink as the query's block sees it, no further away than the reach.
        let keys = k.clone();
        let sink = |i: usize, j: usize| {
            let block = (first + i) / l.block_size * l.block_size;
            match block.checked_sub(l.sink_reach) {
                Some(by) if l.sink_reach > 0 => rotate(&keys[j], first + j + by, rope.theta, rope.layout),
                _ => exact_k[j].clone(),
            }
        };
        let [sq, sk] = [(q, "queries"), (k, "keys")].map(|(x, side)| {
            let one = |x: &Vec<f64>| self.affine(&format!("{at}.sketch.{side}"), head, x);
            turned(&x, l.turned).iter().map(one).collect::<Vec<_>>()
        });
        let c = 1.0 / (h as f64).sqrt();
        let row = |i: usize| {
            let weight = |j: usize| {
                let is_near = (first + j) / l.block_size + l.near[layer] > (first + i) / l.block_size;
                if is_near {
                    return (c * dot(&exact_q[i], &exact_k[j])).exp();
                }
                if first + j < l.sinks {
                    return (c * dot(&exact_q[i], &sink(i, j))).exp();
                }
                let ((q, of_q), (k, of_k)) = (&sq[i], &sk[j]);
                (log_gates[j + 1..=i].iter().sum::<f64>() + of_q + of_k).exp() * dot(q, k).powi(2)
            };
            let weights: Vec<f64> = (0..=i).map(weight).collect();
            let total: f64 = weights.iter().sum();
            (0..h).map(|c| weights.iter().zip(v).map(|(w, v)| w * v[c]).sum::<f64>() / total).collect()
        };
        (0..v.len()).map(row).collect()
    }

    /// An affine sketch of a vector without its gain, and that one's log.
    fn affine(&self, at: &str, head: usize, x: &[f64]) -> (Vec<f64>, f64) {
        let heads = self.config.num_attention_heads;
        let part = |name: &str| {
            let all = self.tensor(&format!("{at}.{name}"));
            let n = all.len() / heads;
            &all[head * n..][..n]
        };
        let d: Vec<f64> = x.iter().zip(part("mean")).map(|(x, mean)| x - mean).collect();
        let product = |name: &str, x: &[f64]| -> Vec<f64> {
            part(name).chunks_exact(x.len()).map(|row| dot(row, x)).collect()
        };
        let hidden: Vec<f64> = product("up.weight", &d).into_iter().map(gelu).collect();
        let (linear, bent) = (product("linear.weight", &d), product("down.weight", &hidden));
        let s = part("base").iter().zip(linear).zip(bent).map(|((base, w), b)| base + w + b).collect();
        (s, part("level")[0] + dot(part("gain"), x))
    }

    fn log_gates(&self, at: &str, head: usize, x: &Rows) -> Vec<f64> {
        if self.config.attention.gate == Gate::None {
            return vec![0.0; x.len()];
        }
        let d = self.config.hidden_size;
        let w = &self.tensor(&format!("{at}.gate_proj.weight"))[head * d..(head + 1) * d];
        let b = self.tensor(&format!("{at}.gate_proj.bias"))[head];
        x.iter().map(|x| -(-(dot(w, x) + b)).exp().ln_1p()).collect()
    }

    /// `w_ij` (softmax: the exponents).
    fn weights(&self, at: &str, mut q: Rows, mut k: Rows, first: usize) -> Rows {
        let a = &self.config.attention;
        let rope = &self.config.rope;
        let turn = |x: &Rows| -> Rows {
            x.iter().enumerate().map(|(t, x)| rotate(x, first + t, rope.theta, rope.layout)).collect()
        };
        if rope.where_ == RopeWhere::Raw {
            (q, k) = (turn(&q), turn(&k));
        }
        let normed = a.has_normed_qk().then(|| {
            let keys = if a.shared_qk_norm { "q_norm" } else { "k_norm" };
            (self.norm(&format!("{at}.q_norm"), &q), self.norm(&format!("{at}.{keys}"), &k))
        });
        let exact = normed.as_ref().map(|(q, k)| {
            if rope.where_ == RopeWhere::Normed { (turn(q), turn(k)) } else { (q.clone(), k.clone()) }
        });
        let sketched = a.sketch.as_ref().map(|_| {
            let (q, k) = match (a.sketch_input, &normed) {
                (SketchInput::Normed, Some((q, k))) => (q, k),
                _ => (&q, &k),
            };
            (self.sketch(at, q), self.sketch(at, k))
        });
        let scaled = |i: usize, j: usize| exact.as_ref().map_or(0.0, |(q, k)| a.qk_scale * dot(&q[i], &k[j]));
        let weight = |i: usize, j: usize| match a.kind {
            AttentionKind::Softmax => dot(&q[i], &k[j]) / (q[i].len() as f64).sqrt(),
            AttentionKind::Polynomial => scaled(i, j).powi(a.degree as i32),
            AttentionKind::Taylor => {
                (0..=a.degree).map(|m| scaled(i, j).powi(m as i32) / (1..=m).product::<usize>() as f64).sum()
            }
            AttentionKind::Polysketch => {
                if a.local_exact && (first + i) / a.block_size == (first + j) / a.block_size {
                    scaled(i, j).powi(a.degree as i32)
                } else {
                    sketched.as_ref().map_or(0.0, |(q, k)| dot(&q[i], &k[j]).powi(2))
                }
            }
            kind => panic!("no formula of {kind}"),
        };
        (0..q.len()).map(|i| (0..k.len()).map(|j| weight(i, j)).collect()).collect()
    }

    fn sketch(&self, at: &str, x: &Rows) -> Rows {
        let sketch = self.config.attention.sketch.as_ref().unwrap();
        if sketch.kind != SketchKind::Learned {
            return self.tree(
                &format!("{at}.sketch"),
                x,
                self.config.attention.degree / 2,
                sketch.size,
                sketch.gain,
            );
        }
        let [left, right] = ["left", "right"].map(|branch| {
            let mut y = x.clone();
            for level in 0..sketch.levels {
                let at = format!("{at}.sketch.{branch}.{level}");
                let mut hidden =
                    self.linear(&format!("{at}.up.weight"), &self.norm(&format!("{at}.norm"), &y));
                hidden.iter_mut().flatten().for_each(|x| *x = gelu(*x));
                y = self.linear(&format!("{at}.down.weight"), &hidden);
            }
            y
        });
        let root = (sketch.size as f64).sqrt();
        left.iter()
            .zip(&right)
            .map(|(l, r)| l.iter().zip(r).map(|(l, r)| root * (l * r / root).tanh()).collect())
            .collect()
    }

    /// `S(x, m)` of SPEC §1.
    fn tree(&self, at: &str, x: &Rows, m: usize, r: usize, gain: f64) -> Rows {
        let child = |side: &str| {
            if m == 2 { x.clone() } else { self.tree(&format!("{at}.{side}_child"), x, m / 2, r, gain) }
        };
        let product = |x: Rows, name: &str| -> Rows {
            let matrix = self.tensor(&format!("{at}.{name}")); // [in, r]
            x.iter()
                .map(|x| {
                    (0..r).map(|c| x.iter().enumerate().map(|(i, x)| x * matrix[i * r + c]).sum()).collect()
                })
                .collect()
        };
        let (left, right) = (product(child("left"), "left"), product(child("right"), "right"));
        left.iter().zip(&right).map(|(l, r)| l.iter().zip(r).map(|(l, r)| gain * l * r).collect()).collect()
    }
}

fn add(x: &mut Rows, y: &Rows) {
    x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn layer_norm(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    x.iter().zip(w).zip(b).map(|((x, w), b)| (x - mean) / (variance + 1e-5).sqrt() * w + b).collect()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

fn rotate(x: &[f64], position: usize, theta: f64, layout: RopeLayout) -> Vec<f64> {
    let h = x.len();
    let mut out = vec![0.0; h];
    for i in 0..h / 2 {
        let (sin, cos) = (position as f64 * theta.powf(-2.0 * i as f64 / h as f64)).sin_cos();
        let (a, b) =
            if layout == RopeLayout::Interleaved { (x[2 * i], x[2 * i + 1]) } else { (x[i], x[i + h / 2]) };
        out[i] = a * cos - b * sin;
        out[i + h / 2] = b * cos + a * sin;
    }
    out
}
