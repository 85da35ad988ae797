//! Says what the program was built from, and generates `shaders.rs` from the shaders (`shaders/build/`).

#[path = "shaders/build/emit.rs"]
mod emit;
#[path = "src/kernels/contract/preprocess.rs"]
mod preprocess;
#[path = "shaders/build/reflect.rs"]
mod reflect;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=shaders");
    identify();
    if let Err(message) = generate() {
        // One readable report instead of a backtrace of the build script.
        eprintln!("{message}");
        std::process::exit(1);
    }
}

/// What a benchmark says it was measured with: the commit, `+` with changes to it, and the version of wgpu.
/// Empty where nobody knows.
fn identify() {
    // Without `src` here, a build of changed sources would pass for the commit.
    for path in ["src", "build.rs", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok();
        let output = output.filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(log) = log.filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    println!("cargo:rustc-env=POLYSKETCH_COMMIT={commit}{}", if changed { "+" } else { "" });
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let wgpu = lock
        .split("[[package]]")
        .find_map(|package| package.trim().strip_prefix("name = \"wgpu\"\nversion = \"")?.split('"').next());
    println!("cargo:rustc-env=POLYSKETCH_WGPU={}", wgpu.unwrap_or_default());
}

/// A shader file: its family is its folder.
pub(crate) struct Source {
    pub(crate) stem: String,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Writes `shaders.rs`, unless the one that is there came from the same shaders: naga takes seconds, and this
/// runs with every edit of a Rust file.
fn generate() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?).join("shaders");
    let mut families = Vec::new();
    for folder in entries(&root)?.into_iter().filter(|path| path.is_dir() && !path.ends_with("build")) {
        for path in entries(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
            families.push((folder.ends_with("shared"), Source { stem, path, text }));
        }
    }
    let (shared, shaders): (Vec<_>, Vec<_>) = families.into_iter().partition(|(shared, _)| *shared);
    let [shared, shaders] =
        [shared, shaders].map(|list| list.into_iter().map(|(_, s)| s).collect::<Vec<_>>());

    let mut hasher = DefaultHasher::new();
    for generator in [
        include_str!("build.rs"),
        include_str!("shaders/build/emit.rs"),
        include_str!("shaders/build/reflect.rs"),
        include_str!("src/kernels/contract/preprocess.rs"),
    ] {
        generator.hash(&mut hasher);
    }
    for source in shared.iter().chain(&shaders) {
        (&source.path, &source.text).hash(&mut hasher);
    }
    let mark = format!("// of {:016x}\n", hasher.finish());
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?).join("shaders.rs");
    if fs::read_to_string(&out).is_ok_and(|text| text.starts_with(&mark)) {
        return Ok(());
    }
    let kernels = shaders.iter().map(|s| reflect::kernel(s, &shared)).collect::<Result<Vec<_>, _>>()?;
    let small = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32");
    let text = mark + &emit::everything(&kernels, &shaders, &shared, small);
    fs::write(&out, text).map_err(|e| format!("{}: {e}", out.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}
