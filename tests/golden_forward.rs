//! Every golden model on every executor, within SPEC §5: all tokens at once, cut into small segments, and
//! token by token.

mod common;

use common::{executors, golden, golden_names, load, max_error};
use polysketch::model::{LoadOptions, Session};

/// SPEC §5: `max|Δ| <= 5e-5 max|logit|`.
const TOLERANCE: f64 = 5e-5;

#[test]
fn logits_and_hidden_states() {
    let mut failures = Vec::new();
    for (executor_name, executor) in executors() {
        for name in golden_names() {
            let (source, golden) = golden(&name);
            let shape = golden.shape("tokens").unwrap().to_vec();
            let tokens: Vec<u32> = golden.u32("tokens").unwrap();
            let want = golden.f64("logits").unwrap();
            let (lanes, n) = (shape[0], shape[1]);
            let source_layers = source.config.num_hidden_layers;
            let model = load(
                &executor,
                source,
                LoadOptions { slots: lanes, max_context: n, ..LoadOptions::default() },
            );
            let mut session = pollster::block_on(Session::new(&model)).unwrap();
            let ids: Vec<&[u32]> = tokens.chunks_exact(n).collect();
            let slots: Vec<usize> = (0..lanes).collect();
            let (logits, hidden) = pollster::block_on(session.forward(&slots, &ids, true)).unwrap();
            let mut errors = vec![("logits".to_string(), max_error(&logits, &want))];
            assert_eq!(hidden.len(), source_layers);
            for (layer, hidden) in hidden.iter().enumerate() {
                let key = format!("hidden.{layer}");
                errors.push((key.clone(), max_error(hidden, &golden.f64(&key).unwrap())));
            }
            let tolerance = if executor_name == "oracle" { 1e-5 } else { TOLERANCE };
            println!(
                "{executor_name:50} {name:32} {:?}",
                errors.iter().map(|e| format!("{:.1e}", e.1)).collect::<Vec<_>>()
            );
            failures.extend(
                errors
                    .into_iter()
                    .filter(|(_, e)| *e > tolerance || e.is_nan())
                    .map(|(what, e)| format!("{executor_name} {name} {what}: {e:.2e}")),
            );
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
