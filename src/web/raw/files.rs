//! A model's files as a page gives them: small ones as they are, weights as bytes or range by range.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use js_sys::{Array, Function, JSON, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::convert::{bytes, field, is_bytes, missing, text, to_js};
use crate::error::{Error, ErrorKind, Result};
use crate::model::bytes::{Coming, Ranges, Remote};
use crate::model::checkpoint::{Checkpoint, Tensors};
use crate::model::{Adapter, EndFiles, ModelSource, Tokenizer};

/// What JavaScript threw while a file was read.
type Thrown = Rc<RefCell<Option<JsValue>>>;

/// The files of a model.
#[derive(Clone)]
pub(super) struct Files {
    contents: Contents,
    /// What makes its attention linear.
    adapter: Option<RangeFile>,
    thrown: Thrown,
}

#[derive(Clone)]
enum Contents {
    Gguf(RangeFile),
    Folder { config: String, weights: Weights, tokenizer: Words, ends: EndFiles },
}

#[derive(Clone)]
enum Weights {
    Bytes(Vec<u8>),
    Shards(Vec<RangeFile>),
}

/// What says which tokens there are.
#[derive(Clone)]
enum Words {
    Bytes,
    Json(Vec<u8>),
    Lists { vocab: String, merges: String },
}

/// `{ name, size, read(from, to) → Promise<Uint8Array> }`.
#[derive(Clone, Debug)]
struct RangeFile {
    name: String,
    size: u64,
    read: Function,
    thrown: Thrown,
}

impl RangeFile {
    fn of(file: &JsValue, thrown: &Thrown) -> Result<Self, JsValue> {
        let object: &Object = file.unchecked_ref();
        let (name, size) = (field(object, "name").as_string(), field(object, "size").as_f64());
        let read = field(object, "read").dyn_into::<Function>().ok();
        let (Some(name), Some(size), Some(read)) = (name, size, read) else {
            return Err(to_js(Error::new(ErrorKind::Input, "a file is no { name, size, read }")));
        };
        Ok(Self { name, size: size as u64, read, thrown: thrown.clone() })
    }

    fn remote(&self) -> Remote {
        Box::new(self.clone())
    }

    /// What is thrown is kept: it is what the page gets.
    fn failed(&self, error: JsValue) -> Error {
        self.thrown.borrow_mut().get_or_insert(error);
        Error::new(ErrorKind::Io, format!("{}: could not be read", self.name))
    }
}

impl Ranges for RangeFile {
    fn length(&self) -> u64 {
        self.size
    }

    fn fetch(&self, range: Range<u64>) -> Coming<'_> {
        Box::pin(async move {
            let (from, to) = (range.start as f64, range.end as f64);
            let coming = self.read.call2(&JsValue::NULL, &from.into(), &to.into());
            let coming = coming.map_err(|error| self.failed(error))?;
            let bytes =
                JsFuture::from(Promise::resolve(&coming)).await.map_err(|error| self.failed(error))?;
            let bytes = Uint8Array::new(&bytes);
            let want = range.end - range.start;
            if u64::from(bytes.length()) != want {
                let text = format!(
                    "{}: gave {} bytes of {want} from byte {} on",
                    self.name,
                    bytes.length(),
                    range.start
                );
                return Err(Error::new(ErrorKind::Io, text).help("the file was cut short: choose it again"));
            }
            Ok(bytes.to_vec())
        })
    }
}

impl Files {
    pub fn read(files: &Object) -> Result<Self, JsValue> {
        let thrown = Thrown::default();
        let gguf = field(files, "gguf");
        let contents = if missing(&gguf) {
            Contents::folder(files, &thrown)?
        } else {
            Contents::Gguf(RangeFile::of(&gguf, &thrown)?)
        };
        let adapter = Some(field(files, "adapter")).filter(|file| !missing(file));
        let adapter = adapter.map(|file| RangeFile::of(&file, &thrown)).transpose()?;
        Ok(Self { contents, adapter, thrown })
    }

    /// The model in them. With an adapter all of its weights are looked at: it belongs to no others.
    pub async fn source(&self) -> Result<ModelSource> {
        let source = self.base().await?;
        match self.adapter().await? {
            Some(adapter) => source.adapt(adapter).await,
            None => Ok(source),
        }
    }

    /// The same without a look at weights that are read range by range.
    pub async fn unread(&self) -> Result<ModelSource> {
        let source = self.base().await?;
        match self.adapter().await? {
            Some(adapter) => source.adapt_unread(adapter),
            None => Ok(source),
        }
    }

    async fn adapter(&self) -> Result<Option<Adapter>> {
        let Some(file) = &self.adapter else { return Ok(None) };
        Adapter::new(Tensors::fetch(file.remote(), file.name.as_str()).await?).map(Some)
    }

    /// The model as its own files have it; of weights that are read range by range nothing but what stands before
    /// them.
    async fn base(&self) -> Result<ModelSource> {
        match &self.contents {
            Contents::Gguf(file) => ModelSource::fetch_gguf(file.remote(), &file.name).await,
            Contents::Folder { config, weights, tokenizer, ends } => {
                let checkpoint = match weights {
                    Weights::Bytes(bytes) => Checkpoint::from_bytes(bytes.clone(), "model.safetensors")?,
                    Weights::Shards(files) => {
                        let mut shards = Vec::new();
                        for file in files {
                            shards.push(Tensors::fetch(file.remote(), file.name.as_str()).await?);
                        }
                        Checkpoint::from_files(shards)?
                    }
                };
                ModelSource::from_parts(config, checkpoint, &tokenizer.open(ends)?, ends)
            }
        }
    }

    /// The same of files that are bytes.
    pub fn at_hand(&self) -> Result<ModelSource> {
        crate::model::bytes::at_once(self.source())
    }

    /// An error, or what JavaScript threw before it.
    pub fn told(&self, error: Error) -> JsValue {
        self.thrown.borrow_mut().take().unwrap_or_else(|| to_js(error))
    }
}

impl Contents {
    fn folder(files: &Object, thrown: &Thrown) -> Result<Self, JsValue> {
        let config = field(files, "config");
        let config = match config.is_object() && !is_bytes(&config) {
            true => String::from(JSON::stringify(&config)?),
            false => text(&config, "config")?,
        };
        let weights = field(files, "weights");
        let weights = match weights.dyn_ref::<Array>() {
            Some(shards) => Weights::Shards(
                shards.iter().map(|shard| RangeFile::of(&shard, thrown)).collect::<Result<_, _>>()?,
            ),
            None => Weights::Bytes(bytes(&weights, "weights")?),
        };
        let optional = |name: &str| {
            Some(field(files, name)).filter(|file| !missing(file)).map(|file| text(&file, name)).transpose()
        };
        let ends = EndFiles {
            generation_config: optional("generationConfig")?,
            tokenizer_config: optional("tokenizerConfig")?,
            chat_template: optional("chatTemplate")?,
        };
        let json = Some(field(files, "tokenizer")).filter(|t| !missing(t));
        let tokenizer = match (json, optional("vocab")?, optional("merges")?) {
            (Some(json), ..) => Words::Json(bytes(&json, "tokenizer")?),
            (None, Some(vocab), Some(merges)) => Words::Lists { vocab, merges },
            _ => Words::Bytes,
        };
        Ok(Self::Folder { config, weights, tokenizer, ends })
    }
}

impl Words {
    fn open(&self, ends: &EndFiles) -> Result<Tokenizer> {
        match self {
            Words::Bytes => Ok(Tokenizer::bytes()),
            Words::Json(bytes) => Tokenizer::from_json_bytes(bytes, "tokenizer.json"),
            Words::Lists { vocab, merges } => {
                // A damaged one is told about where its ends are read.
                let config = ends.tokenizer_config.as_deref().unwrap_or_default();
                let config = serde_json::from_str(config).unwrap_or_default();
                Tokenizer::from_lists(vocab, merges, &config, "the folder")
            }
        }
    }
}
