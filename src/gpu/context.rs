//! A device with the limits a model needs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::adapter::{Adapter, AdapterReport, below_floor};
use super::checks::Checks;
use super::counted::Ledger;
use super::fault::{self, Faults};
use super::hardware::Hardware;
use super::mixed::MIXED_PRECISION;
use super::staging::StagingPool;
use super::switches;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{DeviceTraits, Precision};

/// What a model needs beyond WebGPU's default limits; known before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Largest storage binding, bytes.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Default limits and no optional features, whatever the adapter offers.
    pub weak: bool,
    /// Mixed: halves and cooperative matrices too, which wgpu calls experimental.
    pub precision: Precision,
}

impl Default for Needs {
    /// Nothing beyond the default limits; weak if `POLYSKETCH_WEAK` says so.
    fn default() -> Self {
        Self { max_binding: 0, max_buffer: 0, weak: switches::weak(), precision: Precision::F32 }
    }
}

/// What the driver says of something that was created.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Verdict = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
#[cfg(target_arch = "wasm32")]
pub(super) type Verdict = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A device, its queue and what is known of them. Cheap to clone.
#[derive(Clone)]
pub struct GpuContext(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    features: wgpu::Features,
    checks: Checks,
    faults: Arc<Faults>,
    ledger: Arc<Ledger>,
    staging: StagingPool,
}

impl fmt::Debug for GpuContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuContext")
            .field("adapter", &self.0.report.label())
            .field("allocated", &self.0.ledger.now())
            .finish_non_exhaustive()
    }
}

impl GpuContext {
    /// Creates a device of `adapter` that meets `needs`, with every optional feature the engine can
    /// use. Limits beyond the default are asked for only as far as they are needed.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for an adapter that cannot be used; [`ErrorKind::Limit`] for needs beyond its
    /// limits; [`ErrorKind::Device`] if the driver gives no device; [`ErrorKind::Input`] for a
    /// `POLYSKETCH_CHECKS` that is neither `on` nor `off`.
    pub async fn create(adapter: &Adapter, needs: Needs) -> Result<Self> {
        #[cfg(target_arch = "wasm32")]
        let adapter = &adapter.renewed().await;
        let report = &adapter.report;
        if let Err(reason) = report.usable() {
            return Err(Error::new(
                ErrorKind::Adapter,
                format!("adapter {} cannot be used: {reason}", report.label()),
            )
            .help("update its driver, take another adapter, or use --backend cpu"));
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("polysketch"),
            required_features: wanted_features(&adapter.raw, &needs),
            required_limits: wanted_limits(report, &adapter.raw.limits(), &needs)?,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            experimental_features: experimental(&needs),
            ..Default::default()
        };
        let (device, queue) = adapter.raw.request_device(&descriptor).await.map_err(|error| {
            Error::new(
                ErrorKind::Device,
                format!("{}: no device: {}", report.label(), fault::one_line(&error.to_string())),
            )
            .help("take another adapter, or use --backend cpu")
        })?;
        let mut got = AdapterReport::new(&adapter.raw.get_info(), &device.limits(), device.features(), None);
        if device.features().contains(MIXED_PRECISION) {
            got = got.with_cooperative(report.features.cooperative);
        }
        // What the list of adapters found out goes beyond what a driver says.
        (got.index, got.name, got.kind, got.number, got.duplicate_of) =
            (report.index, report.name.clone(), report.kind, report.number, report.duplicate_of);
        got.hardware = if needs.weak { Hardware::default() } else { report.hardware.clone() };
        let context = Self::assemble(device, queue, got)?;
        context.watch();
        let checks = context.checks();
        log::debug!("device on {}: {:?}, checks {checks:?}", context.report().label(), context.traits());
        Ok(context)
    }

    /// Wraps a device that belongs to the caller. Its error handlers are the caller's: [`Self::watch`]
    /// replaces them by this context's, which never panic.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a device below the floor; [`ErrorKind::Input`] for a `POLYSKETCH_CHECKS` that is
    /// neither `on` nor `off`.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        if let Some(reason) = below_floor(&device.limits()) {
            return Err(Error::new(ErrorKind::Limit, format!("the device's limits are too low: {reason}"))
                .help("create the device with wgpu::Limits::defaults() or better"));
        }
        let report = AdapterReport::new(&device.adapter_info(), &device.limits(), device.features(), None);
        Self::assemble(device, queue, report)
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, report: AdapterReport) -> Result<Self> {
        let features = device.features();
        let checks = Checks::on(report.kind)?;
        // Send and Sync natively; in a browser wgpu's handles are neither, and there is one thread.
        #[allow(
            clippy::arc_with_non_send_sync,
            reason = "in a browser, what wgpu hands out stays on its thread"
        )]
        Ok(Self(Arc::new(Inner {
            device,
            queue,
            report,
            features,
            checks,
            faults: Arc::default(),
            ledger: Arc::default(),
            staging: StagingPool::default(),
        })))
    }

    /// Routes the device's uncaptured errors and its loss to [`Self::check`].
    pub fn watch(&self) {
        self.0.faults.install(&self.0.device);
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// The adapter, with the limits and features that this device got, which may be fewer than the
    /// adapter has.
    pub fn report(&self) -> &AdapterReport {
        &self.0.report
    }

    /// The features that this device got.
    pub fn features(&self) -> wgpu::Features {
        self.0.features
    }

    /// What shaders of ours carry here.
    pub(super) fn checks(&self) -> Checks {
        self.0.checks
    }

    /// What kernels may know of the device.
    pub fn traits(&self) -> DeviceTraits {
        self.0.report.traits()
    }

    /// Bytes in buffers of this context that are alive.
    pub fn allocated_bytes(&self) -> u64 {
        self.0.ledger.now()
    }

    /// Buffers of this context that are in use.
    pub fn allocated_buffers(&self) -> u64 {
        self.0.ledger.buffers()
    }

    /// The most there ever were.
    pub fn peak_bytes(&self) -> u64 {
        self.0.ledger.peak()
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.0.ledger
    }

    pub(super) fn staging(&self) -> &StagingPool {
        &self.0.staging
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The first thing that went wrong on this device, if anything did: device lost, out of memory,
    /// or a call that the driver refused. Results computed after a fault mean nothing.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<()> {
        let Some(first) = self.0.faults.first() else { return Ok(()) };
        // Natively the loss of the device is only told to who polls; the fault may be its consequence.
        #[cfg(not(target_arch = "wasm32"))]
        self.poll_once();
        Err(self.0.faults.lost().unwrap_or(first))
    }

    /// Like [`Self::check`], and forgets the fault (a lost device stays lost).
    ///
    /// # Errors
    /// The first fault.
    pub fn take_fault(&self) -> Result<()> {
        self.check().ok();
        self.0.faults.take().map_or(Ok(()), Err)
    }

    /// An error if the device is gone.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceLost`].
    pub fn check_lost(&self) -> Result<()> {
        self.0.faults.lost().map_or(Ok(()), Err)
    }

    /// Destroys the device, as a driver reset would: everything after it reports
    /// [`ErrorKind::DeviceLost`].
    pub fn destroy(&self) {
        self.0.device.destroy();
        self.0.faults.record_lost(fault::lost(wgpu::DeviceLostReason::Destroyed, ""));
    }

    /// Runs `make`, which creates something on the device, and turns what the driver says of it into
    /// an error about `what`.
    ///
    /// # Errors
    /// What the driver says: invalid, out of memory, internal; a lost device.
    pub async fn scoped<T>(
        &self,
        what: impl Into<String>,
        make: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T> {
        let (made, verdict) = self.attempt(what.into(), make);
        verdict.await?;
        Ok(made)
    }

    /// Runs `make` at once and returns what it made with the driver's verdict, which may come later.
    pub(super) fn attempt<T>(&self, what: String, make: impl FnOnce(&wgpu::Device) -> T) -> (T, Verdict) {
        let device = &self.0.device;
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make(device);
        // Scopes belong to the thread and nest, so all are closed before anything is awaited.
        let (validation, memory, internal) = (validation.pop(), memory.pop(), internal.pop());
        let faults = self.0.faults.clone();
        let verdict = async move {
            let errors = [validation.await, memory.await, internal.await];
            if let Some(lost) = faults.lost() {
                return Err(lost);
            }
            errors.into_iter().flatten().next().map_or(Ok(()), |error| Err(fault::from_wgpu(&what, error)))
        };
        (made, Box::pin(verdict))
    }

    /// Submits what was recorded, and remembers what to wait for.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.0.queue.submit([encoder.finish()])
    }

    /// A new encoder.
    pub fn encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.0.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }
}

/// The optional features that something here makes use of.
fn wanted_features(adapter: &wgpu::Adapter, needs: &Needs) -> wgpu::Features {
    if needs.weak {
        return wgpu::Features::empty();
    }
    let useful = wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | wgpu::Features::PIPELINE_CACHE
        | wgpu::Features::SUBGROUP;
    let mixed = match needs.precision {
        Precision::Mixed => MIXED_PRECISION,
        Precision::F32 => wgpu::Features::empty(),
    };
    adapter.features() & (useful | mixed)
}

/// Cooperative matrices are experimental in wgpu: asked for in mixed precision only.
fn experimental(needs: &Needs) -> wgpu::ExperimentalFeatures {
    match needs.precision {
        Precision::F32 => wgpu::ExperimentalFeatures::disabled(),
        // SAFETY: wgpu warns that such features may have faults. Of them only cooperative matrices are asked for,
        // only our own shaders use them, and the indices of their loads and stores are bounded as those of all
        // others (docs/DEVELOPING.md, without checks).
        Precision::Mixed => unsafe { wgpu::ExperimentalFeatures::enabled() },
    }
}

/// The default limits, raised as far as `needs` says; workgroup sizes and memory as far as possible,
/// because they cost nothing and decide which kernel variants there are.
fn wanted_limits(report: &AdapterReport, have: &wgpu::Limits, needs: &Needs) -> Result<wgpu::Limits> {
    // What has nothing to do with compute may be lower than the default (textures, vertices).
    let mut want = wgpu::Limits::defaults().or_worse_values_from(have);
    let mut most = have.clone();
    if needs.weak {
        most = want.clone();
    } else {
        want.max_compute_workgroup_storage_size = have.max_compute_workgroup_storage_size;
        want.max_compute_invocations_per_workgroup = have.max_compute_invocations_per_workgroup;
        want.max_compute_workgroup_size_x = have.max_compute_workgroup_size_x;
        want.max_compute_workgroup_size_y = have.max_compute_workgroup_size_y;
        want.max_compute_workgroup_size_z = have.max_compute_workgroup_size_z;
    }
    let buffer = needs.max_buffer.max(needs.max_binding);
    let (floor, most) = (
        (want.max_storage_buffer_binding_size, want.max_buffer_size),
        (most.max_storage_buffer_binding_size, most.max_buffer_size),
    );
    want.max_storage_buffer_binding_size =
        raised(report, "max_storage_buffer_binding_size", floor.0, needs.max_binding, most.0)?;
    want.max_buffer_size = raised(report, "max_buffer_size", floor.1, buffer, most.1)?;
    Ok(want)
}

fn raised(report: &AdapterReport, name: &str, floor: u64, need: u64, have: u64) -> Result<u64> {
    if need > have {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "{}: {name} is {} MiB, the model needs {} MiB",
                report.label(),
                have >> 20,
                need.div_ceil(1 << 20)
            ),
        )
        .help("use a smaller model, batch or context, another adapter, or --backend cpu"));
    }
    // Some drivers want whole words.
    Ok(need.next_multiple_of(4).min(have).max(floor))
}
