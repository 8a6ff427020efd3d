//! A long life: hundreds of sweeps of a registry that is pushed to, deleted from, broken and down, and what became of the
//! service's memory, its file descriptors, its connections, and its findings.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use registry_integrity_probe::demo::fault::{cuts_body_after, on};
use registry_integrity_probe::demo::{Headers, Image, Registry};
use registry_integrity_probe::oci::Digest;
use serde_json::Value;

use super::process::{Background, descriptors, memory};

const REPOSITORIES: usize = 20;
/// Images of a repository; the oldest is deleted for each new one.
const IMAGES: usize = 10;
/// Every so many sweeps, the registry is down during one.
const OUTAGE_EVERY: usize = 25;
/// Until the service is warm.
const WARM: usize = 20;
const BOUND: Duration = Duration::from_secs(60);

struct Soak {
    registry: Registry,
    /// Tags with their images, oldest first, of each repository.
    images: Vec<VecDeque<(String, Image)>>,
    pushed: usize,
    random: fastrand::Rng,
    /// What is broken now, and how it is mended.
    planted: Vec<Planted>,
}

struct Planted {
    repository: usize,
    digest: Digest,
    reason: &'static str,
    mend: Mend,
}

type Mend = Box<dyn FnOnce(&Registry) + Send>;

/// Runs so many sweeps, and prints what there is to see.
pub async fn run(folder: &Path, sweeps: usize) {
    let registry = Registry::start().await.expect("a free port");
    let mut soak = Soak {
        registry,
        images: vec![VecDeque::new(); REPOSITORIES],
        pushed: 0,
        random: fastrand::Rng::with_seed(1),
        planted: Vec::new(),
    };
    for repository in 0..REPOSITORIES {
        (0..IMAGES).for_each(|_| soak.push(repository));
    }
    let (service, address) = serve(folder, &soak.registry.url());
    let pid = service.0.id();
    let wait = |least: f64| wait_for_sweeps(address, least);
    wait(1.0).await;
    let (mut found, mut invented, mut missed, mut outages) = (0, 0, 0, 0);
    let mut samples: Vec<(u64, usize)> = Vec::new();
    let began = Instant::now();
    for sweep in 1..=sweeps {
        let is_outage = sweep % OUTAGE_EVERY == 0;
        soak.change(is_outage);
        let before = ended_sweeps(address);
        if is_outage {
            outages += 1;
            soak.registry.go_down().await;
        }
        post(address, "/api/v1/registries/soak/sweep");
        if is_outage {
            tokio::time::sleep(Duration::from_millis(300)).await;
            soak.registry.come_back().await.expect("the same port");
        } else {
            // Pushes and deletions while it is swept.
            for _ in 0..5 {
                let repository = soak.random.usize(..REPOSITORIES);
                if soak.planted.iter().all(|it| it.repository != repository) {
                    soak.push(repository);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        wait(before + 1.0).await;
        let expected: BTreeSet<(String, &str)> =
            soak.planted.iter().map(|it| (it.digest.to_string(), it.reason)).collect();
        let findings: Value = serde_json::from_str(&get(address, "/api/v1/findings")).expect("findings in JSON");
        let told: BTreeSet<(String, &str)> = findings["failures"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| {
                (it["digest"].as_str().unwrap_or_default().to_string(), it["reason"].as_str().unwrap_or_default())
            })
            .collect();
        // During an outage nothing new can be proved, and nothing may be forgotten.
        if !is_outage {
            missed += expected.difference(&told).count();
            found += expected.intersection(&told).count();
            for extra in told.difference(&expected) {
                println!("sweep {sweep}: {extra:?} is told and was not planted");
                invented += 1;
            }
        }
        samples.push((memory(pid, "VmRSS:"), descriptors(pid)));
        if sweep % (sweeps / 5).max(1) == 0 {
            let (resident, open) = samples[samples.len() - 1];
            println!("after {sweep} sweeps: {resident} KiB resident, {open} file descriptors");
        }
    }
    let took = began.elapsed();
    let tail = &samples[WARM.min(samples.len() - 1)..];
    let (early, late) = tail.split_at(tail.len() / 2);
    let most = |part: &[(u64, usize)]| part.iter().copied().fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    println!("{sweeps} sweeps in {:.1} s, {outages} outages", took.as_secs_f64());
    println!("most memory, first half after {WARM} and second: {} and {} KiB", most(early).0, most(late).0);
    println!("most file descriptors, the same: {} and {}", most(early).1, most(late).1);
    println!("connections to the registry since the start: {}", soak.registry.connection_count());
    println!("failures told where they were planted: {found}; missed after one sweep: {missed}; invented: {invented}");
    assert_eq!((missed, invented), (0, 0));
}

impl Soak {
    fn push(&mut self, repository: usize) {
        self.pushed += 1;
        let tag = format!("v{}", self.pushed);
        let image = Image::index()
            .named(&format!("{repository} {tag}"))
            .based_on("base")
            .platforms(["linux/amd64", "linux/arm64"])
            .with_attestation();
        self.registry.push(&format!("app{repository}:{tag}"), &image);
        self.images[repository].push_back((tag, image));
        if self.images[repository].len() > IMAGES {
            self.images[repository].pop_front().into_iter().for_each(|(tag, image)| {
                self.registry.delete_tag(&format!("app{repository}:{tag}"));
                self.registry.remove_manifest(&format!("app{repository}"), &image.root().digest);
            });
        }
    }

    /// Mends some of what is broken, and breaks something new.
    fn change(&mut self, is_outage: bool) {
        if is_outage {
            return;
        }
        if self.planted.len() > 4 {
            let Planted { mend, .. } = self.planted.remove(0);
            mend(&self.registry);
        }
        let repository = self.random.usize(..REPOSITORIES);
        if self.planted.iter().any(|it| it.repository == repository) {
            return;
        }
        let (_, image) = self.images[repository].back().expect("a repository of images").clone();
        let name = format!("app{repository}");
        let child = image.child("linux/arm64").expect("a platform").clone();
        let layer = image.layers().last().expect("a layer").clone();
        let registry = &self.registry;
        let (digest, reason, mend): (_, _, Mend) = match self.random.usize(..5) {
            0 => {
                registry.remove_manifest(&name, &child.digest);
                (child.digest, "missing", Box::new(move |it| it.push(&name, &image)))
            }
            1 => {
                registry.remove_blob(&name, &layer.digest);
                (layer.digest, "missing", Box::new(move |it| it.push(&name, &image)))
            }
            2 => {
                let fault = registry.fault(on(&layer.digest), cuts_body_after(0));
                (layer.digest, "unreadable", Box::new(move |_| fault.lift()))
            }
            3 => {
                registry.replace(&name, &layer.digest, layer.bytes.slice(1..), Headers::Follow);
                (layer.digest, "size_mismatch", Box::new(move |it| it.push(&name, &image)))
            }
            _ => {
                let altered: Vec<u8> = child.bytes.iter().map(|&it| if it == b'6' { b'7' } else { it }).collect();
                registry.replace(&name, &child.digest, altered, Headers::Follow);
                (child.digest, "digest_mismatch", Box::new(move |it| it.push(&name, &image)))
            }
        };
        self.planted.push(Planted { repository, digest, reason, mend });
    }
}

/// Last bytes and manifests are read in every sweep, so that all that is planted can be found in the next one.
fn serve(folder: &Path, url: &str) -> (Background, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let config = folder.join("soak.yaml");
    let text = format!(
        "registries:\n  - {{name: soak, url: '{url}', interval: 1h, spread: 0s, evidence: {{byte: 0s}}, \
         confirm: {{attempts: 2, delay: 20ms}}}}\n"
    );
    fs::write(&config, text).expect("room for a file");
    let mut service = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"));
    service.args(["serve", "--web.enable-lifecycle", "--log.level", "error", "--config.file"]).arg(config);
    service.arg(format!("--web.listen-address={address}")).stdin(Stdio::null()).stderr(Stdio::null());
    (Background(service.spawn().expect("the program can be run")), address)
}

async fn wait_for_sweeps(address: SocketAddr, least: f64) {
    let began = Instant::now();
    while ended_sweeps(address) < least {
        assert!(began.elapsed() < BOUND, "a sweep does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn ended_sweeps(address: SocketAddr) -> f64 {
    let metrics = get(address, "/metrics");
    let of = metrics.lines().filter(|line| line.starts_with("registry_integrity_sweeps_total{"));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path)
}

fn post(address: SocketAddr, path: &str) {
    ask(address, "POST", path);
}

/// The body of an answer; nothing if nobody listens yet.
fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_string();
    }
    let mut whole = String::new();
    let mut rest = body;
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        let Some(chunk) = more.get(..length).filter(|_| length > 0) else { break };
        whole.push_str(chunk);
        rest = more.get(length + 2..).unwrap_or_default();
    }
    whole
}
