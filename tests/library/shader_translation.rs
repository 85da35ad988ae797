//! What every shader becomes on each backend: translated by naga with the override values that models use, to
//! SPIR-V (checked by `spirv-val`), Metal, HLSL and GLSL. Three translations are kept as files, so that a
//! diff shows what a change does.
//!
//! `POLYSKETCH_UPDATE=1 cargo test --release --test library -- translations` writes those files anew.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use naga::back::{PipelineConstants, glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use polysketch::kernels::Permutation;
use polysketch::kernels::contract::shader::PERMUTATIONS;
use polysketch::model::ModelSource;

use crate::lowered::{Pairs, Used, devices, pairs};

/// At most so many sets of override values of one permutation go through the slow validators.
const SETS: usize = 2;

/// Whether a permutation is in mixed precision: no browser, no DirectX, no OpenGL gets it.
fn cooperative(key: &str) -> bool {
    Permutation::find(key).unwrap().cooperative
}

/// What only permutations in mixed precision may use.
fn optional(key: &str) -> Capabilities {
    let all = Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP;
    if cooperative(key) { all } else { Capabilities::empty() }
}

/// A shader with its overrides resolved.
fn resolved(key: &str, constants: &[(String, u64)]) -> (Module, ModuleInfo) {
    let source = Permutation::find(key).unwrap().source().unwrap();
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{key}: {}", e.emit_to_string(&source)));
    let validate = |module: &Module| {
        // The floor of SPEC §6; unpack2x16float is core WebGPU, naga lists it as a capability. Mixed precision is
        // for devices that have more.
        Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32 | optional(key))
            .validate(module)
            .unwrap_or_else(|e| panic!("{key}: {e:?}"))
    };
    let info = validate(&module);
    let mut values = PipelineConstants::default();
    for (name, bits) in constants {
        values.insert(name.to_string(), f64::from_bits(*bits));
    }
    let (module, _) = naga::back::pipeline_constants::process_overrides(
        &module,
        &info,
        Some((ShaderStage::Compute, "main")),
        &values,
    )
    .unwrap_or_else(|e| panic!("{key}: {e}"));
    let module = module.into_owned();
    let info = validate(&module);
    (module, info)
}

/// Bytes of workgroup memory that a shader takes, and invocations, as naga counts them.
fn taken(module: &Module, info: &ModuleInfo) -> [usize; 2] {
    let used = info.get_entry_point(0);
    let variables = module.global_variables.iter().filter(|(handle, variable)| {
        variable.space == naga::AddressSpace::WorkGroup && !used[*handle].is_empty()
    });
    let bytes = variables.map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()));
    let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
    [bytes.map(|bytes| bytes.next_multiple_of(16) as usize).sum(), invocations as usize]
}

fn spirv(key: &str, module: &Module, info: &ModuleInfo) -> Vec<u8> {
    let options =
        spv::Options { lang_version: if cooperative(key) { (1, 6) } else { (1, 3) }, ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline))
        .unwrap_or_else(|e| panic!("{key} to SPIR-V: {e}"));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn metal(key: &str, module: &Module, info: &ModuleInfo) -> String {
    let options = msl::Options { lang_version: (2, 0), ..Default::default() };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, "main".into())),
        ..Default::default()
    };
    let (text, translation) =
        msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|e| panic!("{key} to MSL: {e}"));
    assert!(
        translation.entry_point_names.iter().all(Result::is_ok),
        "{key}: {:?}",
        translation.entry_point_names
    );
    text
}

fn directx(key: &str, module: &Module, info: &ModuleInfo) -> String {
    let mut text = String::new();
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V5_1, ..Default::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".into())) };
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{key} to HLSL: {e}"));
    assert!(
        reflection.entry_point_names.iter().all(Result::is_ok),
        "{key}: {:?}",
        reflection.entry_point_names
    );
    text
}

fn opengl(key: &str, module: &Module, info: &ModuleInfo) -> String {
    let mut text = String::new();
    let options = glsl::Options {
        version: glsl::Version::new_gles(310),
        writer_flags: glsl::WriterFlags::empty(),
        ..Default::default()
    };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: "main".into(),
        multiview: None,
    };
    let policies = naga::proc::BoundsCheckPolicies::default();
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .unwrap_or_else(|e| panic!("{key} to GLSL: {e}"))
        .write()
        .unwrap_or_else(|e| panic!("{key} to GLSL: {e}"));
    text
}

/// Whether a validator is installed; says so by name if not.
fn installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped {program}: not installed");
    }
    found
}

/// Feeds a file to a validator; what it says if it refuses.
fn refused(program: &str, arguments: &[&str], name: &str, content: &[u8]) -> Option<String> {
    // glslangValidator leaves its own result in the folder it runs in.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("shader{name}"));
    std::fs::write(&file, content).unwrap();
    let output =
        Command::new(program).args(arguments).arg(&file).current_dir(folder.path()).output().unwrap();
    let said =
        || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (!output.status.success()).then(said)
}

#[test]
fn every_permutation_is_used_by_some_plan() {
    let Pairs(used) = pairs();
    // Attention that sees the whole text, with matrices of 16, needs wider heads than these layers have; its shader
    // differs from that for matrices of 8 by the number.
    let like = |key: &str| key.contains("FAR_ONLY") && used.contains_key(&key.replace("SIDE16", "SIDE8"));
    let is_used = |key: &&str| used.contains_key(*key) || like(key);
    let unused: Vec<&str> = PERMUTATIONS.iter().map(|p| p.key).filter(|key| !is_used(key)).collect();
    assert!(unused.is_empty(), "no plan asks for: {unused:?}");
}

#[test]
fn every_permutation_translates() {
    let Pairs(used) = pairs();
    let (spirv_val, glslang) = (installed("spirv-val"), installed("glslangValidator"));
    let mut failures = Vec::new();
    let mut count = 0;
    for (key, sets) in &used {
        for Used { constants, takes } in sets.iter().step_by(sets.len().div_ceil(SETS)) {
            count += 1;
            let (module, info) = resolved(key, constants);
            assert_eq!(
                *takes,
                taken(&module, &info),
                "{key} {constants:?}: bytes and invocations of a workgroup"
            );
            let binary = spirv(key, &module, &info);
            // SPIR-V is all they become; tests/gauge/mixed runs them, and the gauge's compilers take them.
            if cooperative(key) {
                continue;
            }
            // Nothing here reads Metal; glslang's HLSL front end does not know naga's array constructors.
            let (_, _, glsl) =
                (metal(key, &module, &info), directx(key, &module, &info), opengl(key, &module, &info));
            /// Whether the tool is there, its name, its arguments, the file's ending, the file.
            type Check<'a> = (bool, &'a str, &'a [&'a str], &'a str, &'a [u8]);
            let checks: [Check<'_>; 2] = [
                (spirv_val, "spirv-val", &["--target-env", "vulkan1.1"], ".spv", &binary),
                (glslang, "glslangValidator", &["-S", "comp"], ".comp", glsl.as_bytes()),
            ];
            for (_, program, arguments, name, content) in checks.into_iter().filter(|c| c.0) {
                failures.extend(
                    refused(program, arguments, name, content)
                        .map(|said| format!("{key} {constants:?}: {program}: {said}")),
                );
            }
        }
    }
    println!("{count} shaders of {} permutations translated", used.len());
    assert!(failures.is_empty(), "{} failures, the first: {}", failures.len(), failures[0]);
}

/// Kept translations: the kernels whose code matters most.
const KEPT: &[&str] = &["linear+BIAS", "scan_states", "scan_output"];

#[test]
fn kept_translations_are_what_naga_writes_now() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/translations");
    let update = std::env::var_os("POLYSKETCH_UPDATE").is_some_and(|v| v == "1");
    // Of one model, the default one, so that the values do not change with the list of models.
    let config = ModelSource::open(&crate::golden_folder().join("default-gated")).unwrap().config;
    let device = &devices()[0];
    let build = polysketch::model::transformer::Build {
        large: polysketch::tensor::DType::F32.into(),
        max_binding: device.max_binding,
        slots: 1,
        context: 0,
    };
    let capacity = polysketch::tensor::Capacity { lanes: 1, tokens: 64, slots: 1, context: 0 };
    let graph = polysketch::model::transformer::build(
        &config,
        polysketch::attention::Mode::Prefill,
        polysketch::model::transformer::Ending::Last,
        &build,
    );
    let mut pairs = Pairs::default();
    pairs.add(&graph.unwrap().lower("", device, capacity).unwrap());
    let mut different = Vec::new();
    for key in KEPT {
        let (module, info) = resolved(key, &pairs.0[*key][0].constants);
        for (suffix, text) in [("metal", metal(key, &module, &info)), ("hlsl", directx(key, &module, &info))]
        {
            let path = folder.join(format!("{key}.{suffix}"));
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            if kept != text {
                let line =
                    kept.lines().zip(text.lines()).position(|(a, b)| a != b).map_or(0, |line| line + 1);
                different.push(format!("{key}.{suffix}, first at line {line}"));
            }
        }
    }
    assert!(
        different.is_empty(),
        "{different:?} differ; if that is meant, run again with POLYSKETCH_UPDATE=1 and look at the diff"
    );
}
