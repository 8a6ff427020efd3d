//! Encodings that the probe neither asked for nor reads: what came is not the object, and says nothing of it.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::report::{Cause, Report};

use super::gzip;
use crate::testkit::front::{Heard, Plan, Reply, Selector};
use crate::testkit::in_process::registry;
use crate::testkit::reports::{assert_intact, assert_unverified};
use crate::testkit::sweeping::Sweeping;

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: [(&str, Encode); 4] =
    [("br", brotli), ("zstd", zstd), ("deflate", deflate), ("gzip, gzip", |body| gzip(&gzip(body)))];

/// One meta-block that is not compressed, and an empty last one (RFC 7932, section 9.2).
fn brotli(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    assert!((1..65536).contains(&length), "fits into a block");
    let head = ((length - 1) << 4) | (1 << 20);
    [&head.to_le_bytes()[..3], body, &[3]].concat()
}

/// A frame of one block that is not compressed (RFC 8878, section 3.1.1).
fn zstd(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let block = (length << 3) | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &length.to_le_bytes()[..], &block.to_le_bytes()[..3], body].concat()
}

/// With zlib's header, as HTTP has it.
fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Lists or manifests as a proxy encodes them.
fn encoding(name: &'static str, encode: Encode, which: Selector) -> impl Fn(&Heard, &mut Reply) {
    move |heard, reply| {
        if !which(heard) || reply.status != 200 {
            return;
        }
        reply.set("content-encoding", name);
        if heard.method == "HEAD" {
            reply.set("content-length", 71);
        } else {
            let body = encode(&reply.body());
            reply.set_body(body);
        }
    }
}

async fn swept_through(change: impl Fn(&Heard, &mut Reply) + Send + Sync + 'static) -> Report {
    let registry = registry().await;
    let front = Plan::before(registry.address()).changing(change).start().await;
    let url = format!("http://{}", front.address());
    Sweeping::over(&url).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await
}

#[tokio::test]
async fn a_list_in_an_encoding_that_nobody_asked_for_is_unverified() {
    for (name, encode) in ENCODINGS {
        let report = swept_through(encoding(name, encode, Heard::is_of_list)).await;
        assert_unverified(&report, Cause::Protocol, name);
    }
}

#[tokio::test]
async fn a_manifest_in_an_encoding_that_nobody_asked_for_is_unverified() {
    for (name, encode) in ENCODINGS {
        let report = swept_through(encoding(name, encode, Heard::is_of_manifest)).await;
        assert_unverified(&report, Cause::Protocol, name);
    }
}

#[tokio::test]
async fn blob_length_in_unrequested_encoding_is_no_failure() {
    for (name, encode) in ENCODINGS {
        let report = swept_through(encoding(name, encode, Heard::is_of_blob)).await;
        assert_eq!(report.failures, [], "{name}");
    }
}

/// Storages tell the encoding that was noted when an object was stored, `aws-chunked` for one, whatever its bytes are.
#[tokio::test]
async fn wrong_encoding_label_on_right_bytes_is_intact() {
    for (name, _) in ENCODINGS.into_iter().chain([("aws-chunked", gzip as Encode)]) {
        for which in [Heard::is_of_manifest, Heard::is_of_blob] {
            let registry = registry().await;
            let label = move |heard: &Heard, reply: &mut Reply| {
                if which(heard) && matches!(reply.status, 200 | 206) {
                    reply.set("content-encoding", name);
                }
            };
            let front = Plan::before(registry.address()).changing(label).start().await;
            let mut sweeping = Sweeping::over(&format!("http://{}", front.address()));
            assert_intact(&sweeping.sweep().await, name);
        }
    }
}

/// RFC 9110, section 8.4.1: codings are case-insensitive, and `x-gzip` is gzip.
#[tokio::test]
async fn gzip_by_its_other_names_is_no_failure() {
    for name in ["GZIP", "Gzip", "x-gzip"] {
        let report = swept_through(encoding(name, gzip, Heard::is_of_manifest)).await;
        assert_eq!(report.failures, [], "{name}");
    }
}
