//! What reaches a terminal: no escape sequences where none are wanted, none of files, progress everywhere.

use std::fs;

use crate::run::*;

#[test]
fn escape_sequences_only_where_they_are_wanted() {
    // An error of this program, and one of clap.
    for arguments in [&["generate", "--model", "nope"][..], &["generate", "--nope"]] {
        let colored = |term: &str, environment: &[(&str, &str)]| {
            let shown = on_terminal(term, environment, arguments)?;
            assert!(shown.contains("nope"), "{shown}");
            Some(shown.contains('\x1b'))
        };
        let Some(colors) = colored("xterm-256color", &[]) else { return };
        assert!(colors, "{arguments:?}");
        for (term, environment) in [
            ("dumb", &[][..]),
            ("dumb", &[("CI", "true")]),
            ("dumb", &[("CLICOLOR", "1")]),
            ("", &[]),
            ("xterm", &[("NO_COLOR", "1")]),
            ("xterm", &[("CLICOLOR", "0")]),
        ] {
            assert_eq!(colored(term, environment), Some(false), "{arguments:?} {term} {environment:?}");
        }
        // Asked for by name; an empty NO_COLOR is none.
        assert_eq!(colored("dumb", &[("CLICOLOR_FORCE", "1")]), Some(true), "{arguments:?}");
        assert_eq!(colored("xterm", &[("NO_COLOR", "")]), Some(true), "{arguments:?}");
        let forced = command(arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
        assert!(String::from_utf8_lossy(&forced.stderr).contains("\x1b["), "{arguments:?}");
    }
}

#[test]
fn names_of_files_are_shown_and_not_obeyed() {
    let shown = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let line = shown(run(&["generate", "--model", "no\x1b[31m\u{9b}5mpe"]));
    assert!(!line.contains('\x1b') && !line.contains('\u{9b}') && line.contains(r"\u{1b}[31m"), "{line:?}");
    let dir = folder();
    let path = dir.path().join("config.json");
    let text = fs::read_to_string(repository("assets/configs/tiny.json")).unwrap();
    fs::write(&path, text.replacen('{', "{\"a\\u001b]0;b\": 1, \"rope\": 3,", 1)).unwrap();
    let line = shown(run(&["inspect", "--model", arg(dir.path())]));
    assert!(!line.contains('\x1b') && line.contains("error: "), "{line:?}");
}

#[test]
fn long_work_tells_how_far_it_is() {
    let dir = folder();
    let config = dir.path().join("config.json");
    let text = fs::read_to_string(repository("assets/configs/tiny.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["vocab_size"] = 257.into();
    fs::write(&config, json.to_string()).unwrap();
    let data = dir.path().join("text");
    fs::copy(repository("assets/passage.txt"), &data).unwrap();
    let train = |out: &str| {
        let words = ["train", "--config", arg(&config), "--data", arg(&data), "--backend", "cpu"];
        // Some seconds on any machine: what it does is stopped by the clock.
        let more = ["--steps", "1000000", "--eval-every", "0", "--save-every", "0", "--out", out];
        [&words[..], &more].concat().into_iter().map(String::from).collect::<Vec<_>>()
    };
    let script = |term: &str, out: &str| -> Option<String> {
        let out = dir.path().join(out);
        let words = train(arg(&out));
        let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("timeout -s INT 6 {} {}", env!("CARGO_BIN_EXE_polysketch"), line.join(" "));
        let output = std::process::Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", term)
            .stdin(std::process::Stdio::null())
            .output();
        Some(String::from_utf8_lossy(&output.ok()?.stdout).into_owned())
    };
    let Some(dumb) = script("dumb", "dumb") else { return };
    assert!(dumb.contains(" of 1,000,000 steps") && !dumb.contains('\x1b'), "{dumb}");
    let bar = script("xterm", "bar").unwrap_or_default();
    assert!(bar.contains(" of 1,000,000 steps") && bar.contains('\x1b'), "{bar}");
    // Without a terminal at all.
    let out = dir.path().join("pipe");
    let words = train(arg(&out));
    let output = std::process::Command::new("timeout")
        .args(["-s", "INT", "6", env!("CARGO_BIN_EXE_polysketch")])
        .args(&words)
        .output();
    let told = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    assert!(told.contains(" of 1,000,000 steps") && !told.contains('\x1b'), "{told}");
}
