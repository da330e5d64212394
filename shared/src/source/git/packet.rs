//! Reads and writes git's packet lines (git `Documentation/gitprotocol-common.adoc`).

/// The longest packet, with its length.
const MAX_PACKET: usize = 65_520;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Bytes.
    Data(Vec<u8>),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of an answer.
    End,
}

/// `lines` as packets, with `arguments` in a section of their own, and the end of the message.
pub(super) fn request(lines: &[&str], arguments: &[String]) -> Vec<u8> {
    let packet = |line: &str| format!("{:04x}{line}\n", line.len().saturating_add(5));
    let lines: String = lines.iter().map(|line| packet(line)).collect();
    let arguments: String = arguments.iter().map(|line| packet(line)).collect();
    format!("{lines}0001{arguments}0000").into_bytes()
}

/// Takes bytes as they come, and gives the packets that are whole.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet; `None` where it is not whole yet. An error where the bytes are no packets.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, String> {
        let Some(length) = self.buffer.get(..4) else { return Ok(None) };
        let wrong = || "the answer is not git's".to_owned();
        let length = std::str::from_utf8(length).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let length = length.filter(|length| *length <= MAX_PACKET).ok_or_else(wrong)?;
        let packet = match length {
            0 => Packet::Flush,
            1 => Packet::Delimiter,
            2 => Packet::End,
            3 => return Err(wrong()),
            _ => {
                let Some(data) = self.buffer.get(4..length) else { return Ok(None) };
                Packet::Data(data.to_vec())
            }
        };
        self.buffer.drain(..length.max(4));
        Ok(Some(packet))
    }

    /// Whether all bytes were packets.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The text of a packet, without the line's end. An error where the server says what is wrong.
pub(super) fn line(data: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(data);
    let text = text.trim_end_matches('\n');
    match text.strip_prefix("ERR ") {
        Some(problem) => Err(format!("the host says: {}", crate::printable::printable(problem))),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_however_they_are_cut() {
        let bytes = request(&["command=ls-refs", "agent=x"], &["peel".to_owned()]);
        assert_eq!(bytes, b"0014command=ls-refs\n000cagent=x\n00010009peel\n0000");
        for size in 1..bytes.len() {
            let (mut reader, mut found) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.add(piece);
                while let Some(packet) = reader.next().unwrap() {
                    found.push(packet);
                }
            }
            assert!(reader.is_empty());
            let data = |text: &str| Packet::Data(text.as_bytes().to_vec());
            let expected =
                [data("command=ls-refs\n"), data("agent=x\n"), Packet::Delimiter, data("peel\n"), Packet::Flush];
            assert_eq!(found, expected);
        }
        for wrong in ["0003", "zzzz", "ffff", "<htm"] {
            let mut reader = Reader::default();
            reader.add(wrong.as_bytes());
            assert!(reader.next().is_err(), "{wrong}");
        }
        assert_eq!(line(b"ERR no such thing\n"), Err("the host says: no such thing".to_owned()));
    }
}
