//! Platforms, compared as containerd compares them (github.com/containerd/platforms, `Normalize` and `NewMatcher`).

use std::fmt;
use std::str::FromStr;

use oci_spec::image::{Arch, Os};
use serde::{Serialize, Serializer};

/// `os/architecture[/variant]`, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// Operating system, as Go names it.
    pub os: String,
    /// CPU architecture, as Go names it.
    pub architecture: String,
    /// Variant of the CPU, such as `v8`.
    pub variant: Option<String>,
}

impl Platform {
    /// True if both name the same platform: `linux/arm64` is `linux/arm64/v8`, `linux/arm` is `linux/arm/v7`, and `aarch64` is
    /// `arm64`. A platform that only runs the other one's images is another platform.
    pub fn matches(&self, other: &Self) -> bool {
        // Nearly every platform is written in its canonical form.
        self == other || self.normalized() == other.normalized()
    }

    /// True if a config may name this platform under a descriptor that names the other one. Many configs leave the variant
    /// out, and so do many descriptors.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let filled = |platform: &Self, from: &Self| {
            let variant = platform.variant.as_ref().or(from.variant.as_ref()).cloned();
            Self { variant, ..platform.clone() }
        };
        filled(self, other).matches(&filled(other, self))
    }

    /// The canonical form, as containerd's `Normalize` makes it.
    fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase() {
            os if os == "macos" => "darwin".to_string(),
            os => os,
        };
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            as_it_is => as_it_is,
        };
        let variant = Some(variant).filter(|variant| !variant.is_empty()).map(str::to_string);
        Self { os, architecture: architecture.to_string(), variant }
    }

    /// The part of a canonical platform that no image is built for, and what that part is.
    fn unknown_part(&self) -> Option<(&str, &'static str)> {
        let variant = self.variant.as_deref().unwrap_or_default();
        if !is_known_os(&self.os) {
            Some((&self.os, "operating system (such as linux or windows)"))
        } else if !is_known_architecture(&self.architecture) {
            Some((&self.architecture, "architecture (such as amd64, arm64, arm, 386, s390x, ppc64le or riscv64)"))
        } else if !is_known_variant(&self.architecture, variant) {
            Some((variant, "variant of this architecture (such as v7 of arm, v8 of arm64 or v2 of amd64)"))
        } else {
            None
        }
    }
}

/// True for Go's operating systems, which oci-spec lists, and those of WebAssembly.
fn is_known_os(os: &str) -> bool {
    !matches!(Os::from(os), Os::Other(_)) || matches!(os, "wasi" | "wasip1")
}

/// True for Go's architectures, which oci-spec lists, and `wasm32`.
fn is_known_architecture(architecture: &str) -> bool {
    !matches!(Arch::from(architecture), Arch::Other(_)) || architecture == "wasm32"
}

/// True if an architecture has this variant, or if it is empty. Only these three have fixed names.
fn is_known_variant(architecture: &str, variant: &str) -> bool {
    match architecture {
        "amd64" => matches!(variant, "" | "v2" | "v3" | "v4"),
        "arm" => matches!(variant, "v5" | "v6" | "v7" | "v8"),
        "arm64" => match variant.strip_prefix("v8").or_else(|| variant.strip_prefix("v9")) {
            Some(minor) => minor.is_empty() || matches!(minor.as_bytes(), [b'.', b'0'..=b'9']),
            None => variant.is_empty(),
        },
        _ => true,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// Why a text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// It does not have the form of one.
    #[error("{0:?} is not a platform (expected OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64)")]
    Form(String),
    /// No image is built for it.
    #[error("{text:?} is not a platform: {part:?} is not a known {what}")]
    Unknown {
        /// The whole text.
        text: String,
        /// The part that is not known.
        part: String,
        /// What that part is.
        what: &'static str,
    },
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads a platform that a user names. One that no image can have would silently match nothing, so that it is an error.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let shortened = || text.chars().take(200).collect::<String>();
        let parts: Vec<&str> = text.split('/').collect();
        let legal = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let platform = match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(legal) => Self {
                os: (*os).to_string(),
                architecture: (*architecture).to_string(),
                variant: rest.first().map(|variant| (*variant).to_string()),
            },
            _ => return Err(PlatformError::Form(shortened())),
        };
        match platform.normalized().unknown_part() {
            Some((part, what)) => {
                Err(PlatformError::Unknown { text: shortened(), part: part.chars().take(200).collect(), what })
            }
            None => Ok(platform),
        }
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn one_platform_has_several_names() {
        for (one, other) in [
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64", "linux/aarch64"),
            ("linux/arm64/v8.0", "linux/arm64/8"),
            ("linux/arm64/v9", "linux/aarch64/9.0"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm", "linux/armhf"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/amd64", "linux/amd64/v1"),
            ("linux/amd64", "Linux/X86_64"),
            ("linux/x86-64/v2", "linux/amd64/v2"),
            ("linux/i386", "linux/386"),
            ("macOS/arm64", "darwin/arm64"),
        ] {
            assert!(platform(one).matches(&platform(other)), "{one} {other}");
            assert!(platform(other).matches(&platform(one)), "{other} {one}");
        }
    }

    #[test]
    fn what_runs_on_a_platform_is_not_that_platform() {
        for (one, other) in [
            ("linux/arm/v7", "linux/arm/v6"),
            ("linux/arm", "linux/arm/v6"),
            ("linux/arm64", "linux/arm/v8"),
            ("linux/arm64", "linux/arm64/v9"),
            ("linux/amd64", "linux/amd64/v3"),
            ("linux/amd64", "linux/386"),
            ("linux/amd64", "windows/amd64"),
        ] {
            assert!(!platform(one).matches(&platform(other)), "{one} {other}");
            assert!(!platform(other).matches(&platform(one)), "{other} {one}");
        }
    }

    #[test]
    fn a_variant_that_one_side_leaves_out_is_no_contradiction() {
        assert!(platform("linux/arm/v6").agrees_with(&platform("linux/arm")));
        assert!(platform("linux/arm").agrees_with(&platform("linux/arm/v6")));
        assert!(platform("linux/arm64").agrees_with(&platform("linux/aarch64/v8")));
        assert!(!platform("linux/arm/v6").agrees_with(&platform("linux/arm/v7")));
        assert!(!platform("linux/amd64").agrees_with(&platform("linux/arm64")));
    }

    #[test]
    fn a_platform_that_no_image_can_have_is_an_error() {
        for text in ["linux/arm/v7", "wasi/wasm", "Windows/AMD64", "linux/ppc64le/power9", "linux/arm64/v8.2"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for (text, part) in [
            ("", "expected OS/ARCH"),
            ("linux", "expected OS/ARCH"),
            ("linux/", "expected OS/ARCH"),
            ("/amd64", "expected OS/ARCH"),
            ("a/b/c/d", "expected OS/ARCH"),
            ("linux/arm64/", "expected OS/ARCH"),
            ("linux/adm64", "\"adm64\" is not a known architecture"),
            ("foo/bar", "\"foo\" is not a known operating system"),
            ("amd64/linux", "\"amd64\" is not a known operating system"),
            ("unknown/unknown", "\"unknown\" is not a known operating system"),
            ("linux/arm64/v7", "\"v7\" is not a known variant"),
            ("linux/amd64/v8", "\"v8\" is not a known variant"),
            ("linux/arm/hf", "\"hf\" is not a known variant"),
        ] {
            let said = text.parse::<Platform>().unwrap_err().to_string();
            assert!(said.contains("is not a platform") && said.contains(part), "{text}: {said}");
        }
    }
}
