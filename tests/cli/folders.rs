//! What commands do with files and folders that are there: whose they are, what they are called, what room they
//! leave.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::*;
use crate::training::{Run, workplace};

#[test]
fn files_that_no_run_wrote_are_not_replaced() {
    let dir = workplace();
    let here = Run { dir: dir.path(), out: ".".into() };
    fs::write(dir.path().join("train.jsonl"), "{\"mine\":1}\n").unwrap();
    let config = fs::read(dir.path().join("config.json")).unwrap();
    let before = names(dir.path());
    fails(here.start(&["--steps", "1"]), &["config.json", "is there already"], true);
    assert_eq!(fs::read(dir.path().join("config.json")).unwrap(), config);
    assert_eq!(names(dir.path()), before);

    // What a run wrote, and that it can go on from, goes on; what the user made of it is not lost.
    let run = Run::new(dir.path(), "out");
    run.ok(run.start(&["--steps", "2", "--save-every", "1"]));
    fails(run.start(&["--steps", "2"]), &["out", "holds a training run already"], true);
    let own = run.out.join("config.json");
    let written = fs::read(&own).unwrap();
    fs::write(&own, "{}").unwrap();
    fails(run.with(&["--resume", "--steps", "3"]), &["config.json", "not what the run wrote"], true);
    assert_eq!(fs::read(&own).unwrap(), b"{}");
    fs::write(&own, written).unwrap();
    run.ok(run.with(&["--resume", "--steps", "3"]));

    // The log of a run that was killed before its first checkpoint.
    let early = Run::new(dir.path(), "early");
    fs::create_dir_all(early.out.join("checkpoints")).unwrap();
    fs::write(early.out.join(".polysketch.lock"), "1\n").unwrap();
    fs::write(early.out.join("train.jsonl"), "{\"step\":1,\"loss\":5.0}\n").unwrap();
    fails(early.start(&["--steps", "1"]), &["train.jsonl", "is there already"], true);
    fails(early.with(&["--resume"]), &["no checkpoint"], true);
    assert_eq!(fs::read_to_string(early.out.join("train.jsonl")).unwrap(), "{\"step\":1,\"loss\":5.0}\n");
}

#[test]
fn commands_with_a_wildcard_work_twice() {
    let dir = folder();
    let books = dir.path().join("books");
    fs::create_dir(&books).unwrap();
    for name in ["1.txt", "2.txt"] {
        fs::copy(repository("tests/data/openings.txt"), books.join(name)).unwrap();
    }
    let texts =
        || -> Vec<String> { names(&books).iter().map(|name| arg(&books.join(name)).to_string()).collect() };
    let config = workplace();
    let cache = dir.path().join("cache");
    for out in ["g1", "g2"] {
        let run = Run::new(config.path(), out);
        let mut command = run.command(&["--config", "config.json", "--steps", "1", "--context", "16"]);
        command.arg("--data").args(texts()).env("POLYSKETCH_CACHE_DIR", &cache);
        run.ok(command.output().unwrap());
    }
    assert_eq!(names(&cache.join("tokens")).len(), 2, "{:?}", names(&cache));
    let out = dir.path().join("tokenizer.json");
    let mut command = command(&["tokenizer", "train", "--vocab-size", "300", "--out", arg(&out), "--data"]);
    succeeded(&["tokenizer"], command.args(texts()).output().unwrap());
    assert_eq!(names(&books), ["1.txt", "2.txt"]);

    // What earlier versions left there is told by name.
    let kept = fs::read_dir(cache.join("tokens")).unwrap().next().unwrap().unwrap().path();
    fs::copy(kept, books.join("1.txt.38d394c2.tokens")).unwrap();
    let run = Run::new(config.path(), "g3");
    let mut command = run.command(&["--config", "config.json", "--steps", "1", "--context", "16"]);
    command.arg("--data").args(texts()).env("POLYSKETCH_CACHE_DIR", "off");
    fails(command.output().unwrap(), &["1.txt.38d394c2.tokens", "earlier version"], true);
    assert!(!run.out.exists());
}

#[cfg(unix)]
#[test]
fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = workplace();
    let odd = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
    let (text, out, tokenizer) = (odd(b"t\xffxt"), odd(b"\xfe out"), odd(b"tok\xff.json"));
    fs::copy(dir.path().join("train.txt"), &text).unwrap();
    let json = |command: &mut std::process::Command| -> Value {
        serde_json::from_str(&succeeded(&["odd names"], command.output().unwrap())).unwrap()
    };
    let train = |more: &[&str]| {
        let mut command = command(&["train", "--backend", "cpu", "--json", "--out"]);
        command.arg(&out).args(more).current_dir(dir.path()).env("POLYSKETCH_CACHE_DIR", "off");
        command
    };
    let new = ["--config", "config.json", "--steps", "2", "--context", "16", "--batch", "1", "--data"];
    let report = json(train(&new).arg(&text).arg("--eval-data").arg(&text));
    assert!(report["out"].as_str().is_some_and(|out| out.ends_with(" out")), "{report}");
    // The texts are found again.
    assert_eq!(json(&mut train(&["--resume", "--steps", "3"]))["step"], 3);
    let mut train = command(&["tokenizer", "train", "--vocab-size", "300", "--json", "--data"]);
    json(train.arg(&text).arg("--out").arg(&tokenizer));
    assert!(tokenizer.exists());
    let mut generate = command(&["generate", "--backend", "cpu", "--prompt", "It", "-n", "2", "--json"]);
    json(generate.arg("--model").arg(&out).arg("--state-out").arg(odd(b"s\xfftate")));
    let mut go_on = command(&["generate", "--backend", "cpu", "-n", "2", "--json", "--prompt", "a"]);
    json(go_on.arg("--model").arg(&out).arg("--state-in").arg(odd(b"s\xfftate")));
    let mut eval = command(&["eval", "--backend", "cpu", "--json"]);
    json(eval.arg("--model").arg(&out).arg("--data").arg(&text));
    let tokens = odd(b"ids\xff");
    write_tokens(&tokens, &[1, 4], &[1; 4]);
    for name in ["logits", "grad"] {
        let mut command = command(&[name, "--backend", "cpu", "--json"]);
        command.arg("--model").arg(&out).arg("--tokens").arg(&tokens).arg("--out").arg(odd(b"o\xff"));
        json(&mut command);
    }
}

#[test]
fn a_text_that_cannot_be_read_again_is_asked_for() {
    let dir = workplace();
    for (option, other) in [("--data", "--eval-data"), ("--eval-data", "--data")] {
        let run = Run::new(dir.path(), option.trim_start_matches('-'));
        fs::copy(dir.path().join("train.txt"), dir.path().join("gone.txt")).unwrap();
        let texts = [option, "gone.txt", other, "train.txt"];
        let how = ["--config", "config.json", "--batch", "1", "--context", "16", "--steps", "1"];
        run.ok(run.with(&[&how[..], &texts].concat()));
        fs::remove_file(dir.path().join("gone.txt")).unwrap();
        let output = run.with(&["--resume", "--steps", "2"]);
        let help = format!("help: give it with {option}\n");
        assert!(String::from_utf8_lossy(&output.stderr).ends_with(&help), "{output:?}");
        fails(output, &["gone.txt", "started with this text"], true);
        run.ok(run.with(&["--resume", "--steps", "2", option, "train.txt"]));
    }
}

/// Runs a command that may write files of so many blocks at most.
#[cfg(target_os = "linux")]
fn limited(blocks: u32, dir: &Path, arguments: &[&str]) -> std::process::Output {
    let script = format!("ulimit -f {blocks}; exec \"$@\"");
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_polysketch")]).args(arguments);
    let command = command.current_dir(dir).env("POLYSKETCH_CACHE_DIR", "off");
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_a_full_disk() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let train = |steps: &'static str| {
        let mut arguments = vec!["train", "--backend", "cpu", "--out", "out", "--quiet", "--steps", steps];
        arguments.extend(crate::training::NEW);
        arguments
    };
    // The first checkpoint would be too large: told before the first step.
    fails(limited(4, dir.path(), &train("4")), &["checkpoints", "limit"], true);
    assert!(!run.out.exists());
    // The log grows beyond the limit: what was learned until then is saved.
    let output = limited(128, dir.path(), &train("4000"));
    fails(output, &["train.jsonl", "too large", "last good checkpoint"], true);
    let log = fs::read_to_string(run.out.join("train.jsonl")).unwrap();
    assert!(log.ends_with("}\n"));
    let lines = log.lines().filter(|line| line.contains("\"loss\"")).count();
    assert_eq!(run.checkpoints().last().unwrap(), &format!("step-{:06}", lines + 1));
    run.loads();
    assert!(names(&run.out).iter().all(|name| !name.starts_with('.')), "{:?}", names(&run.out));

    for arguments in [
        vec!["generate", "--prompt", "It", "-n", "2", "--backend", "cpu", "--state-out", "o", "--quiet"],
        vec!["tokenizer", "train", "--data", "train.txt", "--vocab-size", "300", "--out", "o"],
    ] {
        let output = limited(1, dir.path(), &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.starts_with("error: o: "), "{output:?}");
        assert!(!dir.path().join("o").exists());
    }
    assert!(names(dir.path()).iter().all(|name| !name.starts_with('.')), "{:?}", names(dir.path()));
}
