//! `tls_server_config`: maps Go's names of TLS parameters to a rustls server configuration.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::client_certificate::{ClientCertificates, Policy};
use super::files::Files;
use crate::config::{Section, boolean};

/// Cipher suites of Go that rustls does not support, because they use CBC.
const UNSUPPORTED_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const KEYS: [&str; 13] = [
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

/// Reads the mapping; `None` if it is empty or invalid.
pub fn read_tls(section: &mut Section<'_, '_>, folder: &Path, http2: bool, files: &mut Files) -> Option<ServerConfig> {
    section.keep_confidential();
    let faults_before = section.faults.len();
    // As in Go, an empty string means unset, because templates generate them.
    let is_set = KEYS.map(|key| section.has_content(key)).contains(&true);

    let mut pem = PemSource { folder, files };
    let certificate = pem.read(section, "cert", "cert_file").map(|(at, pem)| (at, certificates(section, at, &pem)));
    let key = pem.read(section, "key", "key_file").and_then(|(at, pem)| {
        let key = PrivateKeyDer::from_pem_slice(&pem);
        // The error is dropped, because it may quote a line of the file.
        key.map_err(|_| section.fault_at(at, "no unencrypted private key in PEM format found")).ok()
    });
    let authorities = pem.read(section, "client_ca", "client_ca_file").map(|(at, pem)| certificates(section, at, &pem));
    for (inline, file) in [("cert", "cert_file"), ("key", "key_file")] {
        if is_set && !section.has_content(inline) && !section.has_content(file) {
            section.fault_at(file, format!("missing (expected `{file}` or `{inline}`)"));
        }
    }

    let versions = read_versions(section);
    let provider = Arc::new(read_provider(section));
    let clients = read_clients(section, authorities, &provider);
    let mut ignore_client_order = true;
    section.set(&mut ignore_client_order, "prefer_server_cipher_suites", boolean);

    let (at, certificate) = certificate?;
    let key = key?;
    if section.faults.len() > faults_before {
        return None;
    }
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
    let builder = builder
        .map_err(|error| section.fault_at("cipher_suites", format!("not usable with these TLS versions: {error}")))
        .ok()?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(certificate, key)
        .map_err(|error| section.fault_at(at, format!("the certificate and its key cannot be used: {error}")))
        .ok()?;
    config.ignore_client_order = ignore_client_order;
    // Resuming a session would skip the check of the client's certificate, which may be invalid by now.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Some(config)
}

/// The cipher suites and curves.
fn read_provider(section: &mut Section<'_, '_>) -> CryptoProvider {
    let mut provider = ring::default_provider();
    let suites = section.list("cipher_suites", |name| suite(name, &ring::default_provider()));
    if !suites.is_empty() {
        // As in Go, the list does not affect TLS 1.3, whose suites are all secure.
        let of_tls13 = provider.cipher_suites.iter().filter(|suite| suite.version() == &TLS13).copied();
        let of_tls12 = suites.into_iter().filter(|suite| suite.version() == &TLS12);
        provider.cipher_suites = of_tls13.chain(of_tls12).collect();
    }
    let groups = section.list("curve_preferences", |name| group(name, &ring::default_provider()));
    if !groups.is_empty() {
        provider.kx_groups = groups;
    }
    provider
}

struct PemSource<'a> {
    folder: &'a Path,
    files: &'a mut Files,
}

impl PemSource<'_> {
    /// The PEM text and its key in the configuration. As in Go, an empty string means unset.
    fn read(
        &mut self,
        section: &mut Section<'_, '_>,
        inline_key: &'static str,
        file_key: &'static str,
    ) -> Option<(&'static str, Vec<u8>)> {
        let inline = section.text(inline_key).filter(|text| !text.is_empty());
        let file = section.text(file_key).filter(|text| !text.is_empty());
        if inline.is_some() && file.is_some() {
            section.exclude(&[inline_key, file_key]);
        }
        if let Some(text) = inline {
            return Some((inline_key, text.as_bytes().to_vec()));
        }
        let path = self.folder.join(file?);
        match self.files.read(&path) {
            Ok(bytes) => Some((file_key, bytes)),
            Err(error) => {
                section.fault_at(file_key, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }
}

fn certificates(section: &mut Section<'_, '_>, at: &'static str, pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default();
    if certificates.is_empty() {
        section.fault_at(at, "no certificate in PEM format found, or it is damaged");
    }
    certificates
}

fn read_clients(
    section: &mut Section<'_, '_>,
    authorities: Option<Vec<CertificateDer<'static>>>,
    provider: &Arc<CryptoProvider>,
) -> Option<ClientCertificates> {
    let policy = section.scalar("client_auth_type", policy);
    if policy.is_none() && section.has_content("client_auth_type") {
        return None;
    }
    let policy = policy.unwrap_or(Policy::None);
    let given = ["client_ca", "client_ca_file"].into_iter().find(|key| section.has_content(key));
    match given {
        Some(key) if policy == Policy::None => {
            section.fault_at(key, "no client certificate is requested (expected `client_auth_type` too)");
        }
        None if policy.verifies() => {
            section.fault_at(
                "client_auth_type",
                "no authority to verify client certificates (expected `client_ca_file` or `client_ca` too)",
            );
        }
        _ => {}
    }
    let names = read_allowed_names(section, policy);
    let mut roots = RootCertStore::empty();
    let authorities = authorities.unwrap_or_default();
    for certificate in &authorities {
        if let Err(error) = roots.add(certificate.clone()) {
            section.fault_at(given.unwrap_or("client_ca_file"), format!("a certificate cannot be used: {error}"));
        }
    }
    if policy == Policy::None || (policy.verifies() && roots.is_empty()) {
        return None;
    }
    match ClientCertificates::new(policy, roots, authorities, names, provider) {
        Ok(clients) => Some(clients),
        Err(error) => {
            section.fault_at(given.unwrap_or("client_auth_type"), format!("clients cannot be verified: {error}"));
            None
        }
    }
}

fn policy(text: &str) -> Result<Policy, &'static str> {
    match text {
        "" | "NoClientCert" => Ok(Policy::None),
        "RequestClientCert" => Ok(Policy::Request),
        // exporter-toolkit accepts the second name for old files.
        "RequireAnyClientCert" | "RequireClientCert" => Ok(Policy::RequireAny),
        "VerifyClientCertIfGiven" => Ok(Policy::VerifyIfGiven),
        "RequireAndVerifyClientCert" => Ok(Policy::RequireAndVerify),
        _ => Err("expected NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
                  RequireAndVerifyClientCert"),
    }
}

/// `client_allowed_sans`; `None` if any name is allowed.
fn read_allowed_names(section: &mut Section<'_, '_>, policy: Policy) -> Option<Vec<String>> {
    let names = section.list("client_allowed_sans", |name| match name {
        "" => Err("expected a name, found an empty string"),
        _ => Ok(name.to_string()),
    });
    let names = section.has("client_allowed_sans").then_some(names);
    match &names {
        Some(_) if !policy.verifies() => section.fault_at(
            "client_allowed_sans",
            "the names of unverified certificates prove nothing (expected `client_auth_type: \
             RequireAndVerifyClientCert` or VerifyClientCertIfGiven)",
        ),
        Some(names) if names.is_empty() => {
            section.fault_at("client_allowed_sans", "no client would be admitted (expected at least one name)");
        }
        _ => {}
    }
    names
}

fn read_versions(section: &mut Section<'_, '_>) -> Vec<&'static SupportedProtocolVersion> {
    let (mut lowest, mut highest) = (2, 3);
    section.set(&mut lowest, "min_version", minor_version);
    section.set(&mut highest, "max_version", minor_version);
    if lowest > highest {
        section.fault_at("max_version", "lower than `min_version` (expected at least that)");
    }
    [(2, &TLS12), (3, &TLS13)]
        .into_iter()
        .filter(|(minor, _)| (lowest..=highest).contains(minor))
        .map(|(_, version)| version)
        .collect()
}

fn minor_version(name: &str) -> Result<u8, &'static str> {
    match name {
        "TLS12" => Ok(2),
        "TLS13" => Ok(3),
        "TLS10" | "TLS11" => Err("this version is insecure and not supported (expected TLS12 or TLS13)"),
        _ => Err("expected TLS12 or TLS13"),
    }
}

fn suite(name: &str, provider: &CryptoProvider) -> Result<SupportedCipherSuite, String> {
    // TLS13_… in rustls is TLS_… in Go.
    let go_name = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_");
    let known: Vec<String> = provider.cipher_suites.iter().map(go_name).collect();
    match provider.cipher_suites.iter().find(|suite| go_name(suite) == name) {
        Some(suite) => Ok(*suite),
        None if UNSUPPORTED_SUITES.contains(&name) => Err(expected("supported by Go, but not here", known)),
        None => Err(expected("unknown", known)),
    }
}

fn group(name: &str, provider: &CryptoProvider) -> Result<&'static dyn SupportedKxGroup, String> {
    let wanted = match name {
        "X25519" => Some(NamedGroup::X25519),
        "CurveP256" => Some(NamedGroup::secp256r1),
        "CurveP384" => Some(NamedGroup::secp384r1),
        _ => None,
    };
    let found = provider.kx_groups.iter().find(|group| Some(group.name()) == wanted);
    let known = ["X25519", "CurveP256", "CurveP384"];
    found.copied().ok_or_else(|| match name {
        "CurveP521" => expected("supported by Go, but not here", known),
        _ => expected("unknown", known),
    })
}

fn expected(wrong: &str, known: impl IntoIterator<Item = impl Display>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.to_string()).collect();
    format!("{wrong} (expected one of {})", known.join(", "))
}
