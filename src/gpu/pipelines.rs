//! WGSL to compiled pipelines, each once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::GpuContext;
use super::checks::Checks;
use super::context::Verdict;
#[cfg(not(target_arch = "wasm32"))]
use super::{footprint::Parsed, pipeline_cache::DiskCache};
use crate::error::{Error, ErrorKind, Result};

/// A shader as its author gives it.
#[derive(Clone, Copy, Debug)]
pub struct Shader<'a> {
    /// Name of the permutation, for messages: `stem+FLAG`.
    pub name: &'a str,
    /// Complete WGSL.
    pub source: &'a str,
    /// Entry point.
    pub entry: &'a str,
    /// The source is ours and tested: see `raw_module` for what that changes.
    pub trusted: bool,
}

/// The one bind group of a kernel: a uniform block with a dynamic offset at binding 0, then storage
/// buffers from binding 1 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes of the uniform block; the driver refuses a shader that expects more. 0: no binding 0.
    pub uniform_bytes: u64,
    /// For each storage binding, whether the shader only reads it.
    pub read_only: Vec<bool>,
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Pipeline {
    /// The pipeline.
    pub raw: wgpu::ComputePipeline,
    /// Its bind group layout.
    pub layout: wgpu::BindGroupLayout,
    name: String,
    uniform_bytes: u64,
    bindings: usize,
}

/// A part of a buffer to bind.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// First byte; a multiple of the device's storage offset alignment (at most 256).
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

impl<'a> Region<'a> {
    /// All of a buffer.
    pub fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, bytes: buffer.size() }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    source: Arc<str>,
    entry: String,
    constants: Vec<(String, u64)>,
    layout: Layout,
    trusted: bool,
}

/// Every pipeline of a context, compiled when first asked for.
#[derive(Debug)]
pub struct Pipelines {
    context: GpuContext,
    known: Mutex<Known>,
    compiled: AtomicUsize,
    #[cfg(not(target_arch = "wasm32"))]
    disk: Option<DiskCache>,
}

/// A shader module, and natively, of a shader that is not ours, what wgpu does not check of it.
#[derive(Clone)]
struct Module {
    raw: wgpu::ShaderModule,
    #[cfg(not(target_arch = "wasm32"))]
    parsed: Option<Arc<Parsed>>,
}

#[derive(Default)]
struct Known {
    modules: HashMap<(Arc<str>, bool), Module>,
    layouts: HashMap<Layout, wgpu::BindGroupLayout>,
    pipelines: HashMap<Key, Arc<Pipeline>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} modules, {} pipelines", self.modules.len(), self.pipelines.len())
    }
}

impl Pipelines {
    /// No pipelines yet; natively, what the driver compiled in earlier runs is read from disk.
    pub async fn new(context: &GpuContext) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        return Self::kept_in(context, crate::files::cache_dir().as_deref()).await;
        #[cfg(target_arch = "wasm32")]
        Self::empty(context)
    }

    fn empty(context: &GpuContext) -> Self {
        Self {
            context: context.clone(),
            known: Mutex::default(),
            compiled: AtomicUsize::new(0),
            #[cfg(not(target_arch = "wasm32"))]
            disk: None,
        }
    }

    /// No pipelines yet; what the driver compiles is kept in `folder`, or nowhere.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn kept_in(context: &GpuContext, folder: Option<&std::path::Path>) -> Self {
        let disk = match folder {
            Some(folder) => DiskCache::open(context, folder).await,
            None => None,
        };
        let mut pipelines = Self::empty(context);
        pipelines.disk = disk;
        pipelines
    }

    /// The pipeline of `shader` with these `override` values (in any order) and this layout.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for a shader that the driver refuses; [`ErrorKind::DeviceLost`].
    pub async fn get(
        &self,
        shader: Shader<'_>,
        constants: &[(&str, f64)],
        layout: &Layout,
    ) -> Result<Arc<Pipeline>> {
        self.start(shader, constants, layout).await
    }

    /// Starts compiling and returns what to wait for, so that a browser can be given many pipelines
    /// before the first answer is awaited.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for a shader that cannot be put together; [`ErrorKind::DeviceLost`].
    pub fn start(
        &self,
        shader: Shader<'_>,
        constants: &[(&str, f64)],
        layout: &Layout,
    ) -> impl Future<Output = Result<Arc<Pipeline>>> + use<'_> {
        let mut key_constants: Vec<(String, u64)> =
            constants.iter().map(|(name, value)| (name.to_string(), value.to_bits())).collect();
        key_constants.sort();
        let key = Key {
            source: shader.source.into(),
            entry: shader.entry.into(),
            constants: key_constants,
            layout: layout.clone(),
            trusted: shader.trusted,
        };
        let known = self.lock().pipelines.get(&key).cloned();
        let making = match known {
            Some(pipeline) => Ok(pipeline),
            None => Err(self.compile(shader, constants, &key)),
        };
        async move {
            let (pipeline, verdict) = match making {
                Ok(pipeline) => return Ok(pipeline),
                Err(making) => making,
            };
            verdict.await?;
            let pipeline = Arc::new(pipeline);
            self.compiled.fetch_add(1, Ordering::Relaxed);
            // Two callers may have compiled the same: the first one stays.
            Ok(self.lock().pipelines.entry(key).or_insert(pipeline).clone())
        }
    }

    fn compile(&self, shader: Shader<'_>, constants: &[(&str, f64)], key: &Key) -> (Pipeline, Verdict) {
        #[cfg(not(target_arch = "wasm32"))]
        let started = std::time::Instant::now();
        let what = describe(shader, constants);
        let layout = &key.layout;
        let ((pipeline, module), verdict) = self.context.attempt(what.clone(), |device| {
            let mut known = self.lock();
            let module = known
                .modules
                .entry((key.source.clone(), key.trusted))
                .or_insert_with(|| module(device, &shader, self.context.checks()))
                .clone();
            let bind_group_layout = known
                .layouts
                .entry(layout.clone())
                .or_insert_with(|| bind_group_layout(device, layout))
                .clone();
            drop(known);
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(shader.name),
                bind_group_layouts: &[Some(&bind_group_layout)],
                immediate_size: 0,
            });
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.name),
                layout: Some(&pipeline_layout),
                module: &module.raw,
                entry_point: Some(shader.entry),
                // Browsers always zero workgroup memory; our kernels write it before they read it, and
                // natively go without (a third of the time of a tiled product on SwiftShader).
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants,
                    zero_initialize_workgroup_memory: !shader.trusted,
                },
                cache: self.disk_cache(),
            });
            let (uniform_bytes, bindings) = (layout.uniform_bytes, layout.read_only.len());
            let pipeline = Pipeline {
                raw,
                layout: bind_group_layout,
                name: shader.name.to_string(),
                uniform_bytes,
                bindings,
            };
            (pipeline, module)
        });
        #[cfg(not(target_arch = "wasm32"))]
        let verdict = {
            log::debug!("compiled {what} in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
            let limits = &self.context.report().limits;
            let fits =
                module.parsed.map_or(Ok(()), |parsed| parsed.check(&what, shader.entry, constants, limits));
            Box::pin(async move { verdict.await.and(fits) })
        };
        #[cfg(target_arch = "wasm32")]
        drop(module);
        (pipeline, verdict)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn disk_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.disk.as_ref().map(|disk| &disk.cache)
    }

    #[cfg(target_arch = "wasm32")]
    fn disk_cache(&self) -> Option<&wgpu::PipelineCache> {
        None
    }

    /// Pipelines compiled so far.
    pub fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Keeps what was compiled for the next run; also happens on drop. Failure is only logged.
    pub fn save(&self) {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(disk) =
            self.disk.as_ref().filter(|_| self.compiled() > 0 && self.context.check_lost().is_ok())
        {
            disk.save();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        self.save();
    }
}

/// `stem+FLAG (TILE = 8, …)`.
fn describe(shader: Shader<'_>, constants: &[(&str, f64)]) -> String {
    let list: Vec<String> = constants.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if list.is_empty() {
        format!("shader {}", shader.name)
    } else {
        format!("shader {} ({})", shader.name, list.join(", "))
    }
}

fn module(device: &wgpu::Device, shader: &Shader<'_>, checks: Checks) -> Module {
    Module {
        raw: raw_module(device, shader, checks),
        #[cfg(not(target_arch = "wasm32"))]
        parsed: (!shader.trusted).then(|| Parsed::new(shader.source).map(Arc::new)).flatten(),
    }
}

/// Compiles to wgpu's own form.
fn raw_module(device: &wgpu::Device, shader: &Shader<'_>, checks: Checks) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl(shader.source.into()),
    };
    if !shader.trusted {
        return device.create_shader_module(descriptor);
    }
    let kept = checks == Checks::Kept;
    // The guard that ends infinite loops is off everywhere: it puts a counter into every loop (5 to 10 % on
    // SwiftShader, nothing on lavapipe) and keeps drivers from unrolling. Rays and meshes are none of ours.
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: kept,
        int_div_checks: kept,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: `trusted` is set for the shaders of this crate alone. Every loop of theirs ends: it runs over a
    // range given by overrides and uniforms. With `Checks::Off`, moreover, no index leaves its array and nothing
    // is divided by zero: docs/DEVELOPING.md ("Without checks") has the argument for each family of shaders and
    // names the tests that hold it, which run every shader with every index and divisor watched.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

fn bind_group_layout(device: &wgpu::Device, layout: &Layout) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset, size| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: wgpu::BufferSize::new(size),
        },
        count: None,
    };
    let uniform = (layout.uniform_bytes > 0)
        .then(|| entry(0, wgpu::BufferBindingType::Uniform, true, layout.uniform_bytes));
    let storage = layout.read_only.iter().zip(1..).map(|(&read_only, binding)| {
        entry(binding, wgpu::BufferBindingType::Storage { read_only }, false, 0)
    });
    let entries: Vec<_> = uniform.into_iter().chain(storage).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

impl Pipeline {
    /// Binds `uniforms` (whose dynamic offset is given when the group is set) and the storage
    /// regions in binding order.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a binding that is too large; [`ErrorKind::Device`] for other bindings than
    /// the shader has.
    pub async fn bind(
        &self,
        context: &GpuContext,
        uniforms: Option<&wgpu::Buffer>,
        regions: &[Region<'_>],
    ) -> Result<wgpu::BindGroup> {
        if regions.len() != self.bindings || uniforms.is_some() != (self.uniform_bytes > 0) {
            let message = format!(
                "shader {}: {} storage buffers given, {} declared",
                self.name,
                regions.len(),
                self.bindings
            );
            return Err(Error::new(ErrorKind::Device, message));
        }
        let most = context.report().limits.max_storage_buffer_binding_size;
        if let Some((i, region)) = regions.iter().enumerate().find(|(_, r)| r.bytes > most) {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "shader {}: binding {} has {} MiB, this device binds at most {} MiB",
                    self.name,
                    i + 1,
                    region.bytes.div_ceil(1 << 20),
                    most >> 20
                ),
            )
            .help("use a smaller model, batch or context, another adapter, or --backend cpu"));
        }
        let part = |buffer, offset, bytes| {
            let size = wgpu::BufferSize::new(bytes);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        };
        let uniform = uniforms
            .map(|buffer| wgpu::BindGroupEntry { binding: 0, resource: part(buffer, 0, self.uniform_bytes) });
        let storage = regions.iter().zip(1..).map(|(r, binding)| wgpu::BindGroupEntry {
            binding,
            resource: part(r.buffer, r.offset, r.bytes),
        });
        let entries: Vec<_> = uniform.into_iter().chain(storage).collect();
        let descriptor =
            wgpu::BindGroupDescriptor { label: Some(&self.name), layout: &self.layout, entries: &entries };
        context
            .scoped(format!("shader {}: bindings", self.name), |device| device.create_bind_group(&descriptor))
            .await
    }
}
