//! Everything the executor leans on, on every adapter of this machine: a test is written once and
//! runs on each of them. Without an adapter the tests pass and say so.

use std::future::Future;

use super::*;
use crate::error::ErrorKind;

/// A dynamic-offset uniform, the eight storage bindings of the floor, a workgroup array and a
/// workgroup size that both depend on an override.
const PROBE: &str = "
override TILE: u32 = 4u;
override SCALE: f32 = 1.0;
struct Params { n: u32, add: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b1: array<u32>;
@group(0) @binding(2) var<storage, read> b2: array<u32>;
@group(0) @binding(3) var<storage, read> b3: array<u32>;
@group(0) @binding(4) var<storage, read> b4: array<u32>;
@group(0) @binding(5) var<storage, read> b5: array<u32>;
@group(0) @binding(6) var<storage, read> b6: array<u32>;
@group(0) @binding(7) var<storage, read_write> b7: array<u32>;
@group(0) @binding(8) var<storage, read_write> out: array<u32>;
var<workgroup> a: array<vec4<f32>, TILE * TILE>;
@compute @workgroup_size(TILE, TILE) fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = group.x * TILE * TILE + local;
    if i < params.n {
        a[local] = vec4<f32>(f32(b1[i] + b2[i] + b3[i] + b4[i] + b5[i] + b6[i] + b7[i]));
    }
    workgroupBarrier();
    // Somebody else's element, so that the array is really shared.
    let other = TILE * TILE - 1u - local;
    let j = group.x * TILE * TILE + other;
    if j < params.n {
        out[j] = u32(a[other].y * SCALE) + params.add;
    }
}";

const N: usize = 1000;

fn shader(source: &str) -> Shader<'_> {
    Shader { name: "probe", source, entry: "main", trusted: true }
}

fn layout(uniform_bytes: u64) -> Layout {
    Layout { uniform_bytes, read_only: (1..=8).map(|b| b < 7).collect() }
}

/// Runs `test` on every usable adapter, with the floor's limits and with all that it has.
fn everywhere<F: Future<Output = ()>>(test: impl Fn(GpuContext) -> F) {
    hush_driver_panics();
    pollster::block_on(async {
        let adapters = enumerate().await;
        if adapters.is_empty() {
            eprintln!("no adapter: nothing tested");
        }
        for adapter in adapters.iter().filter(|a| a.report.usable().is_ok()) {
            for weak in [true, false] {
                eprintln!("{} (weak: {weak})", adapter.report.label());
                let context = GpuContext::create(adapter, Needs { weak, ..Needs::default() }).await.unwrap();
                test(context).await;
            }
        }
    });
}

/// Runs [`PROBE`] with two dynamic offsets; returns what it wrote.
async fn probe(
    context: &GpuContext,
    pipelines: &Pipelines,
    constants: &[(&str, f64)],
    tile: usize,
) -> [Vec<u32>; 2] {
    let pipeline = pipelines.get(shader(PROBE), constants, &layout(8)).await.unwrap();
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let uniforms = context.create_buffer("uniforms", 768, usage).await.unwrap();
    for (offset, add) in [(256, 5), (512, 9)] {
        context.upload(&uniforms, offset, bytemuck::cast_slice(&[N as u32, add])).await.unwrap();
    }
    let mut buffers = Vec::new();
    for b in 1..=8 {
        let data: Vec<u32> = (0..N as u32).map(|i| i * b).collect();
        buffers.push(context.storage_from("data", bytemuck::cast_slice(&data)).await.unwrap());
    }
    let regions: Vec<Region<'_>> = buffers.iter().map(|b| Region::whole(b)).collect();
    let group = pipeline.bind(context, Some(&uniforms), &regions).await.unwrap();
    let mut results = Vec::new();
    for offset in [256, 512] {
        let mut encoder = context.encoder("probe");
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[offset]);
        pass.dispatch_workgroups(N.div_ceil(tile * tile) as u32, 1, 1);
        drop(pass);
        // Staged now, finished after the other submission.
        let read = context.stage_read(&mut encoder, &buffers[7], 0..4 * N as u64).await.unwrap();
        results.push((read, context.submit(encoder)));
    }
    let mut out = Vec::new();
    for (read, index) in results {
        out.push(bytemuck::pod_collect_to_vec(&context.finish_read(read, &index).await.unwrap()));
    }
    out.try_into().unwrap()
}

fn expected(scale: u32, add: u32) -> Vec<u32> {
    (0..N as u32).map(|i| i * 28 * scale + add).collect()
}

#[test]
fn overrides_uniforms_and_eight_bindings_work() {
    everywhere(|context| async move {
        let pipelines = Pipelines::kept_in(&context, None).await;
        assert_eq!(probe(&context, &pipelines, &[], 4).await, [expected(1, 5), expected(1, 9)]);
        assert_eq!(
            probe(&context, &pipelines, &[("TILE", 8.0), ("SCALE", 2.0)], 8).await,
            [expected(2, 5), expected(2, 9)]
        );
        assert_eq!(pipelines.compiled(), 2);
        probe(&context, &pipelines, &[("SCALE", 2.0), ("TILE", 8.0)], 8).await;
        assert_eq!(pipelines.compiled(), 2, "the order of constants does not matter");
        context.check().unwrap();
    });
}

#[test]
fn bytes_come_back_as_they_went() {
    everywhere(|context| async move {
        let bytes: Vec<u8> = (0..100_003u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let buffer = context.storage_from("bytes", &bytes).await.unwrap();
        assert_eq!(buffer.size(), 100_004);
        assert_eq!(context.allocated_bytes(), 100_004);
        assert_eq!(context.read_buffer(&buffer, 0..100_003).await.unwrap(), bytes);
        assert_eq!(context.read_buffer(&buffer, 5..77_778).await.unwrap(), bytes[5..77_778]);
        assert!(context.read_buffer(&buffer, 9..9).await.unwrap().is_empty());
        assert!(context.read_buffer(&buffer, 0..100_005).await.is_err());
        assert!(context.upload(&buffer, 100_000, &[1; 8]).await.is_err());
        let before = context.allocated_bytes();
        drop(buffer);
        assert_eq!(context.allocated_bytes(), before - 100_004);
        assert!(context.peak_bytes() >= before);
        let empty = context.create_storage("empty", 0).await.unwrap();
        assert_eq!(empty.size(), 4);
        context.check().unwrap();
    });
}

#[test]
fn large_transfers_are_cut() {
    everywhere(|context| async move {
        if context.features().is_empty() {
            return;
        }
        let bytes: Vec<u8> = (0..70u32 << 20).map(|i| (i ^ i >> 11) as u8).collect();
        let buffer = context.storage_from("large", &bytes).await.unwrap();
        assert!(context.read_buffer(&buffer, 3..bytes.len() as u64).await.unwrap() == bytes[3..]);
        assert!(context.peak_bytes() <= (70 + 64) << 20);
    });
}

#[test]
fn too_much_memory_is_an_error() {
    everywhere(|context| async move {
        let error = context.create_storage("absurd", u64::MAX - 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let limit = context.report().limits.max_buffer_size;
        let error = context.create_storage("weights", limit + 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("'weights'") && error.advice().is_some(), "{error}");
        assert!(error.message().contains(&format!("{} MiB", limit >> 20)), "{error}");
        // What a driver would say.
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: u64::MAX - 3,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        let error =
            context.scoped("buffer 'x'", |device| device.create_buffer(&descriptor)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Device | ErrorKind::OutOfMemory), "{error}");
        context.check().unwrap();
        assert_eq!(context.allocated_bytes(), 0);
    });
}

#[test]
fn needs_beyond_the_adapter_name_the_limit() {
    hush_driver_panics();
    pollster::block_on(async {
        for adapter in enumerate().await.iter().filter(|a| a.report.usable().is_ok()) {
            let needs = Needs { max_binding: 1 << 50, ..Needs::default() };
            let error = GpuContext::create(adapter, needs).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit);
            assert!(
                error.message().contains("max_storage_buffer_binding_size")
                    && error.message().contains("1073741824 MiB"),
                "{error}"
            );
            let most = adapter.report.limits.max_buffer_size;
            let context =
                GpuContext::create(adapter, Needs { max_buffer: most, ..Needs::default() }).await.unwrap();
            assert_eq!(context.report().limits.max_buffer_size, most);
            let weak = GpuContext::create(adapter, Needs { weak: true, ..Needs::default() }).await.unwrap();
            let crate::kernels::DeviceTraits { software, loop_iterations, .. } = weak.traits();
            let floor = crate::kernels::DeviceTraits {
                software,
                loop_iterations,
                ..crate::kernels::DeviceTraits::floor()
            };
            assert_eq!(weak.traits(), floor);
            assert!(weak.features().is_empty());
            assert_eq!(
                GpuContext::create(adapter, Needs { weak: true, max_binding: 200 << 20, ..Needs::default() })
                    .await
                    .unwrap_err()
                    .kind(),
                ErrorKind::Limit
            );
        }
    });
}

#[test]
fn a_lost_device_is_an_error() {
    everywhere(|context| async move {
        let pipelines = Pipelines::kept_in(&context, None).await;
        let buffer = context.storage_from("data", &[7; 64]).await.unwrap();
        let mut encoder = context.encoder("doomed");
        let read = context.stage_read(&mut encoder, &buffer, 0..64).await.unwrap();
        let index = context.submit(encoder);
        context.destroy();
        let lost = |error: crate::error::Error| assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
        lost(context.finish_read(read, &index).await.unwrap_err());
        lost(context.check().unwrap_err());
        lost(context.read_buffer(&buffer, 0..64).await.unwrap_err());
        lost(context.upload(&buffer, 0, &[1; 4]).await.unwrap_err());
        lost(context.create_storage("more", 64).await.unwrap_err());
        lost(pipelines.get(shader(PROBE), &[], &layout(8)).await.unwrap_err());
        lost(context.submitted_work_done().await.unwrap_err());
        lost(context.take_fault().unwrap_err());
    });
}

/// As the driver loses it: nobody tells the context beforehand.
#[test]
fn a_device_lost_behind_our_back_is_an_error() {
    everywhere(|context| async move {
        let buffer = context.storage_from("data", &[7; 64]).await.unwrap();
        context.device().destroy();
        let error = context.read_buffer(&buffer, 0..64).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
        assert_eq!(context.check().unwrap_err().kind(), ErrorKind::DeviceLost);
    });
}

#[test]
fn an_uncaptured_error_is_kept_for_the_next_check() {
    everywhere(|context| async move {
        let buffer = context.storage_from("data", &[7; 64]).await.unwrap();
        context.queue().write_buffer(&buffer, 1 << 20, &[0; 4]);
        let error = context.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(!error.message().contains('\n'), "{error}");
        assert!(context.take_fault().is_err());
        assert_eq!(context.read_buffer(&buffer, 0..64).await.unwrap(), [7; 64]);
    });
}

#[test]
fn shader_errors_name_the_shader_and_its_constants() {
    everywhere(|context| async move {
        let pipelines = Pipelines::kept_in(&context, None).await;
        let names = |error: crate::error::Error, what: &str| {
            assert_eq!(error.kind(), ErrorKind::Device);
            assert!(
                error.message().contains("shader probe")
                    && error.message().contains(what)
                    && !error.message().contains('\n'),
                "{error}"
            );
        };
        let broken = PROBE.replace("workgroupBarrier", "workgroupBarier");
        names(pipelines.get(shader(&broken), &[("TILE", 8.0)], &layout(8)).await.unwrap_err(), "TILE = 8");
        names(pipelines.get(shader(PROBE), &[("TILES", 8.0)], &layout(8)).await.unwrap_err(), "TILES");
        for tile in [48, 64] {
            // Too many invocations; on weak devices too much memory as well. Ours are measured by lowering,
            // a caller's own here.
            let own = Shader { trusted: false, ..shader(PROBE) };
            let error = pipelines.get(own, &[("TILE", f64::from(tile))], &layout(8)).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit | ErrorKind::Device), "{error}");
            assert!(error.message().contains(&format!("TILE = {tile}")), "{error}");
        }
        // The uniform block is smaller than the shader's, a binding is missing, and access differs.
        names(pipelines.get(shader(PROBE), &[], &layout(4)).await.unwrap_err(), "probe");
        let fewer = Layout { uniform_bytes: 8, read_only: vec![true; 7] };
        names(pipelines.get(shader(PROBE), &[], &fewer).await.unwrap_err(), "probe");
        let all_read = Layout { uniform_bytes: 8, read_only: vec![true; 8] };
        names(pipelines.get(shader(PROBE), &[], &all_read).await.unwrap_err(), "probe");
        assert_eq!(pipelines.compiled(), 0);
        context.check().unwrap();
    });
}

#[test]
fn compiled_pipelines_survive_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    everywhere(|context| {
        let folder = folder.path().to_path_buf();
        async move {
            let path = folder.join(context.report().label().replace([' ', '/'], "_"));
            for round in 0..3 {
                let pipelines = Pipelines::kept_in(&context, Some(&path)).await;
                assert_eq!(probe(&context, &pipelines, &[], 4).await[0], expected(1, 5));
                drop(pipelines);
                if !context.features().contains(wgpu::Features::PIPELINE_CACHE) {
                    assert!(!path.exists());
                    return;
                }
                let file = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
                let mut bytes = std::fs::read(&file).unwrap();
                assert!(bytes.len() > 16);
                if round == 1 {
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&file, &bytes).unwrap();
                }
            }
            context.check().unwrap();
        }
    });
}

#[test]
fn passes_are_timed_where_the_device_can() {
    everywhere(|context| async move {
        let Some(mut timestamps) = Timestamps::new(&context, 3000).await.unwrap() else {
            assert!(!context.features().contains(wgpu::Features::TIMESTAMP_QUERY));
            return;
        };
        for passes in [3000, 2] {
            timestamps.restart();
            let mut encoder = context.encoder("timed");
            for _ in 0..passes {
                let timestamp_writes = timestamps.next_pass();
                assert!(timestamp_writes.is_some());
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            }
            assert_eq!(timestamps.next_pass().is_none(), passes == 3000);
            if passes == 2 {
                timestamps.restart();
                timestamps.next_pass();
            }
            let read = timestamps.stage(&context, &mut encoder).await.unwrap();
            let index = context.submit(encoder);
            let spans = timestamps.finish(&context, read, &index).await.unwrap();
            assert_eq!(spans.len(), if passes == 2 { 1 } else { passes });
            assert!(spans.iter().all(|ns| (0.0..1e9).contains(ns)), "{spans:?}");
        }
    });
}

#[test]
fn a_device_of_the_callers_own_works() {
    everywhere(|context| async move {
        let mine = GpuContext::from_device(context.device().clone(), context.queue().clone()).unwrap();
        let buffer = mine.storage_from("data", &[7; 64]).await.unwrap();
        assert_eq!(mine.read_buffer(&buffer, 0..64).await.unwrap(), [7; 64]);
        // A weak device hides who made it; the caller's own is taken as it is.
        let crate::kernels::DeviceTraits { vendor, processors, registers, .. } = context.traits();
        let known = crate::kernels::DeviceTraits { vendor, processors, registers, ..mine.traits() };
        assert_eq!(known, context.traits());
    });
}

/// Natively the engine's futures may move between threads.
#[test]
fn futures_are_send() {
    fn check<T: Send>(_: impl Fn(GpuContext) -> T) {}
    fn shared<T: Send + Sync>() {}
    shared::<GpuContext>();
    shared::<Pipelines>();
    check(|context| async move {
        let buffer = context.storage_from("data", &[7; 64]).await.unwrap();
        context.read_buffer(&buffer, 0..64).await
    });
    check(|context| async move {
        let pipelines = Pipelines::new(&context).await;
        pipelines.get(shader(PROBE), &[], &layout(8)).await
    });
    check(|_| async { select(&AdapterRequest::default()).await });
}

#[test]
fn versions_of_desktop_contexts() {
    let versions = [
        "3.3.0 NVIDIA 580.159.04",
        "4.5 (Core Profile) Mesa 22.3.6",
        "OpenGL ES 3.2 Mesa 22.3.6",
        "Mesa 22.3.6 (LLVM 15.0.6)",
        "",
    ];
    assert_eq!(versions.map(adapter::desktop_gl), [Some((3, 3)), Some((4, 5)), None, None, None]);
}
