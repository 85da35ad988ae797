//! Everything that can go wrong: exit code, one line of error, help, and nothing left half written.

use std::fs;
use std::path::Path;

use crate::run::*;

const CPU: [&str; 2] = ["--backend", "cpu"];

fn generate(more: &[&str]) -> Vec<String> {
    ["generate", "--prompt", "It was", "-n", "2"]
        .iter()
        .chain(&CPU)
        .chain(more)
        .map(|s| s.to_string())
        .collect()
}

fn generated(more: &[&str]) -> std::process::Output {
    run(&generate(more).iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn usage_errors() {
    let wrong: &[&[&str]] = &[
        &[],
        &["fly"],
        &["generate", "--no-such-option"],
        &["generate", "--backend", "tpu"],
        &["generate", "--max-tokens", "many"],
        &["generate", "--max-tokens", "-5"],
        &["generate", "--segment", "0"],
        &["generate", "--weights", "f64"],
        &["generate", "--temperature", "hot"],
        &["generate", "--seed", "-1"],
        &["generate", "--prompt", "a", "--prompt-file", "b"],
        &["eval"],
        &["eval", "--data", "x", "--context", "1"],
        &["logits", "--tokens", "x"],
        &["tokenizer"],
        &["tokenizer", "train", "--out", "x", "--vocab-size", "300"],
        &["inspect", "--dot", "everything"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("Usage:") || stderr.contains("--help"), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty() && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
    assert!(stdout(&["--help"]).contains("Usage:"));
    assert!(stdout(&["generate", "--help"]).contains("--temperature"));
    assert!(stdout(&["--version"]).starts_with("polysketch "));
}

#[test]
fn sampling_options_out_of_range() {
    let cases = [
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--top-p", "0"),
        ("--min-p", "1.5"),
        ("--repetition-penalty", "0"),
    ];
    for (option, value) in cases {
        fails(generated(&[option, value]), &[option.trim_start_matches('-')], true);
    }
    fails(generated(&["--stop", ""]), &["stop string"], false);
}

#[test]
fn adapters() {
    for command in [&["devices"][..], &["inspect"], &["generate", "--prompt", "x"]] {
        fails(
            run(&[command, &["--adapter", "no such thing"]].concat()),
            &["no adapter matches 'no such thing'"],
            true,
        );
        fails(run(&[command, &["--adapter", "99"]].concat()), &["'99'"], true);
        fails(run(&[command, &["--adapter", "0", "--backend", "cpu"]].concat()), &["CPU backend"], true);
    }
}

#[test]
fn models_that_are_not_there() {
    let dir = folder();
    let missing = dir.path().join("nothing");
    let tokens = dir.path().join("t.safetensors");
    write_tokens(&tokens, &[1, 1], &[1]);
    let out = dir.path().join("o");
    for arguments in [
        vec!["generate", "--prompt", "x"],
        vec!["inspect"],
        vec!["eval", "--data", arg(&repository("tests/data/openings.txt"))],
        vec!["logits", "--tokens", arg(&tokens), "--out", arg(&out)],
    ] {
        fails(run(&[&arguments[..], &["--model", arg(&missing)], &CPU].concat()), &["nothing: "], true);
    }
    // Quantised weights have no gradients.
    let file = repository("tests/public/gguf/llama-Q4_0.gguf");
    let text = repository("assets/passage.txt");
    let train = ["train", "--model", arg(&file), "--data", arg(&text), "--out", arg(&out)];
    for more in [&[][..], &["--tokenizer", arg(&repository("tests/public/llama-hf"))]] {
        fails(run(&[&train[..], more, &CPU].concat()), &["llama-Q4_0.gguf", "model folder"], true);
        assert!(!out.exists());
    }
    fs::create_dir(&missing).unwrap();
    fails(run(&["generate", "--prompt", "x", "--model", arg(&missing)]), &["config.json"], true);
    fs::copy(repository("assets/novels-2m/config.json"), missing.join("config.json")).unwrap();
    fails(run(&["generate", "--prompt", "x", "--model", arg(&missing)]), &["model.safetensors"], true);
    assert_eq!(names(dir.path()), ["nothing", "t.safetensors"]);
}

#[test]
fn prompts_that_cannot_be_used() {
    let dir = folder();
    let file = dir.path().join("prompt.txt");
    fs::write(&file, b"It was \xff\xfe").unwrap();
    fails(run(&["generate", "--prompt-file", arg(&file)]), &["prompt.txt", "byte 7"], true);
    fails(run_with(&["generate"], b"caf\xe9"), &["stdin", "byte 3"], true);
    fs::write(&file, b"").unwrap();
    fails(run(&["generate", "--prompt-file", arg(&file)]), &["empty"], true);
    fails(run(&["generate", "--prompt", ""]), &["empty"], true);
    fails(run(&["generate", "--prompt-file", arg(&dir.path().join("none"))]), &["none"], true);
    fails(run(&["generate", "--prompt-file", arg(dir.path())]), &[arg(dir.path())], false);
}

#[test]
fn texts_that_cannot_be_scored() {
    let dir = folder();
    let file = dir.path().join("text");
    for (text, words) in [
        (&b""[..], "nothing to score"),
        (b"<|endoftext|>", "nothing to score"),
        (b"a", "nothing to score"),
        (b"ab\xff", "byte 2"),
    ] {
        fs::write(&file, text).unwrap();
        fails(run(&["eval", "--backend", "cpu", "--data", arg(&file)]), &[words], true);
    }
    fails(
        run(&[
            "tokenizer",
            "train",
            "--data",
            arg(&file),
            "--vocab-size",
            "300",
            "--out",
            arg(&dir.path().join("o")),
        ]),
        &["byte 2"],
        true,
    );
    fs::write(&file, "").unwrap();
    let train = |size: &str| {
        run(&[
            "tokenizer",
            "train",
            "--data",
            arg(&file),
            "--vocab-size",
            size,
            "--out",
            arg(&dir.path().join("o")),
        ])
    };
    fails(train("300"), &["0 bytes of text"], true);
    fails(train("100"), &["100", "258"], true);
    assert_eq!(names(dir.path()), ["text"]);
}

#[test]
fn token_files_that_do_not_fit() {
    let dir = folder();
    let (tokens, out) = (dir.path().join("t"), dir.path().join("o"));
    let model = repository("tests/golden/default");
    let logits = || {
        run(&[
            "logits",
            "--backend",
            "cpu",
            "--model",
            arg(&model),
            "--tokens",
            arg(&tokens),
            "--out",
            arg(&out),
        ])
    };
    write_tokens(&tokens, &[2, 3], &[1, 2, 3, 4, 61, 5]);
    fails(logits(), &["token 1 of sequence 1 has id 61", "vocabulary has 61"], true);
    write_tokens(&tokens, &[2, 2], &[1, 2, -3, 4]);
    fails(logits(), &["-3", "index 2"], false);
    write_tokens(&tokens, &[4], &[1, 2, 3, 4]);
    fails(logits(), &["[4]"], true);
    write_tokens(&tokens, &[2, 0], &[]);
    fails(logits(), &["[2, 0]"], true);
    fs::write(&tokens, b"not tensors").unwrap();
    fails(logits(), &[arg(&tokens)], true);
    fs::copy(model.join("model.safetensors"), &tokens).unwrap();
    fails(logits(), &["no tensor tokens"], false);
    assert_eq!(names(dir.path()), ["t"]);
}

#[test]
fn states_that_are_damaged_or_of_another_model() {
    let dir = folder();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    assert!(generated(&["--state-out", arg(&good)]).status.success());
    let bytes = fs::read(&good).unwrap();
    let damaged = |change: &dyn Fn(&mut Vec<u8>), words: &[&str]| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        fs::write(&bad, bytes).unwrap();
        fails(generated(&["--state-in", arg(&bad)]), words, true);
    };
    for keep in [0, 7, 8, 20, 100, bytes.len() / 2, bytes.len() - 1] {
        damaged(&|b| b.truncate(keep), &["bad"]);
    }
    for at in [0, 9, 16, 30, bytes.len() / 2, bytes.len() - 1] {
        damaged(&|b| b[at] ^= 0x10, &["bad"]);
    }
    damaged(&|b| b.push(0), &["bad"]);
    damaged(&|b| b[8] = 9, &["version 9", "version 1"]);
    fails(generated(&["--state-in", arg(&dir.path().join("none"))]), &["none"], true);

    let other = folder();
    other_model(other.path());
    let output = generated(&["--state-in", arg(&good), "--model", arg(other.path())]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    fails(output, &["saved by model"], true);
    // Both are named.
    let line = stderr.lines().next().unwrap();
    assert_eq!(
        line.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 16).count(),
        2,
        "{line}"
    );
}

/// Commands that write a file, at `out`.
fn writers<'a>(out: &'a Path, tokens: &'a Path, data: &'a Path, model: &'a Path) -> Vec<Vec<&'a str>> {
    write_tokens(tokens, &[2, 64], &[1; 128]);
    vec![
        vec!["generate", "--prompt", "It was", "-n", "2", "--backend", "cpu", "--state-out", arg(out)],
        vec!["logits", "--backend", "cpu", "--model", arg(model), "--tokens", arg(tokens), "--out", arg(out)],
        vec!["tokenizer", "train", "--data", arg(data), "--vocab-size", "3000", "--out", arg(out)],
    ]
}

#[test]
fn places_that_cannot_be_written_to() {
    let (dir, here) = (folder(), folder());
    let (tokens, data, model) =
        (here.path().join("t"), repository("tests/data/openings.txt"), repository("tests/golden/default"));
    let missing = dir.path().join("no/such/folder/o");
    for arguments in writers(&missing, &tokens, &data, &model) {
        fails(run(&arguments), &["no/such/folder/o"], true);
    }
    for arguments in writers(dir.path(), &tokens, &data, &model) {
        fails(run(&arguments), &["is a folder"], false);
    }
    assert!(names(dir.path()).is_empty());

    // Root writes where the permissions say no, but not into the kernel's own folders.
    let mut permissions = fs::metadata(dir.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(dir.path(), permissions).unwrap();
    let probe = dir.path().join("probe");
    let read_only = if fs::write(&probe, "x").is_err() { dir.path() } else { Path::new("/sys") };
    let _ = fs::remove_file(&probe);
    if read_only.is_dir() {
        let before = names(read_only);
        let out = read_only.join("o");
        for arguments in writers(&out, &tokens, &data, &model) {
            fails(run(&arguments), &[arg(&out)], true);
        }
        assert_eq!(names(read_only), before);
    } else {
        println!("skipped: no folder that this user cannot write to");
    }
    #[allow(clippy::permissions_set_readonly_false, reason = "a folder of this test alone")]
    {
        let mut permissions = fs::metadata(dir.path()).unwrap().permissions();
        permissions.set_readonly(false);
        fs::set_permissions(dir.path(), permissions).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disks() {
    use std::process::{Command, Stdio};
    let here = folder();
    let (tokens, data, model) =
        (here.path().join("t"), repository("tests/data/openings.txt"), repository("tests/golden/default"));
    for arguments in writers(Path::new("/dev/full"), &tokens, &data, &model) {
        fails(run(&arguments), &["/dev/full"], true);
    }
    // Text to a full disk, and the same as JSON.
    for more in [&[][..], &["--json"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let arguments = generate(more);
        let mut command = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        fails(output, &["stdout"], true);
    }

    // What is only told ends nothing.
    let arguments = generate(&[]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .stderr(full)
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{:?}", output.status);

    let disk = folder();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs", arg(disk.path())]).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user cannot mount a small disk");
        return;
    }
    let out = disk.path().join("o");
    fs::write(&out, "old").unwrap();
    let outcome = std::panic::catch_unwind(|| {
        for arguments in writers(&out, &tokens, &data, &model) {
            fails(run(&arguments), &[arg(&out)], true);
            assert_eq!(names(disk.path()), ["o"], "{arguments:?}");
            assert_eq!(fs::read(&out).unwrap(), b"old", "{arguments:?}");
        }
    });
    Command::new("umount").arg(disk.path()).status().unwrap();
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}

#[test]
fn models_larger_than_the_device() {
    let dir = folder();
    let text = fs::read_to_string(repository("assets/novels-2m/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    // 1.03 · 10^12 parameters.
    for (key, size) in [
        ("vocab_size", 65_536),
        ("hidden_size", 16_384),
        ("num_hidden_layers", 240),
        ("num_attention_heads", 256),
    ] {
        config[key] = size.into();
    }
    config["intermediate_size"] = 65_536.into();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    for device in devices() {
        let device: Vec<&str> = device.iter().map(String::as_str).collect();
        let output = run(&[&["inspect", "--model", arg(dir.path())], &device[..]].concat());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("parameters (1."),
            "the configuration is told all the same"
        );
        fails(output, &["needs"], true);
    }
    // Past what a configuration may be at all.
    config["num_hidden_layers"] = 1024.into();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    fails(run(&["inspect", "--model", arg(dir.path())]), &["number of parameters"], false);
    // A cache that no device has.
    let model = repository("tests/golden/release-softmax");
    let output = run(&[
        "generate",
        "--prompt",
        "x",
        "--backend",
        "cpu",
        "--model",
        arg(&model),
        "--max-context",
        "99999999999",
    ]);
    fails(output, &["needs"], true);
}
