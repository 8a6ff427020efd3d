//! What others make of the same registry: oha, a Python session, skopeo, crane. The last three are slower and see less, so
//! that all get a part of it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Evidence;
use super::disk::program;
use super::images::{OBJECTS, TAGS, name, stored};
use super::list::requests;
use super::process::{self, Used};
use super::sweep;

/// Runs what is installed over so many repositories, beside a sweep of the same.
pub fn compare(folder: &Path, address: SocketAddr, repositories: usize) {
    let list: String = requests(repositories, stored, Evidence::Byte)
        .iter()
        .filter(|request| !request.path.contains("_catalog"))
        .map(|it| format!("{} {} {}\n", it.method, it.path, it.byte.map_or("-".to_string(), |byte| byte.to_string())))
        .collect();
    let path = folder.join("requests");
    fs::write(&path, list).expect("room for a file");
    let only: Vec<String> = (0..repositories).map(name).collect();
    let only = format!("    repositories: {{include: [{}]}}\n", only.join(", "));
    let swept = sweep::run(folder, &format!("http://{address}"), Evidence::Byte, &only);
    let objects = (repositories * OBJECTS) as f64;
    println!("the same {repositories} repositories, {objects} objects behind {} tags:", repositories * TAGS);
    let base = swept.used;
    tell("sweep", base, base, "every object, with the last byte of each blob");
    if let Some(oha) = program("oha") {
        let all = requests(repositories, stored, Evidence::Head);
        let heads = all.iter().filter(|request| request.method == "HEAD");
        let urls: String = heads.map(|request| format!("http://{address}{}\n", request.path)).collect();
        let path = folder.join("urls");
        fs::write(&path, urls).expect("room for a file");
        let mut command = Command::new(oha);
        command
            .args(["--no-tui", "-c", "8", "-m", "HEAD", "-n", &all.len().to_string(), "--urls-from-file"])
            .arg(&path);
        let used = process::run(command.stdout(Stdio::null()), &[]);
        tell("oha, 8 connections", used, base, "as many requests, all by HEAD; nothing is judged");
    }
    if let Some(python) = program("python3") {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/session.py");
        let used = process::run(Command::new(python).arg(script).arg(address.to_string()).arg(&path), &[]);
        tell("python, 8 threads", used, base, "the same requests; nothing is judged");
    }
    let images = || (0..repositories).flat_map(|number| (0..TAGS).map(move |tag| (name(number), tag)));
    if let Some(skopeo) = program("skopeo") {
        let each = images().map(|(name, tag)| {
            let mut command = Command::new(&skopeo);
            command.args(["inspect", "--tls-verify=false", "--no-tags"]);
            command.arg(format!("docker://{address}/{name}:1.0.{tag}"));
            command
        });
        tell("skopeo inspect", all(each), base, "a tag's index, one child, its config");
    }
    if let Some(crane) = program("crane") {
        let each = images().map(|(name, tag)| {
            let mut command = Command::new(&crane);
            command.args(["validate", "--fast", "--insecure", "--remote"]).arg(format!("{address}/{name}:1.0.{tag}"));
            command
        });
        tell("crane validate --fast", all(each), base, "all of a tag but the bytes of layers");
    }
}

/// Each after the other; some of them fail on what is intact.
fn all(commands: impl Iterator<Item = Command>) -> Used {
    let mut sum = Used::default();
    for mut command in commands {
        let used = process::run(command.stdout(Stdio::null()).stderr(Stdio::null()), &[1]);
        sum.seconds += used.seconds;
        sum.cpu += used.cpu;
        sum.peak = sum.peak.max(used.peak);
    }
    sum
}

fn tell(who: &str, used: Used, base: Used, sees: &str) {
    println!(
        "  {who}: {:.2} s ({:.1} times a sweep's), {:.2} s of CPU ({:.1} times), peak {} MiB; sees {sees}",
        used.seconds,
        used.seconds / base.seconds,
        used.cpu,
        used.cpu / base.cpu,
        used.peak / 1024
    );
}
