//! Environment variables, as typed and as a list.

use std::ffi::OsString;

use anyhow::{Context, ensure};

/// Looks a variable up in the caller's own environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    name: String,
    value: String,
}

impl Variable {
    /// A variable whose name is known to be good.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into() }
    }

    /// Reads `NAME=VALUE`, or `NAME` alone, which takes the caller's value and
    /// is nothing where the caller has none.
    pub fn read(text: &str, caller: Lookup) -> anyhow::Result<Option<Self>> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        ensure!(!name.is_empty(), "{text:?} has no name before the =");
        ensure!(
            !name.contains(char::is_control),
            "{name:?} is not a name: it has control characters"
        );
        ensure!(!text.contains('\0'), "{text:?} has a NUL, where the kernel would end it");
        let value = match value {
            Some(value) => value.to_owned(),
            None => match caller(name) {
                Some(value) => value
                    .into_string()
                    .ok()
                    .with_context(|| format!("the caller's {name} is not UTF-8"))?,
                None => return Ok(None),
            },
        };
        Ok(Some(Self { name: name.to_owned(), value }))
    }

    /// The part before the `=`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part behind the `=`.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Variables in order, each name once.
#[derive(Debug, Default)]
pub struct Environment(Vec<Variable>);

impl Environment {
    /// What [`into_strings`](Self::into_strings) has given.
    pub fn of(strings: &[String]) -> Self {
        let split = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            Variable::new(name, value)
        };
        Self(strings.iter().map(split).collect())
    }

    /// Adds a variable, in the place of an earlier one of its name.
    pub fn set(&mut self, variable: Variable) {
        match self.0.iter_mut().find(|earlier| earlier.name == variable.name) {
            Some(earlier) => *earlier = variable,
            None => self.0.push(variable),
        }
    }

    /// As `NAME=VALUE` each.
    pub fn into_strings(self) -> Vec<String> {
        self.0.into_iter().map(|Variable { name, value }| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Option<String>> {
        let caller = |name: &str| (name == "LANG").then(|| "C".into());
        let variable = Variable::read(text, &caller)?;
        Ok(variable.map(|variable| format!("{}={}", variable.name(), variable.value())))
    }

    #[test]
    fn a_name_alone_takes_the_callers_value() {
        assert_eq!(read("A=b=c\nd").unwrap().as_deref(), Some("A=b=c\nd"));
        assert_eq!(read("A=").unwrap().as_deref(), Some("A="));
        assert_eq!(read("LANG").unwrap().as_deref(), Some("LANG=C"));
        assert_eq!(read("LANGUAGE").unwrap(), None);
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["", "=", "=x", "A\nB=c", "A\u{1b}=c", "\n"] {
            assert!(read(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_callers_value_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let caller = |_: &str| Some(OsString::from_vec(vec![0xff]));
        assert!(Variable::read("LANG", &caller).is_err());
    }

    #[test]
    fn the_later_wins_in_the_earlier_place() {
        let mut environment = Environment::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            environment.set(Variable::new(name, value));
        }
        assert_eq!(environment.into_strings(), ["A=3", "B=2"]);
    }
}
