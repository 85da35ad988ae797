//! Checked, counted allocation and uploads with bounded staging memory.

use super::GpuContext;
use super::counted::Buffer;
use super::fault;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of one write; wgpu copies each into a staging buffer of its own.
const UPLOAD_CHUNK: usize = 32 << 20;
/// Staging memory that may be in flight before an upload waits for the device.
const UPLOAD_IN_FLIGHT: usize = 64 << 20;

impl GpuContext {
    /// A zeroed buffer of at least `bytes` (rounded up to whole words, never empty). The limit is
    /// checked before the driver is asked, and what the driver says comes back as an error.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for more than a buffer of the device holds; [`ErrorKind::OutOfMemory`];
    /// [`ErrorKind::DeviceLost`].
    pub async fn create_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        self.check_lost()?;
        let limit = self.report().limits.max_buffer_size;
        let Some(size) = bytes.max(4).checked_next_multiple_of(4).filter(|size| *size <= limit) else {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "buffer '{label}' needs {} MiB, a buffer on {} holds at most {} MiB",
                    mib(bytes),
                    self.report().label(),
                    limit >> 20
                ),
            )
            .help("use a smaller model, batch or context, another adapter, or --backend cpu"));
        };
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let made = self
            .scoped(format!("buffer '{label}' of {} MiB", mib(size)), |device| {
                device.create_buffer(&descriptor)
            })
            .await;
        let raw = made.map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => fault::out_of_memory(
                &format!("buffer '{label}' of {} MiB", mib(size)),
                &format!("{} MiB are in use by this program", self.allocated_bytes() >> 20),
            ),
            _ => error,
        })?;
        Ok(Buffer::counted(raw, self.ledger()))
    }

    /// A storage buffer that can be written and read back.
    ///
    /// # Errors
    /// As [`Self::create_buffer`].
    pub async fn create_storage(&self, label: &str, bytes: u64) -> Result<Buffer> {
        self.create_buffer(
            label,
            bytes,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        )
        .await
    }

    /// A storage buffer that holds `bytes`.
    ///
    /// # Errors
    /// As [`Self::create_buffer`] and [`Self::upload`].
    pub async fn storage_from(&self, label: &str, bytes: &[u8]) -> Result<Buffer> {
        let buffer = self.create_storage(label, bytes.len() as u64).await?;
        self.upload(&buffer, 0, bytes).await?;
        Ok(buffer)
    }

    /// Writes `bytes` at `offset` (a multiple of 4; a last partial word is filled up with zeros).
    /// However much it is, staging memory stays below some 64 MiB: the device is waited for in between.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for bytes that do not fit there; a lost device.
    pub async fn upload(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_lost()?;
        let end = (bytes.len() as u64).checked_next_multiple_of(4).and_then(|n| n.checked_add(offset));
        if !offset.is_multiple_of(4) || end.is_none_or(|end| end > buffer.size()) {
            return Err(Error::new(
                ErrorKind::Device,
                format!("{} bytes do not fit at {offset} of a buffer of {}", bytes.len(), buffer.size()),
            ));
        }
        let (mut at, mut in_flight) = (offset, 0);
        for chunk in bytes.chunks(UPLOAD_CHUNK) {
            let whole = chunk.len() & !3;
            if whole > 0 {
                self.queue().write_buffer(buffer, at, &chunk[..whole]);
            }
            if whole < chunk.len() {
                let mut word = [0; 4];
                word[..chunk.len() - whole].copy_from_slice(&chunk[whole..]);
                self.queue().write_buffer(buffer, at + whole as u64, &word);
            }
            at += chunk.len() as u64;
            in_flight += chunk.len();
            if in_flight >= UPLOAD_IN_FLIGHT {
                self.queue().submit([]);
                self.submitted_work_done().await?;
                in_flight = 0;
            }
        }
        self.check()
    }
}

/// Whole MiB, or three digits of a smaller size.
fn mib(bytes: u64) -> String {
    if bytes >= 10 << 20 {
        (bytes >> 20).to_string()
    } else {
        format!("{:.3}", bytes as f64 / f64::from(1 << 20))
    }
}
