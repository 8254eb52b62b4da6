//! Fields that nobody here knows.

use anyhow::anyhow;
use serde_json::Value;

use crate::error::Explain;

/// Makes sure that all of `written` has been understood: that it is in `known`,
/// which is what was read of it. What is null is as good as not written.
///
/// # Errors
/// The first field that isn't, by its path.
pub fn all_known(written: &Value, known: &Value) -> anyhow::Result<()> {
    match first_unknown(written, known, String::new()) {
        None => Ok(()),
        Some(path) => Err(anyhow!("{path} is no field of the specification that sublet-oci knows"))
            .hint("what it asks for would not be done: leave it out, or use a later sublet-oci"),
    }
}

fn first_unknown(written: &Value, known: &Value, path: String) -> Option<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            written.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(known) => first_unknown(value, known, path),
                    None => Some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(known)) => written
            .iter()
            .enumerate()
            .find_map(|(at, value)| first_unknown(value, known.get(at)?, format!("{path}[{at}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_field_is_told_by_its_path() {
        let known = json!({"a": {"b": 1}, "l": [{"x": 1}, {"x": 2}]});
        assert!(all_known(&known, &known).is_ok());
        assert!(all_known(&json!({"a": {"b": 1, "c": null}}), &known).is_ok());
        for (written, path) in [
            (json!({"z": 1}), "z "),
            (json!({"a": {"b": 1, "c": 2}}), "a.c "),
            (json!({"l": [{"x": 1}, {"y": 2}]}), "l[1].y "),
        ] {
            let error = all_known(&written, &known).unwrap_err();
            assert!(
                error.to_string().is_empty() || format!("{error:#}").contains(path),
                "{error:#}"
            );
        }
    }
}
