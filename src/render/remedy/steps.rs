//! The commands, chosen by what is wrong with which kind of object.

use std::fmt::Write as _;

use super::shell::{is_media_type, quoted};
use crate::oci::{Algorithm, Digest, MANIFEST_ACCEPT};
use crate::report::{Failure, Kind, Reason};

/// Where distribution keeps its files unless it is told otherwise.
const STORAGE_ROOT: &str = "/var/lib/registry";

/// How to confirm a failure and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Commands that show the failure to whoever doubts it; they change nothing.
    pub confirm: Vec<Step>,
    /// What mends it, in order.
    pub mend: Vec<Step>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is for, and what to look for in its output.
    pub why: String,
    /// The command; `None` where there is none to give.
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
    /// For a failure in the registry of a URL.
    pub fn of(failure: &Failure, url: &str) -> Self {
        let place = Place { failure, url: url.trim_end_matches('/') };
        let Some(digest) = &failure.digest else { return place.of_a_tag_that_leads_nowhere() };
        let is_manifest = matches!(failure.kind, Kind::Manifest | Kind::Child);
        let mut confirm = vec![if is_manifest { place.read_manifest(digest) } else { place.read_blob(digest) }];
        confirm.extend(on_disk(digest));
        confirm.extend(place.verify("Walk the whole image again, every platform:"));
        let mut mend = Vec::new();
        match failure.reason {
            Reason::Malformed => {
                mend.push(Step::say("Build the image again and push it: no registry can mend these bytes."))
            }
            Reason::Missing if is_manifest => {
                mend.push(Step::say("Run no garbage collection until this is mended: it would delete what is left."));
                mend.push(place.link_again(digest));
                mend.push(place.copy_manifest(digest));
            }
            Reason::Missing => mend.extend(place.upload(digest)),
            Reason::Unreadable | Reason::SizeMismatch | Reason::DigestMismatch => {
                if failure.reason == Reason::SizeMismatch {
                    mend.push(Step::say(
                        "If the file on the registry's disk has the right digest, the image itself names a wrong length: build \
                         it again.",
                    ));
                }
                mend.extend(remove_file(digest));
                mend.push(Step::say(
                    "Restart the registry, or flush its cache: until then it answers 201 and writes nothing.",
                ));
                if is_manifest {
                    mend.push(place.copy_manifest(digest));
                } else {
                    mend.extend(place.upload(digest));
                }
            }
        }
        if failure.reason != Reason::Malformed {
            mend.push(Step::say("If nobody has the bytes any more, build the image again and push all its platforms."));
        }
        mend.extend(place.verify("Believe it when it was read again:"));
        Self { confirm, mend }
    }
}

/// A failure and where it lies.
struct Place<'a> {
    failure: &'a Failure,
    url: &'a str,
}

impl Place<'_> {
    fn of_a_tag_that_leads_nowhere(&self) -> Remedy {
        let Some(image) = self.failure.images.first() else { return Remedy { confirm: Vec::new(), mend: Vec::new() } };
        let address = quoted(&format!("{}/v2/{}/manifests/{}", self.url, image.repository, image.reference));
        let confirm = vec![
            Step::run(
                "Ask for it. 404 confirms that the name leads nowhere:",
                format!("curl -sS -o /dev/null -w '%{{http_code}}\\n' -H 'Accept: {MANIFEST_ACCEPT}' {address}"),
            ),
            Step::run("It is listed all the same:", format!("curl -sS {}", quoted(&self.at("tags/list")))),
        ];
        let plain = if self.url.starts_with("http://") { " --dest-tls-verify=false" } else { "" };
        let mut mend = vec![
            Step::run(
                "Copy the image from where it still is; put that in the place of SOURCE:",
                format!(
                    "skopeo copy --all{plain} docker://SOURCE {}",
                    quoted(&format!("docker://{}/{image}", self.host()))
                ),
            ),
            Step::say("If nothing needs the name any more, delete the tag with whatever manages this registry."),
        ];
        mend.extend(self.verify("Believe it when it was read again:"));
        Remedy { confirm, mend }
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.url, self.failure.repository)
    }

    /// Host, port and path, as image names begin.
    fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url, |(_, host)| host)
    }

    fn media_type(&self) -> &str {
        self.failure.media_type.as_deref().filter(|text| is_media_type(text)).unwrap_or("MEDIA-TYPE")
    }

    fn verify(&self, why: &str) -> Option<Step> {
        let image = self.failure.images.first()?;
        let plain = if self.url.starts_with("http://") { " --plain-http" } else { "" };
        // What the last byte does not show is to be seen again.
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
            (Reason::DigestMismatch, Some((program, hex))) => {
                Step::run(format!("Read it and hash it. Whole, it is {hex}:"), format!("{ask} {address} | {program}"))
            }
            (Reason::Missing, _) => Step::run(
                "Ask for it by its digest. 404 confirms the failure, however well its tag answers:",
                format!("{ask} -o /dev/null -w '%{{http_code}}\\n' {address}"),
            ),
            (reason, _) => Step::run(
                match reason {
                    Reason::Malformed => "Read it: this is no manifest:",
                    Reason::SizeMismatch => "Count its bytes, and hold them against what the index says:",
                    _ => "Read it to its end; curl says where it stops:",
                },
                if reason == Reason::SizeMismatch {
                    format!("{ask} {address} | wc -c")
                } else {
                    format!("{ask} -f {address}")
                },
            ),
        }
    }

    /// By its bytes, never by a status: a registry with a cache promises what it does not have.
    fn read_blob(&self, digest: &Digest) -> Step {
        let address = quoted(&self.at(&format!("blobs/{digest}")));
        match sum(digest) {
            Some((program, hex)) => Step::run(
                format!("Read it and hash it; believe no status. Whole, it is {hex}:"),
                format!("curl -sSL {address} | {program}"),
            ),
            None => Step::run("Read it, and count the bytes:", format!("curl -sSL {address} | wc -c")),
        }
    }

    fn link_again(&self, digest: &Digest) -> Step {
        let (file, media_type) = (quoted(&data_file(digest)), self.media_type());
        let address = quoted(&self.at(&format!("manifests/{digest}")));
        Step::run(
            "On the registry's host, if that file is there: link it again. Tags are not touched. (Another root than \
             /var/lib/registry stands in its configuration.)",
            format!("curl -sS --fail-with-body -X PUT -H 'Content-Type: {media_type}' --data-binary @{file} {address}"),
        )
    }

    fn copy_manifest(&self, digest: &Digest) -> Step {
        let (repository, media_type) = (&self.failure.repository, self.media_type());
        let address = quoted(&self.at(&format!("manifests/{digest}")));
        Step::run(
            "If another registry has it: push its config and layers first (the command for each stands with its own failure), \
             then put the same bytes back. Put that registry's URL in the place of SOURCE:",
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
                "Get it from where it still is: put another registry's URL in the place of SOURCE.",
                format!("curl -sSfL -o blob SOURCE/v2/{repository}/blobs/{digest}{check}"),
            ),
            Step::run("Upload it, without asking first whether it is there:", upload),
        ]
    }
}

/// Where distribution keeps an object's bytes.
fn data_file(digest: &Digest) -> String {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap_or(("sha256", &text));
    let prefix = hex.get(..2).unwrap_or(hex);
    format!("{STORAGE_ROOT}/docker/registry/v2/blobs/{algorithm}/{prefix}/{hex}/data")
}

fn on_disk(digest: &Digest) -> Option<Step> {
    let (program, _) = sum(digest)?;
    Some(Step::run(
        "On the registry's host, where it keeps files: is the data there, and does it have that hash?",
        format!("{program} {}", quoted(&data_file(digest))),
    ))
}

fn remove_file(digest: &Digest) -> Option<Step> {
    sum(digest)?;
    Some(Step::run(
        "On the registry's host, unless its hash is right there: remove the file, as no push writes over it.",
        format!("rm -f {}", quoted(&data_file(digest))),
    ))
}

/// The program that hashes so, and what it prints if all is well.
fn sum(digest: &Digest) -> Option<(&'static str, String)> {
    let program = match digest.algorithm()? {
        Algorithm::Sha256 => "sha256sum",
        Algorithm::Sha384 => "sha384sum",
        Algorithm::Sha512 => "sha512sum",
    };
    digest.to_string().split_once(':').map(|(_, hex)| (program, hex.to_string()))
}
