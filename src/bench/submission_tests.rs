//! Files that are taken, and files that are refused by line and field.

use super::schema::Row;
use super::submission::Submission;

/// A file of results that is taken.
const GOOD: &str = include_str!("../../web/page/results/lavapipe.jsonl");

fn rows() -> Vec<serde_json::Value> {
    GOOD.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text(rows: &[serde_json::Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// The message for the file with one row changed: the first that `which` finds.
fn changed(which: impl Fn(&Row) -> bool, change: impl Fn(&mut serde_json::Value)) -> (usize, String) {
    let mut all = rows();
    let at = all.iter().position(|row| which(&serde_json::from_value(row.clone()).expect("a row")));
    let at = at.expect("such a row");
    change(&mut all[at]);
    let error = Submission::accept(&text(&all), "mine.jsonl").expect_err("refused");
    (at + 1, error.message().to_string())
}

fn kernel(row: &Row) -> bool {
    row.suite.as_str() == "kernels" && row.derived.bound.as_deref() == Some("memory")
}

#[test]
fn what_cannot_be_believed_is_refused_by_file_line_and_field() {
    assert!(Submission::accept(GOOD, "good").is_ok());
    type Change = fn(&mut serde_json::Value);
    let cases: [(Change, &str); 18] = [
        (|row| row["schema"] = "polysketch.bench/7".into(), "schema polysketch.bench/7"),
        (|row| row["suite"] = "speed".into(), "no row of polysketch.bench/1"),
        (|row| row["date"] = "yesterday".into(), "date: 'yesterday'"),
        (|row| row["device"]["name"] = " ".into(), "device.name: is empty"),
        (|row| row["device"]["kind"] = "fast".into(), "device.kind: 'fast'"),
        (|row| row["device"]["backend"] = "cuda".into(), "device.backend: 'cuda'"),
        (|row| row["build"]["optimized"] = false.into(), "build.optimized: a debug build"),
        (|row| row["samples_ns"][0] = (-1.0).into(), "samples_ns: -1"),
        (|row| row["statistics"]["n"] = 500.into(), "statistics.n: 500 for"),
        (|row| row["statistics"]["median_ns"] = 7.into(), "statistics.median_ns: 7, but its samples say"),
        (|row| row["check"]["error"] = 0.01.into(), "check.error: wrong"),
        (|row| row["check"]["tolerance"] = 10.into(), "check.tolerance: 10 allows anything"),
        (|row| row["check"] = serde_json::Value::Null, "check: is missing"),
        (|row| row["derived"]["gbps"] = 9999.5.into(), "derived.gbps: 9999.5, but work over median is"),
        (|row| row["skipped"] = "no time".into(), "skipped: a row that was skipped has a time"),
        (|row| row["method"]["precision"] = "fp4".into(), "method.precision: 'fp4' is none of f32, mixed"),
        (
            |row| row["derived"]["bound"] = "<b>".into(),
            "derived.bound: '<b>', but rates and peaks say memory",
        ),
        (
            |row| row["derived"]["tokens_per_second"] = 1e300.into(),
            "derived.tokens_per_second: 1e300, but work",
        ),
    ];
    for (change, want) in cases {
        let (line, message) = changed(kernel, change);
        assert!(message.starts_with(&format!("mine.jsonl: line {line}: {want}")), "{message}");
    }
    let estimated = |ns: f64, of: &str| {
        changed(kernel, |row| row["estimate"] = serde_json::json!({ "ns": ns, "of": of })).1
    };
    assert!(estimated(0.0, "a compiler").contains("estimate.ns: 0"));
    assert!(estimated(1.0, "").contains("estimate.of: is empty"));
}

#[test]
fn a_share_is_of_the_peaks_that_the_file_measured() {
    let share = |row: &mut serde_json::Value, factor: f64| {
        for field in ["peak_gflops", "peak_gbps"] {
            row["derived"][field] = (row["derived"][field].as_f64().unwrap_or(1.0) / factor).into();
        }
    };
    let (line, message) = changed(kernel, |row| row["derived"]["share_of_peak"] = 0.999.into());
    assert!(message.contains(&format!("line {line}: derived.share_of_peak: 0.999, but")), "{message}");
    // Peaks that others of the file do not have.
    let (line, message) = changed(kernel, |row| {
        share(row, 2.0);
        let rate = row["derived"]["gbps"].as_f64().expect("a rate");
        row["derived"]["share_of_peak"] =
            (rate / row["derived"]["peak_gbps"].as_f64().expect("a peak")).into();
    });
    let first = message.contains("derived.peak_g") || message.contains("derived.share_of_peak");
    assert!(message.contains(&format!("line {line}:")) && first, "{message}");
    // A hundredth of the time, in everything that follows from it.
    let compute =
        |row: &Row| row.suite.as_str() == "kernels" && row.derived.bound.as_deref() == Some("compute");
    let (line, message) = changed(compute, |row| {
        let scale =
            |value: &mut serde_json::Value, by: f64| *value = (value.as_f64().expect("a number") * by).into();
        for at in 0..row["samples_ns"].as_array().expect("samples").len() {
            scale(&mut row["samples_ns"][at], 0.01);
        }
        for field in ["median_ns", "min_ns", "p95_ns"] {
            scale(&mut row["statistics"][field], 0.01);
        }
        for field in ["gflops", "gbps", "share_of_peak"] {
            scale(&mut row["derived"][field], 100.0);
        }
    });
    let want = format!("mine.jsonl: line {line}: derived.share_of_peak: ");
    assert!(message.starts_with(&want) && message.ends_with("% of the peak is more than all"), "{message}");
    // A card that cannot do what its file says.
    let (line, message) = changed(
        |row| row.name == "fma",
        |row| row["device"]["hardware"] = serde_json::json!({ "vendor": "software", "processors": 0 }),
    );
    let want = format!("mine.jsonl: line {line}: derived.gflops: ");
    assert!(message.starts_with(&want) && message.ends_with("more than 0 processors can do"), "{message}");
}

#[test]
fn what_a_submission_lacks_is_told() {
    let any = |_: &Row| true;
    let (_, message) = changed(any, |row| row["build"]["commit"] = "abc1234+".into());
    assert!(message.contains("line 1: build.commit: abc1234+ is no commit"), "{message}");
    let (_, message) = changed(any, |row| row["build"]["commit"] = "".into());
    assert!(message.contains("line 1: build.commit: is not known"), "{message}");
    let (line, message) = changed(kernel, |row| row["device"]["name"] = "another".into());
    assert!(message.contains(&format!("line {line}: device.name: 'another")), "{message}");
    let (line, message) = changed(kernel, |row| row["method"]["precision"] = "mixed".into());
    assert!(message.contains(&format!("line {line}: method.precision: mixed in a file of f32")), "{message}");
    let (line, message) = changed(kernel, |row| row["build"]["commit"] = "7654321".into());
    assert!(message.contains(&format!("line {line}: build: Build {{")), "{message}");
    let (_, message) = changed(any, |row| row["build"]["commit"] = "the newest".into());
    assert!(message.contains("line 1: build.commit: 'the newest' is no commit"), "{message}");
    let fma = |row: &Row| row.name == "fma";
    let (line, message) = changed(fma, |row| row["derived"]["gflops"] = serde_json::Value::Null);
    assert!(message.contains(&format!("line {line}: derived.gflops: is missing")), "{message}");
    let (_, message) = changed(any, |row| {
        row["device"]["driver"] = "".into();
        row["device"]["driver_info"] = "".into();
    });
    assert!(message.contains("line 1: device.driver: "), "{message}");
    let without = |gone: &dyn Fn(&serde_json::Value) -> bool| {
        let mut all = rows();
        all.retain(|row| !gone(row));
        let read = Submission::read(&text(&all), "mine.jsonl").expect("it can be believed");
        read.missing.expect("something is missing").to_string()
    };
    assert_eq!(without(&|row| row["suite"] == "train"), "suite: no row of train has a time; give all suites");
    assert_eq!(without(&|row| row["name"] == "fma"), "name: the peak fma is missing");
    let decode = |row: &serde_json::Value| row["suite"] == "kernels" && row["workload"]["plan"] == "decode";
    assert_eq!(without(&decode), "workload.plan: no kernel of decode has a time");
    let long = |row: &serde_json::Value| row["workload"]["tokens"].as_u64() >= Some(4096);
    assert!(without(&long).starts_with("workload.tokens: attention was not tried at 4096 tokens"));
}

#[test]
fn few_samples_are_told() {
    let (line, message) = changed(kernel, |row| {
        let first = row["samples_ns"][0].clone();
        row["samples_ns"] = serde_json::json!([first]);
        let flops = row["derived"]["flops"].as_f64();
        let bytes = row["derived"]["bytes"].as_f64();
        let ns = first.as_f64().expect("a time");
        row["statistics"] =
            serde_json::json!({ "median_ns": ns, "min_ns": ns, "p95_ns": ns, "spread": 0.0, "n": 1 });
        let d = &mut row["derived"];
        for (name, work) in [("gflops", flops), ("gbps", bytes)] {
            if let Some(work) = work {
                d[name] = (work / ns).into();
            }
        }
        d.as_object_mut().expect("an object").remove("share_of_peak");
    });
    let want = format!("line {line}: samples_ns: 1 of at least 3");
    assert!(message.contains(&want), "{message}");
    assert!(Submission::read("", "empty.jsonl").is_err_and(|e| e.message() == "empty.jsonl: no rows"));
}
