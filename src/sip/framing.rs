//! Where a message ends in a stream (RFC 3261 18.3), found as the bytes come in.
//!
//! Owns: keep-alive CRLFs, the end of the fields, Content-Length, the bounds on both. Knows no connection and keeps no
//! bytes: the caller keeps them, shows all that it has, and takes off what a frame covers. Offsets count from the
//! first byte shown. A byte is looked at once while a message comes in, and its fields once more when they are whole.
//!
//! Line ends are those of [`crate::sip::message`]: LF, with or without CR before it. A header with another CR, or with a
//! NUL, breaks the stream: a peer that ends a line there may see the end of the header elsewhere.

use memchr::{memchr, memchr3};

use super::message::lex::is_blank;

/// Bounds of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingLimits {
    /// Start line and fields with the empty line behind them.
    pub header_bytes_max: usize,
    /// The whole message.
    pub message_bytes_max: usize,
}

impl Default for FramingLimits {
    fn default() -> Self {
        Self { header_bytes_max: 32 * 1024, message_bytes_max: crate::sip::MESSAGE_BYTES_MAX }
    }
}

/// What stands at the start of the bytes shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The second CRLF in a row: with the one before it, a ping that wants a CRLF back (RFC 5626 4.4.1).
    KeepAlivePing,
    /// One CRLF: a pong, the first half of a ping, or an empty line before a message (RFC 3261 7.5). It is told
    /// at once, because who waits for a pong must not wait for the byte behind it.
    KeepAlivePong,
    /// A whole message.
    Message {
        /// Its bytes, from the first.
        len: usize,
    },
    /// Not enough yet: show these bytes again, with more behind them.
    NeedMore,
    /// The stream cannot be read any further: where the next message begins is not known.
    Broken(Broken),
}

impl Frame {
    /// How many bytes it covers: what the caller takes off before the next call.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::KeepAlivePing | Self::KeepAlivePong => CRLF_BYTES,
            Self::Message { len } => len,
            Self::NeedMore | Self::Broken(_) => 0,
        }
    }

    /// It covers no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A message cannot begin with this: LF alone, or a blank; or no header can hold it: CR without LF, or NUL.
    StrayByte,
    /// [`FramingLimits::header_bytes_max`] bytes without an empty line.
    HeaderTooLarge,
    /// Larger than [`FramingLimits::message_bytes_max`].
    MessageTooLarge,
    /// No Content-Length, which a stream needs (RFC 3261 18.3).
    ContentLengthMissing,
    /// More than one Content-Length, even if they agree.
    ContentLengthDuplicate,
    /// Content-Length is not a decimal number.
    ContentLengthBad,
}

const CRLF_BYTES: usize = 2;

/// Reads frames off one stream.
#[derive(Debug, Clone)]
pub struct Framing {
    limits: FramingLimits,
    /// The frame before was one CRLF, so that another one makes a ping.
    half_ping: bool,
    /// Bytes of the message at the front that were looked at: no line ends between `line_start` and here.
    scanned: usize,
    /// Where the line begins that is being read.
    line_start: usize,
    /// The length of the message at the front, once its fields are whole.
    len: Option<usize>,
    /// Set for good: what comes behind is never read.
    broken: Option<Broken>,
}

impl Framing {
    /// At the start of a stream.
    #[must_use]
    pub const fn new(limits: FramingLimits) -> Self {
        Self { limits, half_ping: false, scanned: 0, line_start: 0, len: None, broken: None }
    }

    /// What stands at the start of `bytes`: all that has come in and was not taken off yet.
    ///
    /// After [`Frame::NeedMore`] the next call shows the same bytes with more behind them; after any other frame,
    /// [`Frame::len`] bytes less. [`Frame::Broken`] stays.
    pub fn next(&mut self, bytes: &[u8]) -> Frame {
        if let Some(broken) = self.broken {
            return Frame::Broken(broken);
        }
        let frame = self.find(bytes).unwrap_or_else(|broken| {
            self.broken = Some(broken);
            Frame::Broken(broken)
        });
        if !matches!(frame, Frame::NeedMore) {
            self.half_ping = frame == Frame::KeepAlivePong;
            (self.scanned, self.line_start, self.len) = (0, 0, None);
        }
        frame
    }

    fn find(&mut self, bytes: &[u8]) -> Result<Frame, Broken> {
        let len = match self.len {
            Some(len) => len,
            None => match bytes {
                [] | [b'\r'] => return Ok(Frame::NeedMore),
                [b'\r', b'\n', ..] if self.half_ping => return Ok(Frame::KeepAlivePing),
                [b'\r', b'\n', ..] => return Ok(Frame::KeepAlivePong),
                [b'\r' | b'\n' | b' ' | b'\t', ..] => return Err(Broken::StrayByte),
                _ => match self.header_end(bytes)? {
                    Some(end) => self.message_len(&bytes[..end])?,
                    None => return Ok(Frame::NeedMore),
                },
            },
        };
        self.len = Some(len);
        Ok(if bytes.len() >= len { Frame::Message { len } } else { Frame::NeedMore })
    }

    /// Behind the empty line, going on where the last call stopped.
    fn header_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        // Bytes beyond the bound do not count, however many came at once.
        let within = &bytes[..bytes.len().min(self.limits.header_bytes_max)];
        while let Some(found) = memchr3(b'\n', b'\r', 0, &within[self.scanned..]) {
            let newline = self.scanned + found;
            match (within[newline], within.get(newline + 1)) {
                (b'\n', _) => {}
                (b'\r', Some(b'\n')) => {
                    self.scanned = newline + 1;
                    continue;
                }
                // Of a CR at the end, the next call says what it is.
                (b'\r', None) if bytes.len() < self.limits.header_bytes_max => {
                    self.scanned = newline;
                    return Ok(None);
                }
                (b'\r', None) => return Err(Broken::HeaderTooLarge),
                _ => return Err(Broken::StrayByte),
            }
            let is_empty_line = matches!(&within[self.line_start..newline], [] | [b'\r']);
            (self.scanned, self.line_start) = (newline + 1, newline + 1);
            if is_empty_line {
                return Ok(Some(newline + 1));
            }
        }
        self.scanned = within.len();
        if bytes.len() >= self.limits.header_bytes_max {
            return Err(Broken::HeaderTooLarge);
        }
        Ok(None)
    }

    fn message_len(&self, header: &[u8]) -> Result<usize, Broken> {
        let len = header.len().saturating_add(content_length(header)?);
        if len > self.limits.message_bytes_max {
            return Err(Broken::MessageTooLarge);
        }
        Ok(len)
    }
}

/// The number in the one Content-Length of a header.
fn content_length(header: &[u8]) -> Result<usize, Broken> {
    let mut found = None;
    let mut at = line_end(header, 0);
    while at < header.len() {
        let mut end = line_end(header, at);
        while matches!(header.get(end), Some(b' ' | b'\t')) {
            end = line_end(header, end);
        }
        if let Some(value) = content_length_value(&header[at..end])
            && found.replace(value).is_some()
        {
            return Err(Broken::ContentLengthDuplicate);
        }
        at = end;
    }
    let digits = trim_blanks(found.ok_or(Broken::ContentLengthMissing)?);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Broken::ContentLengthBad);
    }
    Ok(digits.iter().fold(0_usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    }))
}

/// Behind the line that begins at `at`; the header's end when it does not end.
fn line_end(header: &[u8], at: usize) -> usize {
    memchr(b'\n', &header[at..]).map_or(header.len(), |newline| at + newline + 1)
}

/// The blanks of SIP only: to the parser a form feed is none either.
fn trim_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| !is_blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|&b| !is_blank(b)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// What stands behind the colon, if this field is Content-Length in its long or compact form.
fn content_length_value(field: &[u8]) -> Option<&[u8]> {
    if !matches!(field.first(), Some(b'C' | b'c' | b'L' | b'l')) {
        return None;
    }
    let colon = memchr(b':', field)?;
    let (name, value) = (trim_blanks(&field[..colon]), &field[colon + 1..]);
    let is_it = name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l");
    is_it.then_some(value)
}

#[cfg(test)]
mod tests;
