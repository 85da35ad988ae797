//! Files that other programs made: byte order marks, other encodings, what is there twice, `-`.

use std::fs;

use serde_json::json;

use crate::run::*;

const MARK: &str = "\u{feff}";

/// A text as Windows' older programs save it.
fn utf16(text: &str) -> Vec<u8> {
    format!("{MARK}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let dir = folder();
    other_model(dir.path());
    for name in ["config.json", "tokenizer.json"] {
        let path = dir.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{MARK}{}", text.replace('\n', "\r\n"))).unwrap();
    }
    let text = dir.path().join("text");
    let prompt = |words: &[&str]| {
        let all = [&["generate", "-n", "0", "--backend", "cpu"][..], words].concat();
        json(&all)["statistics"]["prompt_tokens"].clone()
    };
    let plain = prompt(&["--prompt", "It was late"]);
    fs::write(&text, format!("{MARK}It was late")).unwrap();
    assert_eq!(prompt(&["-f", arg(&text), "--model", arg(dir.path())]), plain);
    let piped = run_with(
        &["generate", "-n", "0", "--backend", "cpu", "--json", "-f", "-"],
        format!("{MARK}It was late").as_bytes(),
    );
    let piped: serde_json::Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(piped["statistics"]["prompt_tokens"], plain);
    let tokens = |path: &str| json(&["eval", "--backend", "cpu", "--data", path])["tokens"].clone();
    assert_eq!(tokens(arg(&text)), plain);
}

#[test]
fn utf16_is_refused_by_its_name() {
    let dir = folder();
    let text = dir.path().join("text");
    fs::write(&text, utf16("It was late in the autumn of the year")).unwrap();
    let out = dir.path().join("out");
    for arguments in [
        &["generate", "--prompt-file", arg(&text)][..],
        &["eval", "--backend", "cpu", "--data", arg(&text)],
        &["tokenizer", "train", "--data", arg(&text), "--vocab-size", "300", "--out", arg(&out)],
        &["bench", "report", arg(&text)],
        &["train", "--config", arg(&text), "--data", arg(&text), "--out", arg(&out)],
    ] {
        fails(run(arguments), &["text: is UTF-16, must be UTF-8"], true);
    }
    other_model(dir.path());
    for name in ["tokenizer.json", "config.json"] {
        let path = dir.path().join(name);
        let old = fs::read(&path).unwrap();
        fs::write(&path, utf16(std::str::from_utf8(&old).unwrap())).unwrap();
        fails(run(&["generate", "--prompt", "x", "--model", arg(dir.path())]), &[name, "is UTF-16"], true);
        fs::write(&path, old).unwrap();
    }
}

#[test]
fn what_is_there_twice_is_named() {
    let dir = folder();
    other_model(dir.path());
    let path = dir.path().join("config.json");
    let good = fs::read_to_string(&path).unwrap();
    let twice = good.replacen("\"attention\":", "\"vocab_size\":5,\"attention\":", 1);
    let twice = if twice.matches("vocab_size").count() == 2 { twice } else { panic!("{twice}") };
    fs::write(&path, twice).unwrap();
    fails(
        run(&["inspect", "--model", arg(dir.path())]),
        &["config.json", "\"vocab_size\" is there twice"],
        true,
    );
    fs::write(&path, &good).unwrap();

    // Shards: in any order, in files of any name; a tensor is named once.
    let shard = dir.path().join("b.safetensors");
    fs::rename(dir.path().join("model.safetensors"), &shard).unwrap();
    let names: Vec<String> = {
        let file = polysketch::model::tensor_file::read_tensors(&shard).unwrap();
        file.names().into_iter().rev().collect()
    };
    let map: Vec<String> = names.iter().map(|name| format!("{}: \"b.safetensors\"", json!(name))).collect();
    let index = dir.path().join("model.safetensors.index.json");
    let write = |map: &[String]| {
        fs::write(&index, format!("{MARK}{{\r\n\"weight_map\": {{{}}}}}", map.join(",\r\n"))).unwrap();
    };
    write(&map);
    stdout(&["inspect", "--model", arg(dir.path())]);
    write(&[&map[..], &[map[0].replace("\"b.", "\"c.")]].concat());
    fails(run(&["inspect", "--model", arg(dir.path())]), &["index.json", "is there twice"], true);
}

#[test]
fn rows_that_come_again_count_once() {
    let dir = folder();
    let [rows, again] = ["rows.jsonl", "again.jsonl"].map(|name| dir.path().join(name));
    let folder = repository("web/page/results");
    let file = names(&folder).into_iter().find(|name| name.ends_with(".jsonl")).unwrap();
    let text = fs::read_to_string(folder.join(file)).unwrap();
    fs::write(&rows, &text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&again, format!("{MARK}{}\r\n{}\r\n", lines.join("\r\n"), lines[0])).unwrap();
    let output = run(&["bench", "compare", arg(&rows), arg(&again)]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = format!("line {} measures what line 1 measured", lines.len() + 1);
    assert!(stderr.contains(&line), "{stderr}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("without a counterpart"));
    let alone = json(&["bench", "compare", arg(&rows), arg(&again)])["comparisons"][0]["alone"].clone();
    assert_eq!(alone, 0);
    // Rows from stdin, a page to stdout.
    let page = run_with(&["bench", "report", "-", "--out", "-"], text.as_bytes());
    assert!(String::from_utf8_lossy(&page.stdout).starts_with("<!doctype html>"));
}

#[test]
fn text_of_rows_is_text_on_the_page_and_in_the_table() {
    let dir = folder();
    let [rows, page, table, svg] = ["r.jsonl", "r.html", "r.md", "r.svg"].map(|name| dir.path().join(name));
    let evil = "a|b<img src=x onerror=alert(1)>\u{1b}[31m\u{7}'\"&";
    let folder = repository("web/page/results");
    let mut lines = Vec::new();
    for name in names(&folder).into_iter().filter(|name| name.ends_with(".jsonl")) {
        for line in fs::read_to_string(folder.join(name)).unwrap().lines() {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            // Every text that is not a choice among words.
            for (part, names) in [
                ("device", &["name", "driver", "driver_info", "os", "arch", "browser", "bus"][..]),
                ("build", &["version", "commit"]),
                ("workload", &["plan", "operation", "model", "against"]),
            ] {
                names.iter().for_each(|name| row[part][name] = evil.into());
            }
            for share in row["derived"]["shares"].as_array_mut().into_iter().flatten() {
                share["kernel"] = evil.into();
            }
            row["date"] = "<b>2026-01-01".into();
            lines.push(row.to_string());
        }
    }
    fs::write(&rows, lines.join("\n")).unwrap();
    let arguments =
        ["bench", "report", arg(&rows), "--out", arg(&page), "--table", arg(&table), "--svg", arg(&svg)];
    stdout(&arguments);
    for path in [&page, &svg] {
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("<img") && !text.contains("<b>") && !text.contains('\u{1b}'), "{path:?}");
        assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;") && !text.contains("NaN"), "{path:?}");
    }
    let text = fs::read_to_string(&table).unwrap();
    assert!(text.lines().count() > 2 && !text.contains("<img") && !text.contains('\u{1b}'), "{text}");
    // Eight marks outside of cells in every line.
    let marks = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(text.lines().all(|line| marks(line) == 8), "{text}");
    let told = stdout(&["bench", "compare", arg(&rows), arg(&rows)]);
    assert!(!told.contains('\u{1b}') && !told.contains('\u{7}') && told.contains(r"\u{1b}[31m"), "{told}");
}

#[test]
fn escapes_in_options_stand_for_characters() {
    let reason = |words: &[&str]| {
        let fixed =
            ["generate", "--prompt", "CHAPTER I.", "-n", "40", "--temperature", "0", "--backend", "cpu"];
        json(&[&fixed[..], words].concat())["stop_reason"].clone()
    };
    assert_eq!(reason(&["--stop", r"\n"]), "stop-string");
    assert_eq!(reason(&["--stop", "\n"]), "stop-string");
    assert_eq!(reason(&["--stop", r"\n", "--no-escape"]), "max-tokens");
    let tokens = |words: &[&str]| {
        json(&[&["generate", "-n", "0", "--backend", "cpu"][..], words].concat())["statistics"]["prompt_tokens"]
            .clone()
    };
    assert_eq!(tokens(&["--prompt", r"a\n\nb"]), tokens(&["--prompt", "a\n\nb"]));
    assert_ne!(tokens(&["--prompt", r"a\n\nb", "--no-escape"]), tokens(&["--prompt", "a\n\nb"]));
    fails(run(&["generate", "--prompt", r"\xff"]), &["--prompt", "not UTF-8"], true);
}

#[test]
fn a_dash_is_stdin_and_stdout() {
    let dir = folder();
    let out = dir.path().join("tokenizer.json");
    let text = fs::read(repository("tests/data/openings.txt")).unwrap();
    let train = |out: &str| {
        let words = ["tokenizer", "train", "--data", "-", "--vocab-size", "300", "--quiet", "--out", out];
        run_with(&words, &text)
    };
    let printed = train("-");
    assert!(printed.status.success() && train(arg(&out)).status.success());
    assert_eq!(fs::read(&out).unwrap(), printed.stdout);
    let eval = |data: &str| {
        let output =
            run_with(&["eval", "--backend", "cpu", "--json", "--data", data], b"It was late in the autumn");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["tokens"].clone()
    };
    assert!(eval("-").as_u64().unwrap() > 3);
    fails(run_with(&["eval", "--backend", "cpu", "--data", "-"], b"ab\xff"), &["stdin", "byte 2"], true);
    fails(run_with(&["generate", "-f", "-", "--state-in", "-"], b"x"), &["stdin", "twice"], true);
    fails(run(&["generate", "--prompt", "x", "--state-out", "-"]), &["--state-out -", "stdout"], true);
    let words = ["tokenizer", "train", "--data", "-", "--vocab-size", "300", "--json", "--out", "-"];
    fails(run_with(&words, &text), &["--json", "stdout"], true);
}
