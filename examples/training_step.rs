use std::time::Instant;

use polysketch::exec::by_kernel;
use polysketch::gpu::AdapterRequest;
use polysketch::graph::Recompute;
use polysketch::model::{Engine, ModelSource};
use polysketch::train::{AdamW, Batch, Learner, LearnerOptions};

fn main() -> polysketch::Result<()> {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (lanes, context, segment) = (args[0], args[1], args.get(2).copied());
    let source = match std::env::var("MODEL") {
        Ok(dir) => ModelSource::open(dir.as_ref())?,
        Err(_) => ModelSource::builtin()?,
    };
    let engine = pollster::block_on(Engine::create(&AdapterRequest { backend: polysketch::gpu::Backend::Cpu, ..AdapterRequest::default() }))?;
    let recompute = if std::env::var("RECOMPUTE").is_ok() { Recompute::Sections } else { Recompute::Nothing };
    let mut learner = pollster::block_on(Learner::new(&engine, &source, &LearnerOptions { lanes, context, segment, recompute }))?;
    println!("{:?}", learner.plan().memory());
    let tokens: Vec<u32> = (0..lanes * context).map(|i| (i * 7919 % 2039) as u32).collect();
    let batch = Batch { context, targets: tokens.iter().map(|t| (t + 1) % 2048).collect(), tokens };
    if std::env::var("PROFILE").is_ok() {
        learner.profile();
    }
    for step in 1..=4 {
        let start = Instant::now();
        pollster::block_on(learner.accumulate(&batch, 1.0 / batch.scored() as f32))?;
        let middle = start.elapsed().as_secs_f64();
        pollster::block_on(learner.update(&AdamW::default(), step))?;
        let all = start.elapsed().as_secs_f64();
        println!("{:.3} s + {:.3} s: {:.0} tokens/s", middle, all - middle, batch.tokens.len() as f64 / all);
    }
    let call = polysketch::tensor::Call {
        lanes: vec![polysketch::tensor::Lane { slot: 0, position: 0, ring: 0 }; lanes],
        tokens: context.min(segment.unwrap_or(context)),
        lane_base: 0,
    };
    for t in by_kernel(&learner.plan().train, &call, learner.times()) {
        println!("{:24} {:8.1} ms {:6.1} GFLOP/s", t.kernel, t.nanoseconds / 4e6, t.flops as f64 / t.nanoseconds);
    }
    Ok(())
}
