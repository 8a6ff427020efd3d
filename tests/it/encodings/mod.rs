//! Answers that come compressed, whether or not that was asked for.

mod foreign;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::demo::fault::{at, ignores_range};
use registry_integrity_probe::demo::{Endpoint, Image};
use registry_integrity_probe::report::{Cause, Reason, Report};

use crate::testkit::front::{Front, Heard, Plan, Reply, Selector};
use crate::testkit::in_process::{app, registry};
use crate::testkit::probe::probe;
use crate::testkit::reports::{assert_intact, assert_unverified};
use crate::testkit::sweeping::Sweeping;

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Replaces the body by what is made of it, as `gzip`. An answer to HEAD tells another length than the object's, as a
/// compressed one has.
pub fn compress(heard: &Heard, reply: &mut Reply, by: impl Fn(&[u8]) -> Vec<u8>) {
    if !(200..300).contains(&reply.status) {
        return;
    }
    reply.set("content-encoding", "gzip");
    if heard.method == "HEAD" {
        reply.set("content-length", 71);
    } else {
        let body = by(&reply.body());
        reply.set_body(body);
    }
}

async fn swept_through(change: impl Fn(&Heard, &mut Reply) + Send + Sync + 'static) -> (Report, Vec<Heard>) {
    let registry = registry().await;
    let front = Plan::before(registry.address()).changing(change).start().await;
    (sweep_of(&front, ByteEvidence::Within(Duration::ZERO)).await, front.heard())
}

async fn sweep_of(front: &Front, byte: ByteEvidence) -> Report {
    let url = format!("http://{}", front.address());
    Sweeping::over(&url).with(|target| target.evidence.byte = byte).sweep().await
}

type Cut = fn(Vec<u8>) -> Vec<Bytes>;

/// Each byte by itself, in pieces of seven, and within the header, the data and the trailer.
const CUTS: [Cut; 3] = [
    |bytes| bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect(),
    |bytes| bytes.chunks(7).map(Bytes::copy_from_slice).collect(),
    |bytes| {
        let end = bytes.len() - 3;
        [&bytes[..4], &bytes[4..11], &bytes[11..end], &bytes[end..]].map(Bytes::copy_from_slice).to_vec()
    },
];

#[tokio::test]
async fn lists_that_come_compressed_as_was_asked_for_are_read() {
    let (report, heard) = swept_through(|heard, reply| {
        if heard.is_of_list() && heard.header("accept-encoding") == Some("gzip") {
            compress(heard, reply, gzip);
        }
    })
    .await;
    assert_intact(&report, "compressed lists");
    let as_they_are = Sweeping::of(&registry().await).sweep().await;
    assert_eq!((report.objects, report.requests), (as_they_are.objects, as_they_are.requests));
    let lists: Vec<_> = heard.iter().filter(|heard| heard.is_of_list()).collect();
    assert!(lists.len() >= 2, "{heard:#?}");
    assert!(lists.iter().all(|heard| heard.header("accept-encoding") == Some("gzip")), "{lists:#?}");
}

#[tokio::test]
async fn a_compressed_list_may_come_in_chunks_of_any_size() {
    for cut in CUTS {
        let (report, _) = swept_through(move |heard, reply| {
            if heard.is_of_list() {
                compress(heard, reply, gzip);
                reply.pieces = cut(reply.body());
                reply.remove("content-length");
            }
        })
        .await;
        assert_intact(&report, "chunks");
    }
}

fn two_members(body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len() / 2);
    [gzip(first), gzip(second)].concat()
}

/// RFC 1952, section 2.2: a gzip file is a series of members, one after the other.
#[tokio::test]
async fn gzip_of_several_members_is_read_to_its_end() {
    let (report, _) = swept_through(|heard, reply| {
        if heard.is_of_list() || heard.is_of_manifest() {
            compress(heard, reply, two_members);
        }
    })
    .await;
    assert_intact(&report, "two members");
}

#[tokio::test]
async fn a_manifest_in_several_members_of_gzip_is_no_failure() {
    let (report, _) = swept_through(|heard, reply| {
        if heard.is_of_manifest() {
            compress(heard, reply, two_members);
        }
    })
    .await;
    assert_eq!(report.failures, []);
}

#[tokio::test]
async fn a_manifest_that_a_proxy_compressed_unasked_is_intact() {
    let (report, heard) = swept_through(|heard, reply| {
        if heard.is_of_manifest() {
            compress(heard, reply, gzip);
        }
    })
    .await;
    assert_intact(&report, "compressed manifests");
    let manifests: Vec<_> = heard.iter().filter(|heard| heard.is_of_manifest()).collect();
    assert!(!manifests.is_empty());
    assert!(manifests.iter().all(|heard| heard.header("accept-encoding") == Some("identity")), "{manifests:#?}");
}

#[tokio::test]
async fn identity_encoding_is_read_unchanged() {
    let (report, _) = swept_through(|_, reply| reply.set("content-encoding", "identity")).await;
    assert_intact(&report, "identity");
}

type Changing = fn(&Heard, &mut Reply);

/// How a blob's answer may be labelled or changed. The label alone is what storage says of a layer that was uploaded with it.
const LABELLED: [(&str, Changing); 2] = [
    ("a label on the bytes as they are", |_, reply| reply.set("content-encoding", "gzip")),
    ("a range of the compressed form", |heard, reply| {
        compress(heard, reply, |_| vec![0]);
        if reply.status == 206 {
            reply.set("content-range", "bytes 70-70/71");
        }
    }),
];

#[tokio::test]
async fn encoded_blob_length_and_last_byte_prove_nothing() {
    for byte in [ByteEvidence::Off, ByteEvidence::Within(Duration::ZERO)] {
        for (name, change) in LABELLED {
            let registry = registry().await;
            let change = move |heard: &Heard, reply: &mut Reply| {
                if heard.is_of_blob() && (200..300).contains(&reply.status) {
                    change(heard, reply);
                }
            };
            let front = Plan::before(registry.address()).changing(change).start().await;
            assert_unverified(&sweep_of(&front, byte).await, Cause::Protocol, &format!("{name}, {byte:?}"));
        }
    }
}

#[tokio::test]
async fn a_blob_that_comes_compressed_and_whole_is_intact() {
    let registry = registry().await;
    registry.fault(at(Endpoint::Blob), ignores_range());
    let change = |heard: &Heard, reply: &mut Reply| {
        if heard.is_of_blob() {
            compress(heard, reply, gzip);
        }
    };
    let front = Plan::before(registry.address()).changing(change).start().await;
    assert_intact(&sweep_of(&front, ByteEvidence::Within(Duration::ZERO)).await, "200 instead of 206");
    let image = format!("{}/app:1", front.address());
    let verify = probe(["verify", "--plain-http", "--evidence=content", "--output=json", &image]);
    let outcome = verify.run().await;
    assert_eq!(outcome.code, Some(0), "every byte: {outcome:?}");
    let blobs: Vec<_> = front.heard().into_iter().filter(Heard::is_of_blob).collect();
    assert!(blobs.iter().all(|heard| heard.header("accept-encoding") == Some("identity")), "{blobs:#?}");
}

type Spoil = fn(Vec<u8>) -> Vec<u8>;

/// What is no gzip, or only the beginning of it.
const SPOILT: [(&str, Spoil); 6] = [
    ("without its trailer", |bytes| bytes[..bytes.len() - 8].to_vec()),
    ("within its trailer", |bytes| bytes[..bytes.len() - 3].to_vec()),
    ("within its data", |bytes| bytes[..bytes.len() / 2].to_vec()),
    ("with another checksum", |mut bytes| {
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        bytes
    }),
    ("with data that is none", |mut bytes| {
        bytes[10..].fill(0xff);
        bytes
    }),
    ("not compressed at all", |_| b"{}".to_vec()),
];

#[tokio::test]
async fn what_is_no_whole_gzip_is_unverified_and_no_failure() {
    let selections: [(&str, Selector); 2] = [("lists", Heard::is_of_list), ("manifests", Heard::is_of_manifest)];
    join_all(SPOILT.into_iter().flat_map(|spoilt| selections.map(|selected| (spoilt, selected))).map(
        |((name, spoil), (of, is_selected))| async move {
            let (report, _) = swept_through(move |heard, reply| {
                if is_selected(heard) {
                    compress(heard, reply, |body| spoil(gzip(body)));
                }
            })
            .await;
            assert_unverified(&report, Cause::Protocol, &format!("{of} {name}"));
        },
    ))
    .await;
}

#[tokio::test]
async fn a_manifest_whose_connection_ends_within_its_gzip_is_unreadable() {
    let registry = registry().await;
    registry.push("whole:1", &Image::manifest().named("whole"));
    let digest = Arc::new(app().root().digest.to_string());
    let front = Plan::before(registry.address())
        .changing(move |heard, reply| {
            if heard.target.ends_with(&*digest) || heard.target.ends_with("app/manifests/1") {
                compress(heard, reply, gzip);
                let body = reply.body();
                reply.pieces = vec![Bytes::copy_from_slice(&body[..body.len() / 2])];
                reply.is_cut = true;
            }
        })
        .start()
        .await;
    let report = sweep_of(&front, ByteEvidence::Off).await;
    let reasons: Vec<_> = report.failures.iter().map(|failure| failure.reason).collect();
    assert_eq!(reasons, [Reason::Unreadable], "{report:#?}");
}
