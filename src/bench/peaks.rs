//! What a device can do at best: multiply-adds in registers, bandwidth, matrix products, dispatches,
//! transfers. The first two make the roofline that other rows are held against.

use super::clock::{self, Instant};
use super::fit::relative;
use super::runner::Bench;
use super::schema::{Check, Row, Suite, Workload};
use super::timer::{Samples, Subject, Timer, in_turns, kernel_graph};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor, Memory};
use crate::graph::Graph;
use crate::kernels::linear::linear::Linear;
use crate::kernels::rows::add::Add;
use crate::kernels::rows::multiply_add::MultiplyAdd;
use crate::shape;
use crate::tensor::{Call, DType, TensorType, Unit};

/// Rows of the suite.
pub(super) const ROWS: usize = 8;
/// Error of a result against f64, relative (SPEC §5).
const TOLERANCE: f64 = 5e-5;
/// Dispatches of a submission where one dispatch is measured.
const DISPATCHES: usize = 256;

/// A kernel alone.
struct Case {
    name: &'static str,
    graph: Graph,
    /// Elements of its output.
    elements: usize,
    tokens: usize,
    workload: Workload,
}

/// Measures; only the roofline where nobody asked for rows.
pub(super) async fn run(bench: &mut Bench<'_>, rows: bool) -> Result<()> {
    // Beyond all caches, within every binding.
    let elements: usize = if bench.options.quick { 4 << 20 } else { 16 << 20 };
    let executor = bench.engine.executor(4 * elements as u64).await?;
    let timer = Timer::of(&executor).await?;
    for case in roofline(&executor, elements)? {
        let row = measure(bench, &executor, &timer, &case, rows).await?;
        bench.peaks.gflops = bench.peaks.gflops.or(row.derived.gflops);
        bench.peaks.gbps = bench.peaks.gbps.or(row.derived.gbps);
        if rows {
            bench.finished(row)?;
        }
    }
    if !rows {
        return Ok(());
    }
    for n in [512, 1024].into_iter().take(if bench.options.quick { 1 } else { 2 }) {
        let row = measure(bench, &executor, &timer, &product(n)?, true).await?;
        bench.finished(row)?;
    }
    latencies(bench, &executor, &timer).await?;
    transfers(bench, &executor, elements).await
}

fn roofline(executor: &Executor, elements: usize) -> Result<[Case; 2]> {
    let traits = executor.traits();
    let small = traits.software || !traits.shaders;
    let fma = MultiplyAdd { groups: if small { 32 } else { 4096 }, steps: if small { 2048 } else { 4096 } };
    let ty = TensorType::f32(shape![elements]);
    let add = Add { ty: ty.clone(), in_place: false };
    Ok([
        Case {
            name: "fma",
            elements: 256 * fma.groups,
            graph: kernel_graph(fma, &[])?,
            tokens: 1,
            workload: Workload::default(),
        },
        Case {
            name: "bandwidth",
            elements,
            graph: kernel_graph(add, &[ty.clone(), ty])?,
            tokens: 1,
            workload: Workload { bytes: Some(12 * elements as u64), ..Workload::default() },
        },
    ])
}

/// The engine's own product of square matrices.
fn product(n: usize) -> Result<Case> {
    let inputs = [TensorType::f32(shape![Unit::Rows, n]), TensorType::f32(shape![n, n])];
    let workload = Workload { shape: Some(vec![n, n, n]), dtype: Some("f32".into()), ..Workload::default() };
    Ok(Case {
        name: "matmul",
        graph: kernel_graph(Linear::new(n, n), &inputs)?,
        elements: n * n,
        tokens: n,
        workload,
    })
}

/// Checks a kernel against f64, and times it.
async fn measure(
    bench: &mut Bench<'_>,
    executor: &Executor,
    timer: &Timer,
    case: &Case,
    tell: bool,
) -> Result<Row> {
    let mut row = bench.row(Suite::Peaks, case.name, case.workload.clone());
    if tell {
        bench.started(Suite::Peaks, &format!("{} {}", case.name, row.label())).await?;
    }
    let seed = bench.options.seed;
    let measured = async {
        let mut subject =
            Subject::kernel(executor, &bench.engine.traits(), &case.graph, case.tokens, seed).await?;
        let flops = subject.plan().flops(&Call::start(case.tokens));
        row.derived.flops = Some(flops).filter(|flops| *flops > 0);
        row.derived.flops_formula = row.derived.flops.map(|_| "2 · multiply-adds".into());
        row.derived.bytes = case.workload.bytes;
        row.derived.bytes_formula = case.workload.bytes.map(|_| "4 · elements · (2 read + 1 written)".into());
        let reads = [("out", case.elements)];
        let got = subject.run(&reads).await?;
        let oracle = Executor::Oracle(CpuExecutor::default());
        let want = Subject::kernel(&oracle, &oracle.traits(), &case.graph, case.tokens, seed)
            .await?
            .run(&reads)
            .await?;
        let check = Check::against_f64(relative(&got[0], &want[0]), TOLERANCE, "relative, Frobenius", None);
        row.check = Some(check.clone());
        check.verdict()?;
        single(bench, timer, &mut subject, async |s, times| s.time(timer, times).await).await
    };
    let samples = measured.await;
    bench.complete(row, samples, timer)
}

async fn single<T>(
    bench: &Bench<'_>,
    timer: &Timer,
    subject: &mut T,
    time: impl AsyncFnMut(&mut T, usize) -> Result<f64>,
) -> Result<Samples> {
    let samples = in_turns(std::slice::from_mut(subject), &[], bench.options, timer, true, time).await;
    samples.into_iter().next().unwrap_or_else(|| Ok(Samples::default()))
}

/// A dispatch among others of a submission, and a submission that is waited for.
async fn latencies(bench: &mut Bench<'_>, executor: &Executor, timer: &Timer) -> Result<()> {
    let graph = kernel_graph(MultiplyAdd { groups: 1, steps: 16 }, &[])?;
    let mut subject = Subject::kernel(executor, &executor.traits(), &graph, 1, 0).await?;
    let wall = Timer::wall();
    for (name, timer, times) in [("dispatch", timer, DISPATCHES), ("submission", &wall, 1)] {
        bench.started(Suite::Peaks, name).await?;
        let row = bench.row(Suite::Peaks, name, Workload::default());
        let mut options = bench.options.clone();
        options.samples = options.samples.max(9);
        let samples =
            in_turns(std::slice::from_mut(&mut subject), &[], &options, timer, false, async |s, _| {
                s.time(timer, times).await
            })
            .await;
        let per_dispatch = |samples: Samples| Samples {
            nanoseconds: samples.nanoseconds.iter().map(|ns| ns / times as f64).collect(),
            repetitions: times,
            ..samples
        };
        for samples in samples {
            let row = bench.complete(row.clone(), samples.map(per_dispatch), timer)?;
            if name == "dispatch" {
                bench.peaks.dispatch = row.median_ns().map(|ns| 1e-9 * ns);
            }
            bench.finished(row)?;
        }
    }
    Ok(())
}

/// Host memory to the device's, and back.
async fn transfers(bench: &mut Bench<'_>, executor: &Executor, elements: usize) -> Result<()> {
    let timer = Timer::wall();
    let words: Vec<u32> = (0..elements as u32).collect();
    let mut memory = Memory::new(executor);
    let names = ["upload", "download"];
    if !matches!(executor, Executor::Gpu(_)) {
        for name in names {
            let row = bench.row(Suite::Peaks, name, Workload::default());
            let error = Error::new(ErrorKind::Device, "the CPU executor computes in the host's memory");
            bench.conclude(row, Err(error), &timer)?;
        }
        return Ok(());
    }
    memory.reserve("copy", DType::U32, elements).await?;
    for name in names {
        bench.started(Suite::Peaks, name).await?;
        let bytes = 4 * elements as u64;
        let mut row = bench.row(Suite::Peaks, name, Workload { bytes: Some(bytes), ..Workload::default() });
        (row.derived.bytes, row.derived.bytes_formula) = (Some(bytes), Some("bytes copied".into()));
        let samples = single(bench, &timer, &mut memory, async |memory, times| {
            let start = Instant::now();
            for _ in 0..times {
                if name == "upload" {
                    memory.write("copy", 0, &words).await?;
                    executor.finish().await?;
                } else if memory.read("copy", 0..elements).await? != words {
                    return Err(Error::new(
                        ErrorKind::Numeric,
                        "wrong: what was read is not what was written",
                    ));
                }
            }
            Ok(clock::nanoseconds_since(start))
        });
        let samples = samples.await;
        let mut row = bench.complete(row, samples, &timer)?;
        // A transfer is not held against the device's own memory.
        (row.derived.share_of_peak, row.derived.bound, row.derived.peak_gbps) = (None, None, None);
        bench.finished(row)?;
    }
    Ok(())
}
