//! WGSL to SPIR-V as wgpu's Vulkan backend translates it for shaders of ours (`gpu::pipelines`): the same
//! naga, the same options.

use naga::back::pipeline_constants::process_overrides;
use naga::back::spv::{self, Capability};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::protocol::Target;
use crate::error::{Error, ErrorKind, Result};

/// Which checks a shader carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Neither bounds nor divisors are checked: as the engine runs its own shaders on real GPUs.
    #[default]
    Off,
    /// Both are, as on software adapters, and with `POLYSKETCH_CHECKS=on`.
    Kept,
}

/// SPIR-V words of a shader with these `override` values.
///
/// # Errors
/// [`ErrorKind::Device`] for WGSL that naga refuses.
pub fn translate(
    name: &str,
    source: &str,
    constants: &[(&str, f64)],
    target: &Target,
    checks: Checks,
) -> Result<Vec<u32>> {
    let refused = |what: String| Error::new(ErrorKind::Device, format!("shader {name}: {what}"));
    let module = naga::front::wgsl::parse_str(source).map_err(|e| refused(e.emit_to_string(source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|e| refused(e.emit_to_string(source)))?;
    let entry = (naga::ShaderStage::Compute, "main");
    let constants = constants.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
    let (module, info) =
        process_overrides(&module, &info, Some(entry), &constants).map_err(|e| refused(e.to_string()))?;
    let pipeline = spv::PipelineOptions { shader_stage: entry.0, entry_point: entry.1.into() };
    spv::write_vec(&module, &info, &options(target, checks), Some(&pipeline))
        .map_err(|e| refused(e.to_string()))
}

/// What wgpu-hal 30 gives naga on a Vulkan device.
fn options(target: &Target, checks: Checks) -> spv::Options<'static> {
    let restrict_if = |yes: bool| match (yes, checks) {
        (true, Checks::Kept) => BoundsCheckPolicy::Restrict,
        _ => BoundsCheckPolicy::Unchecked,
    };
    spv::Options {
        lang_version: target.version,
        flags: spv::WriterFlags::empty(),
        capabilities: Some(capabilities(target).into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: restrict_if(true),
            buffer: restrict_if(!target.robust),
            image_load: restrict_if(!target.robust),
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        // Both as for trusted shaders.
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: checks == Checks::Kept,
        ..spv::Options::default()
    }
}

fn capabilities(target: &Target) -> Vec<Capability> {
    let mut all = vec![Capability::Shader, Capability::Matrix];
    if target.subgroups {
        all.extend([
            Capability::GroupNonUniform,
            Capability::GroupNonUniformVote,
            Capability::GroupNonUniformArithmetic,
            Capability::GroupNonUniformBallot,
            Capability::GroupNonUniformShuffle,
            Capability::GroupNonUniformShuffleRelative,
            Capability::GroupNonUniformQuad,
        ]);
    }
    if target.packed_products {
        all.extend([
            Capability::DotProductInputAllKHR,
            Capability::DotProductInput4x8BitKHR,
            Capability::DotProductInput4x8BitPackedKHR,
            Capability::DotProductKHR,
        ]);
    }
    if target.bytes {
        all.push(Capability::Int8);
    }
    if target.cooperative {
        all.extend([Capability::Float16, Capability::CooperativeMatrixKHR, Capability::VulkanMemoryModel]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        override N: u32 = 4;
        var<workgroup> tile: array<f32, N>;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        @group(0) @binding(2) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(N) fn main(@builtin(local_invocation_index) i: u32) {
            tile[i] = x[i / x_n()];
            workgroupBarrier();
            y[i] = tile[N - 1 - i];
        }
        fn x_n() -> u32 { return arrayLength(&x); }";

    fn words(source: &str, robust: bool, checks: Checks) -> Result<Vec<u32>> {
        let target = Target { version: (1, 6), robust, ..Target::default() };
        translate("test", source, &[("N", 8.0)], &target, checks)
    }

    #[test]
    fn checks_cost_words_where_they_are_on() {
        let length = |robust, checks| words(SOURCE, robust, checks).expect("translates").len();
        let (strict, usual) = (length(false, Checks::Kept), length(true, Checks::Kept));
        assert!(strict > usual && usual > length(true, Checks::Off));
        assert_eq!(length(true, Checks::Off), length(false, Checks::Off));
    }

    #[test]
    fn what_naga_refuses_is_told() {
        let error = words("fn main() { missing(); }", true, Checks::Kept).expect_err("no such function");
        assert!(
            error.message().starts_with("shader test: ") && error.message().contains("missing"),
            "{error}"
        );
    }
}
