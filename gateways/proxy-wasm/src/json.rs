//! Strict reading of JSON: every field is asked for by name and type, and the first error is
//! reported with the path of its field. Values never get into a message: they may be secrets.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value. Of numbers, only whole ones that are not negative are of use.
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Option<u64>),
    String(String),
    List(Vec<Json>),
    /// In the order of the text, and with fields that are given twice.
    Object(Vec<(String, Json)>),
}

/// The first thing that is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct Problem(String);

pub(crate) type Checked<T> = Result<T, Problem>;

impl Problem {
    /// `path` is empty for the text as a whole.
    pub(crate) fn at(path: &str, message: &str) -> Self {
        let colon = if path.is_empty() { "" } else { ": " };
        Self([path, colon, message].concat())
    }

    /// The same problem, of what stands at this path.
    pub(crate) fn within(&self, path: &str) -> Self {
        Self([path, ".", &self.0].concat())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Json {
    pub(crate) fn parse(text: &[u8]) -> Checked<Self> {
        serde_json::from_slice(text).map_err(|error| {
            // Envoy hands over a Struct as the bytes of its message, which begin with a tag and a
            // length.
            if text.first() == Some(&b'\n') && text.contains(&0x12) {
                return Problem::at(
                    "",
                    "expected JSON in a google.protobuf.StringValue, not a Struct",
                );
            }
            // Its own messages may quote the text.
            let (line, column) = (error.line(), error.column());
            Problem::at("", &format!("no valid JSON at line {line}, column {column}"))
        })
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Json::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = object.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

/// The fields of one object.
pub(crate) struct Fields<'j> {
    entries: &'j [(String, Json)],
    path: String,
    known: Vec<&'static str>,
}

impl<'j> Fields<'j> {
    pub(crate) fn new(json: &'j Json, path: &str) -> Checked<Self> {
        let Json::Object(fields) = json else {
            return Err(Problem::at(path, "expected an object"));
        };
        let this = Self { entries: fields, path: path.to_owned(), known: Vec::new() };
        for (at, (name, _)) in fields.iter().enumerate() {
            if fields.iter().take(at).any(|(other, _)| other == name) {
                return Err(this.problem(name, "given twice"));
            }
        }
        Ok(this)
    }

    /// Returns whether there is no other field than `name`.
    pub(crate) fn is_only(&self, name: &str) -> bool {
        self.entries.iter().all(|(field, _)| field == name)
    }

    pub(crate) fn find(&mut self, name: &'static str) -> Option<&'j Json> {
        self.known.push(name);
        self.entries.iter().find(|(field, _)| field == name).map(|(_, json)| json)
    }

    pub(crate) fn require(&mut self, name: &'static str) -> Checked<&'j Json> {
        self.find(name).ok_or_else(|| self.problem(name, "is required"))
    }

    pub(crate) fn has(&mut self, name: &'static str) -> bool {
        self.find(name).is_some()
    }

    /// Leaves the variable as it is if the field is absent.
    pub(crate) fn bool(&mut self, name: &'static str, value: &mut bool) -> Checked<()> {
        match self.find(name) {
            None => {}
            Some(Json::Bool(given)) => *value = *given,
            Some(_) => return Err(self.problem(name, "expected true or false")),
        }
        Ok(())
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Checked<Option<&'j str>> {
        let Some(json) = self.find(name) else { return Ok(None) };
        let text = json.as_str().ok_or_else(|| self.problem(name, "expected a string"))?;
        if text.contains('\0') {
            return Err(self.problem(name, "has a zero byte"));
        }
        Ok(Some(text))
    }

    pub(crate) fn number(&mut self, name: &'static str, range: (u64, u64)) -> Checked<Option<u64>> {
        let Some(json) = self.find(name) else { return Ok(None) };
        number(json, &self.path(name), range).map(Some)
    }

    /// The same, of numbers that fit 32 bits; an absent one leaves the variable as it is.
    pub(crate) fn small(
        &mut self,
        name: &'static str,
        (least, most): (u32, u32),
        value: &mut u32,
    ) -> Checked<()> {
        if let Some(given) = self.number(name, (least.into(), most.into()))? {
            *value = u32::try_from(given).unwrap_or(most);
        }
        Ok(())
    }

    /// One of these values, by its name; an absent one leaves the variable as it is.
    pub(crate) fn choice<E: Copy>(
        &mut self,
        name: &'static str,
        all: &[E],
        name_of: fn(E) -> &'static str,
        value: &mut E,
    ) -> Checked<()> {
        let found = self.word(name, &mut all.iter().map(|each| name_of(*each)))?;
        if let Some(found) = found.and_then(|at| all.get(at)) {
            *value = *found;
        }
        Ok(())
    }

    /// The place of the field's text among these words.
    fn word(
        &mut self,
        name: &'static str,
        words: &mut dyn Iterator<Item = &'static str>,
    ) -> Checked<Option<usize>> {
        let Some(json) = self.find(name) else { return Ok(None) };
        let mut expected = String::from("expected one of ");
        for (at, word) in words.enumerate() {
            if json.as_str() == Some(word) {
                return Ok(Some(at));
            }
            if at != 0 {
                expected.push_str(", ");
            }
            expected.push_str(word);
        }
        Err(self.problem(name, &expected))
    }

    /// The elements of a list, with their paths. None if there is no such field.
    pub(crate) fn list(&mut self, name: &'static str) -> Checked<Vec<(&'j Json, String)>> {
        let path = self.path(name);
        match self.find(name) {
            None => Ok(Vec::new()),
            Some(Json::List(list)) => Ok(list
                .iter()
                .enumerate()
                .map(|(i, json)| (json, format!("{path}[{i}]")))
                .collect()),
            Some(_) => Err(self.problem(name, "expected a list")),
        }
    }

    /// The same, where an empty list makes no sense.
    pub(crate) fn some(&mut self, name: &'static str) -> Checked<Vec<(&'j Json, String)>> {
        let list = self.list(name)?;
        if list.is_empty() && self.has(name) {
            return Err(self.problem(name, "is empty"));
        }
        Ok(list)
    }

    /// The fields of a field, with their paths. None if there is no such field.
    pub(crate) fn entries(&mut self, name: &'static str) -> Checked<Vec<(&'j str, Fields<'j>)>> {
        let Some(json) = self.find(name) else { return Ok(Vec::new()) };
        let path = self.path(name);
        let inner = Fields::new(json, &path)?;
        let entry = |(name, json): &'j (String, Json)| {
            Ok((name.as_str(), Fields::new(json, &format!("{path}.{name}"))?))
        };
        inner.entries.iter().map(entry).collect()
    }

    /// Refuses the fields that no call asked for. The last call.
    pub(crate) fn refuse_others(&self) -> Checked<()> {
        match self.entries.iter().find(|(name, _)| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(self.problem(name, "unknown field")),
        }
    }

    /// The path of a field.
    pub(crate) fn path(&self, name: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        [&self.path, dot, name].concat()
    }

    pub(crate) fn problem(&self, name: &str, message: &str) -> Problem {
        Problem::at(&self.path(name), message)
    }
}

/// A whole number. It may be written as text: Envoy turns the larger numbers of a YAML file into
/// that.
pub(crate) fn number(json: &Json, path: &str, (least, most): (u64, u64)) -> Checked<u64> {
    let number = match json {
        Json::Number(number) => *number,
        Json::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Problem::at(path, &format!("expected a whole number, {least} to {most}")))
}
