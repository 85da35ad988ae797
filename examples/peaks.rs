//! What each adapter can do: its f32 peak, measured by multiply-adds in registers, and how much of it the matrix product of
//! `shaders/linear.wgsl` reaches with each tiling, every result checked against the CPU in the same run. `*` marks the
//! tiling that `Linear` chooses there.
//!
//! ```sh
//! cargo run --release --example peaks               # every adapter
//! cargo run --release --example peaks -- llvmpipe 9 # those of that name, 9 rounds
//! ```
//!
//! Tilings take turns within a round. Real GPUs are timed by their own timestamps; software adapters by the CPU time of this
//! process over the cores it may use, which other work on the machine disturbs less than it does the clock on the wall.

use std::time::Instant;

use polysketch::Result;
use polysketch::gpu::{self, Adapter, Buffer, GpuContext, Layout, Needs, Pipeline, Pipelines, Region, Shader, Timestamps};
use polysketch::kernels::Variant;
use polysketch::kernels::linear::Tile;
use polysketch::kernels::real::{Mat, MatMut, matmul_parallel, threads};
use polysketch::kernels::shader::Permutation;

/// Rows, inner size, columns: squares, and the layers of the built-in model for a segment of 1024 tokens.
const SHAPES: [[usize; 3]; 6] = [[512, 512, 512], [1024, 1024, 1024], [1024, 192, 640], [1024, 192, 1024], [1024, 192, 512], [1024, 512, 192]];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default().to_lowercase();
    let rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    pollster::block_on(async {
        for adapter in gpu::enumerate().await {
            let label = adapter.report.label();
            if !label.to_lowercase().contains(&name) {
                continue;
            }
            match adapter.report.usable() {
                Ok(()) => measure(&adapter, &label, rounds).await?,
                Err(reason) => println!("{label}: skipped, {reason}"),
            }
        }
        Ok(())
    })
}

async fn measure(adapter: &Adapter, label: &str, rounds: usize) -> Result<()> {
    let context = GpuContext::create(adapter, Needs::default()).await?;
    let mut timer = Timer::new(&context).await?;
    let pipelines = Pipelines::new(&context).await;
    let peak = fma_peak(&context, &pipelines, &mut timer, rounds).await?;
    println!("{label}, timed by {}\n  f32 peak {peak:.1} GFLOP/s", timer.name());
    for [m, k, n] in SHAPES {
        products(&context, &pipelines, &mut timer, rounds, [m, k, n], peak).await?;
    }
    Ok(())
}

/// Multiply-adds on eight independent vectors of four an invocation.
const FMA: &str = "
struct Params { steps: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = vec4<f32>(params.scale);
    let add = vec4<f32>(1.0, 2.0, 3.0, 4.0);
    var a = vec4<f32>(f32(id.x % 7u)); var b = a + 1.0; var c = a + 2.0; var d = a + 3.0;
    var e = a + 4.0; var f = a + 5.0; var g = a + 6.0; var h = a + 7.0;
    for (var i = 0u; i < params.steps; i++) {
        a = fma(a, m, add); b = fma(b, m, add); c = fma(c, m, add); d = fma(d, m, add);
        e = fma(e, m, add); f = fma(f, m, add); g = fma(g, m, add); h = fma(h, m, add);
    }
    out[id.x] = (a + b + c + d) + (e + f + g + h);
}";

async fn fma_peak(context: &GpuContext, pipelines: &Pipelines, timer: &mut Timer, rounds: usize) -> Result<f64> {
    const STEPS: u32 = 4096;
    let groups: usize = if context.traits().software { 32 } else { 4096 };
    let layout = Layout { uniform_bytes: 16, read_only: vec![false] };
    let shader = Shader { name: "fma", source: FMA, entry: "main", trusted: true };
    let pipeline = pipelines.get(shader, &[], &layout).await?;
    let out = context.create_storage("out", groups as u64 * 64 * 16).await?;
    let params = uniforms(context, &[STEPS, 0.5f32.to_bits()]).await?;
    let group = pipeline.bind(context, Some(&params), &[Region::whole(&out)]).await?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(timer.time(context, &pipeline, &group, [groups, 1]).await?);
    }
    // x = x/2 + add ends at 2 add, whatever it began with; eight of them were added.
    let sums: Vec<f32> = context.read_pod(&out, 0..out.size()).await?;
    let wrong = sums.iter().enumerate().filter(|(i, x)| (**x - 16.0 * (i % 4 + 1) as f32).abs() > 1e-3).count();
    if wrong > 0 {
        println!("  f32 peak: {wrong} results are wrong");
    }
    Ok((groups * 64 * 8 * 4 * 2) as f64 * f64::from(STEPS) / median(&mut times))
}

struct Candidate {
    tile: Tile,
    pipeline: std::sync::Arc<Pipeline>,
    group: wgpu::BindGroup,
    times: Vec<f64>,
    error: f32,
}

async fn products(context: &GpuContext, pipelines: &Pipelines, timer: &mut Timer, rounds: usize, shape: [usize; 3], peak: f64) -> Result<()> {
    let [m, k, n] = shape;
    let numbers = |count: usize, seed: usize| -> Vec<f32> { (0..count).map(|i| ((i * 7919 + seed) % 1013) as f32 / 506.5 - 1.0).collect() };
    let (x, w) = (numbers(m * k, 0), numbers(n * k, 77));
    let mut want = vec![0f32; m * n];
    matmul_parallel(MatMut::new(&mut want, m, n), Mat::new(&x, m, k), Mat::new(&w, n, k).t(), false);
    let largest = want.iter().fold(0f32, |most, y| most.max(y.abs()));
    let x = context.storage_from("x", bytemuck::cast_slice(&x)).await?;
    let w = context.storage_from("w", bytemuck::cast_slice(&w)).await?;
    let y = context.create_storage("y", (m * n * 4) as u64).await?;
    let params = uniforms(context, &[m as u32, 0]).await?;
    let chosen = Tile::choose(&context.traits(), m, n);
    let mut tiles: Vec<Tile> = Vec::new();
    for shared in [false, true] {
        for (rows, columns) in [(4, 4), (8, 4), (4, 8), (8, 8)] {
            for group in [[8, 8], [16, 16]] {
                // Without workgroup memory the shader has one tile, written out.
                if shared || rows * columns == 64 {
                    tiles.push(Tile { shared, rows, columns, group });
                }
            }
        }
    }
    let limits = context.traits();
    // Four vectors of 16 bytes a row and a column are staged at once.
    let staged = |t: &Tile| (t.rows * t.group[1] + t.columns * t.group[0]) * 64;
    tiles.retain(|t| !t.shared || staged(t) <= limits.workgroup_memory);
    if !tiles.contains(&chosen) {
        tiles.push(chosen);
    }
    let mut candidates = Vec::new();
    for tile in tiles {
        let variant = tile.constants(Variant::new("linear", &[("SHARED", tile.shared)])).size("K", k).size("N", n).size("STRIDE", n);
        let permutation = Permutation::find(&variant.shader)?;
        let constants: Vec<(&str, f64)> = variant.constants.iter().copied().filter(|(name, _)| permutation.constants.contains(name)).collect();
        let source = permutation.source()?;
        let layout = Layout { uniform_bytes: 16, read_only: permutation.written.iter().map(|w| !w).collect() };
        let shader = Shader { name: permutation.key, source: &source, entry: "main", trusted: true };
        let pipeline = pipelines.get(shader, &constants, &layout).await?;
        let group = pipeline.bind(context, Some(&params), &[Region::whole(&x), Region::whole(&w), Region::whole(&y)]).await?;
        candidates.push(Candidate { tile, pipeline, group, times: Vec::new(), error: 0.0 });
    }
    for round in 0..=rounds {
        for c in &mut candidates {
            let t = c.tile;
            let groups = [n.div_ceil(t.group[0] * t.columns), m.div_ceil(t.group[1] * t.rows)];
            if round == 0 {
                // The result of one tiling must not pass for that of the next.
                context.upload(&y, 0, bytemuck::cast_slice(&vec![f32::NAN; m * n])).await?;
            }
            let time = timer.time(context, &c.pipeline, &c.group, groups).await?;
            if round == 0 {
                let got: Vec<f32> = context.read_pod(&y, 0..y.size()).await?;
                c.error = got.iter().zip(&want).map(|(a, b)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY }).fold(0.0, f32::max) / largest;
            } else {
                c.times.push(time);
            }
        }
    }
    println!("  [{m}, {k}] x [{n}, {k}]^T       GFLOP/s   (best)  of peak   error");
    for c in &mut candidates {
        let rate = |time: f64| 2.0 * (m * k * n) as f64 / time;
        let middle = rate(median(&mut c.times));
        let [gx, gy] = c.tile.group;
        println!(
            "   {} {}x{} by {gx:2}x{gy:2}, {:6} {middle:12.2} {:8.2} {:7.1}% {:8.0e}{}",
            if c.tile == chosen { "*" } else { " " },
            c.tile.rows,
            c.tile.columns,
            if c.tile.shared { "shared" } else { "direct" },
            rate(c.times[0]),
            100.0 * middle / peak,
            c.error,
            if c.error > 1e-5 { " WRONG" } else { "" }
        );
    }
    Ok(())
}

/// The median; the times are sorted afterwards.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn uniforms(context: &GpuContext, words: &[u32]) -> Result<Buffer> {
    let buffer = context.create_buffer("params", 16, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST).await?;
    context.upload(&buffer, 0, bytemuck::cast_slice(words)).await?;
    Ok(buffer)
}

enum Timer {
    Device(Timestamps),
    Cpu,
    Wall,
}

impl Timer {
    async fn new(context: &GpuContext) -> Result<Self> {
        if context.traits().software && cpu_time().is_some() {
            return Ok(Timer::Cpu);
        }
        Ok(Timestamps::new(context, 1).await?.map_or(Timer::Wall, Timer::Device))
    }

    fn name(&self) -> String {
        match self {
            Timer::Device(_) => "timestamps".to_string(),
            Timer::Cpu => format!("CPU time of {} threads", threads()),
            Timer::Wall => "the clock on the wall".to_string(),
        }
    }

    /// Nanoseconds of one dispatch.
    async fn time(&mut self, context: &GpuContext, pipeline: &Pipeline, group: &wgpu::BindGroup, groups: [usize; 2]) -> Result<f64> {
        context.submitted_work_done().await?;
        let (wall, cpu) = (Instant::now(), cpu_time());
        let mut encoder = context.encoder("peaks");
        {
            let timestamp_writes = match self {
                Timer::Device(stamps) => {
                    stamps.restart();
                    stamps.next_pass()
                }
                _ => None,
            };
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            pass.set_pipeline(&pipeline.raw);
            pass.set_bind_group(0, group, &[0]);
            pass.dispatch_workgroups(groups[0] as u32, groups[1] as u32, 1);
        }
        if let Timer::Device(stamps) = self {
            let staged = stamps.stage(context, &mut encoder).await?;
            let after = context.submit(encoder);
            return Ok(stamps.finish(context, staged, &after).await?.first().copied().unwrap_or(f64::NAN));
        }
        context.submit(encoder);
        context.submitted_work_done().await?;
        Ok(match (&self, cpu, cpu_time()) {
            (Timer::Cpu, Some(before), Some(after)) => (after - before) / threads() as f64,
            _ => wall.elapsed().as_nanos() as f64,
        })
    }
}

/// Nanoseconds that all threads of this process have run, where the system tells.
fn cpu_time() -> Option<f64> {
    let mut sum = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(sum)
}
