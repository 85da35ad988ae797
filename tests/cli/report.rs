//! `report`: the numbers say what the theory says, and are written where they should be.

use std::fs;

use crate::run::*;

#[test]
fn errors_of_gradients_fall_with_the_degree() {
    let dir = folder();
    let out = dir.path().join("new").join("report");
    let report = json(&["report", "gradient", "--quick", "--max-n", "2k", "--out", arg(&out)]);
    assert_eq!(names(&out), ["gradient.json", "gradient.svg"]);
    let written: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("gradient.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    let svg = fs::read_to_string(out.join("gradient.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("dW_Q") && !svg.contains("NaN"));
    let errors = report["errors"].as_array().unwrap();
    for layer in 0..3 {
        for bound in [0.5, 1.0] {
            for quantity in ["dx", "dw_q", "dw_k", "dw_v"] {
                let of = |degree: u64| {
                    let row = errors
                        .iter()
                        .find(|e| e["bound"] == bound && e["degree"] == degree && e["layer"] == layer);
                    row.unwrap()[quantity].as_f64().unwrap()
                };
                assert!(
                    (2..=4).all(|degree| of(degree) < 0.5 * of(degree - 1)),
                    "{bound} {layer} {quantity}"
                );
            }
        }
    }
    let theory: Vec<u64> =
        report["degrees"].as_array().unwrap().iter().map(|d| d["theory"].as_u64().unwrap()).collect();
    assert_eq!(theory, [3, 5, 8, 15]);
    assert!(
        report["degrees"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["measured"].as_u64().unwrap() <= d["theory"].as_u64().unwrap())
    );
    // Time is as it is on a shared machine; memory is planned.
    let growth = |kind: &str| {
        report["growth"].as_array().unwrap().iter().find(|g| g["kind"] == kind).unwrap()["planned"]
            .as_f64()
            .unwrap()
    };
    assert!(growth("taylor") < 0.3 && growth("softmax") > 0.6, "{}", report["growth"]);
    assert!(report["cost"].as_array().unwrap().iter().all(|c| c["seconds"].as_f64().unwrap() > 0.0));
}

#[test]
fn sketches_come_closer_to_the_norms_than_to_the_kernel() {
    let dir = folder();
    let report = json(&["report", "sketch", "--quick", "--out", arg(dir.path())]);
    assert_eq!(names(dir.path()), ["sketch.json", "sketch.svg"]);
    let random = report["random"].as_array().unwrap();
    assert_eq!(random.len(), 2 * 2 * 5);
    for row in random {
        let mean = |what: &str| row[what]["mean"].as_f64().unwrap();
        assert!(mean("norms") < row["theorem"].as_f64().unwrap() && mean("kernel") > 1.0, "{row}");
    }
    assert!(!report["learned"].as_array().unwrap().is_empty());
    let text = stdout(&["report", "sketch", "--quick", "--quiet"]);
    assert!(text.contains("hadamard") && text.contains("layer"), "{text}");
}

#[test]
fn reports_refuse_what_they_cannot_do() {
    let file = folder();
    let path = file.path().join("file");
    fs::write(&path, "").unwrap();
    fails(run(&["report", "sketch", "--out", arg(&path)]), &["file"], false);
    let softmax = repository("tests/golden/release-softmax");
    fails(run(&["report", "sketch", "--quick", "--model", arg(&softmax)]), &["no sketch"], false);
}

#[test]
fn names_that_occurred_before_are_counted_by_distance() {
    let dir = folder();
    let story = |hero: &str| {
        let filler = "The river rose in the night and nobody went out to see it. ".repeat(12);
        format!("It was said that {hero} had come. {filler}").repeat(8)
    };
    let text = dir.path().join("stories.txt");
    fs::write(&text, [story("Edmund"), story("Martha")].join("<|endoftext|>")).unwrap();
    let past = ["report", "past", "--quick", "--short", "32", "--distances", "64", "1k"];
    let report = json(&[&past[..], &["--data", arg(&text), "--out", arg(dir.path())]].concat());
    assert!(dir.path().join("past.json").is_file() && dir.path().join("past.svg").is_file());
    let groups = report["groups"].as_array().unwrap();
    // The hero and the other take turns: what one story loses by the swap, the other gains after a short past.
    // Between two of a hero's names lie some 250 tokens; the first is never asked for, behind too few.
    assert!(groups[0]["least"] == 64 && groups[0]["sites"].as_u64().unwrap() >= 6, "{groups:?}");
    assert!(groups[1]["sites"] == 0 && groups[2]["least"].is_null(), "{groups:?}");
    let [whole, short, worth] =
        ["whole", "short", "worth"].map(|what| groups[0][what]["mean"].as_f64().unwrap());
    assert!((whole - short - worth).abs() < 1e-6 && worth != 0.0, "{whole} {short} {worth}");
    let one = dir.path().join("one.txt");
    fs::write(&one, story("Edmund")).unwrap();
    fails(
        run(&[&past[..], &["--data", arg(&one), "--out", arg(dir.path())]].concat()),
        &["no names of other texts"],
        true,
    );
}

/// A model with a longer context than its folder says, and an adapter that makes it linear.
fn linearised(dir: &std::path::Path, text: &str, more: &[&str]) -> [String; 2] {
    let model = dir.join("model");
    fs::create_dir(&model).unwrap();
    let public = repository("tests/public/llama-hf");
    for name in names(&public) {
        fs::copy(public.join(&name), model.join(&name)).unwrap();
    }
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    let config = config.replace("\"max_position_embeddings\": 256", "\"max_position_embeddings\": 512");
    fs::write(model.join("config.json"), config).unwrap();
    let adapter = dir.join("adapter");
    let sizes = [
        "--block",
        "8",
        "--long",
        "1=16",
        "--sinks",
        "2",
        "--sketch",
        "8",
        "--hidden",
        "8",
        "--context",
        "192",
    ];
    let files = ["--data", text, "--held-out", text, "--out", arg(&adapter)];
    let linearize = ["linearize", "--teacher", arg(&model), "--steps", "1", "--batch", "1", "--quiet"];
    stdout(&[&linearize[..], &sizes, &files, more].concat());
    [arg(&model).into(), arg(&adapter).into()]
}

#[test]
fn a_report_of_a_linearised_model_goes_on_where_it_was() {
    let dir = folder();
    let text = dir.path().join("text.txt");
    let words: Vec<String> = (0..600).map(|i| format!("the word {} came", i * i % 89)).collect();
    fs::write(&text, words.join(" ")).unwrap();
    let [model, adapter] = linearised(dir.path(), arg(&text), &[]);
    let out = dir.path().join("out");
    let data = format!("words={}", text.display());
    let sizes =
        ["--texts", "2", "--trials", "2", "--recall", "32", "1k", "--lengths", "64", "--answers", "2"];
    let base = [
        "report",
        "linearize",
        "--model",
        &model,
        "--adapter",
        &adapter,
        "--data",
        &data,
        "--out",
        arg(&out),
    ];
    let command =
        |tokens: &'static str| [&base[..], &sizes, &["--backend", "cpu", "--tokens", tokens]].concat();
    let report = json(&command("600"));
    assert_eq!(names(&out), ["linearize.json", "linearize.svg"]);
    let file = out.join("linearize.json");
    let written = || serde_json::from_str::<serde_json::Value>(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written(), report);
    assert!(report["layers"][0].as_f64().unwrap() > 0.0 && report["layers"][1].as_f64().unwrap() > 0.0);
    assert_eq!((&report["kinds"][0]["texts"], report["answers"].as_array().unwrap().len()), (&2.into(), 2));
    // The teacher's context holds one distance, the student has both.
    let told = |who: usize| report["recall"][who]["recall"].as_array().unwrap().len();
    assert_eq!([0, 1, 2].map(told), [1, 2, 2]);
    assert_eq!(report["recall"][2]["recall"][1]["digits"], 8);

    // What is there is not measured again, what is not is: a part that was changed by hand stays, one that is missing
    // comes back.
    let mut changed = report.clone();
    changed["layers"][0] = 0.125.into();
    changed["kinds"][0]["name"] = "changed".into();
    changed["answers"].as_array_mut().unwrap().pop();
    changed["costs"][1] = serde_json::Value::Null;
    changed["recall"][2]["trials"] = 1.into();
    fs::write(&file, changed.to_string()).unwrap();
    let said = stdout(&[&command("600")[..], &["--quiet"]].concat());
    for words in ["0: 0.125", "changed", "not hold the longer ones", "with a teacher", "In all, the student"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let again = written();
    assert_eq!(again["layers"], changed["layers"]);
    assert_eq!(again["kinds"], changed["kinds"]);
    assert_eq!(again["answers"], report["answers"]);
    assert_eq!(again["costs"][0], report["costs"][0]);
    assert_eq!(again["costs"][1][0]["tokens"], 64);
    assert_eq!(again["recall"][2]["trials"], 2);
    assert_eq!(again["recall"][2]["recall"][0]["digits"], 12, "one trial more");

    // Another command, a damaged file, another file.
    fails(run(&command("601")), &["another command", "tokens 600, now 601"], true);
    let mut damaged = report.clone();
    damaged["recall"][1]["recall"][0]["distance"] = 1_000_000_000.into();
    fs::write(&file, damaged.to_string()).unwrap();
    fails(run(&command("600")), &["linearize.json: is damaged"], true);
    let close = [&command("600")[..], &["--lengths", "64", "80"]].concat();
    fails(run(&close), &["--lengths 64 and 80: texts are written on"], true);
    let twice = [&command("600")[..], &["--data", &data, &data]].concat();
    fails(run(&twice), &["two texts of one name"], true);
    fs::write(&file, "{}").unwrap();
    fails(run(&command("600")), &["linearize.json: is no report"], true);
}

#[test]
fn layers_that_keep_their_softmax_are_told() {
    let dir = folder();
    let text = dir.path().join("text.txt");
    fs::write(&text, "the word came and went, and ".repeat(200)).unwrap();
    let keep = ["--keep-softmax", "0"];
    let [model, adapter] = linearised(dir.path(), arg(&text), &keep);
    let with = ["--model", &model, "--adapter", &adapter];
    let said = stdout(&[&["inspect"][..], &with].concat());
    let told = said.contains("softmax in 1 layer: state grows with the text");
    assert!(told && !said.contains("constant state") && said.contains("key-value cache  "), "{said}");
    let generate = ["generate", "--backend", "cpu", "--prompt", "the word", "--max-tokens", "3"];
    let output = run(&[&generate[..], &with].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("with its key-value cache"), "{said}");
    let data = format!("words={}", text.display());
    let sizes = ["--texts", "1", "--tokens", "300", "--recall", "--lengths", "64", "--answers", "0"];
    let report = ["report", "linearize", "--backend", "cpu", "--data", &data];
    let said = stdout(&[&report[..], &with, &sizes].concat());
    let said = said.replace('\n', " ");
    assert!(said.contains("Layers 0 of the student keep their softmax: its memory grows"), "{said}");
    let out = dir.path().join("other");
    let other = ["linearize", "--teacher", &model, "--data", arg(&text), "--held-out", arg(&text)];
    let other = |more: &[&'static str]| run(&[&other[..], &["--out", arg(&out)], more].concat());
    fails(other(&["--keep-softmax", "0,2"]), &["--keep-softmax names layer 2 of a model of 2 layers"], true);
    fails(other(&["--keep-softmax", "0,1"]), &["nothing is made linear"], true);
    fails(other(&["--gate", "8"]), &["--gate is of the student to begin from"], true);
    // Gates that close sooner, and nothing else.
    let gates =
        ["--block", "8", "--long", "1=16", "--sinks", "2", "--sketch", "8", "--hidden", "8", "--steps", "0"];
    let gates =
        [&gates[..], &["--keep-softmax", "0", "--begin", &adapter, "--gate", "2.0", "--context", "256"]]
            .concat();
    let texts = ["--data", arg(&text), "--held-out", arg(&text), "--out", arg(&out)];
    let begun = ["linearize", "--backend", "cpu", "--teacher", &model];
    let made = run(&[&begun[..], &texts, &gates].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // A run goes on from what it began from.
    let others: Vec<&str> = gates.iter().map(|word| if *word == "2.0" { "3.0" } else { *word }).collect();
    fails(
        run(&[&begun[..], &["-q"], &texts, &others].concat()),
        &["holds a run that began from something else"],
        true,
    );
    let read = |folder: &std::path::Path| {
        polysketch::model::Adapter::open(&folder.join("adapter.safetensors")).unwrap().tensors
    };
    let (before, after) = (read(std::path::Path::new(&adapter)), read(&out));
    for name in before.names() {
        let (before, after) = (before.f32(&name).unwrap(), after.f32(&name).unwrap());
        let same = if name.ends_with(".gate") { after.iter().all(|x| *x == 2.0) } else { before == after };
        assert!(same, "{name}");
    }
}
