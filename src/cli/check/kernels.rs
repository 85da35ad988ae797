//! `check` itself: kernels against their twins in f64.

use std::path::Path;

use clap::Args;
use polysketch::check::{self, Case, Check, Finding, Record, TOLERANCE, Time, kernels, names};
use polysketch::exec::Executor;
use polysketch::files::is_standard;
use polysketch::kernels::{DeviceTraits, Precision};
use polysketch::model::Engine;
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::lines::{Lines, engine};
use crate::cli::bench::rows::duration;
use crate::cli::failure::{Outcome, catch_interrupt, interrupted, tell, warn};
use crate::cli::model;
use crate::cli::options::{Common, ModelName, Precise};
use crate::cli::output::{self, Align, digits3, plural, print, print_json, table};
use crate::cli::progress::{Progress, Unit};

/// Which kernels, and what of them.
#[derive(Debug, Args)]
pub struct Options {
    /// Only this kernel: its name is that of its shader's file [default: all]
    #[arg(value_name = "KERNEL", conflicts_with = "golden")]
    kernel: Option<String>,
    /// Only variants of shaders whose name holds this, such as SHARED or `linear_rows`
    #[arg(long, value_name = "TEXT", conflicts_with = "golden")]
    variant: Option<String>,
    /// How fast each kernel is at the sizes of a model's work, too
    #[arg(long, conflicts_with = "golden")]
    time: bool,
    /// Every case: many random models too, which takes minutes
    #[arg(long, conflicts_with = "golden")]
    all: bool,
    #[command(flatten)]
    precise: Precise,
    /// Model of --time, as of `generate` [default: the built-in model]
    #[arg(long, value_name = "MODEL", conflicts_with = "golden", requires = "time")]
    model: Option<ModelName>,
}

/// The cases to run, with the kernels of each.
fn selected(common: &Common, options: &Options) -> Result<Vec<(Case, Vec<&'static str>)>> {
    let mut list = check::cases()?;
    if options.time {
        let place = model::place(common, options.model.as_ref())?;
        let name = options.model.as_ref().map_or("built in".into(), ModelName::name);
        // First, because they were asked for.
        list.splice(0..0, check::working_cases(&name, move || model::open(&place))?);
    }
    let list =
        list.into_iter().map(|case| kernels(&case).map(|of| (case, of))).collect::<Result<Vec<_>>>()?;
    if let Some(kernel) = &options.kernel {
        known(kernel, &list)?;
    }
    let wanted = |(case, of): &(Case, Vec<&'static str>)| {
        (case.core || options.all)
            && options.kernel.as_ref().is_none_or(|kernel| of.contains(&kernel.as_str()))
    };
    Ok(list.into_iter().filter(wanted).collect())
}

/// Refuses a kernel that there is not.
fn known(kernel: &str, list: &[(Case, Vec<&'static str>)]) -> Result<()> {
    let mut all: Vec<&str> = list.iter().flat_map(|(_, of)| of.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    if all.contains(&kernel) {
        return Ok(());
    }
    let near = match names::near(kernel, &all) {
        near if near.is_empty() => String::new(),
        near => format!(", but {}", near.join(", ")),
    };
    Err(Error::new(ErrorKind::Input, format!("there is no kernel {kernel}{near}"))
        .help("kernels are named as the files in shaders/; without a name, all are checked"))
}

/// Checks them.
pub fn run(common: &Common, options: &Options, out: Option<&Path>) -> Outcome {
    let cases = selected(common, options)?;
    let engine = engine(common)?.precise(options.precise.precision)?;
    let executor = check::executor(&engine)?;
    let devices = [engine.traits(), DeviceTraits::floor()];
    let alone = !matches!(executor, Executor::Gpu(_)) || engine.precision() == Precision::Mixed;
    let devices = if alone { &devices[..1] } else { &devices[..] };
    let check = Check {
        executor: &executor,
        devices,
        kernel: options.kernel.as_deref(),
        variant: options.variant.as_deref(),
        time: false,
    };
    catch_interrupt();
    let mut lines = Lines::create(out)?;
    let mut findings: Vec<Finding> = Vec::new();
    let bar = Progress::bar(common, &engine.name(), cases.len() as u64, Unit::Cases);
    let of = cases.len();
    for (at, (case, _)) in cases.into_iter().enumerate() {
        bar.set(at);
        bar.say(&case.name);
        let time = options.time && at < WORKING;
        for finding in (Check { time, ..check.clone() }).run(&Record::new(case)?)? {
            lines.add(&row(&engine, &finding))?;
            findings.push(finding);
        }
        if interrupted() {
            warn(&format!("interrupted after {} of {of} cases", at + 1));
            break;
        }
    }
    drop(bar);
    let wrong: Vec<&Finding> = findings.iter().filter(|f| f.wrong()).collect();
    if common.json {
        let rows: Vec<_> = findings.iter().map(|finding| row(&engine, finding)).collect();
        print_json(&json!({ "device": engine.name(), "tolerance": TOLERANCE, "findings": rows }))?;
    } else if !out.is_some_and(is_standard) {
        print(&(report(options, &engine, &findings).join("\n") + "\n"))?;
    }
    verdict(&findings, &wrong)
}

/// Cases of [`check::working_cases`].
const WORKING: usize = 3;

fn row(engine: &Engine, finding: &Finding) -> serde_json::Value {
    let mut row = json!(finding);
    row["device"] = json!(engine.name());
    row["wrong"] = json!(finding.wrong());
    row["tolerance"] = json!(TOLERANCE);
    row
}

/// Tells what is wrong; nothing checked is wrong too.
fn verdict(findings: &[Finding], wrong: &[&Finding]) -> Outcome {
    /// More than that nobody reads.
    const MOST: usize = 12;
    if findings.is_empty() {
        let error = Error::new(ErrorKind::Input, "nothing to check: no such variant runs on this device");
        return Err(error.help("see the variants that run: polysketch check KERNEL").into());
    }
    for finding in wrong.iter().take(MOST) {
        let Some(worst) = finding.worst() else { continue };
        tell(format_args!(
            "wrong: {} in {}, step {}, {}: {}[{}] is {:e}, its twin has {:e}, error {:.1e}",
            finding.kernel,
            finding.case,
            finding.step,
            finding.variant,
            worst.tensor,
            worst.at,
            worst.got,
            worst.want,
            worst.error
        ));
    }
    let mut kernels: Vec<&str> = wrong.iter().map(|f| f.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    if kernels.is_empty() {
        return Ok(());
    }
    let (steps, of) = (wrong.len(), findings.len());
    let text = format!(
        "{steps} of {of} steps differ from their twins by more than {TOLERANCE:.0e}{}: {}",
        if wrong.iter().any(|f| f.mixed) { " and what halves round away" } else { "" },
        kernels.join(", ")
    );
    Err(Error::new(ErrorKind::Numeric, text).into())
}

fn report(options: &Options, engine: &Engine, findings: &[Finding]) -> Vec<String> {
    let mixed = findings.iter().filter(|finding| finding.mixed).count();
    let mixed = if mixed > 0 { format!(", {mixed} in mixed precision") } else { String::new() };
    let head = format!("{}: {}{mixed}", engine.name(), plural(findings.len(), "step"));
    let rows = if options.kernel.is_some() { by_step(findings) } else { by_kernel(findings) };
    let align = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Right, Align::Left];
    let mut list = vec![head, String::new()];
    list.extend(table(&align, 1, &rows, output::columns()));
    list
}

fn error_of(finding: &Finding) -> f64 {
    finding.worst().map_or(0.0, |worst| if worst.error.is_nan() { f64::INFINITY } else { worst.error })
}

fn told(time: Option<&Time>) -> [String; 2] {
    let Some(time) = time else { return Default::default() };
    let rate = |x: f64, unit: &str| format!("{} {unit}", digits3(x));
    let rates = [time.gflops.map(|x| rate(x, "GFLOP/s")), Some(rate(time.gbps, "GB/s"))];
    [duration(time.nanoseconds), rates.into_iter().flatten().collect::<Vec<_>>().join(", ")]
}

/// A line for every step.
fn by_step(findings: &[Finding]) -> Vec<Vec<String>> {
    let head = ["case", "shader", "output", "error", "time", "rate"].map(String::from).to_vec();
    let line = |finding: &Finding| {
        let each = |(at, d): (usize, &check::Difference)| {
            let [time, rate] = told(finding.time.as_ref().filter(|_| at == 0));
            let first = |text: &str| if at == 0 { text.to_string() } else { String::new() };
            // Its overrides are in the file of --out.
            let shader = finding.variant.split(' ').next().unwrap_or_default();
            let cells = [first(&finding.case), first(shader), d.tensor.clone()];
            [&cells[..], &[format!("{:.1e}", d.error), time, rate]].concat()
        };
        finding.outputs.iter().enumerate().map(each).collect::<Vec<_>>()
    };
    [head].into_iter().chain(findings.iter().flat_map(line)).collect()
}

/// A line for every kernel: the step that is furthest off, and the longest time.
fn by_kernel(findings: &[Finding]) -> Vec<Vec<String>> {
    let mut kernels: Vec<&str> = findings.iter().map(|f| f.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    let line = |kernel: &str| {
        let of: Vec<&Finding> = findings.iter().filter(|f| f.kernel == kernel).collect();
        let worst = of.iter().max_by(|a, b| error_of(a).total_cmp(&error_of(b)));
        let slowest =
            of.iter().filter_map(|f| f.time.as_ref()).max_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
        let [time, rate] = told(slowest);
        let place = worst.map_or(String::new(), |f| f.case.clone());
        let error = worst.map_or(0.0, |f| error_of(f));
        vec![kernel.to_string(), place, plural(of.len(), "step"), format!("{error:.1e}"), time, rate]
    };
    let head = ["kernel", "worst in", "checked", "error", "time", "rate"].map(String::from).to_vec();
    [head].into_iter().chain(kernels.into_iter().map(line)).collect()
}
