//! `train` and `grad`: continued runs, interrupted runs, and everything that cannot be trained.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use polysketch::model::tensor_file::read_tensors;
use serde_json::{Value, json};

use crate::run::*;

/// A folder with the configuration of a very small model that reads bytes, and texts.
pub fn workplace() -> tempfile::TempDir {
    let dir = folder();
    fs::write(dir.path().join("config.json"), config(257).to_string()).unwrap();
    let text = fs::read_to_string(repository("tests/data/openings.txt")).unwrap();
    let (valid, train) = text.split_at(text.char_indices().map(|(at, _)| at).find(|at| *at >= 2000).unwrap());
    fs::write(dir.path().join("train.txt"), train).unwrap();
    fs::write(dir.path().join("valid.txt"), valid).unwrap();
    dir
}

fn config(vocabulary: usize) -> Value {
    json!({
        "vocab_size": vocabulary, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "rope": { "where": "normed" },
        "attention": {
            "kind": "polysketch", "degree": 4, "qk_scale": 0.35, "block_size": 8, "local_exact": true, "gate": "scalar",
            "sketch": { "kind": "learned", "size": 4, "levels": 1, "expansion": 2 },
        },
    })
}

/// A run of `train`: the folder it happens in, and the one it writes.
pub struct Run<'a> {
    pub dir: &'a Path,
    pub out: PathBuf,
}

impl<'a> Run<'a> {
    pub fn new(dir: &'a Path, out: &str) -> Self {
        Self { dir, out: dir.join(out) }
    }

    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = command(&["train", "--backend", "cpu", "--out", arg(&self.out)]);
        command.args(more).current_dir(self.dir).env("POLYSKETCH_CACHE_DIR", "off");
        command
    }

    pub fn with(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    /// A new run on the text.
    pub fn start(&self, more: &[&str]) -> Output {
        self.with(&[&NEW, more].concat())
    }

    #[track_caller]
    pub fn ok(&self, output: Output) -> String {
        succeeded(&["train"], output)
    }

    /// The log, without what a clock says.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.out.join("train.jsonl")).unwrap();
        let timeless = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let object = line.as_object_mut().unwrap();
            assert!(object.remove("seconds").is_some_and(|s| s.is_f64()));
            object.remove("tokens_per_second");
            line
        };
        text.lines().map(timeless).collect()
    }

    pub fn checkpoints(&self) -> Vec<String> {
        names(&self.out.join("checkpoints"))
    }

    pub fn loads(&self) {
        let mut command = command(&[
            "generate",
            "--backend",
            "cpu",
            "--prompt",
            "It was",
            "-n",
            "3",
            "--seed",
            "1",
            "--model",
            arg(&self.out),
        ]);
        succeeded(&["generate"], command.output().unwrap());
    }
}

pub const NEW: [&str; 12] = [
    "--config",
    "config.json",
    "--data",
    "train.txt",
    "--batch",
    "2",
    "--context",
    "24",
    "--eval-data",
    "valid.txt",
    "--eval-tokens",
    "100",
];

#[test]
fn a_run_leaves_a_model_a_log_and_a_drawing() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let output = run.start(&[
        "--steps",
        "30",
        "--eval-every",
        "10",
        "--save-every",
        "6",
        "--keep",
        "2",
        "--lr",
        "0.01",
        "--accumulate",
        "2",
    ]);
    let text = run.ok(output);
    assert!(text.contains("loss") && text.contains("evaluation") && text.contains("1-128"), "{text}");
    assert_eq!(run.checkpoints(), ["step-000024", "step-000030"]);
    assert_eq!(
        names(&run.out),
        ["checkpoints", "config.json", "loss.svg", "model.safetensors", "train.jsonl"]
    );
    assert_eq!(names(dir.path()).len(), 4, "nothing is left beside the texts: {:?}", names(dir.path()));
    run.loads();
    let log = run.log();
    let (steps, evaluations): (Vec<&Value>, Vec<&Value>) = log.iter().partition(|line| line["loss"].is_f64());
    assert_eq!(
        steps.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=30).collect::<Vec<_>>()
    );
    assert_eq!(
        evaluations.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        [10, 20, 30]
    );
    let last = steps[29];
    assert_eq!(last["tokens"], 30 * 2 * 2 * 24);
    assert!(last["loss"].as_f64().unwrap() < steps[0]["loss"].as_f64().unwrap(), "{last} {}", steps[0]);
    assert!((steps[0]["loss"].as_f64().unwrap() - 257f64.ln()).abs() < 0.2, "{}", steps[0]);
    assert!(evaluations[2]["eval_loss"].as_f64() < evaluations[0]["eval_loss"].as_f64());
    assert!(
        (last["lr"].as_f64().unwrap() - 0.001).abs() < 1e-12 && last["gradient_norm"].as_f64().unwrap() > 0.0
    );
    assert!(fs::read_to_string(run.out.join("loss.svg")).unwrap().contains("nats a token"));

    // Going on from a model, in another folder, with its tokenizer.
    let tuned = Run::new(dir.path(), "tuned");
    let report = tuned.with(&[
        "--model",
        arg(&run.out),
        "--data",
        "train.txt",
        "--steps",
        "3",
        "--context",
        "24",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&tuned.ok(report)).unwrap();
    assert!(
        report["loss"].as_f64().unwrap() < 5.4 && report["step"] == 3 && report["evaluation"].is_null(),
        "{report}"
    );
}

#[test]
fn a_resumed_run_is_the_one_that_was_never_interrupted() {
    let dir = workplace();
    let how = ["--eval-every", "3", "--save-every", "4", "--accumulate", "2"];
    let whole = Run::new(dir.path(), "whole");
    whole.ok(whole.start(&[&how[..], &["--steps", "12"]].concat()));

    // Ended at a checkpoint, or after one: what was done since is done again.
    let resumed = Run::new(dir.path(), "resumed");
    resumed.ok(resumed.start(&[&how[..], &["--steps", "12"]].concat()));
    for keep in ["step-000008", "step-000004"] {
        for name in resumed.checkpoints() {
            if *name > *keep {
                fs::remove_dir_all(resumed.out.join("checkpoints").join(name)).unwrap();
            }
        }
        resumed.ok(resumed.with(&["--resume"]));
        assert_eq!(resumed.log(), whole.log(), "from {keep}");
        assert_eq!(
            fs::read(resumed.out.join("model.safetensors")).unwrap(),
            fs::read(whole.out.join("model.safetensors")).unwrap()
        );
    }

    // A checkpoint that is damaged is not used.
    let newest = resumed.out.join("checkpoints/step-000012/optimizer.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    resumed.ok(resumed.with(&["--resume"]));
    assert_eq!(resumed.log(), whole.log());

    // More steps, and what may not change.
    fails(resumed.with(&["--resume"]), &["step 12 of 12"], true);
    fails(resumed.with(&["--resume", "--lr", "0.5"]), &["--lr is 0.5", "0.001"], true);
    fails(resumed.with(&["--resume", "--context", "32"]), &["--context is 32", "24"], true);
    fails(resumed.with(&["--resume", "--data", "valid.txt", "--steps", "14"]), &["texts"], true);
    resumed.ok(resumed.with(&["--resume", "--steps", "14", "--lr", "0.001"]));
    assert_eq!(resumed.log().len(), 14 + 5);
    // Without anything to go on from.
    fails(Run::new(dir.path(), "none").with(&["--resume"]), &["none", "no checkpoint"], true);
}

/// Starts a long run and waits for its first checkpoint.
#[cfg(target_os = "linux")]
pub fn long_run(run: &Run<'_>) -> std::process::Child {
    let mut command = Command::new("env");
    // A shell that runs the tests in the background hands down an ignored SIGINT.
    command.args([
        "--default-signal=INT,HUP,TERM",
        env!("CARGO_BIN_EXE_polysketch"),
        "train",
        "--backend",
        "cpu",
        "--out",
        arg(&run.out),
    ]);
    command
        .args(NEW)
        .args(["--steps", "1000000", "--save-every", "2", "--eval-every", "0"])
        .env("POLYSKETCH_CACHE_DIR", "off")
        .current_dir(run.dir);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !run.out.join("checkpoints/step-000004").exists()
        && !run.out.join("checkpoints/step-000006").exists()
    {
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_run_can_be_continued() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    for _ in 0..4 {
        let mut child = long_run(&run);
        std::thread::sleep(Duration::from_millis(u64::from(child.id() % 37)));
        child.kill().unwrap();
        child.wait().unwrap();
        run.loads();
        // Goes on exactly: the first steps are those of a run that was left alone.
        let newest: u64 = run
            .checkpoints()
            .iter()
            .filter_map(|name| name.strip_prefix("step-")?.parse().ok())
            .max()
            .unwrap();
        let steps = (newest + 2).to_string();
        run.ok(run.with(&["--resume", "--steps", &steps]));
        assert!(names(&run.out).iter().all(|name| !name.starts_with('.')), "{:?}", names(&run.out));
        assert!(run.checkpoints().iter().all(|name| name.starts_with("step-")));
        let log = run.log();
        assert_eq!(log.iter().filter(|line| line["loss"].is_f64()).count() as u64, newest + 2);
        fs::remove_dir_all(&run.out).unwrap();
    }
}

#[test]
fn tasks() {
    let dir = folder();
    fs::write(dir.path().join("config.json"), config(16).to_string()).unwrap();
    for task in ["copy", "induction", "mqar"] {
        let run = Run::new(dir.path(), task);
        let report = run.with(&[
            "--config",
            "config.json",
            "--task",
            task,
            "--context",
            "32",
            "--steps",
            "4",
            "--batch",
            "3",
            "--eval-tokens",
            "256",
            "--json",
            "--items",
            if task == "induction" { "1" } else { "4" },
        ]);
        let report: Value = serde_json::from_str(&run.ok(report)).unwrap();
        let lengths = report["accuracy_by_length"].as_object().unwrap();
        assert_eq!(lengths.len(), 3, "{report}");
        assert!(
            ["32", "64", "128"]
                .iter()
                .all(|n| lengths[*n].as_f64().is_some_and(|part| (0.0..=1.0).contains(&part))),
            "{report}"
        );
        assert!(report["evaluation"]["accuracy"].is_f64());
        fails(run.with(&["--resume"]), &["step 4 of 4"], true);
        run.ok(run.with(&[
            "--resume",
            "--steps",
            "5",
            "--task",
            task,
            "--items",
            if task == "induction" { "1" } else { "4" },
        ]));
    }
    let run = Run::new(dir.path(), "none");
    let with = |more: &[&str]| run.with(&[&["--config", "config.json", "--task"], more].concat());
    fails(with(&["mqar", "--items", "8"]), &["vocabulary of 16", "at least 18"], true);
    fails(with(&["copy", "--context", "20"]), &["20 tokens", "at least 32"], true);
    fails(with(&["induction", "--items", "2"]), &["2 things"], true);
    fails(with(&["copy", "--task-vocab", "17"]), &["vocab_size of 16"], true);
    assert!(!run.out.exists());
}

#[test]
fn what_cannot_be_trained() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let at = |name: &str, bytes: &[u8]| {
        fs::write(dir.path().join(name), bytes).unwrap();
        name.to_string()
    };
    let on =
        |data: &str, more: &[&str]| run.with(&[&["--config", "config.json", "--data", data], more].concat());
    // Texts.
    fails(on("missing.txt", &[]), &["missing.txt"], true);
    fails(on(&at("empty.txt", b""), &[]), &["empty.txt", "empty"], true);
    fails(on(&at("binary.txt", b"good so far \xff\xfe"), &[]), &["binary.txt", "byte 12"], true);
    fails(on("train.txt", &["--context", "1M"]), &["train.txt", "1048576", "there are"], true);
    fails(on("train.txt", &["--eval-data", &at("short.txt", b"short")]), &["short.txt", "256"], true);
    fails(on("train.txt", &["--eval-data", "none.txt"]), &["none.txt"], true);
    // Configurations and tokenizers.
    fails(run.with(&["--config", "none.json", "--data", "train.txt"]), &["none.json"], true);
    at("small.json", config(64).to_string().as_bytes());
    fails(run.with(&["--config", "small.json", "--data", "train.txt"]), &["257", "64"], true);
    let tokenizer = repository("assets/novels-2m/tokenizer.json");
    fails(on("train.txt", &["--tokenizer", arg(&tokenizer)]), &["2048", "257"], true);
    fails(on("train.txt", &["--tokenizer", "train.txt"]), &["train.txt", "not valid JSON"], true);
    fails(run.with(&["--model", "nowhere", "--data", "train.txt"]), &["nowhere"], true);
    // Numbers.
    for rate in ["-1", "0", "nan", "11", "inf"] {
        fails(on("train.txt", &["--lr", rate]), &["learning rate"], true);
    }
    fails(on("train.txt", &["--min-lr", "0.5"]), &["0.5"], true);
    fails(on("train.txt", &["--beta2", "1"]), &["beta2 is 1"], true);
    fails(on("train.txt", &["--clip", "-1"]), &["clip"], true);
    fails(on("train.txt", &["--weight-decay", "nan"]), &["weight decay"], true);
    // More than this machine holds, whether it is a batch, a sequence or the model.
    let memory = ["needs", "of memory", "are available"];
    for size in [
        ["--batch", "1M", "--context", "64k"],
        ["--batch", "1024", "--context", "2147483648"],
        ["--accumulate", "1000M", "--context", "64k"],
    ] {
        fails(run.with(&[&["--config", "config.json", "--task", "copy"], &size[..]].concat()), &memory, true);
    }
    let mut large = config(1 << 20);
    (large["hidden_size"], large["num_attention_heads"], large["num_hidden_layers"]) =
        (16_384.into(), 256.into(), 240.into());
    at("large.json", large.to_string().as_bytes());
    fails(run.with(&["--config", "large.json", "--data", "train.txt"]), &memory, true);
    fails(on("train.txt", &["--context", "2147483649"]), &["train.txt", "2147483649"], true);
    assert!(!run.out.exists());
    // Places.
    at("file", b"");
    fails(Run::new(dir.path(), "file").start(&[]), &["file", "must be a folder"], true);
    fails(Run::new(dir.path(), "file/below").start(&["--steps", "1"]), &["file/below"], false);
    for name in ["model.safetensors", "config.json"] {
        fs::create_dir_all(dir.path().join("model")).unwrap();
        fs::copy(repository("tests/golden/default").join(name), dir.path().join("model").join(name)).unwrap();
    }
    fails(Run::new(dir.path(), "model").start(&[]), &["holds a model already"], true);
    run.ok(run.start(&["--steps", "1"]));
    fails(run.start(&["--steps", "1"]), &["training run already", "step-000001"], true);
    // Usage.
    for wrong in [
        &["--data", "train.txt"][..],
        &["--config", "config.json"],
        &["--config", "a", "--resume"],
        &["--resume", "--task", "sort"],
    ] {
        assert_eq!(run.with(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_run_that_diverges_names_its_last_checkpoint() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    // Weight decay this strong turns every weight's sign and makes it larger, step by step.
    let output = run.start(&[
        "--steps",
        "200",
        "--lr",
        "10",
        "--min-lr",
        "10",
        "--warmup",
        "0",
        "--weight-decay",
        "10",
        "--save-every",
        "1",
        "--eval-every",
        "0",
        "--quiet",
    ]);
    fails(output, &["diverged at step", "the last good checkpoint is", "checkpoints/step-"], true);
    run.loads();
    assert!(run.out.join("loss.svg").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_earlier_checkpoints() {
    let (dir, disk) = (workplace(), folder());
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2M", "tmpfs", arg(disk.path())]).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user cannot mount a small disk");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let run = Run { dir: dir.path(), out: disk.path().join("out") };
        let output = run.start(&[
            "--steps",
            "100",
            "--save-every",
            "1",
            "--keep",
            "100",
            "--eval-every",
            "0",
            "--quiet",
        ]);
        fails(output, &["checkpoints", "free"], true);
        assert!(!run.out.exists(), "told before the first step");
        // Others fill the disk while it runs.
        let mut child = long_run(&run);
        let mut filler = fs::File::create(disk.path().join("filler")).unwrap();
        while child.try_wait().unwrap().is_none() {
            if std::io::Write::write_all(&mut filler, &[0; 4096]).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1), "{output:?}");
        for words in ["error: ", "No space", "the last good checkpoint is", "help: free some space"] {
            assert!(stderr.contains(words), "{words}: {stderr}");
        }
        drop(filler);
        fs::remove_file(disk.path().join("filler")).unwrap();
        assert!(fs::read_to_string(run.out.join("train.jsonl")).unwrap().ends_with("}\n"));
        assert!(
            !run.checkpoints().is_empty() && run.checkpoints().iter().all(|name| name.starts_with("step-"))
        );
        run.loads();
        let last: u64 = run.checkpoints().last().unwrap()[5..].parse().unwrap();
        run.ok(run.with(&["--resume", "--steps", &(last + 2).to_string()]));
        assert!(names(&run.out).iter().all(|name| !name.starts_with('.')), "{:?}", names(&run.out));
    });
    Command::new("umount").arg(disk.path()).status().unwrap();
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}

#[test]
fn gradients_are_the_golden_ones() {
    let dir = folder();
    let out = dir.path().join("o");
    for name in ["default-gated", "release-softmax", "random-sketch-local-gated"] {
        let model = repository("tests/golden").join(name);
        let golden = model.join("golden.safetensors");
        let report = json(&[
            "grad",
            "--backend",
            "cpu",
            "--model",
            arg(&model),
            "--tokens",
            arg(&golden),
            "--out",
            arg(&out),
        ]);
        let (got, want) = (read_tensors(&out).unwrap(), read_tensors(&golden).unwrap());
        let loss = want.f64("loss").unwrap()[0];
        assert!(
            (f64::from(got.f32("loss").unwrap()[0]) - loss).abs() < 1e-5 * loss
                && got.shape("loss") == Some(&[1][..]),
            "{name}: {report}"
        );
        let wanted: Vec<String> = want.names().into_iter().filter(|name| name.starts_with("grad.")).collect();
        assert_eq!(got.names(), [wanted.clone(), vec!["loss".into()]].concat());
        for tensor in wanted {
            assert_eq!(got.shape(&tensor), want.shape(&tensor));
            let (got, want) = (got.f64(&tensor).unwrap(), want.f64(&tensor).unwrap());
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
            let error =
                norm(&mut got.iter().zip(&want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied());
            assert!(error <= 5e-4, "{name} {tensor}: {error:e}");
        }
    }
    write_tokens(&dir.path().join("t"), &[3, 1], &[1, 2, 3]);
    let model = repository("tests/golden/default");
    let grad = |tokens: &Path| {
        run(&[
            "grad",
            "--backend",
            "cpu",
            "--model",
            arg(&model),
            "--tokens",
            arg(tokens),
            "--out",
            arg(&out),
        ])
    };
    fails(grad(&dir.path().join("t")), &["[3, 1]"], true);
    write_tokens(&dir.path().join("t"), &[1, 3], &[1, 2, 61]);
    fails(grad(&dir.path().join("t")), &["id 61", "vocabulary has 61"], true);
}
