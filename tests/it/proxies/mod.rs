//! Proxies: those that the probe goes through, and those in front of a registry.

mod http_proxies;
mod proxies_in_front;
mod socks;
