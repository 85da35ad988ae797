//! Conversations: turns, states, commands, and every way to end an answer or all of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::run::*;

/// A tiny model of random weights with a tokenizer and a chat template; greedy on the CPU.
fn words<'a>(more: &[&'a str]) -> Vec<&'a str> {
    static MODEL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let model = MODEL.get_or_init(|| arg(&repository("tests/public/llama-hf")).to_string());
    let mut words = vec!["chat", "--backend", "cpu", "--model", model];
    for usual in [["--temperature", "0"], ["-n", "6"]] {
        if !more.contains(&usual[0]) {
            words.extend(usual);
        }
    }
    words.extend(more);
    words
}

fn talk(more: &[&str], lines: &str) -> Value {
    let arguments = words(&[more, &["--json"]].concat());
    let text = succeeded(&arguments, run_with(&arguments, lines.as_bytes()));
    serde_json::from_str(&text).unwrap()
}

fn said(talk: &Value) -> Vec<(&str, &str)> {
    let list = talk["messages"].as_array().unwrap();
    list.iter().map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap())).collect()
}

#[test]
fn only_new_tokens_are_read() {
    let talk = talk(&["--system", "Be\\nkind."], "one two\n\n//three\n");
    let said = said(&talk);
    let roles: Vec<_> = said.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    assert_eq!((said[0].1, said[1].1, said[3].1), ("Be\nkind.", "one two", "/three"));
    let read = |i: usize| talk["answers"][i]["prompt_tokens"].as_u64().unwrap();
    let written = |i: usize| talk["answers"][i]["ids"].as_array().unwrap().len() as u64;
    assert!(read(1) < read(0) + written(0), "{talk}");
    assert_eq!(read(0) + written(0) + read(1) + written(1), talk["position"].as_u64().unwrap());
}

#[test]
fn a_conversation_that_was_saved_goes_on() {
    let dir = folder();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let whole = talk(&[], "one\ntwo\nthree\n");
    talk(&["--state-out", arg(&first)], "one\n");
    let part = talk(&["--state-in", arg(&first)], &format!("two\n/save {}\nnever\n", second.display()));
    assert_eq!(said(&part)[..4], said(&whole)[..4]);
    // What was said after it was saved is not in it.
    let rest = talk(&[], &format!("something else\n/load {}\nthree\n", second.display()));
    assert_eq!(said(&rest), said(&whole));
    assert_eq!(rest["position"], whole["position"]);
    let anew = talk(&["--state-in", arg(&first)], "/reset\none\n");
    assert_eq!(said(&anew), said(&whole)[..2]);
    // What the model was told before is told again.
    talk(&["--system", "Be kind.", "--state-out", arg(&first)], "one\n");
    let anew = talk(&["--state-in", arg(&first)], "/reset\ntwo\n");
    assert_eq!(said(&anew)[..2], [("system", "Be kind."), ("user", "two")]);
}

#[test]
fn answers_are_lines_and_nothing_else_on_stdout() {
    let arguments = words(&["--quiet"]);
    let output = run_with(&arguments, b"one\ntwo");
    assert!(output.stderr.is_empty());
    let talk = talk(&[], "one\ntwo");
    let want: String = said(&talk)
        .iter()
        .filter(|(who, _)| *who == "assistant")
        .map(|(_, text)| format!("{text}\n"))
        .collect();
    assert_eq!(succeeded(&arguments, output), want);
}

#[test]
fn what_cannot_be_is_told_in_a_line() {
    let dir = folder();
    let fails_with = |more: &[&str], lines: &str, what: &[&str]| {
        fails(run_with(&words(&[&["--quiet"], more].concat()), lines.as_bytes()), what, true);
    };
    fails_with(&[], "/save\n", &["/save", "name of a file"]);
    fails_with(&[], "/tmp is what?\n", &["no command /tmp"]);
    fails_with(&[], "/load nope\n", &["nope"]);
    fails_with(&["--temperature", "-1"], "", &["temperature"]);
    fails_with(&["--state-out", "-"], "", &["--state-out"]);
    fails_with(&["--state-out", arg(&dir.path().join("no/folder"))], "", &["no"]);
    let template = dir.path().join("template");
    fs::write(&template, "a\n{% if %}").unwrap();
    fails_with(&["--chat-template", arg(&template)], "", &["template", "line 2"]);
    let state = dir.path().join("state");
    fs::write(&state, "no state").unwrap();
    fails_with(&["--state-in", arg(&state)], "", &["state"]);
    // A text is no conversation.
    let model = repository("tests/public/llama-hf");
    stdout(&[
        "generate",
        "--backend",
        "cpu",
        "--model",
        arg(&model),
        "-p",
        "one",
        "-n",
        "2",
        "--state-out",
        arg(&state),
        "-q",
    ]);
    fails_with(&["--state-in", arg(&state)], "", &["not a conversation"]);
    let continues = ["chat", "--backend", "cpu"];
    fails(run_with(&continues, b"one\n"), &["no chat template"], true);
    let mut bytes = b"one\n".to_vec();
    bytes.push(0xff);
    fails(run_with(&words(&["--quiet"]), &bytes), &["stdin: line 2", "UTF-8"], true);
}

#[test]
fn a_question_that_cannot_be_answered_is_an_error() {
    let dir = folder();
    let state = dir.path().join("state");
    let long = "word ".repeat(200);
    let arguments = words(&["--max-context", "100", "--state-out", arg(&state), "--json", "--quiet"]);
    let output = run_with(&arguments, format!("one\n{long}\ntwo\n").as_bytes());
    // What was said before is told and saved.
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said(&told).len(), 2);
    fails(output, &["fit the key-value cache of 100"], true);
    assert_eq!(said(&talk(&["--state-in", arg(&state)], "")), said(&told));
    let template = dir.path().join("template");
    fs::write(&template, "{% if messages[-1].content != 'one' %}{{ messages[-1].content }}{% endif %}")
        .unwrap();
    let arguments = words(&["--chat-template", arg(&template), "--quiet"]);
    fails(run_with(&arguments, b"one\ntwo\n"), &["writes nothing"], true);
    let arguments = words(&["--chat-template", "-"]);
    fails(run_with(&arguments, b"one\n"), &["--chat-template"], true);
    // An answer ends where the cache does.
    let short = talk(&["--max-context", "60", "-n", "1000"], "one\n");
    assert_eq!(
        (short["position"].as_u64(), &short["answers"][0]["stop_reason"]),
        (Some(60), &"max-tokens".into())
    );
}

#[test]
fn learned_positions_end_a_conversation() {
    let (dir, model) = (folder(), repository("tests/public/gguf/gpt2-F16.gguf"));
    let template = dir.path().join("template");
    fs::write(&template, "{% for m in messages %}{{ m.content }} {% endfor %}").unwrap();
    let more = ["--chat-template", arg(&template), "--temperature", "0"];
    let arguments = [&["chat", "--backend", "cpu", "--model", arg(&model)][..], &more].concat();
    let output = run_with(&arguments, b"hi\nagain\n");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("learned 64 positions"), "{stderr}");
    assert_eq!(stderr.matches("/reset begins").count(), 2, "{stderr}");
    assert!(!stderr.contains("--max-context"), "{stderr}");
}

#[test]
fn the_seed_that_is_told_gives_the_answers_again() {
    let talk = |more: &[&str]| talk(&[&["--temperature", "1"], more].concat(), "one\ntwo\n");
    let first = talk(&[]);
    let second = talk(&["--seed", &first["seed"].to_string()]);
    assert_eq!((&second["seed"], said(&second)), (&first["seed"], said(&first)));
}

#[test]
fn lines_typed_ahead_are_said() {
    let line = words(&[]).iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let line = format!("'{}' {line}", env!("CARGO_BIN_EXE_polysketch"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = script.env("TERM", "xterm").env("POLYSKETCH_CACHE_DIR", "off").spawn() else {
        return println!("skipped: no script of util-linux");
    };
    // The pipe stays open until all of it is read.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\ntwo\nthree\n/quit\n").unwrap();
    let mut shown = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(shown.matches("wrote").count(), 3, "{shown}");
    assert!(child.wait().unwrap().success());
}

/// A conversation that waits for more.
fn open(more: &[&str]) -> Child {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,HUP,TERM", env!("CARGO_BIN_EXE_polysketch")]).args(words(more));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn an_interrupt_ends_the_answer_and_no_more() {
    let mut child = open(&["-n", "100k", "--max-context", "128k"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    input.write_all(b"one\n").unwrap();
    // It has begun.
    output.read_exact(&mut [0]).unwrap();
    send(&child, "-INT");
    let mut line = String::new();
    while !line.contains("interrupted") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended");
    }
    // It goes on, with what was said so far.
    let dir = folder();
    let state = dir.path().join("state");
    input.write_all(format!("/save {}\n", state.display()).as_bytes()).unwrap();
    drop(input);
    // What is left of the answers must go somewhere.
    let rest = std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
    assert!(child.wait().unwrap().success());
    rest.join().unwrap().unwrap();
    let talk = talk(&["--state-in", arg(&state)], "");
    assert!(said(&talk)[0] == ("user", "one") && said(&talk)[1].0 == "assistant");
}

#[test]
fn a_conversation_that_is_stopped_is_saved() {
    let dir = folder();
    for signal in ["-TERM", "-HUP"] {
        let state = dir.path().join(signal.trim_start_matches('-'));
        let mut child = open(&["--state-out", arg(&state)]);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"one\n").unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("so far") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "it ended");
        }
        // It waits for a line that never comes.
        send(&child, signal);
        assert!(child.wait().unwrap().success());
        drop(input);
        assert_eq!(said(&talk(&["--state-in", arg(&state)], ""))[0], ("user", "one"));
    }
}
