//! The plan as a Graphviz drawing.

use std::fmt::Write as _;

use super::plan::{Plan, size};
use super::{Role, TensorId};

impl Plan {
    /// DOT text: operations as boxes, labelled edges for scratch tensors, ovals for parameters, states,
    /// inputs and outputs.
    pub fn dot(&self) -> String {
        let mut text = format!(
            "digraph {:?} {{\n  rankdir=TB; node [fontname=\"sans-serif\", fontsize=10]; edge [fontname=\"sans-serif\", fontsize=8];\n",
            self.name
        );
        for (id, t) in self.tensors.iter().enumerate().filter(|(_, t)| t.bytes > 0) {
            let (shape, color) = match t.tensor.role {
                Role::Parameter => ("ellipse", "#dbe9f6"),
                Role::State(_) => ("cylinder", "#fde3cf"),
                Role::Input | Role::Lanes | Role::Output | Role::External => ("ellipse", "#dff0d8"),
                Role::Constant(_) => ("ellipse", "#eeeeee"),
                Role::Scratch => continue,
            };
            let _ = writeln!(
                text,
                "  t{id} [label=\"{}\\n{} {}\", shape={shape}, style=filled, fillcolor=\"{color}\"];",
                t.tensor.name,
                t.tensor.ty,
                size(t.bytes as u64)
            );
        }
        let mut writer: Vec<Option<usize>> = vec![None; self.tensors.len()];
        for (at, step) in self.steps.iter().enumerate() {
            let _ =
                writeln!(text, "  s{at} [label=\"{}\\n{}\", shape=box];", step.label, step.variant.name());
            for arg in &step.args {
                self.edge(&mut text, &writer, at, arg.tensor, arg.written);
            }
            for arg in step.args.iter().filter(|a| a.written) {
                writer[arg.tensor.0] = Some(at);
            }
        }
        text.push_str("}\n");
        text
    }

    fn edge(&self, text: &mut String, writer: &[Option<usize>], at: usize, id: TensorId, written: bool) {
        let t = &self.tensors[id.0];
        let _ = match (&t.tensor.role, written, writer[id.0]) {
            (Role::Scratch, false, Some(from)) => {
                writeln!(text, "  s{from} -> s{at} [label=\"{}\"];", t.tensor.ty)
            }
            (Role::Scratch, ..) => Ok(()),
            (_, true, _) => writeln!(text, "  s{at} -> t{};", id.0),
            (_, false, _) => writeln!(text, "  t{} -> s{at};", id.0),
        };
    }
}
