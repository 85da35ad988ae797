//! Attention alone, on a wgpu device of one's own: polysketch attention over a long sequence that is streamed
//! in pieces, with a state of constant size.
//!
//! ```sh
//! cargo run --release --example attention
//! ```

use std::process::ExitCode;

use polysketch::attention::{Attention, AttentionLayer, Buffers, LayerCapacity, Sketch, Weights};

const HEADS: usize = 4;
const HEAD: usize = 16;
const PIECE: usize = 256;

fn main() -> ExitCode {
    match pollster::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // The device, the queue and the buffers are the caller's, made by plain wgpu.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits::defaults().or_worse_values_from(&adapter.limits()),
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await?;
    println!("on {}", adapter.get_info().name);

    // What is computed: a learned sketch of 16 columns, exact inside blocks of 128 tokens, a forgetting gate.
    // The weights come from training; random ones will do here.
    let attention =
        Attention::polysketch(HEADS, HEAD, 16, Sketch::Learned { levels: 1, expansion: 4 }).with_gate();
    let mut random = Random(1);
    let sketch = random.many(attention.sketch_weights().unwrap_or(0), 0.3);
    let weights = Weights { norms: None, sketch: Some(&sketch) };
    let capacity = LayerCapacity { batch: 1, tokens: PIECE, context: 0 };
    let mut layer = AttentionLayer::new(device.clone(), queue.clone(), attention, weights, capacity).await?;

    let buffer = |columns: usize, usage| {
        let size = (PIECE * columns * 4) as u64;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | usage,
            mapped_at_creation: false,
        })
    };
    let [q, k, v] = [0; 3].map(|_| buffer(HEADS * HEAD, wgpu::BufferUsages::COPY_DST)); // [1, PIECE, HEADS, HEAD]
    let gate = buffer(HEADS, wgpu::BufferUsages::COPY_DST); // [1, PIECE, HEADS]
    let out = buffer(HEADS * HEAD, wgpu::BufferUsages::COPY_SRC); // [1, PIECE, HEADS, HEAD]

    for _ in 0..8 {
        // In a real program q, k, v come from kernels of the caller's on the same queue.
        for tensor in [&q, &k, &v] {
            queue.write_buffer(tensor, 0, bytemuck::cast_slice(&random.many(PIECE * HEADS * HEAD, 1.0)));
        }
        queue.write_buffer(&gate, 0, bytemuck::cast_slice(&[5.0f32; PIECE * HEADS])); // forgets 0.7% a token
        layer.forward(1, PIECE, Buffers { q: &q, k: &k, v: &v, gate: Some(&gate), out: &out }).await?;
    }

    // `forward` only submits: whatever is submitted next sees its result.
    let size = (PIECE * HEADS * HEAD * 4) as u64;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let host =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(&out, 0, &host, 0, size);
    queue.submit([encoder.finish()]);
    host.slice(..).map_async(wgpu::MapMode::Read, |_| ());
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = host.slice(..).get_mapped_range()?;
    let o: &[f32] = bytemuck::cast_slice(&bytes);
    let cache = 2 * HEADS * HEAD * 4 * layer.positions()[0];
    println!(
        "position {}: state {} KiB (a key-value cache: {} KiB)",
        layer.positions()[0],
        layer.state_bytes() >> 10,
        cache >> 10
    );
    println!("last output, head 0: {:.4?} ..", &o[(PIECE - 1) * HEADS * HEAD..][..4]);
    Ok(())
}

/// Numbers in [-scale, scale).
struct Random(u32);

impl Random {
    fn many(&mut self, n: usize, scale: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
            (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next() * scale).collect()
    }
}
