//! Rust from what was reflected: for each shader a module with its constants, `Params`, `Args`, `Flags` and
//! `Overrides`, and the table of permutations. What is generated names things by strings and numbers so that
//! nothing else has to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Source;
use crate::reflect::{Argument, Elements, Kernel, Length, Override, Permutation};

/// The whole of `shaders.rs`; `small`: with shaders that nobody reads, of which a download gets shorter.
pub fn everything(kernels: &[Kernel], shaders: &[Source], shared: &[Source], small: bool) -> String {
    let mut text = String::new();
    let mut pieces: BTreeMap<&str, Vec<&Override>> = BTreeMap::new();
    for kernel in kernels {
        for o in &kernel.overrides {
            if let Some(piece) = &o.piece {
                let known = pieces.entry(piece).or_default();
                if !known.iter().any(|k| k.name == o.name) {
                    known.push(o);
                }
            }
        }
    }
    text.push_str("/// Every permutation of every shader.\npub static PERMUTATIONS: &[Permutation] = &[\n");
    for kernel in kernels {
        for (index, permutation) in kernel.permutations.iter().enumerate() {
            table_entry(&mut text, kernel, index, permutation);
        }
    }
    text.push_str("];\n");
    for (list, sources, what) in
        [("SOURCES", shaders, "shader files by stem"), ("SHARED", shared, "shared pieces")]
    {
        let _ = writeln!(text, "/// The {what}.\npub static {list}: &[(&str, &str)] = &[");
        for source in sources {
            let _ = match small {
                true => writeln!(text, "    ({:?}, {:?}),", source.stem, bare(&source.text)),
                false => {
                    let path = source.path.display().to_string();
                    writeln!(text, "    ({:?}, include_str!({path:?})),", source.stem)
                }
            };
        }
        text.push_str("];\n");
    }
    text.push_str("/// The `override` values that shared pieces declare.\npub mod shared {\n");
    for (piece, list) in &pieces {
        let _ = writeln!(text, "    /// Of `shaders/shared/{piece}.wgsl`.");
        let fields = list.iter().map(|o| override_field(o));
        struct_of_overrides(&mut text, &camel(piece), fields);
    }
    text.push_str("}\n");
    // The number of a kernel's first permutation in the table.
    let mut first = 0;
    for kernel in kernels {
        module(&mut text, kernel, first, &pieces);
        first += kernel.permutations.len();
    }
    text
}

/// A shader without comments and indentation; its lines stay where they are. (WGSL has no strings.)
fn bare(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.collect::<Vec<_>>().join("\n")
}

fn table_entry(text: &mut String, kernel: &Kernel, index: usize, permutation: &Permutation) {
    let key = std::iter::once(&kernel.stem).chain(&permutation.flags).cloned().collect::<Vec<_>>().join("+");
    let args: Vec<&str> = permutation.args.iter().map(|a| kernel.args[*a].name.as_str()).collect();
    let written: Vec<bool> = permutation.args.iter().map(|a| kernel.args[*a].written).collect();
    let names: Vec<&str> = kernel.overrides.iter().map(|o| o.name.as_str()).collect();
    let present: Vec<bool> = (0..names.len()).map(|o| permutation.overrides.contains(&o)).collect();
    let length = |length: &Length| match length {
        Length::Fixed(n) => format!("Length::Fixed({n})"),
        Length::Override(o) => format!("Length::Override({o})"),
    };
    let arrays = permutation.workgroup.iter().map(|(stride, n)| format!("({stride}, {})", length(n)));
    let workgroup = arrays.collect::<Vec<_>>().join(", ");
    let size = permutation.size.each_ref().map(length).join(", ");
    let (stem, flags, cooperative) = (&kernel.stem, &permutation.flags, permutation.cooperative);
    let _ = writeln!(
        text,
        "    Permutation {{ key: {key:?}, stem: {stem:?}, flags: &{flags:?}, index: {index}, args: &{args:?}, \
         written: &{written:?}, overrides: &{names:?}, present: &{present:?}, workgroup: &[{workgroup}], \
         size: [{size}], cooperative: {cooperative} }},"
    );
}

fn module(text: &mut String, kernel: &Kernel, first: usize, pieces: &BTreeMap<&str, Vec<&Override>>) {
    let stem = &kernel.stem;
    let _ = writeln!(text, "/// The contract of the shader `{stem}.wgsl`.\npub mod {stem} {{");
    let _ = writeln!(
        text,
        "    #[allow(unused_imports, reason = \"generated for all kernels alike\")]\n    use super::*;\n\n    const STEM: &str = {stem:?};\n"
    );
    if let Some(n) = kernel.invocations {
        let _ =
            writeln!(text, "    /// Invocations of a workgroup.\n    pub const INVOCATIONS: usize = {n};\n");
    }
    for c in &kernel.constants {
        let (doc, name, Some(value)) = (described(&c.name, &c.doc), &c.name, c.value) else { continue };
        let _ = writeln!(text, "    /// {doc}\n    pub const {name}: usize = {value};\n");
    }
    let _ = writeln!(
        text,
        "    /// The uniform block.\n    #[repr(C)]\n    #[derive(Clone, Copy, Debug, Default, PartialEq, \
         bytemuck::Pod, bytemuck::Zeroable)]\n    pub struct Params {{"
    );
    for f in &kernel.params {
        let _ = writeln!(text, "        /// `{}` in the shader.\n        pub {}: {},", f.name, f.name, f.ty);
    }
    text.push_str("    }\n\n");
    arguments(text, kernel);
    let flagged = !kernel.flags.is_empty();
    if flagged {
        flags(text, kernel, first);
    }
    overrides(text, kernel, first, pieces);
    let _ = writeln!(
        text,
        "    /// Whether a variant is of this shader.\n    pub fn is(variant: &Variant) -> bool {{\n        \
         variant.stem() == STEM\n    }}\n}}\n"
    );
}

/// `Args`: the tensors of a twin, by name.
fn arguments(text: &mut String, kernel: &Kernel) {
    let always = |a: usize| kernel.permutations.iter().all(|p| p.args.contains(&a));
    text.push_str(
        "    /// The tensors of the CPU twin.\n    #[derive(Debug)]\n    pub struct Args<'a, R> {\n",
    );
    for (at, a) in kernel.args.iter().enumerate() {
        let (ty, _) = seen(a);
        let ty = if always(at) { ty.to_string() } else { format!("Option<{ty}>") };
        let _ = writeln!(
            text,
            "        /// {}\n        pub {}: {ty},",
            described(&a.name, &a.doc),
            place(kernel, at)
        );
    }
    text.push_str("        #[doc(hidden)]\n        pub of: std::marker::PhantomData<&'a R>,\n    }\n\n");
    let n = kernel.args.len();
    let _ = writeln!(
        text,
        "    impl<'a, R: Real> Args<'a, R> {{\n        /// The tensors of one step, in the order of its \
         permutation; `None` if the step is of another shader.\n        pub fn try_bind(views: &mut Views<'a, R>) \
         -> Option<Self> {{\n            const PLACES: &[[u8; {n}]] = &["
    );
    for p in &kernel.permutations {
        let places = (0..n).map(|a| p.args.iter().position(|x| *x == a).unwrap_or(255).to_string());
        let _ = writeln!(text, "                [{}],", places.collect::<Vec<_>>().join(", "));
    }
    text.push_str(
        "            ];\n            let places = PLACES[views.index(STEM)?];\n            Some(Self {\n",
    );
    for (at, a) in kernel.args.iter().enumerate() {
        let (_, take) = seen(a);
        let name = place(kernel, at);
        let _ = if always(at) {
            writeln!(text, "                {name}: views.{take}(places[{at}] as usize),")
        } else {
            writeln!(
                text,
                "                {name}: (places[{at}] < 255).then(|| views.{take}(places[{at}] as usize)),"
            )
        };
    }
    text.push_str("                of: std::marker::PhantomData,\n            })\n        }\n\n");
    text.push_str("        /// The tensors of one step of this shader.\n        pub fn bind(views: &mut Views<'a, R>) -> Self {\n");
    text.push_str(
        "            Self::try_bind(views).expect(\"the step runs this shader\")\n        }\n    }\n\n",
    );
}

/// What a twin sees of an argument: its type, and the method of `Views` that takes it.
fn seen(a: &Argument) -> (&'static str, &'static str) {
    match (a.elements, a.written) {
        (Elements::Real, false) => ("&'a [R]", "real"),
        (Elements::Real, true) => ("&'a mut [R]", "real_mut"),
        (Elements::Ids, false) => ("&'a [u32]", "ids"),
        (Elements::Ids, true) => ("&'a mut [u32]", "ids_mut"),
        (Elements::Weights, _) => ("Weights<'a, R>", "weights"),
    }
}

/// The field of an argument; one that some permutations read and others write has two.
fn place(kernel: &Kernel, at: usize) -> String {
    let a = &kernel.args[at];
    let both = kernel.args.iter().filter(|other| other.name == a.name).count() > 1;
    field(&a.name) + if both && a.written { "_mut" } else { "" }
}

/// `Flags`: which permutation.
fn flags(text: &mut String, kernel: &Kernel, first: usize) {
    text.push_str(
        "    /// Which permutation.\n    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]\n    pub struct Flags {\n",
    );
    for flag in &kernel.flags {
        let _ = writeln!(text, "        /// `{flag}`.\n        pub {}: bool,", field(flag));
    }
    text.push_str("    }\n\n    impl Flags {\n        fn permutation(self) -> &'static Permutation {\n");
    text.push_str("            match self {\n");
    for (index, p) in kernel.permutations.iter().enumerate() {
        let pattern = kernel.flags.iter().map(|f| format!("{}: {}", field(f), p.flags.contains(f)));
        let pattern = pattern.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "                Flags {{ {pattern} }} => &PERMUTATIONS[{}],", first + index);
    }
    if kernel.permutations.len() < 1 << kernel.flags.len() {
        let stem = &kernel.stem;
        let _ = writeln!(
            text,
            "                other => panic!(\"{stem}.wgsl lists no permutation {{other:?}}\"),"
        );
    }
    text.push_str("            }\n        }\n    }\n\n");
}

/// `Overrides`, and how they become a variant and are found in one.
fn overrides(text: &mut String, kernel: &Kernel, first: usize, pieces: &BTreeMap<&str, Vec<&Override>>) {
    let flagged = !kernel.flags.is_empty();
    let (parameter, chosen) = if flagged {
        (", flags: Flags", "flags.permutation()".to_string())
    } else {
        ("", format!("&PERMUTATIONS[{first}]"))
    };
    if kernel.overrides.is_empty() {
        let parameter = parameter.trim_start_matches(", ");
        let _ = writeln!(
            text,
            "    /// The variant.\n    pub fn variant({parameter}) -> Variant {{\n        \
             Variant::of({chosen}, Vec::new())\n    }}\n"
        );
        return;
    }
    // Fields in the order of the shader: its own overrides, and one struct for each piece.
    let mut own: Vec<(String, String, String)> = Vec::new();
    let mut of_pieces: Vec<(&str, bool)> = Vec::new();
    for (at, o) in kernel.overrides.iter().enumerate() {
        match &o.piece {
            None => own.push(override_field(o)),
            Some(piece) => {
                let everywhere = kernel.permutations.iter().all(|p| p.overrides.contains(&at));
                match of_pieces.iter_mut().find(|(known, _)| known == piece) {
                    Some((_, always)) => *always &= everywhere,
                    None => of_pieces.push((piece, everywhere)),
                }
            }
        }
    }
    let fields = own.iter().cloned().chain(of_pieces.iter().map(|(piece, always)| {
        let ty = format!("shared::{}", camel(piece));
        let ty = if *always { ty } else { format!("Option<{ty}>") };
        (
            piece.to_string(),
            format!("Of `shared/{piece}.wgsl`{}.", if *always { "" } else { ", where it is imported" }),
            ty,
        )
    }));
    text.push_str("    /// The `override` values.\n");
    struct_of_overrides(text, "Overrides", fields);
    let _ = writeln!(
        text,
        "\n    impl Overrides {{\n        /// The variant with these values.\n        pub fn variant(&self{parameter}) \
         -> Variant {{\n            Variant::of({chosen}, vec!["
    );
    for o in &kernel.overrides {
        let name = field(&o.name);
        let value = match &o.piece {
            None => cast(o, &format!("self.{name}")),
            Some(piece) if of_pieces.iter().any(|(p, always)| p == piece && *always) => {
                cast(o, &format!("self.{piece}.{name}"))
            }
            Some(piece) => format!("self.{piece}.map_or(f64::NAN, |p| {})", cast(o, &format!("p.{name}"))),
        };
        let _ = writeln!(text, "                {value},");
    }
    let _ = writeln!(
        text,
        "            ])\n        }}\n\n        /// Bytes of workgroup memory that the variant takes.\n        \
         pub fn workgroup_bytes(&self{parameter}) -> usize {{\n            self.variant({}).workgroup_bytes()\n        }}\n",
        if flagged { "flags" } else { "" }
    );
    let stem = &kernel.stem;
    let _ = writeln!(
        text,
        "        /// The values of a variant of this shader.\n        pub fn of(variant: &Variant) -> Self {{\n            \
         assert!(is(variant), \"a variant of {{}} is taken for one of {stem}\", variant.stem());\n            \
         let v = variant.values();\n            Self {{"
    );
    for (at, o) in kernel.overrides.iter().enumerate().filter(|(_, o)| o.piece.is_none()) {
        let _ = writeln!(text, "                {}: {},", field(&o.name), back(o, at));
    }
    for (piece, always) in &of_pieces {
        let at = |name: &str| {
            kernel.overrides.iter().position(|o| o.name == name && o.piece.as_deref() == Some(piece))
        };
        // What this shader never declares of a piece keeps its zero.
        let inside = pieces[piece].iter().map(|o| match at(&o.name) {
            Some(at) => format!("{}: {}", field(&o.name), back(o, at)),
            None => format!("{}: Default::default()", field(&o.name)),
        });
        let inside = format!("shared::{} {{ {} }}", camel(piece), inside.collect::<Vec<_>>().join(", "));
        let one = kernel.overrides.iter().position(|o| o.piece.as_deref() == Some(piece)).unwrap_or_default();
        let _ = if *always {
            writeln!(text, "                {piece}: {inside},")
        } else {
            writeln!(text, "                {piece}: (!v[{one}].is_nan()).then(|| {inside}),")
        };
    }
    text.push_str("            }\n        }\n    }\n\n");
}

/// Name, description and type of the field of an `override`.
fn override_field(o: &Override) -> (String, String, String) {
    (field(&o.name), described(&o.name, &o.doc), number(o).to_string())
}

fn struct_of_overrides(
    text: &mut String,
    name: &str,
    fields: impl Iterator<Item = (String, String, String)>,
) {
    let _ = writeln!(text, "    #[derive(Clone, Copy, Debug, PartialEq)]\n    pub struct {name} {{");
    for (field, doc, ty) in fields {
        let _ = writeln!(text, "        /// {doc}\n        pub {field}: {ty},");
    }
    text.push_str("    }\n");
}

/// The name of a field: `ROW_TILE` is `row_tile`.
fn field(name: &str) -> String {
    name.to_lowercase()
}

/// The name of a type: `row_tile` is `RowTile`.
fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn described(name: &str, doc: &str) -> String {
    if doc.is_empty() { format!("`{name}` in the shader.") } else { format!("`{doc}`") }
}

/// Kernels count in `usize` and compute in `f64`; a pipeline takes every value as `f64`.
fn number(o: &Override) -> &'static str {
    match o.scalar.kind {
        naga::ScalarKind::Float => "f64",
        naga::ScalarKind::Bool => "bool",
        _ => "usize",
    }
}

fn cast(o: &Override, value: &str) -> String {
    match number(o) {
        "f64" => value.to_string(),
        "bool" => format!("f64::from({value})"),
        _ => format!("{value} as f64"),
    }
}

fn back(o: &Override, at: usize) -> String {
    match number(o) {
        "f64" => format!("v[{at}]"),
        "bool" => format!("v[{at}] != 0.0"),
        _ => format!("v[{at}] as usize"),
    }
}
