//! From the tensors of a checkpoint to the parameters of the graph: which are joined (q, k, v and gate; gate
//! and up), how they are cut where a binding is too small, in which type they are kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Dtype, Stored};
use super::config::{Linearized, ModelConfig, QkNorm};
use super::gguf::BlockType;
use super::parameters::{ADAPTED, affine_parts, affine_sketches, linear_gate, linear_sketch, linear_update};
use crate::attention::{Attention, Kind, Sketch};
use crate::tensor::{DType, Quant};

/// Type of the large matrices in memory, as one may ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// Floats.
    F32,
    /// Halves.
    F16,
    /// 8 bits and a half for each 32; as they are where a file has no more bits.
    Q8,
    /// 4 bits and two halves for each 32; as they are where a file has no more bits.
    Q4,
}

impl WeightType {
    /// Every type, by its name.
    pub const ALL: [(&'static str, Self); 4] =
        [("f32", Self::F32), ("f16", Self::F16), ("q8", Self::Q8), ("q4", Self::Q4)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// How rows of so many columns are rounded to it.
    fn dtype(self, columns: usize) -> DType {
        let quant = |bits, minimum| Quant { bits, block: 32, wide: false, minimum, columns: columns as u32 };
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Q8 => DType::Quant(quant(8, false)),
            Self::Q4 => DType::Quant(quant(4, true)),
        }
    }
}

/// Types of the large matrices of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Large {
    /// The same for all.
    All(DType),
    /// By the parameter's name, of tables in shards without its number.
    Each(Arc<BTreeMap<String, DType>>),
}

impl From<DType> for Large {
    fn from(dtype: DType) -> Self {
        Self::All(dtype)
    }
}

impl From<&Large> for Large {
    fn from(large: &Large) -> Self {
        large.clone()
    }
}

impl Large {
    /// The type of a parameter.
    pub fn of(&self, parameter: &str) -> DType {
        match self {
            Self::All(dtype) => *dtype,
            Self::Each(types) => types.get(parameter).copied().unwrap_or(DType::F32),
        }
    }

    /// For people: the types that occur.
    pub fn name(&self) -> String {
        let name = |dtype: &DType| match dtype {
            DType::F16 => "f16",
            DType::Quant(quant) => quant.name(),
            _ => "f32",
        };
        match self {
            Self::All(dtype) => name(dtype).into(),
            Self::Each(types) => {
                let names: std::collections::BTreeSet<&str> = types.values().map(name).collect();
                names.into_iter().collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// As asked for, or as the file has them. Matrices that are joined have one type, which holds all of them
    /// exactly.
    pub fn choose(
        config: &ModelConfig,
        attention: &Attention,
        stored: &StoredWeights,
        asked: Option<WeightType>,
    ) -> Self {
        match asked {
            Some(WeightType::F32) => return Self::All(DType::F32),
            Some(WeightType::F16) => return Self::All(DType::F16),
            None if stored.blocks.is_empty() => return Self::All(stored.floats),
            _ => {}
        }
        let list = packed(config, attention, DType::F32, usize::MAX);
        let types = list.into_iter().filter_map(|parameter| {
            let columns = parameter.columns?;
            let blocks: Vec<Option<&BlockType>> =
                parameter.tensors().map(|tensor| stored.blocks.get(tensor)).collect();
            let exact = blocks.iter().copied().collect::<Option<Vec<&BlockType>>>().and_then(|blocks| {
                blocks.into_iter().filter_map(|b| b.quant(columns)).reduce(|a, b| a.join(&b))
            });
            // What is padded within its rows is not cut into blocks.
            let rows = parameter.parts.iter().all(|part| part.len().is_multiple_of(columns));
            let dtype = match (asked, exact) {
                _ if !rows => DType::F32,
                (None, Some(exact)) => DType::Quant(exact),
                (Some(WeightType::Q8), Some(exact)) => DType::Quant(exact),
                (Some(WeightType::Q4), Some(exact)) if exact.bits == 4 => DType::Quant(exact),
                (Some(asked), _) => asked.dtype(columns),
                // Some are in blocks and some not.
                (None, None) if blocks.iter().any(Option::is_some) => DType::F32,
                (None, None) => stored.floats,
            };
            let name = parameter.name.strip_suffix(".0").unwrap_or(&parameter.name).to_string();
            Some((name, dtype))
        });
        Self::Each(Arc::new(types.collect()))
    }
}

/// How a checkpoint stores the large matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWeights {
    /// The type in memory of those that are stored number by number.
    pub floats: DType,
    /// Those that are stored in blocks, by our name of the tensor.
    pub blocks: Arc<BTreeMap<String, BlockType>>,
}

impl From<DType> for StoredWeights {
    fn from(floats: DType) -> Self {
        Self { floats, blocks: Arc::default() }
    }
}

impl StoredWeights {
    /// Of an open checkpoint.
    pub fn of(config: &ModelConfig, checkpoint: &Checkpoint) -> Self {
        let mut blocks = BTreeMap::new();
        let mut floats = DType::F32;
        for spec in config.parameters() {
            match checkpoint.stored(&spec.name) {
                Some(Stored::Blocks(kind)) => _ = blocks.insert(spec.name, kind),
                Some(Stored::Floats(Dtype::F16)) if spec.name == "model.embed_tokens.weight" => {
                    floats = DType::F16;
                }
                _ => {}
            }
        }
        Self { floats, blocks: Arc::new(blocks) }
    }

    /// For people: the types that occur.
    pub fn name(&self) -> String {
        if self.blocks.is_empty() {
            return Large::All(self.floats).name();
        }
        let names: std::collections::BTreeSet<&str> = self.blocks.values().map(|kind| kind.name()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// A graph parameter: rows of checkpoint tensors one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Name in the graph.
    pub name: String,
    /// Type in memory.
    pub dtype: DType,
    /// Elements, padding included.
    pub elements: usize,
    /// Columns of a large matrix.
    pub columns: Option<usize>,
    /// What it is made of, in order.
    pub parts: Vec<Part>,
}

/// A run of elements of a packed parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Elements of a checkpoint tensor.
    Tensor {
        /// Its name.
        name: String,
        /// Which elements.
        range: Range<usize>,
    },
    /// Zeros.
    Zeros(usize),
    /// Ones (the weight of a norm the model does not have).
    Ones(usize),
}

impl Part {
    /// Elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Part::Tensor { range, .. } => range.len(),
            Part::Zeros(n) | Part::Ones(n) => *n,
        }
    }
}

/// How a matrix of many rows is cut so that each shard fits a binding: (first row, rows).
pub fn shards(rows: usize, row_bytes: usize, max_binding: usize) -> Vec<(usize, usize)> {
    let most = (max_binding / row_bytes.max(1)).clamp(1, rows.max(1));
    (0..rows).step_by(most).map(|first| (first, most.min(rows - first))).collect()
}

/// Every parameter of the graph of a model. `large` is the type of the large matrices; norms, biases and
/// sketches are f32.
pub fn packed(
    config: &ModelConfig,
    attention: &Attention,
    large: impl Into<Large>,
    max_binding: usize,
) -> Vec<Packed> {
    let large = large.into();
    let (d, m, h) = (config.hidden_size, config.intermediate_size, attention.layout.head);
    let (queries, keys) = (config.num_attention_heads, config.num_key_value_heads);
    // Heads are padded to whole vectors: with rows of zeros in projections to them, columns in the one back.
    let (size, padding) = (attention.layout.size, h - attention.layout.size);
    let of_heads = |name: String, heads: usize, columns: usize| -> Vec<Part> {
        if padding == 0 {
            return vec![Part::Tensor { name, range: 0..heads * size * columns }];
        }
        let head = |at: usize| {
            let range = at * size * columns..(at + 1) * size * columns;
            [Part::Tensor { name: name.clone(), range }, Part::Zeros(padding * columns)]
        };
        (0..heads).flat_map(head).collect()
    };
    let mut list = Vec::new();
    let mut add = |name: String, dtype: DType, columns: Option<usize>, parts: Vec<Part>| {
        let elements = parts.iter().map(Part::len).sum();
        list.push(Packed { name, dtype, elements, columns, parts });
    };
    let whole = |name: String, n: usize| Part::Tensor { name, range: 0..n };
    let or_zeros = |name: String, n: usize, is: bool| if is { whole(name, n) } else { Part::Zeros(n) };
    let norm = |at: String, n: usize, bias: bool| {
        vec![whole(format!("{at}.weight"), n), or_zeros(format!("{at}.bias"), n, bias)]
    };
    let tables = [("embedding", "model.embed_tokens.weight"), ("head", "lm_head.weight")];
    for (label, tensor) in tables.into_iter().take(if config.tie_word_embeddings { 1 } else { 2 }) {
        let dtype = large.of(label);
        let cuts = shards(config.vocab_size, dtype.bytes(d), max_binding);
        for (i, (first, rows)) in cuts.into_iter().enumerate() {
            let range = first * d..(first + rows) * d;
            add(format!("{label}.{i}"), dtype, Some(d), vec![Part::Tensor { name: tensor.into(), range }]);
        }
    }
    if config.learned_positions > 0 {
        let table = whole("model.embed_positions.weight".into(), config.learned_positions * d);
        add("positions".into(), DType::F32, None, vec![table]);
    }
    let (norm_bias, biases) = (config.norm.bias, config.biases);
    for i in 0..config.num_hidden_layers {
        let layer = format!("model.layers.{i}");
        let at = format!("{layer}.self_attn");
        add(
            format!("layers.{i}.attention_norm"),
            DType::F32,
            None,
            norm(format!("{layer}.input_layernorm"), d, norm_bias),
        );
        let of_type = |name: &str| large.of(&format!("layers.{i}.{name}"));
        let gated = attention.layout.gated;
        let heads = config.num_key_value_heads;
        let rest = heads.next_multiple_of(4) - heads;
        let projections = [("q", queries), ("k", keys), ("v", keys)];
        let mut qkv =
            projections.map(|(p, heads)| of_heads(format!("{at}.{p}_proj.weight"), heads, d)).concat();
        let of_bias = |(p, heads): (&str, usize)| match biases.qkv {
            true => of_heads(format!("{at}.{p}_proj.bias"), heads, 1),
            false => vec![Part::Zeros(heads * h)],
        };
        let mut bias = projections.map(of_bias).concat();
        let adapted = config.adapted_in(i);
        if adapted.is_some() {
            // Gates of their own, the same for every token.
            qkv.push(Part::Zeros((heads + rest) * d));
            bias.extend([whole(linear_gate(i), heads), Part::Zeros(rest)]);
        } else if gated && config.adapted().is_none() {
            qkv.extend([whole(format!("{at}.gate_proj.weight"), heads * d), Part::Zeros(rest * d)]);
            let gate_bias = or_zeros(format!("{at}.gate_proj.bias"), heads, config.attention.gate_bias);
            bias.extend([gate_bias, Part::Zeros(rest)]);
        }
        if config.has_qkv_bias(i) {
            add(format!("layers.{i}.qkv_bias"), DType::F32, None, bias);
        }
        add(format!("layers.{i}.qkv"), of_type("qkv"), Some(d), qkv);
        if config.attention.has_normed_qk() {
            let bias = config.attention.qk_norm == QkNorm::Layer;
            let key = if config.attention.shared_qk_norm {
                vec![Part::Ones(h), Part::Zeros(h)]
            } else {
                norm(format!("{at}.k_norm"), h, bias)
            };
            let query = norm(format!("{at}.q_norm"), h, bias);
            add(format!("layers.{i}.norms"), DType::F32, None, [query, key].concat());
        }
        if let (Some(_), Some(n)) = (adapted, attention.sketch_weights()) {
            add(format!("layers.{i}.sketch"), DType::F32, None, vec![whole(linear_sketch(i), n)]);
        } else if let Some(l) = config.linearized.as_ref().filter(|_| config.adapted().is_none()) {
            add(format!("layers.{i}.sketch"), DType::F32, None, affine_sketch_parts(config, l, &at));
        } else if let Some(parts) = sketch_parts(attention, &format!("{at}.sketch")) {
            add(format!("layers.{i}.sketch"), DType::F32, None, parts);
        }
        if let Some(l) = adapted.filter(|l| l.rank > 0) {
            let qkv = config.linear_qkv_width();
            for (projection, [outputs, inputs]) in [("qkv", [qkv, d]), ("o", [d, queries * h])] {
                for (name, n) in linear_update(i, projection).into_iter().zip([inputs, outputs]) {
                    let short = name.trim_start_matches(ADAPTED).to_string();
                    add(short, DType::F32, None, vec![whole(name, l.rank * n)]);
                }
            }
        }
        let o = if padding == 0 {
            vec![whole(format!("{at}.o_proj.weight"), d * queries * size)]
        } else {
            of_heads(format!("{at}.o_proj.weight"), d * queries, 1)
        };
        add(format!("layers.{i}.o"), of_type("o"), Some(queries * h), o);
        if biases.o {
            add(format!("layers.{i}.o_bias"), DType::F32, None, vec![whole(format!("{at}.o_proj.bias"), d)]);
        }
        let mlp_norm = norm(format!("{layer}.post_attention_layernorm"), d, norm_bias);
        add(format!("layers.{i}.mlp_norm"), DType::F32, None, mlp_norm);
        let up: &[&str] = if config.mlp.gated { &["gate", "up"] } else { &["up"] };
        let of_each = |part: &str, n: usize| -> Vec<Part> {
            up.iter().map(|p| whole(format!("{layer}.mlp.{p}_proj.{part}"), n)).collect()
        };
        add(format!("layers.{i}.up"), of_type("up"), Some(d), of_each("weight", m * d));
        let down = vec![whole(format!("{layer}.mlp.down_proj.weight"), d * m)];
        add(format!("layers.{i}.down"), of_type("down"), Some(m), down);
        if biases.mlp {
            add(format!("layers.{i}.up_bias"), DType::F32, None, of_each("bias", m));
            let down = vec![whole(format!("{layer}.mlp.down_proj.bias"), d)];
            add(format!("layers.{i}.down_bias"), DType::F32, None, down);
        }
    }
    add("norm".into(), DType::F32, None, norm("model.norm".into(), d, norm_bias));
    if config.logit_bias {
        add("logit_bias".into(), DType::F32, None, vec![whole("lm_head.bias".into(), config.vocab_size)]);
    }
    list
}

/// The packed weights of a sketch, in the order its kernel reads them.
fn sketch_parts(attention: &Attention, at: &str) -> Option<Vec<Part>> {
    let (h, r) = (attention.layout.head, attention.layout.sketch);
    let whole = |name: String, n: usize| Part::Tensor { name, range: 0..n };
    let Kind::Polysketch { sketch, .. } = &attention.kind else { return None };
    let mut parts = Vec::new();
    match sketch {
        Sketch::Learned { levels, expansion } => {
            for branch in ["left", "right"] {
                for level in 0..*levels {
                    let (at, i) = (format!("{at}.{branch}.{level}"), if level == 0 { h } else { r });
                    parts.push(whole(format!("{at}.norm.weight"), i));
                    parts.push(whole(format!("{at}.norm.bias"), i));
                    parts.push(whole(format!("{at}.up.weight"), expansion * r * i));
                    parts.push(whole(format!("{at}.down.weight"), r * expansion * r));
                }
            }
        }
        Sketch::Random { leaves, .. } => {
            // Leaves first, then level by level to the root.
            let mut level = *leaves;
            while level > 0 {
                let inputs = if level == *leaves { h } else { r };
                for node in 0..level {
                    let path = tree_path(node, level);
                    parts.push(whole(format!("{at}{path}.left"), inputs * r));
                    parts.push(whole(format!("{at}{path}.right"), inputs * r));
                }
                level /= 2;
            }
        }
    }
    Some(parts)
}

/// The packed weights of affine sketches, in the order their kernel reads them: of queries, head by head, then of
/// keys.
fn affine_sketch_parts(config: &ModelConfig, l: &Linearized, at: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, weights) in affine_sketches(config, l, at) {
        for head in 0..config.num_key_value_heads {
            for ((name, shape, _), whole) in affine_parts(weights).into_iter().zip(weights.parts()) {
                let n: usize = shape.iter().product();
                parts.push(Part::Tensor { name: format!("{at}.{name}"), range: head * n..(head + 1) * n });
                if whole > n {
                    parts.push(Part::Zeros(whole - n));
                }
            }
        }
    }
    parts
}

/// `.left_child.right_child…`: the path from the root to node `node` of a level of `width` nodes.
fn tree_path(node: usize, width: usize) -> String {
    let depth = width.trailing_zeros();
    (0..depth).rev().map(|bit| if node >> bit & 1 == 0 { ".left_child" } else { ".right_child" }).collect()
}

/// Checkpoint tensors by name from the values of the graph's parameters (or of their gradients, or moments),
/// as f32.
pub fn unpack<'a>(
    parameters: impl IntoIterator<Item = (&'a Packed, &'a [f32])>,
) -> BTreeMap<String, Vec<f32>> {
    let mut tensors: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (packed, values) in parameters {
        for (part, at) in packed.ranges() {
            if let Part::Tensor { name, range } = part {
                let tensor = tensors.entry(name.clone()).or_default();
                tensor.resize(tensor.len().max(range.end), 0.0);
                tensor[range.clone()].copy_from_slice(&values[at]);
            }
        }
    }
    tensors
}

impl Packed {
    /// Its parts, each with the elements it is.
    pub fn ranges(&self) -> impl Iterator<Item = (&Part, Range<usize>)> {
        self.parts.iter().scan(0, |at, part| {
            let start = *at;
            *at += part.len();
            Some((part, start..*at))
        })
    }

    /// Names of the checkpoint tensors it is made of.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Tensor { name, .. } = part { Some(name.as_str()) } else { None })
    }

    /// The parameter's values from tensors by name, of the sizes that the configuration gives; a tensor that
    /// is not there counts as zeros.
    pub fn pack(&self, tensors: &BTreeMap<String, Vec<f32>>) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.elements);
        for part in &self.parts {
            match part {
                Part::Tensor { name, range } => match tensors.get(name) {
                    Some(tensor) => values.extend_from_slice(&tensor[range.clone()]),
                    None => values.resize(values.len() + range.len(), 0.0),
                },
                Part::Zeros(n) | Part::Ones(n) => values.resize(values.len() + n, 0.0),
            }
        }
        values
    }
}
