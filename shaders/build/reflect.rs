//! What naga says of every permutation of a shader, put together for the shader as a whole.

use std::collections::HashMap;

use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::Source;
use crate::preprocess;

/// All permutations of one shader.
pub struct Kernel {
    pub stem: String,
    /// Every flag, in the order of the line `// permutations:`.
    pub flags: Vec<String>,
    pub params: Vec<Field>,
    /// Every argument of any permutation.
    pub args: Vec<Argument>,
    /// Every `override` of any permutation.
    pub overrides: Vec<Override>,
    /// Every `const` of type `u32`, of all permutations.
    pub constants: Vec<Constant>,
    /// Invocations of a workgroup, where the shader says how many.
    pub invocations: Option<u32>,
    pub permutations: Vec<Permutation>,
}

/// A field of `Params`.
#[derive(Clone, PartialEq)]
pub struct Field {
    pub name: String,
    /// A type of Rust.
    pub ty: &'static str,
}

/// What a CPU twin sees of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elements {
    Real,
    Ids,
    /// Floats in some permutations, packed halves in others.
    Weights,
}

/// A storage binding.
pub struct Argument {
    pub name: String,
    pub elements: Elements,
    pub written: bool,
    pub doc: String,
}

/// An `override`.
pub struct Override {
    pub name: String,
    /// The shared piece that declares it, if the shader itself does not.
    pub piece: Option<String>,
    pub scalar: naga::Scalar,
    pub doc: String,
}

/// A `const` of type `u32`.
pub struct Constant {
    pub name: String,
    /// None: permutations have different ones.
    pub value: Option<u32>,
    pub doc: String,
}

/// One choice of flags.
pub struct Permutation {
    pub flags: Vec<String>,
    /// Arguments by their number in [`Kernel::args`], in binding order.
    pub args: Vec<usize>,
    /// Overrides by their number in [`Kernel::overrides`].
    pub overrides: Vec<usize>,
    /// Workgroup arrays: bytes of an element, and how many there are.
    pub workgroup: Vec<(u32, Length)>,
    /// Invocations of a workgroup in x, y, z.
    pub size: [Length; 3],
    /// Whether it needs cooperative matrices.
    pub cooperative: bool,
}

/// How many elements a workgroup array has, or invocations a workgroup.
pub enum Length {
    Fixed(u32),
    /// By its number in [`Kernel::overrides`].
    Override(usize),
}

/// Reads all permutations of a shader.
pub fn kernel(source: &Source, shared: &[Source]) -> Result<Kernel, String> {
    let stem = &source.stem;
    let choices = source.text.lines().next().and_then(|line| line.strip_prefix("// permutations:"));
    let all = permutations(choices.unwrap_or_default())
        .ok_or(format!("{stem}.wgsl: cannot read the line of permutations"))?;
    let mut flags: Vec<String> = Vec::new();
    for flag in all.iter().flatten() {
        if !flags.iter().any(|known| known == flag) {
            flags.push(flag.to_string());
        }
    }
    let (args, overrides, constants, permutations) = Default::default();
    let (stem, params, invocations) = (stem.clone(), Vec::new(), None);
    let mut kernel = Kernel { stem, flags, params, args, overrides, constants, invocations, permutations };
    for (at, flags) in all.iter().enumerate() {
        let key =
            std::iter::once(source.stem.as_str()).chain(flags.iter().copied()).collect::<Vec<_>>().join("+");
        permutation(&mut kernel, at, &key, flags, source, shared)?;
    }
    Ok(kernel)
}

/// The flag of permutations whose products are of cooperative matrices.
const COOPERATIVE: &str = "MIXED";

/// Marks what comes from a shared piece, so that the declarations of a preprocessed text know their file.
const OPEN: &str = "//@piece ";
const CLOSE: &str = "//@end";

fn permutation(
    kernel: &mut Kernel,
    at: usize,
    key: &str,
    flags: &[&str],
    source: &Source,
    shared: &[Source],
) -> Result<(), String> {
    let import = |name: &str| {
        let piece = shared.iter().find(|piece| piece.stem == name)?;
        Some(format!("{OPEN}{name}\n{}\n{CLOSE}\n", piece.text))
    };
    let text = preprocess::preprocess(&source.text, flags, &import)
        .map_err(|e| format!("{}: {e}", source.path.display()))?;
    let mut statements = text.split([';', '{']).map(str::trim);
    if let Some(bare) = statements.find(|s| s.starts_with("var ") && !s.contains('=')) {
        // WGSL zeroes it each time it is declared, but Chromium 156 does so once: in a loop it keeps its last
        // value.
        return Err(format!("{key}: {bare:?} needs an initial value"));
    }
    let fail = |e: &dyn Fn() -> String| format!("{key}:\n{}", e());
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| fail(&|| e.emit_to_string(&text)))?;
    // The floor of SPEC §6: nothing optional. unpack2x16float is core WebGPU, naga lists it as a capability.
    // Beyond it are only the permutations in mixed precision, which are lowered for devices that have all of this.
    let cooperative = flags.contains(&COOPERATIVE);
    let optional = if cooperative {
        Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP
    } else {
        Capabilities::empty()
    };
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32 | optional)
        .validate(&module)
        .map_err(|e| fail(&|| e.emit_to_string(&text)))?;
    if !module.entry_points.iter().map(|e| e.name.as_str()).eq(["main"]) {
        return Err(format!("{key}: needs exactly one entry point, main"));
    }

    let mut params = Vec::new();
    let mut bindings = Vec::new();
    for (_, var) in module.global_variables.iter() {
        let Some(binding) = &var.binding else { continue };
        if binding.group != 0 {
            return Err(format!("{key}: binding group {} (only group 0 is used)", binding.group));
        }
        match var.space {
            naga::AddressSpace::Uniform if binding.binding == 0 => params = fields(key, &module, var.ty)?,
            naga::AddressSpace::Storage { access } if binding.binding > 0 => {
                let name = var.name.clone().unwrap_or_default();
                let written = access.contains(naga::StorageAccess::STORE);
                let doc = comment(&text, &format!("> {name}:"));
                let elements = elements(key, &name, &module, var.ty)?;
                bindings.push((binding.binding, Argument { name, elements, written, doc }));
            }
            _ => {
                let what = "must be uniform Params (0) or storage (1..)";
                return Err(format!("{key}: binding {} {what}", binding.binding));
            }
        }
    }
    if params.is_empty() {
        return Err(format!("{key}: no uniform Params at binding 0"));
    }
    bindings.sort_by_key(|(binding, _)| *binding);
    if !bindings.iter().map(|(binding, _)| *binding).eq(1..=bindings.len() as u32) {
        return Err(format!("{key}: storage bindings are not numbered 1..={}", bindings.len()));
    }
    if bindings.len() > 8 {
        return Err(format!("{key}: {} storage bindings, WebGPU's floor is 8", bindings.len()));
    }
    if at > 0 && kernel.params != params {
        return Err(format!("{key}: Params differs between permutations"));
    }
    kernel.params = params;

    let args = bindings.into_iter().map(|(_, found)| argument(kernel, key, found));
    let args = args.collect::<Result<Vec<_>, _>>()?;
    let origins = origins(&text);
    let mut overrides = Vec::new();
    let mut numbers = HashMap::new();
    for (handle, o) in module.overrides.iter() {
        let name = o.name.clone().unwrap_or_default();
        let piece = origins.iter().find(|(known, _)| *known == name).and_then(|(_, piece)| piece.clone());
        let naga::TypeInner::Scalar(scalar) = module.types[o.ty].inner else {
            return Err(format!("{key}: override {name} is no scalar"));
        };
        let known = kernel.overrides.iter().position(|o| o.name == name && o.piece == piece);
        let number = known.unwrap_or_else(|| {
            let doc = comment(&text, &format!("override {name}:"));
            kernel.overrides.push(Override { name, piece, scalar, doc });
            kernel.overrides.len() - 1
        });
        numbers.insert(handle, number);
        overrides.push(number);
    }
    let entry = &module.entry_points[0];
    let fixed = entry.workgroup_size_overrides.is_none();
    kernel.invocations = fixed.then(|| entry.workgroup_size.iter().product());
    constants(kernel, &module, &text);
    let used = info.get_entry_point(0);
    let mut workgroup = Vec::new();
    for (handle, var) in module.global_variables.iter() {
        if var.space != naga::AddressSpace::WorkGroup || used[handle].is_empty() {
            continue;
        }
        let (stride, length) = match module.types[var.ty].inner {
            naga::TypeInner::Array { size: naga::ArraySize::Constant(n), stride, .. } => {
                (stride, Length::Fixed(n.get()))
            }
            naga::TypeInner::Array { size: naga::ArraySize::Pending(size), stride, .. } => {
                let number =
                    numbers.get(&size).ok_or(format!("{key}: a workgroup array of unknown length"))?;
                (stride, Length::Override(*number))
            }
            ref other => (other.size(module.to_ctx()), Length::Fixed(1)),
        };
        workgroup.push((stride, length));
    }
    let flags = flags.iter().map(ToString::to_string).collect();
    let size = size(key, &module, &numbers)?;
    kernel.permutations.push(Permutation { flags, args, overrides, workgroup, size, cooperative });
    Ok(())
}

/// The workgroup size, with overrides by their number.
fn size(
    key: &str,
    module: &naga::Module,
    numbers: &HashMap<naga::Handle<naga::Override>, usize>,
) -> Result<[Length; 3], String> {
    let entry = &module.entry_points[0];
    let overridden = entry.workgroup_size_overrides.unwrap_or_default();
    let length = |axis: usize| match overridden[axis].map(|given| &module.global_expressions[given]) {
        None => Ok(Length::Fixed(entry.workgroup_size[axis])),
        Some(naga::Expression::Override(handle)) => Ok(Length::Override(numbers[handle])),
        Some(_) => Err(format!("{key}: a workgroup size that is neither a number nor an override")),
    };
    Ok([length(0)?, length(1)?, length(2)?])
}

/// The constants of a permutation.
fn constants(kernel: &mut Kernel, module: &naga::Module, text: &str) {
    for (_, constant) in module.constants.iter() {
        let (Some(name), naga::Expression::Literal(naga::Literal::U32(value))) =
            (&constant.name, &module.global_expressions[constant.init])
        else {
            continue;
        };
        match kernel.constants.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.value = known.value.filter(|known| known == value),
            None => {
                let doc = comment(text, &format!("const {name}:"));
                kernel.constants.push(Constant { name: name.clone(), value: Some(*value), doc });
            }
        }
    }
}

/// The number of an argument, which this permutation may add or turn into weights.
fn argument(kernel: &mut Kernel, key: &str, found: Argument) -> Result<usize, String> {
    let same = |known: &Argument| known.name == found.name && known.written == found.written;
    let Some(at) = kernel.args.iter().position(same) else {
        kernel.args.push(found);
        return Ok(kernel.args.len() - 1);
    };
    let known = &mut kernel.args[at];
    if known.elements != found.elements {
        if known.written {
            return Err(format!("{key}: {} has another type in another permutation", known.name));
        }
        known.elements = Elements::Weights;
    }
    Ok(at)
}

/// The shared piece of every `override` in a preprocessed text.
fn origins(text: &str) -> Vec<(String, Option<String>)> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix(OPEN) {
            open.push(name.to_string());
        } else if line == CLOSE {
            open.pop();
        } else if let Some(rest) = line.strip_prefix("override ") {
            let name = rest.split([':', '=', ';']).next().unwrap_or_default().trim();
            found.push((name.to_string(), open.last().cloned()));
        }
    }
    found
}

/// The comment behind a declaration.
fn comment(text: &str, declaration: &str) -> String {
    let line = text.lines().find(|line| line.contains(declaration)).unwrap_or_default();
    line.split_once("// ").map(|(_, comment)| comment.trim().to_string()).unwrap_or_default()
}

fn elements(
    key: &str,
    name: &str,
    module: &naga::Module,
    ty: naga::Handle<naga::Type>,
) -> Result<Elements, String> {
    let mut inner = &module.types[ty].inner;
    loop {
        let scalar = match inner {
            naga::TypeInner::Array { base, .. } => {
                inner = &module.types[*base].inner;
                continue;
            }
            // Numbers of two kinds are words: floats as bits.
            naga::TypeInner::Struct { members, .. } if !members.is_empty() => {
                let whole = |m: &&naga::StructMember| {
                    module.types[m.ty].inner.scalar_kind() != Some(naga::ScalarKind::Float)
                };
                inner = &module.types[members.iter().find(whole).unwrap_or(&members[0]).ty].inner;
                continue;
            }
            naga::TypeInner::Scalar(scalar) | naga::TypeInner::Vector { scalar, .. } => scalar,
            naga::TypeInner::Atomic(scalar) => scalar,
            _ => return Err(format!("{key}: {name} has an unsupported type")),
        };
        return Ok(if scalar.kind == naga::ScalarKind::Float { Elements::Real } else { Elements::Ids });
    }
}

/// The fields of `Params`, 32 bits each and without gaps.
fn fields(key: &str, module: &naga::Module, ty: naga::Handle<naga::Type>) -> Result<Vec<Field>, String> {
    let naga::TypeInner::Struct { members, span } = &module.types[ty].inner else {
        return Err(format!("{key}: binding 0 is not a struct"));
    };
    let mut fields = Vec::new();
    for member in members {
        let name = member.name.clone().unwrap_or_default();
        let naga::TypeInner::Scalar(scalar) = module.types[member.ty].inner else {
            return Err(format!("{key}: Params.{name} must be a 32-bit scalar"));
        };
        let ty = match scalar.kind {
            naga::ScalarKind::Uint => "u32",
            naga::ScalarKind::Sint => "i32",
            naga::ScalarKind::Float => "f32",
            _ => return Err(format!("{key}: Params.{name} has an unsupported type")),
        };
        if member.offset as usize != 4 * fields.len() {
            return Err(format!("{key}: Params.{name} lies at byte {}", member.offset));
        }
        fields.push(Field { name, ty });
    }
    if *span as usize != 4 * fields.len() {
        return Err(format!("{key}: Params has {span} bytes, its fields {}", 4 * fields.len()));
    }
    Ok(fields)
}

/// Expands ` [F16] [A|B]`: every bracket contributes nothing or one of its choices, a flag or flags joined by
/// `+`.
fn permutations(choices: &str) -> Option<Vec<Vec<&str>>> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    for bracket in choices.split_whitespace() {
        let options = bracket.strip_prefix('[')?.strip_suffix(']')?;
        let mut next = Vec::new();
        for prefix in &all {
            next.push(prefix.clone());
            for option in options.split('|') {
                next.push(prefix.iter().copied().chain(option.split('+')).collect());
            }
        }
        all = next;
    }
    Some(all)
}
