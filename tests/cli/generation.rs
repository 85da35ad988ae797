//! `generate`: the same text everywhere, seeds, states, interruption.

use std::io::Read as _;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::process::Stdio;

use crate::run::*;

const PROMPT: &str = "She opened the letter, and as she read it her face grew pale; for it said that";
/// By the model family's dense reference in PyTorch, in f64.
const GREEDY: &str = " she was not in the least a man who had been so much more than ever.\n\n\"I am sure I am not going to see you,\" she said, \"I have been thinking of you, and I have been thinking of";
const CPU: [&str; 2] = ["--backend", "cpu"];

fn generate(more: &[&str]) -> Vec<String> {
    ["generate", "--prompt", PROMPT].iter().chain(&CPU).chain(more).map(|s| s.to_string()).collect()
}

fn text(more: &[&str]) -> String {
    stdout(&generate(more).iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn greedy_text_is_the_reference_on_every_device() {
    for device in devices() {
        let device: Vec<&str> = device.iter().map(String::as_str).collect();
        let got = stdout(
            &[&["generate", "--prompt", PROMPT, "--temperature", "0", "-n", "48"], &device[..]].concat(),
        );
        assert_eq!(got, GREEDY, "{device:?}");
    }
}

#[test]
fn seeds() {
    let sample = |seed: &str| text(&["--seed", seed, "-n", "40"]);
    let first = sample("7");
    assert_eq!(first, sample("7"));
    assert_ne!(first, sample("8"));
    assert!(!first.is_empty());
    // Without a seed it draws one and says which.
    let arguments = generate(&["-n", "12"]);
    let drawn = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(text(&["-n", "12", "--seed", &drawn["seed"].to_string()]), drawn["text"].as_str().unwrap());
}

#[test]
fn a_saved_state_continues_as_if_nothing_had_happened() {
    let dir = folder();
    let state = dir.path().join("state");
    for options in [&["--temperature", "0"][..], &["--seed", "3"]] {
        let whole = text(&[options, &["-n", "150"]].concat());
        let first = text(&[options, &["-n", "63", "--state-out", arg(&state)]].concat());
        let rest =
            stdout(&[&["generate", "--state-in", arg(&state), "-n", "87"][..], &CPU, options].concat());
        assert_eq!(first + &rest, whole, "{options:?}");
        assert_eq!(names(dir.path()), ["state"]);
    }
}

#[test]
fn a_state_goes_from_device_to_device() {
    let dir = folder();
    let state = dir.path().join("state");
    let devices = devices();
    for (from, to) in devices.iter().zip(devices.iter().cycle().skip(1)) {
        let run = |more: &[&str], device: &[String]| {
            let device: Vec<&str> = device.iter().map(String::as_str).collect();
            stdout(&[&["generate", "--temperature", "0"], more, &device[..]].concat())
        };
        let first = run(&["--prompt", PROMPT, "-n", "20", "--state-out", arg(&state)], from);
        let rest = run(&["--state-in", arg(&state), "-n", "28"], to);
        assert_eq!(first + &rest, GREEDY, "{from:?} to {to:?}");
    }
}

#[test]
fn prompts_come_from_everywhere() {
    let dir = folder();
    let file = dir.path().join("prompt.txt");
    std::fs::write(&file, PROMPT).unwrap();
    let options = ["--temperature", "0", "-n", "48", "--backend", "cpu"];
    assert_eq!(stdout(&[&["generate", "--prompt-file", arg(&file)][..], &options].concat()), GREEDY);
    let arguments = [&["generate"][..], &options].concat();
    assert_eq!(succeeded(&arguments, run_with(&arguments, PROMPT.as_bytes())), GREEDY);
    // None at all: an opening, which is part of the text.
    let opening = stdout(&arguments);
    assert!(opening.starts_with("CHAPTER I.") && opening.len() > 150, "{opening}");
    // A state without a prompt is continued; with one, the prompt comes first.
    let state = dir.path().join("state");
    let (head, tail) = PROMPT.split_at(PROMPT.find(" it her face").unwrap());
    let first =
        stdout(&["generate", "--prompt", head, "-n", "0", "--backend", "cpu", "--state-out", arg(&state)]);
    assert_eq!(first, "");
    assert_eq!(
        stdout(&[&["generate", "--state-in", arg(&state), "--prompt", tail][..], &options].concat()),
        GREEDY
    );
}

#[test]
fn stop_strings_and_limits() {
    // Some words of it, across tokens.
    let stop = GREEDY.split(' ').skip(9).take(3).collect::<Vec<_>>().join(" ");
    let (before, _) = GREEDY.split_once(&stop).unwrap();
    assert_eq!(text(&["--temperature", "0", "-n", "48", "--stop", &stop, "--stop", "xyz"]), before);
    let arguments = generate(&["--temperature", "0", "-n", "48", "--stop", "\n\n"]);
    let report = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(report["stop_reason"], "stop-string");
    assert_eq!(report["text"], GREEDY.split("\n\n").next().unwrap());
    assert_eq!(report["statistics"]["prompt_tokens"], 21);
    assert_eq!(
        report["statistics"]["generated_tokens"].as_u64().unwrap() as usize,
        report["ids"].as_array().unwrap().len()
    );
}

#[test]
fn quiet_is_quiet_and_statistics_go_to_stderr() {
    let arguments = generate(&["-n", "3"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let stderr = String::from_utf8(run(&arguments).stderr).unwrap();
    assert!(
        stderr.contains("21 tokens") && stderr.contains("tokens/s") && stderr.contains("state"),
        "{stderr}"
    );
    assert!(!stderr.contains('\x1b') && !stderr.contains('\r'), "{stderr:?}");
    assert_eq!(run(&[&arguments[..], &["--quiet"]].concat()).stderr, b"");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = folder();
    let state = dir.path().join("state");
    let arguments = generate(&["-n", "100000", "--seed", "1", "--state-out", arg(&state)]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 40];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    succeeded(&arguments, child.wait_with_output().unwrap());
    // What it had written by then can be continued.
    stdout(&["generate", "--state-in", arg(&state), "-n", "5", "--backend", "cpu"]);
    // A listing too.
    let mut child = command(&["devices"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    succeeded(&["devices"], child.wait_with_output().unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_cleanly_and_saves_the_state() {
    let dir = folder();
    let state = dir.path().join("state");
    let arguments = generate(&["-n", "100000", "--seed", "1", "--state-out", arg(&state)]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // A shell that runs the tests in the background hands down an ignored SIGINT, and a program respects
    // that.
    let mut child = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_polysketch")])
        .args(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0; 40];
    out.read_exact(&mut text).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    out.read_to_end(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    succeeded(&arguments, output);
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert_eq!(names(dir.path()), ["state"]);
    // Together with what follows it is the text that was never interrupted.
    let first = String::from_utf8(text).unwrap();
    let rest =
        stdout(&["generate", "--state-in", arg(&state), "-n", "30", "--seed", "1", "--backend", "cpu"]);
    let both = first + &rest;
    let written = json(&["generate", "--prompt", PROMPT, "-n", "1000", "--seed", "1", "--backend", "cpu"]);
    let whole = written["text"].as_str().unwrap();
    let same = both.len().min(whole.len());
    assert!(same > 40 && both.as_bytes()[..same] == whole.as_bytes()[..same], "{both}");
}
