//! What the driver compiled, kept on disk between runs (Vulkan only; other APIs keep such caches
//! themselves). Never an error: a missing, damaged or unwritable file only costs time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::GpuContext;
use crate::error::Result;
use crate::files::{atomic_write, create_folders};

const MAGIC: &[u8; 8] = b"pskcache";
/// Magic, then the checksum of what follows.
const HEADER: usize = MAGIC.len() + 8;

/// One driver's cache and the file it lives in.
#[derive(Debug)]
pub(super) struct DiskCache {
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Checksum of what the file holds.
    saved: AtomicU64,
}

impl DiskCache {
    /// The cache of this device, filled from its file in `folder`; `None` where the device has none.
    pub async fn open(context: &GpuContext, folder: &Path) -> Option<Self> {
        if !context.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(&context.device().adapter_info())?;
        let path = folder.join(format!("{key}_{}.bin", env!("CARGO_PKG_VERSION")));
        let data = read(&path);
        log::debug!("pipeline cache {}: {} bytes", path.display(), data.as_ref().map_or(0, Vec::len));
        let cache = match create(context, data.as_deref()).await {
            Ok(cache) => cache,
            Err(error) => {
                log::debug!("pipeline cache {} not used: {error}", path.display());
                create(context, None).await.ok()?
            }
        };
        let saved = AtomicU64::new(data.map_or(0, |data| checksum(&data)));
        Some(Self { cache, path, saved })
    }

    /// Writes the cache if there is something new in it.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let sum = checksum(&data);
        if self.saved.swap(sum, Ordering::Relaxed) == sum {
            return;
        }
        match write(&self.path, &data) {
            Ok(()) => log::debug!("pipeline cache {}: wrote {} bytes", self.path.display(), data.len()),
            Err(error) => log::debug!("pipeline cache {} not written: {error}", self.path.display()),
        }
    }
}

/// `data`: what [`read`] returned.
async fn create(context: &GpuContext, data: Option<&[u8]>) -> Result<wgpu::PipelineCache> {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("polysketch"), data, fallback: true };
    // SAFETY: `data` is what `PipelineCache::get_data` returned in an earlier run: the file is in the
    // user's own folder, and its magic and checksum were verified. wgpu then compares device and
    // driver version and starts afresh if they differ.
    context.scoped("pipeline cache", |device| unsafe { device.create_pipeline_cache(&descriptor) }).await
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = fs::read(path).ok()?;
    let whole = file.len() >= HEADER
        && file.starts_with(MAGIC)
        && file[MAGIC.len()..HEADER] == checksum(&file[HEADER..]).to_le_bytes();
    if !whole {
        log::debug!("pipeline cache {} is damaged and not used", path.display());
        return None;
    }
    Some(file.split_off(HEADER))
}

fn write(path: &Path, data: &[u8]) -> Result<()> {
    create_folders(path.parent().unwrap_or(Path::new(".")))?;
    let parts = [MAGIC.as_slice(), &checksum(data).to_le_bytes(), data];
    atomic_write(path, |w| parts.iter().try_for_each(|part| w.write_all(part)))
}

/// FNV-1a, 64 bits.
fn checksum(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/cache.bin");
        assert_eq!(read(&path), None);
        write(&path, b"compiled things").unwrap();
        assert_eq!(read(&path).as_deref(), Some(b"compiled things".as_slice()));
        write(&path, b"").unwrap();
        assert_eq!(read(&path).as_deref(), Some(b"".as_slice()));
        write(&path, b"compiled things").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in [0, 9, HEADER + 3] {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).unwrap();
            assert_eq!(read(&path), None);
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&path), None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary files stay");
        assert!(write(Path::new("/proc/nothing/cache.bin"), b"x").is_err());
    }
}
