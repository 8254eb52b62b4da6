//! One record of comma-separated fields, as in RFC 4180.

use anyhow::{bail, ensure};

/// Splits `text` at its commas. A field that begins with a double quote ends
/// at the next one and may hold commas and line breaks; `""` inside stands for
/// one quote.
pub fn fields(text: &str) -> anyhow::Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => plain(rest)?,
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

fn plain(text: &str) -> anyhow::Result<(String, &str)> {
    let end = text.find(',').unwrap_or(text.len());
    let (field, after) = text.split_at(end);
    ensure!(!field.contains('"'), "a quote inside {field:?}: quote the whole field");
    ensure!(!field.contains(['\n', '\r']), "a line break in {field:?}: quote the whole field");
    Ok((field.to_owned(), after))
}

fn quoted(inside: &str) -> anyhow::Result<(String, &str)> {
    let mut field = String::new();
    let mut rest = inside;
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            bail!("the quote before {inside:?} is never closed");
        };
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => {
                ensure!(
                    after.is_empty() || after.starts_with(','),
                    "{after:?} follows a closing quote: a comma has to"
                );
                return Ok((field, after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_commas_and_line_breaks() {
        assert_eq!(fields("a,b=c,,").unwrap(), ["a", "b=c", "", ""]);
        assert_eq!(
            fields("\"src=/a,b\nc\",\"say \"\"x\"\"\",ro").unwrap(),
            ["src=/a,b\nc", "say \"x\"", "ro"]
        );
        assert_eq!(fields("").unwrap(), [""]);
    }

    #[test]
    fn half_quoted_records_are_refused() {
        for text in ["\"a", "a\"b\"", "\"a\"b", "a,\"", "a\nb", "\"a\"\"", "a\r"] {
            assert!(fields(text).is_err(), "{text:?} was taken");
        }
    }
}
