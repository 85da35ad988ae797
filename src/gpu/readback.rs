//! Bytes back from the device. Staging buffers are reused, and a read can be staged behind one
//! submission and finished many submissions later, so that decoding does not wait for each token.

use std::ops::Range;

use super::GpuContext;
use super::counted::Buffer;
use super::wait::Promise;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of one staged copy in [`GpuContext::read_buffer`].
const CHUNK: u64 = 32 << 20;
/// Smallest staging buffer; sizes go up in powers of two.
const SMALLEST: u64 = 4 << 10;

/// A copy to the host that was recorded but not yet read.
#[derive(Debug)]
pub struct Readback {
    staging: Buffer,
    /// Where the asked-for bytes lie in the staging buffer.
    bytes: Range<usize>,
    /// Bytes copied: whole words.
    copied: u64,
}

impl GpuContext {
    /// Records a copy of `range` of `source` (which needs `COPY_SRC`) to the host; submit `encoder`,
    /// then give the result to [`Self::finish_read`].
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for a range outside the buffer; those of allocating.
    pub async fn stage_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        range: Range<u64>,
    ) -> Result<Readback> {
        if range.start > range.end || range.end > source.size() {
            return Err(Error::new(
                ErrorKind::Device,
                format!("a read of bytes {range:?} of a buffer of {}", source.size()),
            ));
        }
        let start = range.start & !3;
        let copied = range.end.next_multiple_of(4).min(source.size()) - start;
        let size = copied.max(SMALLEST).next_power_of_two();
        let staging = match self.staging().take(size) {
            Some(buffer) => buffer,
            None => {
                self.create_buffer(
                    "readback",
                    size,
                    wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                )
                .await?
            }
        };
        if copied > 0 {
            encoder.copy_buffer_to_buffer(source, start, &staging, 0, copied);
        }
        let lead = (range.start - start) as usize;
        Ok(Readback { staging, bytes: lead..lead + (range.end - range.start) as usize, copied })
    }

    /// Waits for the submission that `read` was recorded into and returns its bytes. Later submissions
    /// are not waited for.
    ///
    /// # Errors
    /// Those of the device: a fault makes what was read meaningless.
    pub async fn finish_read(&self, read: Readback, after: &wgpu::SubmissionIndex) -> Result<Vec<u8>> {
        if read.bytes.is_empty() {
            self.staging().give(read.staging);
            return Ok(Vec::new());
        }
        let (promise, keep) = Promise::new();
        read.staging.map_async(wgpu::MapMode::Read, ..read.copied, keep);
        if let Err(wgpu::BufferAsyncError) = self.wait_for(promise, Some(after)).await? {
            self.check()?;
            return Err(Error::new(
                ErrorKind::DeviceLost,
                "the device was lost before its results could be read",
            )
            .help("create a new engine; saved states stay valid"));
        }
        let bytes = match read.staging.get_mapped_range(..read.copied) {
            Ok(view) => view[read.bytes].to_vec(),
            Err(error) => {
                return Err(Error::new(ErrorKind::Device, format!("reading back: {error}"))
                    .help("the driver failed; use another adapter"));
            }
        };
        read.staging.unmap();
        self.staging().give(read.staging);
        self.check()?;
        Ok(bytes)
    }

    /// The bytes of `range` of `source` (which needs `COPY_SRC`), after everything submitted so far.
    ///
    /// # Errors
    /// As [`Self::stage_read`] and [`Self::finish_read`].
    pub async fn read_buffer(&self, source: &wgpu::Buffer, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut start = range.start;
        loop {
            // Cuts fall on whole words.
            let part = start..range.end.min((start & !3).saturating_add(CHUNK));
            let mut encoder = self.encoder("readback");
            let read = self.stage_read(&mut encoder, source, part.clone()).await?;
            let index = self.submit(encoder);
            let part_bytes = self.finish_read(read, &index).await?;
            if part.end == range.end && bytes.is_empty() {
                return Ok(part_bytes);
            }
            bytes.extend_from_slice(&part_bytes);
            start = part.end;
            if start >= range.end {
                return Ok(bytes);
            }
        }
    }

    /// [`Self::read_buffer`] as numbers.
    ///
    /// # Errors
    /// As [`Self::read_buffer`].
    pub async fn read_pod<T: bytemuck::Pod>(
        &self,
        source: &wgpu::Buffer,
        range: Range<u64>,
    ) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_buffer(source, range).await?))
    }
}
