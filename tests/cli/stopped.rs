//! Every way to be stopped: what was computed is saved where it can be, and no file is ever half written.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::*;
use crate::training::{NEW, Run, long_run, workplace};

fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !there() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shell that runs the tests in the background hands down ignored signals.
fn fresh(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,HUP,TERM", env!("CARGO_BIN_EXE_polysketch")]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("POLYSKETCH_CACHE_DIR", "off");
    command
}

#[test]
fn a_signal_finishes_the_step_and_saves() {
    let dir = workplace();
    for signal in ["-INT", "-TERM", "-HUP"] {
        let run = Run::new(dir.path(), signal.trim_start_matches('-'));
        let child = long_run(&run);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        run.ok(output);
        assert!(stderr.contains("interrupted") && stderr.contains("--resume"), "{signal}: {stderr}");
        let last = run.log().last().unwrap()["step"].as_u64().unwrap();
        assert_eq!(run.checkpoints().last().unwrap(), &format!("step-{last:06}"));
        assert!(run.out.join("loss.svg").exists());
        run.loads();
    }
}

#[test]
fn what_is_to_be_ignored_is() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let mut command = Command::new("env");
    command.args(["--ignore-signal=HUP", "--default-signal=TERM", env!("CARGO_BIN_EXE_polysketch")]);
    command.args(["train", "--backend", "cpu", "--out", arg(&run.out)]).args(NEW);
    command.args(["--steps", "1000000", "--save-every", "0", "--eval-every", "0"]);
    command.env("POLYSKETCH_CACHE_DIR", "off").current_dir(dir.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let steps = || fs::read_to_string(run.out.join("train.jsonl")).unwrap_or_default().lines().count();
    wait_for("a step", || steps() > 2);
    send(&child, "-HUP");
    let before = steps();
    wait_for("more steps", || steps() > before + 50);
    send(&child, "-TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(run.checkpoints().len(), 1);
}

#[test]
fn two_runs_never_write_one_folder() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let mut child = long_run(&run);
    let process = child.id().to_string();
    fails(run.start(&["--steps", "2"]), &["out", "another run writes here", &process], true);
    fails(run.with(&["--resume"]), &["out", "another run writes here"], true);
    child.kill().unwrap();
    child.wait().unwrap();
    // The lock of a process that is gone is no obstacle.
    assert!(run.out.join(".polysketch.lock").exists());
    let newest = run.checkpoints().iter().filter_map(|n| n.strip_prefix("step-")?.parse().ok()).max();
    let steps: u64 = newest.unwrap();
    run.ok(run.with(&["--resume", "--steps", &(steps + 1).to_string()]));
    assert!(!run.out.join(".polysketch.lock").exists());

    // Started at the same moment: one of them has the folder, and all in it is of that one.
    for round in 0..3 {
        let twice = Run::new(dir.path(), &format!("twice{round}"));
        let start = |seed: &str| {
            let more = [&NEW[..], &["--steps", "60", "--save-every", "20", "--seed", seed]].concat();
            let mut command = twice.command(&more);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let outputs = [start("1"), start("2")].map(|child| child.wait_with_output().unwrap());
        let [first, second] = &outputs;
        let won = usize::from(!first.status.success());
        if first.status.success() && second.status.success() {
            // One after the other would be refused, too.
            panic!("both wrote {outputs:?}");
        }
        let text = fs::read_to_string(twice.out.join("checkpoints/step-000060/training.json")).unwrap();
        let training: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(training["settings"]["seed"], won as u64 + 1);
        let alone = Run::new(dir.path(), &format!("alone{round}"));
        let seed = (won + 1).to_string();
        alone.ok(alone.start(&["--steps", "60", "--save-every", "20", "--seed", &seed]));
        let model = |run: &Run<'_>| fs::read(run.out.join("model.safetensors")).unwrap();
        assert!(model(&twice) == model(&alone));
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_can_be_continued() {
    let dir = workplace();
    let run = Run::new(dir.path(), "out");
    let newest = || {
        let names = fs::read_dir(run.out.join("checkpoints")).into_iter().flatten().flatten();
        let steps = names.filter_map(|e| e.file_name().to_str()?.strip_prefix("step-")?.parse::<u64>().ok());
        steps.max()
    };
    let mut resumed = 0;
    for round in 0..24u64 {
        let more: &[&str] = if newest().is_some() {
            resumed += 1;
            &["--resume"]
        } else {
            // A run without a checkpoint leaves nothing that could go on.
            let _ = fs::remove_dir_all(&run.out);
            &[&NEW[..], &["--steps", "1000000", "--save-every", "1", "--eval-every", "0"]].concat()
        };
        let mut command = run.command(more);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + round * 37 % 200));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{output:?}");
        if newest().is_some() && run.out.join("model.safetensors").exists() {
            run.loads();
        }
    }
    assert!(resumed > 3, "the machine is too slow for this test: {resumed}");
    let steps = (newest().unwrap() + 2).to_string();
    run.ok(run.with(&["--resume", "--steps", &steps]));
    assert!(names(&run.out).iter().all(|name| !name.starts_with('.')), "{:?}", names(&run.out));
    assert!(run.checkpoints().iter().all(|name| name.starts_with("step-")));
    let logged = run.log().iter().filter(|line| line["loss"].is_f64()).count();
    assert_eq!(logged.to_string(), steps, "each step once");
}

#[test]
fn a_state_is_saved_whatever_the_signal() {
    let dir = folder();
    let state = dir.path().join("state");
    for signal in ["-TERM", "-HUP"] {
        let mut command = fresh(&["generate", "--backend", "cpu", "--prompt", "It was", "-n", "1000000"]);
        let mut child = command.arg("--state-out").arg(&state).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut out, &mut [0; 8]).unwrap();
        let reader = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        reader.join().unwrap().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.contains("saved in"), "{signal}: {stderr}");
        stdout(&["generate", "--backend", "cpu", "--state-in", arg(&state), "-n", "1", "--prompt", "a"]);
        fs::remove_file(&state).unwrap();
    }
}

#[test]
fn what_was_measured_is_told() {
    let dir = folder();
    let text = dir.path().join("long.txt");
    let opening = fs::read_to_string(repository("tests/data/openings.txt")).unwrap();
    fs::write(&text, opening.repeat(200)).unwrap();
    let child = fresh(&["eval", "--backend", "cpu", "--json", "--data", arg(&text)]).spawn().unwrap();
    // Into the reading; before it the signal ends the program.
    std::thread::sleep(Duration::from_secs(8));
    send(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    if output.status.code().is_none() {
        println!("skipped: 8 seconds are not enough to load the model");
        return;
    }
    fails(output.clone(), &["interrupted after", "tokens"], false);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["tokens"].as_u64() > Some(0) && report["nll_per_token"].is_f64(), "{report}");
}

/// A signal before there is anything to keep ends the program, with a line.
#[test]
fn a_signal_with_nothing_to_keep_ends_the_program() {
    use std::os::unix::process::ExitStatusExt as _;
    let dir = folder();
    let out = dir.path().join("tokenizer.json");
    let text = dir.path().join("long.txt");
    let opening = fs::read_to_string(repository("tests/data/openings.txt")).unwrap();
    let varied: String =
        (0..400).map(|i| opening.replace('e', &format!("{i:x}")).replace('t', "te")).collect();
    fs::write(&text, varied).unwrap();
    let arguments = ["tokenizer", "train", "--data", arg(&text), "--vocab-size", "60000", "--out", arg(&out)];
    let child = fresh(&arguments).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    send(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal() == Some(15) && stderr.contains("stopped by SIGTERM"), "{output:?}");
    assert_eq!(names(dir.path()), ["long.txt"]);
}

/// What a killed writer leaves does not disturb another one.
#[test]
fn the_files_of_others_are_left_alone() {
    let dir = workplace();
    let half = dir.path().join("out/.polysketch-00000000-AbCdEf");
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::write(&half, "half").unwrap();
    let run = Run::new(Path::new(dir.path()), "out");
    run.ok(run.start(&["--steps", "1"]));
    assert_eq!(fs::read(half).unwrap(), b"half");
}
