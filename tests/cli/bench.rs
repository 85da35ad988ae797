//! `bench`: rows of the documented schema on the CPU and on an adapter, that can be compared and drawn.

use std::fs;
use std::path::Path;

use polysketch::bench::{Row, Suite};

use crate::run::*;

/// A run that takes seconds.
const TINY: [&str; 16] = [
    "bench",
    "--quick",
    "--budget",
    "30",
    "--samples",
    "5",
    "--lengths",
    "64,128",
    "--block",
    "32",
    "--depths",
    "0,40",
    "--train-lengths",
    "64,128",
    "--seed",
    "3",
];

fn rows(path: &Path) -> Vec<Row> {
    Row::parse_all(&fs::read_to_string(path).unwrap(), "rows").unwrap()
}

/// What every file of rows keeps.
fn check(rows: &[Row]) {
    for row in rows {
        let says = row.statistics.is_some()
            || row.skipped.is_some()
            || row.derived.exponent.is_some()
            || row.derived.shares.is_some();
        assert!(says || row.derived.crossover_tokens.is_some(), "{row:?}");
        assert_eq!(row.statistics.map_or(0, |s| s.n), row.samples_ns.len(), "{row:?}");
        assert!(row.check.as_ref().is_none_or(|check| check.error <= check.tolerance), "{row:?}");
        let timed = row.statistics.is_some() && row.suite != Suite::Peaks;
        assert!(!timed || row.check.is_some(), "{row:?}");
        assert!(row.workload.seed == Some(3) && row.build.optimized && row.date.starts_with("20"), "{row:?}");
    }
}

#[test]
fn all_suites_on_the_cpu_then_compared_and_drawn() {
    let dir = folder();
    let [first, second, page] = ["a.jsonl", "b.jsonl", "report.html"].map(|name| dir.path().join(name));
    let text = stdout(&[&TINY[..], &["--backend", "cpu", "--out", arg(&first)]].concat());
    for word in [
        "peaks: CPU executor",
        "GFLOP/s",
        "polysketch, learned sketch",
        "scan_output",
        "first_token",
        "tok/s",
        "time ~ n^",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let a = rows(&first);
    check(&a);
    for suite in Suite::ALL {
        let timed = a.iter().filter(|row| row.suite == suite && row.statistics.is_some()).count();
        assert!(timed >= 2, "{suite}: {timed} timed rows");
    }
    // Only what a CPU has not is skipped, and cross-overs that are not there.
    let skipped: Vec<&str> =
        a.iter().filter(|r| r.skipped.is_some() && r.name != "crossover").map(|r| r.name.as_str()).collect();
    assert_eq!(skipped, ["upload", "download"]);
    let kernels: Vec<&Row> = a.iter().filter(|row| row.suite == Suite::Kernels).collect();
    assert!(kernels.iter().any(|row| row.name == "linear"
        && row.derived.gflops.is_some()
        && row.derived.share_of_peak.is_some()));
    assert!(kernels.iter().all(|row| row.derived.gbps.is_some() && row.method.variant.is_some()));

    // The same rows, one a half as slow again, and one that is gone.
    let mut b = a.clone();
    b.remove(0);
    let slower = b.iter_mut().find(|row| row.samples_ns.len() >= 5).unwrap();
    slower.samples_ns.iter_mut().for_each(|ns| *ns *= 100.0);
    let lines: Vec<String> = b.iter().map(|row| row.to_json().unwrap()).collect();
    fs::write(&second, lines.join("\n")).unwrap();
    let compared = json(&["bench", "compare", arg(&first), arg(&second)]);
    let comparison = &compared["comparisons"][0];
    assert_eq!(comparison["alone"], 1);
    let significant =
        comparison["pairs"].as_array().unwrap().iter().filter(|pair| pair["significant"] == true).count();
    assert_eq!(significant, 1, "{comparison}");
    let text = stdout(&["bench", "compare", arg(&first), arg(&second)]);
    assert!(
        text.contains("slower")
            && text.contains("as fast, within the noise")
            && text.contains("1 row without a counterpart"),
        "{text}"
    );

    stdout(&["bench", "report", arg(&first), arg(&second), "--out", arg(&page), "--quiet"]);
    let html = fs::read_to_string(&page).unwrap();
    assert!(
        html.starts_with("<!doctype html>")
            && html.contains("prefers-color-scheme: dark")
            && html.contains("var(--grid)")
    );
    assert!(html.matches("<svg").count() >= 7 && !html.contains("NaN") && !html.contains("src="));
    assert!(html.contains("Kernels under the roofline") && html.contains("scan_output"));
    // A column a run, a line a kernel, shares as part of a colour.
    let board = html.split("Share of peak by kernel and vendor").nth(1).unwrap();
    let board = board.split("</table>").next().unwrap();
    assert!(board.contains("CPU executor") && board.matches("class=\"device\"").count() == 2, "{board}");
    assert!(board.contains(">scan_output</th>") && board.matches("--part:").count() > 30, "{board}");

    // What was made up is told, and this look is no submission.
    let warned = run(&["bench", "report", arg(&second), "--out", arg(&page)]);
    let warned = String::from_utf8(warned.stderr).unwrap();
    let line = 1 + b.iter().position(|row| row.samples_ns.iter().sum::<f64>() > 0.0 && changed(row)).unwrap();
    assert!(warned.contains(&format!("b.jsonl: line {line}: statistics.median_ns: ")), "{warned}");
    fails(run(&["bench", "check", arg(&second)]), &["b.jsonl", "line", "statistics.median_ns"], true);
}

/// Whether a row's median is not of its samples.
fn changed(row: &Row) -> bool {
    let median = polysketch::bench::statistics::median(&row.samples_ns);
    median.zip(row.statistics).is_some_and(|(median, said)| median != said.median_ns)
}

#[test]
fn every_file_of_the_page_is_taken_and_others_are_refused_by_field() {
    let results = repository("web/page/results");
    let mut files: Vec<_> = fs::read_dir(results).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    assert!(files.len() >= 6, "{files:?}");
    let asked: Vec<&str> = ["bench", "check"].into_iter().chain(files.iter().map(|path| arg(path))).collect();
    let told = stdout(&asked);
    assert_eq!(told.lines().filter(|line| line.starts_with("taken")).count(), files.len(), "{told}");
    // One with changes on top of its commit; the others are told all the same.
    let dir = folder();
    let mine = dir.path().join("mine.jsonl");
    let text = fs::read_to_string(&files[0]).unwrap();
    let commit = rows(&files[0])[0].build.commit.clone();
    fs::write(&mine, text.replace(&format!("\"{commit}\""), &format!("\"{commit}+\""))).unwrap();
    let output = run(&["bench", "check", arg(&files[0]), arg(&mine)]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        printed.starts_with("taken") && printed.lines().nth(1).unwrap().starts_with("refused"),
        "{printed}"
    );
    fails(output, &["1 of 2 files", "mine.jsonl: line 1: build.commit: ", "+ is no commit"], true);
    let told = run(&["bench", "check", "--json", arg(&mine)]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!(told["refused"][0].as_str().unwrap().contains("build.commit"), "{told}");
}

#[test]
fn an_adapter_writes_the_same_rows() {
    let dir = folder();
    let out = dir.path().join("rows.jsonl");
    let Some(device) = devices().into_iter().find(|device| device[0] == "--adapter") else { return };
    let device: Vec<&str> = device.iter().map(String::as_str).collect();
    let few = [
        "bench",
        "peaks",
        "kernels",
        "attention",
        "--quick",
        "--budget",
        "0.001",
        "--samples",
        "1",
        "--lengths",
        "64",
        "--block",
        "32",
    ];
    let printed = json(&[&few[..], &["--seed", "3", "--out", arg(&out)], &device].concat());
    let rows = rows(&out);
    check(&rows);
    assert_eq!(printed["rows"].as_array().unwrap().len(), rows.len());
    let d = &rows[0].device;
    assert!(
        d.limits.is_some() && d.features.is_some() && d.backend != "cpu" && !rows[0].build.wgpu.is_empty(),
        "{d:?}"
    );
    let timed = |suite: Suite, name: &str| {
        rows.iter().any(|row| row.suite == suite && row.name == name && row.statistics.is_some())
    };
    assert!(
        timed(Suite::Peaks, "fma")
            && timed(Suite::Peaks, "upload")
            && timed(Suite::Kernels, "linear")
            && timed(Suite::Attention, "forward_backward")
    );
}

#[test]
fn variants_are_chosen_kept_and_forgotten() {
    let Some(device) = devices().into_iter().find(|device| device[0] == "--adapter") else { return };
    let cache = folder();
    let tune = |arguments: &[&str]| {
        let arguments = [&["bench", "tune"][..], arguments].concat();
        succeeded(
            &arguments,
            command(&arguments).args(&device).env("POLYSKETCH_CACHE_DIR", cache.path()).output().unwrap(),
        )
    };
    let kept = || names(cache.path()).into_iter().filter(|name| name.starts_with("tuning_")).count();
    let told: serde_json::Value = serde_json::from_str(&tune(&["--quick", "--json"])).unwrap();
    assert_eq!(kept(), 1);
    let choices = told["choices"].as_array().unwrap();
    let tiles = told["tuning"]["tiles"].as_array().unwrap().len();
    assert!(
        choices.len() == 3
            && choices
                .iter()
                .all(|c| c["candidates"].as_u64().unwrap() > 3 && c["gain"].as_f64().unwrap() >= 1.0),
        "{told}"
    );
    assert_eq!(tiles, choices.iter().filter(|c| c["gain"].as_f64().unwrap() > 1.0).count());
    tune(&["--forget"]);
    assert_eq!(kept(), 0);
}

#[test]
fn what_cannot_be_measured_or_read_is_refused() {
    let dir = folder();
    let path = dir.path().join("rows.jsonl");
    assert_eq!(run(&["bench", "--budget", "0"]).status.code(), Some(2));
    assert_eq!(run(&["bench", "everything"]).status.code(), Some(2));
    assert_eq!(run(&["bench", "report"]).status.code(), Some(2));
    fails(run(&["bench", "peaks", "--out", arg(dir.path())]), &["is a folder"], false);
    fails(run(&["bench", "model", "--model", arg(dir.path())]), &["config.json"], true);
    fails(run(&["bench", "compare", arg(&path)]), &["rows.jsonl"], true);
    fails(run(&["bench", "tune", "--backend", "cpu"]), &["no variants"], true);
    fs::write(&path, "{\"schema\":\"polysketch.bench/9\"}\n").unwrap();
    fails(run(&["bench", "report", arg(&path)]), &["line 1", "bench/9"], true);
    fs::write(&path, "").unwrap();
    fails(run(&["bench", "report", arg(&path)]), &["no rows"], true);
    fails(run(&["bench", "compare", arg(&path)]), &["only one run"], true);
}

#[test]
fn a_model_of_short_texts_is_measured_and_where_nothing_is_that_is_an_error() {
    let gpt2 = repository("tests/public/gpt2");
    let bench = |more: &[&str]| {
        let common = ["bench", "--quick", "--backend", "cpu", "--seed", "3", "--model", arg(&gpt2)];
        run(&[&common[..], more].concat())
    };
    let dir = folder();
    let file = dir.path().join("rows.jsonl");
    let output = bench(&["kernels", "model", "train", "--out", arg(&file)]);
    assert!(output.status.success(), "{output:?}");
    let rows = rows(&file);
    // How a cache is cut is the shader's own business: it alone is not checked.
    let (_, checked): (Vec<Row>, Vec<Row>) =
        rows.iter().cloned().partition(|row| row.name == "attention_dense_decode");
    check(&checked);
    for suite in [Suite::Kernels, Suite::Model, Suite::Train] {
        let measured = rows.iter().filter(|row| row.suite == suite && !row.samples_ns.is_empty()).count();
        assert!(measured > 0, "{suite}");
    }
    assert!(rows.iter().any(|row| row.skipped.as_deref().is_some_and(|why| why.contains("64 positions"))));
    // Lengths that it cannot have.
    let output = bench(&["peaks", "train", "--quiet", "--train-lengths", "128,256", "--out", arg(&file)]);
    assert!(fs::metadata(&file).unwrap().len() > 0);
    fails(output, &["bench train: nothing was measured on CPU", "64 positions"], true);
}
