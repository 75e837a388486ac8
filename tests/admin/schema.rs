//! A small judge of JSON by JSON Schema: as much of it as our OpenAPI document uses. A keyword that it does not know fails, so
//! that nothing is passed over.
//!
//! Owns: the meaning of type, enum, required, properties, items, minimum, anyOf and $ref.

use serde_json::Value;

/// What is wrong with `value`, each with its place.
pub(crate) fn judge(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let keywords =
        schema.as_object().unwrap_or_else(|| panic!("{place}: a schema is an object: {schema}"));
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "description" => {}
            "$ref" => {
                let path = rule
                    .as_str()
                    .and_then(|path| path.strip_prefix('#'))
                    .expect("a local reference");
                let target = document.pointer(path).unwrap_or_else(|| panic!("{place}: no {path}"));
                wrong.extend(judge(document, target, value, place));
            }
            "anyOf" => {
                let mut all = list(rule).iter().map(|schema| judge(document, schema, value, place));
                if !all.any(|wrong| wrong.is_empty()) {
                    wrong.push(format!("{place}: fits none of {rule}: {value}"));
                }
            }
            "type" => {
                let is_one = |name: &Value| is_of(name.as_str().expect("a name"), value);
                let fits =
                    rule.as_array().map_or_else(|| is_one(rule), |names| names.iter().any(is_one));
                if !fits {
                    wrong.push(format!("{place}: {value} is no {rule}"));
                }
            }
            "enum" if !list(rule).contains(value) => {
                wrong.push(format!("{place}: {value} is not in {rule}"))
            }
            "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => {
                wrong.push(format!("{place}: {value} is below {rule}"));
            }
            "enum" | "minimum" => {}
            "required" => {
                let absent = list(rule)
                    .iter()
                    .filter(|name| value.get(name.as_str().expect("a name")).is_none());
                wrong.extend(absent.map(|name| format!("{place}: {name} is not there")));
            }
            "additionalProperties" => assert_eq!(rule, &Value::Bool(false), "{place}"),
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(schema) => {
                            wrong.extend(judge(document, schema, value, &format!("{place}.{name}")))
                        }
                        None => wrong.push(format!("{place}: {name} is not described")),
                    }
                }
            }
            "items" => {
                for (at, value) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(judge(document, rule, value, &format!("{place}[{at}]")));
                }
            }
            other => panic!("{place}: this judge does not know {other}"),
        }
    }
    wrong
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let schema = serde_json::json!({
        "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {
            "a": { "type": ["integer", "null"], "minimum": 0 },
            "b": { "type": "array", "items": { "enum": ["x"] } },
        },
    });
    let count = |value: Value| judge(&Value::Null, &schema, &value, "it").len();
    assert_eq!(count(serde_json::json!({ "a": 1, "b": ["x"] })), 0);
    assert_eq!(count(serde_json::json!({ "a": null })), 0);
    assert_eq!(count(serde_json::json!({})), 1);
    assert_eq!(count(serde_json::json!({ "a": -1 })), 1);
    assert_eq!(count(serde_json::json!({ "a": "1", "b": ["y", "x"], "c": 1 })), 3);
    assert_eq!(count(serde_json::json!([])), 2, "no object, and nothing of what is required");
}
