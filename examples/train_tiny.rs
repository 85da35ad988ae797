//! A tiny model learns induction, from code: a configuration, new weights, batches of a task, AdamW.
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
    const CONTEXT: usize = 64;
    const BATCH: usize = 32;
    let (config, _) = ModelConfig::from_json(CONFIG, "the example's configuration")?;
    let mut task = Task::new(TaskKind::Induction, config.vocab_size, TaskKind::Induction.usual_items(), CONTEXT, 1)?;
    let mut unseen = task.with_seed(2);
    let model = initial::new_model(config, Tokenizer::bytes(), 1)?;

    // Any adapter will do; for so small a model the CPU is the fastest.
    let engine = Engine::create(&AdapterRequest { backend: Backend::Cpu, adapter: None }).await?;
    let options = LearnerOptions { lanes: BATCH, context: CONTEXT, segment: None, recompute: Recompute::Nothing };
    let mut learner = Learner::new(&engine, &model, &options).await?;

    for step in 1..=400 {
        let batch = task.batch(step * BATCH as u64, BATCH, BATCH);
        let nll = learner.accumulate(&batch, 1.0 / batch.scored() as f32).await?;
        let norm = learner.gradient_norm().await?;
        learner.update(&AdamW { lr: 3e-3, ..AdamW::default() }, step).await?;
        if step % 50 == 0 {
            let others = unseen.batch(step, BATCH, BATCH);
            let said = learner.predict(&others).await?;
            let right = said.iter().zip(&others.targets).filter(|(said, wanted)| said == wanted).count();
            let loss = nll.iter().sum::<f32>() / batch.scored() as f32;
            println!("step {step:4}: loss {loss:.4}, gradient norm {norm:.3}, {right} of {} unseen answers right", others.scored());
        }
    }
    Ok(())
}
