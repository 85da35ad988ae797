//! What was found best on an adapter, kept on disk: by adapter, driver and the shaders of this build. Never an error: without it the defaults hold.

use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::AdapterReport;
use crate::kernels::Tuning;
use crate::kernels::shader::{SHARED, SOURCES};

/// The file of an adapter in `folder`. Another driver or other shaders have another one.
pub fn path(folder: &Path, adapter: &AdapterReport) -> PathBuf {
    let mut hash = Xxh3::new();
    let ids = [adapter.vendor.to_string(), adapter.device.to_string()];
    let words = [&adapter.name, &adapter.backend, &ids[0], &ids[1], &adapter.driver, &adapter.driver_info];
    let shaders = SOURCES.iter().chain(SHARED).flat_map(|(name, text)| [*name, *text]);
    for word in words.into_iter().map(String::as_str).chain(shaders) {
        hash.update(word.as_bytes());
        hash.update(&[0]);
    }
    folder.join(format!("tuning_{:016x}.json", hash.digest()))
}

/// What is known of an adapter.
pub fn load(folder: &Path, adapter: &AdapterReport) -> Option<Tuning> {
    let path = path(folder, adapter);
    let text = fs::read_to_string(&path).ok()?;
    let tuning = serde_json::from_str(&text);
    if let Err(error) = &tuning {
        log::debug!("{} is not used: {error}", path.display());
    }
    tuning.ok()
}
