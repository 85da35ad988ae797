//! A tiny model learns selective copying, from code: a configuration, new weights, batches of a task, AdamW.
//!
//! ```sh
//! cargo run --release --example train_tiny
//! ```

use polysketch::Result;
use polysketch::gpu::{AdapterRequest, Backend};
use polysketch::graph::Recompute;
use polysketch::model::{Engine, ModelConfig, Tokenizer};
use polysketch::train::batches::Sequences;
use polysketch::train::tasks::{Task, TaskKind};
use polysketch::train::{AdamW, Learner, LearnerOptions, initial};

const CONFIG: &str = r#"{
  "model_type": "polysketch", "vocab_size": 24, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
  "intermediate_size": 128, "layer_norm_eps": 1e-5, "activation": "gelu_tanh", "sinusoidal": false, "logit_bias": false,
  "tie_word_embeddings": true, "rope": { "where": "normed", "theta": 10000.0, "layout": "half" },
  "attention": { "kind": "polysketch", "degree": 4, "qk_scale": 0.1768, "block_size": 16, "local_exact": true,
    "denominator_bias": 1.0, "shared_qk_norm": false, "sketch_input": "normed", "gate": "scalar",
    "sketch": { "kind": "learned", "size": 8, "levels": 2, "expansion": 4 } }
}"#;

fn main() -> Result<()> {
    pollster::block_on(run())
}

async fn run() -> Result<()> {
    const STEPS: u64 = 1000;
    /// Four tokens among noise are to be repeated at the end of 32.
    const ITEMS: usize = 4;
    const CONTEXT: usize = 32;
    const BATCH: usize = 64;
    let (config, _) = ModelConfig::from_json(CONFIG, "the example's configuration")?;
    let mut task = Task::new(TaskKind::Copy, config.vocab_size, ITEMS, CONTEXT, 1)?;
    let mut unseen = task.with_seed(2);
    let model = initial::new_model(config, Tokenizer::bytes(), 1)?;

    // Any adapter will do; for so small a model the CPU is the fastest.
    let engine = Engine::create(&AdapterRequest { backend: Backend::Cpu, adapter: None }).await?;
    let options =
        LearnerOptions { lanes: BATCH, context: CONTEXT, segment: None, recompute: Recompute::Nothing };
    let mut learner = Learner::new(&engine, &model, &options).await?;

    for step in 1..=STEPS {
        let batch = task.batch(step * BATCH as u64, BATCH, BATCH);
        let nll = learner.accumulate(&batch, 1.0 / batch.scored() as f32).await?;
        // A short warm-up, then a straight line down to nothing.
        let lr = 4e-3 * (step as f64 / 50.0).min((STEPS - step) as f64 / (STEPS - 50) as f64);
        let norm = learner.update(&AdamW { lr, weight_decay: 0.01, ..AdamW::default() }, step).await?;
        if step % 100 == 0 {
            let others = unseen.batch(step, BATCH, BATCH);
            let said = learner.predict(&others).await?;
            let right = said.iter().zip(&others.targets).filter(|(said, wanted)| said == wanted).count();
            let loss = nll.iter().sum::<f32>() / batch.scored() as f32;
            println!(
                "step {step:4}: loss {loss:.4}, gradient norm {norm:.3}, {right} of {} unseen answers right",
                others.scored()
            );
        }
    }
    Ok(())
}
