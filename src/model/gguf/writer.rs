//! GGUF files, written: version 3, little-endian. The header is made first, from the types and shapes of all
//! tensors; their bytes follow in the order of [`Header::tensors_in_order`], each from a multiple of the
//! alignment on, so that nobody needs all of them at once.

use std::collections::BTreeMap;

use super::blocks::BlockType;
use super::metadata::{Array, Metadata, Value};
use super::reader::{Header, MAGIC, TensorInfo, alignment};
use crate::error::Result;

const VERSION: u32 = 3;

/// Numbers of the types of values.
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const LIST: u32 = 9;
const U64: u32 = 10;
const I64: u32 = 11;
const F64: u32 = 12;

impl Header {
    /// Of a file of these tensors, one after the other: name, type, shape with the outermost dimension first.
    ///
    /// # Errors
    /// Those of a `general.alignment` that is none.
    pub fn new(metadata: Metadata, tensors: Vec<(String, BlockType, Vec<usize>)>) -> Result<Self> {
        let alignment = alignment(&metadata)?;
        let mut at = 0u64;
        let mut list = BTreeMap::new();
        for (name, kind, shape) in tensors {
            let elements = shape.iter().product::<usize>() as u64;
            let end = at + elements / kind.values() as u64 * kind.bytes() as u64;
            list.insert(name, TensorInfo { kind, shape, bytes: at..end });
            at = end.next_multiple_of(alignment);
        }
        let mut header = Self { metadata, tensors: list };
        // Where the tensors lie changes nothing of the header's own length.
        let data = header.to_bytes(0, alignment).len() as u64;
        header.tensors.values_mut().for_each(|t| t.bytes = t.bytes.start + data..t.bytes.end + data);
        Ok(header)
    }

    /// The tensors in the order of their bytes.
    pub fn tensors_in_order(&self) -> Vec<(&str, &TensorInfo)> {
        let mut list: Vec<_> = self.tensors.iter().map(|(name, info)| (name.as_str(), info)).collect();
        list.sort_unstable_by_key(|(_, info)| info.bytes.start);
        list
    }

    /// The bytes of the file before those of the first tensor.
    ///
    /// # Errors
    /// As [`Header::new`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let data = self.tensors.values().map(|info| info.bytes.start).min().unwrap_or(0);
        Ok(self.to_bytes(data, alignment(&self.metadata)?))
    }

    /// Bytes of the whole file, to the last multiple of the alignment.
    ///
    /// # Errors
    /// As [`Header::new`].
    pub fn file_length(&self) -> Result<u64> {
        let end = self.tensors.values().map(|info| info.bytes.end).max();
        let alignment = alignment(&self.metadata)?;
        Ok(end.unwrap_or_else(|| self.to_bytes(0, alignment).len() as u64).next_multiple_of(alignment))
    }

    fn to_bytes(&self, data: u64, alignment: u64) -> Vec<u8> {
        let mut w = Writer(Vec::new());
        w.0.extend(MAGIC);
        w.u32(VERSION);
        w.u64(self.tensors.len() as u64);
        w.u64(self.metadata.iter().count() as u64);
        for (key, value) in self.metadata.iter() {
            w.text(key);
            w.value(value);
        }
        for (name, info) in self.tensors_in_order() {
            w.text(name);
            w.u32(info.shape.len() as u32);
            info.shape.iter().rev().for_each(|n| w.u64(*n as u64));
            w.u32(info.kind.number());
            w.u64(info.bytes.start - data);
        }
        let length = w.0.len().next_multiple_of(alignment as usize);
        w.0.resize(length, 0);
        w.0
    }
}

/// The header so far.
struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, n: u32) {
        self.0.extend(n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    /// Of integers the 32-bit types where they hold them, of floats too: those are what readers ask for.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Int(n) => {
                let kind = int_type(*n);
                self.u32(kind);
                self.int(kind, *n);
            }
            Value::Float(x) => {
                let kind = float_type(*x);
                self.u32(kind);
                self.float(kind, *x);
            }
            Value::Bool(b) => {
                self.u32(BOOL);
                self.0.push(u8::from(*b));
            }
            Value::Text(text) => {
                self.u32(TEXT);
                self.text(text);
            }
            Value::Array(array) => {
                self.u32(LIST);
                self.list(array);
            }
        }
    }

    fn list(&mut self, array: &Array) {
        let mut head = |kind: u32| {
            self.u32(kind);
            self.u64(array.len() as u64);
        };
        match array {
            Array::Ints(list) => {
                // Signed ones, as token types are.
                let narrow = list.iter().all(|n| i32::try_from(*n).is_ok());
                let kind = if narrow { I32 } else { I64 };
                head(kind);
                list.iter().for_each(|n| self.int(kind, i128::from(*n)));
            }
            Array::Floats(list) => {
                let kind = if list.iter().all(|x| float_type(*x) == F32) { F32 } else { F64 };
                head(kind);
                list.iter().for_each(|x| self.float(kind, *x));
            }
            Array::Bools(list) => {
                head(BOOL);
                self.0.extend(list.iter().map(|b| u8::from(*b)));
            }
            Array::Texts(list) => {
                head(TEXT);
                list.iter().for_each(|text| self.text(text));
            }
        }
    }

    fn int(&mut self, kind: u32, n: i128) {
        // The low bytes are those of every width.
        let bytes = n.to_le_bytes();
        self.0.extend(&bytes[..if matches!(kind, U32 | I32) { 4 } else { 8 }]);
    }

    fn float(&mut self, kind: u32, x: f64) {
        match kind {
            F32 => self.0.extend((x as f32).to_le_bytes()),
            _ => self.0.extend(x.to_le_bytes()),
        }
    }
}

fn int_type(n: i128) -> u32 {
    match n {
        0..=0xffff_ffff => U32,
        n if i32::try_from(n).is_ok() => I32,
        n if n < 0 => I64,
        _ => U64,
    }
}

fn float_type(x: f64) -> u32 {
    if x.is_nan() || f64::from(x as f32) == x { F32 } else { F64 }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::model::gguf::Gguf;

    fn metadata(values: &[(&str, Value)]) -> Metadata {
        Metadata::new("f", values.iter().map(|(key, value)| ((*key).to_string(), value.clone())).collect())
    }

    fn file(header: &Header) -> Vec<u8> {
        let mut bytes = header.bytes().expect("aligned");
        for (_, info) in header.tensors_in_order() {
            bytes.resize(info.bytes.start as usize, 0);
            bytes.extend((info.bytes.clone()).map(|at| at as u8));
        }
        bytes.resize(header.file_length().expect("aligned") as usize, 0);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let values = [
            ("a.int", Value::Int(7)),
            ("a.large", Value::Int(u64::MAX.into())),
            ("a.negative", Value::Int(-5)),
            ("a.least", Value::Int(i64::MIN.into())),
            ("a.float", Value::Float(f64::from(1e-5f32))),
            ("a.double", Value::Float(1e-5)),
            ("a.flag", Value::Bool(true)),
            ("a.text", Value::Text("Ġ ünïcode\n".into())),
            ("a.ints", Value::Array(Array::Ints(vec![3, -1, 4]))),
            ("a.wide", Value::Array(Array::Ints(vec![1 << 40]))),
            ("a.floats", Value::Array(Array::Floats(vec![0.5, -1.0]))),
            ("a.doubles", Value::Array(Array::Floats(vec![0.1]))),
            ("a.flags", Value::Array(Array::Bools(vec![true, false]))),
            ("a.texts", Value::Array(Array::Texts(vec!["x".into(), String::new()]))),
            ("a.nothing", Value::Array(Array::Texts(Vec::new()))),
        ];
        let tensors = vec![
            ("z".to_string(), BlockType::F32, vec![3]),
            ("m".to_string(), BlockType::Q8_0, vec![5, 64]),
            ("a".to_string(), BlockType::F16, vec![2, 3]),
        ];
        for alignment in [None, Some(128)] {
            let mut all = values.to_vec();
            all.extend(alignment.map(|n| ("general.alignment", Value::Int(n))));
            let header = Header::new(metadata(&all), tensors.clone()).expect("aligned");
            let bytes = file(&header);
            assert_eq!(Header::parse(&bytes, bytes.len() as u64, "f").expect("parses"), header);
            let order: Vec<&str> = header.tensors_in_order().into_iter().map(|(name, _)| name).collect();
            assert_eq!(order, ["z", "m", "a"]);
            let step = alignment.unwrap_or(32) as u64;
            assert!(header.tensors.values().all(|t| t.bytes.start.is_multiple_of(step)));
            assert!((bytes.len() as u64).is_multiple_of(step));
            let read = Gguf::from_bytes(bytes, "f").expect("reads");
            assert_eq!(read.tensors()["m"].shape, [5, 64]);
            assert_eq!(read.raw("m").map(<[u8]>::len), Some(10 * 34));
        }
    }

    #[test]
    fn a_file_may_have_no_tensors() {
        let header = Header::new(metadata(&[]), Vec::new()).expect("aligned");
        let bytes = file(&header);
        assert_eq!(bytes.len(), 32);
        assert_eq!(Header::parse(&bytes, 32, "f").expect("parses"), header);
    }
}
