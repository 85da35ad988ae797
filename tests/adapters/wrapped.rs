//! Shaders that watch themselves: WGSL edited as text, whose entry point leaves what it saw in one more
//! buffer.

use pollster::block_on;
use polysketch::exec::{Executor, GpuExecutor};
use polysketch::gpu::GpuContext;

use crate::places::Place;

/// WGSL without comments.
pub fn bare(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Where the bracket that opens at `open` closes.
pub fn closes(text: &[u8], open: usize) -> usize {
    let pair = match text[open] {
        b'(' => (b'(', b')'),
        _ => (b'{', b'}'),
    };
    let mut depth = 0;
    for (at, byte) in text.iter().enumerate().skip(open) {
        if *byte == pair.0 {
            depth += 1;
        } else if *byte == pair.1 {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    panic!("a bracket stays open")
}

/// The shader as the function `watched_main`, with `globals` beside it, and an entry point that calls it and
/// runs `after`, however it returned.
pub fn with_main(text: &str, globals: &str, after: &str) -> String {
    let entry = text.find("@compute").unwrap();
    let function = entry + text[entry..].find("fn main").unwrap();
    let open = function + text[function..].find('(').unwrap();
    let close = closes(text.as_bytes(), open);
    let (stage, parameters) = (&text[entry..function], &text[open + 1..close]);
    // `@builtin(workgroup_id) group: vec3<u32>` → `group: vec3<u32>`.
    let plain: Vec<&str> =
        parameters.split("@builtin").skip(1).map(|p| p[p.find(')').unwrap() + 1..].trim()).collect();
    let names: Vec<&str> = plain.iter().map(|p| p.split(':').next().unwrap().trim()).collect();
    format!(
        "{}fn watched_main({}{}\n{globals}\n{stage}fn main({parameters}) {{\nwatched_main({});\n{after}}}\n",
        &text[..entry],
        plain.join(" "),
        &text[close..],
        names.join(", "),
    )
}

/// A device with all that the adapter has: a shader that watches itself binds one buffer more.
pub fn roomy(place: &Place) -> Executor {
    let adapter = place.adapter().expect("shaders watch themselves on adapters");
    let required_limits = adapter.raw.limits();
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.raw.request_device(&descriptor)).unwrap();
    let context = GpuContext::from_device(device, queue).unwrap();
    Executor::Gpu(block_on(GpuExecutor::new(context)))
}
