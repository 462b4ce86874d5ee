//! The schema of the gateways' configuration: the parts that the core decides, and the tables of
//! the pages.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value as Json, json};
use tokenpin::ids::{ForeignSeals, Ids, KeyKind, Mode};
use tokenpin::{
    Config, CookieKey, Group, IdOwner, MAX_ATTRIBUTE, MAX_COOKIE_KEYS, MAX_COOKIE_NAME,
    MAX_MAX_AGE, MAX_SCOPE, MAX_UNTIL, MAX_WEIGHT, Policy, Role, SameSite, Secret, State, Strategy,
};

use crate::Copy;
use crate::docs::part;

const TEXT: &str = include_str!("../../gateways/config.schema.json");

/// The names of an object's fields in the order of the file, which `Json` does not keep.
struct Order(Vec<(String, Order)>);

impl Order {
    fn at(&self, pointer: &str) -> &Self {
        pointer.split('/').skip(1).fold(self, |order, word| {
            &order.0.iter().find(|(name, _)| name == word).expect(pointer).1
        })
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Order;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Order, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Order(fields))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Order, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Order(Vec::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Order, E> {
                Ok(Order(Vec::new()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Order, E> {
                Ok(Order(Vec::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Order, E> {
                Ok(Order(Vec::new()))
            }
            fn visit_str<E>(self, _: &str) -> Result<Order, E> {
                Ok(Order(Vec::new()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

struct Schema {
    json: Json,
    order: Order,
}

impl Schema {
    fn read() -> Self {
        let (json, order) = (serde_json::from_str(TEXT), serde_json::from_str(TEXT));
        Self { json: json.unwrap(), order: order.unwrap() }
    }

    fn at(&self, pointer: &str) -> &Json {
        self.json.pointer(pointer).unwrap_or_else(|| panic!("the schema has no {pointer}"))
    }

    /// Returns a keyword of a node, or of the node that it refers to.
    fn keyword<'a>(&'a self, node: &'a Json, keyword: &str) -> Option<&'a Json> {
        node.get(keyword).or_else(|| {
            let target = node.get("$ref")?.as_str()?.strip_prefix('#')?;
            self.keyword(self.at(target), keyword)
        })
    }

    /// Returns the values of a property, in words.
    fn values(&self, node: &Json) -> String {
        if let Some(values) = self.keyword(node, "enum") {
            let quoted = |value: &Json| format!("`{}`", value.as_str().unwrap_or("false"));
            let strings = values.as_array().unwrap().iter().filter(|value| value.is_string());
            return join_or(&strings.map(quoted).collect::<Vec<_>>());
        }
        if self.keyword(node, "const").is_some() {
            return "`true`".into();
        }
        if let Some(choices) = self.keyword(node, "anyOf") {
            let choices: Vec<_> =
                choices.as_array().unwrap().iter().map(|choice| self.values(choice)).collect();
            return choices.join(", ");
        }
        let kind = self.keyword(node, "type").unwrap_or_else(|| panic!("no type: {node}"));
        let number = |keyword| self.keyword(node, keyword).map(Json::to_string);
        let title = self.keyword(node, "title").and_then(Json::as_str);
        match kind.as_str().unwrap_or("number") {
            "number" => {
                let auto = self.keyword(node, "pattern") == Some(&json!("^(auto|[0-9]+)$"));
                let range =
                    format!("{} to {}", number("minimum").unwrap(), number("maximum").unwrap());
                format!("{}{range}", if auto { "`auto`, or " } else { "" })
            }
            "boolean" => "`true` or `false`".into(),
            "string" if title == Some("header") => "a header's name".into(),
            "string" => "text".into(),
            "array" => {
                let count = match (number("minItems"), number("maxItems")) {
                    (Some(least), Some(most)) if least == most => least,
                    (Some(least), Some(most)) if most.len() < 4 => format!("{least} to {most}"),
                    (Some(_), _) => "one or more".into(),
                    (None, Some(most)) => format!("up to {most}"),
                    (None, None) => String::new(),
                };
                let items = self.values(self.keyword(node, "items").unwrap());
                let count = if count.is_empty() { count } else { format!(" of {count}") };
                format!("a list{count}: {items}")
            }
            "object" => {
                let title = title.expect("an object has a title");
                format!("a{} *{title}*", if title.starts_with('i') { "n" } else { "" })
            }
            other => panic!("the type {other}"),
        }
    }

    /// Returns the properties of an object as a table, from `first` to before `end`.
    fn table(&self, object: &str, first: Option<&str>, end: Option<&str>) -> String {
        let mut text =
            String::from("| field | value | meaning | default |\n| --- | --- | --- | --- |\n");
        let required =
            self.at(object).get("required").or_else(|| self.at(object).pointer("/then/required"));
        let properties = format!("{object}/properties");
        let names = self.order.at(&properties).0.iter().map(|(name, _)| name.as_str());
        let from = names.skip_while(|name| first.is_some_and(|first| *name != first));
        for name in from.take_while(|name| Some(*name) != end) {
            let node = self.at(&format!("{properties}/{name}"));
            let description = self.keyword(node, "description").and_then(Json::as_str);
            let description = description.unwrap_or_else(|| panic!("{name} has no description"));
            let is_required =
                required.is_some_and(|names| names.as_array().unwrap().contains(&json!(name)));
            let default = match self.keyword(node, "default") {
                _ if is_required => "required".into(),
                None => "none".into(),
                Some(Json::String(text)) if text.is_empty() => "empty".into(),
                Some(Json::String(text)) => format!("`{text}`"),
                Some(Json::Array(list)) if list[0].is_object() => "below".into(),
                Some(value) => format!("`{value}`"),
            };
            let meaning = description.replace("](docs/", "](../../docs/");
            text += &format!("| `{name}` | {} | {meaning} | {default} |\n", self.values(node));
        }
        text
    }
}

fn join_or(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

pub fn parts() -> Vec<Copy> {
    let schema = Schema::read();
    let page = "gateways/envoy/README.md";
    vec![
        part(page, "fields", schema.table("", None, Some("sealed_ids"))),
        part(page, "fields of ids", schema.table("", Some("sealed_ids"), None)),
        part(page, "fields of a ring key", schema.table("/$defs/ring_key", None, None)),
        part(page, "fields of a token", schema.table("/$defs/token", None, None)),
        part(page, "fields of a credential", schema.table("/$defs/credential", None, None)),
        part(page, "fields of a rule", schema.table("/$defs/rule", None, None)),
        part(page, "fields of an id field", schema.table("/$defs/id_field", None, None)),
        part(page, "fields of the cookie", schema.table("/$defs/cookie", None, None)),
        part(page, "fields of a cooldown", schema.table("/$defs/cooldown", None, None)),
        part(page, "fields of a header match", schema.table("/$defs/header_match", None, None)),
        part(page, "fields of retry", schema.table("/$defs/retry", None, None)),
    ]
}

/// The names of an enum of the core, without those that cannot be configured.
macro_rules! names {
    ($kind:ident $(, but $($left_out:ident)|+)?) => {
        $kind::ALL.iter().filter(|_value| !(false $(|| matches!(_value, $($kind::$left_out)|+))?))
            .map(|value| json!(value.name())).collect::<Vec<_>>()
    };
}

#[test]
fn the_schema_has_the_names_of_the_core() {
    let schema = Schema::read();
    for (name, mut names, more) in [
        ("role", names!(Role), None),
        ("group", names!(Group), None),
        ("ids", names!(Ids), None),
        ("strategy", names!(Strategy), None),
        ("policy", names!(Policy), None),
        ("same_site", names!(SameSite), None),
        ("mode", names!(Mode), Some(json!(false))),
        ("id_owner", names!(IdOwner), None),
        ("foreign_seals", names!(ForeignSeals), None),
        ("key_kind", names!(KeyKind, but Path | Own), None),
        ("state", names!(State, but Vacant), None),
    ] {
        names.extend(more);
        assert_eq!(schema.at(&format!("/$defs/{name}/enum")), &json!(names), "{name}");
    }
}

#[test]
fn the_schema_has_the_limits_of_the_core() {
    let schema = Schema::read();
    for (pointer, limit) in [
        ("/properties/scope/maxLength", MAX_SCOPE as u64),
        ("/$defs/ring/maxItems", MAX_COOKIE_KEYS as u64),
        ("/$defs/weight/maximum", u64::from(MAX_WEIGHT)),
        ("/$defs/weight/default", u64::from(MAX_WEIGHT)),
        ("/$defs/until/maximum", MAX_UNTIL),
        ("/$defs/cookie/properties/name/maxLength", MAX_COOKIE_NAME as u64),
        ("/$defs/cookie/properties/path/maxLength", MAX_ATTRIBUTE as u64),
        ("/$defs/cookie/properties/domain/maxLength", MAX_ATTRIBUTE as u64),
        ("/$defs/cookie/properties/max_age/maximum", u64::from(MAX_MAX_AGE)),
    ] {
        assert_eq!(schema.at(pointer), &json!(limit), "{pointer}");
    }
}

#[test]
fn the_schema_has_the_defaults_of_the_core() {
    let schema = Schema::read();
    let ring = [CookieKey { id: 1, role: Role::Sign, secret: Secret::new([1; 16]) }];
    let config = Config::new(Secret::new([2; 16]), &ring);
    let attributes = &config.attributes;
    let text = |bytes: &[u8]| json!(String::from_utf8_lossy(bytes));
    assert_eq!(config.max_age, None); // `auto`
    for (pointer, default) in [
        ("/properties/strategy", json!(config.strategy.name())),
        ("/properties/policy_existing", json!(config.policy_existing.name())),
        ("/properties/policy_new", json!(config.policy_new.name())),
        ("/properties/combine_keys", json!(config.combine_keys)),
        ("/properties/reject_bad_keys", json!(config.reject_bad_keys)),
        ("/properties/keyed_cookies", json!(config.keyed_cookies)),
        ("/properties/mint_single", json!(config.mint_single)),
        ("/properties/prompt_cache", json!(config.prompt_cache)),
        ("/properties/replace_rules", json!(config.replace_rules)),
        ("/properties/sealed_ids", json!(config.ids.mode.name())),
        ("/properties/id_owner", json!(config.ids.owner.name())),
        ("/properties/foreign_seals", json!(config.ids.foreign.name())),
        ("/properties/encrypted_content", json!(config.ids.encrypted)),
        ("/properties/scope", text(config.scope)),
        ("/properties/success", json!([config.success.0, config.success.1])),
        ("/$defs/cookie/properties/path", text(attributes.path)),
        ("/$defs/cookie/properties/domain", text(attributes.domain)),
        ("/$defs/cookie/properties/max_age", json!("auto")),
        ("/$defs/cookie/properties/skew", json!(config.skew)),
        ("/$defs/cookie/properties/max_life", json!(config.max_life)),
        ("/$defs/cookie/properties/max_idle", json!(config.max_idle)),
        ("/$defs/cookie/properties/secure", json!(attributes.secure)),
        ("/$defs/cookie/properties/http_only", json!(attributes.http_only)),
        ("/$defs/cookie/properties/partitioned", json!(attributes.partitioned)),
        ("/$defs/cookie/properties/same_site", json!(attributes.same_site.name())),
    ] {
        assert_eq!(schema.at(&format!("{pointer}/default")), &default, "{pointer}");
    }
}
