//! Bytes of a message to JSON, field by field, in the words of Kafka's JSON converters. Must not
//! trust any length.

use std::borrow::Cow;

use ottla_protocol::Uuid;

use super::parse::{Field, Fields, Message, Type};
use crate::json::{Json, base64};

/// Why bytes are not the message, in words.
pub(super) type Fault = String;

/// How deep structs may stand in one another.
const DEPTH_MAX: usize = 16;

/// What is left to read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (head, tail) = self
            .bytes
            .split_at_checked(len)
            .ok_or_else(|| format!("{len} bytes are needed and {} are left", self.bytes.len()))?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.try_into().map_err(|_| "bytes are missing".to_owned())
    }

    pub(super) fn i16(&mut self) -> Result<i16, Fault> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn uvarint(&mut self) -> Result<u32, Fault> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number never ends".to_owned())
    }

    /// A length, `None` for null.
    fn length(&mut self, flexible: bool, long: bool) -> Result<Option<usize>, Fault> {
        let length = if flexible {
            i64::from(self.uvarint()?) - 1
        } else if long {
            i64::from(i32::from_be_bytes(self.array()?))
        } else {
            i64::from(self.i16()?)
        };
        Ok(usize::try_from(length).ok())
    }
}

struct Reading<'m> {
    message: &'m Message,
    version: i16,
    flexible: bool,
}

/// Reads a message of `version`; bytes may be left over.
pub(super) fn read(
    message: &Message,
    version: i16,
    cursor: &mut Cursor<'_>,
) -> Result<Json, Fault> {
    if !message.versions.has(version) {
        return Err(format!("{} has no version {version}", message.name));
    }
    let flexible = message.flexible.has(version);
    Reading { message, version, flexible }.fields(&message.fields, cursor, DEPTH_MAX)
}

impl Reading<'_> {
    fn fields(
        &self,
        fields: &Fields,
        cursor: &mut Cursor<'_>,
        depth: usize,
    ) -> Result<Json, Fault> {
        let Some(depth) = depth.checked_sub(1) else { return Err("too deep".to_owned()) };
        let there = || fields.iter().filter(|field| field.versions.has(self.version));
        let mut values: Vec<(&Field, Option<Json>)> = Vec::new();
        for field in there() {
            let tagged = self.flexible && field.tag.is_some();
            let value = if tagged { None } else { Some(self.field(field, cursor, depth)?) };
            values.push((field, value));
        }
        if self.flexible {
            for _ in 0..cursor.uvarint()? {
                let tag = cursor.uvarint()?;
                let size = usize::try_from(cursor.uvarint()?).unwrap_or(usize::MAX);
                let mut content = Cursor::new(cursor.take(size)?);
                let known = values.iter_mut().find(|(field, _)| field.tag == Some(tag));
                if let Some((field, value)) = known {
                    *value = Some(self.tagged(field, &mut content, depth)?);
                }
            }
        }
        let shown = values.into_iter().filter_map(|(field, value)| {
            value.map(|value| (Cow::Owned(field.name.clone()), value))
        });
        Ok(Json::Object(shown.collect()))
    }

    /// A tagged field. One that may be null says so in another way than elsewhere.
    fn tagged(&self, field: &Field, cursor: &mut Cursor<'_>, depth: usize) -> Result<Json, Fault> {
        if let Type::Struct(_) = &field.kind
            && field.nullable.has(self.version)
        {
            if cursor.uvarint()? == 0 {
                return Ok(Json::Null);
            }
            return self
                .value(&field.kind, false, cursor, depth)
                .map_err(|fault| format!("{}: {fault}", field.name));
        }
        self.field(field, cursor, depth)
    }

    fn field(&self, field: &Field, cursor: &mut Cursor<'_>, depth: usize) -> Result<Json, Fault> {
        let nullable = field.nullable.has(self.version);
        self.value(&field.kind, nullable, cursor, depth)
            .map_err(|fault| format!("{}: {fault}", field.name))
    }

    fn value(
        &self,
        kind: &Type,
        nullable: bool,
        cursor: &mut Cursor<'_>,
        depth: usize,
    ) -> Result<Json, Fault> {
        Ok(match kind {
            Type::Bool => Json::Bool(cursor.array::<1>()? != [0]),
            Type::Int8 => Json::Int(i8::from_be_bytes(cursor.array()?).into()),
            Type::Int16 => Json::Int(cursor.i16()?.into()),
            Type::Uint16 => Json::Int(u16::from_be_bytes(cursor.array()?).into()),
            Type::Int32 => Json::Int(i32::from_be_bytes(cursor.array()?).into()),
            Type::Uint32 => Json::Int(u32::from_be_bytes(cursor.array()?).into()),
            Type::Int64 => Json::Int(i64::from_be_bytes(cursor.array()?)),
            Type::Float64 => Json::Float(f64::from_be_bytes(cursor.array()?)),
            Type::Uuid => Uuid(cursor.array()?).to_string().into(),
            Type::Text => match cursor.length(self.flexible, false)? {
                Some(len) => std::str::from_utf8(cursor.take(len)?)
                    .map_err(|_| "it is no text".to_owned())?
                    .to_owned()
                    .into(),
                None => null(nullable)?,
            },
            Type::Bytes => match cursor.length(self.flexible, true)? {
                Some(len) => base64(cursor.take(len)?).into(),
                None => null(nullable)?,
            },
            Type::Array(item) => match cursor.length(self.flexible, true)? {
                Some(count) => {
                    let mut items = Vec::new();
                    for _ in 0..count {
                        // An item has at least a byte, but for empty structs, which nobody has.
                        if cursor.is_empty() {
                            return Err(format!("it has fewer than {count} items"));
                        }
                        items.push(self.value(item, false, cursor, depth)?);
                    }
                    Json::List(items)
                }
                None => null(nullable)?,
            },
            Type::Struct(name) => {
                if nullable && i8::from_be_bytes(cursor.array()?) < 0 {
                    return Ok(Json::Null);
                }
                let fields = self.message.structs.get(name);
                let fields = fields.ok_or_else(|| format!("nothing is known of {name}"))?;
                self.fields(fields, cursor, depth)?
            }
        })
    }
}

fn null(nullable: bool) -> Result<Json, Fault> {
    if nullable { Ok(Json::Null) } else { Err("it is null".to_owned()) }
}
