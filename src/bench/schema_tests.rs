//! Every field of a row is documented, written and read back.

use super::schema::*;
use super::statistics::Statistics;
use crate::error::ErrorKind;
use crate::exec::KernelTime;
use crate::gpu::{AdapterFeatures, Hardware};

/// A row in which every field is set.
fn complete() -> Row {
    let limits = r#"{"max_storage_buffer_binding_size":1,"max_buffer_size":1,"max_storage_buffers_per_shader_stage":8,
        "max_compute_workgroup_storage_size":1,"max_compute_invocations_per_workgroup":1,"max_compute_workgroup_size":[1,1,1],
        "max_compute_workgroups_per_dimension":1,"min_uniform_buffer_offset_alignment":1,"min_storage_buffer_offset_alignment":1,
        "max_immediate_size":0,"subgroup_size":[4,8]}"#;
    let device = Device {
        bus: "0000:01:00.0".into(),
        number: Some(2),
        driver: "llvmpipe".into(),
        driver_info: "Mesa".into(),
        hardware: Some(Hardware::default()),
        limits: serde_json::from_str(limits).expect("limits"),
        features: Some(AdapterFeatures::default()),
        browser: Some("Chromium".into()),
        ..Device::new(None, None)
    };
    let text = || Some("text".to_string());
    let workload = Workload {
        kind: text(),
        heads: Some(4),
        head: Some(64),
        sketch: Some(32),
        degree: Some(4),
        block: Some(256),
        batch: Some(1),
        tokens: Some(512),
        depth: Some(0),
        shape: Some(vec![1, 2, 3]),
        bytes: Some(1),
        model: text(),
        plan: text(),
        operation: text(),
        against: text(),
        dtype: text(),
        precision: Some("mixed".into()),
        seed: Some(1),
    };
    let mut row = Row::new(Suite::Attention, "forward", workload, &device, &Build::this());
    row.method = Method {
        warm_ups: Some(1),
        timer: text(),
        resolution_ns: Some(1.0),
        repetitions: Some(1),
        interleaved: Some(2),
        segment: Some(1),
        variant: text(),
    };
    row.check = Some(Check {
        error: 1e-7,
        tolerance: 1e-4,
        measure: "x".into(),
        against: "y".into(),
        tokens: Some(512),
    });
    row.samples_ns = vec![2.0, 1.0, 3.0];
    row.statistics = Statistics::of(&row.samples_ns);
    row.derived = Derived {
        tokens_per_second: Some(1.0),
        flops: Some(1),
        flops_formula: text(),
        gflops: Some(1.0),
        bytes: Some(1),
        bytes_formula: text(),
        gbps: Some(1.0),
        peak_gflops: Some(1.0),
        peak_gbps: Some(1.0),
        share_of_peak: Some(1.0),
        bound: text(),
        state_bytes: Some(1),
        softmax_cache_bytes: Some(1),
        memory_bytes: Some(1),
        peak_bytes: Some(1),
        speedup: Some(1.0),
        speedup_low: Some(1.0),
        speedup_high: Some(1.0),
        exponent: Some(1.0),
        exponent_from: Some(1),
        exponent_to: Some(1),
        crossover_tokens: Some(1.0),
        shares: Some(vec![KernelTime { kernel: "linear".into(), dispatches: 1, nanoseconds: 1.0, flops: 1 }]),
    };
    row.skipped = text();
    row
}

#[test]
fn every_field_is_documented_and_every_documented_field_exists() {
    let row = serde_json::to_value(complete()).expect("a row is JSON");
    let mut fields = std::collections::BTreeSet::new();
    for (name, value) in row.as_object().expect("an object") {
        match value.as_object() {
            // What is inside limits and features is documented where they are.
            Some(inner) => fields.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            None => drop(fields.insert(name.clone())),
        }
    }
    let table = include_str!("schema.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    let documented = table.flat_map(|line| {
        let cell = line.split(" | ").next().unwrap_or_default();
        cell.split('`')
            .filter(|part| !part.trim_matches([',', ' ']).is_empty())
            .map(str::to_string)
            .collect::<Vec<_>>()
    });
    assert_eq!(documented.collect::<std::collections::BTreeSet<_>>(), fields);
}

#[test]
fn rows_survive_json_and_others_are_refused() {
    let row = complete();
    let line = row.to_json().expect("a row is JSON");
    assert_eq!(Row::parse_all(&format!("{line}\n\n{line}\n"), "file").expect("rows"), [row.clone(), row]);
    let bare = Row::new(Suite::Peaks, "fma", Workload::default(), &Device::new(None, None), &Build::this());
    assert_eq!(Row::parse_all(&bare.to_json().expect("a row is JSON"), "file").expect("rows"), [bare]);
    for (bad, word) in [("{}", "line 1"), ("x", "line 1"), (r#"{"schema":"polysketch.bench/2"}"#, "bench/2")]
    {
        let error = Row::parse_all(bad, "file").expect_err("no row").to_string();
        assert!(error.contains("file") && error.contains(word), "{error}");
    }
}

#[test]
fn wrong_results_have_no_time() {
    for error in [f64::NAN, f64::INFINITY, 2e-3] {
        let check = Check::against_f64(error, 1e-3, "", None);
        assert_eq!(check.verdict().expect_err("wrong").kind(), ErrorKind::Numeric);
    }
}

#[test]
fn rows_of_any_origin_are_read_or_refused_by_line() {
    let row = complete();
    let line = row.to_json().expect("plain data");
    let read = |text: &str| Row::parse_all(text, "rows.jsonl").map_err(|e| e.to_string());
    assert_eq!(read(&format!("\u{feff}{line}\r\n\r\n{line}\r\n")), Ok(vec![row.clone(), row.clone()]));
    let twice = line.replacen("\"name\":", "\"name\":\"forward\",\"name\":", 1);
    let error = read(&format!("{line}\n{twice}")).expect_err("twice");
    assert!(error.contains("line 2") && error.contains("\"name\" is there twice"), "{error}");
    // Older rows do not say where a device is.
    let mut old: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let device = old["device"].as_object_mut().expect("an object");
    device.remove("bus");
    device.remove("number");
    device.remove("hardware");
    let old = read(&old.to_string()).expect("an older row").remove(0);
    assert!(old.device.bus.is_empty() && old.device.number.is_none() && old.device.hardware.is_none());
    // A vendor that this build does not know is another one.
    let mut later: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    later["device"]["hardware"] = serde_json::json!({ "vendor": "imagination", "processors": 4 });
    let hardware = read(&later.to_string()).expect("a later row").remove(0).device.hardware.expect("is set");
    assert_eq!((hardware.vendor, hardware.processors), (crate::kernels::Vendor::Other, Some(4)));
    // An error that is no number is no reason to lose the file.
    let wrong = Check { error: f64::NAN, ..row.check.clone().expect("is set") };
    let line = Row { check: Some(wrong), ..row }.to_json().expect("plain data");
    let again = read(&line).expect("reads").remove(0).check.expect("is set");
    assert!(again.error.is_nan() && again.verdict().is_err_and(|e| e.message().contains("no number")));
}
