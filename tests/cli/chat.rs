//! `chat`: turns on one state, files, commands, ends; on a model of bytes that a template is put on.

use std::fs;
use std::path::{Path, PathBuf};

use polysketch::model::Tokenizer;
use serde_json::{Value, json};

use crate::run::*;

const TEMPLATE: &str = "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";

/// The built-in model with a template beside it.
fn model(folder: &Path, template: &str, generation: &Value) -> String {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(repository("assets/novels-2m").join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    fs::write(folder.join("generation_config.json"), generation.to_string()).unwrap();
    folder.display().to_string()
}

fn chat(model: &str, more: &[&str], lines: &str) -> std::process::Output {
    let seed: &[&str] = if more.contains(&"--seed") { &[] } else { &["--seed", "1"] };
    let start = ["chat", "--backend", "cpu", "--model", model, "-n", "6"];
    let arguments = [&start[..], seed, more].concat();
    run_with(&arguments, lines.as_bytes())
}

fn as_json(model: &str, more: &[&str], lines: &str) -> Value {
    let output = chat(model, &[more, &["--json"]].concat(), lines);
    serde_json::from_str(&succeeded(more, output)).unwrap()
}

fn file(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    (path.clone(), path.display().to_string())
}

#[test]
fn turns_read_only_what_is_new_and_say_what_one_reading_says() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), TEMPLATE, &json!({}));
    let talk = as_json(&model, &["--system", "S"], "One\n\nTwo\r\n//three\n");
    let (messages, answers) = (talk["messages"].as_array().unwrap(), talk["answers"].as_array().unwrap());
    let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant", "user", "assistant"]);
    let said = |at: usize| messages[at]["content"].as_str().unwrap();
    assert_eq!((said(1), said(3), said(5)), ("One", "Two", "/three"));
    // Each answer is what the whole conversation so far gives when it is read at once.
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    let mut whole = "<system>S\n".to_string();
    let mut position = 0;
    for (at, answer) in answers.iter().enumerate() {
        whole += &format!("<user>{}\n<assistant>", said(2 * at + 1));
        let read = answer["prompt_tokens"].as_u64().unwrap();
        assert!(read < 30, "only what is new is read: {read}");
        position += read + answer["generated_tokens"].as_u64().unwrap();
        assert_eq!(answer["position"], position);
        let arguments = [
            "generate",
            "--backend",
            "cpu",
            "--model",
            &model,
            "--seed",
            "1",
            "-n",
            "6",
            "--repetition-penalty",
            "1",
            "--prompt",
            &whole,
        ];
        let once = json(&arguments);
        // The tokens that were read are those of the whole text wherever it is cut between words.
        if tokenizer.encode(&whole).unwrap().len() as u64
            == position - answer["generated_tokens"].as_u64().unwrap()
        {
            assert_eq!(once["text"], answer["text"], "answer {at}");
        }
        assert_eq!(answer["text"], messages[2 * at + 2]["content"]);
        whole += &format!("{}\n", answer["text"].as_str().unwrap());
    }
    let plain = succeeded(&[], chat(&model, &["--system", "S"], "One\nTwo\n"));
    assert_eq!(
        plain,
        format!("{}\n{}\n", answers[0]["text"].as_str().unwrap(), answers[1]["text"].as_str().unwrap())
    );
}

#[test]
fn a_conversation_is_saved_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), TEMPLATE, &json!({}));
    let (_, state) = file(dir.path(), "talk.state");
    let (_, other) = file(dir.path(), "other.state");
    let whole = as_json(&model, &[], "One\nTwo\nThree\n");
    as_json(&model, &["--state-out", &state], "One\nTwo\n");
    let rest = as_json(&model, &["--state-in", &state], "Three\n");
    assert_eq!(rest["messages"], whole["messages"]);
    assert_eq!(rest["answers"][0], without_times(&whole["answers"][2], &rest["answers"][0]));
    // The same by commands; another question in between is forgotten.
    let commands = format!("One\nTwo\n/save {other}\nElse\n/load {other}\nThree\n");
    assert_eq!(as_json(&model, &[], &commands)["messages"], whole["messages"]);
    // A reset begins anew.
    let anew = as_json(&model, &[], "Else\n/reset\nOne\n");
    assert_eq!(anew["messages"].as_array().unwrap()[..], whole["messages"].as_array().unwrap()[..2]);
    let told = as_json(&model, &[], "Else\n/system T\nOne\n/quit\nnever\n");
    assert_eq!(told["messages"], as_json(&model, &["--system", "T"], "One\n")["messages"]);
    // A text is no conversation.
    let (_, text) = file(dir.path(), "text.state");
    stdout(&[
        "generate",
        "--backend",
        "cpu",
        "--model",
        &model,
        "--prompt",
        "x",
        "-n",
        "1",
        "--state-out",
        &text,
    ]);
    fails(chat(&model, &["--state-in", &text], ""), &["not a conversation"], true);
}

fn without_times(of: &Value, times: &Value) -> Value {
    let mut of = of.clone();
    for name in ["prefill_seconds", "decode_seconds"] {
        of[name] = times[name].clone();
    }
    of
}

#[test]
fn what_a_template_writes_otherwise_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    // Only the last three messages are written.
    let forgetful = TEMPLATE.replace("in messages", "in messages[-3:]");
    let model = model(dir.path(), &forgetful, &json!({}));
    let output = chat(&model, &[], "One\nTwo\nThree\n");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(stderr.matches("read again").count(), 1, "{stderr}");
    let talk = as_json(&model, &[], "One\nTwo\nThree\n");
    assert_eq!(talk["answers"].as_array().unwrap().len(), 3);
}

#[test]
fn the_models_files_say_how_to_sample() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path(), TEMPLATE, &json!({ "do_sample": false }));
    let greedy = as_json(&model, &["--seed", "2"], "One\n");
    assert_eq!(greedy["answers"][0]["ids"], as_json(&model, &["--seed", "3"], "One\n")["answers"][0]["ids"]);
    let generate = |seed: &str, more: &[&str]| {
        let start =
            ["generate", "--backend", "cpu", "--model", &model, "--prompt", "It", "-n", "8", "--seed", seed];
        json(&[&start[..], more].concat())["ids"].clone()
    };
    assert_eq!(generate("2", &[]), generate("3", &[]));
    assert_ne!(
        generate("2", &["--temperature", "1.5", "--top-k", "0"]),
        generate("3", &["--temperature", "1.5", "--top-k", "0"])
    );
}

#[test]
fn failures_are_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model(dir.path(), "{{ raise_exception('nobody may speak') }}", &json!({}));
    fails(chat(&folder, &[], "One\n"), &["nobody may speak"], true);
    fails(chat(&folder, &[], "/fly\n"), &["/fly"], true);
    fails(run(&["chat", "--backend", "cpu"]), &["no chat template"], true);
    fails(chat(&folder, &["--template", "no/such/file"], ""), &["no/such/file"], true);
    let (path, bad) = file(dir.path(), "bad.jinja");
    fs::write(&path, "one\n{% for %}").unwrap();
    fails(chat(&folder, &["--template", &bad], ""), &["bad.jinja", "line 2"], true);
    fails(chat(&folder, &["--temperature", "-1"], ""), &["temperature"], true);
    let output = run_with(&["chat", "--backend", "cpu", "--model", &folder], b"\xff\xfe\n");
    fails(output, &["stdin, line 1", "UTF-8"], true);
    // Another template helps.
    let (path, good) = file(dir.path(), "good.jinja");
    fs::write(&path, TEMPLATE).unwrap();
    assert!(!succeeded(&[], chat(&folder, &["--template", &good], "One\n")).is_empty());
}
