//! The worker: a process of its own on one vendor's driver, which compiles what it is sent and tells what
//! became of it. It runs through Mesa's loader, on a device that is not there (Mesa's no-op DRM shims).

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};

use ash::vk;

use super::protocol::{Compiled, Device, Hello, Reply, Request, Target, receive, send};
use crate::error::{Error, ErrorKind, Result};

/// Serves requests from stdin until it ends; replies go to stdout, and nothing else does.
///
/// # Errors
/// [`ErrorKind::Io`] where nobody listens.
pub fn serve() -> Result<()> {
    let mut printed = Printed::divert()?;
    let compiler = match Compiler::new() {
        Ok(compiler) => compiler,
        Err(error) => return send(&mut printed.replies, &Hello::Failed(error.to_string())),
    };
    send(&mut printed.replies, &Hello::Ready(Box::new(compiler.device()?)))?;
    let mut requests = std::io::stdin().lock();
    while let Some(request) = receive::<Request>(&mut requests)? {
        let reply = match compiler.compile(&request) {
            Ok(mut compiled) => {
                let text = printed.take()?;
                if request.texts && !text.is_empty() {
                    compiled.texts.push(("printed".into(), text));
                }
                Reply::Compiled(compiled)
            }
            Err(error) => Reply::Refused(error.message().to_string()),
        };
        send(&mut printed.replies, &reply)?;
    }
    Ok(())
}

/// What drivers print: Apple's tells its code by no other way. Stdout becomes a file, and replies go where
/// stdout went.
struct Printed {
    replies: File,
    file: File,
}

impl Printed {
    fn divert() -> Result<Self> {
        let fail = |e: std::io::Error| Error::io("the output of a driver", &e);
        let replies = std::io::stdout().as_fd().try_clone_to_owned().map_err(fail)?;
        let file = tempfile::tempfile().map_err(fail)?;
        // SAFETY: both are open descriptors of this process; 1 stays open, as another file.
        if unsafe { libc::dup2(file.as_raw_fd(), 1) } < 0 {
            return Err(fail(std::io::Error::last_os_error()));
        }
        Ok(Self { replies: replies.into(), file })
    }

    /// What was printed since the last time.
    fn take(&mut self) -> Result<String> {
        let fail = |e: std::io::Error| Error::io("the output of a driver", &e);
        // SAFETY: flushes all streams of the C library; no other thread of ours writes to one.
        unsafe { libc::fflush(std::ptr::null_mut()) };
        let mut bytes = Vec::new();
        self.file.rewind().and_then(|()| self.file.read_to_end(&mut bytes)).map_err(fail)?;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(fail)?;
        self.file.flush().map_err(fail)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A Vulkan device with the features that wgpu turns on for the engine, as far as they change a shader, and
/// with statistics of pipelines.
struct Compiler {
    // Before the instance that it is of.
    statistics: ash::khr::pipeline_executable_properties::Device,
    device: ash::Device,
    target: Target,
    _instance: ash::Instance,
    _entry: ash::Entry,
}

fn failed(what: &str) -> impl Fn(vk::Result) -> Error + '_ {
    move |result| Error::new(ErrorKind::Device, format!("{what}: {result}"))
}

impl Compiler {
    fn new() -> Result<Self> {
        // SAFETY: loads the Vulkan loader that the environment names, which is a sound library.
        let entry = unsafe { ash::Entry::load() }
            .map_err(|e| Error::new(ErrorKind::Device, format!("no Vulkan loader: {e}")))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: what it points to lives; the instance is never destroyed, as the process ends with it.
        let instance = unsafe { entry.create_instance(&create, None) }.map_err(failed("vkCreateInstance"))?;
        // SAFETY: the instance is valid.
        let devices = unsafe { instance.enumerate_physical_devices() };
        let physical = devices.map_err(failed("vkEnumeratePhysicalDevices"))?.into_iter().next();
        let physical = physical.ok_or_else(|| Error::new(ErrorKind::Device, "the driver has no device"))?;
        let (device, target) = Self::open(&instance, physical)?;
        let statistics = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
        Ok(Self { statistics, device, target, _instance: instance, _entry: entry })
    }

    /// The device as wgpu-hal opens it.
    fn open(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<(ash::Device, Target)> {
        // SAFETY: the device is the instance's.
        let (properties, extensions) = unsafe {
            (
                instance.get_physical_device_properties(physical),
                instance.enumerate_device_extension_properties(physical).map_err(failed("extensions"))?,
            )
        };
        let has = |name: &CStr| {
            extensions.iter().any(|known| known.extension_name_as_c_str().is_ok_and(|known| known == name))
        };
        let statistics = ash::khr::pipeline_executable_properties::NAME;
        if !has(statistics) {
            return Err(Error::new(ErrorKind::Device, "the driver tells nothing of compiled shaders"));
        }
        let robustness2 = ash::ext::robustness2::NAME;
        let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        let mut sizes = vk::PhysicalDeviceSubgroupSizeControlFeatures::default();
        let mut products = vk::PhysicalDeviceShaderIntegerDotProductFeatures::default();
        let mut small = vk::PhysicalDeviceShaderFloat16Int8Features::default();
        let cooperative = ash::khr::cooperative_matrix::NAME;
        let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
        let mut model = vk::PhysicalDeviceVulkanMemoryModelFeatures::default();
        let newer = properties.api_version >= vk::API_VERSION_1_3;
        let mut all = vk::PhysicalDeviceFeatures2::default();
        if has(robustness2) {
            all = all.push_next(&mut robust);
        }
        if newer {
            all = all.push_next(&mut sizes).push_next(&mut products).push_next(&mut small);
        }
        if newer && has(cooperative) {
            all = all.push_next(&mut matrices).push_next(&mut model);
        }
        // SAFETY: the structures of the chain live, and belong to what the device has.
        unsafe { instance.get_physical_device_features2(physical, &mut all) };
        let core = all.features;
        let mut subgroup = vk::PhysicalDeviceSubgroupProperties::default();
        let mut more = vk::PhysicalDeviceProperties2::default().push_next(&mut subgroup);
        // SAFETY: as above; Vulkan 1.1 has both.
        unsafe { instance.get_physical_device_properties2(physical, &mut more) };
        let operations = vk::SubgroupFeatureFlags::BASIC
            | vk::SubgroupFeatureFlags::VOTE
            | vk::SubgroupFeatureFlags::ARITHMETIC
            | vk::SubgroupFeatureFlags::BALLOT
            | vk::SubgroupFeatureFlags::SHUFFLE
            | vk::SubgroupFeatureFlags::SHUFFLE_RELATIVE
            | vk::SubgroupFeatureFlags::QUAD;
        let target = Target {
            version: match properties.api_version {
                ..vk::API_VERSION_1_1 => (1, 0),
                vk::API_VERSION_1_1..vk::API_VERSION_1_2 => (1, 3),
                vk::API_VERSION_1_2..vk::API_VERSION_1_3 => (1, 5),
                _ => (1, 6),
            },
            robust: robust.robust_buffer_access2 == vk::TRUE,
            subgroups: sizes.subgroup_size_control == vk::TRUE
                && subgroup.supported_operations.contains(operations),
            packed_products: products.shader_integer_dot_product == vk::TRUE,
            bytes: small.shader_int8 == vk::TRUE,
            cooperative: matrices.cooperative_matrix == vk::TRUE
                && model.vulkan_memory_model == vk::TRUE
                && small.shader_float16 == vk::TRUE,
        };
        let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(core.robust_buffer_access == 1);
        robust.null_descriptor = vk::FALSE;
        small.shader_float16 = u32::from(target.cooperative);
        matrices.cooperative_matrix_robust_buffer_access = vk::FALSE;
        matrices.p_next = std::ptr::null_mut();
        model.p_next = std::ptr::null_mut();
        robust.p_next = std::ptr::null_mut();
        sizes.p_next = std::ptr::null_mut();
        products.p_next = std::ptr::null_mut();
        small.p_next = std::ptr::null_mut();
        let mut told = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let mut names = vec![statistics.as_ptr()];
        let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queue)
            .enabled_features(&core)
            .push_next(&mut told);
        if has(robustness2) {
            names.push(robustness2.as_ptr());
            create = create.push_next(&mut robust);
        }
        if newer {
            create = create.push_next(&mut sizes).push_next(&mut products).push_next(&mut small);
        }
        if target.cooperative {
            names.push(cooperative.as_ptr());
            create = create.push_next(&mut matrices).push_next(&mut model);
        }
        let create = create.enabled_extension_names(&names);
        // SAFETY: features and extensions are among those that the device has.
        let device = unsafe { instance.create_device(physical, &create, None) };
        Ok((device.map_err(failed("vkCreateDevice"))?, target))
    }

    /// What the engine would know of this device.
    fn device(&self) -> Result<Device> {
        let adapters = pollster::block_on(crate::gpu::enumerate());
        let adapter = adapters.into_iter().next().map(|adapter| adapter.report);
        let adapter = adapter.ok_or_else(|| Error::new(ErrorKind::Adapter, "wgpu finds no adapter"))?;
        Ok(Device { adapter, target: self.target })
    }

    fn compile(&self, request: &Request) -> Result<Compiled> {
        let objects = Objects::new(self, request)?;
        let pipeline = vk::PipelineInfoKHR::default().pipeline(objects.pipeline);
        // SAFETY: the pipeline was made with the flags that these calls ask for.
        let parts = unsafe { self.statistics.get_pipeline_executable_properties(&pipeline) };
        let parts = parts.map_err(failed("properties"))?;
        let mut compiled = Compiled::default();
        // A compute pipeline is one program.
        if let Some(part) = parts.first() {
            compiled.subgroup = part.subgroup_size;
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(objects.pipeline);
            // SAFETY: as above.
            let list = unsafe { self.statistics.get_pipeline_executable_statistics(&info) };
            let list = list.map_err(failed("statistics"))?;
            compiled.statistics = list.iter().map(|s| (text(s.name_as_c_str().ok()), value(s))).collect();
            if request.texts {
                compiled.texts = self.texts(&info)?;
            }
        }
        Ok(compiled)
    }

    fn texts(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<(String, String)>> {
        // SAFETY: the pipeline was made with the flag that this call asks for.
        let list = unsafe { self.statistics.get_pipeline_executable_internal_representations(info) };
        let mut list = list.map_err(failed("representations"))?;
        let mut bytes: Vec<Vec<u8>> = list.iter().map(|part| vec![0; part.data_size]).collect();
        for (part, bytes) in list.iter_mut().zip(&mut bytes) {
            part.p_data = bytes.as_mut_ptr().cast();
        }
        let mut count = list.len() as u32;
        let read = self.statistics.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: every part points to as many bytes as the driver asked for.
        unsafe { read(self.device.handle(), info, &mut count, list.as_mut_ptr()) }
            .result()
            .map_err(failed("representations"))?;
        let texts = list.iter().zip(&bytes).filter(|(part, _)| part.is_text == vk::TRUE);
        Ok(texts
            .map(|(part, bytes)| {
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                (text(part.name_as_c_str().ok()), String::from_utf8_lossy(&bytes[..end]).into_owned())
            })
            .collect())
    }
}

/// What is made of one request, and destroyed with it.
struct Objects<'a> {
    device: &'a ash::Device,
    module: vk::ShaderModule,
    set: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    pipeline: vk::Pipeline,
}

impl<'a> Objects<'a> {
    fn new(compiler: &'a Compiler, request: &Request) -> Result<Self> {
        let device = &compiler.device;
        let mut made = Self {
            device,
            module: vk::ShaderModule::null(),
            set: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            pipeline: vk::Pipeline::null(),
        };
        let module = vk::ShaderModuleCreateInfo::default().code(&request.words);
        // SAFETY: naga wrote the words, and they live.
        made.module = unsafe { device.create_shader_module(&module, None) }.map_err(failed("the module"))?;
        // The engine's one bind group: parameters at a dynamic offset, then storage.
        let bindings: Vec<vk::DescriptorSetLayoutBinding<'_>> = (0..=request.storage)
            .map(|binding| {
                let ty = match binding {
                    0 => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                    _ => vk::DescriptorType::STORAGE_BUFFER,
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(ty)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the bindings live.
        made.set =
            unsafe { device.create_descriptor_set_layout(&set, None) }.map_err(failed("the layout"))?;
        let sets = [made.set];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: the set layout is the device's.
        made.layout =
            unsafe { device.create_pipeline_layout(&layout, None) }.map_err(failed("the layout"))?;
        let varying = match compiler.target.subgroups {
            true => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
            false => vk::PipelineShaderStageCreateFlags::empty(),
        };
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(varying)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(made.module)
            .name(c"main");
        let mut told = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if request.texts {
            told |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let create = vk::ComputePipelineCreateInfo::default().flags(told).stage(stage).layout(made.layout);
        // SAFETY: module and layout are the device's, the entry point is in the module.
        let pipelines =
            unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None) };
        let pipelines = pipelines.map_err(|(_, result)| failed("the pipeline")(result))?;
        made.pipeline = pipelines.first().copied().unwrap_or_default();
        Ok(made)
    }
}

impl Drop for Objects<'_> {
    fn drop(&mut self) {
        // SAFETY: all are this device's, or null; nothing runs on it.
        unsafe {
            self.device.destroy_pipeline(self.pipeline, None);
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.set, None);
            self.device.destroy_shader_module(self.module, None);
        }
    }
}

fn text(name: Option<&CStr>) -> String {
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn value(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> f64 {
    // SAFETY: the format says which of the values is set.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => statistic.value.f64,
            vk::PipelineExecutableStatisticFormatKHR::INT64 => statistic.value.i64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => f64::from(statistic.value.b32),
            _ => statistic.value.u64 as f64,
        }
    }
}
