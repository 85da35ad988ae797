//! What power retention keeps of a text (SPEC §9): as much after 100 000 tokens as after 1 000.

use std::ops::ControlFlow;
use std::path::Path;

use pollster::block_on;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::model::{Engine, LoadOptions, ModelConfig, ModelSource, Session, WeightType};
use polysketch::tensor::DType;

fn engine() -> Engine {
    Engine::on(Executor::Cpu(CpuExecutor::default()))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("reads")
}

/// The public model itself: its plan, which no position enters.
#[test]
fn powercoders_state_is_planned() {
    let (config, _) =
        ModelConfig::from_json(&read("assets/configs/powercoder-3b.json"), "3b").expect("reads");
    assert!(config.parameter_count() > 3_000_000_000);
    let load = LoadOptions { weights: Some(WeightType::Q4), ..LoadOptions::default() };
    let plan = |max_context| {
        let load = LoadOptions { max_context, ..load };
        engine().blueprint(&config, DType::F32, &load).expect("a plan").memory()
    };
    let (short, long) = (plan(1_000), plan(100_000));
    assert_eq!((short.state, short.cache), (long.state, 0));
    // 30 layers, 2 key heads, 8 256 features, 128 values and their normaliser; the last block, in its ring.
    let sums = 30 * 2 * 8256 * (128 + 1) * 4u64;
    assert!((sums..sums + sums / 10).contains(&short.state), "{} bytes, {sums} of them sums", short.state);
    let cache = config.softmax_cache_bytes(100_000);
    assert!(cache > 20 * short.state, "softmax would keep {cache}");
}

/// A small one of the family, which reads that far.
#[test]
fn a_state_is_as_large_after_100k_tokens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public/powercoder");
    let source = ModelSource::open(&folder).expect("opens");
    let vocabulary = source.config.vocab_size as u32;
    let model = block_on(engine().load(source, &LoadOptions::default(), &mut |_, _| {})).expect("loads");
    let mut session = block_on(Session::new(&model)).expect("starts");
    let mut at = |tokens: usize| {
        let ids: Vec<u32> = (session.position(0)..tokens).map(|i| (i * i % 97) as u32 % vocabulary).collect();
        block_on(session.prefill(0, &ids, &mut |_| ControlFlow::Continue(()))).expect("reads");
        assert_eq!(session.position(0), tokens);
        let saved = block_on(session.save(0)).expect("saves");
        assert!(block_on(session.logits(0)).expect("logits").iter().all(|x| x.is_finite()));
        (session.state_bytes(), saved.len())
    };
    let (early, late) = (at(1024), at(100 * 1024));
    assert_eq!(early, late);
}
