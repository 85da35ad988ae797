//! Models by their names on the Hugging Face Hub: `hf:OWNER/NAME[@REVISION][:FILE]`, fetched into the cache
//! that all of Hugging Face's programs share.
//!
//! | file | what |
//! |---|---|
//! | `name` | such a name |
//! | `client` | requests: who asks, where, how often, and what answers mean |
//! | `cache` | where files lie, by their content |
//! | `download` | one file, begun or gone on with |
//!
//! The crate `hf-hub` was weighed: since 1.0 it brings an asynchronous runtime, and the client of 0.5 goes on
//! with half a file whatever the server answers, never gives up on one that is silent, and hands the user's
//! token to wherever it is sent on.

mod cache;
mod client;
mod download;
mod name;

use std::path::{Path, PathBuf};

use polysketch::{Error, ErrorKind, Result};

use super::failure::warn;
use super::options::Common;
use cache::Cache;
use client::{Client, Listing};
use name::Name;

/// Where a model lies, by what `--model` says: a path, or a name of the Hub, whose files are fetched where
/// they are not here yet.
///
/// # Errors
/// [`ErrorKind::Input`] for a name that is none, or of nothing that can be read; [`ErrorKind::Io`] where the
/// Hub cannot be reached or refuses.
pub fn locate(common: &Common, model: &Path) -> Result<PathBuf> {
    let Some(text) = model.to_str().filter(|text| text.starts_with(name::PREFIX)) else {
        return Ok(model.to_path_buf());
    };
    let name = Name::parse(text)?;
    let cache = Cache::open(&name)?;
    let here = cache.snapshot(&name.revision);
    let offline = std::env::var("HF_HUB_OFFLINE")
        .is_ok_and(|v| matches!(v.as_str(), "1" | "true" | "TRUE" | "yes" | "on"));
    if let Some(found) = here.as_deref().and_then(|snapshot| complete(&name, snapshot))
        && (offline || name.is_fixed())
    {
        return Ok(found);
    }
    if offline {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{text}: is not in the cache {}, and HF_HUB_OFFLINE is set", cache.root()),
        )
        .help("fetch it once without HF_HUB_OFFLINE"));
    }
    let client = Client::from_env()?;
    let listing = match client.listing(&name) {
        Ok(listing) => listing,
        Err(error) => match here.as_deref().and_then(|snapshot| complete(&name, snapshot)) {
            Some(found) => {
                if common.talks() {
                    warn(&format!("{}; the copy in the cache is used", error.message()));
                }
                return Ok(found);
            }
            None => return Err(error),
        },
    };
    let fetch = |file: &str| download::fetch(common, &client, &cache, &name, &listing.commit, file);
    for file in first_files(&name, &listing)? {
        fetch(&file)?;
    }
    let snapshot = cache.folder(&listing.commit);
    for file in shards(&snapshot)? {
        fetch(&file)?;
    }
    cache.set_revision(&name.revision, &listing.commit)?;
    complete(&name, &snapshot).ok_or_else(|| {
        Error::new(ErrorKind::Io, format!("{text}: {} lacks files that were fetched", snapshot.display()))
            .help("is another program emptying the cache? run the command again")
    })
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Small files that a model folder may have.
const SMALL: [&str; 7] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    INDEX,
];

/// The files that are fetched before it is known which parts the weights have.
fn first_files(name: &Name, listing: &Listing) -> Result<Vec<String>> {
    let has = |file: &str| listing.files.iter().any(|f| f == file);
    if let Some(file) = &name.file {
        if !has(file) {
            let alike: Vec<&str> = listing.files.iter().map(String::as_str).filter(|f| is_gguf(f)).collect();
            let help = if alike.is_empty() {
                "it has no GGUF files".into()
            } else {
                format!("it has {}", some(&alike))
            };
            return Err(Error::new(ErrorKind::Input, format!("{name}: there is no file {file:?}")).help(help));
        }
        return Ok(vec![file.clone()]);
    }
    if has(CONFIG) && (has(WEIGHTS) || has(INDEX)) {
        let mut files = vec![CONFIG.to_string()];
        let lists = !has("tokenizer.json");
        let wanted = |file: &&&str| match **file {
            "vocab.json" | "merges.txt" => lists,
            INDEX => !has(WEIGHTS),
            _ => true,
        };
        files.extend(SMALL.iter().filter(wanted).filter(|file| has(file)).map(|file| (*file).to_string()));
        files.extend(has(WEIGHTS).then(|| WEIGHTS.to_string()));
        return Ok(files);
    }
    let packed: Vec<&str> = listing.files.iter().map(String::as_str).filter(|f| is_gguf(f)).collect();
    match packed[..] {
        [] => Err(Error::new(
            ErrorKind::Input,
            format!("{name}: has no {CONFIG} with {WEIGHTS}, nor a GGUF file"),
        )
        .help("only safetensors and GGUF are read: look for a copy of the model in one of them")),
        [file] => Ok(vec![file.into()]),
        _ => Err(Error::new(ErrorKind::Input, format!("{name}: holds {} GGUF files", packed.len()))
            .help(format!("say which: hf:{}:FILE, with FILE one of {}", name.repository, some(&packed)))),
    }
}

/// The parts of the weights that an index names.
fn shards(snapshot: &Path) -> Result<Vec<String>> {
    let path = snapshot.join(INDEX);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let damaged = || {
        Error::new(ErrorKind::ModelFormat, format!("{}: is no index of weights", path.display()))
            .help("the model on the Hub is damaged; tell its makers")
    };
    let text = polysketch::files::read_text(&path)?;
    let index: serde_json::Value = serde_json::from_str(&text).map_err(|_| damaged())?;
    let map = index["weight_map"].as_object().ok_or_else(damaged)?;
    let mut files: Vec<String> = map.values().filter_map(|file| file.as_str().map(String::from)).collect();
    files.sort();
    files.dedup();
    match files.iter().find(|file| !name::is_plain(file)) {
        Some(_) => Err(damaged()),
        None => Ok(files),
    }
}

/// The model in a snapshot, if all of it is there.
fn complete(name: &Name, snapshot: &Path) -> Option<PathBuf> {
    let has = |file: &str| snapshot.join(file).is_file();
    if let Some(file) = &name.file {
        return has(file).then(|| snapshot.join(file));
    }
    if has(CONFIG) {
        let parts = shards(snapshot).ok()?;
        let all = has(WEIGHTS) || (!parts.is_empty() && parts.iter().all(|part| has(part)));
        return all.then(|| snapshot.to_path_buf());
    }
    let mut packed = std::fs::read_dir(snapshot).ok()?.flatten().map(|entry| entry.path());
    packed.find(|path| path.to_str().is_some_and(is_gguf))
}

fn is_gguf(file: &str) -> bool {
    file.to_ascii_lowercase().ends_with(".gguf")
}

/// A few names.
fn some(names: &[&str]) -> String {
    const MOST: usize = 6;
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names[..names.len().min(MOST)].join(", ") + &more
}
