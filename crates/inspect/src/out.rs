//! Where answers go: lines of text, or one JSON object a line. Must not know what they say.

use std::io::Write;

use crate::error::InspectError;
use crate::json::Json;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For eyes, and for scripts that know Kafka's tools.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Takes answers; each is written at once, none is kept.
pub struct Out<'a> {
    writer: &'a mut dyn Write,
    format: Format,
}

impl<'a> Out<'a> {
    /// Writes to `writer`, which should have a buffer.
    pub fn new(writer: &'a mut dyn Write, format: Format) -> Self {
        Self { writer, format }
    }

    /// One answer, in the form asked for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn say(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Json,
    ) -> Result<(), InspectError> {
        match self.format {
            Format::Text => writeln!(self.writer, "{}", text())?,
            Format::Json => writeln!(self.writer, "{}", json())?,
        }
        Ok(())
    }

    /// A line that only eyes need.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(&mut self, text: impl FnOnce() -> String) -> Result<(), InspectError> {
        if self.format == Format::Text {
            writeln!(self.writer, "{}", text())?;
        }
        Ok(())
    }

    /// An answer that only programs need.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json(&mut self, json: impl FnOnce() -> Json) -> Result<(), InspectError> {
        if self.format == Format::Json {
            writeln!(self.writer, "{}", json())?;
        }
        Ok(())
    }

    /// Everything said is out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self) -> Result<(), InspectError> {
        Ok(self.writer.flush()?)
    }
}
