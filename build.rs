//! Validates every shader permutation with naga and generates `shaders.rs`: the sources, the
//! bindings as reflected, and each kernel's `Params` struct, so that no layout is typed twice.

#[path = "src/kernels/contract/preprocess.rs"]
mod preprocess;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use naga::valid::{Capabilities, ValidationFlags, Validator};

fn main() {
    println!("cargo:rerun-if-changed=shaders");
    println!("cargo:rerun-if-changed=src/kernels/contract/preprocess.rs");
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
        let output = std::process::Command::new("git")
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    let changes =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    println!("cargo:rustc-env=POLYSKETCH_COMMIT={commit}{}", if changes { "+" } else { "" });
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let wgpu = lock
        .split("[[package]]")
        .find_map(|package| package.trim().strip_prefix("name = \"wgpu\"\nversion = \"")?.split('"').next());
    println!("cargo:rustc-env=POLYSKETCH_WGPU={}", wgpu.unwrap_or_default());
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn generate() -> Result<(), String> {
    let shaders = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?).join("shaders");
    let mut shared = BTreeMap::new();
    for entry in fs::read_dir(shaders.join("shared")).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        shared.insert(stem, read(&path)?);
    }
    let import = |name: &str| shared.get(name).cloned();

    let mut table = String::from(
        "/// Every permutation of `shaders/permutations.txt`.\npub static PERMUTATIONS: &[Permutation] = &[\n",
    );
    let mut sources =
        String::from("/// The shader files by stem.\npub static SOURCES: &[(&str, &str)] = &[\n");
    let mut params = String::from(
        "/// The uniform `Params` of every kernel, generated from its shader.\npub mod params {\n",
    );
    for line in read(&shaders.join("permutations.txt"))?.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (stem, all) =
            preprocess::permutations(line).ok_or(format!("permutations.txt: cannot read {line:?}"))?;
        let path = find(&shaders, stem)?;
        let source = read(&path)?;
        let _ = writeln!(sources, "    ({stem:?}, include_str!({:?})),", path.display().to_string());
        let mut layout: Option<String> = None;
        for flags in all {
            let key = std::iter::once(stem).chain(flags.iter().copied()).collect::<Vec<_>>().join("+");
            let text =
                preprocess::preprocess(&source, &flags, &import).map_err(|e| format!("{stem}.wgsl: {e}"))?;
            if let Some(bare) =
                text.split([';', '{']).map(str::trim).find(|s| s.starts_with("var ") && !s.contains('='))
            {
                // WGSL zeroes it each time it is declared, but Chromium 156 does so once: in a loop it keeps
                // its last value.
                return Err(format!("{key}: {bare:?} needs an initial value"));
            }
            let module = naga::front::wgsl::parse_str(&text)
                .map_err(|e| format!("{key}:\n{}", e.emit_to_string(&text)))?;
            // The floor of SPEC §6: nothing optional. unpack2x16float is core WebGPU, naga lists it as a capability.
            Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
                .validate(&module)
                .map_err(|e| format!("{key}:\n{}", e.emit_to_string(&text)))?;
            let reflected = reflect(&key, stem, &module)?;
            let _ = writeln!(table, "    {},", reflected.entry);
            match &layout {
                None => layout = Some(reflected.params),
                Some(first) if *first != reflected.params => {
                    return Err(format!("{key}: Params differs between permutations"));
                }
                Some(_) => {}
            }
        }
        params.push_str(&layout.unwrap_or_default());
    }
    sources.push_str("];\n");
    table.push_str("];\n");
    params.push_str("}\n");
    let mut pieces =
        String::from("/// The shared pieces by name.\npub static SHARED: &[(&str, &str)] = &[\n");
    for (name, text) in &shared {
        let _ = writeln!(pieces, "    ({name:?}, {text:?}),");
    }
    pieces.push_str("];\n");
    let out = Path::new(&env::var("OUT_DIR").map_err(|e| e.to_string())?).join("shaders.rs");
    fs::write(&out, [table, sources, pieces, params].concat()).map_err(|e| format!("{}: {e}", out.display()))
}

/// `shaders/<family>/<stem>.wgsl`.
fn find(shaders: &Path, stem: &str) -> Result<PathBuf, String> {
    let families = fs::read_dir(shaders).map_err(|e| e.to_string())?.flatten();
    let file = format!("{stem}.wgsl");
    families
        .map(|family| family.path().join(&file))
        .find(|path| path.exists())
        .ok_or(format!("no shader {file}"))
}

struct Reflected {
    entry: String,
    params: String,
}

fn reflect(key: &str, stem: &str, module: &naga::Module) -> Result<Reflected, String> {
    let mut bindings = BTreeMap::new();
    let mut params = String::new();
    for (_, var) in module.global_variables.iter() {
        let Some(binding) = &var.binding else { continue };
        if binding.group != 0 {
            return Err(format!("{key}: binding group {} (only group 0 is used)", binding.group));
        }
        match var.space {
            naga::AddressSpace::Uniform if binding.binding == 0 => {
                params = params_struct(key, stem, module, var.ty)?
            }
            naga::AddressSpace::Storage { access } if binding.binding > 0 => {
                let written = access.contains(naga::StorageAccess::STORE);
                bindings.insert(binding.binding, written);
            }
            _ => {
                return Err(format!(
                    "{key}: binding {} must be uniform Params (0) or storage (1..)",
                    binding.binding
                ));
            }
        }
    }
    if params.is_empty() {
        return Err(format!("{key}: no uniform Params at binding 0"));
    }
    if !bindings.keys().copied().eq(1..=bindings.len() as u32) {
        return Err(format!("{key}: storage bindings are not numbered 1..={}", bindings.len()));
    }
    if bindings.len() > 8 {
        return Err(format!("{key}: {} storage bindings, WebGPU's floor is 8", bindings.len()));
    }
    if !module.entry_points.iter().map(|e| e.name.as_str()).eq(["main"]) {
        return Err(format!("{key}: needs exactly one entry point, main"));
    }
    let written: Vec<bool> = bindings.into_values().collect();
    let constants: Vec<&str> = module.overrides.iter().filter_map(|(_, o)| o.name.as_deref()).collect();
    Ok(Reflected {
        entry: format!("Permutation {{ key: {key:?}, written: &{written:?}, constants: &{constants:?} }}"),
        params,
    })
}

/// The `Params` of a shader as a Rust struct, with the offsets checked against naga's layout.
fn params_struct(
    key: &str,
    stem: &str,
    module: &naga::Module,
    ty: naga::Handle<naga::Type>,
) -> Result<String, String> {
    let naga::TypeInner::Struct { members, span } = &module.types[ty].inner else {
        return Err(format!("{key}: binding 0 is not a struct"));
    };
    let name: String = stem.split('_').map(|w| w[..1].to_uppercase() + &w[1..]).collect();
    let mut text = format!(
        "    /// `Params` of `shaders/{stem}.wgsl`.\n    #[repr(C)]\n    #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]\n    pub struct {name} {{\n"
    );
    let mut offset = 0;
    for member in members {
        let field = member.name.clone().unwrap_or_default();
        let rust = match &module.types[member.ty].inner {
            naga::TypeInner::Scalar(s) => match s.kind {
                naga::ScalarKind::Uint => "u32",
                naga::ScalarKind::Sint => "i32",
                naga::ScalarKind::Float => "f32",
                _ => return Err(format!("{key}: Params.{field} has an unsupported type")),
            },
            _ => return Err(format!("{key}: Params.{field} must be a 32-bit scalar")),
        };
        if member.offset != offset {
            return Err(format!("{key}: Params.{field} lies at byte {}, not {offset}", member.offset));
        }
        offset += 4;
        let _ = writeln!(text, "        /// `{field}` in the shader.\n        pub {field}: {rust},");
    }
    if *span != offset {
        return Err(format!("{key}: Params has {span} bytes, its fields {offset}"));
    }
    text.push_str("    }\n");
    Ok(text)
}
