//! The package's options are declared twice: in TypeScript for who writes a page, in Rust for who reads them.
//! Here the two are compared: names, kinds, and the defaults that the comments tell.

use std::collections::BTreeMap;

use serde::de::value::{Error, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_json::Value;

use super::train::TrainOptions;
use super::{EngineOptions, LoadOptions};
use crate::bench::BenchOptions;
use crate::model::GenerateOptions;

const TYPES: &str = include_str!("../../../web/src/types.ts");

/// What the page's end of the package does itself; it never comes here.
const OF_THE_PAGE: [&str; 3] = ["signal", "cache", "base"];

/// The kind of a value, as far as both languages have it.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Boolean,
    Number,
    Text,
    /// One of some words.
    Word(Vec<String>),
    List(Box<Kind>),
    Tuple(Vec<Kind>),
    /// A JSON object of any content.
    Object,
}

type Fields = BTreeMap<String, Kind>;

// In Rust: what a type asks its deserializer for.
// -----------------------------------------------------------------------------------------------------------

/// Keeps the kind that a value asks for, and gives the least that will do.
struct Ask<'a>(&'a mut Option<Kind>);

/// Methods that ask for a kind, and its least value.
macro_rules! ask {
    ($($method:ident)* => $kind:expr, |$visitor:ident| $least:expr) => {
        $(fn $method<V: Visitor<'de>>(self, $visitor: V) -> Result<V::Value, Error> {
            *self.0 = Some($kind);
            $least
        })*
    };
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Error;

    ask!(deserialize_any => Kind::Object, |visitor| visitor.visit_unit());
    ask!(deserialize_bool => Kind::Boolean, |visitor| visitor.visit_bool(false));
    ask!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16
        deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64
        => Kind::Number, |visitor| visitor.visit_u8(0));
    ask!(deserialize_str deserialize_string => Kind::Text, |visitor| visitor.visit_str(""));

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut items = Items { kinds: Vec::new(), left: 1 };
        let value = visitor.visit_seq(&mut items)?;
        *self.0 = items.kinds.pop().map(|kind| Kind::List(Box::new(kind)));
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let mut items = Items { kinds: Vec::new(), left: len };
        let value = visitor.visit_seq(&mut items)?;
        *self.0 = Some(Kind::Tuple(items.kinds));
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(Kind::Word(variants.iter().map(ToString::to_string).collect()));
        visitor.visit_enum(variants[0].into_deserializer())
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct newtype_struct tuple_struct map struct identifier ignored_any
        i128 u128
    }
}

struct Items {
    kinds: Vec<Kind>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut kind = None;
        let value = seed.deserialize(Ask(&mut kind))?;
        self.kinds.extend(kind);
        Ok(Some(value))
    }
}

/// Asks a struct for its fields, and each field for its kind.
struct Struct<'a>(&'a mut Fields);

impl<'de> Deserializer<'de> for Struct<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("options are a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let each = Each { left: fields.iter(), name: "", found: self.0 };
        MapAccessDeserializer::new(each).deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Each<'a> {
    left: std::slice::Iter<'static, &'static str>,
    name: &'static str,
    found: &'a mut Fields,
}

impl<'de> MapAccess<'de> for Each<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.left.next() else { return Ok(None) };
        self.name = name;
        let name: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let mut kind = None;
        let value = seed.deserialize(Ask(&mut kind))?;
        self.found.insert(self.name.to_string(), kind.expect("every value asks for something"));
        Ok(value)
    }
}

fn in_rust<T: for<'de> Deserialize<'de>>() -> Fields {
    let mut fields = Fields::new();
    T::deserialize(Struct(&mut fields)).unwrap_or_else(|e| panic!("{e}"));
    fields
}

// In TypeScript
// -----------------------------------------------------------------------------------------------------------

/// A field as it stands in an interface, with the comment before it.
struct Line {
    comment: String,
    name: String,
    kind: String,
}

/// The fields of an interface, whose every field is optional: options.
fn interface(name: &str) -> Vec<Line> {
    let head = format!("export interface {name} {{\n");
    let from = TYPES.find(&head).unwrap_or_else(|| panic!("types.ts has no {head}")) + head.len();
    let body = &TYPES[from..from + TYPES[from..].find("\n}").expect("an end")];
    let (mut lines, mut comment) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if line.starts_with("/**") || line.starts_with('*') {
            comment += line.trim_matches(['/', '*', ' ']);
            comment.push(' ');
            continue;
        }
        let (name, kind) = line.split_once("?: ").unwrap_or_else(|| panic!("{name}: no option: {line}"));
        let comment = std::mem::take(&mut comment);
        lines.push(Line { comment, name: name.into(), kind: kind.into() });
    }
    lines
}

/// The kind that a type of TypeScript stands for; a name stands for a union of words.
fn kind(text: &str) -> Kind {
    if let Some(item) = text.strip_suffix("[]") {
        return Kind::List(Box::new(kind(item)));
    }
    if let Some(items) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Kind::Tuple(items.split(", ").map(kind).collect());
    }
    match text {
        "boolean" => Kind::Boolean,
        "number" => Kind::Number,
        "string" => Kind::Text,
        "Record<string, unknown>" => Kind::Object,
        name => {
            let head = format!("export type {name} = ");
            let line = TYPES.lines().find_map(|line| line.strip_prefix(&head));
            let words = line.unwrap_or_else(|| panic!("types.ts has no {head}")).split(" | ");
            Kind::Word(words.map(|word| word.trim_matches('"').to_string()).collect())
        }
    }
}

/// The number after "Default: ", where a comment tells one.
fn default_in(comment: &str) -> Option<f64> {
    let (_, told) = comment.split_once("Default: ")?;
    let number = told.split([',', ' ']).next()?;
    number.trim_end_matches('.').parse().ok()
}

// Compared
// -----------------------------------------------------------------------------------------------------------

fn compare<T: for<'de> Deserialize<'de> + Serialize + Default>(name: &str) {
    let lines = interface(name);
    let ours = || lines.iter().filter(|line| !OF_THE_PAGE.contains(&line.name.as_str()));
    let in_typescript: Fields = ours().map(|line| (line.name.clone(), kind(&line.kind))).collect();
    assert_eq!(in_typescript, in_rust::<T>(), "{name}: types.ts on the left, Rust on the right");

    let usual = serde_json::to_value(T::default()).expect("plain data");
    for line in ours() {
        let (Some(told), Value::Number(is)) = (default_in(&line.comment), &usual[&line.name]) else {
            continue;
        };
        assert_eq!(Some(told as f32), is.as_f64().map(|x| x as f32), "{name}.{}: its default", line.name);
    }
}

#[test]
fn options_are_the_same_in_typescript_and_in_rust() {
    compare::<EngineOptions>("EngineOptions");
    compare::<LoadOptions>("LoadOptions");
    compare::<GenerateOptions>("GenerateOptions");
    compare::<TrainOptions>("TrainOptions");
    compare::<BenchOptions>("BenchOptions");
}

#[test]
fn kinds_are_told_apart() {
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Some {
        flag: bool,
        list: Vec<Vec<f32>>,
        pair: Option<[usize; 2]>,
        text: String,
        backend: crate::gpu::Backend,
        json: Option<Value>,
    }
    let found = in_rust::<Some>();
    for (name, text) in [
        ("flag", "boolean"),
        ("list", "number[][]"),
        ("pair", "[number, number]"),
        ("text", "string"),
        ("backend", "Backend"),
        ("json", "Record<string, unknown>"),
    ] {
        assert_eq!(found[name], kind(text), "{name}");
    }
    assert_eq!(found.len(), 6);
    assert_eq!((default_in("0: all. Default: 0.95. "), default_in("Default: all. ")), (Some(0.95), None));
    assert_eq!(default_in("Default: 55 where `quick`, else any."), Some(55.0));
}
