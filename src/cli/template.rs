//! `--format '{{.Name}}'`: of Go's templates what people type.
//!
//! Fields as `.State.ExitCode`, `json` of one, and `index` into a map; nothing
//! else, and nothing that is not understood is passed over.

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;

use crate::error::Explain;

/// A text with fields in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The value at the end of a path, as people read it.
    Field(Vec<String>),
    /// The same as JSON.
    Json(Vec<String>),
    /// What a map at the end of a path has at a key; nothing, if it has not.
    Index(Vec<String>, String),
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is not in it that Go has, and what Go has not either.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inside, after) =
                behind.split_once("}}").with_context(|| format!("{text:?}: {{{{ without }}}}"))?;
            pieces.push(Piece::Text(unescaped(before)));
            pieces.push(action(inside)?);
            rest = after;
        }
        pieces.push(Piece::Text(unescaped(rest)));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        let fields = pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)));
        ensure!(fields, "{text:?} is no format: json, jsonl, or with fields as {{{{.Name}}}}");
        Ok(Self(pieces))
    }

    /// The text with the fields of `value`.
    ///
    /// # Errors
    /// A field that it doesn't have.
    pub fn fill(&self, value: &Value) -> anyhow::Result<String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Field(path) => filled.push_str(&told(find(value, path)?)),
                Piece::Json(path) => filled.push_str(&find(value, path)?.to_string()),
                Piece::Index(path, key) => {
                    let map = find(value, path)?;
                    filled.push_str(&map.get(key).map(told).unwrap_or_default());
                }
            }
        }
        Ok(filled)
    }

    /// A title in the place of each field: the last word of its path.
    pub fn titles(&self) -> String {
        let title = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Index(_, key) => key.to_uppercase(),
            Piece::Field(path) | Piece::Json(path) => match path.last().map(String::as_str) {
                Some("ID" | "Id") => "CONTAINER ID".to_owned(),
                Some(word) => spaced(word),
                None => String::new(),
            },
        };
        self.0.iter().map(title).collect()
    }
}

/// `CreatedAt` as `CREATED AT`.
fn spaced(word: &str) -> String {
    let mut title = String::new();
    let mut small = false;
    for c in word.chars() {
        if c.is_uppercase() && small {
            title.push(' ');
        }
        small = c.is_lowercase();
        title.extend(c.to_uppercase());
    }
    title
}

/// A shell leaves `\t` in quotes as it is.
fn unescaped(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// What is between the braces.
fn action(inside: &str) -> anyhow::Result<Piece> {
    let words: Vec<&str> = inside.split_whitespace().collect();
    match words.as_slice() {
        [field] if field.starts_with('.') => path(field).map(Piece::Field),
        ["json", field] => path(field).map(Piece::Json),
        ["index", field, key] => {
            let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
            let key = key.with_context(|| format!("{{{{{inside}}}}}: a key is in quotes"))?;
            Ok(Piece::Index(path(field)?, key.to_owned()))
        }
        [] => bail!("{{{{}}}} is empty"),
        [first, others @ ..] => {
            let word = others.first().filter(|_| first.starts_with('.')).unwrap_or(first);
            Err(anyhow!("{{{{{inside}}}}}: {word} is not in sublet yet")).hint(
                "{{.Field}}, {{json .Field}} and {{index .Map \"key\"}} are; json has all fields",
            )
        }
    }
}

fn path(text: &str) -> anyhow::Result<Vec<String>> {
    let rest = text.strip_prefix('.').with_context(|| format!("{text:?} is no .Field"))?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<String> = rest.split('.').map(str::to_owned).collect();
    let plain = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
    ensure!(words.iter().all(plain), "{text:?} is no .Field");
    Ok(words)
}

fn find<'a>(value: &'a Value, path: &[String]) -> anyhow::Result<&'a Value> {
    /// Whose keys are anybody's: one that is not there has no value.
    const MAPS: [&str; 3] = ["Annotations", "Attributes", "Labels"];
    static NO_VALUE: Value = Value::String(String::new());
    let mut found = value;
    let mut above = "";
    for word in path {
        // Below what is nothing, there is nothing.
        if found.is_null() {
            return Ok(found);
        }
        let Some(next) = found.get(word) else {
            if MAPS.contains(&above) {
                return Ok(&NO_VALUE);
            }
            let fields = found.as_object().into_iter().flat_map(|map| map.keys());
            let fields: Vec<&str> = fields.map(String::as_str).collect();
            return Err(anyhow!("there is no field .{word}"))
                .hint(format!("there are {}", fields.join(", ")));
        };
        (found, above) = (next, word);
    }
    Ok(found)
}

/// As Go prints it, but for maps and lists, which are JSON.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::report;

    fn filled(text: &str) -> String {
        let value = json!({
            "Name": "web",
            "State": {"ExitCode": 137, "Running": false, "Pid": null},
            "Labels": {"a.b": "x"},
            "Usage": null,
        });
        Template::read(text)
            .and_then(|template| template.fill(&value))
            .unwrap_or_else(|error| report(&error))
    }

    #[test]
    fn fields_are_filled_in() {
        for (text, told) in [
            ("{{.Name}}", "web"),
            ("{{ .Name }}: {{.State.ExitCode}}\\t{{.State.Running}}", "web: 137\tfalse"),
            ("{{json .State}}", r#"{"ExitCode":137,"Pid":null,"Running":false}"#),
            ("{{json .Name}}", r#""web""#),
            ("{{index .Labels \"a.b\"}}-{{index .Labels \"c\"}}", "x-"),
            ("{{.State.Pid}} {{.Usage.Peak}}", "<nil> <nil>"),
            ("{{.Labels.c}}-", "-"),
        ] {
            assert_eq!(filled(text), told, "{text}");
        }
        assert!(filled("{{json .}}").starts_with('{'));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (text, word) in [
            ("{{range .X}}", "range is not in sublet yet"),
            ("{{.Name | upper}}", "}}: | is not in sublet yet"),
            ("{{if .X}}", "if is not"),
            ("{{.Nmae}}", "there is no field .Nmae"),
            ("{{.Nmae}}", "there are Labels, Name, State"),
            ("{{.State.Foo}}", "there are ExitCode"),
            ("{{.Name", "without }}"),
            ("{{}}", "empty"),
            ("yaml", "\"yaml\" is no format"),
            ("", "is no format"),
            ("{{..}}", "no .Field"),
            ("{{index .Labels a}}", "in quotes"),
        ] {
            let told = filled(text);
            assert!(told.starts_with("error: ") && told.contains(word), "{text}: {told}");
        }
    }

    #[test]
    fn titles_are_words() {
        let template = Template::read("{{.ID}}\\t{{.CreatedAt}}\\t{{.State.ExitCode}}").unwrap();
        assert_eq!(template.titles(), "CONTAINER ID\tCREATED AT\tEXIT CODE");
    }
}
