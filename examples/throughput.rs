//! Prefill and decoding speed of the built-in model against position, and where the time goes.
//!
//! `cargo run --release --example throughput -- [cpu|ADAPTER] [most tokens, default 131072]`
//!
//! Every row is checked in the same run: the logits after chunk-parallel prefill must agree with those after the same text
//! token by token.

use std::ops::ControlFlow;
use std::time::Instant;

use polysketch::Result;
use polysketch::gpu::{AdapterRequest, Backend};
use polysketch::model::{Engine, GenerateOptions, LoadOptions, ModelSource, Session};

fn main() -> Result<()> {
    let target = std::env::args().nth(1).unwrap_or("cpu".into());
    let most: usize = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(131_072);
    pollster::block_on(run(&target, most))
}

async fn run(target: &str, most: usize) -> Result<()> {
    let request = match target {
        "cpu" => AdapterRequest { backend: Backend::Cpu, adapter: None },
        name => AdapterRequest { backend: Backend::Auto, adapter: Some(name.into()) },
    };
    let engine = Engine::create(&request).await?;
    let model = engine.load(ModelSource::builtin()?, &LoadOptions::default(), &mut |_, _| {}).await?;
    println!("{}: built-in model, {:?}", engine.name(), model.blueprint().memory());
    let mut session = Session::new(&model).await?;
    let vocabulary = model.config().vocab_size as u32;
    let ids: Vec<u32> = (0..most as u32).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect();

    // The check: two ways to the same logits.
    session.prefill(0, &ids[..700], &mut |_| ControlFlow::Continue(())).await?;
    let parallel = session.logits(0).await?;
    session.reset(0);
    for id in &ids[..700] {
        session.prefill(0, &[*id], &mut |_| ControlFlow::Continue(())).await?;
    }
    let recurrent = session.logits(0).await?;
    let largest = recurrent.iter().fold(0f32, |m, x| m.max(x.abs()));
    let error = parallel.iter().zip(&recurrent).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / largest;
    println!("chunk-parallel against token by token, 700 tokens: {error:.1e}");
    assert!(error < 5e-5, "wrong results have no speed");
    session.reset(0);

    println!("{:>10} {:>16} {:>14} {:>12}", "position", "prefill tok/s", "decode ms/tok", "state KiB");
    let (mut next, mut since) = (1024, Instant::now());
    let mut last = 0;
    while next <= most {
        session.prefill(0, &ids[last..next], &mut |_| ControlFlow::Continue(())).await?;
        let prefill = (next - last) as f64 / since.elapsed().as_secs_f64();
        let mut copy = session.fork().await?;
        let greedy = GenerateOptions::greedy(0);
        copy.decode(&[0], &[&greedy], 16).await?;
        let start = Instant::now();
        let mut decoded = 0;
        while decoded < 256 {
            decoded += copy.decode(&[0], &[&greedy], 16).await?[0].len();
        }
        let decode = start.elapsed().as_secs_f64() * 1e3 / decoded as f64;
        println!("{next:>10} {prefill:>16.0} {decode:>14.3} {:>12}", session.state_bytes() / 1024);
        (last, next, since) = (next, next * 2, Instant::now());
    }
    for (what, ids) in [("prefill call", &ids[..model.blueprint().capacity.tokens]), ("decoding step", &[][..])] {
        let times = session.profile(0, ids).await?;
        let total: f64 = times.iter().map(|t| t.nanoseconds).sum();
        println!("{what}: {:.3} ms in kernels", total / 1e6);
        for t in times {
            println!(
                "  {:24} {:4} dispatches {:10.1} us {:5.1} %  {:7.1} GFLOP/s",
                t.kernel,
                t.dispatches,
                t.nanoseconds / 1e3,
                100.0 * t.nanoseconds / total,
                t.flops as f64 / t.nanoseconds
            );
        }
    }
    Ok(())
}
