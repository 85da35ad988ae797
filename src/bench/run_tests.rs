//! Whole benchmarks, small ones, on the CPU.

use std::ops::ControlFlow;

use super::{BenchOptions, Event, Row, Suite, attention, run};
use crate::error::{ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::model::Engine;

fn tiny(suites: &[Suite]) -> BenchOptions {
    BenchOptions {
        suites: suites.to_vec(),
        budget: 0.01,
        samples: 1,
        lengths: vec![70, 40],
        head: 8,
        sketch: 4,
        block: 16,
        ..BenchOptions::quick()
    }
}

fn collect(options: &BenchOptions, most: usize) -> (Vec<Row>, Result<()>) {
    let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
    let mut rows = Vec::new();
    let done = pollster::block_on(run(&engine, None, options, &mut |event| {
        if let Event::Row(row) = event {
            rows.push(*row);
        }
        if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }));
    (rows, done)
}

#[test]
fn attention_is_checked_before_it_is_timed() {
    let options = tiny(&[Suite::Attention]);
    let (rows, done) = collect(&options, usize::MAX);
    done.expect("runs");
    assert_eq!(rows.len(), attention::rows(&options));
    for row in rows.iter().filter(|row| row.name.starts_with("forward")) {
        let check = row.check.as_ref().expect("checked");
        assert!(check.verdict().is_ok() && row.samples_ns.len() == 1 && row.skipped.is_none(), "{row:?}");
        assert!(
            row.derived.gflops.is_some()
                && row.derived.share_of_peak.is_some()
                && row.derived.memory_bytes.is_some()
        );
    }
    assert!(rows.iter().filter(|row| row.name == "exponent").all(|row| row.derived.exponent.is_some()));
}

#[test]
fn time_of_attention_is_told_by_kernel() {
    let options = BenchOptions { quick: false, lengths: vec![64], ..tiny(&[Suite::Attention]) };
    let (rows, done) = collect(&options, usize::MAX);
    done.expect("runs");
    assert_eq!(rows.len(), attention::rows(&options));
    let kernels = |operation: &str| -> Vec<String> {
        let rows = rows
            .iter()
            .filter(|row| row.name == "shares" && row.workload.operation.as_deref() == Some(operation));
        rows.flat_map(|row| row.derived.shares.iter().flatten().map(|k| k.kernel.clone())).collect()
    };
    assert!(kernels("forward").iter().any(|k| k == "scan_output"), "{:?}", kernels("forward"));
    assert!(
        kernels("forward_backward").iter().any(|k| k == "scan_grad_keys"),
        "{:?}",
        kernels("forward_backward")
    );
}

#[test]
fn a_benchmark_can_be_stopped_and_refuses_nonsense() {
    let (rows, stopped) = collect(&tiny(&[Suite::Attention]), 2);
    assert_eq!((rows.len(), stopped.expect_err("stopped").kind()), (2, ErrorKind::Cancelled));
    let nonsense = [
        tiny(&[]),
        tiny(&[Suite::Model]),
        BenchOptions { budget: f64::NAN, ..tiny(&[Suite::Peaks]) },
        BenchOptions { lengths: vec![0], ..tiny(&[Suite::Attention]) },
    ];
    for options in nonsense {
        let (rows, refused) = collect(&options, 1);
        assert_eq!((rows.len(), refused.expect_err("refused").kind()), (0, ErrorKind::Input));
    }
    let long = BenchOptions { memory: Some(1000), ..tiny(&[Suite::Attention]) };
    let (rows, done) = collect(&long, usize::MAX);
    done.expect("runs");
    let reasons: Vec<&str> = rows.iter().filter_map(|row| row.skipped.as_deref()).collect();
    assert!(reasons.len() == rows.len() && reasons[0].contains("free"), "{reasons:?}");
}
