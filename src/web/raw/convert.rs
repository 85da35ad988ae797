//! Between JavaScript values and ours: options as JSON, files as bytes, errors as `Error` objects.

use js_sys::{Array, Function, JSON, Object, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorKind};
use crate::web::options::read;
use crate::web::options::words::of_the_package;

/// A JavaScript `Error` whose `name` is the [`ErrorKind`], with the way out, if there is one, as `advice`.
pub(super) fn to_js(error: Error) -> JsValue {
    let js = js_sys::Error::new(&of_the_package(error.message()));
    js.set_name(&format!("{:?}", error.kind()));
    if let Some(advice) = error.advice() {
        // Cannot fail on an object made here.
        let _ = Reflect::set(&js, &"advice".into(), &of_the_package(advice).as_ref().into());
    }
    js.into()
}

/// A plain JavaScript object.
pub(super) fn object(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let text =
        serde_json::to_string(value).map_err(|e| to_js(Error::new(ErrorKind::Input, e.to_string())))?;
    JSON::parse(&text)
}

/// What a page gave as options, as plain data; a number that is none is refused. Without any there are none.
pub(super) fn given(what: &str, options: Option<Object>) -> Result<Value, JsValue> {
    let Some(options) = options else { return Ok(Value::Object(Map::new())) };
    // JSON writes NaN as null, which may stand for a default.
    for entry in Object::entries(&options).iter().map(|entry| Array::from(&entry)) {
        if let Some(number) = entry.get(1).as_f64().filter(|number| !number.is_finite()) {
            let name = entry.get(0).as_string().unwrap_or_default();
            return Err(to_js(
                Error::new(ErrorKind::Input, format!("{what}: {name} is {number}"))
                    .help("give a finite number"),
            ));
        }
    }
    let text = JSON::stringify(&options).map(String::from).map_err(|_| {
        to_js(
            Error::new(ErrorKind::Input, format!("{what}: a value is no plain data")).help("give plain data"),
        )
    })?;
    serde_json::from_str(&text).map_err(|e| to_js(Error::new(ErrorKind::Input, format!("{what}: {e}"))))
}

/// Options of a call, as [`read`] takes them.
pub(super) fn options<T: DeserializeOwned>(what: &str, options: Option<Object>) -> Result<T, JsValue> {
    read(what, given(what, options)?).map_err(to_js)
}

/// A callback `(done, total)` of JavaScript's. What it throws is kept, and ends the work at its next step.
pub(super) struct Progress {
    callback: Option<Function>,
    thrown: Option<JsValue>,
}

impl Progress {
    pub fn new(callback: Option<Function>) -> Self {
        Self { callback, thrown: None }
    }

    pub fn tell(&mut self, done: f64, total: f64) {
        if let (Some(callback), None) = (&self.callback, &self.thrown) {
            self.thrown = callback.call2(&JsValue::NULL, &done.into(), &total.into()).err();
        }
    }

    pub fn end(self) -> Result<(), JsValue> {
        self.thrown.map_or(Ok(()), Err)
    }
}

pub(super) fn field(object: &Object, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

pub(super) fn missing(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

pub(super) fn is_bytes(value: &JsValue) -> bool {
    value.is_instance_of::<Uint8Array>() || value.is_instance_of::<js_sys::ArrayBuffer>()
}

/// The bytes of a `Uint8Array`, an `ArrayBuffer` or a string.
pub(super) fn bytes(value: &JsValue, name: &str) -> Result<Vec<u8>, JsValue> {
    match value.as_string() {
        Some(text) => Ok(text.into_bytes()),
        None if is_bytes(value) => Ok(Uint8Array::new(value).to_vec()),
        None => Err(unusable(value, name, "give a Uint8Array, an ArrayBuffer or a string")),
    }
}

pub(super) fn text(value: &JsValue, name: &str) -> Result<String, JsValue> {
    crate::text::decode(bytes(value, name)?, name).map_err(to_js)
}

fn unusable(value: &JsValue, name: &str, help: &str) -> JsValue {
    let found = if missing(value) {
        "is missing".to_string()
    } else {
        format!("cannot be a value of type {}", value.js_typeof().as_string().unwrap_or_default())
    };
    to_js(Error::new(ErrorKind::Input, format!("{name} {found}")).help(help))
}
