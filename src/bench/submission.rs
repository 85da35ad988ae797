//! Whether a file of rows can be believed, and whether it may stand among the results that everybody sees. One
//! check for the command line and for the page; what it asks for is said in `web/page/results/README.md`.

use super::roofline::Peaks;
use super::schema::{Device, Row, Suite};
use super::statistics::Statistics;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Hardware;
use crate::kernels::Precision;
use crate::text::clip;

/// How far a rate may lie above what was measured as the most.
const ABOVE_PEAK: f64 = 1.05;
/// How far the peaks of several runs in a file may lie apart.
const APART: f64 = 1.5;
/// How far numbers that follow from others may lie from them.
const ROUNDING: f64 = 1e-6;
/// 10⁹ operations a second of one processor, more than any has: 256 a cycle at 4 GHz.
const MOST_A_PROCESSOR: f64 = 256.0 * 4.0;
/// No computation here may be further off, whatever a row allows itself.
const MOST_TOLERANCE: f64 = 0.05;
/// Samples of the peaks, on which all shares stand, and of a kernel.
const LEAST_SAMPLES: [usize; 2] = [5, 3];
/// Tokens that attention must have been tried at.
const LEAST_LENGTH: usize = 4096;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// The field, as the schema names it.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// A file whose rows can be believed.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its rows, with their lines.
    pub rows: Vec<(usize, Row)>,
    /// Why it may not stand among the results: the first reason.
    pub missing: Option<Fault>,
}

impl Submission {
    /// Reads and checks a file; `label` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] with file, line and field: for a line that is no row, and for one that cannot be
    /// believed.
    pub fn read(text: &str, label: &str) -> Result<Self> {
        let rows = Row::parse_lines(text, label)?;
        if rows.is_empty() {
            return Err(refused(label, "no rows"));
        }
        if let Some(fault) = sound(&rows).into_iter().next() {
            return Err(refused(label, &fault.to_string()));
        }
        let missing = complete(&rows).err().map(|(line, field, what)| Fault { line, field, what });
        Ok(Self { rows, missing })
    }

    /// The same, where only a file that may stand among the results will do.
    ///
    /// # Errors
    /// As [`Submission::read`], and for what a submission must have.
    pub fn accept(text: &str, label: &str) -> Result<Self> {
        let read = Self::read(text, label)?;
        match &read.missing {
            None => Ok(read),
            Some(fault) => Err(refused(label, &fault.to_string())),
        }
    }
}

fn refused(label: &str, what: &str) -> Error {
    Error::new(ErrorKind::Input, format!("{label}: {what}"))
        .help("give what polysketch bench --out wrote, unchanged; web/page/results/README.md has all that is asked for")
}

/// Field and reason.
type Found = std::result::Result<(), (&'static str, String)>;

/// What cannot be believed: of each row the first fault.
pub fn sound(rows: &[(usize, Row)]) -> Vec<Fault> {
    const CHECKS: [fn(&Row) -> Found; 5] = [origin, times, result, rates, estimate];
    let first = |name: &str, value: fn(&Row) -> Option<f64>| {
        rows.iter()
            .find(|(_, row)| row.suite == Suite::Peaks && row.name == name)
            .and_then(|(_, row)| value(row))
    };
    let peaks = Peaks {
        gflops: first("fma", |row| row.derived.gflops),
        gbps: first("bandwidth", |row| row.derived.gbps),
        dispatch: None,
    };
    let fault = |(line, row): &(usize, Row)| {
        let found = CHECKS.iter().try_for_each(|check| check(row)).and_then(|()| same_peaks(row, &peaks));
        found.err().map(|(field, what)| Fault { line: *line, field, what })
    };
    rows.iter().filter_map(fault).collect()
}

fn fail<T>(field: &'static str, what: impl Into<String>) -> std::result::Result<T, (&'static str, String)> {
    Err((field, what.into()))
}

fn origin(row: &Row) -> Found {
    const KINDS: [&str; 6] = ["discrete", "integrated", "virtual", "other", "software", "cpu"];
    const BACKENDS: [&str; 6] = ["vulkan", "metal", "dx12", "gl", "webgpu", "cpu"];
    let d = &row.device;
    let shape: Vec<bool> = row.date.bytes().map(|b| b.is_ascii_digit()).collect();
    let dated = row.date.len() == 20 && shape.iter().filter(|digit| **digit).count() == 14;
    if !dated || !row.date.ends_with('Z') {
        return fail("date", format!("'{}' is no time like 2026-11-22T09:00:49Z", row.date));
    }
    if d.name.trim().is_empty() {
        return fail("device.name", "is empty");
    }
    if !KINDS.contains(&d.kind.as_str()) {
        return fail("device.kind", format!("'{}' is none of {}", d.kind, KINDS.join(", ")));
    }
    if !BACKENDS.contains(&d.backend.as_str()) {
        return fail("device.backend", format!("'{}' is none of {}", d.backend, BACKENDS.join(", ")));
    }
    if !Precision::ALL.iter().any(|precision| precision.as_str() == row.precision()) {
        let known = Precision::ALL.map(Precision::as_str).join(", ");
        return fail("method.precision", format!("'{}' is none of {known}", row.precision()));
    }
    if row.build.version.is_empty() {
        return fail("build.version", "is empty");
    }
    if !row.build.optimized {
        return fail("build.optimized", "a debug build, whose times mean nothing");
    }
    Ok(())
}

/// A number in few letters.
fn short(x: f64) -> String {
    if (1e-6..1e15).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

/// Numbers that are as good as equal.
fn close(a: f64, b: f64) -> bool {
    a.is_finite() && b.is_finite() && (a - b).abs() <= ROUNDING * a.abs().max(b.abs())
}

fn times(row: &Row) -> Found {
    if let Some(ns) = row.samples_ns.iter().find(|ns| !(ns.is_finite() && **ns > 0.0)) {
        return fail("samples_ns", format!("{ns} is no time"));
    }
    let Some(said) = row.statistics else {
        return if row.samples_ns.is_empty() {
            Ok(())
        } else {
            fail("statistics", "samples without statistics")
        };
    };
    if row.skipped.is_some() {
        return fail("skipped", "a row that was skipped has a time");
    }
    if said.n != row.samples_ns.len() {
        return fail("statistics.n", format!("{} for {} samples", said.n, row.samples_ns.len()));
    }
    let Some(of) = Statistics::of(&row.samples_ns) else {
        return fail("samples_ns", "a time without samples");
    };
    let pairs = [
        ("statistics.median_ns", said.median_ns, of.median_ns),
        ("statistics.min_ns", said.min_ns, of.min_ns),
        ("statistics.p95_ns", said.p95_ns, of.p95_ns),
    ];
    match pairs.into_iter().find(|(_, said, of)| !close(*said, *of)) {
        Some((field, said, of)) => fail(field, format!("{}, but its samples say {}", short(said), short(of))),
        None => Ok(()),
    }
}

/// The row's own check. Times of the device alone have none; nor has the kernel whose twin cuts its work otherwise.
fn result(row: &Row) -> Found {
    let timed = row.statistics.is_some();
    match &row.check {
        Some(check) if timed && !(check.tolerance > 0.0 && check.tolerance <= MOST_TOLERANCE) => {
            fail("check.tolerance", format!("{} allows anything", check.tolerance))
        }
        Some(check) if timed => match check.verdict() {
            Ok(()) => Ok(()),
            Err(error) => fail("check.error", error.message()),
        },
        None if timed && row.suite != Suite::Peaks && row.name != "attention_dense_decode" => {
            fail("check", "is missing: nobody knows whether what was timed is right")
        }
        _ => Ok(()),
    }
}

/// What follows from the time.
fn rates(row: &Row) -> Found {
    let d = &row.derived;
    let Some(seconds) = row.median_ns().map(|ns| 1e-9 * ns) else {
        return if d.share_of_peak.is_some() {
            fail("derived.share_of_peak", "without a time")
        } else {
            Ok(())
        };
    };
    let rate = |amount: Option<u64>| amount.map(|amount| amount as f64 / seconds * 1e-9);
    let tokens = row.workload.tokens.map(|n| (n * row.workload.batch.unwrap_or(1)) as f64 / seconds);
    let pairs = [
        ("derived.gflops", d.gflops, rate(d.flops)),
        ("derived.gbps", d.gbps, rate(d.bytes)),
        ("derived.tokens_per_second", d.tokens_per_second, tokens),
    ];
    for (field, said, of) in pairs {
        let Some(said) = said else { continue };
        match of {
            Some(of) if close(said, of) => {}
            Some(of) => {
                return fail(field, format!("{}, but work over median is {}", short(said), short(of)));
            }
            None => return fail(field, "without the work that it is a rate of"),
        }
    }
    let Some(share) = d.share_of_peak else { return Ok(()) };
    let mut again = d.clone();
    Peaks { gflops: d.peak_gflops, gbps: d.peak_gbps, dispatch: None }.share(&mut again);
    match again.share_of_peak {
        Some(of) if close(share, of) => {}
        of => {
            let of = of.map_or("nothing".into(), short);
            return fail("derived.share_of_peak", format!("{}, but rates and peaks say {of}", short(share)));
        }
    }
    if again.bound != d.bound {
        let [said, of] = [&d.bound, &again.bound].map(|bound| bound.as_deref().unwrap_or("nothing"));
        return fail("derived.bound", format!("'{}', but rates and peaks say {of}", clip(said)));
    }
    if share > ABOVE_PEAK {
        return fail("derived.share_of_peak", format!("{:.0} % of the peak is more than all", 100.0 * share));
    }
    Ok(())
}

fn estimate(row: &Row) -> Found {
    match &row.estimate {
        Some(estimate) if !(estimate.ns.is_finite() && estimate.ns > 0.0) => {
            fail("estimate.ns", format!("{} is no time", estimate.ns))
        }
        Some(estimate) if estimate.of.trim().is_empty() => fail("estimate.of", "is empty"),
        _ => Ok(()),
    }
}

/// Shares are of this device's own peaks, and those of a device that there may be.
fn same_peaks(row: &Row, peaks: &Peaks) -> Found {
    let pairs = [
        ("derived.peak_gflops", row.derived.peak_gflops, peaks.gflops),
        ("derived.peak_gbps", row.derived.peak_gbps, peaks.gbps),
    ];
    for (field, said, of) in pairs {
        let Some((said, of)) = said.zip(of) else { continue };
        if !(said / of <= APART && of / said <= APART) {
            return fail(field, format!("{}, but the suite peaks reached {}", short(said), short(of)));
        }
    }
    let processors = processors(&row.device).filter(|_| row.suite == Suite::Peaks && row.name == "fma");
    match processors.zip(row.derived.gflops) {
        Some((count, rate)) if rate > MOST_A_PROCESSOR * f64::from(count) => {
            fail("derived.gflops", format!("{} is more than {count} processors can do", short(rate)))
        }
        _ => Ok(()),
    }
}

fn processors(device: &Device) -> Option<u32> {
    let told = device.hardware.as_ref().and_then(|hardware| hardware.processors);
    let software = device.kind == "software";
    told.or_else(|| Hardware::named(software, device.vendor, &device.name, &device.driver).processors)
}

/// Line, field and reason.
type Lacking = std::result::Result<(), (usize, &'static str, String)>;

/// What a file among the results must have, beyond being believed.
fn complete(rows: &[(usize, Row)]) -> Lacking {
    one_device(rows)?;
    let timed = |row: &Row| row.statistics.is_some();
    for suite in Suite::ALL {
        if !rows.iter().any(|(_, row)| row.suite == suite && timed(row)) {
            return Err((0, "suite", format!("no row of {suite} has a time; give all suites")));
        }
    }
    type Rate = fn(&Row) -> Option<f64>;
    let of_peaks: [(&str, &str, Rate); 2] = [
        ("fma", "derived.gflops", |row| row.derived.gflops),
        ("bandwidth", "derived.gbps", |row| row.derived.gbps),
    ];
    for (name, field, rate) in of_peaks {
        let peak = rows.iter().find(|(_, row)| row.suite == Suite::Peaks && row.name == name && timed(row));
        match peak {
            None => return Err((0, "name", format!("the peak {name} is missing"))),
            Some((line, row)) => {
                enough(*line, row, LEAST_SAMPLES[0])?;
                rate(row).ok_or((*line, field, "is missing: all shares stand on it".to_string()))?;
            }
        }
    }
    for plan in ["prefill", "decode"] {
        let of = |row: &Row| row.suite == Suite::Kernels && row.workload.plan.as_deref() == Some(plan);
        if !rows.iter().any(|(_, row)| of(row) && timed(row)) {
            return Err((0, "workload.plan", format!("no kernel of {plan} has a time")));
        }
    }
    for (line, row) in rows.iter().filter(|(_, row)| row.suite == Suite::Kernels && timed(row)) {
        enough(*line, row, LEAST_SAMPLES[1])?;
    }
    let tried = |row: &Row| row.suite == Suite::Attention && row.workload.tokens >= Some(LEAST_LENGTH);
    if !rows.iter().any(|(_, row)| tried(row)) {
        let what = format!("attention was not tried at {LEAST_LENGTH} tokens: leave out --quick");
        return Err((0, "workload.tokens", what));
    }
    Ok(())
}

fn enough(line: usize, row: &Row, least: usize) -> Lacking {
    if row.samples_ns.len() >= least {
        return Ok(());
    }
    let samples = row.samples_ns.len();
    Err((line, "samples_ns", format!("{samples} of at least {least}; give the row a larger --budget")))
}

/// A file is of one device, one clean build, one precision, and says what with.
fn one_device(rows: &[(usize, Row)]) -> Lacking {
    let Some((_, first)) = rows.first() else { return Ok(()) };
    for (line, row) in rows {
        let (d, commit) = (&row.device, row.build.commit.as_str());
        if d.identity() != first.device.identity() {
            let what =
                format!("'{}' in a file of '{}'; a file is of one device", d.label(), first.device.label());
            return Err((*line, "device.name", what));
        }
        if commit.is_empty() {
            return Err((*line, "build.commit", "is not known; build from a checkout".into()));
        }
        if commit.len() < 7 || !commit.trim_end_matches('+').bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err((*line, "build.commit", format!("'{commit}' is no commit")));
        }
        if commit.ends_with('+') {
            return Err((
                *line,
                "build.commit",
                format!("{commit} is no commit: there were changes on top of it"),
            ));
        }
        if row.build != first.build {
            let [own, others] = [&row.build, &first.build].map(|build| format!("{build:?}"));
            return Err((*line, "build", format!("{own} in a file of {others}")));
        }
        if row.precision() != first.precision() {
            let what = format!("{} in a file of {}; give each its own", row.precision(), first.precision());
            return Err((*line, "method.precision", what));
        }
        let told = [&d.driver, &d.driver_info].iter().any(|text| !text.is_empty());
        if d.kind != "cpu" && !told && d.browser.is_none() {
            return Err((*line, "device.driver", "neither a driver nor a browser is named".into()));
        }
    }
    Ok(())
}
