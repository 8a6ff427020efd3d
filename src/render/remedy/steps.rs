//! The commands, by reason and kind of object.

use std::fmt::Write as _;

use super::shell::{is_media_type, quoted};
use crate::oci::{Algorithm, Digest, MANIFEST_ACCEPT};
use crate::report::{Failure, Kind, Reason};

/// Default storage directory of distribution.
const STORAGE_ROOT: &str = "/var/lib/registry";

/// How to confirm and repair a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Commands that show the failure and change nothing.
    pub confirm: Vec<Step>,
    /// Steps that repair it, in order.
    pub repair: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The purpose, and what to look for in the output.
    pub why: String,
    /// The command, if there is one.
    pub command: Option<String>,
}

impl Step {
    fn run(why: impl Into<String>, command: impl Into<String>) -> Self {
        Self { why: why.into(), command: Some(command.into()) }
    }

    fn say(why: impl Into<String>) -> Self {
        Self { why: why.into(), command: None }
    }
}

impl Remedy {
    /// The remedy for a failure in the registry at `url`.
    pub fn of(failure: &Failure, url: &str) -> Self {
        let target = Target { failure, url: url.trim_end_matches('/') };
        let Some(digest) = &failure.digest else { return target.dangling_tag() };
        let is_manifest = matches!(failure.kind, Kind::Manifest | Kind::Child);
        let mut confirm = vec![if is_manifest { target.read_manifest(digest) } else { target.read_blob(digest) }];
        confirm.extend(on_disk(digest));
        confirm.extend(target.verify("Check the complete image again, every platform:"));
        let mut repair = Vec::new();
        match failure.reason {
            Reason::Malformed => {
                repair.push(Step::say("Rebuild the image and push it: the content itself is invalid."))
            }
            Reason::Missing if is_manifest => {
                repair.push(Step::say(
                    "Do not run garbage collection before this is repaired: it would delete the remaining data.",
                ));
                repair.push(target.link_again(digest));
                repair.push(target.copy_manifest(digest));
            }
            Reason::Missing => repair.extend(target.upload(digest)),
            Reason::Unreadable | Reason::SizeMismatch | Reason::DigestMismatch => {
                if failure.reason == Reason::SizeMismatch {
                    repair.push(Step::say(
                        "If the file on the registry's disk has the right hash, the image itself declares the wrong size: rebuild \
                         it.",
                    ));
                }
                repair.extend(remove_file(digest));
                repair.push(Step::say(
                    "Restart the registry or flush its cache. Until then, it answers an upload with 201 but writes nothing.",
                ));
                if is_manifest {
                    repair.push(target.copy_manifest(digest));
                } else {
                    repair.extend(target.upload(digest));
                }
            }
        }
        if failure.reason != Reason::Malformed {
            repair.push(Step::say("If no copy of the data exists, rebuild the image and push all its platforms."));
        }
        repair.extend(target.verify("Finally, check that it is fixed:"));
        Self { confirm, repair }
    }
}

/// A failure and the URL of its registry.
struct Target<'a> {
    failure: &'a Failure,
    url: &'a str,
}

impl Target<'_> {
    fn dangling_tag(&self) -> Remedy {
        let Some(image) = self.failure.images.first() else {
            return Remedy { confirm: Vec::new(), repair: Vec::new() };
        };
        let address = quoted(&format!("{}/v2/{}/manifests/{}", self.url, image.repository, image.reference));
        let confirm = vec![
            Step::run(
                "Request the manifest. 404 confirms that the tag points to nothing:",
                format!("curl -sS -o /dev/null -w '%{{http_code}}\\n' -H 'Accept: {MANIFEST_ACCEPT}' {address}"),
            ),
            Step::run("The tag is listed anyway:", format!("curl -sS {}", quoted(&self.at("tags/list")))),
        ];
        let plain = if self.url.starts_with("http://") { " --dest-tls-verify=false" } else { "" };
        let mut repair = vec![
            Step::run(
                "Copy the image from a registry that still has it; replace SOURCE with its name there:",
                format!(
                    "skopeo copy --all{plain} docker://SOURCE {}",
                    quoted(&format!("docker://{}/{image}", self.host()))
                ),
            ),
            Step::say("If the tag is no longer needed, delete it with the tool that manages this registry."),
        ];
        repair.extend(self.verify("Finally, check that it is fixed:"));
        Remedy { confirm, repair }
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.url, self.failure.repository)
    }

    /// Host, port and path, the beginning of image names.
    fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url, |(_, host)| host)
    }

    fn media_type(&self) -> &str {
        self.failure.media_type.as_deref().filter(|text| is_media_type(text)).unwrap_or("MEDIA-TYPE")
    }

    fn verify(&self, why: &str) -> Option<Step> {
        let image = self.failure.images.first()?;
        let plain = if self.url.starts_with("http://") { " --plain-http" } else { "" };
        // The last byte does not show these failures.
        let evidence = match self.failure.reason {
            Reason::Missing | Reason::Malformed => "",
            Reason::Unreadable | Reason::SizeMismatch | Reason::DigestMismatch => " --evidence content",
        };
        let name = quoted(&format!("{}/{image}", self.host()));
        Some(Step::run(why, format!("registry-integrity-probe verify{plain}{evidence} {name}")))
    }

    fn read_manifest(&self, digest: &Digest) -> Step {
        let address = quoted(&self.at(&format!("manifests/{digest}")));
        let ask = format!("curl -sS -H 'Accept: {MANIFEST_ACCEPT}'");
        match (self.failure.reason, sum(digest)) {
            (Reason::DigestMismatch, Some((program, hex))) => Step::run(
                format!("Download and hash it. The correct hash is {hex}:"),
                format!("{ask} {address} | {program}"),
            ),
            (Reason::Missing, _) => Step::run(
                "Request it by digest. 404 confirms the failure, even if the tag answers 200:",
                format!("{ask} -o /dev/null -w '%{{http_code}}\\n' {address}"),
            ),
            (reason, _) => Step::run(
                match reason {
                    Reason::Malformed => "Download it; it is not a valid manifest:",
                    Reason::SizeMismatch => "Count its bytes and compare with the size in the index:",
                    _ => "Download it; curl reports where it stops:",
                },
                if reason == Reason::SizeMismatch {
                    format!("{ask} {address} | wc -c")
                } else {
                    format!("{ask} -f {address}")
                },
            ),
        }
    }

    /// Checks the bytes, because a registry with a cache answers 200 for data that is gone.
    fn read_blob(&self, digest: &Digest) -> Step {
        let address = quoted(&self.at(&format!("blobs/{digest}")));
        match sum(digest) {
            Some((program, hex)) => Step::run(
                format!("Download and hash it; a status of 200 proves nothing. The correct hash is {hex}:"),
                format!("curl -sSL {address} | {program}"),
            ),
            None => Step::run("Download it and count the bytes:", format!("curl -sSL {address} | wc -c")),
        }
    }

    fn link_again(&self, digest: &Digest) -> Step {
        let (file, media_type) = (quoted(&data_file(digest)), self.media_type());
        let address = quoted(&self.at(&format!("manifests/{digest}")));
        Step::run(
            "On the registry's host, if this file exists: link it again. Tags do not change. (Replace /var/lib/registry with \
             `storage.filesystem.rootdirectory` from the registry's configuration.)",
            format!("curl -sS --fail-with-body -X PUT -H 'Content-Type: {media_type}' --data-binary @{file} {address}"),
        )
    }

    fn copy_manifest(&self, digest: &Digest) -> Step {
        let (repository, media_type) = (&self.failure.repository, self.media_type());
        let address = quoted(&self.at(&format!("manifests/{digest}")));
        Step::run(
            "If another registry has it: upload its config and layers first (see the commands of their own failures), then \
             upload the same manifest. Replace SOURCE with that registry's URL:",
            format!(
                "curl -sSf -H 'Accept: {MANIFEST_ACCEPT}' -o manifest.json SOURCE/v2/{repository}/manifests/{digest} &&\n\
                 curl -sS --fail-with-body -X PUT -H 'Content-Type: {media_type}' --data-binary @manifest.json {address}"
            ),
        )
    }

    fn upload(&self, digest: &Digest) -> Vec<Step> {
        let repository = &self.failure.repository;
        let check =
            sum(digest).map(|(program, hex)| format!(" &&\necho '{hex}  blob' | {program} -c")).unwrap_or_default();
        let base = quoted(self.url);
        let begin = quoted(&self.at("blobs/uploads/"));
        let mut upload = format!(
            "location=$(curl -sSf -X POST -D - -o /dev/null {begin} | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')\n"
        );
        upload.push_str("case $location in /*) location=$(printf %s ");
        let _ = writeln!(upload, "{base} | sed 's,\\(://[^/]*\\).*,\\1,')$location ;; esac");
        upload.push_str("case $location in *\\?*) location=$location\\& ;; *) location=$location\\? ;; esac\n");
        let _ = write!(
            upload,
            "curl -sS --fail-with-body -X PUT -H 'Content-Type: application/octet-stream' --data-binary @blob \"${{location}}digest={digest}\""
        );
        vec![
            Step::run(
                "Download it from another registry; replace SOURCE with its URL:",
                format!("curl -sSfL -o blob SOURCE/v2/{repository}/blobs/{digest}{check}"),
            ),
            Step::run("Upload it, without checking first whether it exists:", upload),
        ]
    }
}

/// Path of an object's data in distribution's storage.
fn data_file(digest: &Digest) -> String {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap_or(("sha256", &text));
    let prefix = hex.get(..2).unwrap_or(hex);
    format!("{STORAGE_ROOT}/docker/registry/v2/blobs/{algorithm}/{prefix}/{hex}/data")
}

fn on_disk(digest: &Digest) -> Option<Step> {
    let (program, _) = sum(digest)?;
    Some(Step::run(
        "On the registry's host: check that the file exists and has this hash:",
        format!("{program} {}", quoted(&data_file(digest))),
    ))
}

fn remove_file(digest: &Digest) -> Option<Step> {
    sum(digest)?;
    Some(Step::run(
        "On the registry's host, delete the file unless its hash is correct. A push will not overwrite it.",
        format!("rm -f {}", quoted(&data_file(digest))),
    ))
}

/// The program for the algorithm, and the expected hash.
fn sum(digest: &Digest) -> Option<(&'static str, String)> {
    let program = match digest.algorithm()? {
        Algorithm::Sha256 => "sha256sum",
        Algorithm::Sha384 => "sha384sum",
        Algorithm::Sha512 => "sha512sum",
    };
    digest.to_string().split_once(':').map(|(_, hex)| (program, hex.to_string()))
}
