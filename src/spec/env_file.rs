//! Files of environment variables.

use anyhow::{Context, ensure};

use super::env::{Lookup, Variable};

/// What a file holds.
#[derive(Debug, Default)]
pub struct EnvFile {
    /// The variables, in the file's order.
    pub variables: Vec<Variable>,
    /// What somebody should be told who took it for a shell script.
    pub warnings: Vec<String>,
}

/// Reads a line each: `NAME=VALUE`, literally to its end, or `NAME` alone,
/// which takes the caller's value. A line that begins with `#` is a comment;
/// there is no other syntax: no quotes, no expansion, no `export`.
pub fn env_file(text: &str, caller: Lookup) -> anyhow::Result<EnvFile> {
    let mut file = EnvFile::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = at + 1;
        let name = line.split('=').next().unwrap_or(line);
        ensure!(
            !name.contains(char::is_whitespace),
            "line {at}: {name:?} is not a name: it has blanks"
        );
        let Some(variable) = Variable::read(line, caller).with_context(|| format!("line {at}"))?
        else {
            continue;
        };
        if line.contains('=') && is_quoted(variable.value()) {
            file.warnings.push(format!(
                "line {at}: the quotes around the value of {} become part of it",
                variable.name()
            ));
        }
        file.variables.push(variable);
    }
    Ok(file)
}

fn is_quoted(value: &str) -> bool {
    value.len() >= 2
        && ['"', '\''].iter().any(|&quote| value.starts_with(quote) && value.ends_with(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<(Vec<String>, usize)> {
        let file = env_file(text, &|name| (name == "LANG").then(|| "\"C\"".into()))?;
        let told = |variable: &Variable| format!("{}={}", variable.name(), variable.value());
        Ok((file.variables.iter().map(told).collect(), file.warnings.len()))
    }

    #[test]
    fn values_are_literal() {
        let (variables, warnings) =
            read("\u{feff}# a\n\nA=1 # b \n  B=$A=c\r\nLANG\nGONE\nC=\nD=\"x").unwrap();
        assert_eq!(variables, ["A=1 # b ", "B=$A=c", "LANG=\"C\"", "C=", "D=\"x"]);
        assert_eq!(warnings, 0);
    }

    #[test]
    fn quotes_stay_and_are_told() {
        assert_eq!(read("A=\"x\"\nB='y'").unwrap(), (vec!["A=\"x\"".into(), "B='y'".into()], 2));
    }

    #[test]
    fn what_is_no_file_of_variables_is_refused() {
        for text in ["=x", "export A=1", "A B=c", "A =1", "A\t", "A=1\n=2", "A=\0", "\u{1b}=1"] {
            assert!(read(text).is_err(), "{text:?} was taken");
        }
    }
}
