//! In-process registries with one or two images.

use registry_integrity_probe::demo::{Image, Registry};

/// An image of a manifest, a config and two layers.
pub fn app() -> Image {
    Image::manifest().named("app")
}

/// A registry with [`app`] as `app:1`.
pub async fn registry() -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &app());
    registry
}

/// A registry with two images: the given one as `app:1`, and an intact one as `whole:1`.
pub async fn registry_with(image: &Image) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", image);
    registry.push("whole:1", &Image::manifest().named("whole"));
    registry
}
