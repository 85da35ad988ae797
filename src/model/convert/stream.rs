//! The bytes of a tensor of the new file, a piece at a time.

use std::io;
use std::ops::Range;

use super::bake::Made;
use super::targets::{Content, Target};
use crate::error::{Error, Result};
use crate::model::checkpoint::Checkpoint;

/// Numbers of a piece, or as many as a row has.
const PIECE: usize = 1 << 20;

/// Why writing ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file system said no.
    Write(io::Error),
    /// Something else.
    Failed(Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Write(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Takes pieces of a tensor.
type Give<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Stop>;

/// Gives out the bytes of a tensor.
pub(super) fn bytes(target: &Target, checkpoint: &Checkpoint, give: Give<'_>) -> Result<(), Stop> {
    match &target.content {
        Content::Blocks => checkpoint.blocks(&target.name)?.chunks(PIECE).try_for_each(give),
        Content::Values(values) => encode(target, checkpoint, values, give),
        Content::Made(made) => {
            let read = |rows, columns| made.rows(checkpoint, rows, columns);
            by_rows(target, checkpoint, &read, &|| made.all(checkpoint), give)
        }
        Content::Parts(parts) => match &parts[..] {
            // Nothing but its name and type is another.
            [part] if part.place.is_whole() => {
                let read = |rows: Range<usize>, columns: usize| {
                    checkpoint.f32_part(&part.name, rows.start * columns..rows.end * columns)
                };
                by_rows(target, checkpoint, &read, &|| checkpoint.f32(&part.name), give)
            }
            parts => {
                let mut all = vec![0.0; target.shape.iter().product()];
                for part in parts {
                    part.place.put(&checkpoint.f32(&part.name)?, &part.shape, &mut all);
                }
                encode(target, checkpoint, &all, give)
            }
        },
    }
}

/// A tensor that lies in the new file as we have it: a matrix by rows, of so many columns; others at once.
fn by_rows(
    target: &Target,
    checkpoint: &Checkpoint,
    read: &dyn Fn(Range<usize>, usize) -> Result<Vec<f32>>,
    all: &dyn Fn() -> Result<Vec<f32>>,
    give: Give<'_>,
) -> Result<(), Stop> {
    let [rows, columns] = match target.shape[..] {
        [rows, columns] => [rows, columns],
        _ => return encode(target, checkpoint, &all()?, give),
    };
    let most = (PIECE / columns.max(1)).max(1);
    for first in (0..rows).step_by(most) {
        let values = read(first..rows.min(first + most), columns)?;
        encode(target, checkpoint, &values, give)?;
    }
    Ok(())
}

fn encode(target: &Target, checkpoint: &Checkpoint, values: &[f32], give: Give<'_>) -> Result<(), Stop> {
    let mut out = Vec::new();
    for values in values.chunks(PIECE.next_multiple_of(target.kind.values())) {
        out.clear();
        target.kind.encode(values, &mut out).map_err(|at| {
            let ours = match &target.content {
                Content::Parts(parts) => parts.first().map_or("", |part| &part.name),
                Content::Made(Made::Whole(name)) => name,
                _ => &target.name,
            };
            let error = checkpoint.too_large(ours, values[at], target.kind);
            error.help("convert it to weights of f32")
        })?;
        give(&out)?;
    }
    Ok(())
}
