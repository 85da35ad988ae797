//! What tells models apart.

use xxhash_rust::xxh3::Xxh3;

use super::checkpoint::Checkpoint;
use super::config::ModelConfig;
use crate::error::Result;

/// A number that tells models apart: the same on every platform, another one for any other configuration or
/// weights (XXH3 over the configuration as JSON and, by name, each expected tensor's name, type, shape and
/// stored bytes).
///
/// # Errors
/// Those of the files.
pub async fn fingerprint(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<u64> {
    let mut hash = Xxh3::new();
    let text = |hash: &mut Xxh3, s: &str| {
        hash.update(&(s.len() as u64).to_le_bytes());
        hash.update(s.as_bytes());
    };
    text(&mut hash, "polysketch model 1");
    // Where a text ends is no part of what is computed.
    text(&mut hash, &ModelConfig { eos_token_id: Vec::new(), ..config.clone() }.to_json());
    if let Some(linearized) = &config.linearized {
        text(&mut hash, &format!("{linearized:?}"));
    }
    let mut names: Vec<String> = config.parameters().into_iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    for name in names {
        if let Some(mut stretches) = checkpoint.stretches(&name) {
            text(&mut hash, &name);
            text(&mut hash, &format!("{} {:?}", stretches.tensor.stored, stretches.tensor.shape));
            while let Some(bytes) = stretches.next().await? {
                hash.update(&bytes);
            }
        }
    }
    Ok(hash.digest())
}
