//! Public models: their configurations and the names of their tensors, mapped onto our own (SPEC §9). A family
//! is one short file that says how its `config.json` reads as a [`ModelConfig`](super::ModelConfig) and where
//! each tensor of ours lies in its checkpoint.
//!
//! | file | families |
//! |---|---|
//! | `llama.rs` | llama, mistral, qwen2, qwen3, brumby: RMSNorm, gated SiLU, our own names |
//! | `starcoder2.rs` | starcoder2, powercoder: LayerNorm with biases, plain MLP |
//! | `gpt2.rs` | gpt2: learned positions, transposed and fused matrices |
//! | `gpt_neox.rs` | gpt_neox: partial rotation, parallel residual, matrices fused head by head |
//! | `gguf.rs` | all of them in GGUF files: metadata as a `config.json`, names |
//! | `common.rs` | keys that several families have, and those that none may have |

mod common;
pub mod gguf;
mod gpt2;
mod gpt_neox;
mod llama;
mod starcoder2;

use std::ops::Range;

use serde_json::{Map, Value};

use super::config::{ModelConfig, words};
use super::config_json::{Checked, Fault};

words! {
    /// A family of public models, by its `model_type`.
    Family {
        /// Our own models.
        Polysketch = "polysketch",
        /// Llama, SmolLM and what is built like them.
        Llama = "llama",
        /// Mistral without a window.
        Mistral = "mistral",
        /// Qwen 2 and 2.5.
        Qwen2 = "qwen2",
        /// Qwen 3.
        Qwen3 = "qwen3",
        /// GPT-2.
        Gpt2 = "gpt2",
        /// GPT-NeoX and Pythia.
        GptNeox = "gpt_neox",
        /// StarCoder 2.
        Starcoder2 = "starcoder2",
        /// PowerCoder: StarCoder 2 with power retention.
        Powercoder = "powercoder",
        /// Brumby: Qwen 3 with power retention.
        Brumby = "brumby",
    }
}

/// Reads the `config.json` of a public family.
pub(super) fn read(
    family: Family,
    map: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Checked<ModelConfig> {
    match family {
        Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 | Family::Brumby => {
            llama::read(family, map, notes)
        }
        Family::Starcoder2 | Family::Powercoder => starcoder2::read(family, map, notes),
        Family::Gpt2 => gpt2::read(map, notes),
        Family::GptNeox => gpt_neox::read(map, notes),
        Family::Polysketch => Err(Fault::new("model_type", "\"polysketch\"", "another family's")),
    }
}

/// The family of a `model_type`.
pub(super) fn named(model_type: &str) -> Option<Family> {
    Family::ALL.iter().copied().find(|family| family.as_str() == model_type)
}

/// Name, shape, values.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// Where a tensor of ours lies in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name in the file.
    pub name: String,
    /// Its rows there, in our order; all of them where none are named.
    pub rows: Vec<Range<usize>>,
    /// Rows of the tensor in the file, of which `rows` are some.
    pub of: usize,
    /// The file has columns for rows.
    pub transposed: bool,
}

impl Place {
    fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), rows: Vec::new(), of: 0, transposed: false }
    }

    /// Some rows of `of`.
    fn rows(name: impl Into<String>, rows: Vec<Range<usize>>, of: usize) -> Self {
        Self { name: name.into(), rows, of, transposed: false }
    }

    fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// The shape of the tensor in the file, of one of ours of this shape.
    pub fn shape_in_file(&self, ours: &[usize]) -> Vec<usize> {
        let mut shape = ours.to_vec();
        if let (false, Some(rows)) = (self.rows.is_empty(), shape.first_mut()) {
            *rows = self.of;
        }
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// The shape of our tensor, from that of the file's.
    pub fn shape_of_ours(&self, file: &[usize]) -> Vec<usize> {
        let mut shape = file.to_vec();
        if self.transposed {
            shape.reverse();
        }
        if let (false, Some(rows)) = (self.rows.is_empty(), shape.first_mut()) {
            *rows = self.rows.iter().map(Range::len).sum();
        }
        shape
    }

    /// Elements of ours, in order, as places in the file's tensor.
    fn elements(&self, ours: &[usize]) -> impl Iterator<Item = usize> {
        let (count, columns) =
            (ours.first().copied().unwrap_or(1), ours[1.min(ours.len())..].iter().product());
        let all = if self.rows.is_empty() { count } else { self.of };
        let rows: Vec<Range<usize>> =
            if self.rows.is_empty() { std::iter::once(0..count).collect() } else { self.rows.clone() };
        let transposed = self.transposed && ours.len() > 1;
        rows.into_iter().flatten().flat_map(move |row| {
            (0..columns)
                .map(move |column| if transposed { column * all + row } else { row * columns + column })
        })
    }

    /// Where some rows of ours lie in the file, of a tensor that is not transposed.
    pub fn rows_in_file(&self, ours: Range<usize>) -> impl Iterator<Item = usize> {
        let whole = self.rows.is_empty().then(|| 0..usize::MAX);
        let rows = whole.into_iter().chain(self.rows.iter().cloned()).flatten();
        rows.skip(ours.start).take(ours.len())
    }

    /// Our tensor, of this shape, from the file's.
    pub fn take<T: Copy>(&self, file: Vec<T>, ours: &[usize]) -> Vec<T> {
        if self.rows.is_empty() && !self.transposed {
            return file;
        }
        self.elements(ours).map(|at| file[at]).collect()
    }

    /// Puts our tensor, of this shape, into the file's.
    pub fn put<T: Copy>(&self, values: &[T], ours: &[usize], file: &mut [T]) {
        self.elements(ours).zip(values).for_each(|(at, value)| file[at] = *value);
    }
}

/// The names of a checkpoint's tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    family: Option<Family>,
    /// GPT-2: names begin with `transformer.`.
    prefixed: bool,
    heads: usize,
    width: usize,
    /// Of a GGUF file.
    gguf: Option<gguf::Rows>,
}

impl Names {
    /// Of a model whose checkpoint has a tensor where `has` says so.
    pub fn of(config: &ModelConfig, has: impl Fn(&str) -> bool) -> Self {
        let family = Some(config.family).filter(|family| *family != Family::Polysketch);
        let (heads, width) = (config.num_attention_heads, config.hidden_size);
        Self { family, prefixed: has("transformer.wte.weight"), heads, width, gguf: None }
    }

    /// Of a model in a GGUF file.
    pub fn of_gguf(config: &ModelConfig) -> Self {
        let rows = gguf::Rows {
            heads: [config.num_attention_heads, config.num_key_value_heads],
            head: config.head_dim,
            paired: config.family == Family::Llama,
            fused: config.family == Family::Gpt2,
        };
        Self { gguf: Some(rows), ..Self::of(config, |_| false) }
    }

    /// Where a tensor of ours lies.
    pub fn place(&self, ours: &str) -> Place {
        if let Some(rows) = &self.gguf {
            return gguf::place(ours, rows);
        }
        match self.family {
            None | Some(Family::Polysketch) => Place::whole(ours),
            Some(Family::Gpt2) => gpt2::place(ours, self.prefixed, self.width),
            Some(Family::GptNeox) => gpt_neox::place(ours, self.heads, self.width),
            Some(Family::Starcoder2 | Family::Powercoder) => starcoder2::place(ours),
            Some(_) => llama::place(ours),
        }
    }

    /// Our tensors as those of the file they come from: joined and turned where the file has them so.
    pub fn to_file(&self, tensors: Vec<Tensor>) -> Vec<Tensor> {
        let mut list: Vec<Tensor> = Vec::with_capacity(tensors.len());
        let mut at = std::collections::HashMap::new();
        for (name, ours, values) in tensors {
            let place = self.place(&name);
            let shape = place.shape_in_file(&ours);
            let i = *at.entry(place.name.clone()).or_insert_with(|| {
                let zeros = vec![0.0; shape.iter().product()];
                list.push((place.name.clone(), shape, zeros));
                list.len() - 1
            });
            place.put(&values, &ours, &mut list[i].2);
        }
        list
    }

    /// Whether a tensor that no one asks for is an error: in a GGUF file all of them count.
    pub fn is_strict(&self) -> bool {
        self.gguf.is_some()
    }

    /// Whether a tensor that no one asks for says nothing: buffers that older files hold, and heads that are tied.
    pub fn is_idle(&self, name: &str) -> bool {
        if self.gguf.is_some() {
            // Frequencies are in the configuration.
            return name == "rope_freqs.weight" || name.ends_with(".attn_rot_embd");
        }
        const BUFFERS: [&str; 5] =
            ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".masked_bias"];
        self.family.is_some() && (BUFFERS.iter().any(|end| name.ends_with(end)) || name == "lm_head.weight")
    }
}

/// What only the checkpoint tells of a configuration.
pub fn settle(config: &mut ModelConfig, has: impl Fn(&str) -> bool) {
    // Its configuration does not say whether the head is tied; the file has one where it is not.
    if config.family == Family::Powercoder {
        config.tie_word_embeddings = !has("lm_head.weight");
    }
}

/// `("model.layers.3.", "self_attn.q_proj.weight")` of `model.layers.3.self_attn.q_proj.weight`: the layer's
/// number and the rest.
fn layer(ours: &str) -> Option<(&str, &str)> {
    ours.strip_prefix("model.layers.")?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_go_there_and_back() {
        let fused = Place::rows("f", vec![4..6, 0..2], 8);
        for place in [Place::whole("w"), Place::whole("w").transposed(), fused.clone(), fused.transposed()] {
            let ours = [4, 3];
            let shape = place.shape_in_file(&ours);
            let file: Vec<usize> = (0..shape.iter().product()).collect();
            let taken = place.take(file.clone(), &ours);
            let mut back = file.clone();
            taken.iter().for_each(|at| back[*at] = usize::MAX);
            place.put(&taken, &ours, &mut back);
            assert_eq!((taken.len(), back), (12, file), "{place:?}");
        }
        let column = Place::rows("f", vec![4..6, 0..2], 8).transposed();
        assert_eq!(column.shape_in_file(&[4, 3]), [3, 8]);
        assert_eq!(column.take((0..24).collect(), &[4, 3])[..4], [4, 12, 20, 5]);
        assert_eq!(Place::rows("b", vec![2..4], 6).take((0..6).collect(), &[2]), [2, 3]);
    }
}
