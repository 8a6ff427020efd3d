//! Go's five policies for the certificates of clients.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// The client certificate that the server requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// No certificate is requested.
    None,
    /// Any certificate, or none.
    Request,
    /// Any certificate.
    RequireAny,
    /// A certificate from a configured authority, or none.
    VerifyIfGiven,
    /// A certificate from a configured authority.
    RequireAndVerify,
}

impl Policy {
    /// True if certificates are verified.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// Verifies client certificates. Under every policy, the client must own the certificate's key.
#[derive(Debug)]
pub struct ClientCertificates {
    is_mandatory: bool,
    /// `None` if any certificate is accepted.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// A certificate in the file of authorities is accepted itself. Go allows this, and self-signed certificates need it.
    named: Vec<CertificateDer<'static>>,
    /// The certificate must have one of these alternative names; `None` if any name is accepted.
    allowed_names: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertificates {
    /// A verifier for a policy other than [`Policy::None`].
    pub fn new(
        policy: Policy,
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        allowed_names: Option<Vec<String>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let is_mandatory = matches!(policy, Policy::RequireAny | Policy::RequireAndVerify);
        let verifier = match policy.verifies() {
            true => Some(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?),
            false => None,
        };
        Ok(Self { is_mandatory, verifier, named, allowed_names, provider: Arc::clone(provider) })
    }

    fn is_named(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let is_in_time = |parsed: &X509Certificate<'_>| {
            i64::try_from(now.as_secs())
                .ok()
                .and_then(|now| ASN1Time::from_timestamp(now).ok())
                .is_some_and(|now| parsed.validity().is_valid_at(now))
        };
        self.named.contains(certificate)
            && X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| is_in_time(&parsed))
    }

    fn has_allowed_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Some(allowed) = &self.allowed_names else { return true };
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(Some(extension)) = parsed.subject_alternative_name() else { return false };
        extension.value.general_names.iter().filter_map(written).any(|name| allowed.contains(&name))
    }
}

/// A subject alternative name in Go's notation.
fn written(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_string())
        }
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
            _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_canonical().to_string()),
        },
        _ => None,
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(verifier) = &self.verifier
            && !self.is_named(end_entity, now)
        {
            verifier.verify_client_cert(end_entity, intermediates, now)?;
        }
        match self.has_allowed_name(end_entity) {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
