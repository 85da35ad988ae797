//! The rows of a benchmark: one JSON object a line (JSONL), `"schema": "polysketch.bench/1"`. A field that
//! does not apply to a row is left out. A later version only adds fields, or has another number.
//!
//! | field | what it is |
//! |---|---|
//! | `schema` | [`SCHEMA`] |
//! | `date` | when the row was measured, UTC, `2026-11-22T09:00:49Z` |
//! | `suite` | `peaks`, `kernels`, `attention`, `model` or `train` |
//! | `name` | what was measured, within its suite: `fma`, `forward`, `prefill`, … |
//! | `device.name` | the adapter as its driver names it; `CPU` for the CPU executor |
//! | `device.backend` | `vulkan`, `metal`, `dx12`, `gl`, `webgpu` or `cpu` |
//! | `device.kind` | `discrete`, `integrated`, `virtual`, `other`, `software` (a CPU that pretends to be a GPU) or `cpu` |
//! | `device.vendor`, `device.device` | PCI ids, 0 where unknown |
//! | `device.bus` | PCI address, where the API tells it |
//! | `device.number` | which of several adapters of this name and backend, from 1 |
//! | `device.driver`, `device.driver_info` | the driver and its version |
//! | `device.hardware` | who made it (`vendor`), and where the chip is known its `architecture`, `processors` and `registers` of 32 bits in each |
//! | `device.limits` | the limits that matter, with the range of subgroup sizes |
//! | `device.features` | the optional features it has |
//! | `device.threads` | threads of the CPU executor, which also computes the references |
//! | `device.os`, `device.arch` | of the program: `linux`, `x86_64`; `unknown`, `wasm32` in a browser |
//! | `device.browser` | the browser's user agent |
//! | `device.note` | what its owner says of it: power, cooling, what else ran |
//! | `build.version`, `build.commit` | of this crate; `+` after the commit: with changes |
//! | `build.wgpu` | version of wgpu |
//! | `build.optimized` | false: a debug build, whose times mean nothing |
//! | `workload.kind` | kind of attention |
//! | `workload.heads`, `workload.head` | H, h |
//! | `workload.sketch`, `workload.degree`, `workload.block` | r, p, b |
//! | `workload.batch` | sequences |
//! | `workload.tokens` | n |
//! | `workload.depth` | tokens the state had seen before |
//! | `workload.shape` | sizes of an operation: rows, inner, columns of a product |
//! | `workload.bytes` | bytes moved by a copy |
//! | `workload.model` | name of the model |
//! | `workload.plan` | the plan a kernel is of: `prefill` or `decode` |
//! | `workload.operation` | what a kernel does in it; the pass that a fit is of |
//! | `workload.against` | the kind that a fitted cross-over is against |
//! | `workload.dtype` | type of the large matrices in memory |
//! | `workload.seed` | of the random numbers |
//! | `method.warm_ups` | runs before the first sample |
//! | `method.timer` | `timestamps` of the device, or `wall clock` |
//! | `method.resolution_ns` | smallest step this timer is seen to make |
//! | `method.repetitions` | runs inside one submission; samples are divided by it |
//! | `method.interleaved` | workloads that took turns, sample by sample |
//! | `method.segment` | tokens of one call |
//! | `method.precision` | of products: `f32`, or `mixed`, halves summed in f32; older builds leave it out |
//! | `method.variant` | shader permutation and `override` values |
//! | `check.error` | error of the timed computation, in this run |
//! | `check.tolerance` | the most it may be: a wrong result has no time |
//! | `check.measure` | how the error is measured |
//! | `check.against` | the reference |
//! | `check.tokens` | tokens over which it was compared |
//! | `samples_ns` | nanoseconds of every sample, in order |
//! | `statistics.median_ns`, `statistics.min_ns`, `statistics.p95_ns` | of the samples |
//! | `statistics.spread` | interquartile range over median |
//! | `statistics.n` | number of samples |
//! | `estimate.ns` | what the cost model says of the same calls on this device: an estimate, measured by nobody |
//! | `estimate.of` | the compiler whose code it took, and what it assumed of the device |
//! | `derived.tokens_per_second` | `workload.tokens` over the median |
//! | `derived.flops`, `derived.flops_formula` | f32 operations, and how they are counted (a multiply-add is two) |
//! | `derived.gflops` | over the median |
//! | `derived.bytes`, `derived.bytes_formula` | bytes moved, and how they are counted |
//! | `derived.gbps` | 10⁹ bytes a second, over the median |
//! | `derived.peak_gflops`, `derived.peak_gbps` | what this adapter reached in `peaks`, in this run |
//! | `derived.share_of_peak` | share of what the roofline allows: the lower of the multiply-add peak and intensity times bandwidth |
//! | `derived.bound` | `compute` or `memory`: which of them; `cache`: faster than memory, so that the share is that of arithmetic alone |
//! | `derived.state_bytes` | state of one text |
//! | `derived.softmax_cache_bytes` | key-value cache that softmax attention of the same shape would keep of such a text, f32 |
//! | `derived.memory_bytes` | weights, state and scratch, as planned |
//! | `derived.peak_bytes` | most that was allocated on the device, where it counts |
//! | `derived.speedup`, `derived.speedup_low`, `derived.speedup_high` | median time of softmax over this one, of samples taken in turns; a 95 % interval |
//! | `derived.exponent` | a of `time = c n^a`, fitted in logarithms |
//! | `derived.exponent_from`, `derived.exponent_to` | first and last length of the fit |
//! | `derived.crossover_tokens` | length from which on it is faster than `workload.against` |
//! | `derived.shares` | time by kernel: `kernel`, `dispatches`, `nanoseconds`, `flops` |
//! | `skipped` | why there is no time: does not fit, takes too long, is wrong |

use serde::{Deserialize, Serialize};

use super::statistics::Statistics;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::KernelTime;
use crate::gpu::{AdapterFeatures, AdapterLimits, AdapterReport, Hardware};
use crate::kernels::Vendor;

/// Name and version of the schema.
pub const SCHEMA: &str = "polysketch.bench/1";

/// A group of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Suite {
    /// What the device can do at best.
    Peaks,
    /// Each kernel of a model at its working shapes.
    Kernels,
    /// Attention alone, every kind, against the length.
    Attention,
    /// A whole model: reading and writing at depths.
    Model,
    /// Training steps against the length.
    Train,
}

impl Suite {
    /// All of them, in the order they run.
    pub const ALL: [Suite; 5] = [Suite::Peaks, Suite::Kernels, Suite::Attention, Suite::Model, Suite::Train];

    /// Its word in rows and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Suite::Peaks => "peaks",
            Suite::Kernels => "kernels",
            Suite::Attention => "attention",
            Suite::Model => "model",
            Suite::Train => "train",
        }
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One measurement. The fields are described in the [table of this module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table of this module says what each field means")]
pub struct Row {
    pub schema: String,
    pub date: String,
    pub suite: Suite,
    pub name: String,
    pub device: Device,
    pub build: Build,
    pub workload: Workload,
    pub method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples_ns: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    #[serde(default)]
    pub derived: Derived,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// Where a row was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the table of this module says what each field means")]
pub struct Device {
    pub name: String,
    pub backend: String,
    pub kind: String,
    pub vendor: u32,
    pub device: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bus: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<AdapterLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<AdapterFeatures>,
    pub threads: usize,
    pub os: String,
    pub arch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Device {
    /// An adapter, or the CPU executor.
    pub fn new(adapter: Option<&AdapterReport>, browser: Option<String>) -> Self {
        let program = Self {
            threads: crate::kernels::cpu::threads(),
            os: std::env::consts::OS.to_string(),
            arch: std::env::consts::ARCH.to_string(),
            browser,
            ..Self::default()
        };
        // Browsers give no operating system; its field then says so.
        let program =
            Self { os: if program.os.is_empty() { "unknown".into() } else { program.os }, ..program };
        match adapter {
            None => Self { name: "CPU".into(), backend: "cpu".into(), kind: "cpu".into(), ..program },
            Some(a) => Self {
                name: a.name.clone(),
                backend: a.backend.clone(),
                kind: a.kind.to_string(),
                vendor: a.vendor,
                device: a.device,
                bus: a.bus.clone(),
                number: a.number,
                driver: a.driver.clone(),
                driver_info: a.driver_info.clone(),
                hardware: Some(a.hardware.clone()),
                limits: Some(a.limits.clone()),
                features: Some(a.features.clone()),
                ..program
            },
        }
    }

    /// Who made it, in the order of tables and for people: old rows tell it by their ids and names.
    pub fn maker(&self) -> (Vendor, &'static str) {
        let told = self.hardware.as_ref().map(|hardware| hardware.vendor);
        let vendor = told.filter(|vendor| *vendor != Vendor::Other).unwrap_or_else(|| {
            Hardware::named(self.kind == "software", self.vendor, &self.name, &self.driver).vendor
        });
        let name = match vendor {
            _ if self.kind == "cpu" => return (Vendor::Software, "CPU executor"),
            Vendor::Nvidia => "NVIDIA",
            Vendor::Amd => "AMD",
            Vendor::Intel => "Intel",
            Vendor::Apple => "Apple",
            Vendor::Qualcomm => "Qualcomm",
            Vendor::Arm => "ARM",
            Vendor::Software => "software adapters",
            Vendor::Other => "others",
        };
        (vendor, name)
    }

    /// What tells one device from all others in the rows of a machine.
    pub fn identity(&self) -> String {
        format!("{}\n{}", self.label(), self.bus)
    }

    /// Name for people; software adapters are named as such.
    pub fn label(&self) -> String {
        let number = self.number.map_or(String::new(), |number| format!(" #{number}"));
        match self.kind.as_str() {
            "cpu" => format!(
                "CPU executor, {} threads{}",
                self.threads,
                if self.arch == "wasm32" { ", wasm" } else { "" }
            ),
            "software" => format!("{}{number} ({}, software)", self.name, self.backend),
            _ => format!("{}{number} ({})", self.name, self.backend),
        }
    }
}

/// What was measured with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the table of this module says what each field means")]
pub struct Build {
    pub version: String,
    pub commit: String,
    pub wgpu: String,
    pub optimized: bool,
}

impl Build {
    /// This build.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("POLYSKETCH_COMMIT").into(),
            wgpu: env!("POLYSKETCH_WGPU").into(),
            optimized: !cfg!(debug_assertions),
        }
    }

    /// `0.1.0 (64b5367)`.
    pub fn label(&self) -> String {
        if self.commit.is_empty() {
            self.version.clone()
        } else {
            format!("{} ({})", self.version, self.commit)
        }
    }
}

/// Declares a struct of optional fields that are left out of the JSON where they do not apply.
macro_rules! optional {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[expect(missing_docs, reason = "the table of this module says what each field means")]
        pub struct $name {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>,)*
        }
    };
}

optional! {
    /// What is computed: with suite and name it identifies a row, on every device and in every build.
    Workload {
        kind: String,
        heads: usize,
        head: usize,
        sketch: usize,
        degree: usize,
        block: usize,
        batch: usize,
        tokens: usize,
        depth: usize,
        shape: Vec<usize>,
        bytes: u64,
        model: String,
        plan: String,
        operation: String,
        against: String,
        dtype: String,
        seed: u64,
    }
}

optional! {
    /// How it was measured.
    Method {
        warm_ups: usize,
        timer: String,
        resolution_ns: f64,
        repetitions: usize,
        interleaved: usize,
        segment: usize,
        precision: String,
        variant: String,
    }
}

optional! {
    /// What follows from the times and the workload.
    Derived {
        tokens_per_second: f64,
        flops: u64,
        flops_formula: String,
        gflops: f64,
        bytes: u64,
        bytes_formula: String,
        gbps: f64,
        peak_gflops: f64,
        peak_gbps: f64,
        share_of_peak: f64,
        bound: String,
        state_bytes: u64,
        softmax_cache_bytes: u64,
        memory_bytes: u64,
        peak_bytes: u64,
        speedup: f64,
        speedup_low: f64,
        speedup_high: f64,
        exponent: f64,
        exponent_from: usize,
        exponent_to: usize,
        crossover_tokens: f64,
        shares: Vec<KernelTime>,
    }
}

/// What the cost model says of a row's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table of this module says what each field means")]
pub struct Estimate {
    pub ns: f64,
    pub of: String,
}

/// The error of a row's own computation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table of this module says what each field means")]
pub struct Check {
    #[serde(deserialize_with = "number_or_none")]
    pub error: f64,
    pub tolerance: f64,
    pub measure: String,
    pub against: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

/// JSON has no NaN: an error that is no number is written as null.
fn number_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Check {
    /// An error of the device's floats against the same computation in f64.
    pub fn against_f64(error: f64, tolerance: f64, measure: &str, tokens: Option<usize>) -> Self {
        Self { error, tolerance, measure: measure.into(), against: "CPU in f64".into(), tokens }
    }

    /// Whether the result may be timed.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] if it is wrong, or not a number.
    pub fn verdict(&self) -> Result<()> {
        if self.error <= self.tolerance {
            return Ok(());
        }
        if !self.error.is_finite() {
            return Err(Error::new(ErrorKind::Numeric, "wrong: the result is no number"));
        }
        Err(Error::new(
            ErrorKind::Numeric,
            format!("wrong: an error of {:.1e}, at most {:.0e} is allowed", self.error, self.tolerance),
        ))
    }
}

impl Row {
    /// A row without a time, yet.
    pub fn new(suite: Suite, name: &str, workload: Workload, device: &Device, build: &Build) -> Self {
        Self {
            schema: SCHEMA.into(),
            date: super::clock::date(),
            suite,
            name: name.into(),
            device: device.clone(),
            build: build.clone(),
            workload,
            method: Method::default(),
            check: None,
            samples_ns: Vec::new(),
            statistics: None,
            estimate: None,
            derived: Derived::default(),
            skipped: None,
        }
    }

    /// Takes the check that holds for all rows of a suite; an error says why there are none.
    pub(super) fn checked_by(&mut self, check: &Result<Check>) -> Result<()> {
        let check = check.as_ref().map_err(Clone::clone)?;
        self.check = Some(check.clone());
        check.verdict()
    }

    /// The median, if there is a time.
    pub fn median_ns(&self) -> Option<f64> {
        self.statistics.map(|s| s.median_ns)
    }

    /// What its products are computed in.
    pub fn precision(&self) -> &str {
        self.method.precision.as_deref().unwrap_or("f32")
    }

    /// What identifies the workload on every device and in every build.
    pub fn key(&self) -> String {
        // Cannot fail: plain data.
        format!("{} {} {}", self.suite, self.name, serde_json::to_string(&self.workload).unwrap_or_default())
    }

    /// The workload for people: `polysketch learned, n 4096`.
    pub fn label(&self) -> String {
        let w = &self.workload;
        let number = |name: &str, value: Option<usize>| value.map(|value| format!("{name} {value}"));
        let shape = w.shape.as_ref().map(|s| s.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"));
        let parts = [
            w.kind.clone(),
            w.operation.clone(),
            w.plan.clone(),
            shape,
            w.bytes.map(|bytes| format!("{} MiB", bytes >> 20)),
            number("n", w.tokens),
            number("at", w.depth),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a number that JSON has no form for.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::new(ErrorKind::Io, format!("a row of the benchmark: {e}")))
    }
}
