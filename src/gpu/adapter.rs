//! What adapters there are, and what they can do.

use serde::{Deserialize, Serialize};

use super::hardware::{Hardware, Names};
use super::mixed::{cooperative, lacks};
use super::switches;
use crate::kernels::{DeviceTraits, Precision};

/// The name of an adapter that has none.
const UNNAMED: &str = "unnamed adapter";

/// How much of a GPU an adapter is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AdapterKind {
    /// A card with memory of its own.
    Discrete,
    /// Shares memory with the CPU.
    Integrated,
    /// A slice of a GPU in a virtual machine.
    Virtual,
    /// The API does not tell (browsers, OpenGL).
    Other,
    /// A CPU that pretends to be a GPU.
    Software,
}

impl std::fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Virtual => "virtual",
            AdapterKind::Other => "other",
            AdapterKind::Software => "software",
        })
    }
}

/// The limits that matter to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterLimits {
    /// Largest storage binding, bytes.
    pub max_storage_buffer_binding_size: u64,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Storage buffers one shader may bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Workgroup memory, bytes.
    pub max_compute_workgroup_storage_size: u32,
    /// Invocations in a workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Workgroup size in x, y, z.
    pub max_compute_workgroup_size: [u32; 3],
    /// Workgroups in one dimension of a dispatch.
    pub max_compute_workgroups_per_dimension: u32,
    /// Alignment of dynamic uniform offsets, bytes.
    pub min_uniform_buffer_offset_alignment: u32,
    /// Alignment of storage binding offsets, bytes.
    pub min_storage_buffer_offset_alignment: u32,
    /// Bytes of immediates (push constants).
    pub max_immediate_size: u32,
    /// Subgroup sizes, smallest and largest; `None` without subgroups.
    pub subgroup_size: Option<[u32; 2]>,
}

/// The optional features that matter to compute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterFeatures {
    /// Subgroup operations.
    pub subgroups: bool,
    /// 16-bit floats in shaders.
    pub shader_f16: bool,
    /// Timestamps at the ends of passes.
    pub timestamp_query: bool,
    /// Timestamps between the dispatches of a pass.
    pub timestamp_query_inside_passes: bool,
    /// Compiled pipelines can be saved.
    pub pipeline_cache: bool,
    /// Immediates (push constants).
    pub immediates: bool,
    /// Rows, columns and inner indices of the largest cooperative matrices of halves with sums in f32; none without
    /// them, without 16-bit floats or subgroups.
    #[serde(default)]
    pub cooperative: Option<u32>,
}

/// Everything about one adapter, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// Place in the list, best first; what `--adapter INDEX` means.
    pub index: usize,
    /// Name, as the driver tells it.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// How much of a GPU it is.
    pub kind: AdapterKind,
    /// PCI vendor id, or 0.
    pub vendor: u32,
    /// PCI device id, or 0.
    pub device: u32,
    /// PCI address (`0000:01:00.0`), or empty where the API does not tell.
    #[serde(default)]
    pub bus: String,
    /// Which of several adapters of the same name and backend, from 1; none: there is but one.
    #[serde(default)]
    pub number: Option<usize>,
    /// Driver, may be empty.
    pub driver: String,
    /// Driver version, may be empty.
    pub driver_info: String,
    /// Who made it, and what is known of the chip; nothing of a weak device.
    #[serde(default)]
    pub hardware: Hardware,
    /// Limits.
    pub limits: AdapterLimits,
    /// Features.
    pub features: AdapterFeatures,
    /// Why this engine cannot use it; `None` if it can.
    pub unusable: Option<String>,
    /// The adapter that is the same device through a better API.
    pub duplicate_of: Option<usize>,
}

/// An adapter that a device can be created from.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// What it is.
    pub report: AdapterReport,
    /// wgpu's handle.
    pub raw: wgpu::Adapter,
}

/// All adapters of this machine (in a browser: the one it offers), best first.
pub async fn enumerate() -> Vec<Adapter> {
    let mut adapters = Vec::new();
    for raw in raw_adapters().await {
        let unusable = unusable(&raw.get_info(), &raw.limits(), raw.get_downlevel_capabilities().flags);
        let cooperative = cooperative(&raw);
        let report = AdapterReport::new(&raw.get_info(), &raw.limits(), raw.features(), unusable)
            .with_cooperative(cooperative);
        #[cfg(target_arch = "wasm32")]
        let report = named_by_browser(report).await;
        adapters.push(Adapter { report, raw });
    }
    let mut reports: Vec<AdapterReport> = adapters.iter().map(|a| a.report.clone()).collect();
    for (place, from) in order(&mut reports).into_iter().enumerate() {
        adapters[from].report = reports[place].clone();
    }
    adapters.sort_by_key(|a| a.report.index);
    adapters
}

/// A compute-only instance: no windows, and none of wgpu's helper shaders for indirect calls.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION_INDIRECT_CALL);
    let descriptor = descriptor.with_env();
    wgpu::Instance::new(descriptor)
}

#[cfg(not(target_arch = "wasm32"))]
async fn raw_adapters() -> Vec<wgpu::Adapter> {
    instance().enumerate_adapters(wgpu::Backends::all()).await
}

#[cfg(target_arch = "wasm32")]
async fn raw_adapters() -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    // Elsewhere (Node) there is no WebGPU, and wgpu panics instead of saying so.
    let global = js_sys::global();
    let has = |name: &str| js_sys::Reflect::has(&global, &name.into()).unwrap_or(false);
    if !has("Window") && !has("WorkerGlobalScope") {
        return Vec::new();
    }
    match instance().request_adapter(&options).await {
        Ok(adapter) => vec![adapter],
        Err(error) => {
            log::info!("no WebGPU adapter: {error}");
            Vec::new()
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Adapter {
    /// The same adapter, asked for again: a browser makes one device of each, and an engine one device a
    /// model.
    pub(super) async fn renewed(&self) -> Self {
        let raw = raw_adapters().await.pop().unwrap_or_else(|| self.raw.clone());
        Self { report: self.report.clone(), raw }
    }
}

/// Browsers hide the adapter's name, but tell its vendor and architecture.
#[cfg(target_arch = "wasm32")]
async fn named_by_browser(mut report: AdapterReport) -> AdapterReport {
    let words = vendor_and_architecture().await.unwrap_or_default();
    if report.name == UNNAMED && !words.is_empty() {
        report.name = words.join(" ");
    }
    if words.iter().any(|word| word == "swiftshader") {
        report.kind = AdapterKind::Software;
    }
    report.hardware = report.known_hardware();
    report
}

/// wgpu passes on neither, so the browser is asked again, with the options of [`raw_adapters`].
#[cfg(target_arch = "wasm32")]
async fn vendor_and_architecture() -> Option<Vec<String>> {
    use js_sys::{Function, Object, Promise, Reflect};
    use wasm_bindgen::{JsCast, JsValue};
    let get = |of: &JsValue, key: &str| Reflect::get(of, &key.into()).ok();
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let options = Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: Promise = request.call1(&gpu, &options).ok()?.dyn_into().ok()?;
    let info = get(&wasm_bindgen_futures::JsFuture::from(promise).await.ok()?, "info")?;
    Some(
        ["vendor", "architecture"]
            .iter()
            .filter_map(|key| get(&info, key)?.as_string())
            .filter(|w| !w.is_empty())
            .collect(),
    )
}

/// Sorts reports best first, numbers them and marks duplicates; returns the old place of each.
pub(super) fn order(reports: &mut Vec<AdapterReport>) -> Vec<usize> {
    // OpenGL neither tells the device id nor, often, the kind: it inherits them from the same
    // vendor's device behind a native API.
    let native: Vec<AdapterReport> =
        reports.iter().filter(|r| r.backend != "gl" && r.unusable.is_none()).cloned().collect();
    let twin = |r: &AdapterReport| {
        let same = |n: &&AdapterReport| {
            r.backend == "gl"
                && r.vendor != 0
                && n.vendor == r.vendor
                && (n.device == r.device || r.device == 0)
        };
        native.iter().find(same).cloned()
    };
    let twins: Vec<Option<AdapterReport>> = reports.iter().map(twin).collect();
    for (report, twin) in reports.iter_mut().zip(&twins) {
        if let Some(twin) = twin {
            report.kind = twin.kind;
        }
    }
    let mut places: Vec<usize> = (0..reports.len()).collect();
    places.sort_by_key(|&i| {
        let r = &reports[i];
        (r.unusable.is_some(), r.kind, twins[i].is_some(), api_rank(r), software_rank(r))
    });
    let sorted: Vec<AdapterReport> = places.iter().map(|&i| reports[i].clone()).collect();
    let twins: Vec<Option<AdapterReport>> = places.iter().map(|&i| twins[i].clone()).collect();
    *reports = sorted;
    for place in 0..reports.len() {
        reports[place].index = place;
        reports[place].duplicate_of = twins[place]
            .as_ref()
            .and_then(|twin| reports.iter().position(|r| r.name == twin.name && r.backend == twin.backend));
    }
    number(reports);
    places
}

/// Tells adapters of one name and backend apart: by bus, else by their order.
fn number(reports: &mut [AdapterReport]) {
    let numbers: Vec<Option<usize>> = reports
        .iter()
        .map(|report| {
            let mut alike: Vec<&AdapterReport> = reports
                .iter()
                .filter(|other| other.name == report.name && other.backend == report.backend)
                .collect();
            alike.sort_by_key(|other| (&other.bus, other.index));
            let place = alike.iter().position(|other| other.index == report.index)?;
            (alike.len() > 1).then_some(place + 1)
        })
        .collect();
    reports.iter_mut().zip(numbers).for_each(|(report, number)| report.number = number);
}

fn api_rank(report: &AdapterReport) -> usize {
    ["vulkan", "metal", "dx12", "webgpu", "gl"]
        .iter()
        .position(|b| *b == report.backend)
        .unwrap_or(usize::MAX)
}

/// Software adapters, fastest first.
fn software_rank(report: &AdapterReport) -> usize {
    let name = report.name.to_lowercase();
    ["llvmpipe", "basic render", "swiftshader"]
        .iter()
        .position(|known| name.contains(known))
        .unwrap_or(usize::MAX)
}

/// Known CPU rasterisers, whatever their driver says of their type.
fn is_software(info: &wgpu::AdapterInfo) -> bool {
    const KNOWN: [&str; 6] =
        ["llvmpipe", "lavapipe", "swiftshader", "softpipe", "basic render driver", "warp"];
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu || KNOWN.iter().any(|known| name.contains(known))
}

/// Why an adapter cannot be used: it must run compute shaders and reach WebGPU's default limits.
fn unusable(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, flags: wgpu::DownlevelFlags) -> Option<String> {
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some(format!("the {} driver has no compute shaders", backend_name(info.backend)));
    }
    // NVIDIA's driver gives the OpenGL 3.3 that wgpu asks for and offers compute shaders as an extension,
    // which naga does not write.
    if info.backend == wgpu::Backend::Gl
        && let Some(version) = desktop_gl(&info.driver_info).filter(|version| *version < (4, 3))
    {
        return Some(format!(
            "its OpenGL context is {}.{}, compute shaders need 4.3; take it through vulkan",
            version.0, version.1
        ));
    }
    below_floor(limits)
}

/// Version of a desktop OpenGL context, from a driver's description that begins with it.
pub(super) fn desktop_gl(driver_info: &str) -> Option<(u32, u32)> {
    let mut numbers = driver_info.split_whitespace().next()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The first limit that is below the floor.
pub(super) fn below_floor(have: &wgpu::Limits) -> Option<String> {
    let floor = wgpu::Limits::defaults();
    let at_least = |name: &str, have: u64, want: u64| {
        (have < want).then(|| format!("{name} is {have}, {want} is needed"))
    };
    at_least(
        "max_storage_buffer_binding_size",
        have.max_storage_buffer_binding_size,
        floor.max_storage_buffer_binding_size,
    )
    .or_else(|| at_least("max_buffer_size", have.max_buffer_size, floor.max_buffer_size))
    .or_else(|| {
        [
            (
                "max_storage_buffers_per_shader_stage",
                have.max_storage_buffers_per_shader_stage,
                floor.max_storage_buffers_per_shader_stage,
            ),
            (
                "max_compute_workgroup_storage_size",
                have.max_compute_workgroup_storage_size,
                floor.max_compute_workgroup_storage_size,
            ),
            (
                "max_compute_invocations_per_workgroup",
                have.max_compute_invocations_per_workgroup,
                floor.max_compute_invocations_per_workgroup,
            ),
            (
                "max_compute_workgroup_size_x",
                have.max_compute_workgroup_size_x,
                floor.max_compute_workgroup_size_x,
            ),
            (
                "max_compute_workgroup_size_y",
                have.max_compute_workgroup_size_y,
                floor.max_compute_workgroup_size_y,
            ),
            (
                "max_compute_workgroup_size_z",
                have.max_compute_workgroup_size_z,
                floor.max_compute_workgroup_size_z,
            ),
            (
                "max_compute_workgroups_per_dimension",
                have.max_compute_workgroups_per_dimension,
                floor.max_compute_workgroups_per_dimension,
            ),
            (
                "max_dynamic_uniform_buffers_per_pipeline_layout",
                have.max_dynamic_uniform_buffers_per_pipeline_layout,
                1,
            ),
        ]
        .into_iter()
        .find_map(|(name, have, want)| at_least(name, have.into(), want.into()))
    })
    .or_else(|| {
        (have.min_uniform_buffer_offset_alignment > 256)
            .then(|| "uniform offsets need an alignment above 256".to_string())
    })
}

pub(super) fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        wgpu::Backend::BrowserWebGpu => "webgpu",
        wgpu::Backend::Noop => "noop",
    }
}

impl AdapterReport {
    /// One of which no more is known.
    #[cfg(test)]
    pub(crate) fn named(name: &str, backend: &str) -> Self {
        Self {
            index: 0,
            name: name.into(),
            backend: backend.into(),
            kind: AdapterKind::Other,
            vendor: 0,
            device: 0,
            bus: String::new(),
            number: None,
            driver: String::new(),
            driver_info: String::new(),
            hardware: Hardware::default(),
            limits: AdapterLimits::default(),
            features: AdapterFeatures::default(),
            unusable: None,
            duplicate_of: None,
        }
    }

    /// The report of one adapter or device, not yet numbered.
    pub(super) fn new(
        info: &wgpu::AdapterInfo,
        limits: &wgpu::Limits,
        features: wgpu::Features,
        unusable: Option<String>,
    ) -> Self {
        let weak = switches::weak();
        let limits = if weak { &wgpu::Limits::defaults().or_worse_values_from(limits) } else { limits };
        let has = |feature| !weak && features.contains(feature);
        let kind = match info.device_type {
            _ if is_software(info) => AdapterKind::Software,
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Other | wgpu::DeviceType::Cpu => AdapterKind::Other,
        };
        let name = if info.name.is_empty() { UNNAMED.to_string() } else { info.name.clone() };
        let mut report = Self {
            index: 0,
            name,
            backend: backend_name(info.backend).to_string(),
            kind,
            vendor: info.vendor,
            device: info.device,
            bus: info.device_pci_bus_id.clone(),
            number: None,
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            hardware: Hardware::default(),
            limits: AdapterLimits {
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                max_buffer_size: limits.max_buffer_size,
                max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
                max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
                max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
                max_compute_workgroup_size: [
                    limits.max_compute_workgroup_size_x,
                    limits.max_compute_workgroup_size_y,
                    limits.max_compute_workgroup_size_z,
                ],
                max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
                min_uniform_buffer_offset_alignment: limits.min_uniform_buffer_offset_alignment,
                min_storage_buffer_offset_alignment: limits.min_storage_buffer_offset_alignment,
                max_immediate_size: limits.max_immediate_size,
                subgroup_size: has(wgpu::Features::SUBGROUP)
                    .then_some([info.subgroup_min_size, info.subgroup_max_size]),
            },
            features: AdapterFeatures {
                subgroups: has(wgpu::Features::SUBGROUP),
                shader_f16: has(wgpu::Features::SHADER_F16),
                timestamp_query: has(wgpu::Features::TIMESTAMP_QUERY),
                timestamp_query_inside_passes: has(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
                pipeline_cache: has(wgpu::Features::PIPELINE_CACHE),
                immediates: has(wgpu::Features::IMMEDIATES),
                cooperative: None,
            },
            unusable,
            duplicate_of: None,
        };
        report.hardware = report.known_hardware();
        report
    }

    /// The same with cooperative matrices of that size.
    pub(super) fn with_cooperative(mut self, cooperative: Option<u32>) -> Self {
        self.features.cooperative = cooperative;
        self
    }

    /// What it lacks for mixed precision, for people; none where it has all of it.
    pub fn lacks_mixed(&self) -> Option<&'static str> {
        lacks(self.features.cooperative, &self.backend, self.features.shader_f16)
    }

    /// Who made it, by its name, ids and driver. Of a weak device kernels know nothing.
    fn known_hardware(&self) -> Hardware {
        if switches::weak() {
            return Hardware::default();
        }
        let software = self.kind == AdapterKind::Software;
        Hardware::of(&Names { software, vendor: self.vendor, name: &self.name, driver: &self.driver })
    }

    /// Whether this engine can run on it, or why not.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub fn usable(&self) -> Result<(), &str> {
        self.unusable.as_deref().map_or(Ok(()), Err)
    }

    /// `name (backend)`; of several of one name, `name #2 (backend)`.
    pub fn label(&self) -> String {
        let number = self.number.map_or(String::new(), |number| format!(" #{number}"));
        format!("{}{number} ({})", self.name, self.backend)
    }

    /// What kernels may know of it: the best that a device made from it can offer.
    pub fn traits(&self) -> DeviceTraits {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let software = self.kind == AdapterKind::Software;
        DeviceTraits {
            shaders: true,
            software,
            vendor: self.hardware.vendor,
            subgroups: self.limits.subgroup_size.map(|range| range.map(|size| size as usize)),
            cooperative: self.features.cooperative.map(|side| side as usize),
            precision: Precision::F32,
            processors: self.hardware.processors.map(|count| count as usize),
            registers: self.hardware.registers.map(|count| count as usize),
            // Mesa, LP_MAX_TGSI_LOOP_ITERATIONS: a guard against shaders that never end.
            loop_iterations: self.name.contains("llvmpipe").then_some(65_535),
            max_binding: size(self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)),
            max_buffer: size(self.limits.max_buffer_size),
            workgroup_memory: self.limits.max_compute_workgroup_storage_size as usize,
            max_invocations: self.limits.max_compute_invocations_per_workgroup as usize,
            tuning: Default::default(),
        }
    }
}
