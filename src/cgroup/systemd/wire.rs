//! Messages of D-Bus as bytes: the D-Bus specification, "Message Protocol".
//!
//! What comes is a stranger's: lengths are capped before anything is kept for
//! them, and what makes no sense is an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, Endian, LE, to_bytes};
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant, Type, Variant};

/// The most of one message that is read. systemd's are hundreds of bytes; the
/// specification allows 128 MiB.
pub(super) const MOST: usize = 1 << 20;
/// The most of its header's fields, names of at most 255 bytes each and one
/// path.
const MOST_FIELDS: usize = 16 << 10;
/// The part of a header that has a fixed size.
const FIXED: usize = 16;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// A method call's flag: nobody is to be started to answer it.
const NO_AUTO_START: u8 = 2;

/// A method of somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) name: &'static str,
}

impl Method {
    /// A call with the arguments `body`, a tuple, or `()` for none. `serial` is
    /// what the answer will refer to.
    pub(super) fn call<B>(self, serial: u32, body: &B) -> zbus::Result<Vec<u8>>
    where
        B: Serialize + DynamicType,
    {
        let mut fields = Vec::new();
        text_field(&mut fields, PATH, b'o', self.path);
        text_field(&mut fields, INTERFACE, b's', self.interface);
        text_field(&mut fields, MEMBER, b's', self.name);
        text_field(&mut fields, DESTINATION, b's', self.destination);
        assemble(Kind::Call, serial, fields, body)
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Return,
    Error,
    Signal,
}

/// A field of the header that is a string, an object path or a name.
pub(super) fn text_field(fields: &mut Vec<u8>, code: u8, type_code: u8, text: &str) {
    pad(fields);
    fields.extend([code, 1, type_code, 0]);
    fields.extend((text.len() as u32).to_le_bytes());
    fields.extend(text.as_bytes());
    fields.push(0);
}

/// A whole message, the lowest byte first on every machine: it says so itself.
pub(super) fn assemble<B>(
    kind: Kind,
    serial: u32,
    mut fields: Vec<u8>,
    body: &B,
) -> zbus::Result<Vec<u8>>
where
    B: Serialize + DynamicType,
{
    let signature = body.signature().to_string_no_parens();
    let body = to_bytes(Context::new(LE, 0), body)?;
    let body = if signature.is_empty() { &[] } else { body.bytes() };
    pad(&mut fields);
    fields.extend([SIGNATURE, 1, b'g', 0, signature.len() as u8]);
    fields.extend(signature.as_bytes());
    fields.push(0);
    let kind = match kind {
        Kind::Call => 1,
        Kind::Return => 2,
        Kind::Error => 3,
        Kind::Signal => 4,
    };
    // An answer or a signal starts nobody either way.
    let mut message = vec![b'l', kind, NO_AUTO_START, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend((fields.len() as u32).to_le_bytes());
    message.extend(fields);
    pad(&mut message);
    message.extend(body);
    Ok(message)
}

/// Fills up to a multiple of 8, which is where a structure or a body begins.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// A message that has come.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// Which call it answers.
    pub(super) answers: Option<u32>,
    /// Who sent it: a bus writes that in, where there is one.
    pub(super) sender: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) member: Option<String>,
    /// The name of the error, where it is one.
    pub(super) error: Option<String>,
    signature: String,
    endian: Endian,
    body: Vec<u8>,
}

impl Message {
    /// Takes the first message off `bytes`, once it has come in full.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(None) };
        let endian = match fixed[0] {
            b'l' => LE,
            b'B' => BE,
            other => return Err(format!("its byte order is {other:#04x}")),
        };
        if fixed[3] != 1 {
            return Err(format!("its version is {}", fixed[3]));
        }
        let body_length = endian.read_u32(&fixed[4..8]) as usize;
        let fields_length = endian.read_u32(&fixed[12..16]) as usize;
        if fields_length > MOST_FIELDS || body_length > MOST - FIXED - MOST_FIELDS {
            return Err(format!("its lengths are {fields_length} and {body_length} bytes"));
        }
        let body_at = (FIXED + fields_length).next_multiple_of(8);
        let length = body_at + body_length;
        if bytes.len() < length {
            return Ok(None);
        }
        let message = Self::parse(&bytes[..length], endian, body_at);
        bytes.drain(..length);
        message.map(Some)
    }

    fn parse(bytes: &[u8], endian: Endian, body_at: usize) -> Result<Self, String> {
        let kind = match bytes[1] {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            other => return Err(format!("its type is {other}")),
        };
        let mut message = Self {
            kind,
            answers: None,
            sender: None,
            interface: None,
            member: None,
            error: None,
            signature: String::new(),
            endian,
            body: bytes[body_at..].to_vec(),
        };
        let fields = decode::<Vec<(u8, OwnedVariant)>>(&bytes[12..body_at], endian, 12)?;
        for (code, value) in fields {
            message.note(code, value.into());
        }
        Ok(message)
    }

    /// A field of another type than it has to have is as good as none: then
    /// nobody recognizes the message.
    fn note(&mut self, code: u8, value: Variant<'_>) {
        match (code, value) {
            (INTERFACE, Variant::Str(name)) => self.interface = Some(name.to_string()),
            (MEMBER, Variant::Str(name)) => self.member = Some(name.to_string()),
            (ERROR_NAME, Variant::Str(name)) => self.error = Some(name.to_string()),
            (REPLY_SERIAL, Variant::U32(serial)) => self.answers = Some(serial),
            (SENDER, Variant::Str(name)) => self.sender = Some(name.to_string()),
            (SIGNATURE, Variant::Signature(signature)) => {
                self.signature = signature.to_string_no_parens();
            }
            _ => {}
        }
    }

    pub(super) fn is_signal(&self, interface: &str, member: &str) -> bool {
        let is = |field: &Option<String>, name: &str| field.as_deref() == Some(name);
        self.kind == Kind::Signal && is(&self.interface, interface) && is(&self.member, member)
    }

    /// The words of an error: its first argument, if that is a text.
    pub(super) fn text(&self) -> Option<String> {
        if !self.signature.starts_with('s') {
            return None;
        }
        decode(&self.body, self.endian, 0).ok()
    }

    /// The only argument, an object path.
    pub(super) fn path(&self) -> Result<String, String> {
        self.expect("o")?;
        Ok(decode::<OwnedObjectPath>(&self.body, self.endian, 0)?.to_string())
    }

    /// Of the arguments of JobRemoved: the job, the unit, how it ended.
    pub(super) fn job_removed(&self) -> Option<(String, String, String)> {
        self.expect("uoss").ok()?;
        let (_, job, unit, result): (u32, OwnedObjectPath, String, String) =
            decode(&self.body, self.endian, 0).ok()?;
        Some((job.to_string(), unit, result))
    }

    /// All arguments, of this signature.
    #[cfg(test)]
    pub(super) fn arguments<T: DeserializeOwned + Type>(&self, signature: &str) -> T {
        self.expect(signature).unwrap();
        decode(&self.body, self.endian, 0).unwrap()
    }

    fn expect(&self, signature: &str) -> Result<(), String> {
        match self.signature == signature {
            true => Ok(()),
            false => Err(format!("its arguments are {:?}, not {signature:?}", self.signature)),
        }
    }
}

/// Reads a value at `position` of its message: alignment counts from there.
fn decode<T>(bytes: &[u8], endian: Endian, position: usize) -> Result<T, String>
where
    T: DeserializeOwned + Type,
{
    Data::new(bytes, Context::new(endian, position))
        .deserialize()
        .map(|(value, _)| value)
        .map_err(|error| error.to_string())
}
