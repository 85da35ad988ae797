//! Shares of the peak by kernel, devices side by side by vendor: what a report and the page of results show.

use std::collections::HashMap;

use serde::Serialize;

use super::compare::Set;
use super::schema::{Row, Suite};
use crate::kernels::Vendor;

/// Devices beside each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Board {
    /// Devices: by maker, real GPUs first, and the faster of a maker first.
    pub columns: Vec<Column>,
    /// Kernels.
    pub lines: Vec<Line>,
}

/// A device, with its build and precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// Which of the sets that were given.
    pub set: usize,
    /// Who made it, for people.
    pub maker: &'static str,
    /// Its name.
    pub device: String,
    /// A CPU that pretends to be a GPU, or the CPU executor.
    pub software: bool,
    /// Vulkan, Metal, …, and the architecture where it is known.
    pub about: String,
    /// Driver and its version, or the browser.
    pub driver: String,
    /// What was measured with.
    pub build: String,
    /// What products were computed in.
    pub precision: String,
    /// The day.
    pub date: String,
    /// What its owner says.
    pub note: String,
    /// Sizes, which times depend on: tokens of a call that reads, heads of attention.
    pub sizes: String,
    /// 10⁹ operations a second.
    pub peak_gflops: Option<f64>,
    /// 10⁹ bytes a second.
    pub peak_gbps: Option<f64>,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is of: prefill, decode, attention.
    pub plan: String,
    /// Its name.
    pub kernel: String,
    /// What each column has of it.
    pub cells: Vec<Option<Cell>>,
}

/// A kernel on a device: all its rows together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Share of the device's own roofline: the time that it allows over the time taken. None of what is faster
    /// than memory and multiplies nothing.
    pub share: Option<f64>,
    /// What bounds most of the time: `compute`, `memory` or `cache`.
    pub bound: String,
    /// Time taken, of one step of each shape.
    pub ns: f64,
    /// Steps of different shape.
    pub steps: usize,
    /// The cost model's estimate of the same, where every step has one.
    pub estimate_ns: Option<f64>,
    /// What that assumed.
    pub estimate_of: Option<String>,
}

/// Plan and name of a row's line; none for rows without one.
fn line(row: &Row, longest: &[(String, usize)]) -> Option<(String, String)> {
    let w = &row.workload;
    match row.suite {
        Suite::Kernels => Some((w.plan.clone()?, row.name.clone())),
        Suite::Attention => {
            let name = attention(row)?;
            let (_, tokens) = longest.iter().find(|(known, _)| *known == name)?;
            (w.tokens == Some(*tokens)).then(|| ("attention".into(), format!("{name}, n {tokens}")))
        }
        _ => None,
    }
}

/// Kind and pass, of a row with a share.
fn attention(row: &Row) -> Option<String> {
    let timed = row.suite == Suite::Attention && row.derived.share_of_peak.is_some();
    let kind = row.workload.kind.as_deref().filter(|_| timed)?;
    Some(format!("{kind}, {}", row.name.replace('_', " and ")))
}

/// Of each kind and pass of attention, the longest text that most devices have a time for.
fn longest(sets: &[Set]) -> Vec<(String, usize)> {
    let mut counted: Vec<(String, usize, usize)> = Vec::new();
    for row in sets.iter().flat_map(|set| &set.rows) {
        let Some((name, tokens)) = attention(row).zip(row.workload.tokens) else { continue };
        match counted.iter_mut().find(|(known, n, _)| *known == name && *n == tokens) {
            Some((.., devices)) => *devices += 1,
            None => counted.push((name, tokens, 1)),
        }
    }
    let mut best: Vec<(String, usize, usize)> = Vec::new();
    for (name, tokens, devices) in counted {
        match best.iter_mut().find(|(known, ..)| *known == name) {
            Some(known) if (devices, tokens) > (known.2, known.1) => *known = (name, tokens, devices),
            Some(_) => {}
            None => best.push((name, tokens, devices)),
        }
    }
    best.into_iter().map(|(name, tokens, _)| (name, tokens)).collect()
}

impl Board {
    /// Of sets, each a device. What a set measured twice counts as it was measured last.
    pub fn new(sets: &[Set]) -> Self {
        let sets: Vec<Set> = sets.iter().map(last_of_each).collect();
        let sets = &sets[..];
        let mut columns: Vec<(u8, Column)> =
            sets.iter().enumerate().filter_map(|(at, set)| column(at, set)).collect();
        columns.sort_by(|(a, one), (b, other)| {
            let faster = other.peak_gflops.unwrap_or(0.0).total_cmp(&one.peak_gflops.unwrap_or(0.0));
            a.cmp(b).then(faster)
        });
        let columns: Vec<Column> = columns.into_iter().map(|(_, column)| column).collect();
        let longest = longest(sets);
        let mut lines: Vec<(Line, Vec<Vec<&Row>>)> = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            for row in sets.get(column.set).iter().flat_map(|set| &set.rows) {
                let Some((plan, kernel)) = line(row, &longest) else { continue };
                let place = lines.iter().position(|(line, _)| line.plan == plan && line.kernel == kernel);
                let place = place.unwrap_or_else(|| {
                    lines.push((Line { plan, kernel, cells: Vec::new() }, vec![Vec::new(); columns.len()]));
                    lines.len() - 1
                });
                lines[place].1[at].push(row);
            }
        }
        let filled = |(mut line, rows): (Line, Vec<Vec<&Row>>)| {
            line.cells = rows.iter().map(|rows| cell(rows)).collect();
            line
        };
        let mut lines: Vec<Line> = lines.into_iter().map(filled).collect();
        lines.retain(|line| line.cells.iter().any(Option::is_some));
        let order =
            |line: &Line| ["prefill", "decode"].iter().position(|plan| line.plan == *plan).unwrap_or(2);
        lines.sort_by_key(order);
        Self { columns, lines }
    }
}

fn last_of_each(set: &Set) -> Set {
    let last: HashMap<String, usize> = set.rows.iter().enumerate().map(|(at, row)| (row.key(), at)).collect();
    let rows = set.rows.iter().enumerate().filter(|(at, row)| last.get(&row.key()) == Some(at));
    Set { rows: rows.map(|(_, row)| row.clone()).collect(), ..set.clone() }
}

fn column(at: usize, set: &Set) -> Option<(u8, Column)> {
    let first = set.rows.first()?;
    let d = &first.device;
    let (vendor, maker) = d.maker();
    let peak = |name: &str, own: fn(&Row) -> Option<f64>, kept: fn(&Row) -> Option<f64>| {
        let row = set.rows.iter().find(|row| row.suite == Suite::Peaks && row.name == name);
        row.and_then(own).or_else(|| set.rows.iter().find_map(kept))
    };
    let rank = match vendor {
        Vendor::Software => 100 + u8::from(d.kind == "cpu"),
        other => Vendor::ALL.iter().position(|vendor| *vendor == other).unwrap_or(90) as u8,
    };
    let architecture = d.hardware.as_ref().map_or("", |hardware| hardware.architecture.as_str());
    let driver = format!("{} {}", d.driver, d.driver_info).trim().to_string();
    let number = d.number.map_or(String::new(), |number| format!(" #{number}"));
    let column = Column {
        set: at,
        maker,
        device: if d.kind == "cpu" { d.label() } else { format!("{}{number}", d.name) },
        software: vendor == Vendor::Software,
        about: if architecture.is_empty() {
            d.backend.clone()
        } else {
            format!("{}, {architecture}", d.backend)
        },
        driver: if driver.is_empty() { browser(d.browser.as_deref().unwrap_or_default()) } else { driver },
        build: set.build.clone(),
        precision: first.precision().into(),
        date: first.date.get(..10).unwrap_or_default().into(),
        note: d.note.clone(),
        sizes: sizes(set),
        peak_gflops: peak("fma", |row| row.derived.gflops, |row| row.derived.peak_gflops),
        peak_gbps: peak("bandwidth", |row| row.derived.gbps, |row| row.derived.peak_gbps),
    };
    Some((rank, column))
}

fn sizes(set: &Set) -> String {
    let read = |row: &Row| row.workload.plan.as_deref() == Some("prefill");
    let call = set.rows.iter().filter(|row| row.suite == Suite::Kernels && read(row));
    let call = call.filter_map(|row| row.workload.tokens).max().map(|n| format!("prefill of {n} tokens"));
    let heads = set.rows.iter().filter(|row| row.suite == Suite::Attention);
    let heads = heads.filter_map(|row| row.workload.heads.zip(row.workload.head)).next_back();
    let heads = heads.map(|(n, width)| format!("attention of {n} × {width}"));
    call.into_iter().chain(heads).collect::<Vec<_>>().join(", ")
}

/// The word of a user agent that names the browser: its last one but those of an engine.
fn browser(agent: &str) -> String {
    const BROWSERS: [&str; 5] = ["Edg/", "OPR/", "HeadlessChrome/", "Chrome/", "Firefox/"];
    let named = BROWSERS.iter().find_map(|name| agent.split(' ').find(|word| word.starts_with(name)));
    named.unwrap_or(agent).replace('/', " ")
}

fn cell(rows: &[&Row]) -> Option<Cell> {
    let timed: Vec<(&Row, f64)> = rows.iter().filter_map(|row| Some((*row, row.median_ns()?))).collect();
    let ns = |rows: &[(&Row, f64)]| rows.iter().map(|(_, ns)| ns).sum::<f64>();
    let (longest, _) = timed.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let estimates: Option<Vec<f64>> =
        timed.iter().map(|(row, _)| row.estimate.as_ref().map(|estimate| estimate.ns)).collect();
    let shared: Vec<(&Row, f64)> =
        timed.iter().copied().filter(|(row, _)| row.derived.share_of_peak.is_some()).collect();
    let allowed = shared.iter().map(|(row, ns)| row.derived.share_of_peak.unwrap_or(0.0) * ns).sum::<f64>();
    Some(Cell {
        share: (!shared.is_empty()).then(|| allowed / ns(&shared)).filter(|share| share.is_finite()),
        bound: longest.derived.bound.clone().unwrap_or_default(),
        ns: ns(&timed),
        steps: timed.len(),
        estimate_ns: estimates.map(|all| all.iter().sum()),
        estimate_of: longest.estimate.as_ref().map(|estimate| estimate.of.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Build, Device, Estimate, Workload};
    use super::super::statistics::Statistics;
    use super::*;

    fn row(device: &Device, kernel: &str, ns: f64, share: f64) -> Row {
        // Steps of one kernel are told apart by what they do.
        let operation = Some(format!("{ns}, {share}"));
        let workload = Workload { plan: Some("prefill".into()), operation, ..Workload::default() };
        let mut row = Row::new(Suite::Kernels, kernel, workload, device, &Build::this());
        row.samples_ns = vec![ns; 5];
        row.statistics = Statistics::of(&row.samples_ns);
        row.derived.share_of_peak = Some(share);
        row.derived.peak_gflops = Some(1.0);
        row.derived.bound = Some("memory".into());
        row
    }

    fn device(name: &str, kind: &str, vendor: u32) -> Device {
        Device { name: name.into(), kind: kind.into(), backend: "vulkan".into(), vendor, ..Device::default() }
    }

    #[test]
    fn devices_stand_by_maker_and_kernels_hold_all_their_steps() {
        let software = device("llvmpipe", "software", 0x10005);
        let (amd, nvidia) = (device("a Radeon", "discrete", 0x1002), device("a GeForce", "discrete", 0x10de));
        let estimate = Some(Estimate { ns: 50.0, of: "a compiler".into() });
        let mut rows = vec![row(&software, "linear", 10.0, 0.5), row(&amd, "linear", 100.0, 0.2)];
        rows.push(Row { estimate: estimate.clone(), ..row(&nvidia, "linear", 100.0, 0.5) });
        rows.push(Row { estimate: estimate.clone(), ..row(&nvidia, "linear", 300.0, 0.9) });
        rows.push(Row { estimate, ..row(&nvidia, "glu", 100.0, 0.5) });
        rows.push(row(&nvidia, "glu", 100.0, 0.6));
        let board = Board::new(&Set::split(rows));
        let names: Vec<(&str, bool)> = board.columns.iter().map(|c| (c.maker, c.software)).collect();
        assert_eq!(names, [("NVIDIA", false), ("AMD", false), ("software adapters", true)]);
        assert_eq!(
            board.lines.iter().map(|line| line.kernel.as_str()).collect::<Vec<_>>(),
            ["linear", "glu"]
        );
        let cell = board.lines[0].cells[0].as_ref().expect("a cell");
        assert!(
            cell.share.is_some_and(|share| (share - 0.8).abs() < 1e-12)
                && cell.steps == 2
                && cell.ns == 400.0,
            "{cell:?}"
        );
        assert_eq!(cell.estimate_ns, Some(100.0));
        // An estimate of a part is none of the whole; what nobody measured has no cell.
        assert_eq!(board.lines[1].cells[0].as_ref().map(|cell| cell.estimate_ns), Some(None));
        assert_eq!(board.lines[1].cells[1..], [None, None]);
        assert_eq!(Board::new(&[]), Board::default());
    }

    #[test]
    fn attention_stands_at_the_longest_text_that_most_have() {
        let of = |name: &str, tokens: usize| {
            let workload =
                Workload { kind: Some("softmax".into()), tokens: Some(tokens), ..Workload::default() };
            let whole = row(&device(name, "discrete", 0), "forward", 10.0, 0.5);
            Row { suite: Suite::Attention, workload, ..whole }
        };
        let board = Board::new(&Set::split(vec![of("a", 1024), of("a", 4096), of("a", 9999), of("b", 4096)]));
        let lines: Vec<_> = board.lines.iter().map(|line| line.kernel.as_str()).collect();
        assert_eq!(lines, ["softmax, forward, n 4096"]);
        assert!(board.lines[0].cells.iter().all(Option::is_some));
    }

    #[test]
    fn a_browser_is_named_by_one_word() {
        let agent =
            "Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
        assert_eq!([browser(agent), browser("")], ["Chrome 131.0.0.0", ""]);
    }
}
