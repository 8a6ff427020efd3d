//! A body as it comes, decoded if it was compressed on the way.

use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::Version;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// So much is decoded at a time: a byte of gzip becomes at most 1,032, so that a piece takes a few MiB at the worst.
const PIECE: usize = 4 * 1024;
/// An unwanted body is read up to this many bytes: a new connection costs more.
const DRAINED_AT_MOST: u64 = 16 * 1024;

/// What remains of a body.
pub struct Payload {
    body: reqwest::Body,
    /// What says where the body ends.
    end: End,
    /// Bytes that came, as they were sent.
    received: u64,
    /// `None` where the body is not compressed.
    decoding: Option<Decoding>,
    is_http_2: bool,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its length in bytes, from a header.
    Length(u64),
    /// HTTP itself: the last chunk, or HTTP/2's mark.
    Mark,
    /// The end of the connection.
    Connection,
}

struct Decoding {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Compressed, and not looked at yet.
    left: Bytes,
}

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended before.
    Cut,
    /// What came cannot be decoded.
    Nonsense,
}

impl Payload {
    /// The body of a response. If it is decoded here, its headers no longer name an encoding, nor the encoded length.
    pub fn new(body: reqwest::Body, version: Version, headers: &mut HeaderMap) -> Self {
        let end = match body.size_hint().exact() {
            Some(length) => End::Length(length),
            None if version >= Version::HTTP_2 || is_chunked(headers) => End::Mark,
            None => End::Connection,
        };
        let is_gzip = headers.get(CONTENT_ENCODING).is_some_and(|encoding| {
            [&b"gzip"[..], b"x-gzip"].iter().any(|gzip| encoding.as_bytes().eq_ignore_ascii_case(gzip))
        });
        if is_gzip {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        let decoding = is_gzip.then(Decoding::new);
        Self { body, end, received: 0, decoding, is_http_2: version >= Version::HTTP_2 }
    }

    /// How many bytes are to come, if that is known.
    pub fn length(&self) -> Option<u64> {
        if self.decoding.is_some() { None } else { self.body.size_hint().exact() }
    }

    /// True if nothing but the end of the connection ends the body, and nothing in the body does.
    pub fn ends_with_connection(&self) -> bool {
        self.end == End::Connection && self.decoding.is_none()
    }

    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(decoding) = &mut self.decoding
                && !decoding.left.is_empty()
            {
                let bytes = decoding.piece()?;
                if !bytes.is_empty() {
                    return Ok(Some(bytes));
                }
                continue;
            }
            match (self.next().await?, &mut self.decoding) {
                (Some(bytes), Some(decoding)) => decoding.left = bytes,
                (None, Some(decoding)) => {
                    let bytes = decoding.end()?;
                    self.decoding = None;
                    return Ok(Some(bytes).filter(|bytes| !bytes.is_empty()));
                }
                (bytes, None) => return Ok(bytes),
            }
        }
    }

    /// Reads an unwanted body to its end, so that its connection can be used again. A long one is dropped with its connection.
    pub async fn drain(mut self) {
        if matches!(self.end, End::Connection) || matches!(self.end, End::Length(length) if length > DRAINED_AT_MOST) {
            return;
        }
        while self.received <= DRAINED_AT_MOST && matches!(self.next().await, Ok(Some(_))) {}
    }

    /// The next bytes as they were sent.
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| if is_parse(&error) { Broken::Nonsense } else { Broken::Cut })?;
            // Trailers hold nothing that is needed.
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                self.received += bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
        // hyper takes a stream that was reset without an error for one that has ended.
        let is_cut = match self.end {
            End::Length(length) => self.received < length,
            End::Mark => self.is_http_2 && !self.body.is_end_stream(),
            End::Connection => false,
        };
        if is_cut { Err(Broken::Cut) } else { Ok(None) }
    }
}

/// True if the body breaks HTTP's own framing.
fn is_parse(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse)
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains("chunked"))
}

impl Decoding {
    fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), left: Bytes::new() }
    }

    fn piece(&mut self) -> Result<Bytes, Broken> {
        let piece = self.left.split_to(self.left.len().min(PIECE));
        self.decoder.write_all(&piece).map_err(|_| Broken::Nonsense)?;
        Ok(self.decoded())
    }

    /// An archive that lacks its end proves nothing, although HTTP came to its own.
    fn end(&mut self) -> Result<Bytes, Broken> {
        self.decoder.try_finish().map_err(|_| Broken::Nonsense)?;
        Ok(self.decoded())
    }

    fn decoded(&mut self) -> Bytes {
        std::mem::take(self.decoder.get_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes what comes in pieces of some length; gives also the longest piece that came of it.
    fn decode(compressed: &[u8], length: usize) -> Result<(Vec<u8>, usize), Broken> {
        let mut decoding = Decoding::new();
        let (mut whole, mut longest) = (Vec::new(), 0);
        for chunk in compressed.chunks(length) {
            decoding.left = Bytes::copy_from_slice(chunk);
            while !decoding.left.is_empty() {
                let piece = decoding.piece()?;
                longest = longest.max(piece.len());
                whole.extend_from_slice(&piece);
            }
        }
        whole.extend_from_slice(&decoding.end()?);
        Ok((whole, longest))
    }

    #[test]
    fn gzip_is_decoded_however_it_is_cut_and_in_how_many_members_it_comes() {
        let text: Vec<u8> = (0..20_000u32).flat_map(u32::to_be_bytes).collect();
        let members = [gzip(&text), gzip(b""), gzip(&text)].concat();
        for length in [1, 7, 4096, 1 << 20] {
            assert_eq!(decode(&members, length).unwrap().0, [&*text, &*text].concat());
        }
    }

    #[test]
    fn a_bomb_goes_off_in_small_pieces() {
        let (whole, longest) = decode(&gzip(&vec![0; 64 << 20]), 1 << 20).unwrap();
        assert_eq!(whole.len(), 64 << 20);
        assert!(longest < 6 << 20, "{longest}");
    }

    #[test]
    fn what_is_no_gzip_or_lacks_its_end_is_nonsense() {
        let whole = gzip(b"{\"tags\":[]}");
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end], 4096).unwrap_err(), Broken::Nonsense, "{end}");
        }
        let mut altered = whole;
        let checksum = altered.len() - 8;
        altered[checksum] ^= 1;
        assert_eq!(decode(&altered, 4096).unwrap_err(), Broken::Nonsense);
        assert_eq!(decode(b"{}", 4096).unwrap_err(), Broken::Nonsense);
    }
}
