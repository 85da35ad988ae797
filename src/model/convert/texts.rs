//! The files of a model folder beside its weights.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::attention::RopeScaling;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, read_bytes};
use crate::model::config::{Family, ModelConfig};
use crate::model::engine::ModelSource;
use crate::model::families::gguf_keys::llama3;
use crate::model::gguf::Metadata;
use crate::model::tensor_file::clip;
use crate::model::tokenizer::Tokenizer;

/// Files that go along from a folder as they are.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// A file: its name and content.
pub(super) type Text = (String, Vec<u8>);

/// All files of the new folder but the weights, whose matrices are of the type `float` (Hugging Face's word).
/// Also tells what other programs do not read. `own` is the configuration of a model whose adapter becomes a
/// part of it.
///
/// # Errors
/// [`ErrorKind::Io`] for a file that cannot be read.
pub(super) fn texts(
    source: &ModelSource,
    own: Option<&ModelConfig>,
    folder: Option<&Path>,
    float: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Text>> {
    let mut list = Vec::new();
    match source.checkpoint.metadata() {
        Some(metadata) => {
            let config = match own {
                // What ends a text is said beside it, where other files of the model are read too.
                Some(own) => own.to_json(),
                None => of_family(source, metadata, float, notes)?,
            };
            list.push(("config.json".into(), config.into_bytes()));
            from_gguf(source, metadata, &mut list)?;
        }
        None => {
            let config = own.map_or_else(|| config(source, float), ModelConfig::to_json);
            list.push(("config.json".into(), config.into_bytes()));
            match folder {
                Some(folder) => {
                    for name in COPIED {
                        let path = folder.join(name);
                        if path.exists() {
                            list.push((name.into(), read_bytes(&path, Whole::Settings)?));
                        }
                    }
                }
                None => list.extend(tokenizer_json(&source.tokenizer)?),
            }
        }
    }
    Ok(list)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// The configuration of a model that comes from a folder: the same, of another type.
fn config(source: &ModelSource, float: &str) -> String {
    let Some(origin) = &source.config.origin else { return source.config.to_json() };
    let mut map = Map::clone(origin);
    // Transformers 5 has the shorter word.
    let key = if map.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    map.insert(key.into(), float.into());
    pretty(&map.into())
}

/// The class of a family in transformers.
fn class(family: Family) -> &'static str {
    match family {
        Family::Qwen2 => "Qwen2ForCausalLM",
        Family::Qwen3 => "Qwen3ForCausalLM",
        Family::Starcoder2 => "Starcoder2ForCausalLM",
        Family::Gpt2 => "GPT2LMHeadModel",
        _ => "LlamaForCausalLM",
    }
}

/// The configuration, in the words of its family, of a model that comes from a GGUF file.
fn of_family(
    source: &ModelSource,
    metadata: &Metadata,
    float: &str,
    notes: &mut Vec<String>,
) -> Result<String> {
    let mut map = source.config.origin.as_deref().cloned().unwrap_or_default();
    map.insert("architectures".into(), json!([class(source.config.family)]));
    map.insert("torch_dtype".into(), float.into());
    if let Some(bos) = metadata.count("tokenizer.ggml.bos_token_id")? {
        map.insert("bos_token_id".into(), bos.into());
    }
    if let Some(first) = source.tokenizer.ends().first() {
        map.insert("eos_token_id".into(), (*first).into());
    }
    let rope = &source.config.rope;
    if let RopeScaling::Divisors(divisors) = &rope.scaling {
        match llama3(divisors, rope.theta) {
            Some(RopeScaling::Llama3 { factor, low, high, original }) => {
                let scaling = json!({
                    "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                    "original_max_position_embeddings": original as u64,
                });
                map.insert("rope_scaling".into(), scaling);
            }
            _ => notes.push(
                "rope_scaling of config.json is a list of divisors, which other programs do not read".into(),
            ),
        }
    }
    Ok(pretty(&map.into()))
}

/// The files beside the configuration of a model that comes from a GGUF file.
fn from_gguf(source: &ModelSource, metadata: &Metadata, list: &mut Vec<Text>) -> Result<()> {
    let (tokenizer, ends) = (&source.tokenizer, source.tokenizer.ends());
    let mut generation = Map::new();
    if let Some(bos) = metadata.count("tokenizer.ggml.bos_token_id")? {
        generation.insert("bos_token_id".into(), bos.into());
    }
    if let Some(first) = ends.first() {
        generation.insert("eos_token_id".into(), if ends.len() > 1 { json!(ends) } else { json!(first) });
    }
    list.push(("generation_config.json".into(), pretty(&generation.into()).into_bytes()));
    let Some(json) = tokenizer_json(tokenizer)? else { return Ok(()) };
    list.push(json);
    let mut config = Map::new();
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    config.insert("add_bos_token".into(), (!tokenizer.begin().is_empty()).into());
    for (name, token) in &source.conventions.tokens {
        config.insert(name.clone(), token.as_str().into());
    }
    let padding = metadata.count("tokenizer.ggml.padding_token_id")?;
    if let Some(token) = padding.and_then(|id| tokenizer.id_to_token(u32::try_from(id).ok()?)) {
        config.insert("pad_token".into(), token.into());
    }
    if let Some(template) = metadata.text("tokenizer.chat_template")? {
        config.insert("chat_template".into(), template.into());
    }
    list.push(("tokenizer_config.json".into(), pretty(&config.into()).into_bytes()));
    Ok(())
}

/// A `tokenizer.json` that reads back as this tokenizer; none: bytes.
pub(super) fn tokenizer_json(tokenizer: &Tokenizer) -> Result<Option<Text>> {
    let Some(library) = tokenizer.library() else { return Ok(None) };
    let failed = |what: String| {
        let text = format!("{}: cannot be written as tokenizer.json: {}", tokenizer.label(), clip(&what));
        Error::new(ErrorKind::Tokenizer, text).help("give a .gguf file in the place of the folder")
    };
    let mut library = library.clone();
    if !tokenizer.begin().is_empty() {
        let token = |id: &u32| tokenizer.id_to_token(*id).unwrap_or_default();
        let begin: Vec<String> = tokenizer.begin().iter().map(token).collect();
        let part = |sequence: &str, kind: u32| {
            let special = begin.iter().map(|id| json!({ "SpecialToken": { "id": id, "type_id": kind } }));
            special.chain([json!({ "Sequence": { "id": sequence, "type_id": kind } })]).collect::<Vec<_>>()
        };
        let special: Map<String, Value> = begin
            .iter()
            .zip(tokenizer.begin())
            .map(|(token, id)| (token.clone(), json!({ "id": token, "ids": [id], "tokens": [token] })))
            .collect();
        let pair = [part("A", 0), part("B", 1)].concat();
        let template = json!({
            "type": "TemplateProcessing", "single": part("A", 0), "pair": pair, "special_tokens": special,
        });
        let template: tokenizers::PostProcessorWrapper =
            serde_json::from_value(template).map_err(|e| failed(e.to_string()))?;
        library.with_post_processor(Some(template));
    }
    let json = library.to_string(true).map_err(|e| failed(e.to_string()))?;
    Ok(Some(("tokenizer.json".into(), json.into_bytes())))
}
