//! Rows of two runs beside each other: matched by suite, name and workload, with the ratio of their times and
//! how sure it is.

use std::collections::HashMap;

use serde::Serialize;

use super::schema::{Row, Suite};
use super::statistics::Ratio;

/// The same workload in two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Its suite.
    pub suite: Suite,
    /// Its name.
    pub name: String,
    /// Its workload for people.
    pub workload: String,
    /// Median of the first run, nanoseconds; none: the row has no time there.
    pub first_ns: Option<f64>,
    /// Median of the second run.
    pub second_ns: Option<f64>,
    /// Time of the first over time of the second: above 1, the second is faster.
    pub ratio: Option<Ratio>,
    /// Whether they differ beyond doubt; none where there are too few samples to say.
    pub significant: Option<bool>,
}

/// Two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Device and build of the first.
    pub first: String,
    /// Device and build of the second.
    pub second: String,
    /// Rows that both have, in the order of the first.
    pub pairs: Vec<Pair>,
    /// Rows that one of them alone has.
    pub alone: usize,
    /// Geometric mean of the ratios, by suite.
    pub means: Vec<(Suite, f64)>,
}

/// The rows of one device, build and precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// The device for people.
    pub device: String,
    /// Its PCI address; empty where it is not known.
    pub bus: String,
    /// The build for people; the precision too where it is not f32.
    pub build: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Set {
    /// Rows by device and build, in the order they come.
    pub fn split(rows: Vec<Row>) -> Vec<Set> {
        let mut sets: Vec<Set> = Vec::new();
        for row in rows {
            let (device, bus) = (row.device.label(), row.device.bus.clone());
            let build = match row.precision() {
                "f32" => row.build.label(),
                other => format!("{}, {other}", row.build.label()),
            };
            match sets.iter_mut().find(|set| set.device == device && set.bus == bus && set.build == build) {
                Some(set) => set.rows.push(row),
                None => sets.push(Set { device, bus, build, rows: vec![row] }),
            }
        }
        sets
    }

    /// Device and build; the bus too where `other` is a device of the same name on another one.
    fn label(&self, other: &Set) -> String {
        let told = self.device == other.device && self.bus != other.bus && !self.bus.is_empty();
        let bus = if told { format!(" on bus {}", self.bus) } else { String::new() };
        format!("{}{bus}, {}", self.device, self.build)
    }
}

/// What is held against what: every later run against the first file's run on the same device, or else
/// against its first run. One file alone: its other runs against its first.
pub fn matches(files: Vec<Vec<Row>>) -> Vec<(Set, Set)> {
    let mut files = files.into_iter().map(Set::split);
    let first = files.next().unwrap_or_default();
    let mut others: Vec<Set> = files.flatten().collect();
    if others.is_empty() {
        others = first.iter().skip(1).cloned().collect();
        return others.into_iter().filter_map(|other| Some((first.first()?.clone(), other))).collect();
    }
    let partner = |other: &Set| {
        let alike = |set: &&Set| set.device == other.device;
        let same = first.iter().filter(alike).find(|set| set.bus == other.bus);
        same.or_else(|| first.iter().find(alike)).or(first.first()).cloned()
    };
    others.into_iter().filter_map(|other| Some((partner(&other)?, other))).collect()
}

/// Holds two runs against each other.
pub fn compare(first: &Set, second: &Set) -> Comparison {
    let mut theirs: HashMap<String, &Row> = second.rows.iter().map(|row| (row.key(), row)).collect();
    let mut alone = 0;
    let mut pairs = Vec::new();
    for ours in &first.rows {
        let Some(other) = theirs.remove(&ours.key()) else {
            alone += 1;
            continue;
        };
        let ratio = Ratio::of(&ours.samples_ns, &other.samples_ns);
        if ours.samples_ns.is_empty() && other.samples_ns.is_empty() && ours.skipped.is_none() {
            // Fits and shares have no times of their own.
            continue;
        }
        pairs.push(Pair {
            suite: ours.suite,
            name: ours.name.clone(),
            workload: ours.label(),
            first_ns: ours.median_ns(),
            second_ns: other.median_ns(),
            ratio,
            significant: ratio.and_then(|ratio| ratio.significant()),
        });
    }
    let mean = |suite: Suite| {
        let logs: Vec<f64> =
            pairs.iter().filter(|p| p.suite == suite).filter_map(|p| Some(p.ratio?.value.ln())).collect();
        (!logs.is_empty()).then(|| (suite, (logs.iter().sum::<f64>() / logs.len() as f64).exp()))
    };
    let means = Suite::ALL.into_iter().filter_map(mean).collect();
    Comparison {
        first: first.label(second),
        second: second.label(first),
        alone: alone + theirs.len(),
        means,
        pairs,
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Build, Device, Workload};
    use super::super::statistics::Statistics;
    use super::*;

    fn row(device: &str, tokens: usize, ns: f64) -> Row {
        let device = Device { name: device.into(), kind: "discrete".into(), ..Device::new(None, None) };
        let workload = Workload { tokens: Some(tokens), ..Workload::default() };
        let mut row = Row::new(Suite::Attention, "forward", workload, &device, &Build::this());
        row.samples_ns = (0..9).map(|i| ns + f64::from(i % 3)).collect();
        row.statistics = Statistics::of(&row.samples_ns);
        row
    }

    #[test]
    fn rows_meet_their_like() {
        let a = vec![row("a", 512, 200.0), row("a", 1024, 400.0), row("b", 512, 50.0)];
        let b = vec![row("b", 512, 100.0), row("c", 512, 100.0), row("c", 2048, 1.0)];
        let found = matches(vec![a.clone(), b]);
        let devices: Vec<_> = found.iter().map(|(a, b)| (a.device.as_str(), b.device.as_str())).collect();
        assert_eq!(devices, [("b (cpu)", "b (cpu)"), ("a (cpu)", "c (cpu)")]);
        let slower = compare(&found[0].0, &found[0].1);
        assert!(
            slower.pairs[0].ratio.is_some_and(|r| r.value < 0.6)
                && slower.pairs[0].significant == Some(true)
                && slower.alone == 0
        );
        let faster = compare(&found[1].0, &found[1].1);
        assert!(faster.means[0].1 > 1.9 && faster.pairs.len() == 1 && faster.alone == 2, "{faster:?}");
        assert_eq!(matches(vec![a]).len(), 1);
        assert!(matches(vec![]).is_empty());
    }

    #[test]
    fn two_devices_of_one_name_are_held_against_each_other() {
        let on = |bus: &str, ns: f64| {
            let mut row = row("a", 512, ns);
            row.device.bus = bus.into();
            row
        };
        let file = || vec![on("0000:01:00.0", 200.0), on("0000:02:00.0", 100.0)];
        let found = matches(vec![file()]);
        assert_eq!(found.len(), 1);
        let both = compare(&found[0].0, &found[0].1);
        assert!(both.first.contains("0000:01:00.0") && both.second.contains("0000:02:00.0"), "{both:?}");
        assert!(both.means[0].1 > 1.9, "{both:?}");
        // Of two files, each against its own.
        let buses: Vec<bool> =
            matches(vec![file(), file()]).iter().map(|(first, second)| first.bus == second.bus).collect();
        assert_eq!(buses, [true, true]);
    }

    #[test]
    fn precisions_are_runs_of_their_own() {
        let of = |precision: Option<&str>, ns: f64| {
            let mut row = row("a", 512, ns);
            row.method.precision = precision.map(String::from);
            row
        };
        // Older rows are in f32.
        let sets = Set::split(vec![of(None, 200.0), of(Some("f32"), 200.0), of(Some("mixed"), 100.0)]);
        assert_eq!(sets.iter().map(|set| set.rows.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(sets[1].build.ends_with(", mixed") && !sets[0].build.contains("f32"), "{sets:?}");
        let found = compare(&sets[0], &sets[1]);
        assert!(
            found.pairs.iter().any(|pair| pair.ratio.is_some_and(|ratio| ratio.value > 1.9)),
            "{found:?}"
        );
    }
}
