//! The header of a GGUF file: the metadata of the model, and where its tensors lie.

use std::collections::BTreeMap;

use super::targets::{Content, Target};
use super::vocabulary::made;
use crate::attention::RopeScaling;
use crate::error::{Error, ErrorKind, Result};
use crate::model::chat::source as template_source;
use crate::model::config::{Family, ModelConfig};
use crate::model::ends::EndFiles;
use crate::model::engine::ModelSource;
use crate::model::families::gguf::of_header;
use crate::model::families::gguf_keys::keys;
use crate::model::gguf::{BlockType, Header, Metadata, Value};

/// Version of the blocks, as llama.cpp counts.
const QUANTIZATION: i128 = 2;

/// The header of a file of these tensors. `name` is the model's, `ends` are the files beside it.
///
/// # Errors
/// [`ErrorKind::Config`] for a model that a GGUF file cannot describe; [`ErrorKind::Tokenizer`] for such a
/// tokenizer.
pub(super) fn header(
    source: &ModelSource,
    targets: &[Target],
    name: &str,
    ends: &EndFiles,
    notes: &mut Vec<String>,
) -> Result<Header> {
    let label = source.checkpoint.label();
    let mut values = match source.checkpoint.metadata() {
        Some(metadata) => metadata.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
        None => described(source, name, ends, notes)?,
    };
    values.insert("general.file_type".into(), Value::Int(file_type(targets)));
    values.insert("general.quantization_version".into(), Value::Int(QUANTIZATION));
    let tensors = targets.iter().map(|t| (t.name.clone(), t.kind, t.shape.clone())).collect();
    let header = Header::new(Metadata::new(label, values), tensors)?;
    check(&source.config, &header, targets)?;
    Ok(header)
}

/// The metadata of a model that comes from a folder.
fn described(
    source: &ModelSource,
    name: &str,
    ends: &EndFiles,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Value>> {
    let mut values = keys(&source.config)?;
    values.insert("general.type".into(), Value::Text("model".into()));
    values.insert("general.name".into(), Value::Text(name.into()));
    let made = made(source)?;
    notes.extend(made.notes.iter().cloned());
    values.extend(made.metadata());
    match template_source(ends.chat_template.as_deref(), ends.tokenizer_config.as_deref()) {
        Ok(Some((text, _))) => _ = values.insert("tokenizer.chat_template".into(), Value::Text(text)),
        Ok(None) => {}
        Err(error) => notes.push(format!("no chat template is written: {error}")),
    }
    Ok(values)
}

/// llama.cpp's number for what most of the file is.
fn file_type(targets: &[Target]) -> i128 {
    let mut bytes: BTreeMap<&str, (u64, BlockType)> = BTreeMap::new();
    for target in targets.iter().filter(|t| t.shape.len() > 1) {
        bytes.entry(target.kind.name()).or_insert((0, target.kind)).0 += target.bytes();
    }
    let quantised = bytes.values().any(|(_, kind)| !kind.is_float());
    let most = bytes.values().filter(|(_, kind)| !quantised || !kind.is_float());
    let mixed = bytes.len() > 1;
    match most.max_by_key(|(bytes, _)| *bytes).map_or(BlockType::F32, |(_, kind)| *kind) {
        BlockType::F32 => 0,
        BlockType::F16 => 1,
        BlockType::Q4_0 => 2,
        BlockType::Q4_1 => 3,
        BlockType::Q8_0 => 7,
        BlockType::Q5_0 => 8,
        BlockType::Q5_1 => 9,
        BlockType::Q4_K => 14 + i128::from(mixed),
        BlockType::Q5_K => 16 + i128::from(mixed),
        BlockType::Q6_K => 18,
        BlockType::BF16 => 32,
    }
}

/// Reads the header back: what is said there must be this model.
fn check(config: &ModelConfig, header: &Header, targets: &[Target]) -> Result<()> {
    let frequencies = targets.iter().find_map(|target| match &target.content {
        Content::Values(values) => Some(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
        _ => None,
    });
    let label = header.metadata.label();
    let read = of_header(header, frequencies.as_deref())
        .and_then(|map| ModelConfig::from_value(&map.into(), label))
        .map(|(read, _)| read);
    let what = match read {
        // It names the file.
        Err(error) => error.message().to_string(),
        Ok(read) => match difference(config, &read) {
            None => return Ok(()),
            Some(what) => format!("{label}: {what} is none that GGUF files of {} have", read.family),
        },
    };
    Err(Error::new(ErrorKind::Config, what).help("give a folder in the place of the .gguf file"))
}

/// What of a model is another in what was read back. Floats of a file have 32 bits.
fn difference(a: &ModelConfig, b: &ModelConfig) -> Option<&'static str> {
    let sizes = |c: &ModelConfig| {
        [
            c.vocab_size,
            c.hidden_size,
            c.num_hidden_layers,
            c.num_attention_heads,
            c.num_key_value_heads,
            c.head_dim,
            c.intermediate_size,
        ]
    };
    let frequencies = |c: &ModelConfig| c.rope.scaling.frequencies(c.rope.rotary_dim, c.rope.theta);
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
    let rope = |c: &ModelConfig| (c.rope.where_, c.rope.layout, c.rope.rotary_dim);
    let same_frequencies = || frequencies(a).into_iter().zip(frequencies(b)).all(|(a, b)| near(a, b));
    // In a file of another architecture than llama, other readers do not look for them.
    let scaling = matches!(b.rope.scaling, RopeScaling::Divisors(_));
    [
        ("the shape", sizes(a) == sizes(b)),
        ("the norm", (a.norm.kind, a.norm.bias) == (b.norm.kind, b.norm.bias)),
        ("the norm's epsilon", near(a.norm.eps, b.norm.eps)),
        ("the MLP's activation", a.mlp == b.mlp),
        ("the choice of biases", a.biases == b.biases),
        ("the rotation of positions", rope(a) == rope(b) && same_frequencies()),
        ("the scaling of positions", !scaling || b.family == Family::Llama),
        (
            "the table of positions",
            (a.sinusoidal, a.learned_positions) == (b.sinusoidal, b.learned_positions),
        ),
        ("the order of attention and MLP", a.parallel_residual == b.parallel_residual),
        ("the output matrix", (a.tie_word_embeddings, a.logit_bias) == (b.tie_word_embeddings, b.logit_bias)),
        ("the attention", a.attention == b.attention),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}
