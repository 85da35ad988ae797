//! WGSL whose every index and divisor is looked at before it is used: naga says where they stand and how long
//! the arrays are, the text is edited there, and naga is asked once more whether one was missed.

use std::collections::BTreeMap;

use naga::proc::TypeResolution;
use naga::valid::{Capabilities, FunctionInfo, ValidationFlags, Validator};
use naga::{ArraySize, BinaryOperator, Expression, Function, Handle, Literal, Module, ScalarKind, TypeInner};

use crate::wrapped::{bare, with_main};

/// Places of a shader.
pub const PLACES: usize = 512;

/// A shader that keeps in the storage buffer after its own: at 0, that it ran; at a place's number, the
/// invocations whose last fault it was; `PLACES` behind it, the largest index (or 1, of a divisor).
pub struct Watched {
    pub source: String,
    /// By number, from 1 on: what is read there.
    pub places: Vec<String>,
}

/// A text put around a part of the shader: what is looked at, before it is used.
struct Edit {
    /// Where the part begins and ends.
    part: (usize, usize),
    function: &'static str,
    /// What the function is told beside the value and the place.
    bound: Option<String>,
    /// For messages.
    text: String,
}

fn parsed(text: &str) -> (Module, naga::valid::ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(text)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32);
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}", e.emit_to_string(text)));
    (module, info)
}

/// All functions of a module with what is known of them.
fn functions<'a>(
    module: &'a Module,
    info: &'a naga::valid::ModuleInfo,
) -> Vec<(&'a Function, &'a FunctionInfo)> {
    let plain = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module.entry_points.iter().enumerate();
    plain.chain(entries.map(|(at, entry)| (&entry.function, info.get_entry_point(at)))).collect()
}

/// What a function's expression is made of: the type behind a pointer.
fn target<'a>(module: &'a Module, info: &'a FunctionInfo, of: Handle<Expression>) -> (&'a TypeInner, bool) {
    let inner = match &info[of].ty {
        TypeResolution::Handle(ty) => &module.types[*ty].inner,
        TypeResolution::Value(inner) => inner,
    };
    match inner {
        TypeInner::Pointer { base, .. } => (&module.types[*base].inner, true),
        inner => (inner, matches!(inner, TypeInner::ValuePointer { .. })),
    }
}

/// The variable that a chain of accesses begins with.
fn root<'a>(module: &'a Module, function: &Function, mut of: Handle<Expression>) -> &'a str {
    loop {
        match function.expressions[of] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => of = base,
            Expression::GlobalVariable(global) => {
                return module.global_variables[global].name.as_deref().expect("globals have names");
            }
            ref other => panic!("an array of unknown length in {other:?}"),
        }
    }
}

/// How many elements can be indexed in what `base` is or points to: as text, and whether naga does not know.
fn length(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    base: Handle<Expression>,
) -> Option<(String, bool)> {
    let known = |n: u32| Some((format!("{n}u"), false));
    match *target(module, info, base).0 {
        TypeInner::Array { size: ArraySize::Constant(n), .. } => known(n.get()),
        TypeInner::Array { size: ArraySize::Pending(size), .. } => {
            let name = module.overrides[size].name.as_deref().expect("overrides have names");
            Some((name.to_string(), true))
        }
        TypeInner::Array { size: ArraySize::Dynamic, .. } => {
            Some((format!("arrayLength(&{})", root(module, function, base)), true))
        }
        TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => {
            known(size as u32)
        }
        TypeInner::Matrix { columns, .. } => known(columns as u32),
        _ => None,
    }
}

fn kind(module: &Module, info: &FunctionInfo, of: Handle<Expression>) -> Option<ScalarKind> {
    target(module, info, of).0.scalar_kind()
}

/// Whether an expression is a number, and not zero.
fn not_zero(module: &Module, function: &Function, of: Handle<Expression>) -> bool {
    let literal = match &function.expressions[of] {
        Expression::Literal(literal) => *literal,
        Expression::Constant(constant) => {
            match &module.global_expressions[module.constants[*constant].init] {
                Expression::Literal(literal) => *literal,
                _ => return false,
            }
        }
        Expression::Splat { value, .. } => return not_zero(module, function, *value),
        _ => return false,
    };
    !matches!(literal, Literal::U32(0) | Literal::I32(0 | -1))
}

/// Whether this divides whole numbers by something that may be none.
fn divides(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    expression: &Expression,
) -> Option<Handle<Expression>> {
    let Expression::Binary { op: BinaryOperator::Divide | BinaryOperator::Modulo, right, .. } = *expression
    else {
        return None;
    };
    let whole = matches!(kind(module, info, right), Some(ScalarKind::Uint | ScalarKind::Sint));
    (whole && !not_zero(module, function, right)).then_some(right)
}

/// Where the bracket that closes at the end of a text opened.
fn opens(text: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b']' | b')' => depth += 1,
            b'[' | b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a bracket was never opened: {text}")
}

/// Where the divisor of a quotient begins: after the last operator outside brackets.
fn divisor(text: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b']' | b')' => depth += 1,
            b'[' | b'(' => depth -= 1,
            b'/' | b'%' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    panic!("no operator: {text}")
}

/// Everything to be looked at, by place: what is written once is one place, however often naga has it.
fn edits(module: &Module, info: &naga::valid::ModuleInfo, text: &str) -> Vec<Edit> {
    let mut found: BTreeMap<(usize, usize), Edit> = BTreeMap::new();
    for (function, of) in functions(module, info) {
        for (handle, expression) in function.expressions.iter() {
            let Some(range) = function.expressions.get_span(handle).to_range() else { continue };
            let written = &text[range.clone()];
            let edit = match *expression {
                Expression::Access { base, index } => {
                    let (bound, _) =
                        length(module, function, of, base).expect("what is indexed has a length");
                    let signed = kind(module, of, index) == Some(ScalarKind::Sint);
                    let function = if signed { "within_signed" } else { "within" };
                    let part = (range.start + opens(written) + 1, range.end - 1);
                    Edit { part, function, bound: Some(bound), text: written.into() }
                }
                Expression::AccessIndex { base, .. } => {
                    let Some((bound, true)) = length(module, function, of, base) else { continue };
                    let part = (range.start + opens(written) + 1, range.end - 1);
                    Edit { part, function: "within", bound: Some(bound), text: written.into() }
                }
                _ => {
                    let Some(right) = divides(module, function, of, expression) else { continue };
                    let signed = kind(module, of, right) == Some(ScalarKind::Sint);
                    let function = if signed { "divisor_signed" } else { "divisor" };
                    let part = (range.start + divisor(written), range.end);
                    Edit { part, function, bound: None, text: written.into() }
                }
            };
            found.insert(edit.part, edit);
        }
    }
    found.into_values().collect()
}

/// The text with all edits.
fn edited(text: &str, edits: &[Edit]) -> String {
    // At the same place: what closes before what opens; of these the outer first, of those the inner.
    let mut inserted: Vec<((usize, bool, usize), String)> = Vec::new();
    for (at, edit) in edits.iter().enumerate() {
        let (start, end) = edit.part;
        let bound = edit.bound.as_ref().map(|bound| format!(", {bound}")).unwrap_or_default();
        inserted.push(((start, true, usize::MAX - end), format!("{}(", edit.function)));
        inserted.push(((end, false, usize::MAX - start), format!("{bound}, {}u)", at + 1)));
    }
    inserted.sort_by_key(|(key, _)| *key);
    let (mut out, mut from) = (String::new(), 0);
    for ((at, ..), insertion) in inserted {
        out += &text[from..at];
        out += &insertion;
        from = at;
    }
    out + &text[from..]
}

const HELPERS: &str = "
var<private> fault: vec2<u32>;
fn within(i: u32, length: u32, place: u32) -> u32 {
    fault = select(fault, vec2<u32>(place, i), i >= length);
    return i;
}
fn within_signed(i: i32, length: u32, place: u32) -> i32 {
    fault = select(fault, vec2<u32>(place, u32(i)), u32(i) >= length);
    return i;
}
fn divisor(n: u32, place: u32) -> u32 {
    fault = select(fault, vec2<u32>(place, 1u), n == 0u);
    return n;
}
fn divisor_signed(n: i32, place: u32) -> i32 {
    fault = select(fault, vec2<u32>(place, 1u), n == 0i || n == -1i);
    return n;
}
";

/// Fails where a dynamic index or a divisor does not come from one of the functions above.
fn none_was_missed(text: &str) {
    let (module, info) = parsed(text);
    // But not in the entry point, which is ours.
    for (function, of) in functions(&module, &info).into_iter().take(module.functions.len()) {
        let looked_at = |value: Handle<Expression>, by: &str| match function.expressions[value] {
            Expression::CallResult(called) => {
                module.functions[called].name.as_deref().is_some_and(|name| name.starts_with(by))
            }
            _ => false,
        };
        for (handle, expression) in function.expressions.iter() {
            let missed = match *expression {
                Expression::Access { index, .. } => !looked_at(index, "within"),
                Expression::AccessIndex { base, .. } => {
                    length(&module, function, of, base).is_some_and(|(_, unknown)| unknown)
                }
                _ => divides(&module, function, of, expression)
                    .is_some_and(|right| !looked_at(right, "divisor")),
            };
            let span = function.expressions.get_span(handle).to_range().unwrap_or_default();
            assert!(!missed, "not looked at: {}", &text[span]);
        }
    }
}

/// A shader that watches its indices and divisors.
pub fn watched(source: &str, binding: usize) -> Watched {
    let text = bare(source);
    let (module, info) = parsed(&text);
    let edits = edits(&module, &info, &text);
    assert!(edits.len() < PLACES, "{} places", edits.len());
    let globals = format!(
        "@group(0) @binding({binding}) var<storage, read_write> faults: array<atomic<u32>>;\n{HELPERS}"
    );
    let after = format!(
        "atomicMax(&faults[0], 1u);\nif fault.x > 0u {{\natomicAdd(&faults[fault.x], 1u);\n\
         atomicMax(&faults[fault.x + {PLACES}u], fault.y);\n}}\n"
    );
    let source = with_main(&edited(&text, &edits), &globals, &after);
    none_was_missed(&source);
    let place = |edit: &Edit| match &edit.bound {
        Some(bound) => format!("{} of {bound}", edit.text),
        None => edit.text.clone(),
    };
    Watched { source, places: edits.iter().map(place).collect() }
}

/// Edits where they belong, and none is missed in any shader.
pub fn places_are_found() {
    let source = "
        override N: u32;
        @group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
        @group(0) @binding(2) var<storage, read_write> y: array<f32>;
        var<workgroup> tile: array<u32, N>;
        const TEN: u32 = 10u;
        @compute @workgroup_size(4)
        fn main(@builtin(local_invocation_index) i: u32) { // x[y / 0]
            tile[i % TEN] = i / (N - 1u) % 7u;
            let at = tile[tile[i] / N];
            if x[0].y > 1.0 && at > 3u { return; }
            y[at] += x[at / 4u][at % 4u];
        }";
    let Watched { source, places } = watched(source, 3);
    for part in [
        "tile[within(i % TEN, N, ",
        "i /divisor( (N - 1u), ",
        "tile[within(tile[within(i, N, ",
        "x[within(0, arrayLength(&x), ",
        "y[within(at, arrayLength(&y), ",
        "x[within(at / 4u, arrayLength(&x), ",
        "[within(at % 4u, 4u, ",
    ] {
        assert!(source.contains(part), "{part} is not in {source}");
    }
    assert_eq!(places.len(), 9, "{places:?}");
}
