//! What was found best on an adapter, kept on disk: by adapter, driver and the shaders of this build. Never
//! an error: without it the defaults hold.

use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::AdapterReport;
use crate::kernels::Tuning;
use crate::kernels::contract::shader::{SHARED, SOURCES};
use crate::text::json_bytes;

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
    let bytes = fs::read(&path).ok()?;
    let tuning =
        json_bytes(&bytes).and_then(|value| serde_json::from_value(value).map_err(|e| e.to_string()));
    if let Err(error) = &tuning {
        log::debug!("{} is not used: {error}", path.display());
    }
    tuning.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Tile;
    use crate::kernels::contract::tuning::TunedTile;

    #[test]
    fn what_was_measured_belongs_to_adapter_and_driver() {
        let info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        let report = AdapterReport::new(&info, &wgpu::Limits::defaults(), wgpu::Features::empty(), None);
        let updated = AdapterReport { driver_info: "another version".into(), ..report.clone() };
        let folder = tempfile::tempdir().expect("a folder");
        let file = path(folder.path(), &report);
        assert!(file != path(folder.path(), &updated) && load(folder.path(), &report).is_none());
        let tile = Tile { rows: 4, columns: 4, group: [8, 8] };
        let tuning = Tuning { tiles: vec![TunedTile { rows: 1024, columns: 512, tile }], segment: Some(512) };
        fs::write(&file, serde_json::to_string(&tuning).expect("plain data")).expect("written");
        assert_eq!((load(folder.path(), &report), load(folder.path(), &updated)), (Some(tuning), None));
        fs::write(&file, "{").expect("written");
        assert_eq!(load(folder.path(), &report), None);
    }
}
