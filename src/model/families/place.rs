//! Where our tensors lie in the files of other families.

use std::ops::Range;

/// Where a tensor of ours lies in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name in the file.
    pub name: String,
    /// Its rows there, in our order; all of them where none are named.
    pub rows: Vec<Range<usize>>,
    /// Rows of the tensor in the file, of which `rows` are some.
    pub of: usize,
    /// The file has columns for rows.
    pub transposed: bool,
}

impl Place {
    pub(super) fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), rows: Vec::new(), of: 0, transposed: false }
    }

    /// Some rows of `of`.
    pub(super) fn rows(name: impl Into<String>, rows: Vec<Range<usize>>, of: usize) -> Self {
        Self { name: name.into(), rows, of, transposed: false }
    }

    pub(super) fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// Whether it is a tensor of the file as it is there.
    pub fn is_whole(&self) -> bool {
        self.rows.is_empty() && !self.transposed
    }

    /// The shape of the tensor in the file, of one of ours of this shape.
    pub fn shape_in_file(&self, ours: &[usize]) -> Vec<usize> {
        let mut shape = ours.to_vec();
        if let (false, Some(rows)) = (self.rows.is_empty(), shape.first_mut()) {
            *rows = self.of;
        }
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// The shape of our tensor, from that of the file's.
    pub fn shape_of_ours(&self, file: &[usize]) -> Vec<usize> {
        let mut shape = file.to_vec();
        if self.transposed {
            shape.reverse();
        }
        if let (false, Some(rows)) = (self.rows.is_empty(), shape.first_mut()) {
            *rows = self.rows.iter().map(Range::len).sum();
        }
        shape
    }

    /// Elements of ours, in order, as places in the file's tensor.
    fn elements(&self, ours: &[usize]) -> impl Iterator<Item = usize> {
        let (count, columns) =
            (ours.first().copied().unwrap_or(1), ours[1.min(ours.len())..].iter().product());
        let all = if self.rows.is_empty() { count } else { self.of };
        let rows: Vec<Range<usize>> =
            if self.rows.is_empty() { std::iter::once(0..count).collect() } else { self.rows.clone() };
        let transposed = self.transposed && ours.len() > 1;
        rows.into_iter().flatten().flat_map(move |row| {
            (0..columns)
                .map(move |column| if transposed { column * all + row } else { row * columns + column })
        })
    }

    /// Where some rows of ours lie in the file, of a tensor that is not transposed.
    pub fn rows_in_file(&self, ours: Range<usize>) -> impl Iterator<Item = usize> {
        let whole = self.rows.is_empty().then_some(0..usize::MAX);
        let rows = whole.into_iter().chain(self.rows.iter().cloned()).flatten();
        rows.skip(ours.start).take(ours.len())
    }

    /// Our tensor, of this shape, from the file's.
    pub fn take<T: Copy>(&self, file: Vec<T>, ours: &[usize]) -> Vec<T> {
        if self.is_whole() {
            return file;
        }
        self.elements(ours).map(|at| file[at]).collect()
    }

    /// Puts our tensor, of this shape, into the file's.
    pub fn put<T: Copy>(&self, values: &[T], ours: &[usize], file: &mut [T]) {
        self.elements(ours).zip(values).for_each(|(at, value)| file[at] = *value);
    }
}

/// `("model.layers.3.", "self_attn.q_proj.weight")` of `model.layers.3.self_attn.q_proj.weight`: the layer's
/// number and the rest.
pub(super) fn layer(ours: &str) -> Option<(&str, &str)> {
    ours.strip_prefix("model.layers.")?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_go_there_and_back() {
        let fused = Place::rows("f", vec![4..6, 0..2], 8);
        for place in [Place::whole("w"), Place::whole("w").transposed(), fused.clone(), fused.transposed()] {
            let ours = [4, 3];
            let shape = place.shape_in_file(&ours);
            let file: Vec<usize> = (0..shape.iter().product()).collect();
            let taken = place.take(file.clone(), &ours);
            let mut back = file.clone();
            taken.iter().for_each(|at| back[*at] = usize::MAX);
            place.put(&taken, &ours, &mut back);
            assert_eq!((taken.len(), back), (12, file), "{place:?}");
        }
        let column = Place::rows("f", vec![4..6, 0..2], 8).transposed();
        assert_eq!(column.shape_in_file(&[4, 3]), [3, 8]);
        assert_eq!(column.take((0..24).collect(), &[4, 3])[..4], [4, 12, 20, 5]);
        assert_eq!(Place::rows("b", vec![2..4, 0..1], 6).take((0..6).collect(), &[3]), [2, 3, 0]);
    }
}
