//! A private certificate authority, and TLS in front of a server that speaks plain HTTP.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// An authority, whose certificates lie in files as configurations name them.
pub struct PrivateCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key.
pub struct Issued {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    /// The certificate as PEM.
    pub cert_file: PathBuf,
    /// The key as PEM.
    pub key_file: PathBuf,
}

impl PrivateCa {
    /// An authority that nobody trusts yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "private CA of the tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a writable temporary directory");
        Self { issuer, directory }
    }

    /// The authority's certificate as PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A server's certificate for these names or addresses.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue("server", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Issued {
        self.issue(name, &[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client's certificate whose time is over.
    pub fn expired_client(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_string()]).expect("legal names");
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.sign(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// The authority's own certificate and key, as a self-signed certificate is used.
    pub fn ca_with_key(&self) -> Issued {
        let key_file = self.directory.path().join("ca.key");
        fs::write(&key_file, self.issuer.key().serialize_pem()).expect("a writable temporary directory");
        Issued {
            certificate: self.issuer.der().clone(),
            key: self.issuer.key().serialize_der().into(),
            cert_file: self.ca_file(),
            key_file,
        }
    }

    fn issue(&self, file: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.sign(file, CertificateParams::new(names).expect("legal names"), usage)
    }

    fn sign(&self, file: &str, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Issued {
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (cert_file, key_file) =
            (self.directory.path().join(format!("{file}.pem")), self.directory.path().join(format!("{file}.key")));
        fs::write(&cert_file, certificate.pem()).expect("a writable temporary directory");
        fs::write(&key_file, key.serialize_pem()).expect("a writable temporary directory");
        Issued { certificate: certificate.der().clone(), key: key.serialize_der().into(), cert_file, key_file }
    }
}

impl Issued {
    /// TLS with this certificate for everybody, that offers these protocols.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has all versions");
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let builder = builder.with_no_client_auth();
        let mut config = builder.with_single_cert(vec![self.certificate.clone()], key).expect("they belong together");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// TLS in front of a server, until it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Whoever trusts the server's certificate is let through to the backend.
    pub async fn start(backend: SocketAddr, server: &Issued) -> Self {
        Self::start_with(backend, server, None).await
    }

    /// Only clients that this authority knows are let through.
    pub async fn start_for_clients_of(ca: &PrivateCa, backend: SocketAddr, server: &Issued) -> Self {
        Self::start_with(backend, server, Some(ca)).await
    }

    async fn start_with(backend: SocketAddr, server: &Issued, clients: Option<&PrivateCa>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has all versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.issuer.der().clone()).expect("a certificate of our own");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("there is a root"))
            }
        };
        let key = PrivateKeyDer::Pkcs8(server.key.clone_key());
        let config = builder.with_single_cert(vec![server.certificate.clone()], key).expect("they belong together");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(forward(listener, TlsAcceptor::from(Arc::new(config)), backend));
        Self { address, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://` and a host that leads here, such as `localhost`.
    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(listener: TcpListener, acceptor: TlsAcceptor, backend: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // A client that does not trust the certificate goes away here, which is what tests want to see.
            let Ok(mut client) = acceptor.accept(stream).await else { return };
            let Ok(mut server) = TcpStream::connect(backend).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
