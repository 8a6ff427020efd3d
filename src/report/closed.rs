//! The closed sets of words. They are label values and JSON, so each has one spelling, here.

use std::fmt;

use serde::{Deserialize, Serialize};

// A word is a `tt`, since the derive of `ToSchema` does not see through a `literal`.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The word, as it stands in labels and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|value| value.as_str() == text).ok_or_else(|| {
                    let all: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                    format!("{text:?} is not one of {}", all.join(", "))
                })
            }
        }
    };
}

pub(crate) use closed_set;

closed_set! {
    /// What an object is. An object that is two of them counts once, as the first.
    Kind {
        /// What a tag or digest reference resolves to.
        Manifest = "manifest",
        /// A manifest that an index names, at any depth.
        Child = "child",
        /// An image's or artifact's config.
        Config = "config",
        /// A layer.
        Layer = "layer",
    }
}

closed_set! {
    /// Why an object is known bad. An object for which two hold is told as the first.
    Reason {
        /// 404, confirmed by GETs.
        Missing = "missing",
        /// Success is promised and the bytes do not come, or this object alone keeps answering 5xx.
        Unreadable = "unreadable",
        /// The registry's length is not the descriptor's.
        SizeMismatch = "size_mismatch",
        /// The bytes do not hash to the digest, or `Docker-Content-Digest` contradicts it.
        DigestMismatch = "digest_mismatch",
        /// The bytes are not a manifest.
        Malformed = "malformed",
    }
}

closed_set! {
    /// Why something could not be judged.
    Cause {
        /// A catalog or tag list that cannot be trusted to be complete, a configured repository that the registry does not
        /// have, or a filter that matches nothing.
        Incomplete = "incomplete",
        /// No connection, or one that broke before an answer.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// 401 or 403, or credentials that could not be had.
        Unauthorized = "unauthorized",
        /// 429.
        RateLimited = "rate_limited",
        /// 5xx.
        ServerError = "server_error",
        /// An answer that makes no sense, an unknown digest algorithm, or a limit that was hit.
        Protocol = "protocol",
    }
}

closed_set! {
    /// How far a sweep came.
    Outcome {
        /// Every object was judged.
        Complete = "complete",
        /// Some could not be.
        Partial = "partial",
        /// The catalog could not be read to its end.
        Failed = "failed",
    }
}

closed_set! {
    /// What is known of an image.
    ImageState {
        /// Every object that it needs was proved.
        Intact = "intact",
        /// At least one failed.
        Broken = "broken",
        /// None failed, at least one could not be judged.
        Unverified = "unverified",
    }
}
