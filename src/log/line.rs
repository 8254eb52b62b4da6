//! One line of a log: `2026-11-26T06:00:00.000000000Z stdout F text`.

/// Which of the payload's streams it came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// A piece of output.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written: RFC 3339 in UTC with nine digits behind the
    /// seconds, so that later ones are greater.
    pub time: &'a str,
    /// By which stream.
    pub stream: Stream,
    /// Whether the line ends there.
    pub ends: bool,
    /// The text, without the end of line.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads one line of a file, without its end; `None` for what is none.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok().filter(|time| time.ends_with('Z'))?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Out,
            b"stderr" => Stream::Err,
            _ => return None,
        };
        let ends = match parts.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { time, stream, ends, text: parts.next()? })
    }

    /// Puts it behind what `into` holds, as a line of a file.
    pub fn write(&self, into: &mut Vec<u8>) {
        let ends = if self.ends { " F " } else { " P " };
        for part in [self.time, " ", self.stream.name(), ends] {
            into.extend_from_slice(part.as_bytes());
        }
        into.extend_from_slice(self.text);
        into.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for (ends, text) in [(true, &b""[..]), (true, b" a b"), (false, b"\xff\x1b[2J\r")] {
            let line = Line { time: "2026-01-01T00:00:00Z", stream: Stream::Err, ends, text };
            let mut bytes = Vec::new();
            line.write(&mut bytes);
            assert_eq!(Line::read(bytes.strip_suffix(b"\n").unwrap()), Some(line));
        }
        for text in
            ["", "x", "2026Z stdout F", "2026Z stdin F x", "2026Z stdout G x", "2026 stdout F x"]
        {
            assert_eq!(Line::read(text.as_bytes()), None, "{text:?}");
        }
    }
}
