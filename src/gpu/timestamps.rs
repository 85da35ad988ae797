//! How long each pass took on the device, where the device can tell.

use super::counted::Buffer;
use super::{GpuContext, Readback};
use crate::error::{Error, ErrorKind, Result};

/// Most queries in one set (WebGPU's limit).
const SET: u32 = 4096;
/// Bytes of one timestamp.
const STAMP: u64 = 8;

/// A begin and an end timestamp for each of a number of passes.
#[derive(Debug)]
pub struct Timestamps {
    sets: Vec<wgpu::QuerySet>,
    resolved: Buffer,
    passes: u32,
    used: u32,
    period: f64,
}

impl Timestamps {
    /// Room for `passes` passes; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// Those of allocating.
    pub async fn new(context: &GpuContext, passes: u32) -> Result<Option<Self>> {
        let period = f64::from(context.queue().get_timestamp_period());
        if !context.features().contains(wgpu::Features::TIMESTAMP_QUERY) || period <= 0.0 || passes == 0 {
            return Ok(None);
        }
        let stamps = passes
            .checked_mul(2)
            .ok_or_else(|| Error::new(ErrorKind::Limit, format!("timestamps for {passes} passes")))?;
        let mut sets = Vec::new();
        for first in (0..stamps).step_by(SET as usize) {
            let count = (stamps - first).min(SET);
            let descriptor =
                wgpu::QuerySetDescriptor { label: Some("timestamps"), ty: wgpu::QueryType::Timestamp, count };
            sets.push(context.scoped("timestamps", |device| device.create_query_set(&descriptor)).await?);
        }
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = context.create_buffer("timestamps", u64::from(stamps) * STAMP, usage).await?;
        Ok(Some(Self { sets, resolved, passes, used: 0, period }))
    }

    /// Forgets the passes of the last run.
    pub fn restart(&mut self) {
        self.used = 0;
    }

    /// For the descriptor of the next compute pass; `None` when all are used.
    pub fn next_pass(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        if self.used == self.passes {
            return None;
        }
        let stamp = self.used * 2;
        self.used += 1;
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[(stamp / SET) as usize],
            beginning_of_pass_write_index: Some(stamp % SET),
            end_of_pass_write_index: Some(stamp % SET + 1),
        })
    }

    /// Records, after the passes and into the same encoder, the copy of their timestamps to the host.
    ///
    /// # Errors
    /// Those of allocating.
    pub async fn stage(&self, context: &GpuContext, encoder: &mut wgpu::CommandEncoder) -> Result<Readback> {
        let stamps = self.used * 2;
        for (set, first) in self.sets.iter().zip((0..stamps).step_by(SET as usize)) {
            encoder.resolve_query_set(
                set,
                0..(stamps - first).min(SET),
                &self.resolved,
                u64::from(first) * STAMP,
            );
        }
        context.stage_read(encoder, &self.resolved, 0..u64::from(stamps) * STAMP).await
    }

    /// Nanoseconds of each pass, in order. A pass whose clock ran backwards (GPUs that change
    /// frequency, browsers that coarsen) counts as 0.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn finish(
        &self,
        context: &GpuContext,
        read: Readback,
        after: &wgpu::SubmissionIndex,
    ) -> Result<Vec<f64>> {
        let bytes = context.finish_read(read, after).await?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(stamps.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * self.period).collect())
    }
}
