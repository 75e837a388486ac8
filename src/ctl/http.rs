//! Asks a running node over its unix socket or over TCP: one request, one answer, HTTP/1.1.
//!
//! Owns: how an answer is cut out of the bytes (RFC 9112), and its bounds. Knows nothing of what is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The largest answer that is read. Bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// The longest line of an answer's head. Bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// Header fields of an answer.
const FIELDS_MAX: usize = 100;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longer than the node itself waits for the work.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(35);

/// Where a node is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its unix socket.
    Socket(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Target {
    /// A path, or `http://HOST:PORT`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') || text.starts_with("./") {
            return Ok(Self::Socket(text.into()));
        }
        if text.starts_with("https://") {
            return Err(
                "the admin listener speaks http, not https: write http://HOST:PORT".to_owned()
            );
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ']);
        match rest.rsplit_once(':') {
            Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(rest.to_owned()))
            }
            _ => Err(format!("\"{text}\" is neither a socket's path nor http://HOST:PORT")),
        }
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// When there is nobody, or the answer is none, with what to do.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>) -> Result<Answer, String> {
        let failed = |error: std::io::Error| format!("{self}: {error}; {}", self.cure(&error));
        let mut stream = self.connect().map_err(failed)?;
        let host = match self {
            Self::Socket(_) => "localhost",
            Self::Tcp(host) => host,
        };
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n"
        );
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).map_err(failed)?;
        read_answer(&mut BufReader::new(stream)).map_err(failed)
    }

    fn connect(&self) -> std::io::Result<Box<dyn ReadWrite>> {
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
                stream.set_write_timeout(Some(CONNECT_TIME_MAX))?;
                Ok(Box::new(stream))
            }
            Self::Tcp(host) => {
                let mut last =
                    std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
                for address in host.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_TIME_MAX) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
                            stream.set_write_timeout(Some(CONNECT_TIME_MAX))?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn cure(&self, error: &std::io::Error) -> &'static str {
        use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        match (self, error.kind()) {
            (Self::Socket(_), PermissionDenied) => {
                "join the group that owns the socket, or ask as root"
            }
            (Self::Socket(_), NotFound) => {
                "is it running, with socket in [admin]? Give the path or address with -s"
            }
            (_, ConnectionRefused) => {
                "is it running? `[admin] listen` and socket say where; give it with -s"
            }
            _ => "is this the admin listener of a node? Give its address with -s",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(host) => write!(f, "http://{host}"),
        }
    }
}

/// Encodes one part of a path (RFC 3986 2.1): all but unreserved characters.
#[must_use]
pub fn encoded(part: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    part.bytes().map(byte).collect()
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn invalid(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned())
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.take(LINE_BYTES_MAX).read_line(&mut line)?;
    if line.ends_with('\n') {
        Ok(line.trim_end().to_owned())
    } else {
        Err(invalid("the answer breaks off"))
    }
}

fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let first = line(reader)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid("the answer is no HTTP"))?;
    let (mut length, mut is_chunked) = (None, false);
    for place in 0.. {
        let field = line(reader)?;
        if field.is_empty() {
            break;
        }
        if place == FIELDS_MAX {
            return Err(invalid("the answer has too many header fields"));
        }
        let Some((name, value)) = field.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        read_chunks(reader, &mut body)?;
    } else {
        let wanted = length.unwrap_or(ANSWER_BYTES_MAX).min(ANSWER_BYTES_MAX);
        let read = reader.take(wanted).read_to_end(&mut body)?;
        if length.is_some_and(|length| length != read as u64) {
            return Err(invalid("the answer breaks off"));
        }
    }
    Ok(Answer { status, body })
}

/// RFC 9112 7.1, without trailers, which the node does not write.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let head = line(reader)?;
        let size = head.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk has no size"))?;
        if body.len() as u64 + size > ANSWER_BYTES_MAX {
            return Err(invalid("the answer is too large"));
        }
        if reader.take(size).read_to_end(body)? as u64 != size {
            return Err(invalid("the answer breaks off"));
        }
        line(reader)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Result<(u16, String), String> {
        let answer = read_answer(&mut bytes.as_bytes()).map_err(|error| error.to_string())?;
        Ok((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let ok = |text: &str, status: u16, body: &str| {
            assert_eq!(read(text), Ok((status, body.to_owned())))
        };
        ok("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more", 200, "{}");
        ok("HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", 404, "");
        ok("HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end");
        ok(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            200,
            "abcde",
        );
    }

    #[test]
    fn what_is_no_answer_says_so() {
        let bad = |text: &str, part: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        };
        bad("", "breaks off");
        bad("SSH-2.0-OpenSSH_9.2p1\r\n", "no HTTP");
        bad("HTTP/1.1 200 OK\r\n", "breaks off");
        bad("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", "breaks off");
        bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no size");
        bad(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200)), "too many");
        bad(&format!("HTTP/1.1 200 OK\r\n{}", "A".repeat(20_000)), "breaks off");
    }

    #[test]
    fn targets_are_paths_or_addresses() {
        let tcp = |text: &str| Ok(Target::Tcp(text.to_owned()));
        assert_eq!(Target::parse("/run/a.sock"), Ok(Target::Socket("/run/a.sock".into())));
        assert_eq!(Target::parse("http://127.0.0.1:9060/"), tcp("127.0.0.1:9060"));
        assert_eq!(Target::parse("[::1]:9060"), tcp("[::1]:9060"));
        for bad in ["", "https://a:1", "a", "a:b", "http://:9060", "http://a:1/b:2", "a:99999"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!(encoded("sip:10.0.0.1:5060"), "sip%3A10.0.0.1%3A5060");
        assert_eq!(encoded("a/b ä~"), "a%2Fb%20%C3%A4~");
    }
}
