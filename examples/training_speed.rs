//! Training steps of the built-in model on one long sequence: time and memory a token against the length, and where the time goes.
//!
//! ```sh
//! cargo run --release --example training_speed -- [cpu|ADAPTER] [most tokens, default 65536] [sequences, default 1]
//! ```
//!
//! Checked in the same run: the gradients of a short text in segments against those of the same text at once.

use std::time::Instant;

use polysketch::Result;
use polysketch::exec::by_kernel;
use polysketch::gpu::{AdapterRequest, Backend};
use polysketch::graph::Recompute;
use polysketch::model::{Engine, ModelSource};
use polysketch::tensor::{Call, Lane};
use polysketch::train::{AdamW, Batch, Learner, LearnerOptions};

fn batch(sequences: usize, context: usize, vocabulary: usize) -> Batch {
    let id = |i: usize| ((i as u64).wrapping_mul(2_654_435_761) >> 7) as u32 % vocabulary as u32;
    let n = sequences * context;
    Batch { context, tokens: (0..n).map(id).collect(), targets: (1..=n).map(id).collect() }
}

async fn gradients(engine: &Engine, context: usize, segment: Option<usize>) -> Result<Vec<f32>> {
    let source = ModelSource::builtin()?;
    let batch = batch(1, context, source.config.vocab_size);
    let options = LearnerOptions { lanes: 1, context, segment, recompute: Recompute::Nothing };
    let mut learner = Learner::new(engine, &source, &options).await?;
    learner.accumulate(&batch, 1.0 / context as f32).await?;
    Ok(learner.gradients().await?.into_iter().flat_map(|(_, _, values)| values).collect())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, otherwise: usize| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    pollster::block_on(run(arguments.first().map_or("cpu", String::as_str), number(1, 65536), number(2, 1)))
}

async fn run(target: &str, most: usize, sequences: usize) -> Result<()> {
    let request = match target {
        "cpu" => AdapterRequest { backend: Backend::Cpu, adapter: None },
        name => AdapterRequest { backend: Backend::Auto, adapter: Some(name.into()) },
    };
    let engine = Engine::create(&request).await?;
    let (whole, cut) = (gradients(&engine, 600, None).await?, gradients(&engine, 600, Some(128)).await?);
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let error = norm(&mut whole.iter().zip(&cut).map(|(a, b)| a - b)) / norm(&mut whole.iter().copied());
    println!("{}: gradients of 600 tokens in segments of 128 against all at once: {error:.1e}", engine.name());
    assert!(error < 1e-4, "wrong results have no speed");

    let vocabulary = ModelSource::builtin()?.config.vocab_size;
    println!(
        "{:>8} {:>9} {:>10} {:>12} {:>12} {:>14} {:>14}",
        "tokens", "segment", "step s", "tokens/s", "µs a token", "memory MiB", "bytes a token"
    );
    let mut n = 1024;
    let mut shares = Vec::new();
    while n <= most {
        let batch = batch(sequences, n, vocabulary);
        let options = LearnerOptions { lanes: sequences, context: n, segment: None, recompute: Recompute::Nothing };
        let mut learner = Learner::new(&engine, &ModelSource::builtin()?, &options).await?;
        let memory = learner.memory();
        let mut times = Vec::new();
        for step in 1..=if n > 8192 { 2 } else { 4 } {
            let start = Instant::now();
            learner.accumulate(&batch, 1.0 / batch.scored() as f32).await?;
            learner.update(&AdamW { lr: 1e-5, ..AdamW::default() }, step).await?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (tokens, time) = (batch.tokens.len(), times[times.len() / 2]);
        println!(
            "{n:>8} {:>9} {time:>10.3} {:>12.0} {:>12.1} {:>14.1} {:>14}",
            memory.segment,
            tokens as f64 / time,
            1e6 * time / tokens as f64,
            memory.total() as f64 / f64::from(1 << 20),
            memory.total() / tokens as u64
        );
        if n == 1024 {
            learner.profile();
            learner.accumulate(&batch, 1.0).await?;
            let call = Call { lanes: vec![Lane { slot: 0, position: 0, ring: 0 }; sequences], tokens: n, lane_base: 0 };
            shares = by_kernel(&learner.plan().train, &call, learner.times());
        }
        n *= 2;
    }
    let all: f64 = shares.iter().map(|k| k.nanoseconds).sum();
    println!("where the time of a call goes:");
    for k in shares.iter().take(12) {
        println!("  {:24} {:>5.1} % {:>8.1} GFLOP/s", k.kernel, 100.0 * k.nanoseconds / all, k.flops as f64 / k.nanoseconds);
    }
    Ok(())
}
